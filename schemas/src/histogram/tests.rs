use proptest::prelude::*;

use super::*;
use crate::strategies::histograms;
use crate::varint::Reader;

/// Bit for bit, so that NaN equals itself and −0 is not 0.
fn exactly(histogram: &Histogram) -> (Histogram, Vec<u64>) {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let doubles = [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum];
    let all = [
        bits(&doubles),
        bits(&histogram.positive.counts),
        bits(&histogram.negative.counts),
        bits(&histogram.custom_values),
    ];
    let without = |buckets: &Buckets| Buckets { spans: buckets.spans.clone(), counts: Vec::new() };
    let rest = Histogram {
        schema: histogram.schema,
        positive: without(&histogram.positive),
        negative: without(&histogram.negative),
        reset_hint: histogram.reset_hint,
        is_integer: histogram.is_integer,
        ..Histogram::default()
    };
    (rest, all.concat())
}

/// Latencies as a client counts them: one span of some buckets.
fn latencies(seed: u32) -> Histogram {
    let counts: Vec<f64> = (0..20_u32).map(|i| f64::from(i * 100 + (seed * (i % 5)) % 1_000)).collect();
    Histogram {
        schema: 3,
        zero_threshold: 2.0_f64.powi(-128),
        zero_count: 2.0,
        count: counts.iter().sum::<f64>() + 2.0,
        sum: f64::from(seed) * 0.37 + 1_000.0,
        positive: Buckets { spans: vec![Span { offset: -8, length: 20 }], counts },
        is_integer: true,
        ..Histogram::default()
    }
}

#[test]
fn a_steady_senders_histogram_takes_little_more_than_a_byte_a_changed_bucket() {
    let (mut bytes, mut before) = (Vec::new(), None);
    for seed in 0..10 {
        let histogram = latencies(seed);
        bytes.clear();
        codec::put(&histogram, before.as_ref(), &mut bytes);
        before = Some(histogram);
    }
    assert!(bytes.len() <= 45, "{}", bytes.len());
    let idle = before.expect("ten were written");
    bytes.clear();
    codec::put(&idle, Some(&idle), &mut bytes);
    assert_eq!(bytes.len(), 4, "a histogram that did not change");
}

/// The example of `docs/formats/histogram.md`.
#[test]
fn the_documented_bytes_are_read_and_written() {
    let bytes = [1, 0x0c, 0, 0, 1, 2, 2, 0, 0, 0, 0, 6, 1, 1, 0, 0, 0, 0, 0, 0, 0x10, 0x40];
    let histogram = Histogram {
        count: 3.0,
        sum: 4.0,
        positive: Buckets { spans: vec![Span { offset: 1, length: 2 }], counts: vec![2.0, 1.0] },
        is_integer: true,
        ..Histogram::default()
    };
    assert_eq!(codec::decode(&bytes), Ok(histogram.clone()));
    assert_eq!(codec::encode(&histogram), bytes);
}

#[test]
fn bytes_that_no_encoder_writes_are_errors() {
    let good = codec::encode(&latencies(3));
    assert_eq!(codec::decode(&good).map(|histogram| exactly(&histogram)), Ok(exactly(&latencies(3))));
    for at in 0..good.len() {
        assert!(codec::decode(&good[..at]).is_err(), "cut at {at}");
    }
    assert!(codec::decode(&[good.as_slice(), &[0]].concat()).is_err());
    // A span of 2^31 buckets, all of them zero.
    let many = [1, 12, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 7];
    assert!(codec::decode(&many).is_err());
    // It says that its layout is that of a histogram before, and there is none.
    assert!(codec::decode(&[1, 0x1c, 0, 1, 0]).is_err());
}

#[test]
fn histograms_that_contradict_themselves_are_refused() {
    let good = latencies(1);
    assert_eq!(good.validate(), Ok(()));
    let bad = |change: fn(&mut Histogram)| {
        let mut histogram = latencies(1);
        change(&mut histogram);
        histogram.validate().expect_err("contradicts itself").to_string()
    };
    assert_eq!(bad(|h| h.schema = 9), "schema 9 is none of -4 to 8 and -53");
    assert!(bad(|h| h.count += 1.0).starts_with("the buckets hold "));
    assert!(bad(|h| h.positive.counts[3] = -1.0).contains("count of a bucket is -1"));
    assert!(bad(|h| h.positive.spans[0].length = 21).contains("21 buckets, but there are 20"));
    assert!(bad(|h| h.positive.spans.push(Span { offset: -1, length: 0 })).contains("offset -1"));
    assert!(bad(|h| h.positive.spans[0].offset = i32::MAX).contains("out of range"));
    assert!(bad(|h| h.custom_values.push(1.0)).contains("custom bounds"));
    assert!(bad(|h| h.schema = SCHEMA_CUSTOM).contains("zero bucket"));
    assert!(bad(|h| h.positive.counts = vec![0.0; BUCKETS_MAX + 1]).contains("at most"));
}

#[test]
fn a_count_may_exceed_the_buckets_where_an_observation_was_nan_and_need_not_match_in_floats() {
    let mut histogram = latencies(1);
    histogram.count += 1.0;
    assert!(histogram.validate().is_err());
    assert_eq!(Histogram { sum: f64::NAN, ..histogram.clone() }.validate(), Ok(()));
    assert_eq!(Histogram { is_integer: false, ..histogram }.validate(), Ok(()));
}

#[test]
fn custom_buckets_need_rising_bounds_and_enough_of_them() {
    let custom = |bounds: &[f64], spans: &[(i32, u32)]| {
        let spans: Vec<Span> = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let counts = vec![1.0; spans.iter().map(|span| span.length as usize).sum()];
        let count = counts.iter().sum();
        let positive = Buckets { spans, counts };
        let custom_values = bounds.to_vec();
        Histogram { schema: SCHEMA_CUSTOM, count, positive, custom_values, is_integer: true, ..Histogram::default() }
            .validate()
    };
    assert_eq!(custom(&[1.0, 2.0], &[(0, 3)]), Ok(()));
    assert_eq!(custom(&[1.0, 2.0], &[(1, 1), (0, 1)]), Ok(()));
    assert_eq!(custom(&[1.0, 2.0], &[(0, 4)]), Err(HistogramError::CustomBoundsFew { bounds: 2, buckets: 4 }));
    for bounds in [&[2.0, 1.0][..], &[1.0, 1.0], &[1.0, f64::NAN], &[f64::NAN], &[1.0, f64::INFINITY]] {
        assert_eq!(custom(bounds, &[(0, 1)]), Err(HistogramError::CustomBoundsOrder), "{bounds:?}");
    }
}

#[test]
fn a_halving_unites_the_neighbours_below_each_even_bound() {
    let spans = vec![Span { offset: -3, length: 4 }, Span { offset: 2, length: 3 }];
    let mut histogram = Histogram {
        schema: 9,
        positive: Buckets { spans, counts: vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0] },
        ..Histogram::default()
    };
    // Buckets −3, −2 │ −1, 0 │ 3, 4 │ 5.
    histogram.reduce_resolution_to(8);
    assert_eq!(histogram.positive.iter().collect::<Vec<_>>(), [(-1, 3.0), (0, 12.0), (2, 48.0), (3, 64.0)]);
    assert_eq!(histogram.positive.spans, [Span { offset: -1, length: 2 }, Span { offset: 1, length: 2 }]);
    assert_eq!(histogram.schema, 8);
    histogram.reduce_resolution_to(8);
    assert_eq!(histogram.positive.counts.len(), 4);
}

proptest! {
    #[test]
    fn every_histogram_comes_back_bit_for_bit(list in histograms(12)) {
        let mut bytes = Vec::new();
        let mut before = None;
        for histogram in &list {
            codec::put(histogram, before, &mut bytes);
            before = Some(histogram);
            let alone = codec::decode(&codec::encode(histogram)).expect("what was written");
            prop_assert_eq!(exactly(&alone), exactly(histogram));
        }
        let mut reader = Reader::new(&bytes);
        let mut before: Option<Histogram> = None;
        for histogram in &list {
            let read = codec::read(&mut reader, before.as_ref()).expect("what was written");
            prop_assert_eq!(exactly(&read), exactly(histogram));
            before = Some(read);
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(histogram) = codec::decode(&[&[codec::VERSION][..], &bytes].concat()) {
            histogram.validate().ok();
            let again = codec::decode(&codec::encode(&histogram)).expect("what was written");
            prop_assert_eq!(exactly(&again), exactly(&histogram));
        }
    }
}
