//! Aggregations.
//!
//! groups from labels ([`grouping`](super::grouping)) ─▶ sums, means, extremes, counts: folded as series come by
//! ([`tally`](super::tally)) · topk, bottomk: heaps a step ([`pick`](super::pick)) · quantile, count_values: all values

mod counted_values;
mod quantile;

use schemas::Labels;

use super::EvalError;
use super::context::{Context, label_of, unwrapped};
use super::grid::Steps;
use super::grouping::Groups;
use super::scalar::Scalars;
use super::series::{Series, Vector};
use super::stream::Stream;
use super::tally::Tally;
use super::warnings;
use crate::ast::{Aggregate, Expr};
use crate::column::Column;
use crate::error::Span;
use crate::histogram::Subject;
use crate::notes::Notes;
use crate::operator::Aggregator;
use crate::quote::quoted_bytes;

impl<'q> Context<'q> {
    pub(super) fn aggregate(
        &'q self,
        aggregate: &'q Aggregate,
        span: Span,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let input = unwrapped(&aggregate.expr);
        if aggregate.op == Aggregator::CountValues {
            let label = label_of(parameter(aggregate)?, |name| {
                EvalError::Execution(format!("invalid label name {}", quoted_bytes(name)))
            })?;
            return self.count_values(input, label, &aggregate.grouping, steps);
        }
        match aggregate.op {
            Aggregator::TopK | Aggregator::BottomK | Aggregator::LimitK => {
                let k = self.scalar(parameter(aggregate)?, steps)?;
                self.pick(aggregate, input, &k, span, steps)
            }
            Aggregator::LimitRatio => {
                let param = parameter(aggregate)?;
                let ratio = self.scalar(param, steps)?;
                self.limit_ratio(input, ratio, param.span, steps)
            }
            Aggregator::Quantile => {
                let param = parameter(aggregate)?;
                let quantile = self.scalar(param, steps)?;
                self.warn_of_quantiles(&quantile, param.span);
                self.quantile(input, &quantile, &aggregate.grouping, steps)
            }
            Aggregator::Sum
            | Aggregator::Avg
            | Aggregator::Count
            | Aggregator::Min
            | Aggregator::Max
            | Aggregator::Group
            | Aggregator::Stddev
            | Aggregator::Stdvar
            | Aggregator::CountValues => {
                let mut stream = self.vector(input, steps)?;
                let groups = Groups::new(stream.labels(), &aggregate.grouping);
                let tally = Tally {
                    op: aggregate.op,
                    groups: &groups.of_series,
                    count: groups.labels.len(),
                    drop_name: stream.drop_name().to_vec(),
                    steps: steps.count,
                    span: input.span,
                    budget: &self.budget,
                };
                let totals = stream.fold(&tally)?;
                let mut notes = Notes::default();
                let stream = self.grouped(groups.labels, tally.finish(totals, &mut notes));
                self.note(notes);
                stream
            }
        }
    }

    /// The series of groups: of each group that has any value, these, and whether its name is to be removed.
    fn grouped(
        &'q self,
        mut labels: Vec<Labels>,
        columns: impl Iterator<Item = (usize, Column, bool)>,
    ) -> Result<Stream<'q>, EvalError> {
        let mut series = Vec::with_capacity(labels.len());
        let (mut samples, mut bytes) = (0, 0);
        for (group, column, drop_name) in columns.filter(|(_, column, _)| !column.has_nothing()) {
            samples += column.samples();
            bytes += column.bytes();
            series.push(Series { labels: std::mem::take(&mut labels[group]), drop_name, column });
        }
        let mut held = self.budget.hold_nothing();
        held.add(samples, bytes)?;
        Ok(Stream::given(self, Vector { series, held }))
    }

    fn warn_of_quantiles(&self, quantile: &Scalars, span: Span) {
        let mut notes = Notes::default();
        let subject = Subject { metric: "", span };
        let values = quantile.values();
        if values.iter().any(|value| value.is_nan()) {
            subject.check_quantile(f64::NAN, &mut notes);
        }
        let (least, most) = extremes(values);
        [least, most]
            .iter()
            .filter(|value| value.is_finite())
            .for_each(|value| subject.check_quantile(*value, &mut notes));
        self.note(notes);
    }

    fn limit_ratio(
        &'q self,
        input: &'q Expr,
        ratio: Scalars,
        span: Span,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let (least, most) = extremes(ratio.values());
        let mut stream = self.vector(input, steps)?;
        if ratio.values().iter().all(|ratio| *ratio == 0.0) {
            return Ok(Stream::nothing(self));
        }
        if ratio.values().iter().any(|ratio| ratio.is_nan()) {
            return Err(EvalError::Execution("Ratio value is NaN".to_owned()));
        }
        let mut notes = Notes::default();
        if most > 1.0 {
            warnings::invalid_ratio(most, 1.0, span, &mut notes);
        }
        if least < -1.0 {
            warnings::invalid_ratio(least, -1.0, span, &mut notes);
        }
        self.note(notes);
        stream.push(move |labels, column, _| {
            let offset = super::pick::sampling_offset(labels);
            for step in 0..column.len() {
                let ratio = ratio.at(step).clamp(-1.0, 1.0);
                if !((ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)) {
                    column.clear(step);
                }
            }
            Ok(())
        });
        Ok(stream)
    }
}

/// The least and the greatest, NaN aside.
pub(super) fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)))
}

fn parameter(aggregate: &Aggregate) -> Result<&Expr, EvalError> {
    aggregate
        .param
        .as_ref()
        .map(unwrapped)
        .ok_or_else(|| EvalError::Invalid(format!("no parameter of aggregation {}", aggregate.op.as_str())))
}
