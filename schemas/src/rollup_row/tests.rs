use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::points::{Points, stale};
use crate::rollup::{bucketize, fold_buckets};
use crate::strategies::{ordinary_points, points};
use crate::time::Hour;

/// The rows of each hour that the points touch: its start, width and buckets.
fn hours_of(points: &Points) -> Vec<(TimestampMs, DurationMs, Vec<Bucket>)> {
    let mut hours: Vec<(TimestampMs, DurationMs, Vec<Bucket>)> = Vec::new();
    for width in [DurationMs::MINUTE, DurationMs::minutes(5), DurationMs::HOUR] {
        bucketize(&points.timestamps, &points.values, width, |bucket| {
            let hour = Hour::containing(bucket.start.timestamp()).start();
            match hours.last_mut() {
                Some((last, last_width, buckets)) if *last == hour && *last_width == width => buckets.push(bucket),
                _ => hours.push((hour, width, vec![bucket])),
            }
        });
    }
    hours
}

fn encode(width: DurationMs, hour: TimestampMs, buckets: &[Bucket], with_sketch: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_buckets(width, hour, buckets, with_sketch, &mut bytes);
    bytes
}

fn forge_checksum(bytes: &mut [u8]) {
    if let Some((body, stored)) = bytes.split_last_chunk_mut::<4>() {
        *stored = checksum(body).to_le_bytes();
    }
}

fn decode_every_way(bytes: &[u8]) {
    for width in [DurationMs::MINUTE, DurationMs::HOUR, DurationMs(7)] {
        let mut buckets = Vec::new();
        let _ = RowDecoder::default().buckets(bytes, TimestampMs(0), width, true, &mut buckets);
        let _ = RowDecoder::default().buckets(bytes, Hour::MAX.start(), width, false, &mut buckets);
        let _ = RowDecoder::default().moments(bytes, Hour(495_000).start(), width, &mut Vec::new());
        if buckets.len() > 1 && buckets[0].start < buckets[1].start {
            let _ = buckets[0].closed().combine(&buckets[1].closed()).quantile(0.5);
        }
    }
}

proptest! {
    #[test]
    fn rows_give_their_buckets_back(points in points(300)) {
        for (hour, width, buckets) in hours_of(&points) {
            let bytes = encode(width, hour, &buckets, true);
            let mut back = Vec::new();
            RowDecoder::default().buckets(&bytes, hour, width, true, &mut back).expect("valid");
            prop_assert_eq!(&back, &buckets);
            prop_assert!(has_sketches(&bytes).expect("valid"));

            let mut moments = Vec::new();
            RowDecoder::default().moments(&bytes, hour, width, &mut moments).expect("valid");
            prop_assert_eq!(moments, buckets.iter().map(Bucket::moments).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lean_rows_give_their_moments_back(points in ordinary_points(300)) {
        for (hour, width, buckets) in hours_of(&points) {
            let bytes = encode(width, hour, &buckets, false);
            let mut back = Vec::new();
            RowDecoder::default().buckets(&bytes, hour, width, true, &mut back).expect("valid");
            let moments = |buckets: &[Bucket]| buckets.iter().map(Bucket::moments).collect::<Vec<_>>();
            prop_assert_eq!(moments(&back), moments(&buckets));
            prop_assert!(back.iter().all(|bucket| bucket.open.sketch.count() == 0));
        }
    }

    #[test]
    fn a_changed_bit_or_a_cut_is_an_error(points in points(100), at in any::<prop::sample::Index>(), bit in 0..8) {
        let (hour, width, buckets) = hours_of(&points).swap_remove(0);
        let mut bytes = encode(width, hour, &buckets, true);
        let at = at.index(bytes.len());
        let mut out = Vec::new();
        prop_assert!(RowDecoder::default().buckets(&bytes[..at], hour, width, true, &mut out).is_err());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(RowDecoder::default().buckets(&bytes, hour, width, true, &mut out).is_err());
        prop_assert!(RowDecoder::default().moments(&bytes, hour, width, &mut Vec::new()).is_err());
        prop_assert!(out.is_empty());
    }

    #[test]
    fn malformed_rows_with_a_right_checksum_never_panic(points in points(100), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let (hour, width, buckets) = hours_of(&points).swap_remove(0);
        let mut bytes = encode(width, hour, &buckets, true);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        forge_checksum(&mut bytes);
        decode_every_way(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200)) {
        decode_every_way(&bytes);
        if let Some(version) = bytes.first_mut() {
            *version = VERSION;
        }
        forge_checksum(&mut bytes);
        decode_every_way(&bytes);
    }
}

#[test]
fn a_bucket_of_nothing_but_a_staleness_marker_is_kept() {
    let mut buckets = Vec::new();
    bucketize(&[0, 90_000], &[stale(), stale()], DurationMs::MINUTE, |bucket| buckets.push(bucket));
    let bytes = encode(DurationMs::MINUTE, TimestampMs(0), &buckets, true);
    let mut back = Vec::new();
    RowDecoder::default().buckets(&bytes, TimestampMs(0), DurationMs::MINUTE, true, &mut back).expect("valid");
    assert_eq!(back, buckets);
    assert_eq!((back[0].closed().moments.stale_ts, back[1].open.moments.stale_ts), (Some(0), Some(90_000)));
}

#[test]
fn an_hour_of_360_points_takes_about_ninety_bytes() {
    let timestamps: Vec<i64> = (0..360).map(|i| i * 10_000).collect();
    let values: Vec<f64> = (0..360_i64).map(|i| ((i * 37) % 61 + 20) as f64).collect();
    let mut minutes = Vec::new();
    bucketize(&timestamps, &values, DurationMs::MINUTE, |bucket| minutes.push(bucket));
    let hour = fold_buckets(BucketStart::containing(TimestampMs(0), DurationMs::HOUR), &minutes);
    let bytes = encode(DurationMs::HOUR, TimestampMs(0), &[hour], true);
    assert!(bytes.len() <= 110, "{} bytes", bytes.len());
}

#[test]
#[should_panic(expected = "in order")]
fn buckets_out_of_order_are_a_programming_error() {
    let mut buckets = Vec::new();
    bucketize(&[0, 90_000], &[1.0, 2.0], DurationMs::MINUTE, |bucket| buckets.push(bucket));
    buckets.reverse();
    encode(DurationMs::MINUTE, TimestampMs(0), &buckets, true);
}
