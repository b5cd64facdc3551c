//! Names of metrics and labels: from OpenTelemetry's to Prometheus'.
//!
//! name, unit, kind ─▶ [`Translation::metric`] ─▶ `http_server_request_duration_seconds`, `requests_total`, …
//!
//! The rules are those of `github.com/prometheus/otlptranslator` 1.0, which Prometheus uses: a name here is a name there.

use std::borrow::Cow;

/// How names are translated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Translation {
    /// What is not a letter, a digit, `_` or `:` becomes `_`; units and `_total` are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// The same without units and `_total`.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are; units and `_total` are appended.
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

/// What of a metric's kind its name may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// A sum that only grows.
    Counter,
    Other,
}

/// Labels' names, where they are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelNames {
    /// A name that begins with one `_` gets `key` before it.
    pub underscore_sanitization: bool,
    /// Several `_` in a row stay, instead of becoming one.
    pub preserve_multiple_underscores: bool,
}

impl Default for LabelNames {
    /// Prometheus' own, which are there for the sake of names that exist already.
    fn default() -> Self {
        Self { underscore_sanitization: true, preserve_multiple_underscores: true }
    }
}

impl Translation {
    /// The name in the configuration, which is Prometheus'.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }

    fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// The name of a metric; the error says why there is none.
    pub(super) fn metric(self, name: &str, unit: &str, kind: Kind) -> Result<String, String> {
        let translated = match self {
            Self::UnderscoreEscapingWithSuffixes => with_suffixes(name, unit, kind),
            Self::UnderscoreEscapingWithoutSuffixes => not_a_digit_first(
                name.split(|c| !is_metric_char(c) && c != '_').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("_"),
            ),
            Self::NoUtf8EscapingWithSuffixes => suffixes_behind(name, unit, kind),
            Self::NoTranslation => name.to_owned(),
        };
        if translated.is_empty() {
            return Err(format!("metric name {name:?} becomes empty"));
        }
        if self.escapes() && translated != name && translated.bytes().all(|byte| byte == b'_') {
            return Err(format!("metric name {name:?} becomes {translated:?}"));
        }
        Ok(translated)
    }

    /// The name of a label; the error says why there is none.
    pub(super) fn label(self, name: &str, rules: LabelNames) -> Result<Cow<'_, str>, String> {
        if name.is_empty() {
            return Err("a label has an empty name".to_owned());
        }
        let label = if self.escapes() { escaped_label(name, rules) } else { Cow::Borrowed(name) };
        if label.bytes().all(|byte| byte == b'_') {
            return Err(format!("label name {name:?} becomes {label:?}"));
        }
        Ok(label)
    }
}

/// The unit in words, as metadata has it.
pub(super) fn unit_in_words(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (cleaned(&main), cleaned(&per));
    let whole = if !main.is_empty() && !per.is_empty() { format!("{main}_{per}") } else { main + &per };
    let whole = whole.strip_prefix('_').unwrap_or(&whole);
    whole.strip_suffix('_').unwrap_or(whole).to_owned()
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn not_a_digit_first(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let mut tokens: Vec<&str> = name.split(|c| !is_metric_char(c)).filter(|token| !token.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let (mut main, mut per) = (cleaned(&main), cleaned(&per));
    if tokens.contains(&main.as_str()) {
        main.clear();
    }
    per = if per == "per_" { String::new() } else { per.strip_suffix('_').unwrap_or(&per).to_owned() };
    if tokens.contains(&per.as_str()) {
        per.clear();
    }
    if !per.is_empty() && main.ends_with('_') {
        main.pop();
    }
    tokens.extend([main.as_str(), per.as_str()].into_iter().filter(|token| !token.is_empty()));
    if kind == Kind::Counter {
        tokens.retain(|token| *token != "total");
        tokens.push("total");
    }
    // A gauge of unit 1 is a ratio; counters of objects are often given that unit as well.
    if unit == "1" && kind == Kind::Gauge {
        tokens.retain(|token| *token != "ratio");
        tokens.push("ratio");
    }
    not_a_digit_first(tokens.join("_"))
}

/// Suffixes behind a name that is otherwise left alone.
fn suffixes_behind(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = unit_suffixes(unit);
    let ratio = unit == "1" && kind == Kind::Gauge;
    let mut last: Vec<&str> = Vec::new();
    let mut name = name;
    if ratio {
        name = without_suffix(name, "ratio");
        last.push("ratio");
    }
    if kind == Kind::Counter {
        name = without_suffix(name, "total");
        last.push("total");
    }
    if !per.is_empty() {
        name = without_suffix(name, &per);
        last.push(&per);
    }
    let mut out = name.to_owned();
    if !main.is_empty() && !name.ends_with(main.as_str()) {
        out = format!("{out}_{main}");
    }
    for suffix in last.iter().rev() {
        out.push('_');
        out.push_str(suffix);
    }
    out
}

/// The name without a suffix and the delimiter before it, whatever that is, unless nothing would be left.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    match name.strip_suffix(suffix) {
        Some(rest) => {
            let mut chars = rest.chars();
            chars.next_back();
            if chars.as_str().is_empty() { name } else { chars.as_str() }
        }
        None => name,
    }
}

/// Main and per-unit suffix, not yet escaped; the latter with `per_` before it.
fn unit_suffixes(unit: &str) -> (String, String) {
    let known = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let main = Some(main.trim()).filter(|main| known(main)).map_or("", main_unit).to_owned();
    let per = Some(per.trim()).filter(|per| known(per)).map(per_unit);
    (main, per.map_or(String::new(), |per| format!("per_{per}")))
}

fn main_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// A unit with `_` for what no name may have, several of them as one, and none at the beginning.
fn cleaned(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars().map(|c| if is_metric_char(c) { c } else { '_' }) {
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

fn escaped_label(name: &str, rules: LabelNames) -> Cow<'_, str> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let first = name.as_bytes()[0];
    if plain && rules.preserve_multiple_underscores && !first.is_ascii_digit() && first != b'_' {
        return Cow::Borrowed(name);
    }
    let underscored = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let label = if rules.preserve_multiple_underscores {
        name.chars().map(underscored).collect()
    } else {
        let reserved = name.len() >= 4 && name.starts_with("__") && name.ends_with("__");
        let inner = if reserved { &name[2..name.len() - 2] } else { name };
        let mut out = String::with_capacity(name.len());
        for c in inner.chars().map(underscored) {
            if c != '_' || !out.ends_with('_') {
                out.push(c);
            }
        }
        if reserved { format!("__{out}__") } else { out }
    };
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        Cow::Owned(format!("key_{label}"))
    } else if rules.underscore_sanitization && label.starts_with('_') && !label.starts_with("__") {
        Cow::Owned(format!("key{label}"))
    } else {
        Cow::Owned(label)
    }
}

#[cfg(test)]
mod tests;
