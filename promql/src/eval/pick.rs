//! `topk`, `bottomk`, `limitk`: some series of each group, chosen at each step.
//!
//! topk and bottomk keep one heap a group and step, filled as series come by; what no heap holds any more is forgotten.

use std::cmp::Ordering;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use schemas::Labels;
use xxhash_rust::xxh64::xxh64;

use super::EvalError;
use super::aggregate::extremes;
use super::budget::{Budget, Held};
use super::context::Context;
use super::grid::Steps;
use super::grouping::Groups;
use super::scalar::Scalars;
use super::series::{Series, Vector};
use super::stream::{Fold, Stream};
use super::warnings;
use crate::ast::{Aggregate, Expr};
use crate::column::Column;
use crate::error::Span;
use crate::notes::Notes;
use crate::operator::Aggregator;

/// Parameters from here on do not fit an integer of 64 bits.
const INTEGER_MAX: f64 = 9_223_372_036_854_775_807.0;

impl<'q> Context<'q> {
    pub(super) fn pick(
        &'q self,
        aggregate: &'q Aggregate,
        input: &'q Expr,
        k: &Scalars,
        span: Span,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let mut stream = self.vector(input, steps)?;
        let (least, most) = extremes(k.values());
        if k.values().iter().any(|k| k.is_nan()) {
            return Err(EvalError::Execution("Parameter value is NaN".to_owned()));
        }
        if most < 1.0 {
            return Ok(Stream::nothing(self));
        }
        if least <= -INTEGER_MAX {
            return Err(EvalError::Execution(format!("Scalar value {} underflows int64", go_value(least))));
        }
        if most >= INTEGER_MAX {
            return Err(EvalError::Execution(format!("Scalar value {} overflows int64", go_value(most))));
        }
        let series = stream.len();
        let limits: Vec<usize> = (0..steps.count).map(|step| limit_of(k.at(step), series)).collect();
        if aggregate.op == Aggregator::LimitK {
            let vector = stream.collect()?;
            return Ok(Stream::given(self, first_of(vector, aggregate, &limits)));
        }
        let groups = Groups::new(stream.labels(), &aggregate.grouping);
        let picking = Picking {
            lowest: aggregate.op == Aggregator::BottomK,
            groups: &groups.of_series,
            limits: &limits,
            span,
            budget: &self.budget,
        };
        let groups = stream.fold(&picking)?;
        self.picked(&stream, &picking, groups, steps)
    }

    /// The series that any heap holds; of one step, in the order of their values.
    fn picked(
        &'q self,
        stream: &Stream<'q>,
        picking: &Picking<'_, 'q>,
        (groups, mut held): (HashMap<usize, Picked>, Held<'q>),
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let mut places: Vec<Option<usize>> = vec![None; stream.len()];
        let mut series: Vec<Series> = Vec::new();
        let mut groups: Vec<(usize, Picked)> = groups.into_iter().collect();
        groups.sort_unstable_by_key(|(group, _)| *group);
        for (_, mut picked) in groups {
            for (step, heap) in picking.heaps(&mut picked).iter_mut().enumerate() {
                heap.sort_by(|a, b| a.order(b, picking.lowest));
                for entry in heap.iter() {
                    let place = match places[entry.series] {
                        Some(place) => place,
                        None => {
                            held.add(steps.count, steps.count * size_of::<f64>())?;
                            series.push(Series {
                                labels: stream.labels_of(entry.series).clone(),
                                drop_name: stream.drop_name()[entry.series],
                                column: Column::empty(steps.count),
                            });
                            *places[entry.series].insert(series.len() - 1)
                        }
                    };
                    series[place].column.set_float(step, entry.value);
                }
            }
        }
        Ok(Stream::given(self, Vector { series, held }))
    }
}

/// The first so many series with a value, of each group at each step.
fn first_of<'q>(mut vector: Vector<'q>, aggregate: &Aggregate, limits: &[usize]) -> Vector<'q> {
    let groups = Groups::new(vector.series.iter().map(|one| &one.labels), &aggregate.grouping);
    let mut taken = vec![vec![0_usize; limits.len()]; groups.labels.len()];
    for (one, group) in vector.series.iter_mut().zip(&groups.of_series) {
        for (step, taken) in taken[*group].iter_mut().enumerate() {
            if !one.column.is_set(step) {
                continue;
            }
            if *taken < limits[step] {
                *taken += 1;
            } else {
                one.column.clear(step);
            }
        }
    }
    vector
}

/// How many of so many series a parameter allows.
fn limit_of(k: f64, series: usize) -> usize {
    if k < 1.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; parts of one do not count")]
    let k = k as usize;
    k.min(series)
}

/// As Go's `%v` prints a float.
fn go_value(value: f64) -> String {
    crate::math::shortest(value)
}

/// Where in `[0, 1)` sampling by ratio sees a series: by the hash that Prometheus gives its labels.
pub(super) fn sampling_offset(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len());
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => bytes.push(len),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    #[expect(clippy::cast_precision_loss, reason = "a place in an interval, not a count")]
    let (hash, most) = (xxh64(&bytes, 0) as f64, u64::MAX as f64);
    hash / most
}

/// A value in a heap.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    value: f64,
    series: usize,
}

impl Candidate {
    /// Whether it goes before the other when one has to go: NaN first, then the lowest, or of `bottomk` the highest.
    fn is_below(&self, other: &Self, lowest: bool) -> bool {
        self.value.is_nan() || if lowest { self.value > other.value } else { self.value < other.value }
    }

    /// The order of the answer: the best first, NaN last.
    fn order(&self, other: &Self, lowest: bool) -> Ordering {
        let by_value = || {
            let order = self.value.partial_cmp(&other.value).unwrap_or(Ordering::Equal);
            if lowest { order } else { order.reverse() }
        };
        self.value.is_nan().cmp(&other.value.is_nan()).then_with(by_value)
    }
}

/// What a group has come to.
enum Picked {
    /// Its only series so far, of which most groups are that there are many of.
    One {
        series: usize,
        column: Column,
    },
    Several(Heaps),
}

/// A heap a step: what goes first is in front.
type Heaps = Vec<Vec<Candidate>>;

struct Picking<'a, 'q> {
    lowest: bool,
    groups: &'a [usize],
    limits: &'a [usize],
    /// Of the aggregation.
    span: Span,
    budget: &'q Budget,
}

impl Picking<'_, '_> {
    /// The heaps of a group, made if there are none yet.
    fn heaps<'p>(&self, picked: &'p mut Picked) -> &'p mut Heaps {
        if let Picked::One { series, column } = picked {
            let mut heaps = vec![Vec::new(); self.limits.len()];
            self.offer_all(&mut heaps, *series, column);
            *picked = Picked::Several(heaps);
        }
        match picked {
            Picked::Several(heaps) => heaps,
            Picked::One { .. } => unreachable!("became several above"),
        }
    }

    /// Offers the floats of a series; how many are held more than before.
    fn offer_all(&self, heaps: &mut Heaps, series: usize, column: &Column) -> usize {
        let mut more = 0;
        for (step, heap) in heaps.iter_mut().enumerate() {
            if let Some(value) = column.float(step) {
                more += usize::from(self.offer(heap, self.limits[step], Candidate { value, series }));
            }
        }
        more
    }

    fn offer(&self, heap: &mut Vec<Candidate>, limit: usize, entry: Candidate) -> bool {
        if heap.len() < limit {
            heap.push(entry);
            self.rise(heap);
            return true;
        }
        let Some(first) = heap.first_mut() else { return false };
        let better = if self.lowest { first.value > entry.value } else { first.value < entry.value };
        if better || first.value.is_nan() && !entry.value.is_nan() {
            *first = entry;
            self.sink(heap);
        }
        false
    }

    /// Brings the newest entry to its place.
    fn rise(&self, heap: &mut [Candidate]) {
        let mut at = heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !heap[at].is_below(&heap[parent], self.lowest) {
                break;
            }
            heap.swap(at, parent);
            at = parent;
        }
    }

    /// Brings the first entry to its place.
    fn sink(&self, heap: &mut [Candidate]) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= heap.len() {
                break;
            }
            let right = left + 1;
            let child = if right < heap.len() && heap[right].is_below(&heap[left], self.lowest) { right } else { left };
            if !heap[child].is_below(&heap[at], self.lowest) {
                break;
            }
            heap.swap(at, child);
            at = child;
        }
    }
}

impl<'q> Fold for Picking<'_, 'q> {
    /// Of the groups that were met.
    type Part = (HashMap<usize, Picked>, Held<'q>);
    type Whole = Self::Part;

    fn part(&self) -> Self::Part {
        (HashMap::new(), self.budget.hold_nothing())
    }

    fn whole(&self) -> Self::Whole {
        self.part()
    }

    fn take(
        &self,
        (groups, held): &mut Self::Part,
        series: usize,
        _: &Labels,
        column: &mut Column,
        notes: &mut Notes,
    ) -> Result<(), EvalError> {
        if column.has_histograms() {
            warnings::histogram_ignored(if self.lowest { "bottomk" } else { "topk" }, self.span, notes);
            column.drop_histograms();
        }
        let more = match groups.entry(self.groups[series]) {
            Entry::Vacant(place) => {
                let column = std::mem::take(column);
                let samples = column.samples();
                place.insert(Picked::One { series, column });
                samples
            }
            Entry::Occupied(place) => self.offer_all(self.heaps(place.into_mut()), series, column),
        };
        held.add(more, more * size_of::<Candidate>())
    }

    fn merge(&self, whole: &mut Self::Whole, later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        for (group, from) in later.0 {
            let Some(into) = whole.0.get_mut(&group) else {
                whole.0.insert(group, from);
                continue;
            };
            let into = self.heaps(into);
            match from {
                Picked::One { series, column } => {
                    self.offer_all(into, series, &column);
                }
                Picked::Several(heaps) => {
                    for (step, mut later) in heaps.into_iter().enumerate() {
                        later.sort_by_key(|entry| entry.series);
                        for entry in later {
                            self.offer(&mut into[step], self.limits[step], entry);
                        }
                    }
                }
            }
        }
        whole.1.join(later.1);
        Ok(())
    }
}
