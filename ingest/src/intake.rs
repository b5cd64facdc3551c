//! A request from its body to its answer.
//!
//! body ─▶ decompress ─▶ decode ─▶ [`Controls`] ─▶ one [`Sink::append`] ─▶ rejections traced back to the body ─▶
//! [`IngestOutcome`]
//!
//! All good points of a request are appended at once or not at all. Blocking: callers run it off the async workers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::Clock;
use schemas::reject::Appended;
use schemas::{PointBatch, TimeRange};
use thiserror::Error;

use crate::body::{self, BodyError, ContentEncoding};
use crate::controls::Controls;
use crate::decode::line_protocol::{self, Precision};
use crate::decode::otlp::{self, Otlp};
use crate::decode::prom_text::{self, Dialect};
use crate::decode::{DecodeError, Decoded, Dropped, Rejected, Rejections, Scope, json, remote_write, remote_write_v2};
use crate::limits::Limits;
use crate::metrics::IngestMetrics;
use crate::mix::splitmix64;

/// Batches kept for their memory. More requests than this at once allocate their own.
const SPARE_BATCHES_MAX: usize = 8;
/// A batch that grew beyond this many bytes gives its memory back.
const SPARE_BATCH_BYTES_MAX: usize = 16 << 20;

/// Where points go. The store is one; tests and forwarders are others.
pub trait Sink: Send + Sync {
    /// The times at which points are taken now.
    fn intake_window(&self) -> TimeRange;

    /// Takes a batch: durable and visible on return. On an error nothing of it is.
    fn append(&self, batch: &PointBatch) -> Result<Appended, SinkError>;
}

/// Why a sink took nothing.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SinkError {
    /// A bound is reached, which `why` names; try again. HTTP 503 with `Retry-After`.
    #[error("{why}")]
    Busy { why: String, retry_after: Duration },
    /// It can take nothing until somebody acts; `why` says what to do. HTTP 503 with `Retry-After`.
    #[error("{why}")]
    Unwritable { why: String, retry_after: Duration },
}

/// How a request speaks, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Json,
    RemoteWrite,
    RemoteWriteV2,
    LineProtocol,
    PromText,
    Otlp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::RemoteWrite => "remote_write",
            Self::RemoteWriteV2 => "remote_write_v2",
            Self::LineProtocol => "line_protocol",
            Self::PromText => "prom_text",
            Self::Otlp => "otlp",
        }
    }
}

/// A protocol with what the request says about it besides the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json(json::Framing),
    RemoteWrite,
    RemoteWriteV2,
    LineProtocol(Precision),
    PromText(Dialect),
    Otlp(otlp::Encoding),
}

impl Format {
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Json(_) => Protocol::Json,
            Self::RemoteWrite => Protocol::RemoteWrite,
            Self::RemoteWriteV2 => Protocol::RemoteWriteV2,
            Self::LineProtocol(_) => Protocol::LineProtocol,
            Self::PromText(_) => Protocol::PromText,
            Self::Otlp(_) => Protocol::Otlp,
        }
    }

    /// Decodes a plain body into `batch`, without a memory of earlier ones and by default settings.
    pub fn decode(self, plain: &[u8], scope: Scope<'_>, batch: &mut PointBatch) -> Result<Decoded, DecodeError> {
        self.decode_in(&mut Otlp::default().session(), plain, scope, batch)
    }

    /// Decodes a plain body into `batch`; `session` remembers the totals of deltas.
    fn decode_in(
        self,
        session: &mut otlp::Session<'_>,
        plain: &[u8],
        scope: Scope<'_>,
        batch: &mut PointBatch,
    ) -> Result<Decoded, DecodeError> {
        match self {
            Self::Json(framing) => json::decode(plain, framing, scope, batch),
            Self::RemoteWrite => remote_write::decode(plain, scope, batch),
            Self::RemoteWriteV2 => remote_write_v2::decode(plain, scope, batch),
            Self::LineProtocol(precision) => line_protocol::decode(plain, precision, scope, batch),
            Self::PromText(dialect) => prom_text::decode(plain, dialect, scope, batch),
            Self::Otlp(encoding) => otlp::decode(plain, encoding, session, scope, batch),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestOutcome {
    /// The sender's name for the request, or one made here.
    pub batch_id: String,
    /// Points that are durable and queryable.
    pub accepted: u64,
    /// Points, accepted or left out by a rule, that came as native histograms.
    pub histograms: u64,
    /// Points that the rules of `controls` left out: neither accepted nor refused.
    pub disabled: u64,
    /// Points that were refused: how many, and the first of them with index and reason.
    pub rejections: Rejections,
    /// Left out without fault of the sender.
    pub dropped: Dropped,
}

impl IngestOutcome {
    /// Points that are dealt with as their sender wished and the operator allows.
    pub fn taken(&self) -> u64 {
        self.accepted + self.disabled
    }

    /// Points refused.
    pub fn rejected(&self) -> u64 {
        self.rejections.points()
    }
}

/// Why nothing of a request was taken.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum IntakeError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl IntakeError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Body(error) => error.is_retryable(),
            Self::Decode(error) => error.is_retryable(),
            Self::Sink(SinkError::Busy { .. } | SinkError::Unwritable { .. }) => true,
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Body(_) | Self::Decode(_) => "refused",
            Self::Sink(SinkError::Busy { .. }) => "busy",
            Self::Sink(SinkError::Unwritable { .. }) => "unwritable",
        }
    }
}

/// The one door for points by HTTP. Shared by all requests.
pub struct Intake {
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    metrics: IngestMetrics,
    controls: Controls,
    otlp: Otlp,
    spare: Mutex<Vec<PointBatch>>,
    /// Makes batch ids of one process differ from each other, and from those of its last life.
    batches: AtomicU64,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Intake {
    pub fn new(sink: Arc<dyn Sink>, clock: Arc<dyn Clock>, limits: Limits, metrics: IngestMetrics) -> Self {
        let batches = AtomicU64::new(clock.now_ms().cast_unsigned() << 20);
        let (controls, otlp, spare) = (Controls::default(), Otlp::default(), Mutex::new(Vec::new()));
        Self { sink, clock, limits, metrics, controls, otlp, spare, batches }
    }

    /// With rules for what is stored; without them all of it is.
    #[must_use]
    pub fn controlled_by(self, controls: Controls) -> Self {
        Self { controls, ..self }
    }

    /// With settings for OpenTelemetry's metrics.
    #[must_use]
    pub fn translating(self, settings: otlp::Settings) -> Self {
        Self { otlp: Otlp::new(settings), ..self }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a request. On an error nothing of it was taken.
    pub fn ingest(&self, format: Format, encoding: ContentEncoding, body: &[u8]) -> Result<IngestOutcome, IntakeError> {
        let mut batch = self.spare.lock().pop().unwrap_or_default();
        let result = self.take(format, encoding, body, &mut batch);
        self.keep(batch);
        let protocol = format.protocol();
        match &result {
            Ok(outcome) => {
                self.metrics.request(protocol, if outcome.rejections.is_empty() { "accepted" } else { "partial" });
                self.metrics.points(protocol, outcome.accepted, &outcome.rejections, outcome.dropped);
            }
            Err(error) => self.metrics.request(protocol, error.outcome()),
        }
        result
    }

    fn take(
        &self,
        format: Format,
        encoding: ContentEncoding,
        body: &[u8],
        batch: &mut PointBatch,
    ) -> Result<IngestOutcome, IntakeError> {
        let started = Instant::now();
        let plain = body::decompress(encoding, body, self.limits.body_bytes_max)?;
        let scope = Scope { now_ms: self.clock.now_ms(), window: self.sink.intake_window(), limits: &self.limits };
        let mut session = self.otlp.session();
        let decoded = format.decode_in(&mut session, &plain, scope, batch)?;
        self.metrics.decoded(format.protocol(), plain.len(), started.elapsed());
        let controlled = self.controls.apply(batch);
        let nothing = batch.is_empty() && batch.metadata().is_empty();
        let appended = if nothing { Appended::default() } else { self.sink.append(batch)? };
        session.commit();
        controlled.count();
        let mut rejections = decoded.rejections;
        let origin = |point| decoded.origins.index_of(controlled.index_before(point));
        trace_back(&appended, batch, origin, &mut rejections);
        debug_assert_eq!(
            appended.accepted + rejections.points() + controlled.left_out(),
            decoded.points_seen,
            "every point of a request is accepted, refused or left out by a rule, and is so once"
        );
        Ok(IngestOutcome {
            batch_id: decoded.batch_id.unwrap_or_else(|| self.next_batch_id()),
            accepted: appended.accepted,
            histograms: decoded.histograms.saturating_sub(histograms_refused(&appended, batch)),
            disabled: controlled.left_out(),
            rejections,
            dropped: decoded.dropped,
        })
    }

    fn keep(&self, mut batch: PointBatch) {
        if batch.bytes() > SPARE_BATCH_BYTES_MAX {
            return;
        }
        batch.clear();
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_BATCHES_MAX {
            spare.push(batch);
        }
    }

    /// `b-` and eight hexadecimal digits: enough to find a request in a log.
    fn next_batch_id(&self) -> String {
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        // So that neighbours look different.
        format!("b-{:08x}", splitmix64(number, 0) >> 32)
    }
}

/// The native histograms of a batch that the sink has refused.
fn histograms_refused(appended: &Appended, batch: &PointBatch) -> u64 {
    let points: HashSet<u32> = appended.rejected_points.iter().map(|(point, _)| *point).collect();
    let series: HashSet<u32> = appended.rejected_series.iter().map(|(series, _)| *series).collect();
    let histograms = batch.histograms().iter().map(|(point, _)| *point);
    let refused = histograms.filter(|point| {
        let of_series = batch.series_of()[*point as usize];
        points.contains(point) || series.contains(&of_series)
    });
    u64::try_from(refused.count()).unwrap_or(u64::MAX)
}

/// Tells what the sink refused by the indexes of the body; `origin` gives that of a point of the batch.
fn trace_back(appended: &Appended, batch: &PointBatch, origin: impl Fn(u32) -> u64, rejections: &mut Rejections) {
    for (point, reason) in &appended.rejected_points {
        rejections.add(Rejected { index: origin(*point), points: 1, reason: reason.clone() });
    }
    if appended.rejected_series.is_empty() {
        return;
    }
    // First point and number of points of each series of the batch.
    let mut points: Vec<(u32, u64)> = vec![(0, 0); batch.series_len()];
    for (point, series) in (0_u32..).zip(batch.series_of()) {
        let of_series = &mut points[*series as usize];
        if of_series.1 == 0 {
            of_series.0 = point;
        }
        of_series.1 += 1;
    }
    for (series, reason) in &appended.rejected_series {
        let (first, count) = points[*series as usize];
        if count > 0 {
            rejections.add(Rejected { index: origin(first), points: count, reason: reason.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
