//! Bits of a chunk, the highest first, and the ways in which numbers are written into them.
//!
//! The format is Prometheus' (`tsdb/docs/format/chunks.md`).

use schemas::varint::zigzag;

/// Bits, one after the other.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Free bits of the last byte.
    free: u32,
}

impl Bits {
    /// Behind bytes that are there already.
    pub(super) fn behind(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The lowest `count` bits of a value.
    pub(super) fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1 << taken) - 1);
            self.free -= taken;
            left -= taken;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << self.free).to_le_bytes()[0];
            }
        }
    }

    pub(super) fn put_signed(&mut self, value: i64, count: u32) {
        self.put(value.cast_unsigned(), count);
    }

    pub(super) fn put_float(&mut self, value: f64) {
        self.put(value.to_bits(), 64);
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    pub(super) fn put_varint(&mut self, value: i64) {
        self.put_uvarint(zigzag(value));
    }

    /// A number of 1, 5, 9, 13, 17, 24, 32, 64 or 72 bits by its magnitude.
    pub(super) fn put_varbit(&mut self, value: i64) {
        if value == 0 {
            return self.put(0, 1);
        }
        let widths = [3, 6, 9, 12, 18, 25, 56];
        for (ones, width) in (1_u32..).zip(widths) {
            if fits(value, width) {
                self.put((1 << (ones + 1)) - 2, ones + 1);
                return self.put_signed(value, width);
            }
        }
        self.put(0xff, 8);
        self.put_signed(value, 64);
    }

    /// The same for numbers without a sign.
    pub(super) fn put_uvarbit(&mut self, value: u64) {
        if value == 0 {
            return self.put(0, 1);
        }
        let widths = [3, 6, 9, 12, 18, 25, 56];
        for (ones, width) in (1_u32..).zip(widths) {
            if value >> width == 0 {
                self.put((1 << (ones + 1)) - 2, ones + 1);
                return self.put(value, width);
            }
        }
        self.put(0xff, 8);
        self.put(value, 64);
    }
}

/// Whether a number lies in `-(2^(width−1) − 1) ..= 2^(width−1)`.
pub(super) fn fits(value: i64, width: u32) -> bool {
    let half = 1_i64 << (width - 1);
    (1 - half..=half).contains(&value)
}

/// A float after another: what differs between their bits, where the last difference was, if it fits there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Xor {
    value: f64,
    /// Zeros before and behind the last difference.
    window: Option<(u32, u32)>,
}

impl Xor {
    pub(super) fn new(first: f64) -> Self {
        Self { value: first, window: None }
    }

    pub(super) fn put(&mut self, bits: &mut Bits, value: f64) {
        let delta = value.to_bits() ^ self.value.to_bits();
        self.value = value;
        if delta == 0 {
            return bits.put(0, 1);
        }
        // Five bits hold the number of zeros.
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        match self.window {
            Some((before, behind)) if leading >= before && trailing >= behind => {
                bits.put(0b10, 2);
                bits.put(delta >> behind, 64 - before - behind);
            }
            _ => {
                self.window = Some((leading, trailing));
                let significant = 64 - leading - trailing;
                bits.put(0b11, 2);
                bits.put(u64::from(leading), 5);
                // 64 is written as 0, which six bits hold.
                bits.put(u64::from(significant & 63), 6);
                bits.put(delta >> trailing, significant);
            }
        }
    }
}
