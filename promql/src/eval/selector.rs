//! Selectors: which series, which windows, and what is wanted of them.
//!
//! Where a function of a range stands directly above a selector, the storage is asked for its values, not for points.

use std::sync::Mutex;

use schemas::labels::METRIC_NAME;
use schemas::points::is_stale;
use schemas::{Labels, Points};

use super::EvalError;
use super::context::Context;
use super::grid::Steps;
use super::resets::told;
use super::stream::Stream;
use super::warnings;
use crate::ast::{At, Edges, MatrixSelector, Modifiers, VectorSelector};
use crate::column::Column;
use crate::error::Span;
use crate::histogram::Subject;
use crate::notes::Notes;
use crate::range::{self, Args, RangeCall, RangeError, RangeFunction};
use crate::starts::Starts;
use crate::storage::{Selection, SeriesData, Wanted, Windows};

/// A call of a range function, without its series.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: RangeFunction,
    pub(super) args: Args,
    /// Of the first argument.
    pub(super) span: Span,
}

impl<'q> Context<'q> {
    /// The newest sample at each step.
    pub(super) fn instant(
        &'q self,
        selector: &'q VectorSelector,
        span: Span,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        if selector.edges == Edges::Smoothed {
            return self.smoothed(selector, span, steps);
        }
        let windows = self.windows(&selector.modifiers, steps, self.options.lookback_ms)?;
        let counted = self.counted.contains(&span.start);
        let wanted = if counted { Wanted::Points } else { Wanted::Last };
        let selection = Selection { matchers: selector.all_matchers(), windows, wanted };
        let set = self.storage.select(&selection)?;
        let reader = Box::new(move |_: &Labels, data: SeriesData<'_>, out: &mut Column, _: &mut Notes| {
            self.read(data, &windows, out, steps.count, |points, _, out| {
                with_resets(points, counted, &windows, |points| range::last(points, &windows, out));
                Ok(())
            })
        });
        Ok(Stream::selected(self, set, reader))
    }

    /// A value at each step, between the samples before and behind it.
    fn smoothed(&'q self, selector: &'q VectorSelector, span: Span, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let lookback = self.options.lookback_ms;
        let windows = self.windows(&selector.modifiers, steps, lookback)?;
        let reach = Windows {
            first_end: windows.first_end.saturating_add(lookback),
            range: lookback.saturating_mul(2),
            ..windows
        };
        let selection = Selection { matchers: selector.all_matchers(), windows: reach, wanted: Wanted::Points };
        let set = self.storage.select(&selection)?;
        let reader = Box::new(move |labels: &Labels, data: SeriesData<'_>, out: &mut Column, notes: &mut Notes| {
            let subject = Subject { metric: labels.get(METRIC_NAME).unwrap_or_default(), span };
            self.read(data, &reach, out, steps.count, |points, _, out| {
                range::smoothed(points, &windows, &subject, out, notes);
                Ok(())
            })
        });
        Ok(Stream::selected(self, set, reader))
    }

    /// A range function over the points of a selector.
    pub(super) fn over_range(
        &'q self,
        call: Call,
        matrix: &'q MatrixSelector,
        at: Span,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let selector = &matrix.selector;
        let edges = selector.edges;
        if !call.function.allows(edges) {
            return Err(EvalError::Execution(refused_edges(edges, call.function)));
        }
        let windows = self.windows(&selector.modifiers, steps, self.length(&matrix.range)?)?;
        let counted = self.counted.contains(&at.start);
        let wanted = match call.args.as_constants() {
            Some(args)
                if edges == Edges::Plain && windows.count == steps.count && asks_storage(call.function) && !counted =>
            {
                let function = match call.function {
                    RangeFunction::AbsentOverTime => RangeFunction::PresentOverTime,
                    function => function,
                };
                Wanted::Function { function, args }
            }
            _ => Wanted::Points,
        };
        let reach = with_edges(windows, edges, self.options.lookback_ms);
        let selection = Selection { matchers: selector.all_matchers(), windows: reach, wanted };
        let set = self.storage.select(&selection)?;
        let (function, span) = (call.function, call.span);
        let reader = Box::new(move |labels: &Labels, data: SeriesData<'_>, out: &mut Column, notes: &mut Notes| {
            self.read(data, &reach, out, steps.count, |points, starts, out| {
                let call = self.range_call(&call, labels, edges, steps);
                with_resets(points, counted, &reach, |points| match starts {
                    Some(starts) => range::evaluate_started(&call, points, starts, &windows, out, notes),
                    None => range::evaluate(&call, points, &windows, out, notes),
                })
                .map_err(failed)
            })
        });
        let mut stream = Stream::selected(self, set, reader);
        self.suspect_gauges(&mut stream, function, span);
        Ok(stream)
    }

    /// A range function over the values of a subquery; `windows` have one end a step, or one for all.
    pub(super) fn over_values(
        &'q self,
        call: Call,
        mut stream: Stream<'q>,
        inner: Steps,
        windows: Windows,
        steps: Steps,
    ) -> Stream<'q> {
        let (function, span) = (call.function, call.span);
        stream.push(move |labels, column, notes| {
            let points = super::subquery::points_of(column, inner);
            column.reset(steps.count);
            let call = self.range_call(&call, labels, Edges::Plain, steps);
            range::evaluate(&call, &points, &windows, column, notes).map_err(failed)
        });
        self.suspect_gauges(&mut stream, function, span);
        stream
    }

    /// The samples of a selector themselves.
    pub(super) fn points(
        &'q self,
        matrix: &'q MatrixSelector,
        at: i64,
        sink: &mut dyn FnMut(&Labels, Points) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let edges = matrix.selector.edges;
        let windows = self.windows(&matrix.selector.modifiers, Steps::one(at), self.length(&matrix.range)?)?;
        let reach = with_edges(windows, edges, self.options.lookback_ms);
        let selection = Selection { matchers: matrix.selector.all_matchers(), windows: reach, wanted: Wanted::Points };
        let set = self.storage.select(&selection)?;
        let mut failure = None;
        let read = set.read(0..set.labels().len(), &mut |at, data| {
            let outcome = self.stop.check().and_then(|()| match data {
                SeriesData::Points(points) | SeriesData::Started(points, _) => {
                    let samples = samples_in(points, &reach);
                    self.budget.look_at(samples.len());
                    sink(&set.labels()[at], with_edge_samples(samples, &windows, edges)?)
                }
                SeriesData::Column(_) => Ok(()),
            });
            outcome.map_err(|error| {
                failure = Some(error);
                crate::storage::StorageError::Stopped
            })
        });
        self.note(set.notes());
        match failure {
            Some(error) => Err(error),
            None => Ok(read?),
        }
    }

    /// Fills a column from points, or takes the one that the storage made.
    pub(super) fn read(
        &self,
        data: SeriesData<'_>,
        windows: &Windows,
        out: &mut Column,
        steps: usize,
        evaluate: impl FnOnce(&Points, Option<&Starts>, &mut Column) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let starts = match &data {
            SeriesData::Started(_, starts) => Some(*starts).filter(|_| self.options.start_timestamps),
            SeriesData::Points(_) | SeriesData::Column(_) => None,
        };
        match data {
            SeriesData::Points(points) | SeriesData::Started(points, _) => {
                let (first, last) = windows.span();
                self.budget.look_at(points.index_range(first, last.saturating_add(1)).len());
                out.reset(steps);
                evaluate(points, starts, out)
            }
            SeriesData::Column(column) => {
                self.budget.look_at(column.len());
                *out = column;
                if out.len() < steps {
                    out.repeat(steps);
                }
                Ok(())
            }
        }
    }

    fn range_call<'a>(&self, call: &'a Call, labels: &'a Labels, edges: Edges, steps: Steps) -> RangeCall<'a> {
        RangeCall {
            function: call.function,
            args: &call.args,
            edges,
            lookback: self.options.lookback_ms,
            steps: (steps.start, steps.step),
            subject: Subject { metric: labels.get(METRIC_NAME).unwrap_or_default(), span: call.span },
        }
    }

    /// Remarks where `rate` and `increase` have values of what does not look like a counter.
    fn suspect_gauges(&'q self, stream: &mut Stream<'q>, function: RangeFunction, span: Span) {
        if !matches!(function, RangeFunction::Rate | RangeFunction::Increase) {
            return;
        }
        // Series of one metric come one after the other, as a rule: a name is looked at once.
        let seen: Mutex<Option<String>> = Mutex::default();
        let by_type = self.options.type_and_unit_labels;
        stream.push(move |labels, column, notes| {
            let metric = labels.get(METRIC_NAME).unwrap_or_default();
            if metric.is_empty() || (!by_type && warnings::sounds_like_counter(metric)) {
                return Ok(());
            }
            let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if (by_type || seen.as_deref() != Some(metric)) && (0..column.len()).any(|at| column.float(at).is_some()) {
                warnings::possible_non_counter(
                    by_type,
                    metric,
                    labels.get("__type__").unwrap_or_default(),
                    span,
                    notes,
                );
                *seen = Some(metric.to_owned());
            }
            Ok(())
        });
    }

    /// The windows of a selector: one a step, or with `@` one for all.
    pub(super) fn windows(&self, modifiers: &Modifiers, steps: Steps, range: i64) -> Result<Windows, EvalError> {
        let offset = self.offset(modifiers.offset.as_ref())?;
        Ok(self.windows_at(self.fixed_time(modifiers), offset, steps, range))
    }

    pub(super) fn windows_at(&self, at: Option<i64>, offset: i64, steps: Steps, range: i64) -> Windows {
        match at {
            Some(at) => Steps::one(at).windows(offset, range),
            None => steps.windows(offset, range),
        }
    }

    /// The time of `@`, ms.
    pub(super) fn fixed_time(&self, modifiers: &Modifiers) -> Option<i64> {
        let (start, end, _) = self.query_range();
        modifiers.at.map(|at| match at {
            At::Time(time) => time.0,
            At::Start => start,
            At::End => end,
        })
    }
}

/// Histograms that know whether they were reset, where that is wanted.
fn with_resets<T>(points: &Points, counted: bool, windows: &Windows, evaluate: impl FnOnce(&Points) -> T) -> T {
    if !counted || points.histograms.is_empty() {
        return evaluate(points);
    }
    let (first, last) = windows.span();
    evaluate(&told(points.slice(points.index_range(first, last.saturating_add(1)))))
}

/// Whether the values follow from the windows alone.
fn asks_storage(function: RangeFunction) -> bool {
    // It counts from the step, which an offset separates from the window.
    function != RangeFunction::PredictLinear
}

fn failed(error: RangeError) -> EvalError {
    EvalError::Execution(error.to_string())
}

fn refused_edges(edges: Edges, function: RangeFunction) -> String {
    let word = if edges == Edges::Anchored { "anchored" } else { "smoothed" };
    let mut allowed: Vec<&str> =
        RangeFunction::ALL.iter().filter(|function| function.allows(edges)).map(|function| function.name()).collect();
    allowed.sort_unstable();
    format!("{word} modifier can only be used with: {} - not with {}", allowed.join(", "), function.name())
}

/// Wide enough for what edges are made of.
fn with_edges(windows: Windows, edges: Edges, lookback: i64) -> Windows {
    match edges {
        Edges::Plain => windows,
        Edges::Anchored => Windows { range: windows.range.saturating_add(lookback), ..windows },
        Edges::Smoothed => Windows {
            first_end: windows.first_end.saturating_add(lookback),
            range: windows.range.saturating_add(lookback.saturating_mul(2)),
            ..windows
        },
    }
}

/// The samples in the only window.
fn samples_in(points: &Points, windows: &Windows) -> Points {
    let (first, last) = windows.span();
    let mut samples = points.slice(points.index_range(first, last.saturating_add(1)));
    if samples.values.iter().any(|value| is_stale(*value)) {
        let mut kept = Points { histograms: std::mem::take(&mut samples.histograms), ..Points::default() };
        samples.iter().filter(|(_, value)| !is_stale(*value)).for_each(|(time, value)| kept.push(time, value));
        samples = kept;
    }
    samples
}

/// With a sample at each edge of the window, where the selector asks for that.
fn with_edge_samples(samples: Points, windows: &Windows, edges: Edges) -> Result<Points, EvalError> {
    if edges == Edges::Plain {
        return Ok(samples);
    }
    if !samples.histograms.is_empty() {
        let word = if edges == Edges::Anchored { "anchored" } else { "smoothed" };
        return Err(EvalError::Execution(format!("{word} modifier is not supported with histograms")));
    }
    let end = windows.end(0);
    let start = end.saturating_sub(windows.range);
    let (times, values) = range::extended(&samples.timestamps, &samples.values, start, end, edges).into_iter().unzip();
    Ok(Points::new(times, values))
}
