//! The query language of Prometheus: its texts, their trees, and what they evaluate to over any [`storage::Storage`].
//!
//! text → tokens with spans (`lexer`) → tree (`parser`) → types and rules (`check`) → `Expr` → text (`printer`)
//! · `Expr` + times + storage → values and notes (`eval`) · a selector alone → matchers (`selector`)
//! · `1h30m` → milliseconds (`duration`)
//!
//! Grammar, meaning and error texts are Prometheus 3's, since clients and people know them by heart. Pure: no clock, no
//! disk. PARSE-1: trees are bounded (`parser`). PRINT-1: printing and parsing agree (`printer`).
//! Not here: how matchers are evaluated (`schemas::matcher`), and where points are kept.

pub mod ast;
pub mod column;
pub mod duration;
pub mod eval;
pub mod functions;
pub mod histogram;
pub mod instant;
pub mod lexer;
pub mod math;
pub mod memory;
pub mod notes;
pub mod operator;
pub mod parser;
pub mod printer;
pub mod range;
pub mod selector;
pub mod starts;
pub mod storage;

mod check;
mod error;
mod quote;

pub use duration::{DurationError, parse_duration};
pub use error::{ParseError, Span};
pub use parser::{ParseOptions, parse_expr};
pub use printer::format;
pub use selector::parse_selector;
