//! Random series through every tier: each answer equals the model's, by REST, by SQL and by PromQL (AGREE-1).

use std::collections::BTreeMap;

use arrow::array::{Array as _, Float64Array, Int64Array, MapArray, StringArray, StringViewArray};
use arrow::array::{RecordBatch, TimestampMillisecondArray};
use futures::TryStreamExt as _;
use kit::oracle::{Agg, GroupAgg};
use kit::strategies::{Shape, workload};
use kit::{Arrival, Question, Workload};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use query::Granularity;
use schemas::time::{HOUR_MS, MINUTE_MS};
use schemas::{DurationMs, LabelMatcher, MatchOp, PointBatch, Retention};

use crate::given::{Given, MIDNIGHT, hours, metric, range, request_of};

/// Workloads, each through all tiers.
const WORKLOADS: usize = 2;

fn workloads() -> Vec<Workload> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&kit::seed().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let shape = Shape { series: 3..9, points: 5..250, span: hours(0, 7) };
    let strategy = workload(&["up", "requests_total"], shape);
    (0..WORKLOADS).map(|_| strategy.new_tree(&mut runner).expect("draws").current()).collect()
}

impl Given {
    fn arrive(&mut self, workload: &Workload, arrivals: &[Arrival]) {
        let mut batch = PointBatch::new();
        let series: Vec<u32> = workload.series.iter().map(|labels| batch.add_canonical(labels.as_bytes())).collect();
        for arrival in arrivals {
            batch.push(series[arrival.series], arrival.timestamp_ms, arrival.value);
            self.oracle.append(&workload.series[arrival.series], arrival.timestamp_ms, arrival.value);
        }
        let appended = self.store.append(&batch).expect("appends");
        assert_eq!(appended.accepted, batch.len() as u64, "{appended:?}");
    }

    /// Points that only another node was sent.
    fn knows(&mut self, workload: &Workload, arrivals: &[Arrival]) {
        for arrival in arrivals {
            self.oracle.append(&workload.series[arrival.series], arrival.timestamp_ms, arrival.value);
        }
    }

    /// Asks a third of all questions, another third at each stage, and compares SQL with REST.
    async fn agrees_with_the_model(&self, stage: usize, when: &str) {
        for question in questions().into_iter().skip(stage % 3).step_by(3) {
            self.agrees(&question, when).await;
        }
        self.sql_agrees_with_rest(when).await;
        self.promql_agrees_with_the_model(when).await;
    }

    async fn sql_agrees_with_rest(&self, when: &str) {
        let span = range(MIDNIGHT + 30 * MINUTE_MS, MIDNIGHT + 6 * HOUR_MS);
        let any = vec![LabelMatcher::new("__name__", MatchOp::Regex, ".+").expect("compiles")];
        let within =
            format!("ts >= to_timestamp_millis({}) AND ts < to_timestamp_millis({})", span.start().0, span.end().0);
        for (table, column, granularity, agg) in [
            ("samples", "value", Granularity::Raw, query::Agg::Last),
            ("rollup_1m", "avg", Granularity::Minute, query::Agg::Avg),
            ("rollup_1m", "p99", Granularity::Minute, query::Agg::Quantile(0.99)),
            ("rollup_1h", "sum", Granularity::Hour, query::Agg::Sum),
            ("rollup_1h", "max", Granularity::Hour, query::Agg::Max),
        ] {
            // Rollup rows are named by their start, so an hour that begins before the range has none in it.
            let from = if granularity == Granularity::Hour { hours(1, 6) } else { span };
            let mut request = request_of(&Question::raw(any.clone(), from));
            (request.granularity, request.agg) = (granularity, agg);
            let rest = self.ask(request).await.expect("answers");
            let expected: BTreeMap<Row, Option<u64>> = rest
                .series
                .iter()
                .flat_map(|series| {
                    let name = (series.metric.clone(), series.labels.clone());
                    series.points.iter().map(move |(ts, value)| ((name.clone(), *ts), value.map(f64::to_bits)))
                })
                .collect();
            let sql = format!("SELECT metric, labels, ts, {column} FROM {table} WHERE {within}");
            let got = rows(&self.sql(&sql).await);
            assert_eq!(got.len(), expected.len(), "{when}: {sql}");
            for (row, value) in &expected {
                assert_eq!(got.get(row), Some(value), "{when}: {sql}: {row:?}");
            }
            let counted = self.sql(&format!("SELECT count(*) FROM {table} WHERE {within}")).await;
            let count = counted[0].column(0).as_any().downcast_ref::<Int64Array>().expect("a count").value(0);
            assert_eq!(usize::try_from(count), Ok(expected.len()), "{when}: {table}");
        }
    }

    pub(crate) async fn sql(&self, query: &str) -> Vec<RecordBatch> {
        let answer = self.engine.sql(query).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        answer.stream.try_collect().await.unwrap_or_else(|e| panic!("{query}: {e}"))
    }
}

/// Every aggregate at every width, by itself and merged, over all of the time and over a part that nothing is aligned to.
fn questions() -> Vec<Question> {
    let any = || vec![LabelMatcher::new("__name__", MatchOp::Regex, ".+").expect("compiles")];
    let mut all = Vec::new();
    for span in [hours(0, 8), range(MIDNIGHT + HOUR_MS + 61_001, MIDNIGHT + 4 * HOUR_MS + 59_999)] {
        all.extend((0..3).map(|_| Question::raw(any(), span)));
        for width in [DurationMs::MINUTE, DurationMs::HOUR, DurationMs::DAY] {
            for (_, agg) in Agg::ALL {
                all.push(Question::buckets(metric("up"), span, width, agg));
                all.push(Question { group_by: Some(vec![]), ..Question::buckets(any(), span, width, agg) });
            }
            for (_, group_agg) in GroupAgg::ALL {
                let rates = Question::buckets(metric("requests_total"), span, width, Agg::Rate);
                all.push(Question { group_agg: Some(group_agg), ..rates });
            }
        }
    }
    all
}

/// Metric and labels, and the time.
type Row = ((String, Vec<(String, String)>), i64);

fn rows(batches: &[RecordBatch]) -> BTreeMap<Row, Option<u64>> {
    let mut out = BTreeMap::new();
    for batch in batches {
        let metrics = batch.column(0).as_any().downcast_ref::<StringViewArray>().expect("metric");
        let labels = batch.column(1).as_any().downcast_ref::<MapArray>().expect("labels");
        let times = batch.column(2).as_any().downcast_ref::<TimestampMillisecondArray>().expect("ts");
        let values = batch.column(3).as_any().downcast_ref::<Float64Array>().expect("a float");
        for row in 0..batch.num_rows() {
            let entries = labels.value(row);
            let text = |at: usize| entries.column(at).as_any().downcast_ref::<StringArray>().expect("text").clone();
            let (names, texts) = (text(0), text(1));
            let pairs = (0..names.len()).map(|i| (names.value(i).to_owned(), texts.value(i).to_owned())).collect();
            let key = ((metrics.value(row).to_owned(), pairs), times.value(row));
            let value = (!values.is_null(row)).then(|| values.value(row).to_bits());
            assert!(out.insert(key, value).is_none(), "no row stands twice");
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_equals_the_model_through_all_tiers() {
    for (number, workload) in workloads().iter().enumerate() {
        let mut given = Given::empty_at(8).await;
        let quarter = workload.arrivals.len() / 4;
        let mut stage = number;
        macro_rules! then_agrees {
            ($what:literal) => {
                stage += 1;
                given.agrees_with_the_model(stage, &format!("workload {number}, {}", $what)).await;
            };
        }
        given.arrive(workload, &workload.arrivals[..quarter]);
        then_agrees!("in the head");
        given.flushed().await;
        then_agrees!("flushed");
        given.sealed().await;
        then_agrees!("sealed");
        given.arrive(workload, &workload.arrivals[quarter..2 * quarter]);
        then_agrees!("late points over sealed hours");
        given.flushed().await;
        given.archived().await;
        then_agrees!("archived, late points in runs");
        given.sealed().await;
        given.archived().await;
        then_agrees!("sealed and archived again");
        given.retained(Retention { hot_raw: TWO_HOURS, ..Retention::default() }).await;
        then_agrees!("raw points of older hours only in Delta, if they are not identity");
        given.retained(only_cold()).await;
        then_agrees!("older hours only in Delta");
        given.arrive(workload, &workload.arrivals[2 * quarter..3 * quarter]);
        then_agrees!("late points over Delta");
        given.flushed().await;
        then_agrees!("late runs over Delta");
        given.sealed().await;
        given.archived().await;
        then_agrees!("sealed into Delta");
        given.arrive(workload, &workload.arrivals[3 * quarter..]);
        then_agrees!("more late points over Delta");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_equals_the_model_on_each_of_two_nodes_once_delta_owns_it() {
    for (number, workload) in workloads().iter().enumerate() {
        let mut one = Given::empty_at(8).await;
        let mut other = one.beside("life-2").await;
        // Some series go to one node, some to the other, some to either by the hour.
        let is_ones = |arrival: &Arrival| match arrival.series % 3 {
            0 => true,
            1 => false,
            _ => arrival.timestamp_ms.div_euclid(HOUR_MS) % 2 == 0,
        };
        let (ones, others): (Vec<Arrival>, Vec<Arrival>) = workload.arrivals.iter().copied().partition(is_ones);
        one.arrive(workload, &ones);
        other.arrive(workload, &others);
        for node in [&one, &other] {
            node.sealed().await;
            node.archived().await;
        }
        one.knows(workload, &others);
        other.knows(workload, &ones);
        one.clock.set(MIDNIGHT + 10 * HOUR_MS);
        for (node, name) in [(&one, "one"), (&other, "the other")] {
            node.retained(only_cold()).await;
            for stage in 0..3 {
                node.agrees_with_the_model(stage, &format!("workload {number}, {name} node")).await;
            }
        }
    }
}

const TWO_HOURS: DurationMs = DurationMs::hours(2);

fn only_cold() -> Retention {
    Retention { hot_raw: TWO_HOURS, warm_rollup_1m: TWO_HOURS, warm_rollup_1h: TWO_HOURS, ..Retention::default() }
}
