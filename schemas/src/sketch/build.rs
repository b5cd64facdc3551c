//! Sketches of many values at once, with scratch memory that is kept between them.

use super::bins::Bins;
use super::mapping::index_of;
use super::{Sketch, is_sample};

/// Counting in an array beats sorting while the array has at most this many cells a value, plus [`FREE_CELLS`].
const CELLS_A_VALUE: usize = 8;
const FREE_CELLS: usize = 64;

/// Builds sketches; reuse one to save allocations.
#[derive(Debug, Default)]
pub struct SketchBuilder {
    positive: Vec<i32>,
    negative: Vec<i32>,
    cells: Vec<u32>,
}

impl SketchBuilder {
    /// The sketch of some values, in any order.
    pub fn build(&mut self, values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        self.positive.clear();
        self.negative.clear();
        for &value in values {
            let magnitude = value.abs();
            if magnitude > 0.0 && magnitude < f64::INFINITY {
                if value > 0.0 { &mut self.positive } else { &mut self.negative }.push(index_of(magnitude));
            } else if is_sample(value) {
                sketch.add(value);
            }
        }
        sketch.positive = collect_bins(&mut self.positive, &mut self.cells);
        sketch.negative = collect_bins(&mut self.negative, &mut self.cells);
        sketch.limit_bins();
        sketch
    }
}

/// Counts equal indices; `indices` is left in any order.
fn collect_bins(indices: &mut [i32], cells: &mut Vec<u32>) -> Bins {
    let (Some(&least), Some(&greatest)) = (indices.iter().min(), indices.iter().max()) else {
        return Bins::default();
    };
    let span = usize::try_from(i64::from(greatest) - i64::from(least) + 1).expect("the greatest is not the least");
    if span > indices.len() * CELLS_A_VALUE + FREE_CELLS || u32::try_from(indices.len()).is_err() {
        indices.sort_unstable();
        let mut bins = Bins::with_capacity(indices.len().min(super::MAX_BINS));
        indices.iter().for_each(|&index| bins.push(index, 1));
        return bins;
    }
    cells.clear();
    cells.resize(span, 0);
    for &index in indices.iter() {
        cells[usize::try_from(index - least).expect("the least is the least")] += 1;
    }
    let used = cells.iter().filter(|&&count| count > 0).count();
    let mut bins = Bins::with_capacity(used);
    for (index, &count) in (least..).zip(cells.iter()) {
        if count > 0 {
            bins.push(index, u64::from(count));
        }
    }
    bins
}
