//! Samples as Prometheus text 0.0.4.

use std::io::Write as _;

use schemas::Labels;
use schemas::histogram::Histogram;
use schemas::labels::METRIC_NAME;

use super::super::number::{float, push_float};
use super::{INSTANCE, Newest, Sample, classic_buckets};

pub(super) fn written(newest: &[Newest]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last: Option<(&str, &str)> = None;
    for Newest { labels, ts, sample } in newest {
        let metric = labels.metric();
        let kind = match sample {
            Sample::Float(_) => "untyped",
            Sample::Histogram(_) if sample.is_classic() => "histogram",
            Sample::Histogram(_) => continue,
        };
        if last != Some((metric, kind)) {
            line(&mut out, format_args!("# TYPE {} {kind}", name_alone(metric)));
            last = Some((metric, kind));
        }
        match sample {
            Sample::Float(value) => push_sample(&mut out, (metric, ""), labels, None, *value, *ts),
            Sample::Histogram(histogram) => push_classic(&mut out, metric, labels, histogram, *ts),
        }
    }
    out
}

fn push_classic(out: &mut Vec<u8>, metric: &str, labels: &Labels, histogram: &Histogram, ts: i64) {
    for (bound, below) in classic_buckets(histogram) {
        push_sample(out, (metric, "_bucket"), labels, Some(bound), below, ts);
    }
    push_sample(out, (metric, "_bucket"), labels, Some(f64::INFINITY), histogram.count, ts);
    push_sample(out, (metric, "_sum"), labels, None, histogram.sum, ts);
    push_sample(out, (metric, "_count"), labels, None, histogram.count, ts);
}

/// `metric{label="value",…} value timestamp`; a name that is not of letters, digits, `_` and `:` stands in the braces.
fn push_sample(
    out: &mut Vec<u8>,
    (metric, suffix): (&str, &str),
    labels: &Labels,
    le: Option<f64>,
    value: f64,
    ts: i64,
) {
    let name = format!("{metric}{suffix}");
    let mut first = true;
    if is_plain(&name, true) {
        out.extend_from_slice(name.as_bytes());
        out.push(b'{');
    } else {
        out.extend_from_slice(b"{\"");
        push_escaped(out, &name);
        out.push(b'"');
        first = false;
    }
    let mut push = |out: &mut Vec<u8>, name: &str, value: &str| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        if is_plain(name, false) {
            out.extend_from_slice(name.as_bytes());
        } else {
            out.push(b'"');
            push_escaped(out, name);
            out.push(b'"');
        }
        out.extend_from_slice(b"=\"");
        push_escaped(out, value);
        out.push(b'"');
    };
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        push(out, name, value);
    }
    if labels.get(INSTANCE).is_none() {
        push(out, INSTANCE, "");
    }
    if let Some(le) = le {
        push(out, "le", &float(le));
    }
    out.extend_from_slice(b"} ");
    push_float(out, value);
    line(out, format_args!(" {ts}"));
}

/// A metric's name by itself, in quotes where it needs some.
fn name_alone(metric: &str) -> String {
    if is_plain(metric, true) {
        return metric.to_owned();
    }
    let mut out = Vec::from(*b"\"");
    push_escaped(&mut out, metric);
    out.push(b'"');
    String::from_utf8_lossy(&out).into_owned()
}

fn is_plain(name: &str, colons: bool) -> bool {
    let fits = |at: usize, byte: u8| {
        byte == b'_' || byte.is_ascii_alphabetic() || (colons && byte == b':') || (at > 0 && byte.is_ascii_digit())
    };
    !name.is_empty() && name.bytes().enumerate().all(|(at, byte)| fits(at, byte))
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'"' => out.extend_from_slice(br#"\""#),
            b'\n' => out.extend_from_slice(br"\n"),
            byte => out.push(byte),
        }
    }
}

fn line(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a vector takes every byte");
}
