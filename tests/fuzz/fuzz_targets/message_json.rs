//! Feeds arbitrary bytes to the decoder; see `../README.md`.

#![no_main]

#[path = "../checks/message_json.rs"]
mod check;
#[path = "../checks/messages.rs"]
mod messages;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
