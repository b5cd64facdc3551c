//! The keys of a configuration, one struct a section. Defaults stand beside the keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemas::{DurationMs, Retention};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::controls::RuleSpec;
use super::kafka::{Ingest, Kafka};
use super::otlp::Otlp;
use super::units::{self, Bytes, Span};

/// The whole configuration of `thermocline serve`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everything is kept that is not in the object store.
    pub(crate) data_dir: PathBuf,
    /// This node's name in Delta and in logs; by default the one the data directory was created with.
    #[serde(deserialize_with = "units::node")]
    pub(crate) node: Option<String>,
    pub(crate) listen: SocketAddr,
    pub(crate) object_store: ObjectStore,
    pub(crate) durability: Durability,
    pub(crate) head: Head,
    pub(crate) seal: Seal,
    pub(crate) archive: Archive,
    pub(crate) retention: RetentionSection,
    pub(crate) limits: Limits,
    pub(crate) kafka: Kafka,
    pub(crate) ingest: Ingest,
    pub(crate) otlp: Otlp,
    /// Rules for what is stored of what comes in.
    pub(crate) controls: Vec<Spanned<RuleSpec>>,
    pub(crate) rest: Rest,
    pub(crate) promql: Promql,
    pub(crate) cors: Cors,
    pub(crate) log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            node: None,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464),
            object_store: ObjectStore::default(),
            durability: Durability::Normal,
            head: Head::default(),
            seal: Seal::default(),
            archive: Archive::default(),
            retention: RetentionSection::default(),
            limits: Limits::default(),
            kafka: Kafka::default(),
            ingest: Ingest::default(),
            otlp: Otlp::default(),
            controls: Vec::new(),
            rest: Rest::default(),
            promql: Promql::default(),
            cors: Cors::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// The rules of `controls`, as they are written.
    pub(crate) fn rule_specs(&self) -> Vec<RuleSpec> {
        self.controls.iter().map(|spec| spec.value.clone()).collect()
    }
}

/// Where the cold tier lies. An empty URL is `<data_dir>/cold`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ObjectStore {
    pub(crate) url: Spanned<String>,
    /// Passed to the store: `endpoint`, `region`, `allow_http`, `access_key_id`, …; values are never logged.
    pub(crate) options: BTreeMap<String, String>,
}

impl Default for ObjectStore {
    fn default() -> Self {
        let url = Spanned::new(String::new(), Location::UNKNOWN, Location::UNKNOWN);
        Self { url, options: BTreeMap::new() }
    }
}

/// When a point is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// In the write-ahead log: survives kill -9; a power loss may take the last second.
    Normal,
    /// On the disk: survives a power loss.
    Sync,
}

/// Points that are not yet in a file of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Head {
    /// Bytes of log after which an epoch ends.
    #[serde(deserialize_with = "units::some_bytes")]
    pub(crate) max_log: Bytes,
    /// Age after which an epoch ends.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) max_age: Span,
    /// The cache for blocks of RocksDB files.
    pub(crate) block_cache: Bytes,
    /// 1-hour rollups that are kept decoded.
    pub(crate) rollup_cache: Bytes,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            max_log: Bytes::mib(512),
            max_age: Span(DurationMs::minutes(10)),
            block_cache: Bytes::mib(256),
            rollup_cache: Bytes::mib(128),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Seal {
    /// How long after its end an hour is sealed for the first time.
    pub(crate) lateness: Span,
}

impl Default for Seal {
    fn default() -> Self {
        Self { lateness: Span(DurationMs::minutes(10)) }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Archive {
    /// How often sealed hours are committed to Delta.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) every: Span,
}

impl Default for Archive {
    fn default() -> Self {
        Self { every: Span(DurationMs::hours(1)) }
    }
}

/// A duration and where it was written.
pub(crate) type Kept = Option<Spanned<Span>>;

/// How long each tier keeps what; a key that is not written keeps its default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionSection {
    #[serde(rename = "hot.raw")]
    pub(crate) hot_raw: Kept,
    #[serde(rename = "warm.rollup_1m")]
    pub(crate) warm_rollup_1m: Kept,
    #[serde(rename = "warm.rollup_1h")]
    pub(crate) warm_rollup_1h: Kept,
    #[serde(rename = "cold.raw")]
    pub(crate) cold_raw: Kept,
    #[serde(rename = "cold.rollup_1m")]
    pub(crate) cold_rollup_1m: Kept,
    #[serde(rename = "cold.rollup_1h")]
    pub(crate) cold_rollup_1h: Kept,
}

impl RetentionSection {
    /// The durations, with defaults for what is not written.
    pub(crate) fn durations(&self) -> Retention {
        let default = Retention::default();
        let or = |kept: &Kept, default: DurationMs| kept.as_ref().map_or(default, |spanned| spanned.value.0);
        Retention {
            hot_raw: or(&self.hot_raw, default.hot_raw),
            warm_rollup_1m: or(&self.warm_rollup_1m, default.warm_rollup_1m),
            warm_rollup_1h: or(&self.warm_rollup_1h, default.warm_rollup_1h),
            cold_raw: or(&self.cold_raw, default.cold_raw),
            cold_rollup_1m: or(&self.cold_rollup_1m, default.cold_rollup_1m),
            cold_rollup_1h: or(&self.cold_rollup_1h, default.cold_rollup_1h),
        }
    }
}

/// Bounds on what anybody may ask of the process; all are on by default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// A request body, encoded or decoded.
    #[serde(deserialize_with = "units::some_bytes")]
    pub(crate) body: Bytes,
    /// All request bodies that are held at once.
    pub(crate) bodies_in_flight: Bytes,
    #[serde(deserialize_with = "units::at_least_one")]
    pub(crate) points_per_request: u64,
    #[serde(deserialize_with = "units::count")]
    pub(crate) labels_per_series: usize,
    #[serde(deserialize_with = "units::some_bytes")]
    pub(crate) label_name: Bytes,
    /// A label value, and a metric name.
    #[serde(deserialize_with = "units::some_bytes")]
    pub(crate) label_value: Bytes,
    #[serde(deserialize_with = "units::at_least_one")]
    pub(crate) series_per_metric: u64,
    #[serde(deserialize_with = "units::at_least_one")]
    pub(crate) new_series_per_second: u32,
    #[serde(deserialize_with = "units::at_least_one")]
    pub(crate) new_series_per_day: u64,
    /// Memory of one query.
    #[serde(deserialize_with = "units::some_bytes")]
    pub(crate) query_memory: Bytes,
    #[serde(deserialize_with = "units::positive")]
    pub(crate) query_timeout: Span,
    /// Series that one query may touch.
    #[serde(deserialize_with = "units::count")]
    pub(crate) query_series: usize,
    /// Points in one answer.
    #[serde(deserialize_with = "units::at_least_one")]
    pub(crate) query_points: u64,
    /// Queries that run at once.
    #[serde(deserialize_with = "units::count")]
    pub(crate) queries: usize,
    /// PromQL queries that may wait for their turn.
    #[serde(deserialize_with = "units::count")]
    pub(crate) queries_waiting: usize,
    /// Samples that a PromQL query may hold at once.
    #[serde(deserialize_with = "units::count")]
    pub(crate) query_samples: usize,
    /// Queries that take as long are logged; `0s`: all are.
    pub(crate) slow_query: Span,
    #[serde(deserialize_with = "units::count")]
    pub(crate) connections: usize,
    /// Requests that are worked on at once, over all connections.
    #[serde(deserialize_with = "units::count")]
    pub(crate) requests: usize,
    /// How long a client may take to send its request headers, idle time of a kept connection included.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) header_timeout: Span,
    /// How long a client may take to send a request body.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) body_timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: Bytes::mib(32),
            bodies_in_flight: Bytes::mib(512),
            points_per_request: 2_000_000,
            labels_per_series: 64,
            label_name: Bytes::kib(1),
            label_value: Bytes::kib(2),
            series_per_metric: 5_000_000,
            new_series_per_second: 500_000,
            new_series_per_day: 50_000_000,
            query_memory: Bytes::mib(512),
            query_timeout: Span(DurationMs(30_000)),
            query_series: 500_000,
            query_points: 10_000_000,
            queries: 64,
            queries_waiting: 1_024,
            query_samples: 50_000_000,
            slow_query: Span(DurationMs(1_000)),
            connections: 4_096,
            requests: 1_024,
            header_timeout: Span(DurationMs(60_000)),
            body_timeout: Span(DurationMs(30_000)),
        }
    }
}

/// The dashboards' API.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rest {
    /// The labels that `{server_id}` may stand for, the first that finds a series wins.
    #[serde(deserialize_with = "units::some")]
    pub(crate) server_labels: Vec<String>,
    /// Points in an answer above which `granularity=auto` takes the next coarser one.
    #[serde(deserialize_with = "units::count")]
    pub(crate) max_points: usize,
}

impl Default for Rest {
    fn default() -> Self {
        let labels = ["server_id", "instance", "host", "hostname"];
        Self { server_labels: labels.map(str::to_owned).to_vec(), max_points: 1_500 }
    }
}

/// The query language of the Prometheus API.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Promql {
    /// Whether parts of the language that may still change can be used.
    pub(crate) experimental: bool,
    /// How far back a selector looks for its newest point.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) lookback: Span,
}

impl Default for Promql {
    fn default() -> Self {
        Self { experimental: false, lookback: Span(DurationMs::minutes(5)) }
    }
}

/// Which web pages may read answers from a browser.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cors {
    /// Origins such as `https://grafana.example.org`; `*` allows all, and none is the default.
    pub(crate) origins: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormatName {
    Logfmt,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// A level, or a filter such as `info,thermocline_hot=debug`.
    #[serde(deserialize_with = "units::log_filter")]
    pub(crate) level: String,
    pub(crate) format: LogFormatName,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormatName::Logfmt }
    }
}
