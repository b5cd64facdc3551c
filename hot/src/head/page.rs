//! The newest points of one series, uncompressed, and the way to its older ones.

use schemas::{Points, SeriesAddress};

/// Points in a page. Sixteen make a mini-chunk that is worth its header, in a page of about 220 bytes.
pub(super) const PAGE_POINTS: usize = 16;

/// Bytes of a [`ChunkLink`] in an arena.
pub(super) const LINK_BYTES: usize = size_of::<usize>();

/// Where a mini-chunk lies in the arena of the shard, shifted by one so that 0 says "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ChunkLink(usize);

impl ChunkLink {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn to(offset: usize) -> Self {
        Self(offset + 1)
    }

    pub(super) fn offset(self) -> Option<usize> {
        self.0.checked_sub(1)
    }

    pub(super) fn to_le_bytes(self) -> [u8; LINK_BYTES] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_le_bytes(bytes: [u8; LINK_BYTES]) -> Self {
        Self(usize::from_le_bytes(bytes))
    }
}

/// Up to [`PAGE_POINTS`] points in arrival order, as distances from the first.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) address: SeriesAddress,
    /// The newest mini-chunk; each leads to the one before it.
    pub(super) newest_chunk: ChunkLink,
    len: u8,
    base: i64,
    distances: [i32; PAGE_POINTS],
    values: [f64; PAGE_POINTS],
}

impl Page {
    pub(super) fn new(address: SeriesAddress) -> Self {
        Self {
            address,
            newest_chunk: ChunkLink::NONE,
            len: 0,
            base: 0,
            distances: [0; PAGE_POINTS],
            values: [0.0; PAGE_POINTS],
        }
    }

    /// Adds a point; `false` when there is no room, or when it lies more than 24 days from the first.
    #[inline]
    pub(super) fn push(&mut self, timestamp_ms: i64, value: f64) -> bool {
        let at = usize::from(self.len);
        if at == 0 {
            self.base = timestamp_ms;
        }
        let distance = i32::try_from(timestamp_ms.wrapping_sub(self.base));
        let (Ok(distance), true) = (distance, at < PAGE_POINTS) else { return false };
        self.distances[at] = distance;
        self.values[at] = value;
        self.len += 1;
        true
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends the points to `out`, in arrival order.
    pub(super) fn copy_to(&self, out: &mut Points) {
        let len = usize::from(self.len);
        out.timestamps.extend(self.distances[..len].iter().map(|&distance| self.base + i64::from(distance)));
        out.values.extend_from_slice(&self.values[..len]);
    }

    /// Appends the points of `[start, end)` to `out`, in arrival order.
    pub(super) fn copy_range_to(&self, start_ms: i64, end_ms: i64, out: &mut Points) {
        for at in 0..usize::from(self.len) {
            let timestamp = self.base + i64::from(self.distances[at]);
            if (start_ms..end_ms).contains(&timestamp) {
                out.push(timestamp, self.values[at]);
            }
        }
    }
}
