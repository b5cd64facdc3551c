//! `label_replace` and `label_join`: they look at labels alone, so values go on as they come.

use schemas::Labels;
use schemas::labels::{LabelsBuilder, METRIC_NAME};

use super::EvalError;
use super::context::{Context, label_of, string_of};
use super::grid::Steps;
use super::labels::without_metadata;
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
        self.relabelled(stream, target, |labels, text| {
            let captures = regex.captures(labels.get(source).unwrap_or_default());
            captures.map(|captures| captures.expand(replacement, text)).is_some()
        })
    }

    pub(super) fn label_join(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let separator = string_of(&call.args[2])?;
        let sources = call.args[3..].iter().map(|arg| label_of(arg, |name| invalid("source", "label_join", name)));
        let sources = sources.collect::<Result<Vec<&str>, EvalError>>()?;
        let target = label_of(&call.args[1], |name| invalid("destination", "label_join", name))?;
        let stream = self.vector(&call.args[0], steps)?;
        self.relabelled(stream, target, |labels, text| {
            for (nth, source) in sources.iter().enumerate() {
                text.push_str(if nth > 0 { separator } else { "" });
                text.push_str(labels.get(source).unwrap_or_default());
            }
            true
        })
    }

    /// Gives `target` the value that `write` writes of the labels, where it does.
    fn relabelled(
        &'q self,
        mut stream: Stream<'q>,
        target: &str,
        write: impl Fn(&Labels, &mut String) -> bool,
    ) -> Result<Stream<'q>, EvalError> {
        let mut drop_name = stream.drop_name().to_vec();
        let (mut builder, mut value, mut changed) = (LabelsBuilder::default(), String::new(), Vec::new());
        for (at, one) in stream.labels().enumerate() {
            value.clear();
            if !write(one, &mut value) {
                continue;
            }
            // A name that was given on purpose stays.
            drop_name[at] &= target != METRIC_NAME;
            if one.get(target).unwrap_or_default() != value {
                changed.push((at, builder.with(one, target, &value)));
            }
        }
        if changed.is_empty() && stream.has_labels_of_storage() {
            // No two were the same before.
            stream.set_drop_name(drop_name);
            return Ok(stream);
        }
        let mut labels: Vec<Labels> = stream.labels().cloned().collect();
        changed.into_iter().for_each(|(at, now)| labels[at] = now);
        stream.relabel(labels, drop_name);
        self.one_series_a_label_set(stream)
    }

    /// Removes the names: from the answer, or if that is not delayed, at once.
    pub(super) fn without_names(&'q self, mut stream: Stream<'q>) -> Result<Stream<'q>, EvalError> {
        if self.options.delayed_name_removal {
            let drop_name = vec![true; stream.len()];
            stream.set_drop_name(drop_name);
            return Ok(stream);
        }
        let mut builder = LabelsBuilder::default();
        let labels: Vec<Labels> = stream.labels().map(|one| without_metadata(one, &mut builder)).collect();
        let drop_name = vec![true; labels.len()];
        stream.relabel(labels, drop_name);
        self.one_series_a_label_set(stream)
    }

    /// Series that have the same labels now become one.
    pub(super) fn one_series_a_label_set(&'q self, stream: Stream<'q>) -> Result<Stream<'q>, EvalError> {
        if all_differ(stream.labels()) {
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
