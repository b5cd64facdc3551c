//! Replays the fuzzing corpus with the stable compiler: what once broke a decoder, and input of every shape.

extern crate thermocline_ingest as ingest;

use std::fs;
use std::path::Path;

#[path = "../../tests/fuzz/checks/body.rs"]
mod body;
#[path = "../../tests/fuzz/checks/decoded.rs"]
mod decoded;
#[path = "../../tests/fuzz/checks/json.rs"]
mod json;
#[path = "../../tests/fuzz/checks/line_protocol.rs"]
mod line_protocol;
#[path = "../../tests/fuzz/checks/prom_text.rs"]
mod prom_text;
#[path = "../../tests/fuzz/checks/remote_write.rs"]
mod remote_write;

/// Gives every input of a target to its check, and every truncation of it.
fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is in the repository") {
        let bytes = fs::read(entry.expect("readable").path()).expect("readable");
        check(&bytes);
        (0..bytes.len()).for_each(|len| check(&bytes[..len]));
        inputs += 1;
    }
    assert!(inputs > 0, "an empty corpus tests nothing");
}

#[test]
fn no_body_of_the_corpus_breaks_decompression() {
    replay("body", body::check);
}

#[test]
fn no_json_of_the_corpus_breaks_the_decoder() {
    replay("json", json::check);
}

#[test]
fn no_remote_write_of_the_corpus_breaks_the_decoder() {
    replay("remote_write", remote_write::check);
}

#[test]
fn no_line_protocol_of_the_corpus_breaks_the_decoder() {
    replay("line_protocol", line_protocol::check);
}

#[test]
fn no_text_of_the_corpus_breaks_the_decoder() {
    replay("prom_text", prom_text::check);
}
