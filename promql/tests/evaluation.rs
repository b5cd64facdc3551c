//! How expressions are evaluated: what storages are asked for, what is held, in which order blocks are put together.
//! Values are tested in Prometheus' own files (`tests/promql`).

mod given;

use std::sync::atomic::{AtomicUsize, Ordering};

use given::{answer, counters, shown};
use schemas::Labels;
use thermocline_promql::ParseOptions;
use thermocline_promql::ast::Edges;
use thermocline_promql::column::{Column, Value};
use thermocline_promql::eval::{EvalError, Evaluated, Grid, NeverStop, Options, QueryValue, Stop, evaluate};
use thermocline_promql::histogram::Subject;
use thermocline_promql::memory::MemoryStorage;
use thermocline_promql::range::{self, Args, RangeCall};
use thermocline_promql::storage::{Selection, SeriesData, SeriesSet, Sink, Storage, StorageError, Wanted};

const HOUR: Grid = Grid::Range { start: 600_000, end: 4_200_000, step: 60_000 };

fn ask(storage: &dyn Storage, text: &str, grid: Grid, options: &Options) -> Result<Evaluated, EvalError> {
    let expr = thermocline_promql::parse_expr(text, ParseOptions::ALL).expect("parses");
    evaluate(storage, &expr, text, grid, options, &NeverStop)
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let storage = counters(700);
    for text in [
        "sum by (region) (rate(requests_total[5m]))",
        "avg(requests_total)",
        "stddev by (region) (requests_total)",
        "topk(3, requests_total)",
        "bottomk by (region) (2, rate(requests_total[5m]))",
        "max_over_time(sum(rate(requests_total[5m]))[10m:1m])",
        "quantile(0.3, requests_total)",
        "rate(requests_total[5m]) / on (host) requests_total",
    ] {
        let one = ask(&storage, text, HOUR, &Options::default()).expect("an answer");
        for threads in [2, 5] {
            let more = ask(&storage, text, HOUR, &Options { threads, ..Options::default() }).expect("an answer");
            assert_eq!(shown(&one.value), shown(&more.value), "{text} with {threads} threads");
        }
    }
}

#[test]
fn starts_of_counters_are_heeded_where_that_is_asked_for() {
    let (mut storage, labels) = (MemoryStorage::new(), given::labels("requests_total", 1));
    *storage.points_mut(&labels) = schemas::Points::new(vec![60_000, 120_000], vec![5.0, 6.0]);
    storage.starts_mut(&labels).set(120_000, 90_000);
    let of = |text: &str, start_timestamps: bool| {
        let options = Options { start_timestamps, ..Options::default() };
        let QueryValue::Vector(samples) = ask(&storage, text, Grid::Instant(120_000), &options).expect("valid").value
        else {
            panic!("a vector")
        };
        samples.first().map(|(_, _, value)| value.clone())
    };
    for (text, heeded, otherwise) in [
        ("irate(requests_total[5m])", Some(6.0 / 60.0), Some(1.0 / 60.0)),
        ("resets(requests_total[5m])", Some(1.0), Some(0.0)),
        ("start_timestamp(requests_total)", Some(90.0), None),
        ("start_timestamp(requests_total offset 1m)", Some(0.0), None),
        ("start_timestamp(-requests_total)", None, None),
    ] {
        assert_eq!(of(text, true), heeded.map(Value::Float), "{text}");
        assert_eq!(of(text, false), otherwise.map(Value::Float), "{text}");
    }
}

#[test]
fn strings_that_are_not_utf_8_name_no_label_and_are_refused_elsewhere() {
    let refused =
        |text: &str| ask(&counters(1), text, Grid::Instant(600_000), &Options::default()).expect_err(text).to_string();
    let name = r#""a\xc5z""#;
    assert_eq!(refused(&format!("count_values({name}, requests_total)")), format!("invalid label name {name}"));
    assert_eq!(
        refused(&format!("label_replace(requests_total, {name}, '', 'host', '.*')")),
        "invalid destination label name in label_replace(): a\u{fffd}z"
    );
    assert_eq!(
        refused(&format!("label_join(requests_total, 'x', '', {name})")),
        "invalid source label name in label_join(): a\u{fffd}z"
    );
    assert_eq!(
        refused(&format!("label_replace(requests_total, 'x', {name}, 'host', '.*')")),
        format!("invalid UTF-8 in string {name}")
    );
    assert_eq!(refused(name), format!("invalid UTF-8 in string {name}"));
}

#[test]
fn more_samples_than_allowed_are_an_error_with_the_text_of_prometheus() {
    let options = Options { max_samples: 1_000, ..Options::default() };
    let error = ask(&counters(100), "requests_total + 1", HOUR, &options).expect_err("too many");
    let text = "query processing would load too many samples into memory in query execution";
    assert_eq!(error.to_string(), text);
    let long = ask(&counters(1), "max_over_time(requests_total[10y:1ms])", HOUR, &options).expect_err("too many");
    assert_eq!(long.to_string(), text);
}

#[test]
fn an_aggregation_holds_groups_and_not_series() {
    let options = Options { max_samples: 2_000, ..Options::default() };
    let evaluated = ask(&counters(500), "sum by (region) (rate(requests_total[5m]))", HOUR, &options);
    let evaluated = evaluated.expect("fits");
    assert!(evaluated.peak_samples <= 2_000, "{}", evaluated.peak_samples);
    assert!(evaluated.samples > 100_000, "{}", evaluated.samples);
}

#[test]
fn memory_is_bounded_too() {
    let options = Options { memory_bytes: 10_000, ..Options::default() };
    let error = ask(&counters(100), "requests_total", HOUR, &options).expect_err("too much");
    assert!(matches!(error, EvalError::TooMuchMemory { limit: 10_000 }), "{error}");
}

/// Stops when it is asked for the n-th time.
struct StopAt {
    asked: AtomicUsize,
    last: usize,
}

impl Stop for StopAt {
    fn check(&self) -> Result<(), EvalError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.last { Err(EvalError::TimedOut) } else { Ok(()) }
    }
}

#[test]
fn evaluation_stops_between_two_series() {
    let text = "sum(rate(requests_total[5m]))";
    let expr = thermocline_promql::parse_expr(text, ParseOptions::ALL).expect("parses");
    for threads in [1, 3] {
        let stop = StopAt { asked: AtomicUsize::new(0), last: 40 };
        let options = Options { threads, ..Options::default() };
        let error = evaluate(&counters(400), &expr, text, HOUR, &options, &stop).expect_err("stopped");
        assert_eq!(error.to_string(), "query timed out in expression evaluation");
        assert!(stop.asked.load(Ordering::Relaxed) < 60);
    }
}

/// Notes what it is asked for, and answers with columns wherever it may.
#[derive(Default)]
struct Columns {
    points: MemoryStorage,
    asked: std::sync::Mutex<Vec<Selection>>,
}

struct ColumnSet<'a> {
    inner: Box<dyn SeriesSet + 'a>,
    selection: Selection,
}

impl Storage for Columns {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, StorageError> {
        self.asked.lock().expect("no panic before").push(selection.clone());
        Ok(Box::new(ColumnSet { inner: self.points.select(selection)?, selection: selection.clone() }))
    }
}

impl SeriesSet for ColumnSet<'_> {
    fn labels(&self) -> &[Labels] {
        self.inner.labels()
    }

    fn read(&self, series: std::ops::Range<usize>, sink: Sink<'_>) -> Result<(), StorageError> {
        self.inner.read(series, &mut |at, data| {
            let SeriesData::Points(points) = data else { panic!("the storage in memory has points") };
            let windows = self.selection.windows;
            let mut column = Column::empty(windows.count);
            match &self.selection.wanted {
                Wanted::Points => return sink(at, SeriesData::Points(points)),
                Wanted::Last => range::last(points, &windows, &mut column),
                Wanted::Function { function, args } => {
                    let args = Args::constants(args);
                    let subject = Subject { metric: "", span: thermocline_promql::Span::new(0, 0) };
                    let steps = (windows.first_end, windows.step);
                    let (function, edges) = (*function, Edges::Plain);
                    let call = RangeCall { function, args: &args, edges, lookback: 0, steps, subject };
                    let mut notes = thermocline_promql::notes::Notes::default();
                    range::evaluate(&call, points, &windows, &mut column, &mut notes).expect("valid arguments");
                }
            }
            sink(at, SeriesData::Column(column))
        })
    }
}

#[test]
fn a_storage_may_answer_with_values_in_the_place_of_points() {
    let columns = Columns { points: counters(20), ..Columns::default() };
    for text in [
        "requests_total",
        "rate(requests_total[5m] offset 1m)",
        "sum(max_over_time(requests_total[7m] @ 2000))",
        "quantile_over_time(0.7, requests_total[5m])",
        "absent_over_time(requests_total{host=\"none\"}[5m])",
        "predict_linear(requests_total[10m] offset 2m, 3600)",
        "timestamp(requests_total)",
    ] {
        let from_points = ask(&columns.points, text, HOUR, &Options::default()).expect("an answer");
        let from_values = ask(&columns, text, HOUR, &Options::default()).expect("an answer");
        assert_eq!(shown(&from_points.value), shown(&from_values.value), "{text}");
    }
    let wanted: Vec<Wanted> =
        columns.asked.lock().expect("no panic before").iter().map(|asked| asked.wanted.clone()).collect();
    assert_eq!(wanted[0], Wanted::Last);
    assert_eq!(wanted.iter().filter(|wanted| matches!(wanted, Wanted::Function { .. })).count(), 4, "{wanted:?}");
    assert_eq!(wanted[5..], [Wanted::Points, Wanted::Points], "these need times of steps and of points");
}

#[test]
fn what_is_the_same_at_all_steps_is_read_for_one() {
    let columns = Columns { points: counters(3), ..Columns::default() };
    let text = "requests_total / on (host) sum by (host) (rate(requests_total[5m] @ end()))";
    ask(&columns, text, HOUR, &Options::default()).expect("an answer");
    let asked = columns.asked.into_inner().expect("no panic before");
    let counts: Vec<usize> = asked.iter().map(|selection| selection.windows.count).collect();
    assert_eq!(counts, [61, 1]);
    assert_eq!(asked[1].windows.first_end, 4_200_000);
}

#[test]
fn without_delay_names_go_at_once_and_series_that_become_the_same_are_an_error() {
    let at_once = Options { delayed_name_removal: false, ..Options::default() };
    let mut storage = counters(2);
    for host in 0..2 {
        let labels = given::labels("other_total", host);
        *storage.points_mut(&labels) = given::rising(10.0);
    }
    let both = "rate({__name__=~\".+_total\"}[5m])";
    let error = ask(&storage, both, Grid::Instant(3_600_000), &at_once).expect_err("two series a host");
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
    let by_name = format!("count by (__name__) ({both})");
    let delayed = ask(&storage, &by_name, Grid::Instant(3_600_000), &Options::default());
    assert_eq!(delayed.expect_err("no names left").to_string(), error.to_string());
    let kept = format!("count by (__name__) (label_replace({both}, \"__name__\", \"$1\", \"__name__\", \"(.*)\"))");
    let QueryValue::Vector(kept) = answer(&storage, &kept, 3_600_000) else { panic!("a vector") };
    let names: Vec<&str> = kept.iter().map(|(labels, ..)| labels.metric()).collect();
    assert_eq!(names, ["other_total", "requests_total"]);
}

#[test]
fn subqueries_look_at_multiples_of_their_step() {
    let storage = counters(1);
    let grid = Grid::Instant(3_601_500);
    let value = ask(&storage, "requests_total[3m:1m]", grid, &Options::default()).expect("an answer").value;
    let QueryValue::Matrix(series) = value else { panic!("a matrix") };
    assert_eq!(*series[0].timestamps, [3_480_000, 3_540_000, 3_600_000]);
}

#[test]
fn strings_and_ranges_of_range_vectors_are_refused() {
    let error = ask(&counters(1), "requests_total[5m]", HOUR, &Options::default()).expect_err("no vector");
    let text = "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, EvalError::Invalid(_)));
}

#[test]
fn what_changes_no_label_and_leaves_no_series_out_changes_nothing() {
    let storage = counters(300);
    let shown_of = |text: &str| shown(&ask(&storage, text, HOUR, &Options::default()).expect("an answer").value);
    let plain = shown_of("requests_total");
    for text in [
        "label_join(requests_total, \"__name__\", \"\", \"__name__\")",
        "label_replace(requests_total, \"host\", \"$1\", \"host\", \"(.*)\")",
        "label_replace(requests_total, \"host\", \"other\", \"host\", \"none\")",
        "topk by (host) (1, requests_total)",
        "sum by (__name__, host, region) (requests_total)",
    ] {
        assert_eq!(shown_of(text), plain, "{text}");
    }
}

#[test]
fn one_series_that_becomes_as_another_is_an_error() {
    let text = "label_replace(requests_total, \"host\", \"h0007\", \"host\", \"h0000\")";
    let error = ask(&counters(8), text, HOUR, &Options::default()).expect_err("two series of a host");
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
}

fn hosts(value: &QueryValue) -> Vec<String> {
    let QueryValue::Vector(samples) = value else { panic!("a vector") };
    samples.iter().map(|(labels, ..)| labels.get("host").expect("a host").to_owned()).collect()
}

#[test]
fn what_looks_at_labels_sees_them_as_they_were_then() {
    let storage = counters(300);
    let some = answer(&storage, "limit_ratio(0.2, requests_total)", 3_600_000);
    let joined = "label_join(limit_ratio(0.2, requests_total), \"joined\", \"-\", \"host\", \"region\")";
    let joined = answer(&storage, joined, 3_600_000);
    assert!((40..80).contains(&hosts(&some).len()), "about a fifth: {}", hosts(&some).len());
    assert_eq!(hosts(&some), hosts(&joined));
}

#[test]
fn a_series_of_both_sides_is_named_as_its_first_value() {
    let storage = counters(1);
    for (text, name) in
        [("requests_total > 30 or -requests_total", ""), ("requests_total < 30 or -requests_total", "requests_total")]
    {
        let value = ask(&storage, text, HOUR, &Options::default()).expect("an answer").value;
        let QueryValue::Matrix(series) = value else { panic!("a matrix") };
        assert_eq!(series.len(), 1, "{text}");
        assert_eq!(series[0].labels.metric(), name, "{text}");
    }
}

#[test]
fn values_that_are_no_numbers_come_last() {
    let storage = counters(6);
    let some_nan = "(requests_total - 1e9 > 0 or sqrt(-requests_total{host=~\"h000[13]\"}) or requests_total)";
    for (text, last) in [("topk(6, {})", 4..6), ("bottomk(6, {})", 4..6), ("sort({})", 4..6), ("sort_desc({})", 4..6)] {
        let value = answer(&storage, &text.replace("{}", some_nan), 3_600_000);
        let QueryValue::Vector(samples) = value else { panic!("a vector") };
        let nan = |(_, _, value): &(Labels, i64, Value)| matches!(value, Value::Float(value) if value.is_nan());
        let places: Vec<usize> = (0..samples.len()).filter(|at| nan(&samples[*at])).collect();
        assert_eq!(places, last.collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn info_series_of_very_many_instances_are_found() {
    let mut storage = MemoryStorage::new();
    for instance in 0..1_200 {
        let instance = format!("10.0.{}.{}:9100", instance / 250, instance % 250);
        let labels = |metric: &str, more: (&str, &str)| {
            Labels::new([("__name__", metric), ("instance", &instance), ("job", "node"), more]).expect("labels")
        };
        *storage.points_mut(&labels("cpu_total", ("mode", "user"))) = given::rising(1.0);
        *storage.points_mut(&labels("target_info", ("version", "2"))) = given::rising(0.0);
    }
    let text = "count by (version) (info(rate(cpu_total[5m])))";
    let QueryValue::Vector(samples) = answer(&storage, text, 3_600_000) else { panic!("a vector") };
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].0.get("version"), Some("2"));
    assert_eq!(samples[0].2, Value::Float(1_200.0));
}

#[test]
fn means_over_many_blocks_survive_values_without_end() {
    let mut storage = counters(400);
    let mut endless = schemas::Points::default();
    endless.push(3_600_000, f64::INFINITY);
    *storage.points_mut(&given::labels("requests_total", 3)) = endless;
    for (text, expected) in [("avg(requests_total)", f64::INFINITY), ("sum(requests_total)", f64::INFINITY)] {
        let QueryValue::Vector(samples) = answer(&storage, text, 3_600_000) else { panic!("a vector") };
        assert_eq!(samples[0].2, Value::Float(expected), "{text}");
    }
    let nearly = answer(&storage, "avg(requests_total * 0 + 1.7e308)", 3_600_000 - 60_000);
    let QueryValue::Vector(samples) = nearly else { panic!("a vector") };
    let Value::Float(mean) = samples[0].2 else { panic!("a float") };
    assert!((mean / 1.7e308 - 1.0).abs() < 1e-12, "{mean}");
}
