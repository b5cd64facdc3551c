//! Reads of Delta in larger pieces than the evaluator asks for.
//!
//! block of series asked for ─▶ the piece that it is in ─read once, by whoever comes first─▶ parts of each series, taken once
//!
//! Each read of Delta opens the files of its hours anew, which costs requests, so many series are read at once; a piece is let
//! go when its last series was taken.

use std::ops::Range;

use parking_lot::Mutex;

use crate::error::QueryError;
use crate::limits::{Budget, Share};
use crate::read::{Part, Partial, Parts};

/// Series that a piece has at least.
const SERIES_MIN: usize = 256;
/// Memory that the parts of a piece take at most about.
const PIECE_BYTES: usize = 32 << 20;

/// Parts of neighbouring series.
#[derive(Debug)]
struct Piece<P> {
    /// By position in the piece; `None` once taken.
    parts: Option<Vec<Vec<Part<P>>>>,
    share: Option<Share>,
    left: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ahead<P> {
    /// Series of a piece.
    length: usize,
    all: usize,
    pieces: Vec<Mutex<Piece<P>>>,
}

impl<P: Partial> Ahead<P> {
    /// For `all` series of about so many bytes each.
    pub(super) fn new(all: usize, series_bytes: usize) -> Self {
        let length = (PIECE_BYTES / series_bytes.max(1)).max(SERIES_MIN);
        let left = |start: usize| length.min(all - start);
        let piece = |start| Mutex::new(Piece { parts: None, share: None, left: left(start) });
        Self { length, all, pieces: (0..all).step_by(length).map(piece).collect() }
    }

    /// The parts of each of some series, which are in order; `read` reads any.
    pub(super) fn take(
        &self,
        series: &Range<usize>,
        budget: &std::sync::Arc<Budget>,
        read: &dyn Fn(Range<usize>) -> Result<Parts<P>, QueryError>,
    ) -> Result<Vec<Vec<Part<P>>>, QueryError> {
        let mut taken = Vec::with_capacity(series.len());
        let mut at = series.start;
        while at < series.end {
            let number = at / self.length;
            let whole = number * self.length..((number + 1) * self.length).min(self.all);
            let wanted = at..series.end.min(whole.end);
            at = wanted.end;
            let mut piece = self.pieces[number].lock();
            if piece.parts.is_none() {
                let parts = read(whole.clone())?;
                let mut share = budget.share();
                share.grow(
                    parts.len() * (size_of::<Part<P>>()) + parts.iter().map(|p| p.value.heap_bytes()).sum::<usize>(),
                )?;
                piece.parts = Some(by_series(parts, &whole));
                piece.share = Some(share);
            }
            piece.left = piece.left.saturating_sub(wanted.len());
            let parts = piece.parts.as_mut().expect("read above, and let go only with the last series");
            taken.extend(wanted.map(|series| std::mem::take(&mut parts[series - whole.start])));
            if piece.left == 0 {
                piece.parts = Some(Vec::new());
                piece.share = None;
            }
        }
        Ok(taken)
    }
}

/// Parts of each series, in order.
pub(super) fn by_series<P: Partial>(parts: Parts<P>, series: &Range<usize>) -> Vec<Vec<Part<P>>> {
    let mut all: Vec<Vec<Part<P>>> = series.clone().map(|_| Vec::new()).collect();
    for part in parts.into_list() {
        all[part.series - series.start].push(part);
    }
    all
}
