//! Every function over data in each tier, and what it is read from.

use std::sync::Arc;

use promql::eval::Grid;
use query::PromqlAnswer;
use schemas::histogram::{Buckets, Histogram, Span};
use schemas::time::{HOUR_MS, MINUTE_MS};

use super::both::{Both, counter, gauge, only_cold, requests, temperature};
use crate::given::{MIDNIGHT, labels};

const FUNCTIONS: [&str; 22] = [
    "absent_over_time",
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "first_over_time",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "sum_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
];

/// Every function, over windows of all widths, on the hour, on the minute and beside both, over edges of hours.
fn questions() -> Vec<(String, Grid)> {
    let at = |hour: i64, ms: i64| MIDNIGHT + hour * HOUR_MS + ms;
    let grids = [
        Grid::Range { start: at(1, 0), end: at(7, 0), step: HOUR_MS },
        Grid::Range { start: at(2, -3 * MINUTE_MS), end: at(3, 0), step: MINUTE_MS },
        Grid::Range { start: at(3, 7), end: at(5, 0), step: 7 * MINUTE_MS + 1 },
        Grid::Instant(at(6, 0)),
        Grid::Instant(at(5, 59 * MINUTE_MS + 1)),
    ];
    let mut all = Vec::new();
    for (nth, function) in FUNCTIONS.into_iter().enumerate() {
        for (number, grid) in grids.into_iter().enumerate() {
            let window = ["5m", "1h", "2h", "90s", "6h"][(nth + number) % 5];
            all.push((format!("{function}({{__name__=~\"requests_total|temperature\"}}[{window}])"), grid));
        }
    }
    for grid in grids {
        for text in [
            "temperature",
            "sum by (host) (requests_total offset 30m)",
            "quantile_over_time(0.9, temperature[1h])",
            "predict_linear(temperature[1h], 600)",
            "temperature @ 1772420000",
            "max_over_time(temperature[1h] @ end())",
            "max_over_time(rate(requests_total[5m])[1h:10m])",
            "{host!~\"a\",__name__!=\"\"}",
            "rate(requests_total[10m] smoothed)",
            "increase(requests_total[1h] anchored)",
            "limitk(2, requests_total)",
            "timestamp(temperature)",
            "temperature offset -20m",
            "absent(temperature{host=\"nobody\"})",
            "temperature > 20 and on (host) rate(requests_total[1h]) > 0",
            "nothing",
        ] {
            all.push((text.to_owned(), grid));
        }
    }
    all
}

impl Both {
    /// Asks a part of all questions, another one at each stage.
    async fn agrees_on_all(&self, stage: usize, when: &str) {
        for (text, grid) in questions().into_iter().skip(stage % 2).step_by(2) {
            self.agrees(&text, grid, when).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_equals_the_model_through_all_tiers() {
    let mut both = Both::at(8).await;
    let mut stage = 0;
    macro_rules! then_agrees {
        ($when:literal) => {
            both.agrees_on_all(stage, $when).await;
            stage += 1;
        };
    }
    for (host, step) in [("a", 10_000), ("b", 15_000), ("sparse", 400_000)] {
        both.points(&requests(host), counter(0, 8, step));
        both.points(&temperature(host), gauge(0, 8, step));
    }
    then_agrees!("in the head");
    both.given.flushed().await;
    then_agrees!("in a run");
    both.given.sealed().await;
    then_agrees!("sealed");
    let late =
        |hour: i64, ms: i64, value: f64| [(MIDNIGHT + hour * HOUR_MS + ms, value), (MIDNIGHT + hour * HOUR_MS, 1.0)];
    both.points(&requests("a"), late(3, 5, 77.0));
    both.points(&temperature("sparse"), late(4, 5, -3.0));
    then_agrees!("late points over sealed hours");
    both.given.flushed().await;
    both.given.archived().await;
    then_agrees!("archived, late points in runs");
    both.given.sealed().await;
    both.given.archived().await;
    then_agrees!("sealed and archived again");
    both.given.retained(only_cold()).await;
    then_agrees!("older hours only in Delta");
    both.points(&requests("b"), late(2, 1, 5.0));
    both.points(&temperature("a"), late(5, 3_599_999, 9.0));
    then_agrees!("late points over Delta");
    both.given.sealed().await;
    both.given.archived().await;
    then_agrees!("sealed into Delta");
    assert_eq!(stage, 9);
}

/// A native histogram of `n` observations in two buckets.
fn histogram(n: u32) -> Arc<Histogram> {
    let n = f64::from(n);
    let positive = Buckets { spans: vec![Span { offset: 1, length: 2 }], counts: vec![n, 2.0 * n] };
    Arc::new(Histogram { schema: 1, count: 3.0 * n, sum: 5.5 * n, positive, is_integer: true, ..Histogram::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_equal_the_model_through_all_tiers() {
    let mut both = Both::at(8).await;
    let whole = labels(&[("__name__", "latency"), ("host", "a")]);
    let became = labels(&[("__name__", "latency"), ("host", "became")]);
    both.points(&became, counter(0, 3, 30_000));
    let at = |i: u32| MIDNIGHT + i64::from(i) * 30_000;
    both.histograms(&whole, (0..960).map(|i| (at(i), histogram(if i < 500 { i } else { i - 400 }))));
    both.histograms(&became, (480..960).map(|i| (at(i), histogram(i))));
    let hours = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 8 * HOUR_MS, step: HOUR_MS };
    let beside = Grid::Range { start: MIDNIGHT + HOUR_MS + 7, end: MIDNIGHT + 8 * HOUR_MS, step: 17 * MINUTE_MS };
    for stage in ["in the head", "in a run", "sealed", "archived", "only in Delta"] {
        match stage {
            "in a run" => both.given.flushed().await,
            "sealed" => both.given.sealed().await,
            "archived" => both.given.archived().await,
            "only in Delta" => both.given.retained(only_cold()).await,
            _ => {}
        }
        for grid in [hours, beside, Grid::Instant(MIDNIGHT + 6 * HOUR_MS)] {
            for text in [
                "latency",
                "rate(latency[1h])",
                "increase(latency{host=\"a\"}[3h])",
                "count_over_time(latency[1h])",
                "last_over_time(latency[2h])",
                "sum_over_time(latency{host=\"a\"}[2h])",
                "histogram_quantile(0.9, rate(latency[10m]))",
                "histogram_count(latency)",
            ] {
                both.agrees(text, grid, stage).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_and_native_histograms_of_one_hour_are_answered_together() {
    let mut both = Both::at(4).await;
    let mixed = labels(&[("__name__", "latency")]);
    both.points(&mixed, counter(0, 1, 60_000).take(30));
    both.histograms(&mixed, (60..480).map(|i| (MIDNIGHT + i64::from(i) * 30_000, histogram(i))));
    both.given.sealed().await;
    let hours = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 4 * HOUR_MS, step: HOUR_MS };
    for text in ["count_over_time(latency[1h])", "last_over_time(latency[1h])", "rate(latency[1h])"] {
        both.agrees(text, hours, "sealed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_hours_are_read_from_rollups() {
    let mut both = Both::at(8).await;
    both.points(&requests("a"), counter(0, 8, 10_000));
    both.given.sealed().await;
    let whole = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 7 * HOUR_MS, step: HOUR_MS };
    for function in ["rate", "increase", "avg_over_time", "max_over_time", "resets", "last_over_time"] {
        let answer = both.agrees(&format!("{function}(requests_total[1h])"), whole, "sealed").await;
        assert_eq!((answer.provenance.points_read, answer.provenance.resolution), (0, "1h"), "{function}");
        assert!(answer.provenance.complete && answer.notes.is_empty(), "{function}");
    }
    let answer = both.agrees("deriv(requests_total[1h])", whole, "sealed").await;
    assert_eq!(answer.provenance.resolution, "raw");
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_hours_of_whole_metrics_are_decoded_once_until_they_are_sealed_again() {
    let mut both = Both::at(8).await;
    let hosts: Vec<String> = (0..20).map(|n| format!("h{n}")).collect();
    for (host, step) in hosts.iter().zip((60_000..).step_by(7_000)) {
        both.points(&requests(host), counter(0, 8, step));
        both.points(&temperature(host), gauge(0, 8, step));
    }
    both.given.sealed().await;
    let whole = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 7 * HOUR_MS, step: HOUR_MS };
    let all = "avg by (host, of) (avg_over_time({__name__=~\"requests_total|temperature\"}[1h]))";
    let read = |answer: &PromqlAnswer| (answer.provenance.points_read, answer.provenance.bytes_read);
    let first = both.agrees(all, whole, "decoded").await;
    assert!(read(&first).1 > 0);
    for function in ["sum_over_time", "increase", "min_over_time", "present_over_time"] {
        let text = format!("{function}({{__name__=~\"requests_total|temperature\",host=~\"h.*[0-8]\"}}[1h])");
        let answer = both.agrees(&text, whole, "kept").await;
        assert_eq!(read(&answer), (0, 0), "{function}");
    }
    let few = both.agrees("sum_over_time(requests_total{host=\"h3\"}[1h])", whole, "of one host").await;
    assert!(read(&few).1 > 0, "a few series are read by themselves");
    both.points(&requests("h3"), [(MIDNIGHT + 3 * HOUR_MS, 2.0), (MIDNIGHT + 3 * HOUR_MS + 30_001, 1_000.0)]);
    both.agrees(all, whole, "late points over a kept hour").await;
    both.given.sealed().await;
    let again = both.agrees(all, whole, "sealed again").await;
    assert!(read(&again).1 > 0 && read(&again).1 < read(&first).1, "one hour is decoded again");
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_chunks_stand_for_points_between_two_cuts() {
    let mut both = Both::at(26).await;
    both.points(&requests("a"), counter(0, 24, 10_000));
    both.given.sealed().await;
    let day = Grid::Instant(MIDNIGHT + 24 * HOUR_MS - 1_234_567);
    let answer = both.agrees("sum_over_time(requests_total[20h])", day, "sealed").await;
    assert!(
        answer.provenance.points_read <= 2 * 360,
        "of the two hours at the ends: {}",
        answer.provenance.points_read
    );
    let answer = both.agrees("stddev_over_time(requests_total[20h])", day, "sealed").await;
    assert!(answer.provenance.points_read >= 20 * 360);
}

#[tokio::test(flavor = "multi_thread")]
async fn dense_metrics_are_read_from_rows_of_minutes() {
    let mut both = Both::at(4).await;
    both.points(&requests("dense"), counter(0, 3, 500));
    both.given.sealed().await;
    let minutes = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 2 * HOUR_MS, step: MINUTE_MS };
    let answer = both.agrees("rate(requests_total[5m])", minutes, "sealed").await;
    assert_eq!((answer.provenance.points_read, answer.provenance.resolution), (0, "1m"));
    both.points(&requests("dense"), [(MIDNIGHT + HOUR_MS + 250, 3.0)]);
    both.agrees("rate(requests_total[5m])", minutes, "repaired").await;
    both.agrees("irate(requests_total[5m])", minutes, "repaired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_sample_is_looked_for_no_further_back_than_it_is() {
    let mut both = Both::at(26).await;
    both.points(&requests("a"), counter(0, 24, 10_000));
    both.points(&requests("gone"), counter(3, 4, 10_000));
    both.given.sealed().await;
    let now = Grid::Instant(MIDNIGHT + 24 * HOUR_MS);
    let answer = both.agrees("last_over_time(requests_total{host=\"a\"}[1d])", now, "sealed").await;
    assert_eq!(answer.provenance.hours_read, 1);
    let answer = both.agrees("last_over_time(requests_total[1d])", now, "sealed").await;
    assert_eq!(answer.provenance.hours_read, 21, "back to the hour in which the other series ended");
    both.agrees("requests_total", now, "sealed").await;
    let days = Grid::Range { start: MIDNIGHT + 5 * HOUR_MS, end: MIDNIGHT + 23 * HOUR_MS, step: 6 * HOUR_MS };
    let answer = both.agrees("requests_total", days, "sealed").await;
    assert_eq!(answer.provenance.hours_read, 8, "four windows over the edge of an hour");
}
