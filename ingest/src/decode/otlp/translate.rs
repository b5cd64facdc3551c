//! From data points to samples of series.
//!
//! resource, scope ─▶ [`Context`] ┐
//! metric ─▶ [`Family`] ──────────┼▶ data point ─▶ its [`Part`]s ─▶ series of each ─▶ total, if it is a delta ─▶ batch
//!
//! Decoders call in the order of the request: [`Translator::resource`], [`Translator::scope`], [`Translator::metric`], its
//! points, and [`Translator::end_resource`], which tells what the resource is (`target_info`).

use std::borrow::Cow;
use std::sync::Arc;

use schemas::histogram::Histogram;
use schemas::labels::hash_canonical;
use schemas::points::stale;
use schemas::{PointBatch, RejectReason};

use super::deltas::Session;
use super::histograms::{custom, exponential};
use super::labels::{Context, LabelSet};
use super::names::{Kind, unit_in_words};
use super::points::{Attributes, Explicit, Exponential, Head, Number, Shape, Summary, Temporality, rounded};
use super::{DecodeError, Decoded, Scope, Settings};
use crate::canonical::{settle, write_series};
use crate::decode::native_histogram::NativeSample;
use crate::decode::{Collector, Origins};

/// Samples of `target_info` are so far apart: half of what a query looks back.
const INFO_EVERY_MS: i64 = 150_000;

/// A request being translated.
pub(super) struct Translator<'d, 's, 'b, 'x> {
    settings: &'d Settings,
    context: Context<'d>,
    emitter: Emitter<'d, 's, 'b, 'x>,
    /// Data points seen so far.
    data_points: u64,
    /// The first and the last time of a point of the resource that was taken, in ms.
    times: Option<(i64, i64)>,
}

/// A metric under the name that it has here.
#[derive(Debug)]
pub(super) struct Family {
    name: Result<String, RejectReason>,
    temporality: Temporality,
}

/// One of the samples that a data point becomes.
struct Part<'p> {
    suffix: &'static str,
    extra: Option<(&'static str, Cow<'p, str>)>,
    value: f64,
}

impl<'p> Part<'p> {
    fn new(suffix: &'static str, value: f64) -> Self {
        Self { suffix, extra: None, value }
    }

    fn with(suffix: &'static str, label: (&'static str, impl Into<Cow<'p, str>>), value: f64) -> Self {
        Self { suffix, extra: Some((label.0, label.1.into())), value }
    }
}

impl<'d, 's, 'b, 'x> Translator<'d, 's, 'b, 'x> {
    pub(super) fn new(session: &'x mut Session<'d>, scope: Scope<'s>, batch: &'b mut PointBatch) -> Self {
        let settings = session.settings();
        let out = Collector::new(scope, batch, Origins::of_groups());
        let (metric, canonical) = Default::default();
        let emitter = Emitter { out, session, metric, canonical };
        Self { settings, context: Context::new(settings), emitter, data_points: 0, times: None }
    }

    pub(super) fn finish(self) -> Decoded {
        self.emitter.out.decoded
    }

    pub(super) fn resource(&mut self, attributes: &Attributes<'_>) {
        self.context.resource(attributes);
        self.times = None;
    }

    pub(super) fn scope(&mut self, name: &str, version: &str, schema_url: &str, attributes: &Attributes<'_>) {
        self.context.scope(name, version, schema_url, attributes);
    }

    /// A metric of the scope; remembers what is said of it.
    pub(super) fn metric(&mut self, name: &str, unit: &str, help: &str, shape: Shape) -> Family {
        let (kind, word, temporality) = match shape {
            Shape::Gauge => (Kind::Gauge, "gauge", Temporality::Cumulative),
            Shape::Sum { monotonic: true, temporality } => (Kind::Counter, "counter", temporality),
            Shape::Sum { monotonic: false, temporality } => (Kind::Other, "gauge", temporality),
            Shape::Explicit(temporality) | Shape::Exponential(temporality) => (Kind::Other, "histogram", temporality),
            Shape::Summary => (Kind::Other, "summary", Temporality::Cumulative),
        };
        let name = self.settings.translation.metric(name, unit, kind).map_err(RejectReason::InvalidLabels);
        if let Ok(name) = &name {
            self.emitter.out.describe(name, Some(&unit_in_words(unit)), Some(word), Some(help));
        }
        Family { name, temporality }
    }

    pub(super) fn number(&mut self, family: &Family, point: &Number<'_>) -> Result<(), DecodeError> {
        let index = self.next_index();
        match point.value {
            None if !point.head.is_stale() => self.emitter.refuse(index, 1, invalid("a data point without a value")),
            value => self.parts(index, family, &point.head, &[Part::new("", value.unwrap_or(0.0))]),
        }
    }

    pub(super) fn explicit(&mut self, family: &Family, point: &Explicit<'_>) -> Result<(), DecodeError> {
        let index = self.next_index();
        if self.settings.histograms_to_nhcb {
            return self.native(index, family, &point.head, || custom(point));
        }
        match explicit_parts(point) {
            Ok(parts) => self.parts(index, family, &point.head, &parts),
            Err(reason) => self.emitter.refuse(index, 1, reason),
        }
    }

    pub(super) fn exponential(&mut self, family: &Family, point: &Exponential<'_>) -> Result<(), DecodeError> {
        let index = self.next_index();
        self.native(index, family, &point.head, || exponential(point))
    }

    pub(super) fn summary(&mut self, family: &Family, point: &Summary<'_>) -> Result<(), DecodeError> {
        let index = self.next_index();
        let mut parts = vec![Part::new("_sum", point.sum), Part::new("_count", rounded(point.count))];
        let quantiles = point.quantiles.iter();
        parts.extend(quantiles.map(|(quantile, value)| Part::with("", ("quantile", decimal(*quantile)), *value)));
        self.parts(index, family, &point.head, &parts)
    }

    /// A data point that cannot be read.
    pub(super) fn unreadable(&mut self, what: String) -> Result<(), DecodeError> {
        let index = self.next_index();
        self.emitter.refuse(index, 1, RejectReason::Malformed(what))
    }

    /// The resource ends: its `target_info` is told for all the time in which it has points.
    pub(super) fn end_resource(&mut self) -> Result<(), DecodeError> {
        let (Some(labels), Some((first, last))) = (self.context.info.take(), self.times.take()) else { return Ok(()) };
        let index = self.data_points.saturating_sub(1);
        if self.emitter.series(&labels, ("target_info", ""), None).is_err() {
            // Its points were refused for the same labels, or they carry none of them.
            return Ok(());
        }
        self.emitter.out.describe("target_info", None, Some("gauge"), Some("Target metadata"));
        self.emitter.begin_series();
        let mut time_ms = first;
        while time_ms < last {
            self.emitter.out.see(1)?;
            self.emitter.out.push(index, time_ms, 1.0);
            time_ms += INFO_EVERY_MS;
        }
        self.emitter.out.see(1)?;
        self.emitter.out.push(index, last, 1.0);
        Ok(())
    }

    fn next_index(&mut self) -> u64 {
        self.data_points += 1;
        self.data_points - 1
    }

    /// Stores the samples of a data point.
    fn parts(&mut self, index: u64, family: &Family, head: &Head<'_>, parts: &[Part<'_>]) -> Result<(), DecodeError> {
        let samples = u64::try_from(parts.len()).unwrap_or(u64::MAX);
        match admitted(&self.context, &self.emitter.out, family, head) {
            Err(reason) => return self.emitter.refuse(index, samples, reason),
            Ok((name, labels)) => {
                self.emitter.out.see(samples)?;
                let mut refused = 0;
                for part in parts {
                    if let Err(reason) = self.emitter.float(index, name, &labels, (head, family.temporality), part) {
                        self.emitter.out.reject(index, 1, reason);
                        refused += 1;
                    }
                }
                if refused == parts.len() {
                    return Ok(());
                }
            }
        }
        self.took(head);
        Ok(())
    }

    /// Stores a data point as one native histogram.
    fn native(
        &mut self,
        index: u64,
        family: &Family,
        head: &Head<'_>,
        histogram: impl FnOnce() -> Result<Histogram, RejectReason>,
    ) -> Result<(), DecodeError> {
        if head.is_stale() {
            return self.parts(index, family, head, &[Part::new("", 0.0)]);
        }
        let stored = admitted(&self.context, &self.emitter.out, family, head).and_then(|(name, labels)| {
            self.emitter.histogram(index, name, &labels, (head, family.temporality), histogram()?)
        });
        if let Err(reason) = stored {
            return self.emitter.refuse(index, 1, reason);
        }
        self.took(head);
        self.emitter.out.see(1)
    }

    fn took(&mut self, head: &Head<'_>) {
        self.emitter.out.decoded.dropped.exemplars += head.exemplars;
        let time_ms = head.time_ms();
        let (first, last) = self.times.unwrap_or((time_ms, time_ms));
        self.times = Some((first.min(time_ms), last.max(time_ms)));
    }
}

/// Name and labels of a data point, if it may come in.
fn admitted<'p>(
    context: &'p Context<'_>,
    out: &Collector<'_, '_>,
    family: &'p Family,
    head: &'p Head<'_>,
) -> Result<(&'p str, LabelSet<'p>), RejectReason> {
    let name = family.name.as_deref().map_err(RejectReason::clone)?;
    if family.temporality == Temporality::Unspecified {
        return Err(invalid("neither delta nor cumulative: the temporality is missing"));
    }
    out.admit(head.time_ms())?;
    Ok((name, context.labels(&head.attributes)?))
}

/// Where samples go: the batch, through the totals of deltas.
struct Emitter<'d, 's, 'b, 'x> {
    out: Collector<'s, 'b>,
    session: &'x mut Session<'d>,
    /// The name of the series being made, and its canonical bytes.
    metric: String,
    canonical: Vec<u8>,
}

impl Emitter<'_, '_, '_, '_> {
    fn refuse(&mut self, index: u64, samples: u64, reason: RejectReason) -> Result<(), DecodeError> {
        self.out.see(samples)?;
        self.out.reject(index, samples, reason);
        Ok(())
    }

    /// Makes the canonical bytes of a series.
    fn series(
        &mut self,
        labels: &LabelSet<'_>,
        name: (&str, &str),
        extra: Option<(&'static str, &str)>,
    ) -> Result<(), RejectReason> {
        self.metric.clear();
        self.metric.push_str(name.0);
        self.metric.push_str(name.1);
        let mut pairs = labels.pairs(&self.metric, extra);
        settle(&mut pairs, self.out.scope.limits)?;
        write_series(&pairs, &mut self.canonical)
    }

    /// The points pushed next are of the series made last.
    fn begin_series(&mut self) {
        self.out.begin_series(&self.canonical);
    }

    fn float(
        &mut self,
        index: u64,
        name: &str,
        labels: &LabelSet<'_>,
        (head, temporality): (&Head<'_>, Temporality),
        part: &Part<'_>,
    ) -> Result<(), RejectReason> {
        let extra = part.extra.as_ref().map(|(label, value)| (*label, value.as_ref()));
        self.series(labels, (name, part.suffix), extra)?;
        let value = match temporality {
            _ if head.is_stale() => stale(),
            Temporality::Delta => {
                let now_ms = self.out.scope.now_ms;
                self.session.add(hash_canonical(&self.canonical), head.time_ns, now_ms, part.value)?
            }
            Temporality::Cumulative | Temporality::Unspecified => part.value,
        };
        self.begin_series();
        self.out.push(index, head.time_ms(), value);
        Ok(())
    }

    fn histogram(
        &mut self,
        index: u64,
        name: &str,
        labels: &LabelSet<'_>,
        (head, temporality): (&Head<'_>, Temporality),
        histogram: Histogram,
    ) -> Result<(), RejectReason> {
        self.series(labels, (name, ""), None)?;
        let histogram = match temporality {
            Temporality::Delta => {
                let now_ms = self.out.scope.now_ms;
                self.session.merge(hash_canonical(&self.canonical), head.time_ns, now_ms, histogram)?
            }
            Temporality::Cumulative | Temporality::Unspecified => histogram,
        };
        self.begin_series();
        self.out.push_native(index, head.time_ms(), NativeSample::Histogram(Arc::new(histogram)));
        Ok(())
    }
}

/// The series of a histogram in the classic way: sum, count, and cumulative buckets.
fn explicit_parts(point: &Explicit<'_>) -> Result<Vec<Part<'static>>, RejectReason> {
    let (buckets, bounds) = (point.counts.len(), point.bounds.len());
    if buckets != 0 && buckets != bounds + 1 {
        return Err(RejectReason::InvalidValue(format!("{bounds} bounds do not part {buckets} buckets")));
    }
    if !point.bounds.is_sorted_by(|a, b| a < b) || point.bounds.first().is_some_and(|bound| bound.is_nan()) {
        return Err(invalid("the bounds of buckets do not rise"));
    }
    let mut parts = Vec::with_capacity(buckets + 3);
    parts.extend(point.sum.map(|sum| Part::new("_sum", sum)));
    parts.push(Part::new("_count", rounded(point.count)));
    let mut below = 0_u64;
    for (bound, count) in point.bounds.iter().zip(&point.counts).filter(|(bound, _)| **bound < f64::INFINITY) {
        below = below.saturating_add(*count);
        parts.push(Part::with("_bucket", ("le", decimal(*bound)), rounded(below)));
    }
    parts.push(Part::with("_bucket", ("le", "+Inf"), rounded(point.count)));
    Ok(parts)
}

/// A number as Prometheus writes it in `le` and `quantile`: no exponent, and no more digits than it needs.
fn decimal(number: f64) -> String {
    if number.is_finite() {
        number.to_string()
    } else if number.is_nan() {
        "NaN".to_owned()
    } else {
        if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    }
}

fn invalid(what: &str) -> RejectReason {
    RejectReason::InvalidValue(what.to_owned())
}
