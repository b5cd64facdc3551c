//! Coarser buckets: each halving of the resolution unites two neighbours.

use super::{Buckets, Histogram, Span};

impl Histogram {
    /// Unites buckets until the schema is at most `schema`; both exponential. Nothing is lost but resolution.
    pub fn reduce_resolution_to(&mut self, schema: i32) {
        let Ok(halvings) = u32::try_from(i64::from(self.schema) - i64::from(schema)) else { return };
        if halvings > 0 {
            self.positive = self.positive.united(halvings);
            self.negative = self.negative.united(halvings);
            self.schema = schema;
        }
    }
}

impl Buckets {
    /// These buckets without gaps that hold nothing: `(index, count)`, ascending. The spans must match the counts.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let mut next = 0_i64;
        let indexes = self.spans.iter().flat_map(move |&Span { offset, length }| {
            let first = next + i64::from(offset);
            next = first + i64::from(length);
            first..next
        });
        indexes.zip(self.counts.iter().copied())
    }

    /// Buckets of their counts by index, ascending; neighbours become one span. Indexes that repeat are added up.
    pub fn from_indexed(counts: impl Iterator<Item = (i64, f64)>) -> Self {
        let mut out = Self::default();
        let mut next: Option<i64> = None;
        for (index, count) in counts {
            if let (Some(behind), Some(last)) = (next, out.counts.last_mut())
                && index < behind
            {
                *last += count;
                continue;
            }
            let gap = index - next.unwrap_or(0);
            match out.spans.last_mut() {
                Some(span) if gap == 0 => span.length += 1,
                _ => {
                    let offset = i32::try_from(gap).unwrap_or(if gap < 0 { i32::MIN } else { i32::MAX });
                    out.spans.push(Span { offset, length: 1 });
                }
            }
            out.counts.push(count);
            next = Some(index + 1);
        }
        out
    }

    /// Each `2^halvings` neighbours become one: those with indexes in `((j − 1)·2^h, j·2^h]` the `j`-th.
    fn united(&self, halvings: u32) -> Self {
        let coarse = |index: i64| ((index - 1) >> halvings.min(62)) + 1;
        Self::from_indexed(self.iter().map(|(index, count)| (coarse(index), count)))
    }
}
