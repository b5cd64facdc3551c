//! A stream of integers: differences of order 0, 1 or 2, over their greatest common divisor, bit-packed in blocks.
//!
//! integers ─▶ minus the first, over the gcd ─▶ (constant | as is | delta | delta of delta) ─▶ blocks of 32, each minus a
//! reference, with a width byte
//!
//! The first integer is not part of the stream: whoever owns the stream keeps it. The plan is the cheapest of the four,
//! by exact size; the same integers always give the same bytes. All arithmetic of the decoder wraps.

use super::bitpack::{BLOCK, MAX_WIDTH, pack, packed_len, unpack, width_of};
use super::format_error::FormatError;
use crate::varint::{Reader, ivarint_len, put_ivarint, put_uvarint, uvarint_len};

/// Integers must lie within this distance of zero, so that second differences fit [`MAX_WIDTH`] bits.
pub(crate) const LIMIT: i64 = 1 << 51;

const HEAD_ORDER: u8 = 0x03;
const HEAD_GCD: u8 = 0x04;
const HEAD_REFERENCE: u8 = 0x08;
const CONSTANT: u8 = 3;
/// In a width byte: this block has its own reference.
const OWN_REFERENCE: u8 = 0x80;

/// Least and greatest of a block.
#[derive(Debug, Clone, Copy)]
struct Range {
    min: i64,
    max: i64,
}

/// One way to write a stream: the differences of one order.
#[derive(Debug, Default)]
struct Differences {
    values: Vec<i64>,
    blocks: Vec<Range>,
    reference: i64,
    bytes: usize,
}

/// Plans and writes a stream. Reuse it to save allocations.
#[derive(Debug, Default)]
pub(crate) struct IntEncoder {
    orders: [Differences; 3],
    minima: Vec<i64>,
    gcd: u64,
    first_delta: i64,
    order: u8,
    bytes: usize,
    len: usize,
}

impl IntEncoder {
    /// Chooses how to write `ints`, of which there is at least one; returns the stream's size in bytes.
    pub(crate) fn plan(&mut self, ints: &[i64]) -> usize {
        debug_assert!(ints.iter().all(|int| (-LIMIT..=LIMIT).contains(int)));
        self.len = ints.len();
        self.gcd = 1;
        self.order = CONSTANT;
        let changed = ints.iter().any(|&int| int != ints[0]);
        self.bytes = usize::from(ints.len() > 1);
        if !changed {
            return self.bytes;
        }
        self.scale(ints);
        self.difference();
        let gcd_bytes = if self.gcd > 1 { uvarint_len(self.gcd) } else { 0 };
        self.bytes = usize::MAX;
        // Of equals, the lower order, which is the faster to read.
        for order in 0..3_u8 {
            let differences = &mut self.orders[usize::from(order)];
            differences.plan(&mut self.minima);
            let first = if order == 2 { ivarint_len(self.first_delta) } else { 0 };
            let bytes = 1 + gcd_bytes + first + differences.bytes;
            if bytes < self.bytes {
                (self.order, self.bytes) = (order, bytes);
            }
        }
        self.bytes
    }

    /// Divides the distances to the first integer by their gcd into order 0, the first one left out.
    fn scale(&mut self, ints: &[i64]) {
        let first = ints[0];
        let scaled = &mut self.orders[0].values;
        scaled.clear();
        scaled.extend(ints[1..].iter().map(|&int| int - first));
        self.gcd = gcd_of(scaled);
        if self.gcd > 1 {
            let gcd = self.gcd.cast_signed();
            scaled.iter_mut().for_each(|value| *value /= gcd);
        }
    }

    fn difference(&mut self) {
        let [plain, first, second] = &mut self.orders;
        first.values.clear();
        first.values.push(plain.values[0]);
        first.values.extend(plain.values.windows(2).map(|pair| pair[1] - pair[0]));
        second.values.clear();
        second.values.extend(first.values.windows(2).map(|pair| pair[1] - pair[0]));
        self.first_delta = first.values[0];
    }

    /// Appends the planned stream.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.len > 1 {
            self.put_stream(out);
        }
        debug_assert_eq!(out.len() - start, self.bytes, "the plan knows the size");
    }

    fn put_stream(&self, out: &mut Vec<u8>) {
        let Some(differences) = self.orders.get(usize::from(self.order)) else {
            out.push(CONSTANT);
            return;
        };
        let gcd_flag = if self.gcd > 1 { HEAD_GCD } else { 0 };
        let reference_flag = if differences.reference == 0 { 0 } else { HEAD_REFERENCE };
        out.push(self.order | gcd_flag | reference_flag);
        if self.gcd > 1 {
            put_uvarint(out, self.gcd);
        }
        if differences.reference != 0 {
            put_ivarint(out, differences.reference);
        }
        if self.order == 2 {
            put_ivarint(out, self.first_delta);
        }
        differences.put(out);
    }
}

impl Differences {
    fn plan(&mut self, minima: &mut Vec<i64>) {
        self.blocks.clear();
        self.blocks.extend(self.values.chunks(BLOCK).map(Range::of));
        minima.clear();
        minima.extend(self.blocks.iter().map(|block| block.min));
        // The median serves the typical block; the others bring their own reference.
        let middle = minima.len().saturating_sub(1) / 2;
        self.reference = if minima.is_empty() { 0 } else { *minima.select_nth_unstable(middle).1 };
        let head = if self.reference == 0 { 0 } else { ivarint_len(self.reference) };
        let blocks = self.blocks.iter().zip(self.values.chunks(BLOCK));
        self.bytes =
            head + blocks.map(|(block, values)| block.layout(self.reference, values.len()).bytes).sum::<usize>();
    }

    fn put(&self, out: &mut Vec<u8>) {
        for (block, values) in self.blocks.iter().zip(self.values.chunks(BLOCK)) {
            let Layout { width, own_reference, .. } = block.layout(self.reference, values.len());
            let width_byte = u8::try_from(width).expect("a width is at most 56");
            let reference = if own_reference {
                out.push(width_byte | OWN_REFERENCE);
                put_ivarint(out, block.min);
                block.min
            } else {
                out.push(width_byte);
                self.reference
            };
            let mut packed = [0_u64; BLOCK];
            for (slot, &value) in packed.iter_mut().zip(values) {
                *slot = value.wrapping_sub(reference).cast_unsigned();
            }
            pack(&packed, values.len(), width, out);
        }
    }
}

/// How a block is written.
#[derive(Debug, Clone, Copy)]
struct Layout {
    width: usize,
    own_reference: bool,
    bytes: usize,
}

impl Range {
    /// By arithmetic instead of comparisons, and four at a time: the compiler would branch, and half the branches would
    /// be guessed wrong. Differences of values below 2^54 cannot overflow.
    #[inline]
    fn of(values: &[i64]) -> Self {
        let (mut min, mut max) = ([values[0]; 4], [values[0]; 4]);
        let (fours, rest) = values.as_chunks::<4>();
        let rest: [i64; 4] = std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(values[0]));
        for four in fours.iter().chain([&rest]) {
            for ((min, max), value) in min.iter_mut().zip(&mut max).zip(four) {
                let (below, above) = (value - *min, value - *max);
                *min += below & (below >> 63);
                *max += above & !(above >> 63);
            }
        }
        let [a, b, c, d] = min;
        let [e, f, g, h] = max;
        Self { min: a.min(b).min(c.min(d)), max: e.max(f).max(g.max(h)) }
    }

    #[inline]
    fn layout(self, reference: i64, len: usize) -> Layout {
        let width = |reference: i64| width_of(self.max.wrapping_sub(reference).cast_unsigned());
        let own_width = width(self.min);
        let own = 1 + ivarint_len(self.min) + packed_len(len, own_width);
        if self.min >= reference {
            let shared_width = width(reference);
            let shared = 1 + packed_len(len, shared_width);
            if shared <= own && shared_width <= MAX_WIDTH {
                return Layout { width: shared_width, own_reference: false, bytes: shared };
            }
        }
        Layout { width: own_width, own_reference: true, bytes: own }
    }
}

/// The greatest common divisor of the magnitudes; stops at 1, so ordinary streams cost a few steps.
fn gcd_of(values: &[i64]) -> u64 {
    let mut gcd = 0_u64;
    for value in values {
        let (mut a, mut b) = (value.unsigned_abs(), gcd);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        gcd = a;
        if gcd == 1 {
            break;
        }
    }
    gcd.max(1)
}

/// Reads a stream of `out.len()` integers whose first is `first`.
pub(crate) fn read_ints(reader: &mut Reader<'_>, first: i64, out: &mut [i64]) -> Result<(), FormatError> {
    let Some((head_slot, rest)) = out.split_first_mut() else { return Ok(()) };
    *head_slot = first;
    if rest.is_empty() {
        return Ok(());
    }
    let head = reader.u8()?;
    if head & !(HEAD_ORDER | HEAD_GCD | HEAD_REFERENCE) != 0 {
        return Err(FormatError::Impossible("integer stream head"));
    }
    let gcd = if head & HEAD_GCD != 0 { reader.uvarint()?.cast_signed() } else { 1 };
    let reference = if head & HEAD_REFERENCE != 0 { reader.ivarint()? } else { 0 };
    let mut blocks = Blocks { reader, gcd, reference };
    match head & HEAD_ORDER {
        0 => blocks.read(rest, |offset, packed, out| {
            let offset = first.wrapping_add(offset);
            for (slot, &value) in out.iter_mut().zip(packed) {
                *slot = offset.wrapping_add(value.cast_signed());
            }
        }),
        1 => {
            let mut last = first;
            blocks.read(rest, |offset, packed, out| {
                for (slot, &value) in out.iter_mut().zip(packed) {
                    last = last.wrapping_add(offset.wrapping_add(value.cast_signed()));
                    *slot = last;
                }
            })
        }
        2 => {
            let mut delta = blocks.reader.ivarint()?.wrapping_mul(gcd);
            let mut last = first.wrapping_add(delta);
            rest[0] = last;
            blocks.read(&mut rest[1..], |offset, packed, out| {
                for (slot, &value) in out.iter_mut().zip(packed) {
                    delta = delta.wrapping_add(offset.wrapping_add(value.cast_signed()));
                    last = last.wrapping_add(delta);
                    *slot = last;
                }
            })
        }
        _ => {
            rest.fill(first);
            Ok(())
        }
    }
}

/// The blocks of a stream, as they come.
struct Blocks<'a, 'b> {
    reader: &'a mut Reader<'b>,
    gcd: i64,
    reference: i64,
}

impl Blocks<'_, '_> {
    /// Unpacks block by block; `undo` gets the block's reference and packed values, both times the gcd, and where
    /// the integers go.
    #[inline(always)]
    fn read(&mut self, out: &mut [i64], mut undo: impl FnMut(i64, &[u64], &mut [i64])) -> Result<(), FormatError> {
        let mut packed = [0_u64; BLOCK];
        for out in out.chunks_mut(BLOCK) {
            let width_byte = self.reader.u8()?;
            let width = usize::from(width_byte & !OWN_REFERENCE);
            if width > MAX_WIDTH {
                return Err(FormatError::Impossible("block width"));
            }
            let reference = if width_byte & OWN_REFERENCE != 0 { self.reader.ivarint()? } else { self.reference };
            unpack(self.reader, out.len(), width, &mut packed)?;
            if self.gcd != 1 {
                for value in &mut packed {
                    *value = value.wrapping_mul(self.gcd.cast_unsigned());
                }
            }
            let offset = reference.wrapping_mul(self.gcd);
            if let Ok(full) = <&mut [i64; BLOCK]>::try_from(&mut *out) {
                undo(offset, &packed, full);
            } else {
                undo(offset, &packed[..out.len()], out);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(ints: &[i64]) -> usize {
        let mut encoder = IntEncoder::default();
        let planned = encoder.plan(ints);
        let mut bytes = Vec::new();
        encoder.put(&mut bytes);
        assert_eq!(bytes.len(), planned);
        let mut back = vec![0; ints.len()];
        let mut reader = Reader::new(&bytes);
        read_ints(&mut reader, ints[0], &mut back).expect("valid");
        assert!(reader.is_empty());
        assert_eq!(ints, back);
        bytes.len()
    }

    #[test]
    fn constants_cost_a_byte_and_lone_values_nothing() {
        assert_eq!(round_trip(&[42; 500]), 1);
        assert_eq!(round_trip(&[42]), 0);
    }

    #[test]
    fn a_common_divisor_is_taken_out() {
        let pages: Vec<i64> = (0..100).map(|i| 4_096 * (i * i % 7)).collect();
        assert!(round_trip(&pages) < 50, "three bits a value");
    }

    #[test]
    fn a_steady_counter_costs_a_width_byte_a_block() {
        let counter: Vec<i64> = (0..321).map(|i| 1_000_000 + 37 * i).collect();
        assert!(round_trip(&counter) <= 14);
    }

    #[test]
    fn extremes_of_the_domain_come_back_under_every_order() {
        let swing: Vec<i64> = (0..70).map(|i| if i % 2 == 0 { LIMIT } else { -LIMIT }).collect();
        round_trip(&swing);
        round_trip(&[-LIMIT, LIMIT]);
        let one_reset: Vec<i64> = (0..200).map(|i| if i < 100 { LIMIT - 200 + i } else { i }).collect();
        round_trip(&one_reset);
        let odd: Vec<i64> = (0..70).map(|i| if i % 3 == 0 { LIMIT - i } else { -LIMIT + i * i }).collect();
        round_trip(&odd);
    }
}
