//! Histograms as bytes: one by itself, or one after another of the same series (`docs/formats/histogram.md`).
//!
//! histogram ─▶ head · layout (schema, zero threshold, spans, custom bounds) · counts · sum ─▶ bytes ─▶ the same histogram
//!
//! A histogram whose layout is that of the one before says so in a bit, and its counts are differences to those. Counts that
//! are whole are integers, others the bits in which they differ. Runs of zeros take two bytes. Bytes from outside never panic
//! and never allocate more than [`super::BUCKETS_MAX`] buckets. The same histograms give the same bytes (SEAL-1).

use super::{BUCKETS_MAX, Buckets, Histogram, ResetHint, Span};
use crate::chunk::FormatError;
use crate::varint::{Reader, put_f64, put_ivarint, put_uvarint, unzigzag, zigzag};

/// The first byte of a histogram that stands by itself.
pub const VERSION: u8 = 1;

const HEAD_HINT: u8 = 0x03;
const HEAD_INTEGER: u8 = 0x04;
/// Counts are whole numbers, whatever the sender counted in.
const HEAD_WHOLE: u8 = 0x08;
/// The layout is that of the histogram before, and so is what counts are written as.
const HEAD_SAME: u8 = 0x10;

/// A zero threshold that is a power of two takes one byte: 0 is 0.0, this an `f64` that follows, else 2^(byte − 200).
const THRESHOLD_WHOLE: u8 = 255;
const THRESHOLD_BIAS: i32 = 200;

/// Whole counts from here on are written as doubles, so that differences fit 64 bits.
const WHOLE_MAX: f64 = 4_611_686_018_427_387_904.0;

/// A histogram by itself.
pub fn encode(histogram: &Histogram) -> Vec<u8> {
    let mut out = vec![VERSION];
    put(histogram, None, &mut out);
    out
}

/// Reads a histogram by itself; all bytes must be its own.
pub fn decode(bytes: &[u8]) -> Result<Histogram, FormatError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(FormatError::Impossible("version of a histogram"));
    }
    let histogram = read(&mut reader, None)?;
    if reader.is_empty() { Ok(histogram) } else { Err(FormatError::Impossible("bytes behind a histogram")) }
}

/// Appends a histogram, given the one that was written before it.
pub(crate) fn put(histogram: &Histogram, before: Option<&Histogram>, out: &mut Vec<u8>) {
    let whole = is_whole(histogram);
    let before = before.filter(|before| same_layout(histogram, before) && is_whole(before) == whole);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        hint_code(histogram.reset_hint)
            | flag(histogram.is_integer, HEAD_INTEGER)
            | flag(whole, HEAD_WHOLE)
            | flag(before.is_some(), HEAD_SAME),
    );
    if before.is_none() {
        put_layout(histogram, out);
    }
    let mut zeros = ZeroRuns { out, zeros: 0 };
    match (whole, before) {
        (true, None) => {
            let mut last = 0;
            let numbers = row(histogram).map(|count| {
                let count = whole_of(count);
                let difference = count - last;
                last = count;
                zigzag(difference)
            });
            numbers.for_each(|number| zeros.put(number));
        }
        (true, Some(before)) => {
            let pairs = row(histogram).zip(row(before));
            pairs.for_each(|(count, before)| zeros.put(zigzag(whole_of(count) - whole_of(before))));
        }
        (false, None) => row(histogram).for_each(|count| zeros.put(count.to_bits())),
        (false, Some(before)) => {
            row(histogram).zip(row(before)).for_each(|(count, before)| zeros.put(count.to_bits() ^ before.to_bits()));
        }
    }
    zeros.end();
    match before {
        Some(before) => put_uvarint(out, histogram.sum.to_bits() ^ before.sum.to_bits()),
        None => put_f64(out, histogram.sum),
    }
}

/// Reads a histogram, given the one that was read before it.
pub(crate) fn read(reader: &mut Reader<'_>, before: Option<&Histogram>) -> Result<Histogram, FormatError> {
    let head = reader.u8()?;
    if head & !(HEAD_HINT | HEAD_INTEGER | HEAD_WHOLE | HEAD_SAME) != 0 {
        return Err(FormatError::Impossible("head of a histogram"));
    }
    let whole = head & HEAD_WHOLE != 0;
    let before = match head & HEAD_SAME != 0 {
        false => None,
        true => Some(before.filter(|before| is_whole(before) == whole).ok_or(FormatError::Impossible("layout"))?),
    };
    let mut histogram = match before {
        Some(before) => before.clone(),
        None => read_layout(reader)?,
    };
    histogram.reset_hint = hint_of(head & HEAD_HINT);
    histogram.is_integer = head & HEAD_INTEGER != 0;
    let mut zeros = ReadZeroRuns { reader, zeros: 0 };
    let mut last = 0_i64;
    for count in row_mut(&mut histogram) {
        let number = zeros.next()?;
        *count = match (whole, before.is_some()) {
            (true, false) => {
                last = last.checked_add(unzigzag(number)).ok_or(FormatError::Impossible("count"))?;
                count_of(last)?
            }
            (true, true) => {
                let sum = whole_of(*count).checked_add(unzigzag(number));
                count_of(sum.ok_or(FormatError::Impossible("count"))?)?
            }
            (false, _) => f64::from_bits(count.to_bits() ^ number),
        };
    }
    if zeros.zeros > 0 || is_whole(&histogram) != whole {
        return Err(FormatError::Impossible("counts"));
    }
    histogram.sum = match before {
        Some(before) => f64::from_bits(before.sum.to_bits() ^ reader.uvarint()?),
        None => reader.f64()?,
    };
    Ok(histogram)
}

/// All counts in the order in which they are written.
fn row(histogram: &Histogram) -> impl Iterator<Item = f64> + '_ {
    let buckets = histogram.positive.counts.iter().chain(&histogram.negative.counts).copied();
    [histogram.zero_count, histogram.count].into_iter().chain(buckets)
}

fn row_mut(histogram: &mut Histogram) -> impl Iterator<Item = &mut f64> + '_ {
    let buckets = histogram.positive.counts.iter_mut().chain(&mut histogram.negative.counts);
    [&mut histogram.zero_count, &mut histogram.count].into_iter().chain(buckets)
}

/// Whether every count is a whole number that comes back bit for bit.
fn is_whole(histogram: &Histogram) -> bool {
    row(histogram).all(|count| (0.0..WHOLE_MAX).contains(&count) && count.fract() == 0.0 && count.is_sign_positive())
}

#[expect(clippy::cast_possible_truncation, reason = "only of whole numbers from 0 up to 2^62")]
fn whole_of(count: f64) -> i64 {
    count as i64
}

fn count_of(whole: i64) -> Result<f64, FormatError> {
    #[expect(clippy::cast_precision_loss, reason = "the encoder's integers came of doubles, and go back to the same")]
    let count = whole as f64;
    if (0.0..WHOLE_MAX).contains(&count) { Ok(count) } else { Err(FormatError::Impossible("count")) }
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    a.schema == b.schema
        && same(a.zero_threshold, b.zero_threshold)
        && a.positive.spans == b.positive.spans
        && a.negative.spans == b.negative.spans
        && a.custom_values.len() == b.custom_values.len()
        && a.custom_values.iter().zip(&b.custom_values).all(|(&a, &b)| same(a, b))
}

fn put_layout(histogram: &Histogram, out: &mut Vec<u8>) {
    put_ivarint(out, i64::from(histogram.schema));
    match threshold_code(histogram.zero_threshold) {
        Some(code) => out.push(code),
        None => {
            out.push(THRESHOLD_WHOLE);
            put_f64(out, histogram.zero_threshold);
        }
    }
    for buckets in [&histogram.positive, &histogram.negative] {
        put_uvarint(out, buckets.spans.len() as u64);
        for span in &buckets.spans {
            put_ivarint(out, i64::from(span.offset));
            put_uvarint(out, u64::from(span.length));
        }
    }
    put_uvarint(out, histogram.custom_values.len() as u64);
    histogram.custom_values.iter().for_each(|&bound| put_f64(out, bound));
}

fn read_layout(reader: &mut Reader<'_>) -> Result<Histogram, FormatError> {
    let schema = i32::try_from(reader.ivarint()?).map_err(|_| FormatError::Impossible("schema"))?;
    let zero_threshold = match reader.u8()? {
        THRESHOLD_WHOLE => reader.f64()?,
        code => threshold_of(code),
    };
    let mut room = BUCKETS_MAX;
    let positive = read_spans(reader, &mut room)?;
    let negative = read_spans(reader, &mut room)?;
    let bounds = bounded(reader.uvarint()?, &mut room)?;
    let mut custom_values = Vec::with_capacity(bounds);
    for _ in 0..bounds {
        custom_values.push(reader.f64()?);
    }
    Ok(Histogram { schema, zero_threshold, positive, negative, custom_values, ..Histogram::default() })
}

fn read_spans(reader: &mut Reader<'_>, room: &mut usize) -> Result<Buckets, FormatError> {
    let spans = usize::try_from(reader.uvarint()?).ok().filter(|&spans| spans <= BUCKETS_MAX);
    let spans = spans.ok_or(FormatError::Impossible("number of spans"))?;
    let mut buckets = Buckets::default();
    let mut counts = 0;
    for _ in 0..spans {
        let offset = i32::try_from(reader.ivarint()?).map_err(|_| FormatError::Impossible("offset of a span"))?;
        let length = reader.uvarint()?;
        counts += bounded(length, room)?;
        let length = u32::try_from(length).map_err(|_| FormatError::Impossible("length of a span"))?;
        buckets.spans.push(Span { offset, length });
    }
    buckets.counts.resize(counts, 0.0);
    Ok(buckets)
}

fn bounded(length: u64, room: &mut usize) -> Result<usize, FormatError> {
    let length = usize::try_from(length).ok().filter(|length| length <= room);
    let length = length.ok_or(FormatError::Impossible("number of buckets"))?;
    *room -= length;
    Ok(length)
}

fn threshold_code(threshold: f64) -> Option<u8> {
    (0..THRESHOLD_WHOLE).find(|&code| threshold_of(code).to_bits() == threshold.to_bits())
}

fn threshold_of(code: u8) -> f64 {
    if code == 0 { 0.0 } else { 2.0_f64.powi(i32::from(code) - THRESHOLD_BIAS) }
}

fn hint_code(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn hint_of(code: u8) -> ResetHint {
    match code {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

/// Writes numbers; behind a zero, how many more follow it.
struct ZeroRuns<'a> {
    out: &'a mut Vec<u8>,
    zeros: u64,
}

impl ZeroRuns<'_> {
    fn put(&mut self, number: u64) {
        if number == 0 {
            self.zeros += 1;
        } else {
            self.end();
            put_uvarint(self.out, number);
        }
    }

    fn end(&mut self) {
        if self.zeros > 0 {
            put_uvarint(self.out, 0);
            put_uvarint(self.out, self.zeros - 1);
            self.zeros = 0;
        }
    }
}

struct ReadZeroRuns<'r, 'b> {
    reader: &'r mut Reader<'b>,
    zeros: u64,
}

impl ReadZeroRuns<'_, '_> {
    fn next(&mut self) -> Result<u64, FormatError> {
        if self.zeros > 0 {
            self.zeros -= 1;
            return Ok(0);
        }
        let number = self.reader.uvarint()?;
        if number == 0 {
            self.zeros = self.reader.uvarint()?;
        }
        Ok(number)
    }
}
