//! The labels of a point: its attributes, and what its resource and its scope add to them.
//!
//! resource ─▶ `job`, `instance`, promoted attributes, the labels of `target_info` ┐
//! scope ─▶ `otel_scope_…`, if asked for ──────────────────────────────────────────┼▶ [`Context::labels`] of each point
//! attributes of the point ─▶ escaped; those that become the same are joined by `;` ┘

use std::borrow::Cow;

use schemas::RejectReason;
use schemas::labels::METRIC_NAME;

use super::points::Attributes;
use super::{Promoted, Settings};
use crate::canonical::{LABELS_READ_MAX, Pair, is_before, room_for_label};

/// Attributes that become `job` and `instance`.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// Labels being gathered, by name: a later value of a name replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LabelSet<'p>(Vec<(Cow<'p, str>, Cow<'p, str>)>);

impl<'p> LabelSet<'p> {
    /// Where a label of this name is, or belongs. Most are added in order.
    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.0.last() {
            Some((last, _)) if !is_before(last.as_bytes(), name.as_bytes()) => {
                self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name))
            }
            Some(_) | None => Err(self.0.len()),
        }
    }

    fn set(&mut self, name: impl Into<Cow<'p, str>>, value: impl Into<Cow<'p, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.place(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.place(name).is_ok_and(|at| !self.0[at].1.is_empty())
    }

    /// The labels with a metric name and perhaps one more, which replace those of the same name; by name.
    pub(super) fn pairs<'x>(&'x self, metric: &'x str, extra: Option<(&'static str, &'x str)>) -> Vec<Pair<'x>> {
        let mut pairs: Vec<Pair<'x>> = Vec::with_capacity(self.0.len() + 2);
        pairs.extend(self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        for (name, value) in [Some((METRIC_NAME, metric)), extra].into_iter().flatten() {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            match pairs.binary_search_by(|(known, _)| (*known).cmp(name)) {
                Ok(at) => pairs[at].1 = value,
                Err(at) => pairs.insert(at, (name, value)),
            }
        }
        pairs
    }
}

/// What holds for all points of a scope of a resource.
#[derive(Debug)]
pub(super) struct Context<'t> {
    settings: &'t Settings,
    identity: LabelSet<'static>,
    promoted: LabelSet<'static>,
    scope: LabelSet<'static>,
    /// The labels of the resource's `target_info`, if it has one.
    pub(super) info: Option<LabelSet<'static>>,
}

impl<'t> Context<'t> {
    pub(super) fn new(settings: &'t Settings) -> Self {
        let (identity, promoted, scope) = Default::default();
        Self { settings, identity, promoted, scope, info: None }
    }

    /// A resource begins.
    pub(super) fn resource(&mut self, attributes: &Attributes<'_>) {
        self.scope = LabelSet::default();
        self.identity = LabelSet::default();
        if let Some(name) = attributes.get("service.name") {
            let job = match attributes.get("service.namespace") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            };
            self.identity.set("job", job);
        }
        if let Some(instance) = attributes.get("service.instance.id") {
            self.identity.set("instance", instance.to_owned());
        }
        self.promoted = LabelSet::default();
        for (key, value) in attributes.iter().filter(|(key, _)| self.settings.promoted.takes(key)) {
            // A name of which nothing is left promotes nothing.
            if let Ok(name) = self.settings.label(key) {
                self.promoted.set(name.into_owned(), value.clone().into_owned());
            }
        }
        self.info = self.info_of(attributes);
    }

    /// The labels of `target_info`: all that is said of a resource beyond its identity, if it has one.
    fn info_of(&self, attributes: &Attributes<'_>) -> Option<LabelSet<'static>> {
        let beyond = attributes.iter().filter(|(key, _)| !IDENTIFYING.contains(&key.as_ref())).count();
        if beyond == 0 || !(self.identity.has("job") || self.identity.has("instance")) {
            return None;
        }
        let ignored: &[&str] = if self.settings.keep_identifying { &[] } else { &IDENTIFYING };
        let mut labels = self.attributes(attributes, ignored).ok()?;
        for (name, value) in &self.identity.0 {
            labels.set(name.clone(), value.clone());
        }
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Some(LabelSet(labels.0.into_iter().map(|(name, value)| (owned(name), owned(value))).collect()))
    }

    /// A scope of the resource begins.
    pub(super) fn scope(&mut self, name: &str, version: &str, schema_url: &str, attributes: &Attributes<'_>) {
        self.scope = LabelSet::default();
        if !self.settings.promote_scope || name.is_empty() {
            return;
        }
        for (key, value) in attributes.iter() {
            if let Ok(name) = self.settings.label(&format!("otel_scope_{key}")) {
                self.scope.set(name.into_owned(), value.clone().into_owned());
            }
        }
        self.scope.set("otel_scope_name", name.to_owned());
        self.scope.set("otel_scope_version", version.to_owned());
        self.scope.set("otel_scope_schema_url", schema_url.to_owned());
    }

    /// All labels of a point but the metric name.
    pub(super) fn labels<'p>(&'p self, attributes: &'p Attributes<'_>) -> Result<LabelSet<'p>, RejectReason> {
        let mut labels = self.attributes(attributes, &[METRIC_NAME])?;
        for (name, value) in &self.promoted.0 {
            if !labels.has(name) {
                labels.set(name.as_ref(), value.as_ref());
            }
        }
        for (name, value) in self.identity.0.iter().chain(&self.scope.0) {
            labels.set(name.as_ref(), value.as_ref());
        }
        Ok(labels)
    }

    fn attributes<'p>(&self, given: &'p Attributes<'_>, ignored: &[&str]) -> Result<LabelSet<'p>, RejectReason> {
        room_for_label(given.len().saturating_sub(1).min(LABELS_READ_MAX))?;
        let mut sorted: Vec<_> = given.iter().filter(|(key, _)| !ignored.contains(&key.as_ref())).collect();
        sorted.sort_unstable();
        let mut labels = LabelSet(Vec::with_capacity(sorted.len() + 2));
        for (key, value) in sorted {
            let name = self.settings.label(key).map_err(RejectReason::InvalidLabels)?;
            match labels.place(&name) {
                Ok(at) => {
                    let known = &mut labels.0[at].1;
                    let joined = if known.is_empty() {
                        Cow::Borrowed(value.as_ref())
                    } else {
                        format!("{known};{value}").into()
                    };
                    *known = joined;
                }
                Err(at) => labels.0.insert(at, (name, Cow::Borrowed(value))),
            }
        }
        Ok(labels)
    }
}

impl Promoted {
    /// Whether an attribute of the resource becomes a label of all its points.
    fn takes(&self, key: &str) -> bool {
        match self {
            Self::Listed(list) => list.iter().any(|listed| listed == key),
            Self::AllBut(list) => !list.iter().any(|listed| listed == key),
        }
    }
}

impl Settings {
    fn label<'n>(&self, name: &'n str) -> Result<Cow<'n, str>, String> {
        self.translation.label(name, self.label_names)
    }
}
