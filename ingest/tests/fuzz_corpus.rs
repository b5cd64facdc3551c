//! Replays the fuzzing corpus with the stable compiler: what once broke a decoder, and input of every shape.

extern crate thermocline_ingest as ingest;

#[path = "../../tests/fuzz/checks/body.rs"]
mod body;
#[path = "../../tests/fuzz/checks/decoded.rs"]
mod decoded;
#[path = "../../tests/fuzz/checks/json.rs"]
mod json;
#[path = "../../tests/fuzz/checks/line_protocol.rs"]
mod line_protocol;
#[path = "../../tests/fuzz/checks/message_avro.rs"]
mod message_avro;
#[path = "../../tests/fuzz/checks/message_influx.rs"]
mod message_influx;
#[path = "../../tests/fuzz/checks/message_json.rs"]
mod message_json;
#[path = "../../tests/fuzz/checks/message_remote_write.rs"]
mod message_remote_write;
#[path = "../../tests/fuzz/checks/messages.rs"]
mod messages;
#[path = "../../tests/fuzz/checks/otlp_json.rs"]
mod otlp_json;
#[path = "../../tests/fuzz/checks/otlp_proto.rs"]
mod otlp_proto;
#[path = "../../tests/fuzz/checks/prom_text.rs"]
mod prom_text;
#[path = "../../tests/fuzz/checks/remote_write.rs"]
mod remote_write;
#[path = "../../tests/fuzz/checks/remote_write_v2.rs"]
mod remote_write_v2;
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

use replay::replay;

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
fn no_remote_write_two_of_the_corpus_breaks_the_decoder() {
    replay("remote_write_v2", remote_write_v2::check);
}

#[test]
fn no_otlp_protobuf_of_the_corpus_breaks_the_decoder() {
    replay("otlp_proto", otlp_proto::check);
}

#[test]
fn no_otlp_json_of_the_corpus_breaks_the_decoder() {
    replay("otlp_json", otlp_json::check);
}

#[test]
fn no_line_protocol_of_the_corpus_breaks_the_decoder() {
    replay("line_protocol", line_protocol::check);
}

#[test]
fn no_text_of_the_corpus_breaks_the_decoder() {
    replay("prom_text", prom_text::check);
}

#[test]
fn no_json_message_of_the_corpus_breaks_the_decoder() {
    replay("message_json", message_json::check);
}

#[test]
fn no_avro_message_of_the_corpus_breaks_the_decoder() {
    replay("message_avro", message_avro::check);
}

#[test]
fn no_influx_message_of_the_corpus_breaks_the_decoder() {
    replay("message_influx", message_influx::check);
}

#[test]
fn no_remote_write_message_of_the_corpus_breaks_the_decoder() {
    replay("message_remote_write", message_remote_write::check);
}
