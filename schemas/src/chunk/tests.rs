use proptest::prelude::*;

use super::*;
use crate::histogram::{Histogram, codec};
use crate::points::is_sample;
use crate::points::stale;
use crate::strategies::{mixed_points, points, special};

fn encode(points: &Points) -> Vec<u8> {
    let mut bytes = Vec::new();
    ChunkEncoder::default().encode_points(points, 0..points.len(), &mut bytes);
    bytes
}

/// The histograms of points, bit for bit.
fn histograms(points: &Points) -> Vec<(i64, Vec<u8>)> {
    points.histograms.iter().map(|(ts, histogram)| (ts, codec::encode(histogram))).collect()
}

fn decode(bytes: &[u8]) -> Result<Points, ChunkError> {
    let mut out = Points::default();
    ChunkDecoder::default().decode(bytes, &mut out).map(|()| out)
}

/// Points with their values as bits, so that NaN equals itself and −0 is not 0.
fn exactly(points: &Points) -> Vec<(i64, u64)> {
    points.iter().map(|(ts, value)| (ts, value.to_bits())).collect()
}

fn every(interval_ms: i64, values: impl IntoIterator<Item = f64>) -> Points {
    let values: Vec<f64> = values.into_iter().collect();
    let timestamps = (0..).step_by(interval_ms.try_into().expect("positive")).map(|ms: i64| 1_700_000_000_000 + ms);
    Points::new(timestamps.take(values.len()).collect(), values)
}

/// The checksum of a body that was meddled with, made right again.
fn forge_checksum(bytes: &mut [u8]) {
    if let Some((body, stored)) = bytes.split_last_chunk_mut::<4>() {
        *stored = checksum(body).to_le_bytes();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_series_comes_back_bit_for_bit(points in points(400)) {
        let bytes = encode(&points);
        prop_assert_eq!(exactly(&decode(&bytes).expect("valid")), exactly(&points));
    }

    #[test]
    fn histograms_among_floats_come_back_bit_for_bit(points in mixed_points(60)) {
        let read = decode(&encode(&points)).expect("valid");
        prop_assert_eq!(exactly(&read), exactly(&points));
        prop_assert_eq!(histograms(&read), histograms(&points));
        let header = read_header(&encode(&points)).expect("valid");
        prop_assert_eq!(header.moments, Moments::from_points(&points.timestamps, &points.values));
        prop_assert_eq!(header.histograms as usize, points.histograms.len());
        let (start, end) = (points.timestamps[points.len() / 3], points.timestamps[points.len() * 2 / 3]);
        let mut part = Points::default();
        ChunkDecoder::default().decode_range(&encode(&points), start, end, &mut part).expect("valid");
        let expected = points.slice(points.index_range(start, end));
        prop_assert_eq!((exactly(&part), histograms(&part)), (exactly(&expected), histograms(&expected)));
    }

    #[test]
    fn a_chunk_with_histograms_that_was_meddled_with_never_panics(
        points in mixed_points(20),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&points);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut out = every(10, [1.0]);
        prop_assert!(ChunkDecoder::default().decode(&bytes, &mut out).is_err() || bytes == encode(&points));
        prop_assert!(out.histograms.is_empty() || bytes == encode(&points));
        forge_checksum(&mut bytes);
        if let Ok(points) = decode(&bytes) {
            let stands = |ts: i64| points.timestamps.binary_search(&ts).is_ok_and(|at| is_histogram(points.values[at]));
            prop_assert!(points.histograms.iter().all(|(ts, _)| stands(ts)));
        }
    }

    #[test]
    fn statistics_are_the_moments_of_the_points(points in points(200)) {
        let header = read_header(&encode(&points)).expect("valid");
        prop_assert_eq!(header.moments, Moments::from_points(&points.timestamps, &points.values));
        prop_assert_eq!(header.points as usize, points.len());
        prop_assert_eq!(Some(&header.first_ms), points.timestamps.first());
        prop_assert_eq!(Some(&header.last_ms), points.timestamps.last());
    }

    #[test]
    fn a_range_gives_the_points_inside_it(points in points(150), from in 0..150_usize, to in 0..150_usize, off in -1..2_i64) {
        let at = |nth: usize| points.timestamps[nth.min(points.len() - 1)] + off;
        let (start, end) = (at(from), at(to));
        let mut out = every(10, [1.0, 2.0]);
        ChunkDecoder::default().decode_range(&encode(&points), start, end, &mut out).expect("valid");
        let mut expected = exactly(&every(10, [1.0, 2.0]));
        expected.extend(exactly(&points).into_iter().filter(|&(ts, _)| start <= ts && ts < end));
        prop_assert_eq!(exactly(&out), expected);
    }

    #[test]
    fn bytes_do_not_depend_on_what_was_written_before(first in points(100), second in points(100)) {
        let mut encoder = ChunkEncoder::default();
        let (mut scratch, mut bytes) = (Vec::new(), Vec::new());
        encoder.encode(&first.timestamps, &first.values, &mut scratch);
        encoder.encode(&second.timestamps, &second.values, &mut bytes);
        prop_assert_eq!(bytes, encode(&second));
    }

    #[test]
    fn a_changed_bit_is_an_error_and_leaves_the_output_alone(points in points(80), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = encode(&points);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let mut out = every(10, [1.0]);
        prop_assert!(ChunkDecoder::default().decode(&bytes, &mut out).is_err());
        prop_assert_eq!(exactly(&out), exactly(&every(10, [1.0])));
    }

    #[test]
    fn a_cut_chunk_is_an_error(points in points(80), at in any::<prop::sample::Index>()) {
        let bytes = encode(&points);
        prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn malformed_bytes_with_a_right_checksum_never_panic(
        points in points(80),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&points);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 2);
        forge_checksum(&mut bytes);
        if let Ok(points) = decode(&bytes) {
            prop_assert!(points.is_sorted_unique());
            prop_assert_eq!(points.timestamps.len(), points.values.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = read_header(&bytes);
        if bytes.len() > 2 {
            (bytes[0], bytes[1]) = (VERSION, bytes[1] % 2);
        }
        forge_checksum(&mut bytes);
        let _ = decode(&bytes);
        let _ = read_header(&bytes);
    }

    #[test]
    fn any_rising_integers_are_timestamps(mut timestamps in proptest::collection::vec(any::<i64>(), 1..50)) {
        timestamps.sort_unstable();
        timestamps.dedup();
        let values = vec![1.0; timestamps.len()];
        let points = Points::new(timestamps, values);
        prop_assert_eq!(exactly(&decode(&encode(&points)).expect("valid")), exactly(&points));
    }

    #[test]
    fn a_few_odd_values_do_not_spoil_a_decimal_series(odd in special(), at in 0..360_usize) {
        let mut points = every(10_000, (0..360).map(|i| f64::from(i % 10) / 10.0));
        points.values[at] = odd;
        prop_assert!(encode(&points).len() < 360);
    }
}

#[test]
fn an_hour_of_a_constant_takes_the_header_alone() {
    assert!(encode(&every(10_000, vec![42.5; 360])).len() <= 32);
}

#[test]
fn an_hour_of_small_steps_takes_less_than_half_a_byte_a_point() {
    let walk = (0..360_i64).map(|i| ((i * 7_919) % 7 - 3 + 50) as f64);
    let size = encode(&every(10_000, walk)).len();
    assert!(size < 180, "{size} bytes");
}

#[test]
fn a_gauge_that_rarely_changes_takes_a_bit_a_point_and_its_changes() {
    let repeats = (0..360).map(|i| f64::from(i / 45) * 1_234.567);
    let size = encode(&every(10_000, repeats)).len();
    assert!(size < 45 + 8 * 9 + 80, "{size} bytes");
}

#[test]
fn the_longest_chunk_comes_back() {
    let points = every(1, (0..MAX_POINTS).map(|i| (i % 1_000) as f64));
    assert_eq!(exactly(&decode(&encode(&points)).expect("valid")), exactly(&points));
}

#[test]
fn a_chunk_of_staleness_markers_counts_nothing() {
    let points = every(10_000, [stale(), stale()]);
    let header = read_header(&encode(&points)).expect("valid");
    assert_eq!((header.points, header.moments.count), (2, 0));
    assert_eq!(header.moments.stale_ts, Some(1_700_000_010_000));
}

#[test]
fn other_versions_and_kinds_are_named() {
    let mut bytes = encode(&every(10_000, [1.0]));
    bytes[1] = 2;
    forge_checksum(&mut bytes);
    assert_eq!(decode(&bytes).map(drop), Err(ChunkError::Kind { found: 2 }));
    bytes[0] = 2;
    forge_checksum(&mut bytes);
    assert_eq!(decode(&bytes).map(drop), Err(ChunkError::Version { found: 2 }));
}

#[test]
fn an_hour_of_histograms_that_grow_takes_little_more_than_what_changed() {
    let mut points = Points::default();
    let mut at = Histogram { schema: 3, is_integer: true, ..Histogram::default() };
    at.positive = crate::histogram::Buckets {
        spans: vec![crate::histogram::Span { offset: -8, length: 30 }],
        counts: vec![0.0; 30],
    };
    for i in 0..360 {
        for bucket in 0..5 {
            at.positive.counts[10 + bucket] += 1.0;
            at.count += 1.0;
        }
        at.sum += 0.25;
        points.push_histogram(i * 10_000, std::sync::Arc::new(at.clone()));
    }
    let size = encode(&points).len();
    assert!(size < 360 * 22, "{size} bytes");
}

#[test]
fn stand_ins_without_a_histogram_are_no_samples_and_survive() {
    let pretender = crate::points::histogram_marker();
    let points = every(10_000, [1.0, pretender, 3.0, stale()]);
    let bytes = encode(&points);
    let read = decode(&bytes).expect("valid");
    assert_eq!(exactly(&read), exactly(&points));
    let header = read_header(&bytes).expect("valid");
    assert_eq!((header.moments.count, header.histograms), (2, 1));
    assert!(read.histograms.is_empty() && !is_sample(pretender));
}

#[test]
fn a_huge_count_in_a_forged_header_is_refused() {
    let mut bytes = vec![VERSION, KIND_FLOAT, 0];
    crate::varint::put_uvarint(&mut bytes, u64::MAX);
    bytes.extend_from_slice(&[0; 24]);
    forge_checksum(&mut bytes);
    assert!(matches!(decode(&bytes), Err(ChunkError::Malformed(_))));
}
