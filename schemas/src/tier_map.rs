//! The tier map: one immutable value that says who owns each bucket, and through which arrival (MAP-1).
//!
//! owner of (class, form, resolution, hour) =  hour ≥ hot_lo ? hot : hour ≥ cold_lo ? cold : expired
//!
//! Three thresholds cover all time without gap or overlap, so exactly one owner exists by construction. Copies
//! outside the owner are ignored, which is why data moves without locks (MOVE-1): write new → verify → record →
//! publish the map → delete the old. Reads overlay, on the owner's data, everything newer than the *through* of
//! that owner. Coverage is never guessed from data. Not here: the handles that a map speaks of (`hot::View`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ids::{Epoch, MetricId, RetentionClass};
use crate::time::{Day, Hour, Resolution};

/// How a metric's raw chunks are kept in the hot tier, decided per class, metric and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Raw chunks and 1-minute rows, each with its own retention.
    Raw,
    /// Identity: raw chunks that also serve 1-minute reads, because they are smaller than 1-minute rows.
    Raw1m,
}

impl Form {
    pub const ALL: [Self; 2] = [Self::Raw, Self::Raw1m];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Raw1m => "raw1m",
        }
    }
}

/// A tier, as answers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Hot,
    Warm,
    Cold,
}

impl Tier {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Delta table of the cold tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColdTable {
    Series,
    Raw,
    Rollup1m,
    Rollup1h,
}

impl ColdTable {
    /// All tables, in the order in which an hour is archived: rows never lack their names.
    pub const ALL: [Self; 4] = [Self::Series, Self::Raw, Self::Rollup1m, Self::Rollup1h];
    /// The tables that hold an hour's data, in archive order.
    pub const DATA: [Self; 3] = [Self::Raw, Self::Rollup1m, Self::Rollup1h];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Raw => "raw",
            Self::Rollup1m => "rollup_1m",
            Self::Rollup1h => "rollup_1h",
        }
    }

    /// The table that holds a resolution.
    pub fn of(resolution: Resolution) -> Self {
        match resolution {
            Resolution::Raw => Self::Raw,
            Resolution::Minute => Self::Rollup1m,
            Resolution::Hour => Self::Rollup1h,
        }
    }
}

/// Who owns a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// This node's RocksDB: hot for raw points, warm for rollups.
    Local,
    /// The Delta table of the resolution.
    Cold,
    /// Nobody any more: retention has dropped it.
    Expired,
}

/// The two thresholds of one (class, form, resolution); `cold_lo ≤ hot_lo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thresholds {
    /// The first hour that RocksDB owns.
    pub hot_lo: Hour,
    /// The first hour that Delta owns, below `hot_lo`.
    pub cold_lo: Hour,
}

impl Thresholds {
    pub fn owner(self, hour: Hour) -> Owner {
        if hour >= self.hot_lo {
            Owner::Local
        } else if hour >= self.cold_lo {
            Owner::Cold
        } else {
            Owner::Expired
        }
    }
}

/// Versions of the Delta tables that a map speaks of; `None` before a table's first commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeltaVersions {
    pub series: Option<u64>,
    pub raw: Option<u64>,
    pub rollup_1m: Option<u64>,
    pub rollup_1h: Option<u64>,
}

impl DeltaVersions {
    pub fn get(&self, table: ColdTable) -> Option<u64> {
        match table {
            ColdTable::Series => self.series,
            ColdTable::Raw => self.raw,
            ColdTable::Rollup1m => self.rollup_1m,
            ColdTable::Rollup1h => self.rollup_1h,
        }
    }

    pub fn set(&mut self, table: ColdTable, version: u64) {
        let slot = match table {
            ColdTable::Series => &mut self.series,
            ColdTable::Raw => &mut self.raw,
            ColdTable::Rollup1m => &mut self.rollup_1m,
            ColdTable::Rollup1h => &mut self.rollup_1h,
        };
        *slot = Some(version);
    }

    /// The newer version of each table. Whoever commits learns the versions before others' commits are recorded, so
    /// records may come in another order than commits; a recorded version never goes back.
    #[must_use]
    pub fn newest(self, other: Self) -> Self {
        Self {
            series: self.series.max(other.series),
            raw: self.raw.max(other.raw),
            rollup_1m: self.rollup_1m.max(other.rollup_1m),
            rollup_1h: self.rollup_1h.max(other.rollup_1h),
        }
    }
}

/// The whole map. Changing it means making a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierMap {
    /// Counts changes, over restarts: two answers with the same version saw the same map.
    pub version: u64,
    /// Through which epoch each hour's base in RocksDB (and, for hours that Delta owns, in Delta) holds everything.
    pub sealed_through: BTreeMap<Hour, Epoch>,
    /// Through which epoch each hour is archived, per table and class.
    pub archived_through: BTreeMap<(ColdTable, RetentionClass), BTreeMap<Hour, Epoch>>,
    /// Hours whose last seal or archive failed, with the reason; the rest goes on without them.
    pub quarantined: BTreeMap<Hour, String>,
    /// Who owns what; classes, forms and resolutions without an entry own everything locally.
    pub thresholds: BTreeMap<(RetentionClass, Form, Resolution), Thresholds>,
    /// The form of each metric on each day, decided before the day's first seal and never changed within it.
    pub forms: Arc<BTreeMap<(RetentionClass, Day, MetricId), Form>>,
    pub delta: DeltaVersions,
}

impl TierMap {
    /// How a metric's chunks of a day are kept; an undecided day counts as identity, which is what a small or new
    /// metric becomes.
    pub fn form(&self, class: RetentionClass, metric: MetricId, day: Day) -> Form {
        self.forms.get(&(class, day, metric)).copied().unwrap_or(Form::Raw1m)
    }

    pub fn thresholds(&self, class: RetentionClass, form: Form, resolution: Resolution) -> Thresholds {
        self.thresholds.get(&(class, form, resolution)).copied().unwrap_or_default()
    }

    pub fn owner(&self, class: RetentionClass, form: Form, resolution: Resolution, hour: Hour) -> Owner {
        self.thresholds(class, form, resolution).owner(hour)
    }

    /// The epoch through which RocksDB's base of an hour holds everything.
    pub fn sealed_through(&self, hour: Hour) -> Epoch {
        self.sealed_through.get(&hour).copied().unwrap_or(Epoch::ZERO)
    }

    /// The epoch through which a Delta table holds everything of an hour.
    pub fn archived_through(&self, table: ColdTable, class: RetentionClass, hour: Hour) -> Epoch {
        self.archived_through.get(&(table, class)).and_then(|hours| hours.get(&hour)).copied().unwrap_or(Epoch::ZERO)
    }

    /// The epoch through which the data that *answers* for a bucket holds everything; runs and head newer than
    /// that are overlaid.
    pub fn owner_through(&self, class: RetentionClass, form: Form, resolution: Resolution, hour: Hour) -> Epoch {
        match self.owner(class, form, resolution, hour) {
            Owner::Local => self.sealed_through(hour),
            Owner::Cold => self.archived_through(ColdTable::of(resolution), class, hour),
            Owner::Expired => Epoch::ZERO,
        }
    }

    /// Whether every data table of `class` holds all that the seal of `hour` holds (half of DROP-1).
    pub fn is_archived(&self, class: RetentionClass, hour: Hour) -> bool {
        let sealed = self.sealed_through(hour);
        sealed > Epoch::ZERO && ColdTable::DATA.iter().all(|&table| self.archived_through(table, class, hour) >= sealed)
    }

    /// The first hour whose raw points some tier still keeps: older points are not taken in, for their rollups
    /// could not be recomputed.
    pub fn intake_floor(&self, class: RetentionClass) -> Hour {
        let lowest = |form| {
            let t = self.thresholds(class, form, Resolution::Raw);
            t.cold_lo.min(t.hot_lo)
        };
        // The higher of both forms: a metric's form for an old day may be either.
        Form::ALL.into_iter().map(lowest).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_has_exactly_one_owner() {
        let t = Thresholds { hot_lo: Hour(10), cold_lo: Hour(4) };
        let owners: Vec<Owner> = [0, 3, 4, 9, 10, 99].into_iter().map(|h| t.owner(Hour(h))).collect();
        use Owner::{Cold, Expired, Local};
        assert_eq!(owners, [Expired, Expired, Cold, Cold, Local, Local]);
    }

    #[test]
    fn the_through_of_an_hour_is_its_owners() {
        let mut map = TierMap::default();
        let class = RetentionClass::DEFAULT;
        map.sealed_through.insert(Hour(5), Epoch(9));
        map.archived_through.entry((ColdTable::Raw, class)).or_default().insert(Hour(5), Epoch(7));
        assert_eq!(map.owner_through(class, Form::Raw, Resolution::Raw, Hour(5)), Epoch(9));
        map.thresholds.insert((class, Form::Raw, Resolution::Raw), Thresholds { hot_lo: Hour(6), cold_lo: Hour(0) });
        assert_eq!(map.owner_through(class, Form::Raw, Resolution::Raw, Hour(5)), Epoch(7));
        assert!(!map.is_archived(class, Hour(5)));
    }
}
