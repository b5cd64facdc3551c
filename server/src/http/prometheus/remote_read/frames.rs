//! The frames of streamed remote read: length, CRC-32C, `prometheus.ChunkedReadResponse`; a frame has chunks of one series.

use std::sync::Arc;

use ingest::encode::protobuf::{put_bytes, put_int, put_message, put_uint};
use query::RawSeries;
use schemas::histogram::Histogram;
use schemas::points::is_histogram;
use schemas::varint::put_uvarint;

use super::super::pieces::PIECE_BYTES;
use super::chunk::{Chunk, POINTS_MAX};
use super::histograms;
use super::message::push_labels;

/// Bytes of a frame after which it ends.
const FRAME_BYTES: usize = 1 << 20;

/// Frames of all queries, several in a piece.
#[derive(Debug)]
pub(super) struct Frames {
    /// Queries by their place in the request, with the series that are left.
    results: std::iter::Enumerate<std::vec::IntoIter<Vec<RawSeries>>>,
    current: Option<(usize, std::vec::IntoIter<RawSeries>)>,
}

impl Frames {
    pub(super) fn new(results: Vec<Vec<RawSeries>>) -> Self {
        Self { results: results.into_iter().enumerate(), current: None }
    }

    fn next_series(&mut self) -> Option<(usize, RawSeries)> {
        loop {
            if let Some((query, series)) = &mut self.current
                && let Some(series) = series.next()
            {
                return Some((*query, series));
            }
            let (query, series) = self.results.next()?;
            self.current = Some((query, series.into_iter()));
        }
    }
}

impl Iterator for Frames {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < PIECE_BYTES {
            let Some((query, series)) = self.next_series() else { break };
            push_series(&mut out, query, &series);
        }
        (!out.is_empty()).then_some(out)
    }
}

/// The frames of one series.
fn push_series(out: &mut Vec<u8>, query: usize, series: &RawSeries) {
    let mut labels = Vec::new();
    push_labels(&mut labels, &series.labels);
    let mut message = labels.clone();
    let mut part = Vec::new();
    for chunk in chunks(series) {
        if message.len() > labels.len().max(FRAME_BYTES) {
            push_frame(out, query, &message);
            message.truncate(labels.len());
        }
        part.clear();
        put_int(&mut part, 1, chunk.start_ms);
        put_int(&mut part, 2, chunk.end_ms);
        put_uint(&mut part, 3, chunk.encoding as u64);
        put_bytes(&mut part, 4, &chunk.data);
        put_message(&mut message, 2, &part);
    }
    if message.len() > labels.len() {
        push_frame(out, query, &message);
    }
}

fn push_frame(out: &mut Vec<u8>, query: usize, series: &[u8]) {
    let mut message = Vec::with_capacity(series.len() + 16);
    put_message(&mut message, 1, series);
    put_uint(&mut message, 2, query as u64);
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

/// The points of a series as chunks, by their start: each of floats, or of histograms.
pub(super) fn chunks(series: &RawSeries) -> Vec<Chunk> {
    let points = &series.points;
    let floats: Vec<(i64, f64)> = points.iter().filter(|(_, value)| !is_histogram(*value)).collect();
    let mut chunks: Vec<Chunk> = floats.chunks(POINTS_MAX).map(Chunk::of_floats).collect();
    if !points.histograms.is_empty() {
        let all: Vec<(i64, Arc<Histogram>)> = points.histograms.iter().map(|(ms, h)| (ms, Arc::clone(h))).collect();
        let mut left = &all[..];
        while !left.is_empty() {
            let (chunk, taken) = histograms::first_chunk(left);
            chunks.push(chunk);
            left = &left[taken..];
        }
        chunks.sort_by_key(|chunk| chunk.start_ms);
    }
    chunks
}
