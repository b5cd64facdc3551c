//! SQL gives the numbers of REST, and both give those of the model (AGREE-1).

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMillisecondType};
use futures::TryStreamExt as _;
use kit::Question;
use kit::oracle::{Agg, SeriesName};
use query::RangeAnswer;
use schemas::points::is_stale;
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

/// What a column says of a bucket's points.
type OfPoints = fn(&[(i64, f64)]) -> f64;

/// Columns that only SQL has, with what the points of a bucket make of them.
const OF_POINTS: [(&str, OfPoints); 5] = [
    ("nan_count", |points| small(points.iter().filter(|(_, value)| value.is_nan()).count())),
    ("resets", |points| small(falls(points).count())),
    ("first_ts", |points| time(points.first())),
    ("last_ts", |points| time(points.last())),
    ("increase", |points| {
        let ends = points.first().zip(points.last()).map_or(0.0, |((_, first), (_, last))| last - first);
        ends + falls(points).sum::<f64>()
    }),
];

/// The values that a counter fell from.
fn falls(points: &[(i64, f64)]) -> impl Iterator<Item = f64> + '_ {
    points.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1)
}

#[expect(clippy::cast_precision_loss, reason = "a test has few points, and milliseconds stay below 2^53")]
fn small(count: usize) -> f64 {
    count as f64
}

fn time(point: Option<&(i64, f64)>) -> f64 {
    small(point.and_then(|(ts, _)| usize::try_from(*ts).ok()).unwrap_or(0))
}

impl World {
    /// Asks for points and both rollups of a metric, by SQL and by REST: the same, and what the model says.
    pub(crate) async fn agree(&self, name: &str, within: TimeRange) {
        let points = self.rows("samples", &["value"], name, within).await;
        let answer = self.ask(&Question::raw(metric(name), within)).await;
        assert_eq!(points["value"], bits(&answer), "points of {name} in {within:?}");
        for (table, width) in [("rollup_1m", DurationMs::MINUTE), ("rollup_1h", DurationMs::HOUR)] {
            // REST rounds outward, SQL takes the buckets that start in the range: whole buckets are both's.
            let whole = within.align_outward(width);
            let of_points = OF_POINTS.iter().map(|(column, _)| *column);
            let columns: Vec<&str> = COLUMNS.iter().map(|(column, _)| *column).chain(of_points).collect();
            let rows = self.rows(table, &columns, name, whole).await;
            for (column, agg) in COLUMNS {
                let answer = self.ask(&Question::buckets(metric(name), whole, width, agg)).await;
                assert_eq!(rows[column], bits(&answer), "{column} of {name} in {table}, {whole:?}");
            }
            self.assert_made_of_points(&rows, name, whole, width);
            self.agree_on_counts(name, whole, width).await;
        }
    }

    /// Columns that REST has no name for are what the points make of them.
    fn assert_made_of_points(&self, rows: &BTreeMap<String, Bits>, name: &str, within: TimeRange, width: DurationMs) {
        for (labels, points) in self.model.series().filter(|(labels, _)| labels.metric() == name) {
            let named = labels.without_metric().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let series = SeriesName { metric: name.to_owned(), labels: named.collect() };
            let points: Vec<(i64, f64)> =
                points.range(within.start().0..within.end().0).map(|(ts, value)| (*ts, *value)).collect();
            let values: Vec<(i64, f64)> = points.into_iter().filter(|(_, value)| !is_stale(*value)).collect();
            let buckets: Vec<&[(i64, f64)]> =
                values.chunk_by(|a, b| a.0.div_euclid(width.0) == b.0.div_euclid(width.0)).collect();
            for (column, of_points) in OF_POINTS {
                let found = rows[column].get(&series).map_or(&[][..], Vec::as_slice);
                assert_eq!(found.len(), buckets.len(), "{column} of {series:?}");
                for (&(start, found), points) in found.iter().zip(&buckets) {
                    let (found, wanted) = (f64::from_bits(found), of_points(points));
                    // The order of additions may show in an increase; where terms are beyond all bounds, so may anything.
                    let room = points.iter().map(|(_, value)| value.abs()).sum::<f64>() * 1e-9;
                    let close = (found - wanted).abs() <= room || !room.is_finite();
                    let right = found.to_bits() == wanted.to_bits() || (column == "increase" && close);
                    assert!(right, "{column} of {series:?} at {start}: got {found}, want {wanted}");
                }
            }
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
    if let Some(times) = column.as_primitive_opt::<TimestampMillisecondType>() {
        return times.values().iter().map(|ms| small(usize::try_from(*ms).expect("after 1970"))).collect();
    }
    if let Some(counts) = column.as_primitive_opt::<Int64Type>() {
        #[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
        return counts.values().iter().map(|count| *count as f64).collect();
    }
    column.as_primitive::<Float64Type>().values().to_vec()
}
