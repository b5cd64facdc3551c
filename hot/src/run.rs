//! A run: the points of an ended epoch, sorted by (hour, class, metric, sid), in table files of their own.
//!
//! generation ─▶ rounds of hours ─▶ blocks of series, in parallel: read, settle, cut by hour, encode ─▶ table files
//!
//! A round of one hour streams; a round of several keeps its chunks until the hour-major order can be written, and is
//! bounded by points. So a bulk load of days costs a few passes over the head, and a usual flush one or two.

use std::collections::BTreeMap;

use rayon::prelude::*;
use schemas::chunk::{ChunkDecoder, ChunkEncoder};
use schemas::keys::{Family, run_key};
use schemas::meta::{RunHour, RunRecord};
use schemas::{Hour, Points, RetentionClass, SeriesAddress, TimeRange};

use crate::db::Engine;
use crate::error::HotError;
use crate::head::Generation;
use crate::staging::{Staged, Staging, TableWriter};

/// Points, repeats counted, that a round of several hours may hold.
const ROUND_POINTS: u64 = 8 << 20;
/// Series that are encoded at once.
const BLOCK_SERIES: usize = 1_024;

/// A series' chunk of one hour.
struct HourChunk {
    address: SeriesAddress,
    points: u64,
    bytes: Vec<u8>,
}

/// Writes the run of a generation to staged files. Pure but for these files: repeating it gives the same bytes.
pub(crate) fn write_generation(
    engine: &Engine,
    staging: &Staging,
    generation: &Generation,
) -> Result<(Staged, RunRecord), HotError> {
    let addresses = generation.addresses();
    let mut writer = TableWriter::new(staging, engine, Family::Run);
    let epoch = generation.epoch();
    let mut record = RunRecord { epoch, oldest: epoch, hours: Vec::new() };
    for round in rounds(&generation.hours()) {
        let mut kept: Vec<(RunHour, Vec<HourChunk>)> =
            round.iter().map(|&hour| (RunHour { hour, points: 0, classes: Vec::new() }, Vec::new())).collect();
        for block in addresses.chunks(BLOCK_SERIES) {
            for (at, chunk) in encode_block(generation, &round, block)? {
                kept[at].1.push(chunk);
            }
            if let [(hour, chunks)] = kept.as_mut_slice() {
                put_chunks(&mut writer, &record, hour, chunks)?;
            }
        }
        for (mut hour, mut chunks) in kept {
            put_chunks(&mut writer, &record, &mut hour, &mut chunks)?;
            if hour.points > 0 {
                record.hours.push(hour);
            }
        }
    }
    Ok((writer.finish()?, record))
}

/// Cuts the hours, ascending, into rounds that are held in memory at once.
fn rounds(hours: &BTreeMap<Hour, u64>) -> Vec<Vec<Hour>> {
    let mut rounds: Vec<Vec<Hour>> = Vec::new();
    let mut held = 0;
    for (&hour, &points) in hours {
        match rounds.last_mut() {
            Some(round) if held + points <= ROUND_POINTS => round.push(hour),
            _ => {
                rounds.push(vec![hour]);
                held = 0;
            }
        }
        held += points;
    }
    rounds
}

/// The chunks of a block of series, by series and then by hour, each with its hour's place in the round.
fn encode_block(
    generation: &Generation,
    round: &[Hour],
    block: &[SeriesAddress],
) -> Result<Vec<(usize, HourChunk)>, HotError> {
    let (Some(first), Some(last)) = (round.first(), round.last()) else { return Ok(Vec::new()) };
    let span = TimeRange::new(first.start(), last.end()).expect("hours of a round ascend");
    let encoded: Result<Vec<Vec<(usize, HourChunk)>>, HotError> = block
        .par_iter()
        .map_init(Scratch::default, |scratch, &address| scratch.encode(generation, round, span, address))
        .collect();
    Ok(encoded?.into_iter().flatten().collect())
}

#[derive(Default)]
struct Scratch {
    encoder: ChunkEncoder,
    decoder: ChunkDecoder,
    points: Points,
}

impl Scratch {
    fn encode(
        &mut self,
        generation: &Generation,
        round: &[Hour],
        span: TimeRange,
        address: SeriesAddress,
    ) -> Result<Vec<(usize, HourChunk)>, HotError> {
        self.points.clear();
        generation.read(address, span, &mut self.decoder, &mut self.points)?;
        self.points.settle();
        let mut chunks = Vec::new();
        for (at, hour) in round.iter().enumerate() {
            let of_hour = self.points.index_range(hour.start().0, hour.end().0);
            if of_hour.is_empty() {
                continue;
            }
            let mut bytes = Vec::new();
            let points = of_hour.len() as u64;
            self.encoder.encode_points(&self.points, of_hour, &mut bytes);
            chunks.push((at, HourChunk { address, points, bytes }));
        }
        Ok(chunks)
    }
}

fn put_chunks(
    writer: &mut TableWriter<'_>,
    record: &RunRecord,
    hour: &mut RunHour,
    chunks: &mut Vec<HourChunk>,
) -> Result<(), HotError> {
    for HourChunk { address, points, bytes } in chunks.drain(..) {
        writer.put(&run_key(record.epoch, hour.hour, address), &bytes)?;
        count(hour, address.class, points);
    }
    Ok(())
}

/// Counts a chunk into its hour's record.
pub(crate) fn count(hour: &mut RunHour, class: RetentionClass, points: u64) {
    hour.points += points;
    if hour.classes.last() != Some(&class) {
        debug_assert!(hour.classes.last().is_none_or(|&last| last < class), "chunks come by class");
        hour.classes.push(class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_bounded_by_points_and_keep_the_order() {
        let big = ROUND_POINTS;
        let hours = [(Hour(1), 1), (Hour(2), 2), (Hour(3), big), (Hour(4), big - 1), (Hour(9), 1), (Hour(10), 1)];
        let rounds = rounds(&hours.into_iter().collect());
        assert_eq!(rounds, [vec![Hour(1), Hour(2)], vec![Hour(3)], vec![Hour(4), Hour(9)], vec![Hour(10)]]);
    }
}
