//! What the REST range interface promises, one fact a test.

use std::time::Duration;

use query::{Agg, Fill, Granularity, QueryError, QueryLimits, RangeRequest};
use runtime::CpuPool;
use schemas::tier_map::Tier;
use schemas::time::MINUTE_MS;
use schemas::{DurationMs, Labels, Retention};
use tokio::task::JoinSet;

use crate::given::{Given, MIDNIGHT, hours, labels, metric, range};

/// The last second of the year 9999.
const YEAR_9999_ENDS: i64 = 253_402_300_799_000;

fn cpu(host: &str) -> Labels {
    labels(&[("__name__", "cpu"), ("server_id", host), ("env", "production")])
}

/// A point every `step_ms` in `[from, to)` hours, rising by one.
fn rising(from: i64, to: i64, step_ms: i64) -> impl Iterator<Item = (i64, f64)> {
    let span = hours(from, to);
    (0_i32..)
        .map(f64::from)
        .zip(0..)
        .map(move |(value, i)| (span.start().0 + i * step_ms, value))
        .take_while(move |(ts, _)| *ts < span.end().0)
}

fn asked(granularity: Granularity, agg: Agg) -> RangeRequest {
    let mut request = RangeRequest::new(metric("cpu"), hours(0, 2));
    (request.granularity, request.agg) = (granularity, agg);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_series_is_an_empty_answer() {
    let given = Given::empty_at(3).await;
    let answer = given.ask(asked(Granularity::Auto, Agg::Avg)).await.expect("answers");
    assert!(answer.series.is_empty() && answer.provenance.complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resolution_of_an_unknown_series_is_that_of_a_series_without_points() {
    let given = Given::empty_at(60).await;
    let mut request = RangeRequest::new(metric("nothing"), hours(0, 1));
    let resolution =
        async |request: &RangeRequest| given.ask(request.clone()).await.expect("answers").provenance.resolution;
    assert_eq!(resolution(&request).await, "raw", "no point is more than 1,500");
    request.merge_all = true;
    assert_eq!(resolution(&request).await, "raw");
    request.agg = Agg::Rate;
    assert_eq!(resolution(&request).await, "1m");
    request.range = hours(0, 26);
    assert_eq!(resolution(&request).await, "1h");
    request.granularity = Granularity::Day;
    assert_eq!(resolution(&request).await, "1d");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_to_the_end_of_time_looks_only_where_data_is() {
    let mut given = Given::empty_at(60).await;
    given.points(&cpu("a"), rising(0, 2, 10_000));
    looks_at_two_hours(&given, "in the head").await;
    given.sealed().await;
    looks_at_two_hours(&given, "sealed").await;
    given.archived().await;
    let hour = DurationMs::HOUR;
    let retention = Retention { hot_raw: hour, warm_rollup_1m: hour, warm_rollup_1h: hour, ..Retention::default() };
    given.retained(retention).await;
    looks_at_two_hours(&given, "only in Delta").await;
    given.points(&cpu("a"), [(MIDNIGHT + 7, 7.0)]);
    looks_at_two_hours(&given, "with a late point over Delta").await;
}

async fn looks_at_two_hours(given: &Given, when: &str) {
    use Granularity::{Auto, Day, Hour, Minute, Raw};
    for (granularity, like) in [(Raw, Raw), (Minute, Minute), (Hour, Hour), (Day, Day), (Auto, Day)] {
        for agg in [Agg::Sum, Agg::Quantile(0.5)] {
            let mut request = asked(like, agg);
            request.range = hours(0, 24);
            let near = given.ask(request.clone()).await.expect("answers");
            request.granularity = granularity;
            request.range = range(0, YEAR_9999_ENDS);
            let answer = given.ask(request).await.expect("answers");
            assert_eq!(answer.series, near.series, "{when}: {granularity}");
            assert!(!answer.series[0].points.is_empty(), "{when}: {granularity}");
            assert_eq!(answer.provenance.hours_read, 2, "{when}: {granularity}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grid_to_the_end_of_time_is_filled_or_refused() {
    let mut given = Given::empty_at(60).await;
    given.points(&cpu("a"), rising(0, 2, 10_000));
    let mut request = asked(Granularity::Day, Agg::Max);
    (request.range, request.fill) = (range(0, YEAR_9999_ENDS), Fill::Null);
    let days = given.ask(request.clone()).await.expect("answers");
    assert_eq!(days.series[0].points.len(), 2_932_897, "a day each, 1970 to 9999");
    for granularity in [Granularity::Minute, Granularity::Hour] {
        request.granularity = granularity;
        let refused = given.ask(request.clone()).await.expect_err("too many buckets");
        assert!(matches!(&refused, QueryError::TooLarge(text) if text.contains("granularity=1h")), "{refused}");
    }
    request.granularity = Granularity::Day;
    let engine = given.engine_with(QueryLimits { memory_bytes: 32 << 20, ..QueryLimits::default() });
    let refused = engine.range(request).await.expect_err("70 MB of days");
    assert!(matches!(&refused, QueryError::TooLarge(text) if text.contains("limits.query_memory")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_points_of_several_series_are_refused_with_the_labels_that_differ() {
    let mut given = Given::empty_at(3).await;
    for disk in ["sda", "sdb"] {
        given.points(&labels(&[("__name__", "cpu"), ("server_id", "a"), ("disk", disk)]), rising(0, 1, 60_000));
    }
    let mut request = asked(Granularity::Raw, Agg::Avg);
    request.merge_all = true;
    let refused = given.ask(request.clone()).await.expect_err("two series");
    let QueryError::Impossible { detail, errors } = refused else { panic!("{refused:?}") };
    assert!(detail.starts_with("2 series match"), "{detail}");
    assert_eq!(errors, ["label disk: sda, sdb"]);
    request.granularity = Granularity::Minute;
    request.agg = Agg::Sum;
    let merged = given.ask(request).await.expect("merges");
    assert_eq!(merged.series.len(), 1);
    assert_eq!(merged.series[0].points[7], (MIDNIGHT + 7 * MINUTE_MS, Some(14.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn granularity_by_itself_is_the_finest_that_fits() {
    let mut given = Given::empty_at(60).await;
    given.points(&cpu("a"), rising(0, 2, 10_000));
    let mut request = RangeRequest::new(metric("cpu"), hours(0, 2));
    let resolution =
        async |request: &RangeRequest| given.ask(request.clone()).await.expect("answers").provenance.resolution;
    assert_eq!(resolution(&request).await, "raw", "720 points");
    request.max_points = 719;
    assert_eq!(resolution(&request).await, "1m");
    request.max_points = 100;
    assert_eq!(resolution(&request).await, "1h");
    request.max_points = 1;
    assert_eq!(resolution(&request).await, "1d");
    request.max_points = 1_500;
    request.agg = Agg::Rate;
    assert_eq!(resolution(&request).await, "1m", "a point has no rate");
    request.agg = Agg::Avg;
    request.fill = Fill::Null;
    assert_eq!(resolution(&request).await, "1m", "points have no gaps to fill");
    request.fill = Fill::None;
    request.range = hours(0, 26);
    assert_eq!(resolution(&request).await, "1h", "1,560 minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_filled_as_asked() {
    let mut given = Given::empty_at(3).await;
    let minute = |m: i64| MIDNIGHT + m * MINUTE_MS;
    given.points(&cpu("a"), [(minute(1), 1.0), (minute(3), 3.0)]);
    let mut request = asked(Granularity::Minute, Agg::Avg);
    request.range = range(minute(0), minute(5));
    let mut filled = async |fill: Fill| {
        request.fill = fill;
        let answer = given.ask(request.clone()).await.expect("answers");
        answer.series[0].points.iter().map(|(_, value)| *value).collect::<Vec<_>>()
    };
    assert_eq!(filled(Fill::None).await, [Some(1.0), Some(3.0)]);
    assert_eq!(filled(Fill::Null).await, [None, Some(1.0), None, Some(3.0), None]);
    assert_eq!(filled(Fill::Previous).await, [None, Some(1.0), Some(1.0), Some(3.0), Some(3.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_keeps_the_first_series_by_name_and_counts_the_others() {
    let mut given = Given::empty_at(3).await;
    for host in ["c", "a", "b"] {
        given.points(&cpu(host), [(MIDNIGHT, 1.0)]);
    }
    let mut request = asked(Granularity::Raw, Agg::Avg);
    request.limit = Some(2);
    let answer = given.ask(request).await.expect("answers");
    let hosts: Vec<&str> = answer.series.iter().map(|series| series.labels[1].1.as_str()).collect();
    assert_eq!((hosts, answer.truncated), (vec!["a", "b"], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_dropped_is_answered_by_coarser_data_and_flagged() {
    let mut given = Given::empty_at(30).await;
    given.points(&cpu("a"), rising(0, 3, 10_000));
    given.points(&cpu("a"), rising(26, 28, 10_000));
    given.sealed().await;
    given.archived().await;
    let hour = DurationMs::HOUR;
    let mut retention = Retention { hot_raw: hour, warm_rollup_1m: hour, warm_rollup_1h: hour, ..Retention::default() };
    retention.cold_raw = hour;
    given.retained(retention).await;
    let mut request = asked(Granularity::Raw, Agg::Avg);
    request.range = hours(0, 3);
    let answer = given.ask(request.clone()).await.expect("answers");
    let provenance = &answer.provenance;
    assert_eq!((provenance.resolution, provenance.complete), ("1m", false));
    assert_eq!(provenance.tiers, [Tier::Cold]);
    assert!(provenance.object_store_gets > 0);
    assert_eq!(answer.series[0].points.len(), 180);
    assert_eq!(answer.series[0].points[0], (MIDNIGHT, Some(2.5)), "the average of 0, 1, …, 5");
    let minutes = Retention { cold_rollup_1m: hour, ..retention };
    given.retained(minutes).await;
    let answer = given.ask(request.clone()).await.expect("answers");
    assert_eq!((answer.provenance.resolution, answer.provenance.complete), ("1h", false));
    assert_eq!(answer.series[0].points.len(), 3);
    // A partition of 1-hour rollups holds a month, and goes as a whole.
    given.clock.set(MIDNIGHT + 31 * DurationMs::DAY.0);
    given.retained(Retention { cold_rollup_1h: hour, ..minutes }).await;
    let answer = given.ask(request).await.expect("answers");
    assert!(!answer.provenance.complete, "nothing is left, and that is said");
    assert!(answer.provenance.segments.iter().any(|segment| segment.tier.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_points_of_one_metric_leave_the_others_of_an_hour_in_delta() {
    let mut given = Given::empty_at(6).await;
    given.points(&cpu("a"), rising(0, 1, 10_000));
    given.points(&labels(&[("__name__", "mem"), ("server_id", "a")]), rising(0, 1, 10_000));
    given.sealed().await;
    given.archived().await;
    let hour = DurationMs::HOUR;
    given
        .retained(Retention { hot_raw: hour, warm_rollup_1m: hour, warm_rollup_1h: hour, ..Retention::default() })
        .await;
    given.points(&labels(&[("__name__", "mem"), ("server_id", "a")]), [(MIDNIGHT + 1, 7.0)]);
    given.sealed().await;
    for (name, points) in [("mem", 361), ("cpu", 360)] {
        let answer = given.agrees(&kit::Question::raw(metric(name), hours(0, 1)), "sealed into Delta").await;
        assert_eq!(answer.series[0].points.len(), points);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_given_up() {
    let mut given = Given::empty_at(3).await;
    given.points(&cpu("a"), rising(0, 1, 10_000));
    let pool = CpuPool::new("busy", 1, 8);
    let (release, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let mut busy = JoinSet::new();
    busy.spawn({
        let pool = pool.clone();
        async move { pool.run(move || wait.recv()).await }
    });
    while pool.running() == 0 {
        tokio::task::yield_now().await;
    }
    let engine = given.engine_on(pool, QueryLimits { timeout: Duration::from_millis(5), ..QueryLimits::default() });
    let error = engine.range(asked(Granularity::Minute, Agg::Avg)).await.expect_err("the only thread is taken");
    assert!(matches!(error, QueryError::Timeout { limit_ms: 5 }) && error.is_retryable(), "{error:?}");
    release.send(()).expect("it waits");
    busy.join_next().await.expect("one job").expect("no panic").expect("released");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_an_answer_names_its_tier() {
    let mut given = Given::empty_at(6).await;
    given.points(&cpu("a"), rising(0, 5, 10_000));
    given.sealed().await;
    given.archived().await;
    let retention = Retention {
        hot_raw: DurationMs::hours(2),
        warm_rollup_1m: DurationMs::hours(4),
        warm_rollup_1h: DurationMs::hours(4),
        ..Retention::default()
    };
    given.retained(retention).await;
    given.points(&cpu("a"), rising(5, 6, 10_000));
    let mut request = asked(Granularity::Minute, Agg::Max);
    request.range = hours(0, 6);
    let provenance = given.ask(request).await.expect("answers").provenance;
    let told: Vec<_> = provenance.segments.iter().map(|s| (s.tier, (s.end.0 - s.start.0) / 3_600_000)).collect();
    assert_eq!(told, [(Some(Tier::Cold), 2), (Some(Tier::Warm), 2), (Some(Tier::Hot), 2)]);
    assert_eq!(provenance.tiers, [Tier::Hot, Tier::Warm, Tier::Cold]);
    assert!(provenance.complete && provenance.points_read > 0 && provenance.bytes_read > 0);
    assert_eq!(provenance.resolution, "1m");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_a_quantile_is_stated_and_exact_ones_have_none() {
    let mut given = Given::empty_at(3).await;
    given.points(&cpu("a"), rising(0, 1, 10_000).map(|(ts, value)| (ts, value + 1.0)));
    let error =
        async |granularity, agg| given.ask(asked(granularity, agg)).await.expect("answers").provenance.quantile_error;
    assert_eq!(error(Granularity::Hour, Agg::Avg).await, None);
    assert_eq!(error(Granularity::Minute, Agg::Quantile(0.99)).await, None, "six points: the maximum");
    let stated = error(Granularity::Hour, Agg::Quantile(0.5)).await.expect("from a sketch");
    assert!((0.0..0.03).contains(&stated), "{stated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn staleness_markers_are_not_values() {
    let mut given = Given::empty_at(3).await;
    given.points(&cpu("a"), [(MIDNIGHT, 1.0), (MIDNIGHT + 1_000, schemas::points::stale())]);
    let answer = given.ask(asked(Granularity::Raw, Agg::Avg)).await.expect("answers");
    assert_eq!(answer.series[0].points, [(MIDNIGHT, Some(1.0))]);
    let counted = given.ask(asked(Granularity::Minute, Agg::Count)).await.expect("answers");
    assert_eq!(counted.series[0].points, [(MIDNIGHT, Some(1.0))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_limit_the_answer_says_what_would_be_possible() {
    let mut given = Given::empty_at(3).await;
    for host in ["a", "b", "c"] {
        given.points(&cpu(host), rising(0, 2, 1_000));
    }
    let refused = async |limits: QueryLimits, granularity| {
        let engine = given.engine_with(limits);
        engine.range(asked(granularity, Agg::Avg)).await.expect_err("refused")
    };
    let few_points = QueryLimits { points_max: 1_000, ..QueryLimits::default() };
    let error = refused(few_points, Granularity::Raw).await;
    assert!(matches!(&error, QueryError::TooLarge(text) if text.contains("granularity=1h")), "{error}");
    let little_memory = QueryLimits { memory_bytes: 10_000, ..QueryLimits::default() };
    let error = refused(little_memory, Granularity::Minute).await;
    assert!(matches!(&error, QueryError::TooLarge(text) if text.contains("limits.query_memory")), "{error}");
    let few_series = QueryLimits { series_max: 2, ..QueryLimits::default() };
    let error = refused(few_series, Granularity::Minute).await;
    assert!(matches!(&error, QueryError::TooLarge(text) if text.contains("3 series match")), "{error}");
    let nobody = QueryLimits { concurrent_max: 0, ..QueryLimits::default() };
    assert!(matches!(refused(nobody, Granularity::Raw).await, QueryError::Overloaded));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_without_meaning_are_refused() {
    let mut given = Given::empty_at(3).await;
    given.points(&cpu("a"), rising(0, 1, 60_000));
    let mut filled = asked(Granularity::Raw, Agg::Avg);
    filled.fill = Fill::Null;
    assert!(matches!(given.ask(filled).await, Err(QueryError::Impossible { .. })));
    let mut grouped = asked(Granularity::Raw, Agg::Avg);
    grouped.group_by = Some(vec!["env".to_owned()]);
    assert!(matches!(given.ask(grouped).await, Err(QueryError::Impossible { .. })));
    let mut by_name = asked(Granularity::Minute, Agg::Avg);
    by_name.group_by = Some(vec!["__name__".to_owned()]);
    assert!(matches!(given.ask(by_name).await, Err(QueryError::BadRequest(_))));
    let nothing = RangeRequest::new(vec![], hours(0, 1));
    assert!(matches!(given.ask(nothing).await, Err(QueryError::BadRequest(_))));
}
