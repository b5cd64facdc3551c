//! Where decoders put what they find: the batch, the account of refusals, and the checks that all of them share.

use schemas::batch::MetricMetadata;
use schemas::points::stale;
use schemas::{PointBatch, RejectReason, TimestampMs};

use super::native_histogram::NativeSample;
use super::{DecodeError, Decoded, Origins, Rejected, Scope};

/// Metrics that one request may describe. Descriptions are no points, so the limit on points does not bound them.
const DESCRIBED_MAX: usize = 10_000;

/// One body being decoded into one batch.
pub(crate) struct Collector<'s, 'b> {
    pub(crate) scope: Scope<'s>,
    pub(crate) batch: &'b mut PointBatch,
    pub(crate) decoded: Decoded,
    /// What the batch held before, so that origins count from the first point of this body.
    series_last: Option<u32>,
}

impl<'s, 'b> Collector<'s, 'b> {
    pub(crate) fn new(scope: Scope<'s>, batch: &'b mut PointBatch, origins: Origins) -> Self {
        Self { scope, batch, decoded: Decoded { origins, ..Decoded::default() }, series_last: None }
    }

    /// Counts points before they are looked at; bounds them.
    pub(crate) fn see(&mut self, points: u64) -> Result<(), DecodeError> {
        self.decoded.points_seen += points;
        let limit = self.scope.limits.points_per_request;
        if self.decoded.points_seen > limit { Err(DecodeError::TooManyPoints { limit }) } else { Ok(()) }
    }

    /// Whether a point of this time (ms) may come in.
    pub(crate) fn admit(&self, timestamp_ms: i64) -> Result<(), RejectReason> {
        let (timestamp, window) = (TimestampMs(timestamp_ms), self.scope.window);
        if window.contains(timestamp) && timestamp.storable().is_ok() {
            return Ok(());
        }
        Err(match timestamp.storable() {
            Err(error) => RejectReason::InvalidTimestamp(error.to_string()),
            Ok(_) if timestamp < window.start() => RejectReason::TooOld { timestamp, floor: window.start() },
            Ok(_) => RejectReason::TooFarInFuture { timestamp, ceiling: window.end() },
        })
    }

    pub(crate) fn reject(&mut self, index: u64, points: u64, reason: RejectReason) {
        self.decoded.rejections.add(Rejected { index, points, reason });
    }

    /// Remembers what the sender says of a metric, if it is not too long. Senders repeat themselves, so what is known
    /// already costs a look-up only.
    pub(crate) fn describe(&mut self, metric: &str, unit: Option<&str>, kind: Option<&str>, help: Option<&str>) {
        let bytes_max = self.scope.limits.label_value_bytes;
        let short = |text: &&str| !text.is_empty() && text.len() <= bytes_max;
        let (unit, kind, help) = (unit.filter(short), kind.filter(short), help.filter(short));
        let described = self.batch.metadata();
        let room = described.len() < DESCRIBED_MAX;
        let new = match described.get(metric) {
            None => room && short(&metric),
            Some(known) => {
                let changes = |said: Option<&str>, known: &Option<String>| said.is_some() && said != known.as_deref();
                changes(unit, &known.unit) || changes(kind, &known.kind) || changes(help, &known.help)
            }
        };
        if new && (unit.is_some() || kind.is_some() || help.is_some()) {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            self.batch.describe(metric, MetricMetadata { unit: owned(unit), kind: owned(kind), help: owned(help) });
        }
    }

    /// Adds a series by its canonical bytes; the points pushed next are its own.
    pub(crate) fn begin_series(&mut self, canonical: &[u8]) {
        self.series_last = Some(self.batch.add_canonical(canonical));
    }

    /// Adds a point of the series begun last; it has been admitted.
    pub(crate) fn push(&mut self, index: u64, timestamp_ms: i64, value: f64) {
        let series = self.series_last.expect("decoders begin a series before they push its points");
        let point = u32::try_from(self.batch.len()).expect("points of a request are bounded far below 2^32");
        self.decoded.origins.note(point, index);
        self.batch.push(series, timestamp_ms, value);
    }

    /// Adds what a native histogram of the series begun last says; it has been admitted.
    pub(crate) fn push_native(&mut self, index: u64, timestamp_ms: i64, sample: NativeSample) {
        self.decoded.histograms += 1;
        match sample {
            NativeSample::Stale => self.push(index, timestamp_ms, stale()),
            NativeSample::Histogram(histogram) => {
                let series = self.series_last.expect("decoders begin a series before they push its points");
                let point = u32::try_from(self.batch.len()).expect("points of a request are bounded far below 2^32");
                self.decoded.origins.note(point, index);
                self.batch.push_histogram(series, timestamp_ms, histogram);
            }
        }
    }
}
