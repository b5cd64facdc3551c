//! What holds for any bytes that claim to be a native histogram.

use schemas::histogram::{BUCKETS_MAX, codec};

/// Decodes the bytes as a histogram by itself.
///
/// # Panics
/// If the decoder panics, or what decodes does not survive encoding.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(histogram) = codec::decode(bytes) else { return };
    assert!(histogram.positive.counts.len() + histogram.negative.counts.len() <= BUCKETS_MAX);
    histogram.validate().ok();
    let again = codec::encode(&histogram);
    let back = codec::decode(&again).expect("what was encoded decodes");
    assert_eq!(codec::encode(&back), again);
}
