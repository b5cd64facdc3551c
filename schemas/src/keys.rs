//! Names of column families and keys of RocksDB (`docs/formats/keys.md`).
//!
//! (epoch, hour, class, metric, sid) ─▶ big-endian bytes ─▶ sorted as the tuple sorts
//!
//! Every number is big-endian, so that bytes sort as numbers do. Runs sort by epoch first, since a run is written and
//! dropped as a whole; sealed data by class first, since a class is dropped by itself. Keys of the series index are in
//! [`series_record`](crate::series_record), keys of the meta family in [`meta`](crate::meta).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::ids::{Epoch, MetricId, RetentionClass, SeriesAddress, Sid};
use crate::tier_map::Form;
use crate::time::{Day, Hour, Week};

/// Bytes of a key in the run family.
pub const RUN_KEY_BYTES: usize = 17;
/// Bytes of a key in the families of sealed data.
pub const SEALED_KEY_BYTES: usize = 13;

/// A name or a key that this version did not write.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum KeyError {
    #[error("no column family is named {0:?}")]
    Family(String),
    #[error("key has {found} bytes instead of {expected}")]
    Length { expected: usize, found: usize },
}

/// A column family that the hot store makes and drops while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Runs of flushed epochs.
    Run,
    /// The log of one epoch.
    Log(Epoch),
    /// Raw chunks of one day.
    Raw(Day),
    /// Raw chunks of one day that serve 1-minute reads too.
    Raw1m(Day),
    /// 1-minute rows of one week.
    Minute(Week),
    /// 1-hour rows of one week.
    Hour(Week),
}

impl Family {
    /// Where raw chunks of an hour are, for metrics of this form.
    pub fn of_raw(form: Form, hour: Hour) -> Self {
        match form {
            Form::Raw => Self::Raw(hour.day()),
            Form::Raw1m => Self::Raw1m(hour.day()),
        }
    }

    /// The hours that a family of sealed data spans; `None` for logs and runs.
    pub fn hours(self) -> Option<crate::time::HourRange> {
        match self {
            Self::Run | Self::Log(_) => None,
            Self::Raw(day) | Self::Raw1m(day) => Some(day.hours()),
            Self::Minute(week) | Self::Hour(week) => Some(week.hours()),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("run"),
            Self::Log(epoch) => write!(f, "log_{}", epoch.0),
            Self::Raw(day) => write!(f, "raw_{}", day.0),
            Self::Raw1m(day) => write!(f, "raw1m_{}", day.0),
            Self::Minute(week) => write!(f, "m1_{}", week.0),
            Self::Hour(week) => write!(f, "h1_{}", week.0),
        }
    }
}

impl FromStr for Family {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        if name == "run" {
            return Ok(Self::Run);
        }
        let unknown = || KeyError::Family(name.to_owned());
        let (kind, number) = name.split_once('_').ok_or_else(unknown)?;
        // Only the form that `Display` writes, so that two names never mean one family.
        let canonical = number == "0" || (!number.starts_with(['0', '+']) && !number.is_empty());
        let number = number.parse::<u32>().ok().filter(|_| canonical).ok_or_else(unknown)?;
        match kind {
            "log" => Ok(Self::Log(Epoch(number))),
            "raw" => Ok(Self::Raw(Day(number))),
            "raw1m" => Ok(Self::Raw1m(Day(number))),
            "m1" => Ok(Self::Minute(Week(number))),
            "h1" => Ok(Self::Hour(Week(number))),
            _ => Err(unknown()),
        }
    }
}

/// Key of a log record: its number, counted from 0 in each epoch.
pub fn log_key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// The number of a log record.
pub fn parse_log_key(key: &[u8]) -> Result<u64, KeyError> {
    Ok(u64::from_be_bytes(exactly(key)?))
}

/// `epoch, hour, class, metric, sid`: a chunk of a run.
pub fn run_key(epoch: Epoch, hour: Hour, address: SeriesAddress) -> [u8; RUN_KEY_BYTES] {
    let mut key = [0; RUN_KEY_BYTES];
    key[..4].copy_from_slice(&epoch.0.to_be_bytes());
    key[4..8].copy_from_slice(&hour.0.to_be_bytes());
    key[8] = address.class.0;
    key[9..13].copy_from_slice(&address.metric.0.to_be_bytes());
    key[13..].copy_from_slice(&address.sid.0.to_be_bytes());
    key
}

/// What [`run_key`] wrote.
pub fn parse_run_key(key: &[u8]) -> Result<(Epoch, Hour, SeriesAddress), KeyError> {
    let key: [u8; RUN_KEY_BYTES] = exactly(key)?;
    Ok((Epoch(u32_at(&key, 0)), Hour(u32_at(&key, 4)), address_at(&key, 8, 9)))
}

/// The first key of an epoch's run.
pub fn run_epoch_prefix(epoch: Epoch) -> [u8; 4] {
    epoch.0.to_be_bytes()
}

/// The start of all keys of one hour of a run.
pub fn run_hour_prefix(epoch: Epoch, hour: Hour) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&epoch.0.to_be_bytes());
    key[4..].copy_from_slice(&hour.0.to_be_bytes());
    key
}

/// `class, hour, metric, sid`: a chunk or a row of sealed data.
pub fn sealed_key(hour: Hour, address: SeriesAddress) -> [u8; SEALED_KEY_BYTES] {
    let mut key = [0; SEALED_KEY_BYTES];
    key[..5].copy_from_slice(&sealed_hour_prefix(address.class, hour));
    key[5..9].copy_from_slice(&address.metric.0.to_be_bytes());
    key[9..].copy_from_slice(&address.sid.0.to_be_bytes());
    key
}

/// What [`sealed_key`] wrote.
pub fn parse_sealed_key(key: &[u8]) -> Result<(Hour, SeriesAddress), KeyError> {
    let key: [u8; SEALED_KEY_BYTES] = exactly(key)?;
    Ok((Hour(u32_at(&key, 1)), address_at(&key, 0, 5)))
}

/// The start of all keys of one class and hour in a family of sealed data.
pub fn sealed_hour_prefix(class: RetentionClass, hour: Hour) -> [u8; 5] {
    let mut key = [0; 5];
    key[0] = class.0;
    key[1..].copy_from_slice(&hour.0.to_be_bytes());
    key
}

fn exactly<const N: usize>(key: &[u8]) -> Result<[u8; N], KeyError> {
    key.try_into().map_err(|_| KeyError::Length { expected: N, found: key.len() })
}

fn u32_at(key: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(key[at..at + 4].try_into().expect("four bytes"))
}

fn address_at(key: &[u8], class_at: usize, metric_at: usize) -> SeriesAddress {
    SeriesAddress {
        class: RetentionClass(key[class_at]),
        metric: MetricId(u32_at(key, metric_at)),
        sid: Sid(u32_at(key, metric_at + 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(class: u8, metric: u32, sid: u32) -> SeriesAddress {
        SeriesAddress { class: RetentionClass(class), metric: MetricId(metric), sid: Sid(sid) }
    }

    #[test]
    fn keys_sort_as_their_tuples_and_come_back() {
        let numbers = [0, 1, 255, 256, u32::MAX];
        let mut runs = Vec::new();
        for &epoch in &numbers {
            for &hour in &numbers {
                for class in [0, 1, 255] {
                    for &metric in &numbers {
                        runs.push((Epoch(epoch), Hour(hour), address(class, metric, metric ^ 7)));
                    }
                }
            }
        }
        runs.sort();
        let keys: Vec<_> = runs.iter().map(|&(e, h, a)| run_key(e, h, a)).collect();
        assert!(keys.is_sorted());
        for (key, want) in keys.iter().zip(&runs) {
            assert_eq!(parse_run_key(key).as_ref(), Ok(want));
            let sealed = sealed_key(want.1, want.2);
            assert_eq!(parse_sealed_key(&sealed), Ok((want.1, want.2)));
            assert!(sealed.starts_with(&sealed_hour_prefix(want.2.class, want.1)));
            assert!(key.starts_with(&run_hour_prefix(want.0, want.1)));
        }
    }

    /// `kind numbers… hex`, a key a line.
    #[test]
    fn golden_keys_of_version_1_are_read_and_written_alike() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/keys/v1/keys.txt");
        let text = std::fs::read_to_string(path).expect("golden keys");
        for line in text.lines() {
            let (what, hex) = line.rsplit_once(' ').expect("a key");
            let key: Vec<u8> =
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect();
            let numbers: Vec<u32> = what.split(' ').skip(1).map(|number| number.parse().expect("a number")).collect();
            let class = |number: u32| u8::try_from(number).expect("a class");
            match (what.split(' ').next().expect("a kind"), numbers.as_slice()) {
                ("log", &[number]) => {
                    assert_eq!(
                        (log_key(u64::from(number)).to_vec(), parse_log_key(&key)),
                        (key, Ok(u64::from(number)))
                    );
                }
                ("run", &[epoch, hour, c, metric, sid]) => {
                    let (epoch, hour, address) = (Epoch(epoch), Hour(hour), address(class(c), metric, sid));
                    assert_eq!(parse_run_key(&key), Ok((epoch, hour, address)));
                    assert_eq!(run_key(epoch, hour, address).to_vec(), key);
                }
                ("sealed", &[c, hour, metric, sid]) => {
                    let (hour, address) = (Hour(hour), address(class(c), metric, sid));
                    assert_eq!(parse_sealed_key(&key), Ok((hour, address)));
                    assert_eq!(sealed_key(hour, address).to_vec(), key);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(text.lines().count() >= 6);
    }

    #[test]
    fn keys_of_another_length_are_errors() {
        assert!(parse_run_key(&[0; 16]).is_err());
        assert!(parse_sealed_key(&[0; 14]).is_err());
        assert!(parse_log_key(&[]).is_err());
    }

    #[test]
    fn family_names_come_back_and_others_are_refused() {
        use Family::{Hour as H, Log, Minute, Raw, Raw1m, Run};
        for family in [Run, Log(Epoch(7)), Raw(Day(20_778)), Raw1m(Day(0)), Minute(Week(2_968)), H(Week(2_968))] {
            assert_eq!(family.to_string().parse(), Ok(family));
        }
        for name in ["", "log", "log_", "log_07", "log_+7", "log_-1", "raw_4294967296", "m2_1", "series"] {
            assert!(name.parse::<Family>().is_err(), "{name}");
        }
    }
}
