//! What holds for any bytes that claim to be a chunk.

use schemas::Points;
use schemas::chunk::{ChunkDecoder, ChunkEncoder, read_header};
use schemas::histogram::codec;

/// Decodes the bytes as they are and with a right checksum.
///
/// # Panics
/// If a decoder panics, or what decodes is not a series that survives encoding.
pub(crate) fn check(bytes: &[u8]) {
    check_one(bytes);
    if let Some((body, _)) = bytes.split_last_chunk::<4>() {
        let mut forged = body.to_vec();
        forged.extend_from_slice(&schemas::chunk::checksum(body).to_le_bytes());
        check_one(&forged);
    }
}

fn check_one(bytes: &[u8]) {
    let header = read_header(bytes);
    let mut points = Points::default();
    if ChunkDecoder::default().decode(bytes, &mut points).is_err() {
        assert!(points.is_empty(), "an error leaves nothing behind");
        return;
    }
    let header = header.expect("what decodes has a header");
    assert_eq!(points.len(), header.points as usize);
    assert!(points.is_sorted_unique());

    let mut again = Vec::new();
    ChunkEncoder::default().encode_points(&points, 0..points.len(), &mut again);
    let mut back = Points::default();
    ChunkDecoder::default().decode(&again, &mut back).expect("what was encoded decodes");
    let exactly = |points: &Points| points.iter().map(|(ts, value)| (ts, value.to_bits())).collect::<Vec<_>>();
    assert_eq!(exactly(&points), exactly(&back));
    let histograms = |points: &Points| points.histograms.iter().map(|(_, one)| codec::encode(one)).collect::<Vec<_>>();
    assert_eq!(histograms(&points), histograms(&back));
}
