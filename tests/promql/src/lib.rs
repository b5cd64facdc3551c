//! The runner of Prometheus' test language, and the comparison with Prometheus' own engine.
//!
//! files → commands (`language`, `notation`) → data (`load`) → a [`target::Target`] that holds them → every evaluation, also at
//! other times and in ranges (`run`, `again`) → equal or not (`compare`) → counts against the skip list (`report`)
//!
//! The same files run against anything that is a [`target::Target`]. Prometheus' own files are not kept here: they are
//! read from the Go module that `tests/promdiff` pins (`module`).

pub mod again;
pub mod compare;
pub mod generate;
pub mod language;
pub mod load;
pub mod module;
pub mod notation;
pub mod report;
pub mod run;
pub mod shortcuts;
pub mod target;
