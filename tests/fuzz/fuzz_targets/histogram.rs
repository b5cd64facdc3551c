//! Feeds arbitrary bytes to the decoder; see `../README.md`.

#![no_main]

#[path = "../checks/histogram.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
