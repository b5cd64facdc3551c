//! Configuration: what an operator writes, checked into what the parts take.
//!
//! defaults ─▶ file (YAML, `${ENV}`) ─▶ `THERMOCLINE_…` ─▶ flags  ──▶  [`Config`]  ──▶  assemblers
//!
//! * Every key has a default; a file is not needed. An unknown key is an error with its line.
//! * [`Config`] holds plain values only: no path is opened and no address bound here.
//! * [`entries`] lists every key with its value, which is what a reload compares and `docs/configuration.md` shows.
//!
//! Not here: what a value does (the crates it is handed to), and when a reload happens (`commands::serve`).

mod check;
pub(crate) mod controls;
pub(crate) mod entries;
pub(crate) mod kafka;
mod load;
mod otlp;
mod sections;
pub(crate) mod units;

pub(crate) use check::ConfigError;
pub(crate) use entries::{Change, changes};
#[cfg(test)]
use load::from_text;
pub(crate) use load::{Overrides, environment, from_file, retention_of_json};
pub(crate) use sections::{Config, Durability, LogFormatName};

#[cfg(test)]
mod tests;
