//! From columns to points: each row is the record of one message.

use arrow::array::{
    Array, AsArray, Float64Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{Float64Type, Int64Type};
use schemas::labels::METRIC_NAME;
use schemas::{PointBatch, RejectReason};

use super::schema::{Layout, Shape, Unit};
use crate::canonical::{Pair, room_for_label, settle, write_series};
use crate::decode::{Collector, DecodeError, Origins, Scope};
use crate::message::{Message, Outcome, scope_of, settle as settle_message};

/// Takes the points of every row into the batch; row and message have the same place.
pub(super) fn take(
    columns: &RecordBatch,
    layout: &Layout,
    messages: &[Message<'_>],
    scope: Scope<'_>,
    batch: &mut PointBatch,
    outcomes: &mut Vec<Outcome>,
) {
    let columns = Columns::of(columns, layout);
    let mut scratch = Scratch::default();
    for (row, message) in messages.iter().enumerate() {
        outcomes.push(settle_message(batch, |batch| {
            let mut out = Collector::new(scope_of(message, scope), batch, Origins::of_points());
            columns.row(row, &mut scratch, &mut out)?;
            Ok(out.decoded)
        }));
    }
}

/// Memory that is used again for each row.
#[derive(Default)]
struct Scratch<'a> {
    pairs: Vec<Pair<'a>>,
    canonical: Vec<u8>,
}

/// The columns of a run. Their types are those of our reader schema.
struct Columns<'a> {
    metric: &'a StringArray,
    labels: Option<Labels<'a>>,
    source: Option<&'a StringArray>,
    values: Values<'a>,
}

struct Labels<'a> {
    map: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
}

enum Values<'a> {
    One { value: &'a Float64Array, timestamp: Option<Times<'a>> },
    Many { points: &'a ListArray, items: &'a StructArray, value: &'a Float64Array, timestamp: Times<'a> },
}

#[derive(Clone, Copy)]
struct Times<'a> {
    times: &'a Int64Array,
    unit: Unit,
}

impl Times<'_> {
    fn ms(self, at: usize) -> Option<i64> {
        self.times.is_valid(at).then(|| self.unit.to_ms(self.times.value(at)))
    }
}

impl<'a> Columns<'a> {
    fn of(columns: &'a RecordBatch, layout: &Layout) -> Self {
        let labels = |at| {
            let map = columns.column(at).as_map();
            Labels { map, names: map.keys().as_string(), values: map.values().as_string() }
        };
        let values = match layout.shape {
            Shape::Point => Values::One {
                value: columns.column(1).as_primitive::<Float64Type>(),
                timestamp: layout
                    .timestamp
                    .map(|at| Times { times: columns.column(at).as_primitive(), unit: layout.unit }),
            },
            Shape::Points => {
                let points: &ListArray = columns.column(1).as_list();
                let items = points.values().as_struct();
                let times = items.column(0).as_primitive::<Int64Type>();
                let value = items.column(1).as_primitive::<Float64Type>();
                Values::Many { points, items, value, timestamp: Times { times, unit: layout.unit } }
            }
        };
        Self {
            metric: columns.column(0).as_string(),
            labels: layout.labels.map(labels),
            source: layout.source.map(|at| columns.column(at).as_string()),
            values,
        }
    }

    fn row(&self, row: usize, scratch: &mut Scratch<'a>, out: &mut Collector<'_, '_>) -> Result<(), DecodeError> {
        let points = match &self.values {
            Values::One { .. } => 1,
            Values::Many { points, .. } if points.is_null(row) => 0,
            Values::Many { points, .. } => points.value_offsets()[row + 1] - points.value_offsets()[row],
        };
        let points = u64::try_from(points).expect("offsets of a list do not decrease");
        out.see(points)?;
        if let Err(reason) = self.series(row, scratch, out) {
            if points > 0 {
                out.reject(0, points, reason);
            }
            return Ok(());
        }
        let mut begun = false;
        for index in 0..points {
            match self.point(row, index, out) {
                Err(reason) => out.reject(index, 1, reason),
                Ok((timestamp_ms, value)) => {
                    if !begun {
                        out.begin_series(&scratch.canonical);
                        begun = true;
                    }
                    out.push(index, timestamp_ms, value);
                }
            }
        }
        Ok(())
    }

    /// Makes the labels of a row canonical.
    fn series(&self, row: usize, scratch: &mut Scratch<'a>, out: &Collector<'_, '_>) -> Result<(), RejectReason> {
        let Scratch { pairs, canonical } = scratch;
        pairs.clear();
        if self.metric.is_null(row) {
            return Err(RejectReason::InvalidLabels("the metric has no name".to_owned()));
        }
        pairs.push((METRIC_NAME.as_bytes(), self.metric.value(row).as_bytes()));
        if let Some(source) = self.source.filter(|source| source.is_valid(row)) {
            pairs.push((b"source", source.value(row).as_bytes()));
        }
        // Said before the labels, and again by one of them in the same words, is said once.
        let said = pairs.len();
        if let Some(labels) = self.labels.as_ref().filter(|labels| labels.map.is_valid(row)) {
            for at in labels.entries(row) {
                let pair = (labels.names.value(at).as_bytes(), labels.values.value(at).as_bytes());
                if labels.values.is_valid(at) && !pairs[..said].contains(&pair) {
                    room_for_label(pairs.len())?;
                    pairs.push(pair);
                }
            }
        }
        settle(pairs, out.scope.limits)?;
        write_series(pairs, canonical)
    }

    /// Time (ms) and value of a point of a row; the time has been admitted.
    fn point(&self, row: usize, index: u64, out: &Collector<'_, '_>) -> Result<(i64, f64), RejectReason> {
        let null = || RejectReason::InvalidValue("null".to_owned());
        let (timestamp_ms, values, at) = match &self.values {
            Values::One { value, timestamp } => (timestamp.and_then(|times| times.ms(row)), value, row),
            Values::Many { points, items, value, timestamp } => {
                let first = usize::try_from(points.value_offsets()[row]).expect("offsets are not negative");
                let at = first + usize::try_from(index).expect("an index within a list fits into memory");
                if items.is_null(at) {
                    return Err(null());
                }
                (timestamp.ms(at), value, at)
            }
        };
        if values.is_null(at) {
            return Err(null());
        }
        let timestamp_ms = timestamp_ms.unwrap_or(out.scope.now_ms);
        out.admit(timestamp_ms)?;
        Ok((timestamp_ms, values.value(at)))
    }
}

impl Labels<'_> {
    /// The places of a row's labels in `names` and `values`.
    fn entries(&self, row: usize) -> std::ops::Range<usize> {
        let place = |at: usize| usize::try_from(self.map.value_offsets()[at]).expect("offsets are not negative");
        place(row)..place(row + 1)
    }
}
