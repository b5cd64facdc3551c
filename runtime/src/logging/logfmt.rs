//! Lines of logfmt, which Loki, Vector and `grep` read: `ts=… level=info target=… msg="…" key=value …`.
//!
//! event ─▶ time, level, target, message ─▶ its fields ─▶ fields of its spans, outermost first ─▶ one line
//!
//! A value that could be taken for anything but one value is quoted, and what is not printable in it is escaped: an event
//! is one line whatever it says, so nobody outside can write a line of the log, or to the terminal that shows it.

use std::fmt::{self, Write};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::Clock;

/// Writes events.
#[derive(Debug)]
pub(super) struct LogfmtEvents {
    pub(super) clock: Arc<dyn Clock>,
}

impl<S, N> FormatEvent<S, N> for LogfmtEvents
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Pairs::default();
        event.record(&mut fields);
        let mut line = Pairs::default();
        line.push("ts", &time(self.clock.now_ms()));
        line.push("level", level(*event.metadata().level()));
        line.push("target", event.metadata().target());
        line.push("msg", &fields.message);
        line.append(&fields.text);
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.append(&fields.fields);
            }
        }
        writeln!(out, "{}", line.text)
    }
}

/// Writes the fields of spans, which events in them repeat.
#[derive(Debug)]
pub(super) struct LogfmtFields;

impl<'writer> FormatFields<'writer> for LogfmtFields {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pairs = Pairs::default();
        fields.record(&mut pairs);
        if !pairs.message.is_empty() {
            let message = std::mem::take(&mut pairs.message);
            pairs.push("message", &message);
        }
        out.write_str(&pairs.text)
    }
}

/// `key=value` pairs with a space between them, and the message, which is none of them.
#[derive(Debug, Default)]
struct Pairs {
    message: String,
    text: String,
}

impl Pairs {
    fn push(&mut self, key: &str, value: &str) {
        self.append_with(|text| {
            push_key(text, key);
            text.push('=');
            push_value(text, value);
        });
    }

    /// Adds pairs that are written already.
    fn append(&mut self, pairs: &str) {
        if !pairs.is_empty() {
            self.append_with(|text| text.push_str(pairs));
        }
    }

    fn append_with(&mut self, write: impl FnOnce(&mut String)) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        write(&mut self.text);
    }
}

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.push(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn time(now_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(now_ms);
    time.map_or_else(|| now_ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Keys are written in the code, where a macro takes any text for one.
fn push_key(out: &mut String, key: &str) {
    let key = key.strip_prefix("r#").unwrap_or(key);
    out.extend(key.chars().map(|c| if is_bare(c) { c } else { '_' }));
}

fn push_value(out: &mut String, value: &str) {
    if !value.is_empty() && value.chars().all(is_bare) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes any text"),
        }
    }
    out.push('"');
}

/// Whether a character may stand in a value without quotes.
fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '=' | '"') && is_printable(c)
}

/// False for what moves the cursor, ends a line somewhere, or turns the direction of the text around it.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::prelude::*;

    use super::*;
    use crate::ManualClock;

    /// Keeps what is written.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What the log of `events` is, as `serve` sets it up.
    fn log(events: impl FnOnce()) -> String {
        let kept = Kept::default();
        let layer = super::super::logfmt_layer(Arc::new(ManualClock::at(1_742_221_800_007)), kept.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        String::from_utf8(kept.0.lock().clone()).expect("text")
    }

    const HEAD: &str = "ts=2025-03-17T14:30:00.007Z level=info target=t";

    #[test]
    fn an_event_is_one_line_of_pairs() {
        let line = log(|| tracing::info!(target: "t", hours = 3, url = %"http://a/", done = true, "sealed an hour"));
        assert_eq!(line, format!("{HEAD} msg=\"sealed an hour\" hours=3 url=http://a/ done=true\n"));
        let error = io::Error::other("no space");
        let line = log(|| tracing::error!(target: "t", error = &error as &dyn std::error::Error, "failed"));
        assert_eq!(line, "ts=2025-03-17T14:30:00.007Z level=error target=t msg=failed error=\"no space\"\n");
    }

    #[test]
    fn what_is_not_one_word_is_quoted() {
        let line =
            log(|| tracing::info!(target: "t", none = "", pair = "a=b", path = "C:\\x", quote = "say \"x\\\"", "ok"));
        assert_eq!(line, format!("{HEAD} msg=ok none=\"\" pair=\"a=b\" path=C:\\x quote=\"say \\\"x\\\\\\\"\"\n"));
    }

    #[test]
    fn no_input_can_write_a_line_of_its_own() {
        let evil = "x\nts=0 level=error msg=forged\r\u{1b}[2J\u{85}\u{2028}\u{202e}\0";
        for line in [
            log(|| tracing::info!(target: "t", value = evil, "m")),
            log(|| tracing::info!(target: "t", value = %evil, "m")),
            log(|| tracing::info!(target: "t", value = ?evil, "m")),
            log(|| tracing::info!(target: "t", "{evil}")),
        ] {
            assert_eq!(line.lines().count(), 1, "{line:?}");
            assert!(line.trim_end_matches('\n').chars().all(is_printable), "{line:?}");
            assert!(!line.contains(" msg=forged ") && line.starts_with(HEAD), "{line:?}");
        }
        let line = log(|| tracing::info!(target: "t", value = evil, "m"));
        let value = r#""x\nts=0 level=error msg=forged\r\u001b[2J\u0085\u2028\u202e\u0000""#;
        assert_eq!(line, format!("{HEAD} msg=m value={value}\n"));
    }

    #[test]
    fn fields_of_spans_follow_from_the_outermost_in() {
        let line = log(|| {
            let outer = tracing::info_span!("outer", job = "seal", late = tracing::field::Empty);
            let _entered = outer.enter();
            outer.record("late", "two words");
            tracing::info_span!("inner", hour = 7).in_scope(|| tracing::info!(target: "t", points = 2, "done"));
        });
        assert_eq!(line, format!("{HEAD} msg=done points=2 job=seal late=\"two words\" hour=7\n"));
    }

    #[test]
    fn a_key_stays_one_word() {
        let line = log(|| tracing::info!(target: "t", r#type = 1, "a key" = 2, "m"));
        assert_eq!(line, format!("{HEAD} msg=m type=1 a_key=2\n"));
    }
}
