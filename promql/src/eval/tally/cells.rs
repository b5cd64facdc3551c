//! One cell a step, of floats.

use schemas::points::STALE_BITS;

use crate::column::Column;
use crate::math::{Kahan, float_of};
use crate::operator::Aggregator;

/// Which cells an aggregation keeps. In `First`, `Least`, `Greatest` an empty cell has the bits of an empty place.
pub(super) enum Cells {
    /// Of one series, of which most groups are that there are many of: its values are the sum and the mean.
    First {
        values: Vec<f64>,
        is_mean: bool,
    },
    Sum(Vec<Total>),
    Mean(Vec<Mean>),
    Least(Vec<f64>),
    Greatest(Vec<f64>),
    Count(Vec<usize>),
    /// One, where there is anything.
    Group(Vec<usize>),
    Variance {
        cells: Vec<Variance>,
        root: bool,
    },
}

/// A sum; of nothing, `seen` is not set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    sum: Kahan,
    seen: bool,
}

/// A mean by the sum; once that does not fit a double, by means.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    sum: Kahan,
    count: usize,
    by_means: bool,
}

/// Welford's: the mean so far, and the sum of squares about it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Variance {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Cells {
    pub(super) fn new(op: Aggregator, steps: usize) -> Self {
        match op {
            Aggregator::Min => Self::Least(vec![f64::from_bits(STALE_BITS); steps]),
            Aggregator::Max => Self::Greatest(vec![f64::from_bits(STALE_BITS); steps]),
            Aggregator::Count => Self::Count(vec![0; steps]),
            Aggregator::Group => Self::Group(vec![0; steps]),
            Aggregator::Stddev => Self::Variance { cells: vec![Variance::default(); steps], root: true },
            Aggregator::Stdvar => Self::Variance { cells: vec![Variance::default(); steps], root: false },
            op => Self::First { values: Vec::new(), is_mean: op == Aggregator::Avg },
        }
    }

    /// Cells to which further series can be added.
    fn grown(&mut self) -> &mut Self {
        if let Self::First { values, is_mean } = self {
            let values = std::mem::take(values);
            *self = match is_mean {
                true => Self::Mean(vec![Mean::default(); values.len()]),
                false => Self::Sum(vec![Total::default(); values.len()]),
            };
            self.take_floats(&values);
        }
        self
    }

    /// The memory that the cells take.
    pub(super) fn bytes(&self, steps: usize) -> usize {
        let cell = match self {
            Self::Mean(_) => size_of::<Mean>(),
            Self::Sum(_) => size_of::<Total>(),
            Self::Variance { .. } => size_of::<Variance>(),
            Self::First { .. } | Self::Least(_) | Self::Greatest(_) | Self::Count(_) | Self::Group(_) => {
                size_of::<f64>()
            }
        };
        cell * steps
    }

    /// Takes the floats of a column, which may be taken away.
    pub(super) fn take(&mut self, column: &mut Column) {
        match self {
            Self::First { values, .. } if values.is_empty() => *values = column.take_floats(),
            _ => self.grown().take_floats(column.raw()),
        }
    }

    /// Markers are passed over.
    fn take_floats(&mut self, raw: &[f64]) {
        match self {
            Self::First { .. } => {}
            Self::Sum(cells) => each(cells, raw, Total::add),
            Self::Mean(cells) => each(cells, raw, Mean::add),
            Self::Least(cells) => each(cells, raw, |cell, value| {
                if *cell > value || cell.is_nan() {
                    *cell = value;
                }
            }),
            Self::Greatest(cells) => each(cells, raw, |cell, value| {
                if *cell < value || cell.is_nan() {
                    *cell = value;
                }
            }),
            Self::Count(cells) | Self::Group(cells) => each(cells, raw, |cell, _| *cell += 1),
            Self::Variance { cells, .. } => each(cells, raw, Variance::add),
        }
    }

    /// Counts what is not a float.
    pub(super) fn count(&mut self, steps: impl Iterator<Item = usize>) {
        if let Self::Count(cells) | Self::Group(cells) = self {
            steps.for_each(|step| cells[step] += 1);
        }
    }

    /// Adds those of later series, of the same aggregation.
    pub(super) fn merge(&mut self, mut later: Self) {
        later.grown();
        match (self.grown(), later) {
            (Self::Sum(cells), Self::Sum(later)) => {
                for (cell, other) in cells.iter_mut().zip(later) {
                    *cell = match (cell.seen, other.seen) {
                        (_, false) => *cell,
                        (false, true) => other,
                        (true, true) => Total { sum: cell.sum.and(other.sum), seen: true },
                    };
                }
            }
            (Self::Mean(cells), Self::Mean(later)) => {
                cells.iter_mut().zip(later).for_each(|(cell, other)| cell.merge(other));
            }
            (cells @ (Self::Least(_) | Self::Greatest(_)), Self::Least(later) | Self::Greatest(later)) => {
                cells.take_floats(&later);
            }
            (Self::Count(cells) | Self::Group(cells), Self::Count(later) | Self::Group(later)) => {
                cells.iter_mut().zip(later).for_each(|(cell, other)| *cell += other);
            }
            (Self::Variance { cells, .. }, Self::Variance { cells: later, .. }) => {
                cells.iter_mut().zip(later).for_each(|(cell, other)| cell.merge(other));
            }
            _ => unreachable!("blocks of one aggregation keep the same cells"),
        }
    }

    pub(super) fn finish(self) -> Column {
        match self {
            Self::First { mut values, .. } => {
                // A sum has no negative zero.
                values.iter_mut().filter(|value| !is_marker(**value)).for_each(|value| *value += 0.0);
                Column::of_floats(values)
            }
            Self::Sum(cells) => column(cells, |cell| cell.seen.then(|| cell.sum.total())),
            Self::Mean(cells) => column(cells, Mean::value),
            Self::Least(cells) | Self::Greatest(cells) => {
                column(cells, |cell| (cell.to_bits() != STALE_BITS).then_some(cell))
            }
            Self::Count(cells) => column(cells, |count| (count > 0).then(|| float_of(count))),
            Self::Group(cells) => column(cells, |count| (count > 0).then_some(1.0)),
            Self::Variance { cells, root } => column(cells, |cell| {
                let variance = cell.squares / float_of(cell.count);
                (cell.count > 0).then(|| if root { variance.sqrt() } else { variance })
            }),
        }
    }
}

/// Whether the bits are those of an empty place or of a histogram: they differ in the last bit alone.
#[inline(always)]
fn is_marker(value: f64) -> bool {
    value.to_bits() & !1 == STALE_BITS
}

#[inline(always)]
fn each<C>(cells: &mut [C], raw: &[f64], add: impl Fn(&mut C, f64)) {
    for (cell, &value) in cells.iter_mut().zip(raw) {
        if !is_marker(value) {
            add(cell, value);
        }
    }
}

fn column<C>(cells: Vec<C>, value: impl Fn(C) -> Option<f64>) -> Column {
    let mut column = Column::empty(cells.len());
    for (step, cell) in cells.into_iter().enumerate() {
        if let Some(value) = value(cell) {
            column.set_float(step, value);
        }
    }
    column
}

impl Total {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        if self.seen {
            self.sum.add(value);
        } else {
            *self = Self { sum: Kahan::new(value, 0.0), seen: true };
        }
    }
}

impl Mean {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        self.count += 1;
        if self.count == 1 {
            self.sum = Kahan::new(value, 0.0);
            return;
        }
        if !self.by_means {
            let mut sum = self.sum;
            sum.add(value);
            if !sum.sum().is_infinite() {
                self.sum = sum;
                return;
            }
            self.by_means = true;
            self.sum = self.sum.over(float_of(self.count - 1));
        }
        let count = float_of(self.count);
        self.sum = self.sum.times((count - 1.0) / count);
        self.sum.add(value / count);
    }

    fn merge(&mut self, other: Self) {
        if self.count == 0 || other.count == 0 {
            if self.count == 0 {
                *self = other;
            }
            return;
        }
        let count = self.count + other.count;
        let sum = self.sum.and(other.sum);
        if !self.by_means && !other.by_means && !sum.sum().is_infinite() {
            *self = Self { sum, count, by_means: false };
            return;
        }
        let part = |mean: &Self| {
            let sum = if mean.by_means { mean.sum } else { mean.sum.over(float_of(mean.count)) };
            sum.times(float_of(mean.count) / float_of(count))
        };
        *self = Self { sum: part(self).and(part(&other)), count, by_means: true };
    }

    fn value(self) -> Option<f64> {
        let count = float_of(self.count);
        let mean = match (self.count, self.by_means) {
            (0, _) => return None,
            (_, true) => self.sum.total(),
            (_, false) => self.sum.sum() / count + self.sum.rest() / count,
        };
        Some(mean)
    }
}

impl Variance {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        self.count += 1;
        if self.count == 1 {
            *self = Self { count: 1, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / float_of(self.count);
        self.squares += delta * (value - self.mean);
    }

    fn merge(&mut self, other: Self) {
        if self.count == 0 || other.count == 0 {
            if self.count == 0 {
                *self = other;
            }
            return;
        }
        let (own, others) = (float_of(self.count), float_of(other.count));
        let (count, delta) = (own + others, other.mean - self.mean);
        self.squares += other.squares + delta * delta * own * others / count;
        self.mean += delta * others / count;
        self.count += other.count;
    }
}
