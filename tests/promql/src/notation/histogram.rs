//! Histograms as the test language writes them: `{{schema:1 sum:3 count:3 buckets:[1 2] offset:-1}}`.
//!
//! Adding is done here once more, on maps of buckets, so that what is expected does not come from what is tested.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use promql::column::Value;
use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span};

use super::{Sample, number};

/// A histogram that was written down.
#[derive(Debug, Clone)]
pub(super) struct Written {
    histogram: Histogram,
    pub(super) hint_given: bool,
}

impl Written {
    pub(super) fn sample(&self) -> Sample {
        Sample { value: Value::Histogram(Arc::new(self.histogram.clone())), hint_given: self.hint_given }
    }

    /// Adds another, times a factor; the coarser schema wins.
    pub(super) fn add(&mut self, other: &Self, factor: f64) -> Result<()> {
        let (to, other) = (&mut self.histogram, &other.histogram);
        ensure!(to.schema <= other.schema, "cannot merge from schema {} to {}", other.schema, to.schema);
        ensure!((to.schema == SCHEMA_CUSTOM) == (other.schema == SCHEMA_CUSTOM), "two kinds of buckets");
        ensure!(to.custom_values == other.custom_values, "different bounds of custom buckets");
        ensure!(to.zero_threshold.to_bits() == other.zero_threshold.to_bits(), "different zero buckets");
        let finer = if to.schema == SCHEMA_CUSTOM { 0 } else { other.schema - to.schema };
        to.count += factor * other.count;
        to.sum += factor * other.sum;
        to.zero_count += factor * other.zero_count;
        for (to, other) in [(&mut to.positive, &other.positive), (&mut to.negative, &other.negative)] {
            let mut sum = by_index(to);
            for (index, count) in by_index(other) {
                *sum.entry(((index - 1) >> finer) + 1).or_default() += factor * count;
            }
            *to = from_index(&sum);
        }
        to.reset_hint = match (to.reset_hint, other.reset_hint) {
            (a, b) if a == b => a,
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        Ok(())
    }
}

/// The counts by the index of their bucket, empty buckets of the spans included.
pub(crate) fn by_index(buckets: &Buckets) -> BTreeMap<i32, f64> {
    let (mut index, mut counts) = (0_i32, buckets.counts.iter());
    let mut out = BTreeMap::new();
    for span in &buckets.spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            out.extend(counts.next().map(|count| (index, *count)));
            index = index.saturating_add(1);
        }
    }
    out
}

fn from_index(counts: &BTreeMap<i32, f64>) -> Buckets {
    let (mut spans, mut next) = (Vec::<Span>::new(), None);
    for &index in counts.keys() {
        match (next, spans.last_mut()) {
            (Some(next), Some(span)) if next == index => span.length += 1,
            _ => spans.push(Span { offset: index - next.unwrap_or(0), length: 1 }),
        }
        next = Some(index + 1);
    }
    Buckets { spans, counts: counts.values().copied().collect() }
}

/// Reads a histogram at the start of a text; gives what follows it, too.
pub(super) fn read(text: &str) -> Result<(Written, &str)> {
    let body = text.strip_prefix("{{").with_context(|| format!("expected a histogram at {text:?}"))?;
    let (body, rest) = body.split_once("}}").context("unfinished histogram")?;
    let mut out = Written { histogram: Histogram::default(), hint_given: false };
    let (mut offset, mut negative_offset) = (0, 0);
    for (name, value) in properties(body)? {
        let histogram = &mut out.histogram;
        match name.to_ascii_lowercase().as_str() {
            "schema" => histogram.schema = value.parse().with_context(|| format!("schema {value:?}"))?,
            "sum" => histogram.sum = whole(value)?,
            "count" => histogram.count = whole(value)?,
            "z_bucket" => histogram.zero_count = whole(value)?,
            "z_bucket_w" => histogram.zero_threshold = whole(value)?,
            "custom_values" => histogram.custom_values = list(value)?,
            "buckets" => histogram.positive.counts = list(value)?,
            "n_buckets" => histogram.negative.counts = list(value)?,
            "offset" => offset = value.parse().with_context(|| format!("offset {value:?}"))?,
            "n_offset" => negative_offset = value.parse().with_context(|| format!("offset {value:?}"))?,
            "counter_reset_hint" => {
                histogram.reset_hint = hint(value)?;
                out.hint_given = true;
            }
            _ => bail!("a histogram has no {name:?}"),
        }
    }
    let sides = [(&mut out.histogram.positive, offset), (&mut out.histogram.negative, negative_offset)];
    for (buckets, offset) in sides {
        if !buckets.counts.is_empty() {
            buckets.spans = vec![Span { offset, length: u32::try_from(buckets.counts.len())? }];
        }
    }
    Ok((out, rest))
}

/// `name:value` and `name:[value value]`, between spaces.
fn properties(body: &str) -> Result<Vec<(&str, &str)>> {
    let (mut out, mut rest) = (Vec::new(), body.trim());
    while !rest.is_empty() {
        let (name, value) = rest.split_once(':').with_context(|| format!("expected `name:value` at {rest:?}"))?;
        let end = if value.starts_with('[') {
            value.find(']').with_context(|| format!("unfinished list at {value:?}"))? + 1
        } else {
            value.find(char::is_whitespace).unwrap_or(value.len())
        };
        out.push((name, &value[..end]));
        rest = value[end..].trim_start();
    }
    Ok(out)
}

fn whole(text: &str) -> Result<f64> {
    match number(text)? {
        (value, "") => Ok(value),
        (_, rest) => bail!("unexpected {rest:?} behind a number"),
    }
}

fn list(text: &str) -> Result<Vec<f64>> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inside.with_context(|| format!("expected a list, not {text:?}"))?.split_whitespace().map(whole).collect()
}

fn hint(text: &str) -> Result<ResetHint> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => bail!("no reset hint is called {text:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Histogram {
        read(text).expect(text).0.histogram
    }

    #[test]
    fn properties_have_their_names() {
        let text =
            "{{schema:1 sum:-3.5 count:22 z_bucket:2 z_bucket_w:0.001 buckets:[5 10 7] offset:-3 n_buckets:[1]}}";
        let h = read_one(text);
        assert_eq!((h.schema, h.sum, h.count, h.zero_count, h.zero_threshold), (1, -3.5, 22.0, 2.0, 0.001));
        assert_eq!(h.positive.spans, [Span { offset: -3, length: 3 }]);
        assert_eq!(h.positive.counts, [5.0, 10.0, 7.0]);
        assert_eq!((h.negative.spans[0].offset, h.negative.counts[0]), (0, 1.0));
        let custom =
            read("{{schema:-53 custom_values:[5 10] buckets:[1 2 3] counter_reset_hint:gauge}}x3").expect("valid");
        assert_eq!((custom.0.histogram.custom_values.len(), custom.0.hint_given, custom.1), (2, true, "x3"));
        assert_eq!(read_one("{{}}"), Histogram::default());
    }

    #[test]
    fn a_sum_has_the_buckets_of_both_in_the_coarser_schema() {
        let (mut to, _) = read("{{schema:-1 sum:4 count:1 buckets:[1] offset:1}}").expect("valid");
        let (added, _) = read("{{schema:0 sum:4 count:5 buckets:[2 3] offset:2}}").expect("valid");
        to.add(&added, 1.0).expect("coarser");
        assert_eq!(by_index(&to.histogram.positive), BTreeMap::from([(1, 3.0), (2, 3.0)]));
        assert_eq!((to.histogram.sum, to.histogram.count), (8.0, 6.0));
        assert!(read("{{schema:1}}").expect("valid").0.add(&added, 1.0).is_err(), "finer than what is added");
    }
}
