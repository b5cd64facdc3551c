//! Whether an answer is the expected one. Floats may differ by a millionth, as in Prometheus' own runner.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use promql::column::Value;
use promql::eval::{QueryValue, SeriesValues};
use schemas::Labels;
use schemas::histogram::{Buckets, Histogram, SCHEMA_CUSTOM};
use schemas::points::is_stale;

use crate::language::{Eval, Expected, Outcome, Said, When};
use crate::notation::{Sample, histogram::by_index};
use crate::target::Answer;

/// How far two floats may be from each other, as a part of the sum of both.
pub const TOLERANCE: f64 = 1e-6;

/// Whether two floats are as good as equal: any ordinary NaN is like any other, and the staleness marker like itself.
pub fn almost_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a.partial_cmp(&b) == Some(std::cmp::Ordering::Equal) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    let zero = |value: f64| value.abs() < f64::from_bits(1);
    if zero(a) || zero(b) || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < tolerance
}

/// Compares two histograms: empty buckets do not count.
pub fn same_histogram(a: &Histogram, b: &Histogram, hint_matters: bool, tolerance: f64) -> bool {
    let close = |a, b| almost_equal(a, b, tolerance);
    let same_bounds = || {
        let pairs = a.custom_values.iter().zip(&b.custom_values);
        a.custom_values.len() == b.custom_values.len() && pairs.into_iter().all(|(a, b)| a.to_bits() == b.to_bits())
    };
    a.schema == b.schema
        && close(a.count, b.count)
        && close(a.sum, b.sum)
        && (a.schema != SCHEMA_CUSTOM || same_bounds())
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && close(a.zero_count, b.zero_count)
        && same_buckets(&a.positive, &b.positive, tolerance)
        && same_buckets(&a.negative, &b.negative, tolerance)
        && (!hint_matters || a.reset_hint == b.reset_hint)
}

fn same_buckets(a: &Buckets, b: &Buckets, tolerance: f64) -> bool {
    let filled = |buckets| by_index(buckets).into_iter().filter(|(_, count)| count.abs() > 0.0 || count.is_nan());
    let (a, b): (BTreeMap<i32, f64>, BTreeMap<i32, f64>) = (filled(a).collect(), filled(b).collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && almost_equal(*a.1, *b.1, tolerance))
}

fn same_value(expected: &Sample, value: &Value) -> bool {
    match (&expected.value, value) {
        (Value::Float(a), Value::Float(b)) => almost_equal(*a, *b, TOLERANCE),
        (Value::Histogram(a), Value::Histogram(b)) => same_histogram(a, b, expected.hint_given, TOLERANCE),
        (Value::Float(_), Value::Histogram(_)) | (Value::Histogram(_), Value::Float(_)) => false,
    }
}

/// Whether a failure is the expected one.
pub fn check_failure(expected: &Expected, error: &str) -> Result<()> {
    match &expected.outcome {
        Outcome::Success => bail!("failed: {error}"),
        Outcome::Failure(text) => ensure!(text.matches(error), "failed with another error, {error:?}, not {text:?}"),
    }
    Ok(())
}

/// Whether notes are the expected ones.
pub fn check_notes(expected: &Expected, answer: &Answer) -> Result<()> {
    check_said(&expected.warnings, &answer.warnings).context("warnings")?;
    check_said(&expected.infos, &answer.infos).context("infos")
}

fn check_said(expected: &Said, said: &[String]) -> Result<()> {
    match expected {
        Said::Anything => {}
        Said::Nothing => ensure!(said.is_empty(), "expected none, got {said:?}"),
        Said::These(list) => {
            for text in list {
                ensure!(said.iter().any(|said| text.matches(said)), "expected {text:?}, got {said:?}");
            }
            for said in said {
                ensure!(list.iter().any(|text| text.matches(said)), "got {said:?}, which is not expected");
            }
        }
    }
    Ok(())
}

/// Whether a value is the expected one.
pub fn check_value(eval: &Eval, value: &QueryValue) -> Result<()> {
    let expected = &eval.expected;
    match value {
        QueryValue::Scalar(value, _) => {
            let wanted = expected.scalar.with_context(|| format!("expected series, got the scalar {value}"))?;
            ensure!(almost_equal(wanted, *value, TOLERANCE), "expected {wanted}, got {value}");
            Ok(())
        }
        QueryValue::String(value, _) => {
            let wanted = expected.string.as_deref().unwrap_or_default();
            ensure!(wanted == value, "expected {wanted:?}, got {value:?}");
            Ok(())
        }
        QueryValue::Vector(samples) => {
            ensure!(expected.scalar.is_none(), "expected a scalar, got {} series", samples.len());
            check_vector(expected, samples)
        }
        QueryValue::Matrix(series) => {
            ensure!(expected.scalar.is_none(), "expected a scalar, got {} series", series.len());
            ensure!(!expected.ordered, "a matrix has no order that can be expected");
            check_matrix(expected, expected.window.unwrap_or(eval.when), series)
        }
    }
}

fn check_vector(expected: &Expected, samples: &[(Labels, i64, Value)]) -> Result<()> {
    for (at, (labels, _, value)) in samples.iter().enumerate() {
        let row = expected.rows.iter().position(|row| row.labels == *labels);
        let row = row.with_context(|| format!("{labels} {} is not expected", shown(value)))?;
        ensure!(!expected.ordered || row == at, "{labels} stands at {}, not at {}", at + 1, row + 1);
        let wanted = expected.rows[row].values.first().cloned().flatten().unwrap_or_else(|| Sample::float(0.0));
        ensure!(same_value(&wanted, value), "{labels}: expected {}, got {}", shown(&wanted.value), shown(value));
    }
    for row in &expected.rows {
        ensure!(samples.iter().any(|(labels, _, _)| *labels == row.labels), "{} is not there", row.labels);
    }
    Ok(())
}

fn check_matrix(expected: &Expected, when: When, series: &[SeriesValues]) -> Result<()> {
    check_sorted(series)?;
    let When::Range { start, end, step } = when else { bail!("a matrix, and no times for its points") };
    for given in series {
        let labels = &given.labels;
        let row = expected.rows.iter().find(|row| row.labels == *labels);
        let row = row.with_context(|| format!("{labels} is not expected: {}", points(given)))?;
        let mut timestamp = start;
        let mut wanted = Vec::new();
        for sample in &row.values {
            ensure!(timestamp <= end, "more points are expected of {labels} than there are steps");
            wanted.extend(sample.as_ref().map(|sample| (timestamp, sample)));
            timestamp += step;
        }
        let got: Vec<(i64, Value)> = given.iter().collect();
        let same = |((at, sample), (timestamp, value)): (&(i64, &Sample), &(i64, Value))| {
            at == timestamp && same_value(sample, value)
        };
        let equal = wanted.len() == got.len() && wanted.iter().zip(&got).all(same);
        ensure!(equal, "{labels}: expected {}, got {}", written(&wanted), points(given));
    }
    for row in &expected.rows {
        ensure!(series.iter().any(|given| given.labels == row.labels), "{} is not there", row.labels);
    }
    Ok(())
}

/// Whether series stand in the order of their labels.
pub fn check_sorted(series: &[SeriesValues]) -> Result<()> {
    let sorted = series.is_sorted_by(|a, b| a.labels.iter().le(b.labels.iter()));
    ensure!(sorted, "series are not sorted by labels");
    Ok(())
}

fn written(wanted: &[(i64, &Sample)]) -> String {
    let list: Vec<String> = wanted.iter().map(|(at, sample)| format!("{}@{at}", shown(&sample.value))).collect();
    list.join(" ")
}

fn points(given: &SeriesValues) -> String {
    let list: Vec<String> = given.iter().map(|(at, value)| format!("{}@{at}", shown(&value))).collect();
    list.join(" ")
}

/// A value as the test language writes it, more or less.
pub fn shown(value: &Value) -> String {
    let h = match value {
        Value::Float(value) => return value.to_string(),
        Value::Histogram(histogram) => histogram,
    };
    let mut out = format!("{{{{schema:{} count:{} sum:{}", h.schema, h.count, h.sum);
    if h.zero_count.abs() > 0.0 || h.zero_threshold.abs() > 0.0 {
        out += &format!(" z_bucket:{} z_bucket_w:{}", h.zero_count, h.zero_threshold);
    }
    if !h.custom_values.is_empty() {
        out += &format!(" custom_values:{:?}", h.custom_values);
    }
    for (name, buckets) in [("buckets", &h.positive), ("n_buckets", &h.negative)] {
        let filled: Vec<String> = by_index(buckets).iter().map(|(index, count)| format!("{index}={count}")).collect();
        if !filled.is_empty() {
            out += &format!(" {name}:[{}]", filled.join(" "));
        }
    }
    format!("{out} counter_reset_hint:{:?}}}}}", h.reset_hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_close_in_relation_to_both() {
        let equal = |a, b| almost_equal(a, b, TOLERANCE);
        assert!(equal(1.0, 1.000_001) && !equal(1.0, 1.000_01));
        assert!(equal(0.0, -0.0) && !equal(0.0, 1e-300) && !equal(1e-300, 0.0));
        assert!(equal(f64::NAN, -f64::NAN) && !equal(f64::NAN, 0.0) && !equal(f64::INFINITY, f64::NEG_INFINITY));
        assert!(equal(f64::MAX, f64::MAX / 1.000_000_1) && !equal(f64::MAX, f64::INFINITY));
        assert!(
            !equal(f64::NAN, schemas::points::stale()) && equal(schemas::points::stale(), schemas::points::stale())
        );
    }

    #[test]
    fn empty_buckets_of_histograms_do_not_count() {
        let read = |text: &str| match crate::notation::series(&format!("a {text}")).expect(text).values[0].clone() {
            Some(Sample { value: Value::Histogram(histogram), .. }) => histogram,
            other => panic!("a histogram, not {other:?}"),
        };
        let same = |a: &str, b: &str| same_histogram(&read(a), &read(b), true, TOLERANCE);
        assert!(same("{{buckets:[0 0 1 0 2 0]}}", "{{buckets:[1 0 2] offset:2}}"));
        assert!(!same("{{buckets:[1 2]}}", "{{buckets:[1 2] offset:1}}"));
        assert!(!same("{{buckets:[1 2]}}", "{{buckets:[1 2] counter_reset_hint:gauge}}"));
        assert!(!same("{{n_buckets:[1]}}", "{{buckets:[1]}}"));
        assert!(!same("{{schema:-53 custom_values:[1]}}", "{{schema:-53 custom_values:[2]}}"));
        for other in ["{{sum:1}}", "{{count:1}}", "{{schema:1}}", "{{z_bucket:1}}", "{{z_bucket_w:1}}"] {
            assert!(!same("{{}}", other), "{other}");
        }
    }
}
