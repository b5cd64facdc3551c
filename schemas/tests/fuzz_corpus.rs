//! Replays the fuzzing corpus with the stable compiler: what once broke a decoder, and valid input of every shape.

extern crate thermocline_schemas as schemas;

#[path = "../../tests/fuzz/checks/chunk.rs"]
mod chunk;
#[path = "../../tests/fuzz/checks/file_tags.rs"]
mod file_tags;
#[path = "../../tests/fuzz/checks/histogram.rs"]
mod histogram;
#[path = "../../tests/fuzz/checks/keys.rs"]
mod keys;
#[path = "../../tests/fuzz/checks/log_record.rs"]
mod log_record;
#[path = "../../tests/fuzz/checks/meta.rs"]
mod meta;
#[path = "../../tests/fuzz/checks/object_path.rs"]
mod object_path;
#[path = "../../tests/fuzz/replay.rs"]
mod replay;
#[path = "../../tests/fuzz/checks/rollup_row.rs"]
mod rollup_row;
#[path = "../../tests/fuzz/checks/series_record.rs"]
mod series_record;
#[path = "../../tests/fuzz/checks/sketch.rs"]
mod sketch;

use replay::replay;

#[test]
fn no_chunk_of_the_corpus_breaks_the_decoder() {
    replay("chunk", chunk::check);
}

#[test]
fn no_histogram_of_the_corpus_breaks_the_decoder() {
    replay("histogram", histogram::check);
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

#[test]
fn no_key_of_the_corpus_breaks_the_parsers() {
    replay("keys", keys::check);
}

#[test]
fn no_series_record_of_the_corpus_breaks_the_decoders() {
    replay("series_record", series_record::check);
}

#[test]
fn no_object_path_of_the_corpus_breaks_the_parsers() {
    replay("object_path", object_path::check);
}

#[test]
fn no_file_tag_of_the_corpus_breaks_the_decoder() {
    replay("file_tags", file_tags::check);
}

#[test]
fn no_sketch_of_the_corpus_breaks_the_decoder() {
    replay("sketch", sketch::check);
}
