//! Packs 32 integers into 32 × width bits and back, one function a width.
//!
//! Each width is its own monomorph whose shifts and masks are constants, so a block is straight-line code: a load, a
//! shift and a mask a value. Bits are little-endian: value `i` begins at bit `i · width`.

use crate::varint::{ReadError, Reader};

/// Values in a block; the last block of a stream may hold fewer.
pub(super) const BLOCK: usize = 32;
/// The widest value: eight bytes, read at any bit of a byte, always hold it whole.
pub(super) const MAX_WIDTH: usize = 56;
/// Bytes of a full block at the greatest width, and the slack that unpacking reads behind a block.
const BLOCK_BYTES: usize = BLOCK * MAX_WIDTH / 8;
const SLACK: usize = 8;

type Pack = fn(&[u64; BLOCK], &mut [u64; MAX_WIDTH / 2]);
type Unpack = fn(&[u8], &mut [u64; BLOCK]);

#[rustfmt::skip]
macro_rules! by_width {
    ($function:ident) => {
        [
            $function::<0>, $function::<1>, $function::<2>, $function::<3>, $function::<4>, $function::<5>, $function::<6>, $function::<7>,
            $function::<8>, $function::<9>, $function::<10>, $function::<11>, $function::<12>, $function::<13>, $function::<14>, $function::<15>,
            $function::<16>, $function::<17>, $function::<18>, $function::<19>, $function::<20>, $function::<21>, $function::<22>, $function::<23>,
            $function::<24>, $function::<25>, $function::<26>, $function::<27>, $function::<28>, $function::<29>, $function::<30>, $function::<31>,
            $function::<32>, $function::<33>, $function::<34>, $function::<35>, $function::<36>, $function::<37>, $function::<38>, $function::<39>,
            $function::<40>, $function::<41>, $function::<42>, $function::<43>, $function::<44>, $function::<45>, $function::<46>, $function::<47>,
            $function::<48>, $function::<49>, $function::<50>, $function::<51>, $function::<52>, $function::<53>, $function::<54>, $function::<55>,
            $function::<56>,
        ]
    };
}

static PACK: [Pack; MAX_WIDTH + 1] = by_width!(pack_width);
static UNPACK: [Unpack; MAX_WIDTH + 1] = by_width!(unpack_width);

/// Bits that `value` needs.
#[inline]
pub(super) fn width_of(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

/// Bytes that `len` values of `width` bits take.
#[inline]
pub(super) fn packed_len(len: usize, width: usize) -> usize {
    (len * width).div_ceil(8)
}

/// Appends the first `len` values of a block. Values must fit `width` bits, those behind `len` too.
pub(super) fn pack(values: &[u64; BLOCK], len: usize, width: usize, out: &mut Vec<u8>) {
    debug_assert!(values.iter().all(|&value| width_of(value) <= width), "values fit their width");
    let mut words = [0_u64; MAX_WIDTH / 2];
    PACK[width](values, &mut words);
    let mut bytes = [0_u8; BLOCK_BYTES];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&bytes[..packed_len(len, width)]);
}

/// Reads `len` values of `width` bits into the front of `out`; what lies behind them in `out` is meaningless.
#[inline]
pub(super) fn unpack(
    reader: &mut Reader<'_>,
    len: usize,
    width: usize,
    out: &mut [u64; BLOCK],
) -> Result<(), ReadError> {
    debug_assert!(len <= BLOCK && width <= MAX_WIDTH);
    let rest = reader.rest();
    let block = reader.take(packed_len(len, width))?;
    if rest.len() >= BLOCK * width / 8 + SLACK {
        UNPACK[width](rest, out);
    } else {
        let mut padded = [0_u8; BLOCK_BYTES + SLACK];
        padded[..block.len()].copy_from_slice(block);
        UNPACK[width](&padded, out);
    }
    Ok(())
}

fn pack_width<const WIDTH: usize>(values: &[u64; BLOCK], words: &mut [u64; MAX_WIDTH / 2]) {
    if WIDTH == 0 {
        return;
    }
    for (i, &value) in values.iter().enumerate() {
        let bit = i * WIDTH;
        let (word, shift) = (bit / 64, bit % 64);
        words[word] |= value << shift;
        if shift + WIDTH > 64 {
            words[word + 1] |= value >> (64 - shift);
        }
    }
}

fn unpack_width<const WIDTH: usize>(bytes: &[u8], out: &mut [u64; BLOCK]) {
    let bytes = &bytes[..BLOCK * WIDTH / 8 + SLACK];
    let mask = (1_u64 << WIDTH) - 1;
    for (i, value) in out.iter_mut().enumerate() {
        let bit = i * WIDTH;
        let word = bytes[bit / 8..bit / 8 + 8].try_into().expect("eight bytes");
        *value = u64::from_le_bytes(word) >> (bit % 8) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_length_comes_back() {
        for width in 0..=MAX_WIDTH {
            for len in [1, 7, 31, 32] {
                let mut values = [0_u64; BLOCK];
                for (i, value) in values.iter_mut().enumerate().take(len) {
                    *value = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8 & ((1 << width) - 1);
                }
                for trailing in [0, 64] {
                    let mut bytes = Vec::new();
                    pack(&values, len, width, &mut bytes);
                    assert_eq!(bytes.len(), packed_len(len, width));
                    bytes.resize(bytes.len() + trailing, 0xff);
                    let mut back = [0_u64; BLOCK];
                    unpack(&mut Reader::new(&bytes), len, width, &mut back).expect("enough bytes");
                    assert_eq!(values[..len], back[..len]);
                }
            }
        }
    }

    #[test]
    fn a_short_block_is_an_error() {
        let mut out = [0; BLOCK];
        assert!(unpack(&mut Reader::new(&[0; 11]), 32, 3, &mut out).is_err());
    }
}
