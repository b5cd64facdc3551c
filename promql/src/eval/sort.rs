//! `sort` and its kin: the order of an instant vector.

use std::cmp::Ordering;

use super::EvalError;
use super::context::{Context, string_of};
use super::grid::Steps;
use super::order::compare;
use super::series::Series;
use super::stream::Stream;
use super::warnings;
use crate::ast::Call;
use crate::error::Span;
use crate::functions::FunctionId;
use crate::notes::Notes;

impl<'q> Context<'q> {
    pub(super) fn sorted(&'q self, call: &'q Call, span: Span, steps: Steps) -> Result<Stream<'q>, EvalError> {
        if steps.count > 1 {
            let mut notes = Notes::default();
            warnings::sort_in_range(span, &mut notes);
            self.note(notes);
        }
        let by_value = matches!(call.function.id, FunctionId::Sort | FunctionId::SortDesc);
        let mut stream = self.vector(&call.args[0], steps)?;
        if by_value {
            stream.map(|column| column.drop_histograms());
        }
        if steps.count > 1 {
            return Ok(stream);
        }
        let mut vector = stream.collect()?;
        let labels = call.args[1..].iter().map(string_of).collect::<Result<Vec<&str>, EvalError>>()?;
        match call.function.id {
            FunctionId::Sort => vector.series.sort_by(|a, b| nan_last(a, b, f64::total_cmp)),
            FunctionId::SortDesc => vector.series.sort_by(|a, b| nan_last(a, b, |a, b| b.total_cmp(a))),
            FunctionId::SortByLabel => vector.series.sort_by(|a, b| by_labels(a, b, &labels)),
            _ => vector.series.sort_by(|a, b| by_labels(b, a, &labels)),
        }
        Ok(Stream::given(self, vector))
    }
}

/// NaN stands behind everything, whichever way is up; zeros of both signs are the same.
fn nan_last(a: &Series, b: &Series, order: impl Fn(&f64, &f64) -> Ordering) -> Ordering {
    let value = |one: &Series| one.column.float(0).map_or(f64::NAN, |value| value + 0.0);
    let (a, b) = (value(a), value(b));
    a.is_nan().cmp(&b.is_nan()).then_with(|| if a.is_nan() { Ordering::Equal } else { order(&a, &b) })
}

/// By the values of some labels, numbers in them by size; then by all labels.
fn by_labels(a: &Series, b: &Series, names: &[&str]) -> Ordering {
    let value = |one: &Series, name: &str| one.labels.get(name).unwrap_or_default().to_owned();
    names
        .iter()
        .map(|name| natural(&value(a, name), &value(b, name)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| compare(&a.labels, &b.labels))
}

/// Runs of digits by their number, everything else by its characters.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (runs(a), runs(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = match (x.parse::<u64>(), y.parse::<u64>()) {
                    (Ok(x), Ok(y)) => x.cmp(&y),
                    _ => x.cmp(y),
                };
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

/// Pieces that are all digits, or have none.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digits = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        rest = behind;
        Some(run)
    })
}
