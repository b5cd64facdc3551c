//! How the test language writes a series: its labels, then values at equal steps.
//!
//! `up{job="a"} 1 2+3x2 _ stale {{schema:1 sum:3 count:3 buckets:[1 2]}}x4` → labels, one [`Sample`] a step
//!
//! Nouns: an *item* is what stands between spaces, a value or several; `x` repeats one, `+` and `-` before a count add
//! something each time. The grammar is Prometheus' (`promqltest`). Not here: what the steps are (`language`).

pub(crate) mod histogram;

use anyhow::{Context, Result, bail, ensure};
use promql::column::Value;
use schemas::Labels;
use schemas::labels::METRIC_NAME;
use schemas::matcher::MatchOp;
use schemas::points::stale;

/// The most values that one line may stand for.
const VALUES_MAX: usize = 1_000_000;

/// A value that was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub value: Value,
    /// The line says what the reset hint is, so that it matters.
    pub hint_given: bool,
}

impl Sample {
    pub fn float(value: f64) -> Self {
        Self { value: Value::Float(value), hint_given: false }
    }
}

/// A series and its values, `None` where a step has none.
#[derive(Debug, Clone)]
pub struct Written {
    pub labels: Labels,
    pub values: Vec<Option<Sample>>,
}

/// Reads a line.
pub fn series(line: &str) -> Result<Written> {
    let (labels, rest) = split_labels(line)?;
    let mut values = Vec::new();
    for item in items(rest)? {
        read_item(item, &mut values).with_context(|| format!("value {item:?} of {line:?}"))?;
    }
    Ok(Written { labels: read_labels(labels)?, values })
}

/// The labels, and what follows them.
fn split_labels(line: &str) -> Result<(&str, &str)> {
    let name = line.find([' ', '\t', '{']).unwrap_or(line.len());
    if !line[name..].starts_with('{') {
        return Ok(line.split_at(name));
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in line[name..].char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(open), '\\') if open != '`' => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '}') => return Ok(line.split_at(name + at + 1)),
            _ => {}
        }
    }
    bail!("unfinished labels in {line:?}")
}

/// Labels as a selector writes them, with nothing but `=`. They need not have a metric name.
pub fn read_labels(text: &str) -> Result<Labels> {
    // A selector must name something, and labels need not: a matcher is put in for the parser, and taken out again.
    const STAND_IN: &str = "stand_in";
    let text = text.trim();
    let selector = match text.strip_prefix('{') {
        Some(rest) => format!("{{{STAND_IN}='x',{rest}"),
        None => text.to_owned(),
    };
    let selector = selector.replace(&format!("{STAND_IN}='x',}}"), &format!("{STAND_IN}='x'}}"));
    let mut pairs = Vec::new();
    for matcher in promql::parse_selector(&selector).with_context(|| format!("labels {text:?}"))? {
        ensure!(matcher.op() == MatchOp::Equal, "labels {text:?} have a matcher that is not `=`");
        if matcher.name() != STAND_IN && !matcher.value().is_empty() {
            pairs.push((matcher.name().to_owned(), matcher.value().to_owned()));
        }
    }
    pairs.sort();
    ensure!(pairs.is_sorted_by(|a, b| a.0 < b.0), "labels {text:?} have a name twice");
    Ok(Labels::from_sorted(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

/// The labels with another metric name, or none.
pub fn renamed(labels: &Labels, metric: Option<&str>) -> Labels {
    let mut pairs: Vec<(&str, &str)> = labels.without_metric().collect();
    pairs.extend(metric.map(|metric| (METRIC_NAME, metric)));
    pairs.sort_unstable();
    Labels::from_sorted(pairs.iter().copied())
}

/// What stands between spaces; those inside `{{ }}` do not count.
fn items(text: &str) -> Result<Vec<&str>> {
    let (mut items, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (mut inside, mut end) = (false, rest.len());
        for (at, c) in rest.char_indices() {
            match c {
                '{' => inside = true,
                '}' => inside = false,
                ' ' | '\t' if !inside => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        ensure!(!inside, "unfinished histogram in {rest:?}");
        items.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Ok(items)
}

fn read_item(item: &str, out: &mut Vec<Option<Sample>>) -> Result<()> {
    if let Some(rest) = item.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { repeats(rest)? };
        return repeat(out, count, |_| Ok(None));
    }
    if item.starts_with("{{") {
        return read_histograms(item, out);
    }
    let (first, rest) = number(item)?;
    if rest.is_empty() {
        return repeat(out, 1, |_| Ok(Some(Sample::float(first))));
    }
    let (added, rest) =
        if rest.starts_with('x') { (None, rest) } else { number(rest).map(|(by, rest)| (Some(by), rest))? };
    let mut value = first;
    repeat(out, repeats(rest)? + 1, |at| {
        value = if at == 0 { first } else { added.map_or(value, |added| value + added) };
        Ok(Some(Sample::float(value)))
    })
}

fn read_histograms(item: &str, out: &mut Vec<Option<Sample>>) -> Result<()> {
    let (first, rest) = histogram::read(item)?;
    if rest.is_empty() {
        return repeat(out, 1, |_| Ok(Some(first.sample())));
    }
    let factor = match rest.as_bytes()[0] {
        b'x' => return repeat(out, repeats(rest)? + 1, |_| Ok(Some(first.sample()))),
        b'+' => 1.0,
        b'-' => -1.0,
        _ => bail!("unexpected {rest:?} behind a histogram"),
    };
    let (added, rest) = histogram::read(&rest[1..])?;
    let mut current = first.clone();
    current.hint_given = added.hint_given;
    repeat(out, repeats(rest)? + 1, |at| {
        if at > 0 {
            current.add(&added, factor)?;
        }
        Ok(Some(current.sample()))
    })
}

fn repeat(
    out: &mut Vec<Option<Sample>>,
    count: usize,
    mut value: impl FnMut(usize) -> Result<Option<Sample>>,
) -> Result<()> {
    ensure!(out.len() + count <= VALUES_MAX, "more than {VALUES_MAX} values");
    for at in 0..count {
        out.push(value(at)?);
    }
    Ok(())
}

/// `x12`, with nothing behind.
fn repeats(text: &str) -> Result<usize> {
    let digits = text.strip_prefix('x').with_context(|| format!("expected `x` and a count, not {text:?}"))?;
    let count: usize = digits.parse().with_context(|| format!("count {digits:?}"))?;
    ensure!(count < VALUES_MAX, "a count of {count}");
    Ok(count)
}

/// A number at the start of a text, and what follows it.
pub(crate) fn number(text: &str) -> Result<(f64, &str)> {
    let (sign, body) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if let Some(rest) = body.strip_prefix("stale") {
        return Ok((stale(), rest));
    }
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if body.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
            return Ok((sign * value, &body[word.len()..]));
        }
    }
    let bytes = body.as_bytes();
    let (mut end, mut exponent) = (0, false);
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' | b'.' => {}
            b'e' | b'E' if !exponent => exponent = true,
            b'+' | b'-' if end > 0 && matches!(bytes[end - 1], b'e' | b'E') => {}
            _ => break,
        }
        end += 1;
    }
    let value: f64 = body[..end].parse().with_context(|| format!("number at {text:?}"))?;
    Ok((sign * value, &body[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(line: &str) -> Vec<Option<f64>> {
        let float = |sample: &Option<Sample>| match sample.as_ref().map(|sample| &sample.value) {
            Some(Value::Float(value)) => Some(*value),
            _ => None,
        };
        series(line).expect(line).values.iter().map(float).collect()
    }

    #[test]
    fn an_item_is_a_value_or_a_repeated_one() {
        assert_eq!(floats("a 1 -2 .5"), [Some(1.0), Some(-2.0), Some(0.5)]);
        assert_eq!(floats("a 1+2x2"), [Some(1.0), Some(3.0), Some(5.0)]);
        assert_eq!(floats("a 1-2x2"), [Some(1.0), Some(-1.0), Some(-3.0)]);
        assert_eq!(floats("a 1e3x1 _ _x2 7"), [Some(1e3), Some(1e3), None, None, None, Some(7.0)]);
        assert_eq!(floats("a +Inf -Inf"), [Some(f64::INFINITY), Some(f64::NEG_INFINITY)]);
        assert!(floats("a NaN")[0].expect("a value").is_nan());
        assert!(schemas::points::is_stale(floats("a stale")[0].expect("a value")));
    }

    #[test]
    fn labels_may_lack_a_name_and_hold_anything_in_quotes() {
        assert_eq!(series("{} 1").expect("valid").labels.iter().count(), 0);
        let labels = series(r#"a{b="x } y", "c.d"='e'} 1"#).expect("valid").labels;
        assert_eq!((labels.metric(), labels.get("b"), labels.get("c.d")), ("a", Some("x } y"), Some("e")));
        let quoted = series(r#"{"a b", c="d"} 1"#).expect("valid").labels;
        assert_eq!((quoted.metric(), quoted.get("c")), ("a b", Some("d")));
    }

    #[test]
    fn what_is_not_of_the_language_is_refused() {
        for line in ["a b", "a 1x", "a 1y2", "a{b=~\"c\"} 1", "a{ 1", "a {{sum:}}", "a {{x:1}}", "a 1x99999999"] {
            assert!(series(line).is_err(), "{line}");
        }
    }
}
