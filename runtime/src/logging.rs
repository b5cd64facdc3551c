//! Log output: one subscriber a process, to standard error.

mod logfmt;

use std::sync::Arc;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use self::logfmt::{LogfmtEvents, LogfmtFields};
use crate::{Clock, SystemClock};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, grep and log stores: `ts=… level=info target=… msg="…" key=value`.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Installs the subscriber; `filter` is a level or an `EnvFilter` expression such as `info,thermocline_hot=debug`. A bare
/// level is meant for this program: `quiet`, further directives, then keeps its libraries calm.
/// Returns what is wrong with the filter.
pub fn init(filter: &str, quiet: &str, format: LogFormat) -> Result<(), String> {
    let registry = tracing_subscriber::registry().with(parse(filter, quiet)?);
    let result = match format {
        LogFormat::Logfmt => registry.with(logfmt_layer(Arc::new(SystemClock), std::io::stderr)).try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
    };
    result.map_err(|e| format!("logging is already set up: {e}"))
}

/// Whether [`init`] would take a filter, and if not, what is wrong with it.
pub fn check(filter: &str) -> Result<(), String> {
    parse(filter, "").map(drop)
}

fn parse(filter: &str, quiet: &str) -> Result<EnvFilter, String> {
    let wrong = |why: &dyn std::fmt::Display| Err(format!("log filter {filter:?}: {why}"));
    let word = filter.chars().all(|c| c.is_ascii_alphanumeric());
    // To `EnvFilter` a word that is no level is the name of a module, and nothing else would be logged.
    if word && (filter.is_empty() || filter.parse::<LevelFilter>().is_err()) {
        return wrong(&"is no level: off, error, warn, info, debug, trace");
    }
    let directives = if word && !quiet.is_empty() { format!("{filter},{quiet}") } else { filter.to_owned() };
    EnvFilter::try_new(directives).or_else(|error| wrong(&error))
}

fn logfmt_layer<S, W>(clock: Arc<dyn Clock>, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fmt::layer().with_ansi(false).event_format(LogfmtEvents { clock }).fmt_fields(LogfmtFields).with_writer(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused() {
        for filter in ["info", "WARN", "off", "info,thermocline_hot=debug", "thermocline_hot=trace,warn"] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
        for filter in ["", "loud", "a=b=c", "info,thermocline_hot=loud"] {
            assert!(check(filter).expect_err(filter).starts_with(&format!("log filter {filter:?}: ")), "{filter}");
        }
    }
}
