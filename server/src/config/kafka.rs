//! The keys of `kafka:` and `ingest:`, and what they become.

use std::collections::BTreeMap;

use ingest::kafka::{Delivery, KafkaConfig, OnError, Reset, TopicName, TopicRule, check_client_option};
use ingest::message::MessageFormat;
use regex::Regex;
use schemas::DurationMs;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::check::ConfigError;
use super::units::{self, Span};

/// Where points are read from, beside HTTP. Without `brokers` nothing is.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kafka {
    /// `host:port`, several separated by commas.
    pub(crate) brokers: String,
    pub(crate) group: String,
    /// URLs of the schema registry, separated by commas; for Avro.
    pub(crate) registry: String,
    pub(crate) delivery: Delivery,
    pub(crate) on_error: OnError,
    pub(crate) reset: Reset,
    /// How often the group is told how far its partitions are.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) commit_every: Span,
    /// How often topics that match a regex are looked for.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) refresh_every: Span,
    /// Passed on; values are never logged.
    pub(crate) librdkafka: BTreeMap<String, Spanned<String>>,
    pub(crate) topics: Vec<Spanned<Topic>>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            group: "thermocline".to_owned(),
            registry: String::new(),
            delivery: Delivery::default(),
            on_error: OnError::default(),
            reset: Reset::default(),
            commit_every: Span(DurationMs(5_000)),
            refresh_every: Span(DurationMs(30_000)),
            librdkafka: BTreeMap::new(),
            topics: Vec::new(),
        }
    }
}

/// One topic by `name`, or all that a `regex` matches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) regex: Option<String>,
    pub(crate) format: MessageFormat,
    #[serde(default)]
    pub(crate) on_error: Option<OnError>,
    #[serde(default)]
    pub(crate) delivery: Option<Delivery>,
}

impl Topic {
    fn topic(&self) -> Result<TopicName, String> {
        match (&self.name, &self.regex) {
            (Some(name), None) if name.is_empty() => Err("a topic's name is empty".to_owned()),
            (Some(name), None) => Ok(TopicName::Exact(name.clone())),
            (None, Some(regex)) => Regex::new(regex).map(TopicName::Pattern).map_err(|e| format!("kafka.topics: {e}")),
            (Some(_), Some(_)) | (None, None) => Err("a topic has either a name or a regex".to_owned()),
        }
    }
}

impl Kafka {
    pub(crate) fn is_on(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !self.is_on() && !self.topics.is_empty() {
            let place = self.topics.first().map(|topic| topic.referenced);
            return Err(ConfigError::at(place, "kafka.topics need kafka.brokers"));
        }
        if self.is_on() && self.topics.is_empty() {
            return Err(ConfigError::new("kafka.brokers without kafka.topics reads nothing: name a topic or a regex"));
        }
        for (name, value) in &self.librdkafka {
            check_client_option(name, &value.value)
                .map_err(|what| ConfigError::at(Some(value.referenced), format!("kafka.{what}")))?;
        }
        for topic in &self.topics {
            self.check_topic(topic)?;
        }
        Ok(())
    }

    fn check_topic(&self, topic: &Spanned<Topic>) -> Result<(), ConfigError> {
        let wrong = |what: String| ConfigError::at(Some(topic.referenced), what);
        topic.value.topic().map_err(wrong)?;
        if topic.value.format == MessageFormat::Avro && self.registry.is_empty() {
            return Err(wrong("a topic of Avro needs kafka.registry".to_owned()));
        }
        Ok(())
    }

    /// What the consumer is told; `None` where Kafka is off.
    pub(crate) fn consumer(&self, node: String, is_static: bool, threads: usize) -> Option<KafkaConfig> {
        let rule = |topic: &Spanned<Topic>| {
            let topic = &topic.value;
            Some(TopicRule {
                topic: topic.topic().ok()?,
                format: topic.format,
                on_error: topic.on_error.unwrap_or(self.on_error),
                delivery: topic.delivery.unwrap_or(self.delivery),
            })
        };
        self.is_on().then(|| KafkaConfig {
            brokers: self.brokers.clone(),
            group: self.group.clone(),
            node,
            is_static,
            client: self.client(),
            topics: self.topics.iter().filter_map(rule).collect(),
            threads,
            commit_every: self.commit_every.as_std(),
            refresh_every: self.refresh_every.as_std(),
            reset: self.reset,
        })
    }

    /// Options of librdkafka, by name.
    pub(crate) fn client(&self) -> BTreeMap<String, String> {
        self.librdkafka.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect()
    }

    /// Keys with their values as text, in the order of the documentation.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let topics: Vec<String> = self.topics.iter().map(|topic| topic.value.shown()).collect();
        vec![
            ("kafka.brokers", self.brokers.clone()),
            ("kafka.group", self.group.clone()),
            ("kafka.registry", self.registry.clone()),
            ("kafka.delivery", delivery(self.delivery).to_owned()),
            ("kafka.on_error", on_error(self.on_error).to_owned()),
            ("kafka.reset", if self.reset == Reset::Group { "group" } else { "never" }.to_owned()),
            ("kafka.commit_every", self.commit_every.to_string()),
            ("kafka.refresh_every", self.refresh_every.to_string()),
            ("kafka.topics", topics.join("; ")),
        ]
    }
}

impl Topic {
    fn shown(&self) -> String {
        let name = self.name.clone().or_else(|| self.regex.as_ref().map(|regex| format!("/{regex}/")));
        let mut shown = format!("{} {}", name.unwrap_or_default(), self.format);
        if let Some(level) = self.delivery {
            shown.push_str(&format!(" {}", delivery(level)));
        }
        if let Some(then) = self.on_error {
            shown.push_str(&format!(" {}", on_error(then)));
        }
        shown
    }
}

fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::AtMostOnce => "at_most_once",
        Delivery::AtLeastOnce => "at_least_once",
        Delivery::NoDuplicates => "no_duplicates",
        Delivery::ExactlyOnce => "exactly_once",
    }
}

fn on_error(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Dlq => "dlq",
        OnError::Skip => "skip",
        OnError::Halt => "halt",
    }
}

/// Which way points take that come by HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ingest {
    pub(crate) http: HttpIngest,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpIngest {
    pub(crate) via: Via,
    /// The topic, with `via: kafka`; one of `kafka.topics` reads it, as `prom_remote_write`.
    pub(crate) topic: Spanned<String>,
}

impl Default for HttpIngest {
    fn default() -> Self {
        let topic = Spanned::new("metrics-http".to_owned(), Location::UNKNOWN, Location::UNKNOWN);
        Self { via: Via::default(), topic }
    }
}

/// Where accepted points go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    #[default]
    Store,
    Kafka,
}

impl Ingest {
    pub(super) fn check(&self, kafka: &Kafka) -> Result<(), ConfigError> {
        if self.http.via == Via::Store {
            return Ok(());
        }
        let topic = &self.http.topic.value;
        let wrong = |what: String| Err(ConfigError::at(Some(self.http.topic.referenced), what));
        let Some(config) = kafka.consumer(String::new(), false, 1) else {
            return wrong("ingest.http.via: kafka needs kafka.brokers".to_owned());
        };
        match ingest::kafka::format_of(&config.topics, topic) {
            Some(MessageFormat::PromRemoteWrite) => Ok(()),
            Some(other) => {
                wrong(format!("ingest.http.topic {topic} is read as {other}, and prom_remote_write is written"))
            }
            None => wrong(format!("none of kafka.topics reads ingest.http.topic {topic}: nothing would be stored")),
        }
    }

    pub(super) fn entries(&self) -> [(&'static str, String); 2] {
        let via = match self.http.via {
            Via::Store => "store",
            Via::Kafka => "kafka",
        };
        [("ingest.http.via", via.to_owned()), ("ingest.http.topic", self.http.topic.value.clone())]
    }
}
