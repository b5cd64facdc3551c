//! Scripts of the test language against the evaluator in memory.

use std::path::{Path, PathBuf};

use promql_tests::language::Script;
use promql_tests::module;
use promql_tests::report::{Report, SkipList};
use promql_tests::target::{Gives, Memory};

use crate::engine::Engine;

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Prometheus' files, or a line that says that they are not tested.
#[expect(clippy::print_stderr, reason = "a test that is skipped must be loud")]
fn of_prometheus() -> Vec<PathBuf> {
    module::files().expect("the Go module is there").unwrap_or_else(|| {
        eprintln!("SKIPPED: Prometheus' test files are in a Go module, and go is not installed");
        Vec::new()
    })
}

#[test]
fn every_line_of_prometheus_files_is_understood() {
    for path in of_prometheus() {
        let text = std::fs::read_to_string(&path).expect("a file");
        let written = text.lines().filter(|line| line.trim_start().starts_with("eval")).count();
        let script = Script::parse(&text).expect("parses");
        assert_eq!(script.evaluations().count(), written, "{}", path.display());
    }
}

#[test]
fn prometheus_own_engine_passes_its_files() {
    let files = of_prometheus();
    if !files.is_empty() {
        let report =
            Report::of(&files, &mut Engine::start(&["-start-timestamps"]).expect("promdiff starts")).expect("runs");
        assert_eq!(report.complaints(&SkipList::default()), Vec::<String>::new());
    }
}

#[test]
fn prometheus_files_pass() {
    let files = of_prometheus();
    if !files.is_empty() {
        let mut memory = Memory::new(Gives::Points).with_start_timestamps();
        let (report, none) = (Report::of(&files, &mut memory).expect("runs"), SkipList::default());
        println!("{}", report.summary(&none));
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("promql_failures.md");
        std::fs::write(&all, report.summary(&none) + &report.failures()).expect("every failure in a file");
        assert_eq!(report.complaints(&none), Vec::<String>::new());
    }
}

/// Those of the skip list fail then, and no others.
#[test]
fn prometheus_files_pass_where_starts_are_not_heeded() {
    let files = of_prometheus();
    if !files.is_empty() {
        let report = Report::of(&files, &mut Memory::new(Gives::Points)).expect("runs");
        let skip = SkipList::known().expect("the skip list");
        assert_eq!(report.complaints(&skip), Vec::<String>::new());
    }
}

#[test]
fn prometheus_files_pass_where_statistics_stand_for_points() {
    let files = of_prometheus();
    if !files.is_empty() {
        let report = Report::of(&files, &mut Memory::new(Gives::Shortcuts).with_start_timestamps()).expect("runs");
        assert_eq!(report.complaints(&SkipList::default()), Vec::<String>::new());
    }
}

#[test]
fn our_own_files_pass() {
    let files = module::test_files(&here("files")).expect("a folder");
    for gives in [Gives::Points, Gives::Shortcuts] {
        let report = Report::of(&files, &mut Memory::new(gives)).expect("runs");
        assert!(report.failures().is_empty(), "{}", report.failures());
    }
}
