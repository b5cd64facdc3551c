//! Feeds arbitrary bytes to the decoder; see `../README.md`.

#![no_main]

#[path = "../checks/remote_write_v2.rs"]
mod check;
#[path = "../checks/decoded.rs"]
mod decoded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
