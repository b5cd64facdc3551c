//! The query language of Prometheus, as far as Thermocline speaks it today: series selectors and durations.
//!
//! text → tokens with spans (`lexer`) → matchers (`selector`) · `1h30m` → milliseconds (`duration`)
//!
//! Grammar, meaning and error texts are Prometheus 3's, since clients and people know them by heart. Pure: no
//! storage, no clock. Not here: how matchers are evaluated (`schemas::matcher`) and expressions (a later crate
//! version adds the parser and the evaluator over a `Storage` trait).

pub mod duration;
pub mod lexer;
pub mod selector;

mod error;
mod quote;

pub use duration::{DurationError, parse_duration};
pub use error::{ParseError, Span};
pub use selector::parse_selector;
