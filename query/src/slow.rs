//! The log of slow queries: one line each, with what was asked and what it cost.
//!
//! query ends ─▶ as long as the threshold? ─▶ INFO `slow query` with interface, text, tiers, samples, bytes, duration
//!
//! A query that failed is told of as well, with its outcome. Not here: counts of all queries (`metrics`).

use std::fmt::Display;
use std::time::Duration;

use crate::error::QueryError;
use crate::metrics::Interface;
use crate::provenance::Provenance;

/// Bytes of a query's text that a line has.
const TEXT_BYTES_MAX: usize = 4_096;

/// What was asked, and by which way.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) interface: Interface,
    text: &'a dyn Display,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(interface: Interface, text: &'a impl Display) -> Self {
        Self { interface, text }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlowLog {
    threshold: Duration,
}

impl SlowLog {
    /// Logs queries that take as long as `threshold`: zero logs all.
    pub(crate) fn new(threshold: Duration) -> Self {
        Self { threshold }
    }

    pub(crate) fn ended(self, asked: &Asked<'_>, took: Duration, result: Result<&Provenance, &QueryError>) {
        if took < self.threshold {
            return;
        }
        let (interface, outcome) = (asked.interface.as_str(), result.map_or_else(QueryError::outcome, |_| "ok"));
        let (query, duration_ms) = (shortened(asked.text.to_string()), took.as_millis());
        match result {
            Ok(told) => tracing::info!(
                interface,
                query,
                outcome,
                duration_ms,
                tiers = tiers(told),
                series = told.series_matched,
                samples = told.points_read,
                rows = told.rows_read,
                bytes = told.bytes_read,
                gets = told.object_store_gets,
                "slow query"
            ),
            Err(error) => {
                tracing::info!(interface, query, outcome, duration_ms, error = %error, "slow query");
            }
        }
    }
}

fn tiers(told: &Provenance) -> String {
    told.tiers.iter().map(|tier| tier.as_str()).collect::<Vec<_>>().join(",")
}

/// Cuts a text to what a line may have, at the edge of a character.
fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::provenance::ProvenanceCollector;

    /// Keeps the fields of all events.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            write!(self.0, "{}={value:?} ", field.name()).expect("a string takes all");
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(format!("{} ", event.metadata().level()));
            event.record(&mut line);
            self.0.lock().push(line.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn queries_as_long_as_the_threshold_are_logged_with_what_they_cost() {
        let lines = Lines::default();
        tracing::subscriber::with_default(lines.clone(), || {
            let told = ProvenanceCollector::new(1);
            told.tally.decoded(360);
            let asked = Asked::new(Interface::Promql, &"rate(up[5m])");
            let (short, long) = (Duration::from_millis(9), Duration::from_millis(10));
            let log = SlowLog::new(long);
            log.ended(&asked, short, Ok(&told.snapshot()));
            log.ended(&asked, long, Ok(&told.snapshot()));
            log.ended(&asked, long, Err(&QueryError::Overloaded));
            SlowLog::new(Duration::ZERO).ended(&asked, Duration::ZERO, Ok(&told.snapshot()));
        });
        let lines = lines.0.lock().clone();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for part in
            ["INFO", "slow query", "interface=\"promql\"", "query=\"rate(up[5m])\"", "samples=360", "duration_ms=10"]
        {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
        assert!(lines[1].contains("outcome=\"overloaded\""), "{}", lines[1]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("up".to_owned()), "up");
        let long = shortened("é".repeat(TEXT_BYTES_MAX));
        assert!(long.len() <= TEXT_BYTES_MAX + '…'.len_utf8() && long.ends_with("é…"));
    }
}
