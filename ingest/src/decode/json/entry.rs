//! An object of the body: a host with its metrics, one of those metrics, a flat point, or a metric of Telegraf. All
//! have the same type, because they have the same keys, and what an object is shows only at its end.
//!
//! Reading is lenient: a value of the wrong type is remembered as such and refuses its point, not the body. Strings
//! are borrowed from the body unless they hold escapes.

use std::borrow::Cow;
use std::fmt::Display;

use schemas::RejectReason;
use schemas::labels::METRIC_NAME;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::loose::{self, Loose};
use crate::canonical::{LABELS_READ_MAX, Pair};

/// Metrics or fields in one object. Bounds the memory that an object of tiny ones takes before they become points.
pub(super) const METRICS_MAX: usize = 100_000;

/// A text, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Text<'a> {
    /// Missing, or null.
    #[default]
    Absent,
    /// A string, or a number or boolean as it is written.
    Is(Cow<'a, str>),
    /// Something else; says what.
    Wrong(&'static str),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Is(text) => Some(text),
            Self::Absent | Self::Wrong(_) => None,
        }
    }
}

/// An object as it was written.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    pub(super) name: Text<'a>,
    pub(super) value: Option<&'a RawValue>,
    pub(super) timestamp: Option<&'a RawValue>,
    pub(super) unit: Text<'a>,
    pub(super) batch_id: Text<'a>,
    pub(super) metrics: Option<Vec<Entry<'a>>>,
    /// The fields of a Telegraf metric.
    pub(super) fields: Fields<'a>,
    server_id: Text<'a>,
    source: Text<'a>,
    labels: Vec<(Cow<'a, str>, Text<'a>)>,
    /// Why this cannot be used at all.
    pub(super) wrong: Option<String>,
}

/// What stands under `fields`.
#[derive(Debug, Default)]
pub(super) enum Fields<'a> {
    /// Missing, or null.
    #[default]
    Absent,
    Are(Vec<(Cow<'a, str>, &'a RawValue)>),
    /// More than are read.
    TooMany,
    Wrong(&'static str),
}

impl<'a> Entry<'a> {
    pub(super) fn has_labels(&self) -> bool {
        !self.labels.is_empty() || self.source != Text::Absent || self.server_id != Text::Absent
    }

    /// Adds the labels of this object, `server_id` and `source` included. Saying one of these twice with the same
    /// value (as a key and as a tag) is saying it once.
    pub(super) fn labels<'e>(&'e self, pairs: &mut Vec<Pair<'e>>) -> Result<(), RejectReason> {
        let own = [("server_id", &self.server_id), ("source", &self.source)];
        for (name, text) in own {
            push_label(pairs, name, text)?;
        }
        for (name, text) in &self.labels {
            let repeated = own.iter().any(|(own, said)| own == name && *said != &Text::Absent && *said == text);
            if !repeated {
                push_label(pairs, name, text)?;
            }
        }
        Ok(())
    }

    /// Whether this is a metric of Telegraf, which has fields in place of a value.
    pub(super) fn is_telegraf(&self) -> bool {
        self.value.is_none() && !matches!(self.fields, Fields::Absent)
    }

    fn refuse(&mut self, why: String) {
        self.wrong = Some(why);
    }

    /// A metric may be named by the label `__name__`, as Prometheus does, alone or besides its `name`. Naming it
    /// twice alike is naming it once; a name that contradicts stays among the labels, where it is refused.
    fn settle_name(&mut self) {
        let Some(at) = self.labels.iter().position(|(name, _)| name == METRIC_NAME) else { return };
        if self.metrics.is_none() && self.name == Text::Absent {
            self.name = self.labels.swap_remove(at).1;
        } else if self.labels[at].1 == self.name {
            self.labels.swap_remove(at);
        }
    }
}

fn push_label<'e>(pairs: &mut Vec<Pair<'e>>, name: &'e str, text: &'e Text<'_>) -> Result<(), RejectReason> {
    match text {
        Text::Is(value) => pairs.push((name.as_bytes(), value.as_bytes())),
        Text::Absent => {}
        Text::Wrong(what) => return Err(RejectReason::InvalidLabels(format!("label {name:?} is {what}"))),
    }
    Ok(())
}

/// The keys that we know.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    #[serde(alias = "metric_name", alias = "metric")]
    Name,
    Value,
    Timestamp,
    Unit,
    Metrics,
    #[serde(alias = "labels")]
    Tags,
    Fields,
    ServerId,
    Source,
    BatchId,
    #[serde(other)]
    Unknown,
}

impl<'de> Loose<'de> for Entry<'de> {
    fn wrong(what: &'static str) -> Self {
        Self { wrong: Some(format!("expected an object, found {what}")), ..Self::default() }
    }

    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut entry = Self::default();
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Name => entry.name = map.next_value()?,
                Key::Value => entry.value = Some(map.next_value()?),
                Key::Timestamp => entry.timestamp = Some(map.next_value()?),
                Key::Unit => entry.unit = map.next_value()?,
                Key::ServerId => entry.server_id = map.next_value()?,
                Key::Source => entry.source = map.next_value()?,
                Key::BatchId => entry.batch_id = map.next_value()?,
                Key::Tags => match map.next_value()? {
                    Pairs::Are(mut labels) => entry.labels.append(&mut labels),
                    Pairs::TooMany => entry.refuse(format!("more than {LABELS_READ_MAX} labels")),
                    Pairs::Wrong(what) => entry.refuse(format!("the labels are {what}, not an object")),
                },
                Key::Fields => entry.fields = map.next_value()?,
                Key::Metrics => match map.next_value()? {
                    Metrics::Are(metrics) => entry.metrics = Some(metrics),
                    Metrics::Wrong(what) => entry.refuse(format!("metrics is {what}, not an array")),
                },
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        entry.settle_name();
        Ok(entry)
    }
}

impl<'de> Loose<'de> for Text<'de> {
    fn wrong(what: &'static str) -> Self {
        Self::Wrong(what)
    }

    fn null() -> Self {
        Self::Absent
    }

    fn string(text: Cow<'de, str>) -> Self {
        Self::Is(text)
    }

    fn scalar(_: &'static str, value: &dyn Display) -> Self {
        Self::Is(Cow::Owned(value.to_string()))
    }
}

/// Names and texts of an object such as `tags`.
enum Pairs<'a> {
    Are(Vec<(Cow<'a, str>, Text<'a>)>),
    /// More than are read.
    TooMany,
    Wrong(&'static str),
}

impl<'de> Loose<'de> for Pairs<'de> {
    fn wrong(what: &'static str) -> Self {
        Self::Wrong(what)
    }

    fn null() -> Self {
        Self::Are(Vec::new())
    }

    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut pairs = Vec::with_capacity(8);
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if pairs.len() == LABELS_READ_MAX {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Self::TooMany);
            }
            let value = map.next_value()?;
            // Keys of JSON objects are strings, always.
            if let Text::Is(name) = name {
                pairs.push((name, value));
            }
        }
        Ok(Self::Are(pairs))
    }
}

impl<'de> Loose<'de> for Fields<'de> {
    fn wrong(what: &'static str) -> Self {
        Self::Wrong(what)
    }

    fn null() -> Self {
        Self::Absent
    }

    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if fields.len() == METRICS_MAX {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Self::TooMany);
            }
            let value = map.next_value()?;
            // Keys of JSON objects are strings, always.
            if let Text::Is(name) = name {
                fields.push((name, value));
            }
        }
        Ok(Self::Are(fields))
    }
}

/// The metrics of a host.
enum Metrics<'a> {
    Are(Vec<Entry<'a>>),
    Wrong(&'static str),
}

impl<'de> Loose<'de> for Metrics<'de> {
    fn wrong(what: &'static str) -> Self {
        Self::Wrong(what)
    }

    fn array<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut metrics = Vec::new();
        while let Some(metric) = seq.next_element()? {
            if metrics.len() == METRICS_MAX {
                return Err(A::Error::custom(format_args!("an object has more than {METRICS_MAX} metrics")));
            }
            metrics.push(metric);
        }
        Ok(Self::Are(metrics))
    }
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        loose::read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        loose::read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        loose::read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        loose::read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Metrics<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        loose::read(deserializer)
    }
}
