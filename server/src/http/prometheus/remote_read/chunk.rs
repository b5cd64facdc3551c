//! Chunks of floats in Prometheus' XOR encoding: what streamed remote read carries.
//!
//! count (2 bytes) · time and value · difference of times, then differences of differences · XOR of values
//!
//! Source: Prometheus, `tsdb/docs/format/chunks.md`. Not here: native histograms (`histograms`).

use super::bits::{Bits, Xor, fits};

/// Points in a chunk: what Prometheus puts into one.
pub(super) const POINTS_MAX: usize = 120;

/// What a chunk is encoded as, in numbers of `prompb.Chunk.Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Xor = 1,
    FloatHistogram = 3,
}

/// A chunk with its first and last time, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) encoding: Encoding,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) data: Vec<u8>,
}

impl Chunk {
    /// Of 1 to [`POINTS_MAX`] points, ascending.
    pub(super) fn of_floats(points: &[(i64, f64)]) -> Self {
        let (start_ms, first) = points[0];
        let mut bits = Bits::behind(count(points.len()).to_vec());
        bits.put_varint(start_ms);
        bits.put_float(first);
        let (mut time, mut delta, mut value) = (start_ms, 0_i64, Xor::new(first));
        for (at, &(ms, next)) in points.iter().enumerate().skip(1) {
            let new_delta = ms.wrapping_sub(time);
            if at == 1 {
                bits.put_uvarint(new_delta.cast_unsigned());
            } else {
                put_time(&mut bits, new_delta.wrapping_sub(delta));
            }
            value.put(&mut bits, next);
            (time, delta) = (ms, new_delta);
        }
        Self { encoding: Encoding::Xor, start_ms, end_ms: time, data: bits.into_bytes() }
    }
}

/// The first two bytes of a chunk.
pub(super) fn count(points: usize) -> [u8; 2] {
    u16::try_from(points).expect("a chunk has at most POINTS_MAX points").to_be_bytes()
}

/// A difference of differences of times.
fn put_time(bits: &mut Bits, dod: i64) {
    match dod {
        0 => bits.put(0, 1),
        dod if fits(dod, 14) => {
            bits.put(0b10, 2);
            bits.put_signed(dod, 14);
        }
        dod if fits(dod, 17) => {
            bits.put(0b110, 3);
            bits.put_signed(dod, 17);
        }
        dod if fits(dod, 20) => {
            bits.put(0b1110, 4);
            bits.put_signed(dod, 20);
        }
        dod => {
            bits.put(0b1111, 4);
            bits.put_signed(dod, 64);
        }
    }
}
