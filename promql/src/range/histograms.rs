//! Windows of series that have native histograms, beside floats or alone: one window after the other.

use std::sync::Arc;

use schemas::histogram::{Histogram, ResetHint};
use schemas::rollup::Sampled;

use super::RangeError;
use super::call::{RangeCall, RangeFunction};
use super::samples::{Cursor, Samples};
use super::window::{Floats, Known, is_change, is_fall};
use crate::column::{Column, Value};
use crate::histogram::{
    Bounds, Incompatible, Mean, Operation, Subject, Sum, add, compact, divide, equal, is_reset, multiply, reduced,
    subtract, uses_custom_buckets,
};
use crate::math::{float_of, seconds};
use crate::notes::Notes;
use crate::starts::Starts;
use crate::storage::Windows;

/// See [`super::evaluate`].
pub(super) fn column(
    call: &RangeCall<'_>,
    samples: &Samples<'_>,
    windows: &Windows,
    out: &mut Column,
    notes: &mut Notes,
) -> Result<(), RangeError> {
    let (mut floats, mut histograms) = (Cursor::default(), Cursor::default());
    for step in 0..out.len() {
        let end = windows.end(if windows.count == 1 { 0 } else { step });
        let floats = floats.advance(&*samples.timestamps, end, windows.range);
        let histograms = histograms.advance(&*samples.histograms, end, windows.range);
        if floats.is_empty() && histograms.is_empty() {
            continue;
        }
        check_factors(call, step)?;
        let (timestamps, values) = (&samples.timestamps[floats.clone()], &samples.values[floats]);
        let window = Window {
            floats: Floats { timestamps, values, starts: samples.starts, end, range: windows.range },
            histograms: &samples.histograms[histograms],
        };
        if let Some(value) = window.evaluate(call, step, notes) {
            out.set(step, value);
        }
    }
    Ok(())
}

/// The arguments of `double_exponential_smoothing` must lie between 0 and 1.
pub(super) fn check_factors(call: &RangeCall<'_>, step: usize) -> Result<(), RangeError> {
    if call.function != RangeFunction::DoubleExponentialSmoothing {
        return Ok(());
    }
    let is_invalid = |factor: f64| factor <= 0.0 || factor >= 1.0;
    let (smoothing, trend) = (call.args.at(0, step), call.args.at(1, step));
    if is_invalid(smoothing) {
        return Err(RangeError::SmoothingFactor(smoothing));
    }
    if is_invalid(trend) { Err(RangeError::TrendFactor(trend)) } else { Ok(()) }
}

/// A histogram and its time, ms.
pub(super) type Timed = (i64, Arc<Histogram>);

/// The samples of a window: at least one, of either kind.
struct Window<'a> {
    floats: Floats<'a>,
    histograms: &'a [Timed],
}

/// A sample of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sample<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Sample<'_> {
    fn value(self) -> Value {
        match self {
            Self::Float(value) => Value::Float(value),
            Self::Histogram(histogram) => Value::Histogram(Arc::clone(histogram)),
        }
    }
}

/// Samples of both kinds, by time.
pub(super) fn merged<'a>(timestamps: &[i64], values: &[f64], histograms: &'a [Timed]) -> Vec<(i64, Sample<'a>)> {
    let floats = timestamps.iter().zip(values).map(|(&ts, &value)| (ts, Sample::Float(value)));
    let histograms = histograms.iter().map(|(ts, histogram)| (*ts, Sample::Histogram(histogram)));
    let mut samples: Vec<_> = floats.chain(histograms).collect();
    samples.sort_by_key(|(ts, _)| *ts);
    samples
}

/// `resets` or `changes` of samples in order.
pub(super) fn count_events(function: RangeFunction, samples: &[(i64, Sample<'_>)], starts: Option<&Starts>) -> f64 {
    let of_resets = function == RangeFunction::Resets;
    let began = |before, ts| of_resets && starts.is_some_and(|starts| starts.began_between(before, ts));
    let happened = |old, new| match (old, new) {
        (Sample::Float(old), Sample::Float(new)) => {
            if of_resets {
                is_fall(old, new)
            } else {
                is_change(old, new)
            }
        }
        (Sample::Histogram(old), Sample::Histogram(new)) => {
            if of_resets {
                is_reset(new, old)
            } else {
                !equal(new, old)
            }
        }
        _ => true,
    };
    float_of(samples.windows(2).filter(|pair| happened(pair[0].1, pair[1].1) || began(pair[0].0, pair[1].0)).count())
}

impl Window<'_> {
    fn evaluate(&self, call: &RangeCall<'_>, step: usize, notes: &mut Notes) -> Option<Value> {
        use RangeFunction as F;
        let subject = call.subject;
        match call.function {
            F::Rate | F::Increase | F::Delta | F::SumOverTime | F::AvgOverTime => self.of_one_kind(call, step, notes),
            F::Irate | F::Idelta => self.of_last_two(call.function, subject, notes),
            F::FirstOverTime => self.samples().first().map(|(_, sample)| sample.value()),
            F::LastOverTime => self.samples().last().map(|(_, sample)| sample.value()),
            F::TsOfFirstOverTime => self.samples().first().map(|(ts, _)| Value::Float(seconds(*ts))),
            F::TsOfLastOverTime => self.samples().last().map(|(ts, _)| Value::Float(seconds(*ts))),
            F::CountOverTime => Some(Value::Float(float_of(self.floats.values.len() + self.histograms.len()))),
            F::AbsentOverTime | F::PresentOverTime => Some(Value::Float(1.0)),
            F::Resets | F::Changes => {
                Some(Value::Float(count_events(call.function, &self.samples(), self.floats.starts)))
            }
            F::Deriv
            | F::DoubleExponentialSmoothing
            | F::MadOverTime
            | F::MaxOverTime
            | F::MinOverTime
            | F::PredictLinear
            | F::QuantileOverTime
            | F::StddevOverTime
            | F::StdvarOverTime
            | F::TsOfMaxOverTime
            | F::TsOfMinOverTime => self.of_floats(call, step, notes),
        }
    }

    fn samples(&self) -> Vec<(i64, Sample<'_>)> {
        merged(self.floats.timestamps, self.floats.values, self.histograms)
    }

    /// Functions of floats leave out histograms.
    fn of_floats(&self, call: &RangeCall<'_>, step: usize, notes: &mut Notes) -> Option<Value> {
        if self.floats.values.is_empty() {
            return None;
        }
        if call.function == RangeFunction::QuantileOverTime {
            call.subject.check_quantile(call.args.at(0, step), notes);
        }
        if !self.histograms.is_empty() {
            call.subject.histograms_ignored(notes);
        }
        self.floats.evaluate(call, step).map(Value::Float)
    }

    /// Functions that have no value where both kinds meet.
    fn of_one_kind(&self, call: &RangeCall<'_>, step: usize, notes: &mut Notes) -> Option<Value> {
        if self.histograms.is_empty() {
            self.check_starts(call.subject, notes);
            return self.floats.evaluate(call, step).map(Value::Float);
        }
        if !self.floats.values.is_empty() {
            call.subject.mixed_with_floats(notes);
            return None;
        }
        let histogram = match call.function {
            RangeFunction::SumOverTime => sum(self.histograms, call.subject, notes),
            RangeFunction::AvgOverTime => average(self.histograms, call.subject, notes),
            _ => self.extrapolated(call, notes),
        };
        histogram.map(|histogram| Value::Histogram(Arc::new(histogram)))
    }

    /// `rate`, `increase` or `delta`.
    fn extrapolated(&self, call: &RangeCall<'_>, notes: &mut Notes) -> Option<Histogram> {
        let Floats { end, range, starts, .. } = self.floats;
        let [(first_ts, first), ..] = self.histograms else { return None };
        let (count, last_ts) = (self.histograms.len(), self.histograms[self.histograms.len() - 1].0);
        let from = end.saturating_sub(range);
        let (change, factor) = if let Some(start) = starts.and_then(|starts| starts.within(from, *first_ts)) {
            let known = Known { start, first_ts: *first_ts, last_ts, count };
            (self.since_start(first, call.subject, notes)?, known.extrapolation(end))
        } else if count < 2 {
            return None;
        } else {
            let is_counter = call.function.is_counter();
            let change = change(self.histograms, starts, is_counter, call.subject, notes)?;
            let spread = Sampled { count, first_ts: *first_ts, last_ts }.spread(from, end)?;
            let factor = match is_counter {
                true => spread.extrapolation_of_counter(first.count, change.count),
                false => spread.extrapolation(),
            };
            (change, factor)
        };
        Some(multiply(&change, if call.function.is_per_second() { factor / seconds(range) } else { factor }))
    }

    /// The increase of a counter that began in the window: the first histogram, and what came after it.
    fn since_start(&self, first: &Histogram, subject: Subject<'_>, notes: &mut Notes) -> Option<Histogram> {
        if self.histograms.len() == 1 {
            return Some(first.clone());
        }
        let change = change(self.histograms, self.floats.starts, true, subject, notes)?;
        let Ok(increase) = add(&change, first) else {
            subject.mixed_schemas(notes);
            return None;
        };
        if increase.noticed.bounds_differed {
            subject.bounds_reconciled(Operation::Addition, notes);
        }
        Some(increase.histogram)
    }

    /// Says where a float's counter began before the float in front of it.
    fn check_starts(&self, subject: Subject<'_>, notes: &mut Notes) {
        let Some(starts) = self.floats.starts else { return };
        if self.floats.timestamps.windows(2).any(|pair| starts.overlap(pair[0], pair[1])) {
            subject.starts_overlap(notes);
        }
    }

    /// `irate` or `idelta`: of the last two samples, if they are of one kind.
    fn of_last_two(&self, function: RangeFunction, subject: Subject<'_>, notes: &mut Notes) -> Option<Value> {
        let samples = self.samples();
        let [.., (old_ts, old), (new_ts, new)] = &*samples else {
            return None;
        };
        match (old, new) {
            (Sample::Float(_), Sample::Float(_)) => self.floats.instant(function).map(Value::Float),
            (Sample::Histogram(old), Sample::Histogram(new)) => {
                let began = self.floats.starts.is_some_and(|starts| starts.began_between(*old_ts, *new_ts));
                let change = change_of_two(old, new, began, function.is_counter(), subject, notes)?;
                let elapsed = seconds(new_ts - old_ts);
                let value = if function.is_per_second() { divide(&change, elapsed) } else { change };
                Some(Value::Histogram(Arc::new(value)))
            }
            _ => {
                subject.mixed_with_floats(notes);
                None
            }
        }
    }
}

fn sum(histograms: &[Timed], subject: Subject<'_>, notes: &mut Notes) -> Option<Histogram> {
    let mut sum = Sum::new(&histograms[0].1);
    for (_, histogram) in &histograms[1..] {
        if sum.add(histogram).is_err() {
            subject.mixed_schemas(notes);
            return None;
        }
    }
    subject.noticed(sum.noticed(), Operation::Aggregation, notes);
    Some(sum.histogram())
}

fn average(histograms: &[Timed], subject: Subject<'_>, notes: &mut Notes) -> Option<Histogram> {
    let mut mean = Mean::new(&histograms[0].1);
    for (_, histogram) in &histograms[1..] {
        if mean.add(histogram).is_err() {
            subject.mixed_schemas(notes);
            return None;
        }
    }
    subject.noticed(mean.noticed(), Operation::Aggregation, notes);
    Some(mean.histogram())
}

fn is_gauge(histogram: &Histogram) -> bool {
    histogram.reset_hint == ResetHint::Gauge
}

/// Last minus first of two or more histograms; of counters, with what resets took away. What is said of kinds is of
/// no interest where exponential and custom buckets meet between the ends.
fn change(
    histograms: &[Timed],
    starts: Option<&Starts>,
    is_counter: bool,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> Option<Histogram> {
    let mut said = Notes::default();
    match change_of(histograms, starts, is_counter, subject, &mut said) {
        Ok(change) => {
            notes.merge(said);
            change
        }
        Err(Incompatible) => {
            subject.mixed_schemas(notes);
            None
        }
    }
}

fn change_of(
    histograms: &[Timed],
    starts: Option<&Starts>,
    is_counter: bool,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> Result<Option<Histogram>, Incompatible> {
    let (first, second, last) = (&histograms[0].1, &histograms[1].1, &histograms[histograms.len() - 1].1);
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        subject.not_a_counter(notes);
    }
    let began = |at: usize| starts.is_some_and(|starts| starts.began_between(histograms[at - 1].0, histograms[at].0));
    // Before a reset, the layout of the first does not matter.
    let nothing = Arc::new(Histogram {
        schema: second.schema,
        custom_values: second.custom_values.clone(),
        ..Histogram::default()
    });
    let first = if is_counter && (began(1) || is_reset(second, first)) { &nothing } else { first };
    let is_custom = uses_custom_buckets(first);
    if uses_custom_buckets(last) != is_custom {
        subject.mixed_schemas(notes);
        return Ok(None);
    }
    let mut schema = first.schema.min(last.schema);
    if is_counter {
        for (_, histogram) in &histograms[1..histograms.len() - 1] {
            if is_gauge(histogram) {
                subject.not_a_counter(notes);
            }
            schema = schema.min(histogram.schema);
            if uses_custom_buckets(histogram) != is_custom {
                return Err(Incompatible);
            }
        }
    }
    let mut change = Sum::new(&reduced(last, schema));
    if change.subtract(first)? == Bounds::Differed {
        subject.bounds_reconciled(Operation::Subtraction, notes);
    }
    if is_counter {
        let mut before = first;
        let overlap = |starts: &Starts| histograms.windows(2).any(|pair| starts.overlap(pair[0].0, pair[1].0));
        if starts.is_some_and(overlap) {
            subject.starts_overlap(notes);
        }
        for (at, (_, histogram)) in histograms.iter().enumerate().skip(1) {
            if (began(at) || is_reset(histogram, before)) && change.add(before)? == Bounds::Differed {
                subject.bounds_reconciled(Operation::Addition, notes);
            }
            before = histogram;
        }
    } else if !is_gauge(&histograms[0].1) || !is_gauge(last) {
        subject.not_a_gauge(notes);
    }
    Ok(Some(Histogram { reset_hint: ResetHint::Gauge, ..compact(change.histogram()) }))
}

/// The newer minus the older; of counters, the newer alone after a reset, which `began` tells before the values do.
fn change_of_two(
    old: &Histogram,
    new: &Arc<Histogram>,
    began: bool,
    is_counter: bool,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> Option<Histogram> {
    if is_counter && (is_gauge(old) || is_gauge(new)) {
        subject.not_a_counter(notes);
    }
    if !is_counter && (!is_gauge(old) || !is_gauge(new)) {
        subject.not_a_gauge(notes);
    }
    let mut change = Histogram::clone(new);
    if !is_counter || !(began || is_reset(new, old)) {
        let Ok(difference) = subtract(new, old) else {
            subject.mixed_schemas(notes);
            return None;
        };
        if difference.noticed.bounds_differed {
            subject.bounds_reconciled(Operation::Subtraction, notes);
        }
        change = difference.histogram;
    }
    Some(Histogram { reset_hint: ResetHint::Gauge, ..compact(change) })
}
