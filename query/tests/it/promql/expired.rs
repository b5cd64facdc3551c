//! Data of which raw points are kept nowhere any more.

use promql::column::Value;
use promql::eval::{Grid, QueryValue};
use promql::notes::Level;
use query::{PromqlAnswer, PromqlRequest, QueryError};
use schemas::Retention;
use schemas::time::{HOUR_MS, MINUTE_MS};

use super::both::{Both, HOUR, Samples, assert_same, counter, requests, same, samples};
use crate::given::MIDNIGHT;

/// Points of a first day whose raw points, and then rows of minutes, are dropped everywhere.
async fn with_expired_points() -> Both {
    let mut both = Both::at(30).await;
    for span in [0..3, 24..29] {
        both.points(&requests("a"), counter(span.start, span.end, 10_000));
    }
    both.points(&requests("young"), counter(26, 29, 10_000));
    both.given.sealed().await;
    both.given.archived().await;
    both.given
        .retained(Retention { cold_raw: HOUR, hot_raw: HOUR, warm_rollup_1m: HOUR, ..Retention::default() })
        .await;
    both
}

#[tokio::test(flavor = "multi_thread")]
async fn where_raw_points_are_gone_rollups_answer_exactly_if_windows_fit() {
    let both = with_expired_points().await;
    for (text, step) in [("rate(requests_total[5m])", MINUTE_MS), ("sum_over_time(requests_total[1h])", HOUR_MS)] {
        let grid = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 27 * HOUR_MS, step };
        let answer = both.agrees(text, grid, "expired").await;
        assert!(answer.notes.is_empty() && answer.provenance.complete, "{text}: {:?}", answer.notes);
    }
}

/// The only float of an answer that is one sample.
fn only_float(value: QueryValue) -> f64 {
    let all: Vec<Value> = samples(value).into_values().collect();
    let [Value::Float(value)] = all[..] else { panic!("{all:?}") };
    value
}

fn infos(answer: &PromqlAnswer) -> Vec<&str> {
    answer.notes.iter().filter(|note| note.level == Level::Info).map(|note| note.text.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_raw_points_are_gone_the_nearest_answer_is_given_and_said() {
    let both = with_expired_points().await;
    let hour = MIDNIGHT + HOUR_MS;
    for (text, near, at) in [
        // The newest sample of the last minute whose newest sample is not later.
        ("requests_total{host=\"a\"}", "requests_total{host=\"a\"}", hour - 1),
        ("max_over_time(requests_total{host=\"a\"}[7m])", "max_over_time(requests_total{host=\"a\"}[7m])", hour),
        ("rate(requests_total{host=\"a\"}[90s])", "rate(requests_total{host=\"a\"}[2m])", hour),
        ("increase(requests_total{host=\"a\"}[90s])", "increase(requests_total{host=\"a\"}[2m]) * 0.75", hour),
    ] {
        let answer = both.ask(text, Grid::Instant(hour + 31_000)).await;
        let infos = infos(&answer);
        assert!(infos.len() == 1 && infos[0].contains("rollups of 1m answered"), "{text}: {infos:?}");
        assert_eq!((answer.provenance.complete, answer.provenance.resolution), (false, "1m"), "{text}");
        let expected = both.expected(near, Grid::Instant(at)).into_values().next().expect("a sample");
        let got = only_float(answer.value);
        assert!(same(&Value::Float(got), &expected), "{text}: got {got}, not {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_raw_points_are_gone_quantiles_are_those_of_sketches() {
    let both = with_expired_points().await;
    let text = "quantile_over_time(0.5, requests_total{host=\"a\"}[30m])";
    let at = Grid::Instant(MIDNIGHT + HOUR_MS);
    let answer = both.ask(text, at).await;
    assert!(answer.provenance.quantile_error.is_some_and(|error| error > 0.0 && error < 0.022));
    // Rows of minutes with so few samples have no sketches in Delta: an hour is the next.
    assert!(infos(&answer)[0].contains("whole buckets of 1h, whose quantiles are right to"), "{:?}", answer.notes);
    let Some(Value::Float(exact)) = both.expected(&text.replace("30m", "1h"), at).into_values().next() else {
        panic!("a sample")
    };
    let got = only_float(answer.value);
    assert!((got / exact - 1.0).abs() < 0.03, "got {got}, not {exact}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_hours_are_left_what_they_cannot_tell_is_refused() {
    let both = with_expired_points().await;
    let hours_only =
        Retention { cold_raw: HOUR, hot_raw: HOUR, warm_rollup_1m: HOUR, cold_rollup_1m: HOUR, ..Retention::default() };
    both.given.retained(hours_only).await;
    let at = Grid::Instant(MIDNIGHT + 2 * HOUR_MS + 1);
    let refused = both.given.engine.promql(PromqlRequest::new("sum_over_time(requests_total[5m])", at)).await;
    let Err(QueryError::Impossible { detail, .. }) = refused else { panic!("{refused:?}") };
    assert!(detail.contains("use a range that is a multiple of 1h"), "{detail}");
    let newest = both.ask("requests_total", at).await;
    assert!(infos(&newest)[0].contains("rollups of 1h answered"), "{:?}", newest.notes);
    let expected = both.expected("requests_total", Grid::Instant(MIDNIGHT + 2 * HOUR_MS - 1)).into_values().next();
    assert_eq!(Some(Value::Float(only_float(newest.value))), expected);
    let whole = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 3 * HOUR_MS, step: HOUR_MS };
    both.agrees("rate(requests_total[1h])", whole, "only hours are left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_raw_points_could_answer_is_refused_with_the_time_from_which_they_are_kept() {
    let both = with_expired_points().await;
    let grid = Grid::Range { start: MIDNIGHT + HOUR_MS, end: MIDNIGHT + 27 * HOUR_MS, step: HOUR_MS };
    for text in ["deriv(requests_total[1h])", "stddev_over_time(requests_total[1h])"] {
        let refused = both.given.engine.promql(PromqlRequest::new(text, grid)).await.expect_err("no raw points");
        let QueryError::Impossible { detail, .. } = refused else { panic!("{refused:?}") };
        assert!(detail.contains("needs raw samples, which are kept from 2026-03-03T"), "{detail}");
    }
    both.agrees("deriv(requests_total{host=\"young\"}[1h])", grid, "a series without older data").await;
    let later = Grid::Range { start: MIDNIGHT + 27 * HOUR_MS, end: MIDNIGHT + 29 * HOUR_MS, step: HOUR_MS };
    both.agrees("deriv(requests_total[1h])", later, "windows that raw points cover").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_raw_points_cover_are_exact_though_older_ones_are_not() {
    let both = with_expired_points().await;
    let text = "max_over_time(requests_total{host=\"a\"}[7m])";
    let grid = Grid::Range { start: MIDNIGHT + HOUR_MS + 31_000, end: MIDNIGHT + 28 * HOUR_MS, step: HOUR_MS };
    let answer = both.ask(text, grid).await;
    assert_eq!(infos(&answer).len(), 1, "{:?}", answer.notes);
    let is_covered = |(_, at): &(Vec<(String, String)>, i64)| *at > MIDNIGHT + 24 * HOUR_MS + 7 * MINUTE_MS;
    let (mut newer, mut older) = (samples(answer.value), Samples::new());
    newer.retain(|key, value| is_covered(key) || older.insert(key.clone(), value.clone()).is_some());
    let mut expected = both.expected(text, grid);
    expected.retain(|key, _| is_covered(key));
    assert_same(&newer, &expected, || text.to_owned());
    assert_eq!((newer.len(), older.len()), (3, 4), "from 25:00:31 to 27:00:31, from 1:00:31 to 3:00:31, and 24:00:31");
}
