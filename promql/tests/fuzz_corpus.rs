//! Replays the fuzzing corpus with the stable compiler: what once broke a parser, and text of every shape.

extern crate thermocline_promql as promql;

#[path = "../../tests/fuzz/checks/promql_parse.rs"]
mod promql_parse;
#[path = "../../tests/fuzz/replay.rs"]
mod replay;
#[path = "../../tests/fuzz/checks/selector.rs"]
mod selector;

#[test]
fn no_selector_of_the_corpus_breaks_the_parser() {
    replay::replay("selector", selector::check);
}

#[test]
fn no_expression_of_the_corpus_breaks_the_parser() {
    replay::replay("promql_parse", promql_parse::check);
}
