//! An index over a database of its own, and series as text.

use std::sync::Arc;

use rocksdb::{ColumnFamilyDescriptor, Options, WriteBatch};
use schemas::{DurationMs, MatchOp, PointBatch, TimestampMs};

use super::super::limits::TooManyNewSeries;
use super::super::*;

pub(super) const NOW: i64 = 20_778 * 86_400_000 + 5_000;
pub(super) const TODAY: Day = Day(20_778);

/// An index over a database in a directory that goes with it.
pub(super) struct Given {
    pub(super) index: Index,
    pub(super) db: Arc<Db>,
    dir: tempfile::TempDir,
}

fn open(dir: &tempfile::TempDir) -> Arc<Db> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families = Index::families().into_iter().map(|(name, options)| ColumnFamilyDescriptor::new(name, options));
    Arc::new(Db::open_cf_descriptors(&options, dir.path(), families).expect("opens"))
}

impl Given {
    pub(super) fn with_limits(limits: SeriesLimits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let db = open(&dir);
        let index = Index::load(&db, limits).expect("an empty index loads");
        Self { index, db, dir }
    }

    pub(super) fn an_index() -> Self {
        Self::with_limits(SeriesLimits::default())
    }

    /// Writes what is pending, as a commit does.
    pub(super) fn commit(&self) {
        let mut write = WriteBatch::default();
        self.index.drain_unpersisted(&mut write);
        self.index.persist_active(&mut write);
        self.db.write(write).expect("writes");
    }

    /// Closes without anything further being written.
    pub(super) fn reopened(self) -> Self {
        let Self { index, db, dir } = self;
        let limits = index.limits;
        drop((index, db));
        let db = open(&dir);
        let index = Index::load(&db, limits).expect("loads");
        Self { index, db, dir }
    }

    pub(super) fn resolve(&self, batch: &PointBatch, now_ms: i64) -> Result<Resolved, TooManyNewSeries> {
        let mut out = Resolved::default();
        self.index.resolve(batch, now_ms, &mut out).map(|()| out)
    }

    /// Resolves series given as text, `metric a=1 b=2`, and lets go of the batch.
    pub(super) fn series(&self, texts: &[&str]) -> Vec<SeriesAddress> {
        let out = self.resolve(&batch(texts), NOW).expect("within limits");
        assert_eq!(out.rejected, vec![]);
        out.addresses.into_iter().map(|address| address.expect("resolved")).collect()
    }

    pub(super) fn selected(&self, matchers: &[LabelMatcher]) -> Vec<String> {
        self.selected_in(matchers, None)
    }

    pub(super) fn selected_in(&self, matchers: &[LabelMatcher], range: Option<TimeRange>) -> Vec<String> {
        let found = self.index.select(matchers, range, usize::MAX).expect("within the limit");
        assert!(found.is_sorted_by_key(|info| info.address));
        found.iter().map(|info| info.labels.to_string()).collect()
    }
}

pub(super) fn labels(text: &str) -> Labels {
    let mut words = text.split(' ');
    let metric = words.next().expect("a metric");
    let pairs = words.map(|word| word.split_once('=').expect("name=value"));
    Labels::new([("__name__", metric)].into_iter().chain(pairs)).expect("valid labels")
}

pub(super) fn batch(texts: &[&str]) -> PointBatch {
    let mut batch = PointBatch::new();
    for text in texts {
        batch.add_canonical(labels(text).as_bytes());
    }
    batch
}

pub(super) fn matcher(name: &str, op: MatchOp, value: &str) -> LabelMatcher {
    LabelMatcher::new(name, op, value).expect("compiles")
}

pub(super) fn day(day: u32) -> TimeRange {
    let start = TimestampMs(i64::from(day) * 86_400_000);
    TimeRange::new(start, start.plus(DurationMs::DAY)).expect("ordered")
}

pub(super) fn nobody(_: Sid) -> bool {
    false
}
