//! The short way for series as senders write them: every label in its plainest form, all sorted, all ASCII.
//!
//! Then canonical bytes are the message's own bytes with the protobuf keys left out, and one pass over the message
//! copies and checks them. A sample has but one shape as well ([`sample`]). Anything else gives `None`, and the caller
//! takes the general way, which defines what is right; property tests hold the two together. This is what makes ten
//! labels cost tens of nanoseconds, and a sample a few.

use crate::canonical::{Blocks, is_before};
use crate::limits::Limits;

/// Canonical bytes of the series being read.
#[derive(Debug, Default)]
pub(super) struct PlainLabels(Blocks);

impl PlainLabels {
    /// Reads labels from the beginning of `message`, a `TimeSeries`, up to the first field that is none. Returns the
    /// bytes that they take in it; the canonical bytes are in [`PlainLabels::canonical`].
    pub(super) fn read(&mut self, message: &[u8], limits: &Limits) -> Option<usize> {
        if limits.label_name_bytes < 0x80 || limits.label_value_bytes < 0x80 {
            return None;
        }
        self.0.clear();
        let (mut at, mut labels, mut named) = (0, 0, false);
        let mut previous: &[u8] = b"";
        // Field 1 of the series (a label) that begins with its own field 1 (the name): key, length, key, length.
        while let Some(&[0x0a, label_len, 0x0a, name_len]) = message.get(at..).and_then(<[u8]>::first_chunk::<4>) {
            let name_at = at + 3;
            let value_at = name_at + 2 + usize::from(name_len);
            let end = at + 2 + usize::from(label_len);
            let &[0x12, value_len] = message.get(value_at - 1..)?.first_chunk::<2>()? else { return None };
            let short = label_len < 0x80 && name_len < 0x80 && value_len < 0x80 && name_len > 0 && value_len > 0;
            if !short || value_at + 1 + usize::from(value_len) != end || end > message.len() {
                return None;
            }
            let name = &message[name_at + 1..value_at - 1];
            if !is_before(previous, name) {
                return None;
            }
            if name[0] == b'_' {
                named |= name == b"__name__";
                if name == b"__tenant__" {
                    return None;
                }
            }
            // The length bytes of the message are those of the canonical layout.
            self.0.append(message, name_at, value_at - 1);
            self.0.append(message, value_at, end);
            previous = name;
            labels += 1;
            at = end;
        }
        let within = labels <= limits.labels_per_series && self.0.len() <= limits.labels_bytes;
        (named && within && self.canonical().is_ascii()).then_some(at)
    }

    pub(super) fn canonical(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Bytes of a sample as senders write it, its own key and length included: both key and value, and a time of our age
/// in six bytes.
pub(super) const SAMPLE_BYTES: usize = 18;

/// Reads such a sample from the beginning of `rest`, what is left of a series of either version: its time in ms, and its
/// value.
#[inline]
pub(super) fn sample(rest: &[u8]) -> Option<(i64, f64)> {
    let sample: &[u8; SAMPLE_BYTES] = rest.first_chunk()?;
    // Field 2 of the series (a sample) of 16 bytes, whose field 1 is the value and whose field 2 is the time.
    let [0x12, 16, 0x09, value @ .., 0x10, t0, t1, t2, t3, t4, t5] = *sample else { return None };
    let time = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, 0, 0]);
    // Each byte but the last says that another follows.
    if time & 0x8080_8080_8080 != 0x0080_8080_8080 {
        return None;
    }
    // Seven bits of each byte: first pairs of bytes move together, then pairs of pairs, then the third.
    let pairs = (time & 0x007f_007f_007f) | (time & 0x7f00_7f00_7f00) >> 1;
    let time = (pairs & 0x3fff) | (pairs & 0x3fff_0000) >> 2 | (pairs & 0x3fff_0000_0000) >> 4;
    Some((time.cast_signed(), f64::from_le_bytes(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canonical::{settle, write_series};

    use crate::decode::protobuf::Reader;
    use crate::decode::remote_write::sample_of;
    use crate::decode::testing::wire::{field, fixed, number};

    fn general(pairs: &[(String, String)], limits: &Limits) -> Option<Vec<u8>> {
        let mut pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let mut out = Vec::new();
        settle(&mut pairs, limits).and_then(|()| write_series(&pairs, &mut out)).ok().map(|()| out)
    }

    fn message(pairs: &[(String, String)]) -> Vec<u8> {
        crate::encode::labels(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    #[test]
    fn ordinary_series_take_the_short_way() {
        let pairs =
            [("__name__", "up"), ("instance", "a:9090"), ("job", "a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut plain = PlainLabels::default();
        let message = message(&pairs);
        assert_eq!(plain.read(&message, &Limits::default()), Some(message.len()));
        assert_eq!(Some(plain.canonical().to_vec()), general(&pairs, &Limits::default()));
    }

    #[test]
    fn a_length_that_lies_takes_the_general_way() {
        let good = message(&[("__name__".to_owned(), "up".to_owned())]);
        for at in [1, 3, 13] {
            for len in [0, 1, 200] {
                let mut lying = good.clone();
                lying[at] = len;
                assert_eq!(PlainLabels::default().read(&lying, &Limits::default()), None, "byte {at} is {len}");
            }
        }
    }

    fn sample_message(timestamp_ms: i64, bits: u64) -> Vec<u8> {
        field(2, &[fixed(1, bits), number(2, timestamp_ms.cast_unsigned())].concat())
    }

    #[test]
    fn times_of_our_age_take_the_short_way() {
        for timestamp_ms in [1 << 35, 1_742_221_800_000, (1 << 42) - 1] {
            let message = [sample_message(timestamp_ms, 1.5_f64.to_bits()), vec![0x12]].concat();
            assert_eq!(sample(&message), Some((timestamp_ms, 1.5)));
            assert_eq!(sample(&message[..SAMPLE_BYTES - 1]), None);
        }
        for timestamp_ms in [0, (1 << 35) - 1, 1 << 42, i64::MAX, -1] {
            assert_eq!(sample(&sample_message(timestamp_ms, 0)), None, "{timestamp_ms}");
        }
    }

    proptest! {
        /// Whatever byte of a sample is another: what the short way reads, the general way reads as well.
        #[test]
        fn a_plain_sample_is_what_the_general_way_reads(
            timestamp_ms in 0_i64..1 << 43,
            bits in any::<u64>(),
            at in 0..SAMPLE_BYTES,
            byte in any::<u8>(),
        ) {
            let mut message = sample_message(timestamp_ms, bits);
            if let Some(of) = message.get_mut(at) {
                *of = byte;
            }
            if let Some((timestamp_ms, value)) = sample(&message) {
                let general = sample_of(Reader::new(&message[2..SAMPLE_BYTES], "sample")).expect("well formed");
                prop_assert_eq!((general.0, general.1.to_bits()), (timestamp_ms, value.to_bits()));
            }
        }

        /// Wherever the short way answers, the general way gives the same.
        #[test]
        fn the_short_way_agrees_with_the_general_one(
            pairs in proptest::collection::vec(("[a-c_ä]{0,2}|__name__|__tenant__", "[a-z]{0,40}|[ä-ü]{1,3}"), 0..6),
            sort in any::<bool>(),
            labels_per_series in 1_usize..6,
            labels_bytes in 20_usize..200,
        ) {
            let mut pairs = pairs;
            if sort {
                pairs.sort();
            }
            let limits = Limits { labels_per_series, labels_bytes, ..Limits::default() };
            let message = message(&pairs);
            let mut plain = PlainLabels::default();
            if let Some(read) = plain.read(&message, &limits) {
                prop_assert_eq!(read, message.len());
                prop_assert_eq!(Some(plain.canonical().to_vec()), general(&pairs, &limits));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), tail in 0_usize..20) {
            let mut message = message(&[("__name__".to_owned(), "up".to_owned())]);
            message.truncate(message.len().saturating_sub(tail));
            message.extend(bytes);
            let _ = PlainLabels::default().read(&message, &Limits::default());
        }
    }
}
