//! What must hold between keys, and how an error is told: `file:line:column: what is wrong`.

use std::fmt;
use std::path::{Path, PathBuf};

use schemas::{DurationMs, Retention};
use serde_saphyr::Location;

use super::controls::rules;
use super::entries::retention_rows;
use super::sections::{Config, ObjectStore};
use crate::assemble::cold_dir;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct ConfigError {
    file: Option<PathBuf>,
    /// Line and column, from 1.
    place: Option<(u64, u64)>,
    what: String,
}

impl ConfigError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { file: None, place: None, what: what.into() }
    }

    pub(super) fn at(location: Option<Location>, what: impl Into<String>) -> Self {
        let place = location.map(|l| (l.line(), l.column())).filter(|(line, _)| *line > 0);
        Self { file: None, place, what: what.into() }
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// The line of the file that is wrong, from 1.
    #[cfg(test)]
    pub(super) fn line(&self) -> Option<u64> {
        self.place.map(|(line, _)| line)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        match (self.place, &self.file) {
            (Some((line, column)), Some(_)) => write!(f, "{line}:{column}: ")?,
            (Some((line, column)), None) => write!(f, "line {line}, column {column}: ")?,
            (None, Some(_)) => f.write_str(" ")?,
            (None, None) => {}
        }
        f.write_str(&self.what)
    }
}

impl Config {
    /// Checks what types cannot say. Reports the first thing that is wrong.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_retention()?;
        self.check_controls()?;
        self.kafka.check()?;
        self.ingest.check(&self.kafka)?;
        self.otlp.check()?;
        if self.limits.bodies_in_flight < self.limits.body {
            return Err(ConfigError::new("limits.bodies_in_flight must hold at least one body of limits.body"));
        }
        Ok(())
    }

    /// Checks that the archive's place can be understood, as it will be when it is opened.
    pub(super) fn check_archive(&self) -> Result<(), ConfigError> {
        let ObjectStore { url, options } = &self.object_store;
        let by_default = cold_dir(&self.data_dir).display().to_string();
        let place = if url.value.is_empty() { &by_default } else { &url.value };
        cold::check_location(place, options).map_err(|error| {
            let what = match error {
                // Without the URL, which may have come from the environment.
                cold::ColdError::Config { problem, .. } => format!("object_store: {problem}"),
                other => other.to_string(),
            };
            ConfigError::at(Some(url.referenced), what)
        })
    }

    fn check_controls(&self) -> Result<(), ConfigError> {
        let Err(faults) = rules(self.controls.iter().map(|spec| &spec.value)) else { return Ok(()) };
        let Some(fault) = faults.into_iter().next() else { return Ok(()) };
        let place = self.controls.get(fault.index).map(|spec| spec.referenced);
        Err(ConfigError::at(place, format!("controls: {fault}")))
    }

    fn check_retention(&self) -> Result<(), ConfigError> {
        let Some((key, what)) = retention_conflict(&self.retention.durations()) else { return Ok(()) };
        let section = &self.retention;
        let written = [
            ("hot.raw", &section.hot_raw),
            ("warm.rollup_1m", &section.warm_rollup_1m),
            ("warm.rollup_1h", &section.warm_rollup_1h),
            ("cold.raw", &section.cold_raw),
            ("cold.rollup_1m", &section.cold_rollup_1m),
            ("cold.rollup_1h", &section.cold_rollup_1h),
        ];
        // A conflict of two is told where one of them was written.
        let mentioned = written.iter().filter(|(k, _)| *k == key || what.contains(*k));
        let place = mentioned.filter_map(|(_, kept)| kept.as_ref()).map(|spanned| spanned.referenced).next_back();
        Err(ConfigError::at(place, what))
    }
}

/// Which duration is wrong, and why: a range passes from RocksDB to Delta, so Delta must keep each resolution at least
/// as long; and data is dropped by the hour.
pub(crate) fn retention_conflict(kept: &Retention) -> Option<(&'static str, String)> {
    let all = retention_rows(kept);
    if let Some((key, _)) = all.iter().find(|(_, length)| *length < DurationMs::HOUR) {
        return Some((key, format!("retention.{key} must be at least 1h")));
    }
    let pairs = [(0, 3), (1, 4), (2, 5)].map(|(local, cold)| (all[local], all[cold]));
    let ((local_key, local), (cold_key, cold)) = pairs.into_iter().find(|((_, local), (_, cold))| cold < local)?;
    Some((cold_key, format!("retention.{cold_key} ({cold}) must not be shorter than {local_key} ({local})")))
}
