//! Which files a version of a table consists of.
//!
//! checkpoint + commits ─Delta kernel─▶ first [`TableState`] ─apply the next commit─▶ next [`TableState`]
//!
//! A state is immutable and shared: readers keep the version that their tier map speaks of while commits go on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use deltalake_core::kernel::{Action, Add, Remove};
use schemas::file_tags::{FileTags, Holding, TAG};
use schemas::object_path::{PartitionDir, parse_class, parse_day, partition_column, partition_end};
use schemas::tier_map::ColdTable;
use schemas::time::HourRange;
use schemas::{Day, Hour, RetentionClass, TimeRange, TimestampMs};

use super::stats::FileStats;
use crate::error::ColdError;

/// A data file that a version refers to.
#[derive(Debug, Clone)]
pub(crate) struct LiveFile {
    /// Below the table, as stored.
    pub(crate) path: Arc<str>,
    pub(crate) bytes: u64,
    pub(crate) modified_ms: i64,
    pub(crate) stats: FileStats,
    /// `None` for files of other programs.
    pub(crate) tags: Option<FileTags>,
    /// The day, or the first day of the month; `None` for the table of series.
    pub(crate) first_day: Option<Day>,
    /// `None` where the partition has a name that no class has.
    pub(crate) class: Option<RetentionClass>,
    partition_values: HashMap<String, Option<String>>,
}

impl LiveFile {
    fn from_add(table: ColdTable, add: &Add) -> Result<Self, ColdError> {
        if add.deletion_vector.is_some() {
            return Err(ColdError::damaged("file", &add.path, "has a deletion vector, which this protocol has not"));
        }
        let value = |column: &str| add.partition_values.get(column).and_then(Option::as_deref);
        let first_day = partition_column(table).and_then(value).map(|text| {
            parse_day(text).ok_or_else(|| ColdError::damaged("partition", &add.path, format!("{text:?} is no day")))
        });
        let tag = add.tags.as_ref().and_then(|tags| tags.get(TAG)).and_then(Option::as_deref);
        Ok(Self {
            path: add.path.as_str().into(),
            bytes: u64::try_from(add.size).unwrap_or(0),
            modified_ms: add.modification_time,
            stats: add.stats.as_deref().map(FileStats::decode).unwrap_or_default(),
            tags: tag.map(FileTags::decode).transpose().map_err(|e| ColdError::tag(&add.path, &e))?,
            first_day: first_day.transpose()?,
            class: value("class").and_then(parse_class),
            partition_values: add.partition_values.clone(),
        })
    }

    /// Whose rows of which hours, as far as the tags say.
    pub(crate) fn holds(&self) -> &[Holding] {
        self.tags.as_ref().map_or(&[], |tags| &tags.holds)
    }

    /// Orders files of one hour: between nodes the later commit wins. Other programs' files come first.
    pub(crate) fn commit(&self) -> u64 {
        self.tags.as_ref().map_or(0, |tags| tags.commit)
    }

    /// The days that the file's partition covers.
    pub(crate) fn days(&self, table: ColdTable) -> Option<(Day, Day)> {
        self.first_day.map(|first| (first, partition_end(table, first)))
    }

    /// Whether a row in `range` may be in the file.
    pub(crate) fn may_touch(&self, table: ColdTable, range: TimeRange) -> bool {
        let by_partition = self.days(table).is_none_or(|(first, end)| {
            first.hours().start.start() < range.end() && range.start() < end.hours().start.start()
        });
        let by_hours =
            self.holds().is_empty() || self.holds().iter().any(|held| held.hour.range().intersect(range).is_some());
        let by_time = self.stats.time_ms.is_none_or(|(first, last)| first < range.end().0 && range.start().0 <= last);
        by_partition && by_hours && by_time
    }

    /// The hours that it may hold rows of, in no order: as its tags say, else as its partition and statistics do.
    pub(crate) fn hours(&self, table: ColdTable) -> Vec<HourRange> {
        if !self.holds().is_empty() {
            let hours: BTreeSet<Hour> = self.holds().iter().map(|held| held.hour).collect();
            return hours.into_iter().map(|hour| hour.range().hours()).collect();
        }
        let (first, end) =
            self.days(table).map_or((Hour(0), Hour::MAX), |(first, end)| (first.hours().start, end.hours().start));
        let (least, greatest) = self.stats.time_ms.map_or((first, end), |(least, greatest)| {
            let [least, greatest] = [least, greatest].map(|ms| Hour::containing(TimestampMs(ms)));
            (least, greatest.next())
        });
        vec![HourRange { start: first.max(least), end: end.min(greatest) }]
    }

    /// Whether a row of the metric may be in the file.
    pub(crate) fn may_hold_metric(&self, metric: &str) -> bool {
        self.stats.metric_min.as_deref().is_none_or(|min| min <= metric)
            && self.stats.metric_max.as_deref().is_none_or(|max| metric <= max)
    }

    /// Whether a row of one of the (sorted) ids may be in the file.
    pub(crate) fn may_hold_series(&self, ids: &[i64]) -> bool {
        self.stats.series.is_none_or(|(min, max)| {
            let from = ids.partition_point(|&id| id < min);
            ids.get(from).is_some_and(|&id| id <= max)
        })
    }

    /// The action that takes the file out of the table; the object stays until a vacuum.
    pub(crate) fn remove(&self, now_ms: i64, data_change: bool) -> Remove {
        Remove {
            path: self.path.to_string(),
            data_change,
            deletion_timestamp: Some(now_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(self.partition_values.clone()),
            size: i64::try_from(self.bytes).ok(),
            ..Remove::default()
        }
    }
}

/// A file that a commit shall add.
#[derive(Debug, Clone)]
pub(crate) struct NewFile {
    /// Below the table.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) stats: FileStats,
    pub(crate) partition: Option<PartitionDir>,
    pub(crate) holds: Vec<Holding>,
}

impl NewFile {
    pub(crate) fn add(&self, commit: u64, now_ms: i64) -> Add {
        let values = self.partition.iter().flat_map(PartitionDir::values);
        Add {
            path: self.path.clone(),
            partition_values: values.map(|(column, value)| (column.to_owned(), Some(value))).collect(),
            size: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            modification_time: now_ms,
            data_change: true,
            stats: Some(self.stats.encode()),
            tags: Some(HashMap::from([(TAG.to_owned(), Some(FileTags::new(commit, self.holds.clone()).encode()))])),
            ..Add::default()
        }
    }
}

/// The files of one version, by path.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) table: ColdTable,
    pub(crate) version: u64,
    pub(crate) files: BTreeMap<Arc<str>, Arc<LiveFile>>,
}

impl TableState {
    pub(crate) fn of_adds<'a>(
        table: ColdTable,
        version: u64,
        adds: impl IntoIterator<Item = &'a Add>,
    ) -> Result<Self, ColdError> {
        let file = |add: &Add| LiveFile::from_add(table, add).map(|file| (Arc::clone(&file.path), Arc::new(file)));
        Ok(Self { table, version, files: adds.into_iter().map(file).collect::<Result<_, ColdError>>()? })
    }

    /// The next version, by the actions of its commit. `Err` for one that this program may not read.
    pub(crate) fn next(&self, actions: &[Action]) -> Result<Self, ColdError> {
        let mut files = self.files.clone();
        for action in actions {
            match action {
                Action::Add(add) => {
                    let file = LiveFile::from_add(self.table, add)?;
                    files.insert(Arc::clone(&file.path), Arc::new(file));
                }
                Action::Remove(remove) => {
                    files.remove(remove.path.as_str());
                }
                Action::Metadata(_) | Action::Protocol(_) => {
                    let problem = "its schema or protocol was changed by another program".to_owned();
                    return Err(ColdError::Incompatible { table: self.table, problem });
                }
                Action::Cdc(_) | Action::Txn(_) | Action::CommitInfo(_) | Action::DomainMetadata(_) => {}
            }
        }
        Ok(Self { table: self.table, version: self.version + 1, files })
    }

    /// Files that hold rows of the hour in the class, as far as the tags say.
    pub(crate) fn holding(&self, hour: Hour, class: RetentionClass) -> impl Iterator<Item = &Arc<LiveFile>> {
        let day = Some(hour.day());
        self.files.values().filter(move |file| {
            let in_partition = file.days(self.table).is_none_or(|(first, end)| Some(first) <= day && day < Some(end));
            in_partition && file.class == Some(class) && file.holds().iter().any(|held| held.hour == hour)
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.files.values().filter_map(|file| file.stats.rows).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}
