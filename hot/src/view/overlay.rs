//! What is newer than the base of an hour: runs, oldest first, then the head.

use std::ops::Bound;
use std::sync::Arc;

use schemas::chunk::ChunkDecoder;
use schemas::keys::{Family, run_hour_prefix, run_key};
use schemas::{Epoch, Hour, Points, SeriesAddress};

use super::{ScanStats, View};
use crate::cursor::{Access, Cursor};
use crate::error::HotError;
use crate::head::Generation;

/// The points of one hour that are newer than an epoch.
#[derive(Debug)]
pub struct Overlay<'v> {
    hour: Hour,
    view: &'v View,
    /// Oldest first.
    runs: Vec<Epoch>,
    /// Oldest first, and all newer than any run.
    generations: Vec<&'v Arc<Generation>>,
}

impl View {
    /// The points of an hour that are newer than `through`; `None` when there are none, the ordinary case for sealed
    /// hours.
    pub fn overlay(&self, hour: Hour, through: Epoch) -> Result<Option<Overlay<'_>>, HotError> {
        let runs = self.runs_newer_than(hour, through);
        // A generation is newer than every base: a seal is through a checkpoint, and what a checkpoint covers has left
        // the head.
        let generations: Vec<_> = self.generations.iter().filter(|generation| generation.holds_hour(hour)).collect();
        if runs.is_empty() && generations.is_empty() {
            return Ok(None);
        }
        Ok(Some(Overlay { hour, view: self, runs, generations }))
    }

    /// Epochs of the runs that hold an hour and are newer than `through`, oldest first.
    pub(crate) fn runs_newer_than(&self, hour: Hour, through: Epoch) -> Vec<Epoch> {
        let newer = self.runs.range((Bound::Excluded(through), Bound::Unbounded));
        newer.filter(|(_, run)| run.hour(hour).is_some()).map(|(&epoch, _)| epoch).collect()
    }

    /// A cursor over one hour of one run.
    pub(crate) fn run_cursor(&self, epoch: Epoch, hour: Hour, access: Access) -> Option<Cursor<'_>> {
        self.cursor(Family::Run, &run_hour_prefix(epoch, hour), access)
    }
}

impl Overlay<'_> {
    /// Gives the settled points of each series that has some to `each`, with its index in `addresses`, which must be
    /// sorted.
    pub fn read(
        &self,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &Points),
    ) -> Result<ScanStats, HotError> {
        let mut stats = ScanStats::default();
        let mut cursors: Vec<(Epoch, Cursor<'_>)> = Vec::with_capacity(self.runs.len());
        for &epoch in &self.runs {
            cursors.extend(self.view.run_cursor(epoch, self.hour, Access::Query).map(|cursor| (epoch, cursor)));
        }
        let mut decoder = ChunkDecoder::default();
        let mut points = Points::default();
        for (index, &address) in addresses.iter().enumerate() {
            points.clear();
            for (epoch, cursor) in &mut cursors {
                let key = run_key(*epoch, self.hour, address);
                if let Some(chunk) = cursor.find(&key)? {
                    stats.rows += 1;
                    stats.bytes += chunk.len() as u64;
                    decoder
                        .decode(chunk, &mut points)
                        .map_err(|error| HotError::damaged("chunk", Family::Run.to_string(), &key, error))?;
                }
            }
            for generation in &self.generations {
                generation.read(address, self.hour.range(), &mut decoder, &mut points)?;
            }
            if !points.is_empty() {
                points.settle();
                stats.points += points.len() as u64;
                each(index, &points);
            }
        }
        Ok(stats)
    }
}
