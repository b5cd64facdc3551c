//! `label_replace` and `label_join`: they look at labels alone, so values go on as they come.

use schemas::Labels;
use schemas::labels::METRIC_NAME;

use super::EvalError;
use super::context::{Context, label_of, string_of};
use super::grid::Steps;
use super::labels::{with, without_metadata};
use super::series::{Vector, all_differ, merge_same};
use super::stream::Stream;
use crate::ast::Call;

impl<'q> Context<'q> {
    pub(super) fn label_replace(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let text = |at: usize| string_of(&call.args[at]);
        let (replacement, source, pattern) = (text(2)?, text(3)?, text(4)?);
        let regex = schemas::matcher::compile(pattern)
            .map_err(|_| EvalError::Execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        let target = label_of(&call.args[1], |name| invalid("destination", "label_replace", name))?;
        let stream = self.vector(&call.args[0], steps)?;
        self.relabelled(stream, target, |labels| {
            let value = labels.get(source).unwrap_or_default();
            let captures = regex.captures(value)?;
            let mut text = String::new();
            captures.expand(replacement, &mut text);
            Some(text)
        })
    }

    pub(super) fn label_join(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let separator = string_of(&call.args[2])?;
        let sources = call.args[3..].iter().map(|arg| label_of(arg, |name| invalid("source", "label_join", name)));
        let sources = sources.collect::<Result<Vec<&str>, EvalError>>()?;
        let target = label_of(&call.args[1], |name| invalid("destination", "label_join", name))?;
        let stream = self.vector(&call.args[0], steps)?;
        self.relabelled(stream, target, |labels| {
            let values: Vec<&str> = sources.iter().map(|source| labels.get(source).unwrap_or_default()).collect();
            Some(values.join(separator))
        })
    }

    /// Gives `target` the value that `value` makes of the labels, where it makes one.
    fn relabelled(
        &'q self,
        mut stream: Stream<'q>,
        target: &str,
        value: impl Fn(&Labels) -> Option<String>,
    ) -> Result<Stream<'q>, EvalError> {
        let mut drop_name = stream.drop_name().to_vec();
        let mut labels = Vec::with_capacity(drop_name.len());
        for (one, drop_name) in stream.labels().iter().zip(&mut drop_name) {
            match value(one) {
                Some(value) => {
                    labels.push(with(one, target, &value));
                    // A name that was given on purpose stays.
                    *drop_name &= target != METRIC_NAME;
                }
                None => labels.push(one.clone()),
            }
        }
        stream.relabel(labels, drop_name);
        self.one_series_a_label_set(stream)
    }

    /// Removes the names: from the answer, or if that is not delayed, at once.
    pub(super) fn without_names(&'q self, mut stream: Stream<'q>) -> Result<Stream<'q>, EvalError> {
        if self.options.delayed_name_removal {
            stream.mark_names();
            return Ok(stream);
        }
        let labels: Vec<Labels> = stream.labels().iter().map(without_metadata).collect();
        let drop_name = vec![true; labels.len()];
        stream.relabel(labels, drop_name);
        self.one_series_a_label_set(stream)
    }

    /// Series that have the same labels now become one.
    pub(super) fn one_series_a_label_set(&'q self, stream: Stream<'q>) -> Result<Stream<'q>, EvalError> {
        if all_differ(stream.labels().iter()) {
            return Ok(stream);
        }
        let Vector { series, held } = stream.collect()?;
        Ok(Stream::given(self, Vector { series: merge_same(series)?, held }))
    }
}

fn invalid(which: &str, function: &str, name: &[u8]) -> EvalError {
    let name = String::from_utf8_lossy(name);
    EvalError::Execution(format!("invalid {which} label name in {function}(): {name}"))
}
