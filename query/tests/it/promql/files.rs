//! Prometheus' own test files over the tiers: every evaluation that the evaluator passes in memory, it passes over stored data.
//!
//! Whenever the data change, a new store takes them; the jobs bring them to where they shall be, and evaluations follow.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use promql::eval::Grid;
use promql_tests::load::Data;
use promql_tests::module;
use promql_tests::report::{Report, SkipList};
use promql_tests::target::{Answer, Target};
use query::{PromqlRequest, QueryLimits};
use schemas::tier_map::Tier;
use schemas::time::HOUR_MS;
use schemas::{DurationMs, PointBatch, Retention};
use tokio::runtime::Runtime;

use crate::given::Given;

/// Where the data are when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Sealed,
    OnlyInDelta,
}

/// The engine over a store of the data at hand.
struct Tiers {
    runtime: Runtime,
    stored: Stored,
    given: Option<Given>,
    /// Which tiers gave data, as often as they did.
    met: RefCell<Vec<Tier>>,
}

impl Tiers {
    fn new(stored: Stored) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        Self { runtime, stored, given: None, met: RefCell::default() }
    }
}

impl Target for Tiers {
    fn hold(&mut self, data: &Data) -> Result<()> {
        self.given = None;
        self.given = Some(self.runtime.block_on(holding(data, self.stored))?);
        Ok(())
    }

    fn ask(&self, text: &str, grid: Grid) -> Result<Answer, String> {
        let given = self.given.as_ref().ok_or("nothing is held")?;
        let request = PromqlRequest { experimental: true, ..PromqlRequest::new(text, grid) };
        let answer = self.runtime.block_on(given.engine.promql(request)).map_err(|error| error.to_string())?;
        let provenance = &answer.provenance;
        if provenance.points_read + provenance.rows_read > 0 {
            self.met.borrow_mut().extend(&provenance.tiers);
        }
        Ok(Answer::new(answer.value, &answer.notes, text))
    }
}

/// A store that has the data, some hours after the last of them: nothing of them is too young to be moved.
async fn holding(data: &Data, stored: Stored) -> Result<Given> {
    let mut batch = PointBatch::new();
    for (labels, points) in data.series() {
        let series = batch.add_canonical(labels.as_bytes());
        for (timestamp, value) in points.iter() {
            match points.histograms.get(timestamp) {
                Some(histogram) => batch.push_histogram(series, timestamp, Arc::clone(histogram)),
                None => batch.push(series, timestamp, value),
            }
        }
    }
    let last = batch.timestamps().iter().max().copied().unwrap_or(0);
    let given = Given::at_time((last.div_euclid(HOUR_MS) + 4) * HOUR_MS, QueryLimits::default()).await;
    let appended = given.store.append(&batch).context("appending")?;
    ensure!(appended.accepted == batch.len() as u64, "{appended:?}");
    given.sealed().await;
    match stored {
        Stored::Sealed => {}
        Stored::OnlyInDelta => {
            given.archived().await;
            given.retained(only_in_delta()).await;
        }
    }
    Ok(given)
}

/// Delta keeps all of it, however long ago it was.
fn only_in_delta() -> Retention {
    let (short, ever) = (DurationMs::hours(2), DurationMs::days(36_500));
    Retention {
        hot_raw: short,
        warm_rollup_1m: short,
        warm_rollup_1h: short,
        cold_raw: ever,
        cold_rollup_1m: ever,
        cold_rollup_1h: ever,
    }
}

/// Runs files over data that are stored so, and are read from there.
#[expect(clippy::print_stdout, reason = "the counts are the point of a run")]
fn run(files: &[PathBuf], stored: Stored, skip: &SkipList) -> Report {
    let mut tiers = Tiers::new(stored);
    let report = Report::of(files, &mut tiers).expect("runs");
    println!("{stored:?}\n{}", report.summary(skip));
    let met = tiers.met.into_inner();
    assert!(!met.is_empty() && met.iter().all(|&tier| (tier == Tier::Cold) == (stored == Stored::OnlyInDelta)));
    report
}

#[expect(clippy::print_stderr, reason = "a test that is skipped must be loud")]
fn prometheus_files_pass_over(stored: Stored) {
    let Some(files) = module::files().expect("the Go module is there") else {
        eprintln!("SKIPPED: Prometheus' test files are in a Go module, and go is not installed");
        return;
    };
    let skip = SkipList::known().expect("the skip list");
    let report = run(&files, stored, &skip);
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("promql_failures_{stored:?}.md"));
    std::fs::write(&all, report.summary(&skip) + &report.failures()).expect("every failure in a file");
    assert_eq!(report.complaints(&skip), Vec::<String>::new());
}

#[test]
fn prometheus_files_pass_over_sealed_data() {
    prometheus_files_pass_over(Stored::Sealed);
}

#[test]
fn prometheus_files_pass_over_data_that_only_delta_has() {
    prometheus_files_pass_over(Stored::OnlyInDelta);
}

#[test]
fn our_own_files_pass_over_the_tiers() {
    let files = module::test_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/promql/files"));
    let files = files.expect("a folder");
    for stored in [Stored::Sealed, Stored::OnlyInDelta] {
        let report = run(&files, stored, &SkipList::default());
        assert!(report.failures().is_empty(), "{stored:?}: {}", report.failures());
    }
}
