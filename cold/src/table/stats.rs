//! Statistics of a data file in the Delta log: rows, and the extent of `metric`, `series_id` and `ts`.

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use serde_json::{Map, Value, json};

/// Longer metric names are cut in the statistics, as the protocol allows.
const TEXT_MAX: usize = 128;

/// What the log says of a file's rows. Absent where the writer said nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileStats {
    pub(crate) rows: Option<u64>,
    /// Least and greatest id, inclusive.
    pub(crate) series: Option<(i64, i64)>,
    /// At most the least metric name.
    pub(crate) metric_min: Option<String>,
    /// At least the greatest metric name.
    pub(crate) metric_max: Option<String>,
    /// First and last time in ms, inclusive, rounded outwards; not for the table of series.
    pub(crate) time_ms: Option<(i64, i64)>,
}

impl FileStats {
    /// Takes in that many rows of one series between two times; series come by rising metric.
    pub(crate) fn add(&mut self, metric: &str, series_id: i64, rows: usize, time_ms: Option<(i64, i64)>) {
        self.rows = Some(self.rows.unwrap_or(0) + u64::try_from(rows).unwrap_or(u64::MAX));
        self.series = widest(self.series, Some((series_id, series_id)));
        if self.metric_min.is_none() {
            self.metric_min = Some(metric.to_owned());
        }
        if self.metric_max.as_deref() != Some(metric) {
            self.metric_max = Some(metric.to_owned());
        }
        self.time_ms = widest(self.time_ms, time_ms);
    }

    /// Takes in the rows of `later`, which come behind.
    pub(crate) fn merge(&mut self, later: &Self) {
        self.rows = Some(self.rows.unwrap_or(0) + later.rows.unwrap_or(0));
        self.series = widest(self.series, later.series);
        if self.metric_min.is_none() {
            self.metric_min.clone_from(&later.metric_min);
        }
        if later.metric_max.is_some() {
            self.metric_max.clone_from(&later.metric_max);
        }
        self.time_ms = widest(self.time_ms, later.time_ms);
    }

    /// As the log has them.
    pub(crate) fn encode(&self) -> String {
        let (mut least, mut greatest) = (Map::new(), Map::new());
        if let Some((min, max)) = self.series {
            least.insert("series_id".to_owned(), json!(min));
            greatest.insert("series_id".to_owned(), json!(max));
        }
        if let Some(min) = &self.metric_min {
            least.insert("metric".to_owned(), json!(cut(min)));
        }
        if let Some(max) = self.metric_max.as_ref().filter(|max| max.len() <= TEXT_MAX) {
            greatest.insert("metric".to_owned(), json!(max));
        }
        if let Some((min, max)) = self.time_ms {
            least.insert("ts".to_owned(), json!(text_of_time(min)));
            greatest.insert("ts".to_owned(), json!(text_of_time(max)));
        }
        let nulls: Map<String, Value> = least.keys().map(|column| (column.clone(), json!(0))).collect();
        json!({ "numRecords": self.rows.unwrap_or(0), "minValues": least, "maxValues": greatest, "nullCount": nulls })
            .to_string()
    }

    /// Reads what any writer wrote; what is missing or strange is simply not known.
    pub(crate) fn decode(text: &str) -> Self {
        let Ok(stats) = serde_json::from_str::<Value>(text) else { return Self::default() };
        let least = |column: &str| stats.get("minValues").and_then(|values| values.get(column));
        let greatest = |column: &str| stats.get("maxValues").and_then(|values| values.get(column));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let first = least("ts").and_then(Value::as_str).and_then(|text| time_of_text(text, false));
        let last = greatest("ts").and_then(Value::as_str).and_then(|text| time_of_text(text, true));
        Self {
            rows: stats.get("numRecords").and_then(Value::as_u64),
            series: least("series_id").and_then(Value::as_i64).zip(greatest("series_id").and_then(Value::as_i64)),
            metric_min: text(least("metric")),
            metric_max: text(greatest("metric")),
            time_ms: first.zip(last),
        }
    }
}

fn widest(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (known, other) => known.or(other),
    }
}

/// A prefix sorts before what it was cut from, so it is still a lower bound.
fn cut(text: &str) -> &str {
    let mut end = TEXT_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn text_of_time(ms: i64) -> String {
    let time = Utc.timestamp_millis_opt(ms).single().unwrap_or(DateTime::<Utc>::MAX_UTC);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn time_of_text(text: &str, round_up: bool) -> Option<i64> {
    let micros = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
    // Other writers cut their maximum to ms, so a maximum may stand for anything within its millisecond.
    Some(micros.div_euclid(1_000) + i64::from(round_up && micros.rem_euclid(1_000) != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_golden_and_read_back() {
        let mut stats = FileStats::default();
        stats.add("cpu", 9, 3, Some((0, 20_000)));
        stats.add("mem", 4, 1, Some((1_763_683_200_123, 1_763_683_200_123)));
        let text = stats.encode();
        let expected = r#"{"numRecords":4,"minValues":{"series_id":4,"metric":"cpu","ts":"1970-01-01T00:00:00.000Z"},"maxValues":{"series_id":9,"metric":"mem","ts":"2025-11-21T00:00:00.123Z"},"nullCount":{"series_id":0,"metric":0,"ts":0}}"#;
        assert_eq!(text, expected);
        assert_eq!(FileStats::decode(&text), stats);
    }

    #[test]
    fn a_long_name_is_cut_below_and_left_out_above() {
        let mut stats = FileStats::default();
        stats.add(&"é".repeat(100), 1, 1, None);
        let read = FileStats::decode(&stats.encode());
        assert_eq!(read.metric_min.map(|min| min.chars().count()), Some(64));
        assert_eq!(read.metric_max, None);
    }

    #[test]
    fn strange_statistics_are_unknown() {
        for text in ["", "[]", r#"{"minValues":3}"#, r#"{"minValues":{"ts":"yesterday"},"maxValues":{"ts":7}}"#] {
            assert_eq!(FileStats::decode(text), FileStats::default(), "{text}");
        }
    }
}
