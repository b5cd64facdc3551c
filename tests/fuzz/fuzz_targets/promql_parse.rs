//! Feeds arbitrary bytes to the decoder; see `../README.md`.

#![no_main]

#[path = "../checks/promql_parse.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
