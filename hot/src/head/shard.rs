//! A shard of a generation: the pages of its series, and one arena for their mini-chunks. The native histograms of a page lie
//! beside it until it is packed.
//!
//! An arena entry is `link to the series' previous mini-chunk (8), length (4), ms from the first timestamp to the last (4),
//! first timestamp (8), chunk`; so a read of one hour passes over the others without looking into them.

use std::sync::Arc;

use hashbrown::HashMap;
use schemas::chunk::{ChunkDecoder, ChunkEncoder};
use schemas::histogram::Histogram;
use schemas::points::Histograms;
use schemas::{Points, SeriesAddress, Sid};
use smallvec::SmallVec;

use super::ShardPoints;
use super::page::{ChunkLink, LINK_BYTES, Page};
use crate::error::HotError;

const LENGTH_AT: usize = LINK_BYTES;
const SPAN_AT: usize = LENGTH_AT + 4;
const FIRST_AT: usize = SPAN_AT + 4;
const ENTRY_HEADER_BYTES: usize = FIRST_AT + 8;

#[derive(Debug, Default)]
pub(super) struct Shard {
    slots: HashMap<Sid, u32>,
    pages: Vec<Page>,
    /// By page.
    histograms: HashMap<usize, Histograms>,
    histogram_bytes: Counted,
    arena: Vec<u8>,
    encoder: ChunkEncoder,
    scratch: Points,
}

/// Bytes since the shard began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) came: usize,
    pub(super) went: usize,
}

/// By how much a shard grew.
#[derive(Debug)]
pub(super) struct Applied {
    /// Bytes of mini-chunks.
    pub(super) packed: usize,
    /// Bytes of the native histograms in pages.
    pub(super) histograms: Counted,
}

impl Shard {
    /// Adds points in arrival order.
    pub(super) fn apply(&mut self, points: ShardPoints<'_>) -> Applied {
        let (arena_before, before) = (self.arena.len(), self.histogram_bytes);
        let mut last: Option<(u32, usize)> = None;
        for (point, histogram) in points.iter() {
            let slot = match last {
                Some((series, slot)) if series == point.series => slot,
                _ => self.slot(points.address(point.series)),
            };
            last = Some((point.series, slot));
            if !self.pages[slot].push(point.timestamp, point.value) {
                self.pack(slot);
                let pushed = self.pages[slot].push(point.timestamp, point.value);
                debug_assert!(pushed, "an empty page takes any point");
            }
            if let Some(histogram) = histogram {
                self.keep_histogram(slot, point.timestamp, histogram);
            }
        }
        let Counted { came, went } = self.histogram_bytes;
        let histograms = Counted { came: came - before.came, went: went - before.went };
        Applied { packed: self.arena.len() - arena_before, histograms }
    }

    fn keep_histogram(&mut self, slot: usize, timestamp_ms: i64, histogram: &Arc<Histogram>) {
        self.histogram_bytes.came += histogram.bytes();
        let replaced = self.histograms.entry(slot).or_default().insert(timestamp_ms, Arc::clone(histogram));
        self.histogram_bytes.went += replaced.map_or(0, |replaced| replaced.bytes());
    }

    fn slot(&mut self, address: SeriesAddress) -> usize {
        let pages = &mut self.pages;
        let slot = *self.slots.entry(address.sid).or_insert_with(|| {
            pages.push(Page::new(address));
            u32::try_from(pages.len() - 1).expect("there are at most as many pages as series numbers")
        });
        slot as usize
    }

    /// Moves the points of a page into a mini-chunk.
    fn pack(&mut self, slot: usize) {
        let page = &mut self.pages[slot];
        self.scratch.clear();
        page.copy_to(&mut self.scratch);
        if let Some(histograms) = self.histograms.remove(&slot) {
            self.histogram_bytes.went += histograms.iter().map(|(_, histogram)| histogram.bytes()).sum::<usize>();
            self.scratch.histograms = histograms;
        }
        // Settling parts and then their sequence gives the same as settling the sequence: arrival order is kept.
        self.scratch.settle();
        let (Some(&first), Some(&last)) = (self.scratch.timestamps.first(), self.scratch.timestamps.last()) else {
            return;
        };
        let span = u32::try_from(last - first).expect("a page takes no point 2^31 ms from its first");
        let start = self.arena.len();
        self.arena.extend_from_slice(&page.newest_chunk.to_le_bytes());
        self.arena.extend_from_slice(&[0; SPAN_AT - LENGTH_AT]);
        self.arena.extend_from_slice(&span.to_le_bytes());
        self.arena.extend_from_slice(&first.to_le_bytes());
        self.encoder.encode_points(&self.scratch, 0..self.scratch.len(), &mut self.arena);
        let len = self.arena.len() - start - ENTRY_HEADER_BYTES;
        let len = u32::try_from(len).expect("sixteen points are far below 4 GiB");
        self.arena[start + LENGTH_AT..start + SPAN_AT].copy_from_slice(&len.to_le_bytes());
        page.newest_chunk = ChunkLink::to(start);
        page.clear();
    }

    /// Appends the points of a series in `[start, end)` to `out`, in arrival order.
    pub(super) fn read(
        &self,
        sid: Sid,
        start_ms: i64,
        end_ms: i64,
        decoder: &mut ChunkDecoder,
        out: &mut Points,
    ) -> Result<(), HotError> {
        let Some(&slot) = self.slots.get(&sid) else { return Ok(()) };
        let page = &self.pages[slot as usize];
        let mut entries: SmallVec<[usize; 16]> = SmallVec::new();
        let mut link = page.newest_chunk;
        while let Some(offset) = link.offset() {
            let first = i64::from_le_bytes(self.word(offset + FIRST_AT));
            let last = first + i64::from(u32::from_le_bytes(self.word(offset + SPAN_AT)));
            if first < end_ms && last >= start_ms {
                entries.push(offset);
            }
            link = ChunkLink::from_le_bytes(self.word(offset));
        }
        for &offset in entries.iter().rev() {
            let len = u32::from_le_bytes(self.word(offset + LENGTH_AT)) as usize;
            let chunk = &self.arena[offset + ENTRY_HEADER_BYTES..offset + ENTRY_HEADER_BYTES + len];
            decoder
                .decode_range(chunk, start_ms, end_ms, out)
                .map_err(|error| HotError::damaged("mini-chunk", "head", &sid.0.to_be_bytes(), error))?;
        }
        page.copy_range_to(start_ms, end_ms, out);
        if let Some(histograms) = self.histograms.get(&(slot as usize)) {
            for (timestamp_ms, histogram) in histograms.range(start_ms, end_ms) {
                out.histograms.insert(timestamp_ms, Arc::clone(histogram));
            }
        }
        Ok(())
    }

    fn word<const N: usize>(&self, at: usize) -> [u8; N] {
        self.arena[at..at + N].try_into().expect("entries are written whole")
    }

    pub(super) fn holds(&self, sid: Sid) -> bool {
        self.slots.contains_key(&sid)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SeriesAddress> {
        self.pages.iter().map(|page| page.address)
    }

    pub(super) fn bytes(&self) -> usize {
        let histograms = self.histogram_bytes.came - self.histogram_bytes.went + self.histograms.allocation_size();
        let pages = self.pages.capacity() * size_of::<Page>();
        self.arena.capacity() + pages + self.slots.allocation_size() + histograms
    }
}
