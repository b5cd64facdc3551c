//! One question by all interfaces (AGREE-1).

use promql::column::Value;
use promql::eval::Grid;
use query::{Agg, Granularity, PromqlRequest, RangeRequest};
use schemas::time::{HOUR_MS, MINUTE_MS};

use super::both::{counter, gauge, only_cold, requests, same, samples, temperature};
use crate::given::{Given, MIDNIGHT, metric, range};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_by_rest_sql_and_promql_has_the_same_numbers() {
    let mut given = Given::empty_at(8).await;
    let gauge: Vec<(i64, f64)> = gauge(0, 8, 10_000).filter(|(_, value)| value.is_finite()).collect();
    given.points(&temperature("a"), gauge);
    given.points(&requests("a"), counter(0, 8, 10_000));
    for stage in ["head", "sealed", "archived", "repaired", "only in Delta"] {
        match stage {
            "sealed" => given.sealed().await,
            "archived" => given.archived().await,
            "repaired" => given.points(&temperature("a"), [(MIDNIGHT + 2 * HOUR_MS + 5, 99.0)]),
            "only in Delta" => {
                given.sealed().await;
                given.archived().await;
                given.retained(only_cold()).await;
            }
            _ => {}
        }
        agree(&given, stage).await;
    }
}

/// `[b, b + w)` by REST and SQL holds the points of `(b − 1 ms, b + w − 1 ms]`.
async fn agree(given: &Given, when: &str) {
    for (agg, name, column, function) in [
        (Agg::Avg, "temperature", "avg", "avg_over_time"),
        (Agg::Min, "temperature", "min", "min_over_time"),
        (Agg::Max, "temperature", "max", "max_over_time"),
        (Agg::Sum, "temperature", "sum", "sum_over_time"),
        (Agg::Last, "temperature", "last", "last_over_time"),
        (Agg::Rate, "requests_total", "", "rate"),
    ] {
        for (granularity, width, table) in
            [(Granularity::Minute, MINUTE_MS, "rollup_1m"), (Granularity::Hour, HOUR_MS, "rollup_1h")]
        {
            let span = range(MIDNIGHT + HOUR_MS, MIDNIGHT + 6 * HOUR_MS);
            let mut request = RangeRequest::new(metric(name), span);
            (request.granularity, request.agg) = (granularity, agg);
            let rest: Vec<(i64, f64)> = given.ask(request).await.expect("answers").series[0]
                .points
                .iter()
                .filter_map(|(ts, value)| Some((*ts, (*value)?)))
                .collect();
            let last = span.end().0 - 1;
            let grid = Grid::Range { start: span.start().0 + width - 1, end: last, step: width };
            let window = if width == HOUR_MS { "1h" } else { "1m" };
            let text = format!("{function}({name}[{window}])");
            let answer = given.engine.promql(PromqlRequest::new(&text, grid)).await.expect("answers");
            let promql: Vec<(i64, f64)> = samples(answer.value)
                .into_iter()
                .map(|((_, at), value)| match value {
                    Value::Float(value) => (at + 1 - width, value),
                    Value::Histogram(_) => panic!("a histogram"),
                })
                .collect();
            close(&rest, &promql, || format!("{when}: {text}"));
            if column.is_empty() {
                continue;
            }
            let sql = format!(
                "SELECT arrow_cast(ts, 'Int64') AS ts, {column} AS v FROM {table} WHERE metric = '{name}' AND \
                 ts >= to_timestamp_millis({}) AND ts < to_timestamp_millis({}) AND {column} IS NOT NULL ORDER BY ts",
                span.start().0,
                span.end().0
            );
            close(&rest, &pairs(&given.sql(&sql).await), || format!("{when}: {sql}"));
        }
    }
}

fn pairs(batches: &[arrow::array::RecordBatch]) -> Vec<(i64, f64)> {
    use arrow::array::{Array as _, Float64Array, Int64Array};
    let mut out = Vec::new();
    for batch in batches {
        let times = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("ts");
        let values = batch.column(1).as_any().downcast_ref::<Float64Array>().expect("a float");
        out.extend(times.values().iter().copied().zip(values.values().iter().copied()));
    }
    out
}

fn close(a: &[(i64, f64)], b: &[(i64, f64)], what: impl Fn() -> String) {
    let times = |list: &[(i64, f64)]| list.iter().map(|(ts, _)| *ts).collect::<Vec<_>>();
    assert_eq!(times(a), times(b), "{}", what());
    for ((ts, a), (_, b)) in a.iter().zip(b) {
        assert!(same(&Value::Float(*a), &Value::Float(*b)), "{} at {ts}: {a} and {b}", what());
    }
}
