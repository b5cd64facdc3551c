//! Prometheus' test files, ours in the same language, and random questions beside Prometheus' own engine.

mod differential;
mod engine;
mod files;
mod second_parser;
mod wording;
