//! Prometheus text exposition and OpenMetrics: `http_requests_total{code="200"} 1027 1395066363000`.
//!
//! body ─▶ lines ─▶ name, labels, value, time ─▶ canonical bytes ─▶ batch; `# HELP`, `# TYPE`, `# UNIT` ─▶ metadata
//!
//! Taken as leniently as it can be: any UTF-8 name, quoted names (`{"http.requests"} 1`), white space of any amount,
//! comments anywhere. Exemplars are counted and left out. A bad line is refused by itself; indexes of rejections are
//! line numbers from 1. A sample without a time gets now.

use std::borrow::Cow;

use schemas::labels::METRIC_NAME;
use schemas::{PointBatch, RejectReason};

use super::{Collector, DecodeError, Decoded, Origins, Scope};
use crate::canonical::{Pair, settle, write_series};

mod sample;
#[cfg(test)]
mod tests;

use sample::Sample;

/// Which of the two formats, as the content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// Times are milliseconds.
    Prometheus,
    /// Times are seconds.
    OpenMetrics,
    /// OpenMetrics if the text ends with `# EOF`, as it must there.
    #[default]
    Detect,
}

/// Decodes text exposition.
pub fn decode(body: &[u8], dialect: Dialect, scope: Scope<'_>, batch: &mut PointBatch) -> Result<Decoded, DecodeError> {
    let seconds = match dialect {
        Dialect::Prometheus => false,
        Dialect::OpenMetrics => true,
        Dialect::Detect => body.trim_ascii_end().ends_with(b"# EOF"),
    };
    let mut request = Request {
        out: Collector::new(scope, batch, Origins::of_groups()),
        seconds,
        labels: Vec::new(),
        canonical: Vec::new(),
    };
    let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
    let mut start = 0;
    for (number, end) in (1..).zip(ends) {
        request.line(number, body[start..end].trim_ascii())?;
        start = end + 1;
    }
    Ok(request.out.decoded)
}

struct Request<'s, 'b, 'a> {
    out: Collector<'s, 'b>,
    /// Times are seconds.
    seconds: bool,
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    canonical: Vec<u8>,
}

impl<'a> Request<'_, '_, 'a> {
    fn line(&mut self, number: u64, line: &'a [u8]) -> Result<(), DecodeError> {
        if line.is_empty() {
            return Ok(());
        }
        let taken = match std::str::from_utf8(line) {
            Err(_) => Err(RejectReason::Malformed("the line is not UTF-8".to_owned())),
            Ok(text) => match text.strip_prefix('#') {
                Some(comment) => {
                    self.comment(comment);
                    return Ok(());
                }
                None => self.sample(number, text),
            },
        };
        self.out.see(1)?;
        if let Err(reason) = taken {
            self.out.reject(number, 1, reason);
        }
        Ok(())
    }

    fn sample(&mut self, number: u64, text: &'a str) -> Result<(), RejectReason> {
        self.labels.clear();
        let sample = Sample::parse(text, &mut self.labels)?;
        self.out.decoded.dropped.exemplars += u64::from(sample.exemplar);
        let timestamp_ms = match sample.timestamp {
            None => self.out.scope.now_ms,
            Some(text) => time_ms(text, self.seconds)?,
        };
        self.out.admit(timestamp_ms)?;
        let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(self.labels.len() + 1);
        pairs.extend(sample.name.as_ref().map(|name| (METRIC_NAME.as_bytes(), name.as_bytes())));
        pairs.extend(self.labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        settle(&mut pairs, self.out.scope.limits)?;
        write_series(&pairs, &mut self.canonical)?;
        self.out.begin_series(&self.canonical);
        self.out.push(number, timestamp_ms, sample.value);
        Ok(())
    }

    /// `# HELP name text`, `# TYPE name kind`, `# UNIT name unit`; anything else is a remark.
    fn comment(&mut self, comment: &str) {
        let mut words = comment.trim_start().splitn(3, [' ', '\t']);
        let (Some(keyword), Some(metric), Some(text)) = (words.next(), words.next(), words.next()) else { return };
        let (metric, text) = (metric.trim_matches('"'), text.trim());
        match keyword {
            "HELP" => self.out.describe(metric, None, None, Some(&sample::unescape(text))),
            "TYPE" => self.out.describe(metric, None, Some(&text.to_ascii_lowercase()), None),
            "UNIT" => self.out.describe(metric, Some(text), None, None),
            _ => {}
        }
    }
}

fn time_ms(text: &str, seconds: bool) -> Result<i64, RejectReason> {
    let invalid = || RejectReason::InvalidTimestamp(format!("{:?}", sample::excerpt(text)));
    match text.parse::<i64>() {
        Ok(number) if seconds => number.checked_mul(1_000).ok_or_else(invalid),
        Ok(number) => Ok(number),
        Err(_) => {
            let number: f64 = fast_float2::parse(text).map_err(|_| invalid())?;
            let ms = if seconds { (number * 1_000.0).round() } else { number.floor() };
            // NaN fails the comparison as well.
            if ms.abs() <= 9e15 {
                #[expect(clippy::cast_possible_truncation, reason = "checked against ±9e15 in the line above")]
                return Ok(ms as i64);
            }
            Err(invalid())
        }
    }
}
