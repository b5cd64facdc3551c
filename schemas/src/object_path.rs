//! Names of objects in the archive (`docs/formats/delta.md`). Built by types, parsed by types, never from user text.
//!
//! table, hour, class ─▶ [`PartitionDir`] ─┐
//! subject, incarnation, attempt, part ────┴─▶ [`DataFile`] ─▶ `date=2026-11-21/class=default/2026-11-21T07-<incarnation>-<attempt>-<part>.parquet`
//! node, incarnation, number ─▶ [`PositionFile`] ─▶ `_thermocline/nodes/<node>/<incarnation>/position-<number>.json`
//!
//! Every name holds who wrote it (the incarnation) and an attempt that is never used twice, so an upload can neither
//! replace another's file nor be mistaken for one (GC-1). What a file holds is in its tags (`file_tags`), not here.

use std::fmt;

use thiserror::Error;

use crate::ids::RetentionClass;
use crate::tier_map::ColdTable;
use crate::time::{Day, Hour};

/// Where everything that is not a table lies, below the archive's root.
pub const SERVICE_DIR: &str = "_thermocline";

/// Why a text is no name of ours.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PathError {
    #[error("an incarnation is 1 to 64 of the characters A-Z a-z 0-9 - _ ., not {0:?}")]
    Incarnation(String),
    #[error("a node is 1 to 64 of the characters A-Z a-z 0-9 - _ ., not {0:?}")]
    Node(String),
    #[error("{0:?} is not a file of this program")]
    NotOurs(String),
}

/// One life of a node's disk: a node that lost its directory comes back as a new incarnation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(String);

impl Incarnation {
    pub fn new(text: &str) -> Result<Self, PathError> {
        if is_plain(text) { Ok(Self(text.to_owned())) } else { Err(PathError::Incarnation(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a segment of a path as it is, on every store.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.chars().all(|c| c == '.')
}

/// One try to write files: never used twice. Random by process, counted within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    pub process: u64,
    pub number: u32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}", self.process, self.number)
    }
}

impl Attempt {
    fn parse(text: &str) -> Option<Self> {
        if text.len() != 24 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let (process, number) = text.split_at(16);
        Some(Self { process: u64::from_str_radix(process, 16).ok()?, number: u32::from_str_radix(number, 16).ok()? })
    }
}

/// What a data file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Points or rollups of one hour.
    Hour(Hour),
    /// Rows of the table of series.
    Series,
}

/// The name of a data file, without its directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataFile {
    pub subject: Subject,
    pub incarnation: Incarnation,
    pub attempt: Attempt,
    /// Counts the files of one attempt.
    pub part: u32,
}

impl fmt::Display for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Hour(hour) => write!(f, "{hour}")?,
            Subject::Series => f.write_str("series")?,
        }
        write!(f, "-{}-{}-{}.parquet", self.incarnation, self.attempt, self.part)
    }
}

impl DataFile {
    /// Reads the last segment of `path`.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Only the form that `Display` writes, so that two names never mean one file.
        let file = Self::parse_name(name).filter(|file| file.to_string() == name);
        file.ok_or_else(|| PathError::NotOurs(path.to_owned()))
    }

    fn parse_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".parquet")?;
        let (stem, part) = stem.rsplit_once('-')?;
        let (stem, attempt) = stem.rsplit_once('-')?;
        let (subject, incarnation) = if let Some(rest) = stem.strip_prefix("series-") {
            (Subject::Series, rest)
        } else {
            let (hour, rest) = stem.split_at_checked(13)?;
            (Subject::Hour(parse_hour(hour)?), rest.strip_prefix('-')?)
        };
        Some(Self {
            subject,
            incarnation: Incarnation::new(incarnation).ok()?,
            attempt: Attempt::parse(attempt)?,
            part: part.parse().ok()?,
        })
    }
}

/// A node's directory, below the archive's root: the positions of all its incarnations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeDir(String);

impl NodeDir {
    pub fn new(node: &str) -> Result<Self, PathError> {
        if is_plain(node) { Ok(Self(node.to_owned())) } else { Err(PathError::Node(node.to_owned())) }
    }

    pub fn node(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SERVICE_DIR}/nodes/{}", self.0)
    }
}

/// The name of a position (`position`), below the archive's root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PositionFile {
    pub node: NodeDir,
    pub incarnation: Incarnation,
    /// Counts the positions of an incarnation, from 1.
    pub seq: u64,
}

impl fmt::Display for PositionFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twenty digits, so that a listing has them in order.
        write!(f, "{}/{}/position-{:020}.json", self.node, self.incarnation, self.seq)
    }
}

impl PositionFile {
    /// Reads the last five segments of `path`.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        // Only the form that `Display` writes, so that two names never mean one document.
        let file = Self::parse_end(path).filter(|file| {
            let name = file.to_string();
            path == name || path.strip_suffix(&name).is_some_and(|before| before.ends_with('/'))
        });
        file.ok_or_else(|| PathError::NotOurs(path.to_owned()))
    }

    fn parse_end(path: &str) -> Option<Self> {
        let mut segments = path.rsplit('/');
        let seq = segments.next()?.strip_prefix("position-")?.strip_suffix(".json")?.parse().ok()?;
        let incarnation = Incarnation::new(segments.next()?).ok()?;
        Some(Self { node: NodeDir::new(segments.next()?).ok()?, incarnation, seq })
    }
}

/// A partition of a table: the directory of its files, and what the Delta log says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionDir {
    /// `date` or `month`.
    pub column: &'static str,
    /// The day, or the first day of the month.
    pub first_day: Day,
    pub class: RetentionClass,
}

impl PartitionDir {
    /// The partition of `table` that holds `hour`; `None` for the table of series, which has none.
    pub fn of(table: ColdTable, hour: Hour, class: RetentionClass) -> Option<Self> {
        let column = partition_column(table)?;
        let first_day = partition_start(table, hour.day());
        Some(Self { column, first_day, class })
    }

    /// Name and value of both partition columns.
    pub fn values(&self) -> [(&'static str, String); 2] {
        [(self.column, self.first_day.to_string()), ("class", self.class.name())]
    }
}

impl fmt::Display for PartitionDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}/class={}", self.column, self.first_day, self.class.name())
    }
}

/// The partition column of a table that speaks of time.
pub fn partition_column(table: ColdTable) -> Option<&'static str> {
    match table {
        ColdTable::Series => None,
        ColdTable::Raw | ColdTable::Rollup1m => Some("date"),
        ColdTable::Rollup1h => Some("month"),
    }
}

/// The first day after the partition that begins on `first_day`.
pub fn partition_end(table: ColdTable, first_day: Day) -> Day {
    match partition_column(table) {
        Some("month") => {
            let (year, month, _) = first_day.civil();
            let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            day_of_civil(year, month, 1).unwrap_or(Day(u32::MAX))
        }
        _ => Day(first_day.0.saturating_add(1)),
    }
}

/// Reads [`RetentionClass::name`].
pub fn parse_class(name: &str) -> Option<RetentionClass> {
    if name == RetentionClass::DEFAULT.name() {
        return Some(RetentionClass::DEFAULT);
    }
    let class = RetentionClass(name.strip_prefix("class")?.parse().ok()?);
    (class.name() == name).then_some(class)
}

/// Reads a day as [`Day`] writes it: `2026-11-21`.
pub fn parse_day(text: &str) -> Option<Day> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let parsed = day_of_civil(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    (parsed.to_string() == text).then_some(parsed)
}

fn parse_hour(text: &str) -> Option<Hour> {
    let (day, hour) = text.split_once('T')?;
    let of_day: u32 = hour.parse().ok().filter(|hour| *hour < 24)?;
    Some(Hour(parse_day(day)?.0.checked_mul(24)?.checked_add(of_day)?))
}

/// First day of a table's partition that holds a day.
pub fn partition_start(table: ColdTable, day: Day) -> Day {
    if partition_column(table) == Some("month") { first_of_month(day) } else { day }
}

fn first_of_month(day: Day) -> Day {
    let (_, _, of_month) = day.civil();
    Day(day.0 - (of_month - 1))
}

/// By Howard Hinnant's `days_from_civil`; `None` for what no calendar has, or before 1970.
fn day_of_civil(year: i32, month: u32, day: u32) -> Option<Day> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    u32::try_from(era * 146_097 + day_of_era - 719_468).ok().map(Day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> DataFile {
        DataFile {
            subject: Subject::Hour(Hour(20_778 * 24 + 7)),
            incarnation: Incarnation::new("node-1.a_b").expect("plain"),
            attempt: Attempt { process: 0xfeed_beef, number: 12 },
            part: 3,
        }
    }

    #[test]
    fn names_are_golden_and_parse_back() {
        let file = file();
        let name = file.to_string();
        assert_eq!(name, "2026-11-21T07-node-1.a_b-00000000feedbeef0000000c-3.parquet");
        assert_eq!(DataFile::parse(&format!("date=2026-11-21/class=default/{name}")), Ok(file.clone()));
        let series = DataFile { subject: Subject::Series, ..file };
        assert_eq!(DataFile::parse(&series.to_string()), Ok(series));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in
            ["part-00000-c000.snappy.parquet", "", "2026-11-21T07", "é-é-é.parquet", "2026-11-21T24-a-0-0.parquet"]
        {
            assert!(DataFile::parse(name).is_err(), "{name}");
        }
        assert!(Incarnation::new("a/b").is_err());
        assert!(Incarnation::new("").is_err() && Incarnation::new("..").is_err());
    }

    #[test]
    fn positions_are_golden_and_parse_back() {
        let file = PositionFile {
            node: NodeDir::new("node-7").expect("plain"),
            incarnation: Incarnation::new("a1b2").expect("plain"),
            seq: 42,
        };
        let name = "_thermocline/nodes/node-7/a1b2/position-00000000000000000042.json";
        assert_eq!(file.to_string(), name);
        assert_eq!(PositionFile::parse(name), Ok(file.clone()));
        assert_eq!(PositionFile::parse(&format!("bucket/archive/{name}")), Ok(file));
        let foreign = [
            "_thermocline/nodes/node-7/a1b2/position-42.json",
            "x_thermocline/nodes/node-7/a1b2/position-00000000000000000042.json",
            "nodes/node-7/a1b2/position-00000000000000000042.json",
            "_thermocline/nodes/node-7/a1b2/position-00000000000000000042.json#1",
            "_thermocline/nodes/../a1b2/position-00000000000000000042.json",
            "",
        ];
        for name in foreign {
            assert!(PositionFile::parse(name).is_err(), "{name}");
        }
        assert!(NodeDir::new("a/b").is_err() && NodeDir::new("..").is_err());
    }

    #[test]
    fn every_day_parses_back() {
        for day in (0..120_000).step_by(13) {
            assert_eq!(parse_day(&Day(day).to_string()), Some(Day(day)));
        }
        for text in ["2026-02-30", "2026-1-1", "26-01-01", "2026-13-01", "x"] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn partitions_are_days_and_months() {
        let hour = Hour(20_778 * 24 + 7);
        let raw = PartitionDir::of(ColdTable::Raw, hour, RetentionClass::DEFAULT).expect("partitioned");
        assert_eq!(raw.to_string(), "date=2026-11-21/class=default");
        let hourly = PartitionDir::of(ColdTable::Rollup1h, hour, RetentionClass(3)).expect("partitioned");
        assert_eq!(hourly.to_string(), "month=2026-11-01/class=class3");
        assert_eq!(partition_end(ColdTable::Rollup1h, hourly.first_day).to_string(), "2026-12-01");
        assert_eq!(partition_end(ColdTable::Raw, raw.first_day).to_string(), "2026-11-22");
        assert_eq!(PartitionDir::of(ColdTable::Series, hour, RetentionClass::DEFAULT), None);
    }

    #[test]
    fn classes_parse_back() {
        for class in [RetentionClass::DEFAULT, RetentionClass(1), RetentionClass(255)] {
            assert_eq!(parse_class(&class.name()), Some(class));
        }
        assert_eq!(parse_class("class0"), None, "class 0 is called default");
        assert_eq!(parse_class("gold"), None);
    }
}
