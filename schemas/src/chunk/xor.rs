//! Doubles that are no decimals: each block of 32 keeps the bits in which neighbours differ.
//!
//! bits ─▶ XOR with the bits before ─▶ blocks of 32: a width byte, a shift byte, the differing bits packed
//!
//! The first value is not part of the stream. Whole blocks share one shift and width, unlike in Gorilla, so that reading
//! is a few straight lines.

use super::bitpack::{BLOCK, MAX_WIDTH, pack, packed_len, unpack, width_of};
use super::format_error::FormatError;
use crate::varint::Reader;

/// Above [`MAX_WIDTH`] bits a value is packed as this many low bits and the rest.
const LOW_BITS: usize = 32;

/// Bytes that [`put_xor`] takes.
pub(super) fn xor_len(bits: &[u64]) -> usize {
    blocks(bits).map(|block| block.bytes()).sum()
}

/// Appends all but the first of `bits`.
pub(super) fn put_xor(bits: &[u64], out: &mut Vec<u8>) {
    for block in blocks(bits) {
        out.push(u8::try_from(block.width).expect("at most 64"));
        if block.width == 0 {
            continue;
        }
        out.push(u8::try_from(block.shift).expect("less than 64"));
        let shifted = block.differences.map(|bits| bits >> block.shift);
        if block.width <= MAX_WIDTH {
            pack(&shifted, block.len, block.width, out);
        } else {
            pack(&shifted.map(|bits| bits & ((1 << LOW_BITS) - 1)), block.len, LOW_BITS, out);
            pack(&shifted.map(|bits| bits >> LOW_BITS), block.len, block.width - LOW_BITS, out);
        }
    }
}

/// Reads a stream of `out.len()` values whose first is `first`.
pub(super) fn read_xor(reader: &mut Reader<'_>, first: u64, out: &mut [u64]) -> Result<(), FormatError> {
    let Some((head, rest)) = out.split_first_mut() else { return Ok(()) };
    *head = first;
    let mut last = first;
    for out in rest.chunks_mut(BLOCK) {
        let width = usize::from(reader.u8()?);
        if width == 0 {
            out.fill(last);
            continue;
        }
        let shift = reader.u8()?;
        if width > 64 || usize::from(shift) + width > 64 {
            return Err(FormatError::Impossible("xor block width"));
        }
        let mut low = [0_u64; BLOCK];
        let mut high = [0_u64; BLOCK];
        if width <= MAX_WIDTH {
            unpack(reader, out.len(), width, &mut low)?;
        } else {
            unpack(reader, out.len(), LOW_BITS, &mut low)?;
            unpack(reader, out.len(), width - LOW_BITS, &mut high)?;
        }
        for ((slot, low), high) in out.iter_mut().zip(low).zip(high) {
            last ^= (high << LOW_BITS | low) << shift;
            *slot = last;
        }
    }
    Ok(())
}

struct Block {
    differences: [u64; BLOCK],
    len: usize,
    width: usize,
    shift: u32,
}

impl Block {
    fn bytes(&self) -> usize {
        match self.width {
            0 => 1,
            width if width <= MAX_WIDTH => 2 + packed_len(self.len, width),
            width => 2 + packed_len(self.len, LOW_BITS) + packed_len(self.len, width - LOW_BITS),
        }
    }
}

fn blocks(bits: &[u64]) -> impl Iterator<Item = Block> + '_ {
    // A window of a block's values and the one before them.
    (0..bits.len().saturating_sub(1)).step_by(BLOCK).map(|start| {
        let window = &bits[start..bits.len().min(start + BLOCK + 1)];
        let mut differences = [0_u64; BLOCK];
        let mut any = 0;
        for (slot, pair) in differences.iter_mut().zip(window.windows(2)) {
            *slot = pair[0] ^ pair[1];
            any |= *slot;
        }
        let shift = if any == 0 { 0 } else { any.trailing_zeros() };
        Block { differences, len: window.len() - 1, width: width_of(any >> shift), shift }
    })
}
