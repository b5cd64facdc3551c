//! The persisted records of the series index (`docs/formats/series.md`): keys and values of the column families
//! `series` and `act`.
//!
//! series created ─▶ `symbol`, `labels`, `identity`, `counters` in one write · day of a point ─▶ `activity`
//!
//! Keys are big-endian so that they sort as numbers; values begin with a version byte, their numbers are varints.
//! Decoders take any bytes and return an error for what they did not write. Checksums are not here: these
//! records live only in RocksDB, whose blocks have them.

use thiserror::Error;

use crate::batch::MetricMetadata;
use crate::ids::{MetricId, RetentionClass, SeriesHash, Sid};
use crate::time::{Day, Hour};
use crate::varint::{ReadError, Reader, put_uvarint};

/// The version that every value begins with.
const VERSION: u8 = 1;

const COUNTERS_TAG: u8 = 0x00;
const IDENTITY_TAG: u8 = 0x01;
const LABELS_TAG: u8 = 0x02;
const SYMBOL_TAG: u8 = 0x03;
const METADATA_TAG: u8 = 0x04;

/// A record that these decoders did not write, or that was damaged since.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SeriesRecordError {
    #[error("version {0} is not known to this build")]
    Version(u8),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("number is wider than 32 bits")]
    TooLarge,
    #[error("{0} bytes follow the record's end")]
    Long(usize),
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("key does not name a record of the series index")]
    Key,
    #[error("kind {0} of a series is not known to this build")]
    Kind(u8),
    #[error("a series without a retention class")]
    NoClass,
}

/// A string of the index, by number: label names and values, and metric names. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u32);

/// A key of column family `series`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeriesKey {
    /// The numbers to give out next.
    Counters,
    /// Who has this hash.
    Identity(SeriesHash),
    /// The labels of a series.
    Labels(Sid),
    /// The text of a symbol.
    Symbol(Symbol),
    /// What senders said of a metric.
    Metadata(MetricId),
}

impl SeriesKey {
    pub fn encode(self) -> Vec<u8> {
        let (tag, number) = match self {
            Self::Counters => return vec![COUNTERS_TAG],
            Self::Identity(hash) => {
                let mut key = vec![IDENTITY_TAG];
                key.extend_from_slice(&hash.0.to_be_bytes());
                return key;
            }
            Self::Labels(sid) => (LABELS_TAG, sid.0),
            Self::Symbol(symbol) => (SYMBOL_TAG, symbol.0),
            Self::Metadata(metric) => (METADATA_TAG, metric.0),
        };
        let mut key = vec![tag];
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    pub fn decode(key: &[u8]) -> Result<Self, SeriesRecordError> {
        let (&tag, rest) = key.split_first().ok_or(SeriesRecordError::Key)?;
        let number = || rest.try_into().map(u32::from_be_bytes).map_err(|_| SeriesRecordError::Key);
        match tag {
            COUNTERS_TAG if rest.is_empty() => Ok(Self::Counters),
            IDENTITY_TAG => {
                let hash = rest.try_into().map_err(|_| SeriesRecordError::Key)?;
                Ok(Self::Identity(SeriesHash(u128::from_be_bytes(hash))))
            }
            LABELS_TAG => Ok(Self::Labels(Sid(number()?))),
            SYMBOL_TAG => Ok(Self::Symbol(Symbol(number()?))),
            METADATA_TAG => Ok(Self::Metadata(MetricId(number()?))),
            _ => Err(SeriesRecordError::Key),
        }
    }
}

/// The numbers to give out next; kept so that removing the highest series or symbol never makes its number free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountersRecord {
    pub next_sid: u32,
    pub next_symbol: u32,
}

impl CountersRecord {
    pub fn encode(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_uvarint(&mut out, self.next_sid.into());
        put_uvarint(&mut out, self.next_symbol.into());
        out
    }

    pub fn decode(value: &[u8]) -> Result<Self, SeriesRecordError> {
        let mut reader = versioned(value)?;
        let record = Self { next_sid: number(&mut reader)?, next_symbol: number(&mut reader)? };
        finish(reader, record)
    }
}

/// What a series' points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesKind {
    Float,
}

impl SeriesKind {
    fn code(self) -> u8 {
        match self {
            Self::Float => 0,
        }
    }

    fn from_code(code: u8) -> Result<Self, SeriesRecordError> {
        match code {
            0 => Ok(Self::Float),
            other => Err(SeriesRecordError::Kind(other)),
        }
    }
}

/// From which hour on a series belongs to a retention class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassFrom {
    pub from: Hour,
    pub class: RetentionClass,
}

/// Who a hash names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRecord {
    pub sid: Sid,
    pub metric: MetricId,
    pub created: Day,
    pub kind: SeriesKind,
    /// Ascending by hour, never empty.
    pub classes: Vec<ClassFrom>,
}

impl IdentityRecord {
    /// The class of hours from now on.
    pub fn class(&self) -> RetentionClass {
        self.classes.last().map_or(RetentionClass::DEFAULT, |last| last.class)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for number in [self.sid.0, self.metric.0, self.created.0] {
            put_uvarint(&mut out, number.into());
        }
        out.push(self.kind.code());
        out.push(u8::try_from(self.classes.len()).expect("a series changes its class fewer than 255 times"));
        for entry in &self.classes {
            put_uvarint(&mut out, entry.from.0.into());
            out.push(entry.class.0);
        }
        out
    }

    pub fn decode(value: &[u8]) -> Result<Self, SeriesRecordError> {
        let mut reader = versioned(value)?;
        let sid = Sid(number(&mut reader)?);
        let metric = MetricId(number(&mut reader)?);
        let created = Day(number(&mut reader)?);
        let kind = SeriesKind::from_code(reader.u8()?)?;
        let count = reader.u8()?;
        let mut classes = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let from = Hour(number(&mut reader)?);
            classes.push(ClassFrom { from, class: RetentionClass(reader.u8()?) });
        }
        if classes.is_empty() {
            return Err(SeriesRecordError::NoClass);
        }
        finish(reader, Self { sid, metric, created, kind, classes })
    }
}

/// Name and value of one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSymbols {
    pub name: Symbol,
    pub value: Symbol,
}

/// Writes the labels of a series, in the order of its canonical labels.
pub fn encode_labels(labels: &[LabelSymbols]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + labels.len() * 4);
    out.push(VERSION);
    for label in labels {
        put_uvarint(&mut out, label.name.0.into());
        put_uvarint(&mut out, label.value.0.into());
    }
    out
}

/// Reads what [`encode_labels`] wrote.
pub fn decode_labels(value: &[u8]) -> Result<Box<[LabelSymbols]>, SeriesRecordError> {
    let mut reader = versioned(value)?;
    let mut labels = Vec::with_capacity(reader.rest().len() / 2);
    while !reader.is_empty() {
        let name = Symbol(number(&mut reader)?);
        labels.push(LabelSymbols { name, value: Symbol(number(&mut reader)?) });
    }
    Ok(labels.into_boxed_slice())
}

/// Writes the text of a symbol.
pub fn encode_symbol(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + text.len());
    out.push(VERSION);
    out.extend_from_slice(text.as_bytes());
    out
}

/// Reads what [`encode_symbol`] wrote.
pub fn decode_symbol(value: &[u8]) -> Result<&str, SeriesRecordError> {
    let reader = versioned(value)?;
    std::str::from_utf8(reader.rest()).map_err(|_| SeriesRecordError::NotUtf8)
}

/// Writes what senders said of a metric: each field as presence, length, text.
pub fn encode_metadata(said: &MetricMetadata) -> Vec<u8> {
    let mut out = vec![VERSION];
    for field in [&said.unit, &said.kind, &said.help] {
        match field {
            None => out.push(0),
            Some(text) => {
                out.push(1);
                put_uvarint(&mut out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out
}

/// Reads what [`encode_metadata`] wrote.
pub fn decode_metadata(value: &[u8]) -> Result<MetricMetadata, SeriesRecordError> {
    let mut reader = versioned(value)?;
    let mut field = || -> Result<Option<String>, SeriesRecordError> {
        if reader.u8()? == 0 {
            return Ok(None);
        }
        let len = usize::try_from(reader.uvarint()?).map_err(|_| SeriesRecordError::TooLarge)?;
        let text = reader.take(len)?;
        std::str::from_utf8(text).map(|text| Some(text.to_owned())).map_err(|_| SeriesRecordError::NotUtf8)
    };
    let said = MetricMetadata { unit: field()?, kind: field()?, help: field()? };
    finish(reader, said)
}

/// A key of column family `act`: the 65,536 series with the same upper half of their number, on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivityKey {
    pub day: Day,
    /// The upper 16 bits of the series' numbers.
    pub high: u16,
}

impl ActivityKey {
    /// The least key of a day: the end of the range of all earlier days.
    pub fn first_of(day: Day) -> Self {
        Self { day, high: 0 }
    }

    pub fn encode(self) -> [u8; 6] {
        let mut key = [0; 6];
        key[..4].copy_from_slice(&self.day.0.to_be_bytes());
        key[4..].copy_from_slice(&self.high.to_be_bytes());
        key
    }

    pub fn decode(key: &[u8]) -> Result<Self, SeriesRecordError> {
        let key: &[u8; 6] = key.try_into().map_err(|_| SeriesRecordError::Key)?;
        let [d0, d1, d2, d3, h0, h1] = *key;
        Ok(Self { day: Day(u32::from_be_bytes([d0, d1, d2, d3])), high: u16::from_be_bytes([h0, h1]) })
    }
}

/// Begins a value of column family `act`; a roaring bitmap of the series' numbers follows, in the portable format.
pub fn begin_activity(bitmap_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + bitmap_bytes);
    out.push(VERSION);
    out
}

/// The bitmap of a value of column family `act`.
pub fn activity_bitmap(value: &[u8]) -> Result<&[u8], SeriesRecordError> {
    versioned(value).map(|reader| reader.rest())
}

/// Begins reading a value behind its version byte.
fn versioned(value: &[u8]) -> Result<Reader<'_>, SeriesRecordError> {
    let mut reader = Reader::new(value);
    match reader.u8()? {
        VERSION => Ok(reader),
        other => Err(SeriesRecordError::Version(other)),
    }
}

fn number(reader: &mut Reader<'_>) -> Result<u32, SeriesRecordError> {
    u32::try_from(reader.uvarint()?).map_err(|_| SeriesRecordError::TooLarge)
}

fn finish<T>(reader: Reader<'_>, record: T) -> Result<T, SeriesRecordError> {
    if reader.is_empty() { Ok(record) } else { Err(SeriesRecordError::Long(reader.rest().len())) }
}

#[cfg(test)]
mod tests;
