//! The keys of `otlp:`, which are Prometheus' where it has them, and what they become.

use ingest::decode::otlp::{LabelNames, Promoted, Settings, Translation};
use schemas::DurationMs;
use serde::Deserialize;

use super::check::ConfigError;
use super::units::{self, Span};

/// How OpenTelemetry's metrics become series.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Otlp {
    pub(crate) translation_strategy: Translation,
    /// Attributes of a resource that become labels of all its points.
    pub(crate) promote_resource_attributes: Vec<String>,
    /// All attributes become labels but those of `ignore_resource_attributes`.
    pub(crate) promote_all_resource_attributes: bool,
    pub(crate) ignore_resource_attributes: Vec<String>,
    /// `target_info` has the attributes too that `job` and `instance` are made of.
    pub(crate) keep_identifying_resource_attributes: bool,
    /// Name, version, schema and attributes of the scope become labels.
    pub(crate) promote_scope_metadata: bool,
    /// Histograms become native histograms with custom buckets.
    pub(crate) convert_histograms_to_nhcb: bool,
    pub(crate) label_name_underscore_sanitization: bool,
    pub(crate) label_name_preserve_multiple_underscores: bool,
    /// Series that may be accumulated from differences.
    #[serde(deserialize_with = "units::count")]
    pub(crate) delta_series: usize,
    /// After this time without a point a total starts anew.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) delta_expiry: Span,
}

impl Default for Otlp {
    fn default() -> Self {
        let Settings { translation, label_names, delta_series_max, delta_expiry_ms, .. } = Settings::default();
        Self {
            translation_strategy: translation,
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            keep_identifying_resource_attributes: false,
            promote_scope_metadata: false,
            convert_histograms_to_nhcb: false,
            label_name_underscore_sanitization: label_names.underscore_sanitization,
            label_name_preserve_multiple_underscores: label_names.preserve_multiple_underscores,
            delta_series: delta_series_max,
            delta_expiry: Span(DurationMs(delta_expiry_ms)),
        }
    }
}

impl Otlp {
    /// Checks what types cannot say.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let all = self.promote_all_resource_attributes;
        if all && !self.promote_resource_attributes.is_empty() {
            return Err(ConfigError::new(
                "otlp.promote_all_resource_attributes leaves nothing for otlp.promote_resource_attributes to say",
            ));
        }
        if !all && !self.ignore_resource_attributes.is_empty() {
            return Err(ConfigError::new(
                "otlp.ignore_resource_attributes is for otlp.promote_all_resource_attributes: true",
            ));
        }
        let names = self.promote_resource_attributes.iter().chain(&self.ignore_resource_attributes);
        match names.into_iter().find(|name| name.trim() != *name || name.is_empty()) {
            Some(name) => Err(ConfigError::new(format!("otlp: {name:?} is not the name of a resource attribute"))),
            None => Ok(()),
        }
    }

    /// What ingest is told.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            translation: self.translation_strategy,
            label_names: LabelNames {
                underscore_sanitization: self.label_name_underscore_sanitization,
                preserve_multiple_underscores: self.label_name_preserve_multiple_underscores,
            },
            promoted: if self.promote_all_resource_attributes {
                Promoted::AllBut(self.ignore_resource_attributes.clone())
            } else {
                Promoted::Listed(self.promote_resource_attributes.clone())
            },
            promote_scope: self.promote_scope_metadata,
            keep_identifying: self.keep_identifying_resource_attributes,
            histograms_to_nhcb: self.convert_histograms_to_nhcb,
            delta_series_max: self.delta_series,
            delta_expiry_ms: self.delta_expiry.0.0,
        }
    }

    /// Every key with its value.
    pub(super) fn entries(&self) -> [(&'static str, String); 11] {
        [
            ("otlp.translation_strategy", self.translation_strategy.as_str().to_owned()),
            ("otlp.promote_resource_attributes", self.promote_resource_attributes.join(",")),
            ("otlp.promote_all_resource_attributes", self.promote_all_resource_attributes.to_string()),
            ("otlp.ignore_resource_attributes", self.ignore_resource_attributes.join(",")),
            ("otlp.keep_identifying_resource_attributes", self.keep_identifying_resource_attributes.to_string()),
            ("otlp.promote_scope_metadata", self.promote_scope_metadata.to_string()),
            ("otlp.convert_histograms_to_nhcb", self.convert_histograms_to_nhcb.to_string()),
            ("otlp.label_name_underscore_sanitization", self.label_name_underscore_sanitization.to_string()),
            (
                "otlp.label_name_preserve_multiple_underscores",
                self.label_name_preserve_multiple_underscores.to_string(),
            ),
            ("otlp.delta_series", self.delta_series.to_string()),
            ("otlp.delta_expiry", self.delta_expiry.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    fn read(text: &str) -> Result<Otlp, String> {
        from_text(text, std::collections::HashMap::new()).map(|config| config.otlp).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_ingest() {
        assert_eq!(Otlp::default().settings(), Settings::default());
        assert_eq!(read("").expect("defaults").settings(), Settings::default());
    }

    #[test]
    fn what_is_written_is_what_ingest_is_told() {
        let text = "otlp:\n  translation_strategy: NoUTF8EscapingWithSuffixes\n  promote_all_resource_attributes: true\n  \
                    ignore_resource_attributes: [host.id]\n  delta_expiry: 5m\n";
        let settings = read(text).expect("valid").settings();
        assert_eq!(settings.translation, Translation::NoUtf8EscapingWithSuffixes);
        assert_eq!(settings.promoted, Promoted::AllBut(vec!["host.id".to_owned()]));
        assert_eq!(settings.delta_expiry_ms, 300_000);
    }

    #[test]
    fn attributes_are_promoted_by_one_list_only() {
        let wrong = [
            "otlp: { promote_all_resource_attributes: true, promote_resource_attributes: [a] }",
            "otlp: { ignore_resource_attributes: [a] }",
            "otlp: { promote_resource_attributes: [''] }",
            "otlp: { promote_resource_attributes: [' a'] }",
            "otlp: { translation_strategy: Sometimes }",
            "otlp: { delta_series: 0 }",
        ];
        for text in wrong {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
