//! Append: a batch becomes durable, visible and acknowledged, in this order.
//!
//! batch ─▶ room? ─▶ resolve series ─▶ refuse what is too old ─▶ mark days active ─▶ log record + head batch ─▶ commit
//!
//! All work but the write itself is done here, on the caller's thread. A refused batch leaves nothing behind; refused
//! points of an accepted batch are told by index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use schemas::histogram::Histogram;
use schemas::points::is_histogram;
use schemas::reject::Appended;
use schemas::{Day, MetricId, PointBatch, RejectReason, RetentionClass, SeriesAddress, Sid, TimestampMs, log_record};

use crate::committer::{Commit, Refused};
use crate::error::AppendError;
use crate::head::HeadBatch;
use crate::index::Resolved;
use crate::offsets::SourceOffsets;
use crate::store::Core;
use crate::view::View;
use crate::writable::Unwritable;

/// What a refused sender should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What a sender should wait while the disk takes nothing.
const RETRY_WRITING_AFTER: Duration = Duration::from_secs(5);

impl Core {
    /// Appends a batch; blocks until it is durable and visible.
    pub(crate) fn append(&self, batch: &PointBatch, offsets: &SourceOffsets) -> Result<Appended, AppendError> {
        self.check_room()?;
        let mut resolved = Resolved::default();
        self.index()
            .resolve(batch, self.now_ms(), &mut resolved)
            .map_err(|refused| AppendError::TooManyNewSeries { retry_after: refused.retry_after })?;
        if !batch.metadata().is_empty() {
            self.index().describe(batch.metadata());
        }
        // Until the points are in the head, the floor under them must not rise.
        let _floor = self.intake().read();
        let accepted = Accepted::select(batch, &resolved.addresses, &self.view());
        let appended = Appended {
            accepted: accepted.timestamps.len() as u64,
            rejected_series: std::mem::take(&mut resolved.rejected),
            rejected_points: accepted.rejected.clone(),
        };
        if appended.accepted > 0 {
            accepted.mark_active(self);
            self.index().describe_histograms(&accepted.metrics_of_histograms());
            self.commit(&accepted, offsets)?;
        } else if !offsets.is_empty() {
            self.commit_record(Vec::new(), HeadBatch::default(), offsets.clone())?;
        }
        self.metrics().appended(&appended);
        Ok(appended)
    }

    fn check_room(&self) -> Result<(), AppendError> {
        self.check_writable().map_err(unwritable)?;
        if self.is_full() {
            self.metrics().overloaded.inc();
            return Err(AppendError::Overloaded { retry_after: RETRY_AFTER });
        }
        Ok(())
    }

    /// Why no points are taken, if it is more than pressure. Flushes that fail are felt only when the log is full.
    pub(crate) fn check_writable(&self) -> Result<(), Unwritable> {
        if self.queue().is_closed() {
            return Err(Unwritable::Closed);
        }
        let unflushed = || self.flush_writes().trouble().filter(|_| self.is_full());
        self.commit_writes().trouble().or_else(unflushed).map_or(Ok(()), Err)
    }

    /// Whether as much is outstanding as two epochs may hold, in however many: that of the active one, of one that is
    /// being flushed, of those that a start found.
    fn is_full(&self) -> bool {
        let outstanding: u64 = self.view().generations().iter().map(|generation| generation.size()).sum();
        outstanding >= self.config().log_bytes_max.saturating_mul(2)
    }

    fn commit(&self, accepted: &Accepted, offsets: &SourceOffsets) -> Result<(), AppendError> {
        let mut record = Vec::new();
        log_record::encode(&accepted.sids, &accepted.timestamps, &accepted.values, &accepted.histograms, &mut record);
        self.commit_record(record, accepted.head_batch(), offsets.clone())
    }

    /// Writes what the index has pending (removed series, descriptions), without waiting for the next points.
    pub(crate) fn commit_index(&self) -> Result<(), AppendError> {
        self.commit_record(Vec::new(), HeadBatch::default(), SourceOffsets::none())
    }

    fn commit_record(&self, record: Vec<u8>, batch: HeadBatch, offsets: SourceOffsets) -> Result<(), AppendError> {
        let (done, answer) = sync_channel(1);
        self.queue().push(Commit { record, batch, offsets, done }).map_err(|refused| match refused {
            Refused::Full => {
                self.metrics().overloaded.inc();
                AppendError::Overloaded { retry_after: RETRY_AFTER }
            }
            Refused::Closed => unwritable(Unwritable::Closed),
        })?;
        match answer.recv() {
            Ok(written) => written.map_err(unwritable),
            Err(_committer_is_gone) => Err(unwritable(Unwritable::Closed)),
        }
    }
}

fn unwritable(why: Unwritable) -> AppendError {
    AppendError::Unwritable { why, retry_after: RETRY_WRITING_AFTER }
}

/// The points of a batch that are taken, in arrival order.
#[derive(Debug, Default)]
struct Accepted {
    addresses: Vec<SeriesAddress>,
    /// Index into `addresses`, by point.
    series: Vec<u32>,
    sids: Vec<Sid>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
    /// Of each value that stands for a native histogram, in order.
    histograms: Vec<Arc<Histogram>>,
    rejected: Vec<(u32, RejectReason)>,
}

impl Accepted {
    fn select(batch: &PointBatch, addresses: &[Option<SeriesAddress>], view: &View) -> Self {
        let mut out = Self::default();
        out.series.reserve(batch.len());
        out.sids.reserve(batch.len());
        out.timestamps.reserve(batch.len());
        out.values.reserve(batch.len());
        let mut entries: Vec<Option<u32>> = Vec::with_capacity(addresses.len());
        for address in addresses {
            entries.push(address.map(|address| {
                out.addresses.push(address);
                u32::try_from(out.addresses.len() - 1).expect("a batch counts its series in 32 bits")
            }));
        }
        let mut floors = Floors { view, last: None };
        let mut histograms = batch.histograms().iter().peekable();
        let points = batch.series_of().iter().zip(batch.timestamps()).zip(batch.values());
        for (at, ((&series, &timestamp), &value)) in points.enumerate() {
            let histogram = histograms.next_if(|(point, _)| *point as usize == at);
            // Points of refused series are told by series.
            let Some(entry) = entries[series as usize] else { continue };
            let address = out.addresses[entry as usize];
            if let Err(reason) = floors.check(address.class, TimestampMs(timestamp)) {
                out.rejected.push((u32::try_from(at).expect("a batch has fewer than 2^32 points"), reason));
                continue;
            }
            out.series.push(entry);
            out.sids.push(address.sid);
            out.timestamps.push(timestamp);
            out.values.push(value);
            out.histograms.extend(histogram.map(|(_, histogram)| Arc::clone(histogram)));
        }
        out
    }

    fn head_batch(&self) -> HeadBatch {
        let columns = self.series.iter().zip(&self.timestamps).zip(&self.values);
        HeadBatch::new(
            self.addresses.clone(),
            columns.map(|((&series, &timestamp), &value)| (series, timestamp, value)),
            &self.histograms,
        )
    }

    /// Metrics of native histograms.
    fn metrics_of_histograms(&self) -> BTreeSet<MetricId> {
        if self.histograms.is_empty() {
            return BTreeSet::new();
        }
        let points = self.series.iter().zip(&self.values).filter(|(_, value)| is_histogram(**value));
        points.map(|(&series, _)| self.addresses[series as usize].metric).collect()
    }

    /// Before the write, so that a flush that follows it at once persists the marks.
    fn mark_active(&self, core: &Core) {
        let mut days = self.timestamps.iter().map(|&timestamp| Day::containing(TimestampMs(timestamp)));
        let first = days.next().unwrap_or(Day(0));
        if days.all(|day| day == first) {
            core.index().mark_active(first, self.sids.iter().copied());
            return;
        }
        let mut by_day: BTreeMap<Day, Vec<Sid>> = BTreeMap::new();
        for (&timestamp, &sid) in self.timestamps.iter().zip(&self.sids) {
            let sids = by_day.entry(Day::containing(TimestampMs(timestamp))).or_default();
            if sids.last() != Some(&sid) {
                sids.push(sid);
            }
        }
        for (day, sids) in by_day {
            core.index().mark_active(day, sids.into_iter());
        }
    }
}

/// The intake floor of the class at hand.
struct Floors<'v> {
    view: &'v View,
    last: Option<(RetentionClass, TimestampMs)>,
}

impl Floors<'_> {
    fn check(&mut self, class: RetentionClass, timestamp: TimestampMs) -> Result<(), RejectReason> {
        let floor = match self.last {
            Some((last, floor)) if last == class => floor,
            _ => {
                let floor = self.view.intake_floor(class);
                self.last = Some((class, floor));
                floor
            }
        };
        let timestamp = timestamp.storable().map_err(|error| RejectReason::InvalidTimestamp(error.to_string()))?;
        if timestamp < floor { Err(RejectReason::TooOld { timestamp, floor }) } else { Ok(()) }
    }
}
