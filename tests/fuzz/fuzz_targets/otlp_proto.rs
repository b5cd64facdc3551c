//! Feeds arbitrary bytes to the decoder; see `../README.md`.

#![no_main]

#[path = "../checks/otlp_proto.rs"]
mod check;
#[path = "../checks/decoded.rs"]
mod decoded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
