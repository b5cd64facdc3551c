//! Where a seal writes: one table writer a family, each in key order because series come by address.

use std::collections::BTreeMap;

use schemas::Hour;
use schemas::keys::{Family, sealed_key};
use schemas::tier_map::Form;

use super::SealStats;
use super::merge::Merged;
use crate::error::HotError;
use crate::staging::{Staged, TableWriter};
use crate::store::Core;

/// What of a series is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// The chunk, into the family of this form.
    pub(super) chunk: Option<Form>,
    pub(super) minutes: bool,
    pub(super) hour: bool,
}

impl Target {
    pub(super) const NOTHING: Self = Self { chunk: None, minutes: false, hour: false };
}

/// The crash point behind the ingestion into a family.
pub(super) fn crash_point_of(family: Family) -> &'static str {
    match family {
        Family::Raw(_) | Family::Raw1m(_) => "hot.seal.raw_ingested",
        Family::Minute(_) => "hot.seal.m1_ingested",
        Family::Hour(_) => "hot.seal.h1_ingested",
        Family::Run | Family::Log(_) => "hot.seal.ingested",
    }
}

/// The writers of one seal.
#[derive(Debug)]
pub(super) struct Outputs<'a> {
    core: &'a Core,
    hour: Hour,
    writers: BTreeMap<Family, TableWriter<'a>>,
    stats: SealStats,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(core: &'a Core, hour: Hour) -> Self {
        Self { core, hour, writers: BTreeMap::new(), stats: SealStats::default() }
    }

    pub(super) fn put(&mut self, series: &Merged) -> Result<(), HotError> {
        self.stats.series += 1;
        self.stats.points += series.len as u64;
        let week = self.hour.week();
        if let Some(form) = series.target.chunk {
            self.put_value(Family::of_raw(form, self.hour), series, &series.chunk)?;
        }
        if series.target.minutes {
            self.put_row(Family::Minute(week), series, &series.minutes)?;
        }
        if series.target.hour {
            self.put_row(Family::Hour(week), series, &series.hour)?;
        }
        Ok(())
    }

    /// Writes a row, or takes it away where native histograms have replaced every float that it was of.
    fn put_row(&mut self, family: Family, series: &Merged, row: &[u8]) -> Result<(), HotError> {
        match (row.is_empty(), series.has_base) {
            (false, _) => self.put_value(family, series, row),
            (true, true) => {
                let key = sealed_key(self.hour, series.address);
                self.writer(family).delete(&key)
            }
            (true, false) => Ok(()),
        }
    }

    fn put_value(&mut self, family: Family, series: &Merged, value: &[u8]) -> Result<(), HotError> {
        let key = sealed_key(self.hour, series.address);
        self.writer(family).put(&key, value)
    }

    fn writer(&mut self, family: Family) -> &mut TableWriter<'a> {
        let core = self.core;
        self.writers.entry(family).or_insert_with(|| TableWriter::new(core.staging(), core.engine(), family))
    }

    /// Finished files in the order in which they are ingested: raw, then 1-minute, then 1-hour.
    pub(super) fn finish(mut self) -> Result<(Vec<Staged>, SealStats), HotError> {
        let mut staged = Vec::new();
        for (family, writer) in self.writers {
            let files = writer.finish()?;
            let bytes = match family {
                Family::Raw(_) | Family::Raw1m(_) => &mut self.stats.raw_bytes,
                Family::Minute(_) => &mut self.stats.minute_bytes,
                Family::Hour(_) | Family::Run | Family::Log(_) => &mut self.stats.hour_bytes,
            };
            *bytes += files.bytes();
            staged.push(files);
        }
        Ok((staged, self.stats))
    }
}
