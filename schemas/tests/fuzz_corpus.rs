//! Replays the fuzzing corpus with the stable compiler: what once broke a decoder, and valid input of every shape.

extern crate thermocline_schemas as schemas;

use std::fs;
use std::path::Path;

#[path = "../../tests/fuzz/checks/chunk.rs"]
mod chunk;
#[path = "../../tests/fuzz/checks/log_record.rs"]
mod log_record;
#[path = "../../tests/fuzz/checks/meta.rs"]
mod meta;
#[path = "../../tests/fuzz/checks/rollup_row.rs"]
mod rollup_row;

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
fn no_chunk_of_the_corpus_breaks_the_decoder() {
    replay("chunk", chunk::check);
}

#[test]
fn no_rollup_row_of_the_corpus_breaks_the_decoder() {
    replay("rollup_row", rollup_row::check);
}

#[test]
fn no_log_record_of_the_corpus_breaks_the_decoder() {
    replay("log_record", log_record::check);
}

#[test]
fn no_meta_record_of_the_corpus_breaks_the_decoder() {
    replay("meta", meta::check);
}
