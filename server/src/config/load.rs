//! Reads a configuration and lays what the command line says over it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemas::Retention;
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::check::{ConfigError, retention_conflict};
use super::sections::{Config, Durability, LogFormatName};
use super::units::Span;

/// What flags and the environment say; `None` leaves the file's word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) object_store: Option<String>,
    pub(crate) durability: Option<Durability>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: Option<LogFormatName>,
}

/// Reads `file`, or takes the defaults when there is none, then lays `overrides` over it. `environment` gives `${NAME}`.
pub(crate) fn from_file(
    file: Option<&Path>,
    overrides: &Overrides,
    environment: HashMap<String, String>,
) -> Result<Config, ConfigError> {
    let mut config = match file {
        None => Config::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| ConfigError::new(format!("cannot be read: {e}")).in_file(path))?;
            from_text(&text, environment).map_err(|e| e.in_file(path))?
        }
    };
    overrides.lay_over(&mut config);
    // Only now: a file may hold the options of a store that a flag names.
    config.check_archive().map_err(|e| match file {
        Some(path) if overrides.object_store.is_none() => e.in_file(path),
        Some(_) | None => e,
    })?;
    Ok(config)
}

/// The process' environment, where it is text.
pub(crate) fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads a configuration document; an empty one is all defaults.
pub(crate) fn from_text(text: &str, environment: HashMap<String, String>) -> Result<Config, ConfigError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Config::default());
    }
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::Error, with_snippet: false }
        .with_properties(environment);
    let config: Config = serde_saphyr::from_str_with_options(text, options).map_err(|error| told(&error))?;
    config.check()?;
    Ok(config)
}

/// The parser's words without the place, which the error carries by itself.
fn told(error: &serde_saphyr::Error) -> ConfigError {
    let location = error.location();
    let text = error.to_string();
    let text = text.replace("missing property", "there is no environment variable");
    let text = text.replace("expected mapping start", "expected keys with values");
    let what = match &location {
        Some(l) => text.replace(&format!(" at line {}, column {}", l.line(), l.column()), ""),
        None => text,
    };
    ConfigError::at(location, what)
}

/// The durations of a JSON object such as `{"hot.raw": "3d"}` laid over `current`; empty text changes nothing.
pub(crate) fn retention_of_json(body: &[u8], current: Retention) -> Result<Retention, String> {
    let mut retention = current;
    let said: BTreeMap<String, String> = if body.trim_ascii().is_empty() {
        BTreeMap::new()
    } else {
        serde_json::from_slice(body).map_err(|e| e.to_string())?
    };
    for (key, text) in said {
        let slot = match key.as_str() {
            "hot.raw" => &mut retention.hot_raw,
            "warm.rollup_1m" => &mut retention.warm_rollup_1m,
            "warm.rollup_1h" => &mut retention.warm_rollup_1h,
            "cold.raw" => &mut retention.cold_raw,
            "cold.rollup_1m" => &mut retention.cold_rollup_1m,
            "cold.rollup_1h" => &mut retention.cold_rollup_1h,
            _ => return Err(format!("unknown key {key:?}")),
        };
        *slot = Span::parse(&text).map_err(|e| format!("{key}: {e}"))?.0;
    }
    match retention_conflict(&retention) {
        None => Ok(retention),
        Some((_, what)) => Err(what),
    }
}

impl Overrides {
    fn lay_over(&self, config: &mut Config) {
        fn set<T: Clone>(target: &mut T, said: Option<&T>) {
            if let Some(said) = said {
                target.clone_from(said);
            }
        }
        set(&mut config.data_dir, self.data_dir.as_ref());
        set(&mut config.listen, self.listen.as_ref());
        if let Some(url) = &self.object_store {
            config.object_store.url = Spanned::new(url.clone(), Location::UNKNOWN, Location::UNKNOWN);
        }
        set(&mut config.durability, self.durability.as_ref());
        set(&mut config.log.level, self.log_level.as_ref());
        set(&mut config.log.format, self.log_format.as_ref());
    }
}
