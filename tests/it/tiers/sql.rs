//! SQL gives the numbers of REST, and both give those of the model (AGREE-1).

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use futures::TryStreamExt as _;
use kit::Question;
use kit::oracle::{Agg, SeriesName};
use query::RangeAnswer;
use schemas::{DurationMs, TimeRange};

use super::asked::metric;
use super::given::World;

/// Values of each series, oldest first, bit for bit.
type Bits = BTreeMap<SeriesName, Vec<(i64, u64)>>;

/// Columns of the rollup tables, and the aggregates that they are.
const COLUMNS: [(&str, Agg); 8] = [
    ("count", Agg::Count),
    ("sum", Agg::Sum),
    ("min", Agg::Min),
    ("max", Agg::Max),
    ("avg", Agg::Avg),
    ("first", Agg::First),
    ("last", Agg::Last),
    ("p99", Agg::Quantile(0.99)),
];

impl World {
    /// Asks for points and both rollups of a metric, by SQL and by REST: the same, and what the model says.
    pub(crate) async fn agree(&self, name: &str, within: TimeRange) {
        let points = self.rows("samples", &["value"], name, within).await;
        let answer = self.ask(&Question::raw(metric(name), within)).await;
        assert_eq!(points["value"], bits(&answer), "points of {name} in {within:?}");
        for (table, width) in [("rollup_1m", DurationMs::MINUTE), ("rollup_1h", DurationMs::HOUR)] {
            // REST rounds outward, SQL takes the buckets that start in the range: whole buckets are both's.
            let whole = within.align_outward(width);
            let columns: Vec<&str> = COLUMNS.iter().map(|(column, _)| *column).collect();
            let rows = self.rows(table, &columns, name, whole).await;
            for (column, agg) in COLUMNS {
                let answer = self.ask(&Question::buckets(metric(name), whole, width, agg)).await;
                assert_eq!(rows[column], bits(&answer), "{column} of {name} in {table}, {whole:?}");
            }
            self.agree_on_counts(name, whole, width).await;
        }
    }

    /// Counting samples by buckets is counting what the rollups counted.
    async fn agree_on_counts(&self, name: &str, within: TimeRange, width: DurationMs) {
        let seconds = width.0 / 1_000;
        let query = format!(
            "SELECT date_bin(INTERVAL '{seconds} seconds', ts) AS bucket, count(*) AS n FROM samples \
             WHERE {} GROUP BY bucket ORDER BY bucket",
            condition(name, within)
        );
        let mut counted = Vec::new();
        for batch in self.sql(&query).await {
            // Planned as it may be, in whatever unit.
            let starts = cast(batch.column(0), &DataType::Timestamp(TimeUnit::Millisecond, None)).expect("a time");
            let starts = starts.as_primitive::<TimestampMillisecondType>();
            let counts = batch.column(1).as_primitive::<Int64Type>();
            counted.extend(starts.values().iter().copied().zip(counts.values().iter().copied()));
        }
        let all = Question { group_by: Some(Vec::new()), ..Question::buckets(metric(name), within, width, Agg::Count) };
        let answer = self.ask(&all).await;
        let wanted: Vec<(i64, i64)> = answer.series.iter().flat_map(|series| &series.points).map(whole_count).collect();
        assert_eq!(counted, wanted, "{query}");
    }

    /// Rows of a table of ours, by column and series.
    async fn rows(&self, table: &str, columns: &[&str], name: &str, within: TimeRange) -> BTreeMap<String, Bits> {
        let list = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let query = format!(
            "SELECT metric, labels, ts, {list} FROM {table} WHERE {} ORDER BY series_id, ts",
            condition(name, within)
        );
        let mut found: BTreeMap<String, Bits> =
            columns.iter().map(|&column| (column.to_owned(), Bits::new())).collect();
        for batch in self.sql(&query).await {
            let names = names(&batch);
            let times = batch.column(2).as_primitive::<TimestampMillisecondType>();
            for (at, &column) in columns.iter().enumerate() {
                let values = floats(&batch, 3 + at);
                let of_series = found.get_mut(column).expect("every column has an entry");
                for (row, name) in names.iter().enumerate() {
                    of_series.entry(name.clone()).or_default().push((times.value(row), values[row].to_bits()));
                }
            }
        }
        found
    }

    async fn sql(&self, query: &str) -> Vec<RecordBatch> {
        let answer = Box::pin(self.life().engine.sql(query)).await.unwrap_or_else(|error| panic!("{error}: {query}"));
        answer.stream.try_collect().await.unwrap_or_else(|error| panic!("{error}: {query}"))
    }
}

fn condition(name: &str, within: TimeRange) -> String {
    let (start, end) = (within.start().0, within.end().0);
    format!("metric = '{name}' AND ts >= to_timestamp_millis({start}) AND ts < to_timestamp_millis({end})")
}

#[expect(clippy::cast_possible_truncation, reason = "counts of a test are small whole numbers")]
fn whole_count(&(ts, count): &(i64, Option<f64>)) -> (i64, i64) {
    (ts, count.expect("nothing was to be filled") as i64)
}

/// An answer, bit for bit.
fn bits(answer: &RangeAnswer) -> Bits {
    let points = |points: &[(i64, Option<f64>)]| -> Vec<(i64, u64)> {
        points.iter().map(|(ts, value)| (*ts, value.expect("nothing was to be filled").to_bits())).collect()
    };
    let series = answer.series.iter().map(|series| {
        (SeriesName { metric: series.metric.clone(), labels: series.labels.clone() }, points(&series.points))
    });
    series.collect()
}

/// The series of each row: its metric and its labels.
fn names(batch: &RecordBatch) -> Vec<SeriesName> {
    let metrics = batch.column(0).as_string_view();
    let labels = batch.column(1).as_map();
    let of_row = |row: usize| {
        let entries = labels.value(row);
        let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
        let pairs = (0..entries.len()).map(|i| (keys.value(i).to_owned(), values.value(i).to_owned()));
        SeriesName { metric: metrics.value(row).to_owned(), labels: pairs.collect() }
    };
    (0..batch.num_rows()).map(of_row).collect()
}

/// A column as floats; counts are whole.
fn floats(batch: &RecordBatch, column: usize) -> Vec<f64> {
    let column = batch.column(column);
    assert_eq!(column.null_count(), 0, "every row has a value");
    if let Some(counts) = column.as_primitive_opt::<Int64Type>() {
        #[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
        return counts.values().iter().map(|count| *count as f64).collect();
    }
    column.as_primitive::<Float64Type>().values().to_vec()
}
