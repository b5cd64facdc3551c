//! What holds for any bytes that claim to be sketches, one behind the other, and for any columns that claim to be one.

use schemas::sketch::{MAX_BINS, Sketch, SketchParts};
use schemas::varint::Reader;

/// Sketches that are merged: the sum of their counts stays far below 2^64.
const SKETCHES_MAX: usize = 64;

/// # Panics
/// If a decoder panics, or what decodes cannot be encoded, merged, coarsened or asked.
pub(crate) fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let decoded = std::iter::from_fn(|| Sketch::decode(&mut reader).ok()).take(SKETCHES_MAX);
    let columns = columns(bytes).and_then(|(parts, nan_count)| Sketch::from_parts(&parts, nan_count).ok());
    let mut all = Sketch::default();
    for sketch in decoded.chain(columns) {
        survives_encoding(&sketch);
        answers_in_order(&sketch);
        let count = all.count() + sketch.count();
        all.merge(&sketch);
        assert_eq!(all.count(), count, "merging loses nothing");
        assert!(all.positive().count() + all.negative().count() <= MAX_BINS + 2);
    }
    answers_in_order(&all);
}

fn survives_encoding(sketch: &Sketch) {
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    let mut reader = Reader::new(&bytes);
    assert_eq!(Sketch::decode(&mut reader).as_ref(), Ok(sketch));
    assert!(reader.is_empty());
    assert_eq!(Sketch::from_parts(&sketch.to_parts(), sketch.nan_count()).as_ref(), Ok(sketch));
}

fn answers_in_order(sketch: &Sketch) {
    let answers: Vec<f64> = [0.0, 0.01, 0.5, 0.99, 1.0].iter().filter_map(|q| sketch.quantile(*q)).collect();
    assert_eq!(answers.len(), if sketch.count() == 0 { 0 } else { 5 });
    let numbers: Vec<f64> = answers.into_iter().skip_while(|answer| answer.is_nan()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

/// Scale, how many NaN and zeros, how many of the bins are negative; then an index and a count a bin.
fn columns(bytes: &[u8]) -> Option<(SketchParts, u64)> {
    let (&[scale, nan_count, zero_count, negative], bins) = bytes.split_first_chunk::<4>()?;
    let bins: Vec<(i32, i64)> = bins
        .chunks_exact(6)
        .map(|bin| {
            (i32::from_le_bytes([bin[0], bin[1], bin[2], bin[3]]), i64::from(i16::from_le_bytes([bin[4], bin[5]])))
        })
        .collect();
    let (negative, positive) = bins.split_at(usize::from(negative).min(bins.len()));
    let (idx, cnt) = positive.iter().copied().unzip();
    let (neg_idx, neg_cnt) = negative.iter().copied().unzip();
    let scale = i32::from(i8::from_le_bytes([scale]));
    Some((SketchParts { scale, zero_count: i64::from(zero_count), idx, cnt, neg_idx, neg_cnt }, u64::from(nan_count)))
}
