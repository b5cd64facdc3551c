//! Records of the meta family: all that a hot store knows of itself beside points and series (`docs/formats/meta.md`).
//!
//! [`MetaRecord`] ─▶ key and value ─▶ RocksDB, synced ─▶ [`MetaRecord`]
//!
//! One record a fact, so that changing one fact writes one small value; facts that must change together go in one
//! write batch. A key says what kind of fact it is and about what; a value opens with its version. The tier map, the
//! list of runs and the checkpoint are rebuilt from these records at start, and coverage is never guessed from data.

use thiserror::Error;

use crate::ids::{Epoch, MetricId, RetentionClass};
use crate::kafka::TopicPartition;
use crate::tier_map::{ColdTable, DeltaVersions, Form, Thresholds};
use crate::time::{Day, Hour, Resolution};
use crate::varint::{ReadError, Reader, put_uvarint};

#[cfg(test)]
mod tests;

/// The version of the directory as a whole; a newer one is refused.
pub const FORMAT_VERSION: u32 = 1;
/// The first byte of every value.
const VALUE_VERSION: u8 = 1;

/// Why a record does not decode.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MetaError {
    #[error("meta key {0:02x?} is of a kind that this version of thermocline does not know")]
    Key(Vec<u8>),
    #[error("meta value has version {found}, which this version of thermocline does not know")]
    Version { found: u8 },
    #[error("meta record is malformed: {0}")]
    Read(#[from] ReadError),
    #[error("meta record is malformed: {0}")]
    Value(&'static str),
}

/// What a run holds of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHour {
    pub hour: Hour,
    /// Points of the hour in this run, each (series, timestamp) once.
    pub points: u64,
    /// The retention classes of its series, ascending.
    pub classes: Vec<RetentionClass>,
}

/// A run: the points of an epoch (or of several, merged into the newest) as sorted chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    pub epoch: Epoch,
    /// The oldest epoch that it may have points of: its own, unless runs were merged into it.
    pub oldest: Epoch,
    /// Its hours, ascending.
    pub hours: Vec<RunHour>,
}

impl RunRecord {
    pub fn points(&self) -> u64 {
        self.hours.iter().map(|hour| hour.points).sum()
    }

    pub fn hour(&self, hour: Hour) -> Option<&RunHour> {
        self.hours.binary_search_by_key(&hour, |held| held.hour).ok().map(|at| &self.hours[at])
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaRecord {
    /// The version of the directory.
    Format(u32),
    /// 128 random bits in hex, made with the directory: names the life of this data in the archive.
    Incarnation(String),
    /// Everything up to this epoch is in runs; logs at or below it are not replayed.
    Checkpoint(Epoch),
    Run(RunRecord),
    SealedThrough(Hour, Epoch),
    ArchivedThrough(ColdTable, RetentionClass, Hour, Epoch),
    Thresholds(RetentionClass, Form, Resolution, Thresholds),
    Form(RetentionClass, Day, MetricId, Form),
    Quarantine(Hour, String),
    /// Older points of the class are refused.
    IntakeFloor(RetentionClass, Hour),
    Delta(DeltaVersions),
    /// The version of the tier map that the facts make; written with each that changes the map.
    MapVersion(u64),
    /// Everything of a Kafka partition before an offset came in this epoch or an earlier one (OFF-1).
    KafkaOffset(Epoch, TopicPartition, KafkaOffset),
}

/// How far a Kafka partition is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KafkaOffset {
    /// The offset of the next message.
    pub next: i64,
    /// Whether the archive is to know it, so that a node without its disk can go on from there.
    pub archived: bool,
}

/// What a fact is about that may cease to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaKey {
    Run(Epoch),
    SealedThrough(Hour),
    ArchivedThrough(ColdTable, RetentionClass, Hour),
    Form(RetentionClass, Day, MetricId),
    Quarantine(Hour),
    KafkaOffset(Epoch, TopicPartition),
}

const FORMAT: u8 = 0x00;
const INCARNATION: u8 = 0x01;
const CHECKPOINT: u8 = 0x02;
const RUN: u8 = 0x03;
const SEALED: u8 = 0x04;
const ARCHIVED: u8 = 0x05;
const THRESHOLDS: u8 = 0x06;
const FORM: u8 = 0x07;
const QUARANTINE: u8 = 0x08;
const INTAKE_FLOOR: u8 = 0x09;
const DELTA: u8 = 0x0a;
const MAP_VERSION: u8 = 0x0b;
const KAFKA_OFFSET: u8 = 0x0c;

impl MetaKey {
    /// The key of the record.
    pub fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Run(epoch) => with_u32s(vec![RUN], &[epoch.0]),
            Self::SealedThrough(hour) => with_u32s(vec![SEALED], &[hour.0]),
            Self::ArchivedThrough(table, class, hour) => {
                with_u32s(vec![ARCHIVED, table_code(table), class.0], &[hour.0])
            }
            Self::Form(class, day, metric) => with_u32s(vec![FORM, class.0], &[day.0, metric.0]),
            Self::Quarantine(hour) => with_u32s(vec![QUARANTINE], &[hour.0]),
            Self::KafkaOffset(epoch, ref of) => kafka_offset_key(epoch, of),
        }
    }
}

impl MetaRecord {
    /// The key: what the fact is about.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Format(_) => vec![FORMAT],
            Self::Incarnation(_) => vec![INCARNATION],
            Self::Checkpoint(_) => vec![CHECKPOINT],
            Self::Run(run) => MetaKey::Run(run.epoch).bytes(),
            Self::SealedThrough(hour, _) => MetaKey::SealedThrough(*hour).bytes(),
            Self::ArchivedThrough(table, class, hour, _) => MetaKey::ArchivedThrough(*table, *class, *hour).bytes(),
            Self::Thresholds(class, form, resolution, _) => {
                vec![THRESHOLDS, class.0, form_code(*form), resolution_code(*resolution)]
            }
            Self::Form(class, day, metric, _) => MetaKey::Form(*class, *day, *metric).bytes(),
            Self::Quarantine(hour, _) => MetaKey::Quarantine(*hour).bytes(),
            Self::IntakeFloor(class, _) => vec![INTAKE_FLOOR, class.0],
            Self::Delta(_) => vec![DELTA],
            Self::MapVersion(_) => vec![MAP_VERSION],
            Self::KafkaOffset(epoch, of, _) => kafka_offset_key(*epoch, of),
        }
    }

    /// The value: what is so.
    pub fn value(&self) -> Vec<u8> {
        let mut out = vec![VALUE_VERSION];
        match self {
            Self::Format(version) => put_uvarint(&mut out, u64::from(*version)),
            Self::Incarnation(text) | Self::Quarantine(_, text) => out.extend_from_slice(text.as_bytes()),
            Self::Checkpoint(epoch) | Self::SealedThrough(_, epoch) | Self::ArchivedThrough(_, _, _, epoch) => {
                put_uvarint(&mut out, u64::from(epoch.0));
            }
            Self::Run(run) => put_run(&mut out, run),
            Self::Thresholds(_, _, _, thresholds) => {
                put_uvarint(&mut out, u64::from(thresholds.hot_lo.0));
                put_uvarint(&mut out, u64::from(thresholds.cold_lo.0));
            }
            Self::Form(_, _, _, form) => out.push(form_code(*form)),
            Self::IntakeFloor(_, hour) => put_uvarint(&mut out, u64::from(hour.0)),
            Self::Delta(versions) => {
                for table in ColdTable::ALL {
                    // 0 says "no version yet", so versions are shifted by one.
                    put_uvarint(&mut out, versions.get(table).map_or(0, |version| version.saturating_add(1)));
                }
            }
            Self::MapVersion(version) => put_uvarint(&mut out, *version),
            Self::KafkaOffset(_, _, offset) => {
                put_uvarint(&mut out, offset.next.unsigned_abs());
                out.push(u8::from(offset.archived));
            }
        }
        out
    }

    /// Reads a record back.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, MetaError> {
        let mut reader = Reader::new(value);
        let version = reader.u8()?;
        if version != VALUE_VERSION {
            return Err(MetaError::Version { found: version });
        }
        let (&kind, about) = key.split_first().ok_or_else(|| MetaError::Key(key.to_vec()))?;
        let record = decode_kind(kind, about, &mut reader)?.ok_or_else(|| MetaError::Key(key.to_vec()))?;
        if !reader.is_empty() {
            return Err(MetaError::Value("bytes follow the value"));
        }
        Ok(record)
    }
}

fn with_u32s(mut key: Vec<u8>, numbers: &[u32]) -> Vec<u8> {
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}

fn kafka_offset_key(epoch: Epoch, of: &TopicPartition) -> Vec<u8> {
    let mut key = with_u32s(vec![KAFKA_OFFSET], &[epoch.0, of.partition.unsigned_abs()]);
    key.extend_from_slice(of.topic.as_bytes());
    key
}

fn read_kafka_offset(about: &[u8], value: &mut Reader<'_>) -> Result<Option<MetaRecord>, MetaError> {
    let Some((numbers, topic)) = about.split_first_chunk::<8>() else { return Ok(None) };
    let [a, b, c, d, e, f, g, h] = *numbers;
    let partition = i32::try_from(u32::from_be_bytes([e, f, g, h]))
        .map_err(|_| MetaError::Value("a Kafka partition is out of range"))?;
    let topic = std::str::from_utf8(topic).map_err(|_| MetaError::Value("a Kafka topic is not UTF-8"))?;
    let next = i64::try_from(value.uvarint()?).map_err(|_| MetaError::Value("a Kafka offset is out of range"))?;
    let archived = match value.u8()? {
        0 => false,
        1 => true,
        _ => return Err(MetaError::Value("a flag is neither 0 nor 1")),
    };
    let (epoch, of) = (Epoch(u32::from_be_bytes([a, b, c, d])), TopicPartition::new(topic, partition));
    Ok(Some(MetaRecord::KafkaOffset(epoch, of, KafkaOffset { next, archived })))
}

/// `None` for keys of no known kind.
fn decode_kind(kind: u8, about: &[u8], value: &mut Reader<'_>) -> Result<Option<MetaRecord>, MetaError> {
    let record = match (kind, about) {
        (FORMAT, []) => MetaRecord::Format(read_u32(value)?),
        (INCARNATION, []) => MetaRecord::Incarnation(read_text(value)?),
        (CHECKPOINT, []) => MetaRecord::Checkpoint(Epoch(read_u32(value)?)),
        (RUN, &[a, b, c, d]) => MetaRecord::Run(read_run(Epoch(u32::from_be_bytes([a, b, c, d])), value)?),
        (SEALED, &[a, b, c, d]) => {
            MetaRecord::SealedThrough(Hour(u32::from_be_bytes([a, b, c, d])), Epoch(read_u32(value)?))
        }
        (ARCHIVED, &[table, class, a, b, c, d]) => {
            let hour = Hour(u32::from_be_bytes([a, b, c, d]));
            MetaRecord::ArchivedThrough(table_of(table)?, RetentionClass(class), hour, Epoch(read_u32(value)?))
        }
        (THRESHOLDS, &[class, form, resolution]) => {
            let thresholds = Thresholds { hot_lo: Hour(read_u32(value)?), cold_lo: Hour(read_u32(value)?) };
            MetaRecord::Thresholds(RetentionClass(class), form_of(form)?, resolution_of(resolution)?, thresholds)
        }
        (FORM, &[class, a, b, c, d, e, f, g, h]) => {
            let (day, metric) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            MetaRecord::Form(RetentionClass(class), Day(day), MetricId(metric), form_of(value.u8()?)?)
        }
        (QUARANTINE, &[a, b, c, d]) => {
            MetaRecord::Quarantine(Hour(u32::from_be_bytes([a, b, c, d])), read_text(value)?)
        }
        (INTAKE_FLOOR, &[class]) => MetaRecord::IntakeFloor(RetentionClass(class), Hour(read_u32(value)?)),
        (DELTA, []) => {
            let mut versions = DeltaVersions::default();
            for table in ColdTable::ALL {
                if let Some(version) = value.uvarint()?.checked_sub(1) {
                    versions.set(table, version);
                }
            }
            MetaRecord::Delta(versions)
        }
        (MAP_VERSION, []) => MetaRecord::MapVersion(value.uvarint()?),
        (KAFKA_OFFSET, about) => return read_kafka_offset(about, value),
        _ => return Ok(None),
    };
    Ok(Some(record))
}

fn put_run(out: &mut Vec<u8>, run: &RunRecord) {
    put_uvarint(out, run.hours.len() as u64);
    let mut before = 0;
    for held in &run.hours {
        put_uvarint(out, u64::from(held.hour.0 - before));
        put_uvarint(out, held.points);
        put_uvarint(out, held.classes.len() as u64);
        out.extend(held.classes.iter().map(|class| class.0));
        before = held.hour.0;
    }
    if run.oldest < run.epoch {
        put_uvarint(out, u64::from(run.epoch.0 - run.oldest.0));
    }
}

fn read_run(epoch: Epoch, value: &mut Reader<'_>) -> Result<RunRecord, MetaError> {
    let count = value.uvarint()?;
    let mut hours: Vec<RunHour> = Vec::new();
    let mut before = 0_u32;
    for _ in 0..count {
        let gap = read_u32(value)?;
        if gap == 0 && !hours.is_empty() {
            return Err(MetaError::Value("an hour stands twice in a run"));
        }
        let hour = before.checked_add(gap).ok_or(MetaError::Value("an hour is out of range"))?;
        let points = value.uvarint()?;
        let classes = usize::try_from(value.uvarint()?).map_err(|_| MetaError::Value("too many classes"))?;
        let classes = value.take(classes)?.iter().map(|&class| RetentionClass(class)).collect();
        hours.push(RunHour { hour: Hour(hour), points, classes });
        before = hour;
    }
    let merged = if value.is_empty() { 0 } else { read_u32(value)? };
    let oldest = epoch.0.checked_sub(merged).ok_or(MetaError::Value("an epoch is out of range"))?;
    Ok(RunRecord { epoch, oldest: Epoch(oldest), hours })
}

fn read_u32(value: &mut Reader<'_>) -> Result<u32, MetaError> {
    u32::try_from(value.uvarint()?).map_err(|_| MetaError::Value("a number is wider than 32 bits"))
}

fn read_text(value: &mut Reader<'_>) -> Result<String, MetaError> {
    let bytes = value.take(value.rest().len())?;
    String::from_utf8(bytes.to_vec()).map_err(|_| MetaError::Value("text is not UTF-8"))
}

fn form_code(form: Form) -> u8 {
    match form {
        Form::Raw => 0,
        Form::Raw1m => 1,
    }
}

fn form_of(code: u8) -> Result<Form, MetaError> {
    Form::ALL.into_iter().find(|&form| form_code(form) == code).ok_or(MetaError::Value("unknown form"))
}

fn resolution_code(resolution: Resolution) -> u8 {
    match resolution {
        Resolution::Raw => 0,
        Resolution::Minute => 1,
        Resolution::Hour => 2,
    }
}

fn resolution_of(code: u8) -> Result<Resolution, MetaError> {
    let found = Resolution::ALL.into_iter().find(|&resolution| resolution_code(resolution) == code);
    found.ok_or(MetaError::Value("unknown resolution"))
}

fn table_code(table: ColdTable) -> u8 {
    match table {
        ColdTable::Series => 0,
        ColdTable::Raw => 1,
        ColdTable::Rollup1m => 2,
        ColdTable::Rollup1h => 3,
    }
}

fn table_of(code: u8) -> Result<ColdTable, MetaError> {
    ColdTable::ALL.into_iter().find(|&table| table_code(table) == code).ok_or(MetaError::Value("unknown table"))
}
