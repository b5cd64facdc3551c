//! `count_values`: a series for each value of a group, with how often it stands there.

use hashbrown::HashMap;
use schemas::labels::LabelsBuilder;

use super::super::EvalError;
use super::super::context::Context;
use super::super::grid::Steps;
use super::super::grouping::Groups;
use super::super::series::{Series, Vector};
use super::super::stream::Stream;
use crate::ast::{Expr, Grouping};
use crate::column::{Column, Value};
use crate::histogram::describe;

impl<'q> Context<'q> {
    pub(super) fn count_values(
        &'q self,
        input: &'q Expr,
        label: &str,
        grouping: &Grouping,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        // The value replaces what the label had, so that series fall into groups by the others.
        let (others, shows_value) = match grouping {
            Grouping::By(names) => (Grouping::By(names.iter().filter(|name| *name != label).cloned().collect()), true),
            Grouping::Without(names) => {
                let shows_value = !names.iter().any(|name| name == label);
                let names = names.iter().cloned().chain([label.to_owned()]).collect();
                (Grouping::Without(names), shows_value)
            }
        };
        let vector = self.vector(input, steps)?.collect()?;
        let groups = Groups::new(vector.series.iter().map(|one| &one.labels), &others);
        let mut builder = LabelsBuilder::default();
        let mut places: HashMap<(usize, String), usize> = HashMap::new();
        let (mut counted, mut held) = (Vec::<Series>::new(), self.budget.hold_nothing());
        for (one, group) in vector.series.iter().zip(&groups.of_series) {
            self.stop.check()?;
            for (step, value) in one.column.iter() {
                let text = if shows_value { text_of(&value) } else { String::new() };
                let place = match places.get(&(*group, text.clone())) {
                    Some(place) => *place,
                    None => {
                        held.add(steps.count, steps.count * size_of::<f64>())?;
                        let labels = builder.with(&groups.labels[*group], label, &text);
                        counted.push(Series { labels, drop_name: false, column: Column::empty(steps.count) });
                        places.insert((*group, text), counted.len() - 1);
                        counted.len() - 1
                    }
                };
                let column = &mut counted[place].column;
                column.set_float(step, column.float(step).unwrap_or(0.0) + 1.0);
            }
        }
        Ok(Stream::given(self, Vector { series: counted, held }))
    }
}

/// As Prometheus writes a value in a label.
fn text_of(value: &Value) -> String {
    match value {
        Value::Float(value) if value.is_nan() => "NaN".to_owned(),
        Value::Float(value) if value.is_infinite() => if *value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        Value::Float(value) => value.to_string(),
        Value::Histogram(histogram) => describe(histogram),
    }
}
