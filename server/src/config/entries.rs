//! Every key of a configuration with its value as text, and the difference of two configurations.

use super::controls::RuleSpec;
use super::sections::{Config, Durability, LogFormatName};

/// One key and its value. A secret's value is compared but never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    value: String,
    secret: bool,
}

impl Entry {
    /// The value as it may be shown.
    pub(crate) fn shown(&self) -> &str {
        if self.secret && !self.value.is_empty() { "<secret>" } else { &self.value }
    }
}

/// A key whose value differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether it takes effect without a restart.
    pub(crate) applied: bool,
}

/// All keys, in the order of the documentation.
pub(crate) fn of(config: &Config) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut add = |key: &str, value: String| out.push(Entry { key: key.to_owned(), value, secret: false });
    add("data_dir", config.data_dir.display().to_string());
    add("node", config.node.clone().unwrap_or_default());
    add("listen", config.listen.to_string());
    add("object_store.url", config.object_store.url.value.clone());
    add("durability", durability(config.durability).to_owned());
    add("head.max_log", config.head.max_log.to_string());
    add("head.max_age", config.head.max_age.to_string());
    add("head.block_cache", config.head.block_cache.to_string());
    add("head.rollup_cache", config.head.rollup_cache.to_string());
    add("seal.lateness", config.seal.lateness.to_string());
    add("archive.every", config.archive.every.to_string());
    for (key, kept) in retention_rows(&config.retention.durations()) {
        add(&format!("retention.{key}"), kept.to_string());
    }
    let limits = &config.limits;
    add("limits.body", limits.body.to_string());
    add("limits.bodies_in_flight", limits.bodies_in_flight.to_string());
    add("limits.points_per_request", limits.points_per_request.to_string());
    add("limits.labels_per_series", limits.labels_per_series.to_string());
    add("limits.label_name", limits.label_name.to_string());
    add("limits.label_value", limits.label_value.to_string());
    add("limits.series_per_metric", limits.series_per_metric.to_string());
    add("limits.new_series_per_second", limits.new_series_per_second.to_string());
    add("limits.new_series_per_day", limits.new_series_per_day.to_string());
    add("limits.query_memory", limits.query_memory.to_string());
    add("limits.query_timeout", limits.query_timeout.to_string());
    add("limits.query_series", limits.query_series.to_string());
    add("limits.query_points", limits.query_points.to_string());
    add("limits.queries", limits.queries.to_string());
    add("limits.queries_waiting", limits.queries_waiting.to_string());
    add("limits.query_samples", limits.query_samples.to_string());
    add("limits.slow_query", limits.slow_query.to_string());
    add("limits.connections", limits.connections.to_string());
    add("limits.requests", limits.requests.to_string());
    add("limits.header_timeout", limits.header_timeout.to_string());
    add("limits.body_timeout", limits.body_timeout.to_string());
    for (key, value) in config.kafka.entries().into_iter().chain(config.ingest.entries()) {
        // The registry's URL may hold a password.
        out.push(Entry { key: key.to_owned(), value, secret: key == "kafka.registry" });
    }
    let mut add = |key: &str, value: String| out.push(Entry { key: key.to_owned(), value, secret: false });
    add("controls", rule_list(&config.rule_specs()));
    for (key, value) in config.otlp.entries() {
        add(key, value);
    }
    add("rest.server_labels", config.rest.server_labels.join(","));
    add("rest.max_points", config.rest.max_points.to_string());
    add("promql.experimental", config.promql.experimental.to_string());
    add("promql.lookback", config.promql.lookback.to_string());
    add("cors.origins", config.cors.origins.join(","));
    add("log.level", config.log.level.clone());
    add("log.format", log_format(config.log.format).to_owned());
    for (name, value) in config.kafka.client() {
        out.push(Entry { key: format!("kafka.librdkafka.{name}"), value, secret: true });
    }
    for (name, value) in &config.object_store.options {
        out.push(Entry { key: format!("object_store.options.{name}"), value: value.clone(), secret: true });
    }
    out
}

/// Rules as `PUT /api/v1/controls` takes them; nothing for none.
fn rule_list(specs: &[RuleSpec]) -> String {
    match specs {
        [] => String::new(),
        some => serde_json::to_string(some).expect("texts, numbers, lists and maps"),
    }
}

/// The six durations by the names that users write.
pub(crate) fn retention_rows(kept: &schemas::Retention) -> [(&'static str, schemas::DurationMs); 6] {
    [
        ("hot.raw", kept.hot_raw),
        ("warm.rollup_1m", kept.warm_rollup_1m),
        ("warm.rollup_1h", kept.warm_rollup_1h),
        ("cold.raw", kept.cold_raw),
        ("cold.rollup_1m", kept.cold_rollup_1m),
        ("cold.rollup_1h", kept.cold_rollup_1h),
    ]
}

/// What a reload from `old` to `new` changes, in key order of `of`.
pub(crate) fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let (old, new) = (of(old), of(new));
    let find = |list: &[Entry], key: &str| list.iter().find(|e| e.key == key).cloned();
    let keys = new.iter().chain(old.iter().filter(|e| find(&new, &e.key).is_none())).map(|e| e.key.clone());
    keys.filter_map(|key| {
        let (before, after) = (find(&old, &key), find(&new, &key));
        let shown = |entry: &Option<Entry>| entry.as_ref().map_or("", Entry::shown).to_owned();
        let applied = key.starts_with("retention.") || key == "controls";
        (before != after).then(|| Change { key, from: shown(&before), to: shown(&after), applied })
    })
    .collect()
}

fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Normal => "normal",
        Durability::Sync => "sync",
    }
}

fn log_format(format: LogFormatName) -> &'static str {
    match format {
        LogFormatName::Logfmt => "logfmt",
        LogFormatName::Json => "json",
    }
}
