//! The values of one series at the steps of a query.
//!
//! Nouns: a *column* has one place a step; a place is empty, a float, or a native histogram.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::histogram::Histogram;
use schemas::points::{HISTOGRAM_BITS, STALE_BITS};

/// A value at one time.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// See the module. An empty place has the bits of the staleness marker, which no arithmetic gives; a histogram's has
/// those of the histogram marker, and its histogram beside it.
#[derive(Debug, Clone, Default)]
pub struct Column {
    values: Vec<f64>,
    histograms: BTreeMap<usize, Arc<Histogram>>,
}

impl Column {
    /// All places empty.
    pub fn empty(steps: usize) -> Self {
        Self { values: vec![f64::from_bits(STALE_BITS); steps], histograms: BTreeMap::new() }
    }

    /// The same float everywhere.
    pub fn constant(steps: usize, value: f64) -> Self {
        Self { values: vec![value; steps], histograms: BTreeMap::new() }
    }

    /// Of floats; places with the bits of the staleness marker are empty.
    pub fn of_floats(values: Vec<f64>) -> Self {
        debug_assert!(values.iter().all(|value| value.to_bits() != HISTOGRAM_BITS), "a histogram is not a float");
        Self { values, histograms: BTreeMap::new() }
    }

    /// Its floats, the places of histograms empty; no steps are left.
    pub fn take_floats(&mut self) -> Vec<f64> {
        self.drop_histograms();
        std::mem::take(&mut self.values)
    }

    /// Makes it so many steps long, all places empty, keeping the memory it has.
    pub fn reset(&mut self, steps: usize) {
        self.values.clear();
        self.values.resize(steps, f64::from_bits(STALE_BITS));
        self.histograms.clear();
    }

    /// Makes a column of one step so many steps long, the same everywhere.
    pub fn repeat(&mut self, steps: usize) {
        debug_assert!(self.values.len() <= 1, "only one value can be repeated");
        let Some(&value) = self.values.first() else { return };
        self.values.resize(steps, value);
        if let Some(histogram) = self.histograms.get(&0).cloned() {
            self.histograms.extend((1..steps).map(|step| (step, Arc::clone(&histogram))));
        }
    }

    /// Steps.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no steps at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether no step has a value.
    pub fn has_nothing(&self) -> bool {
        self.values.iter().all(|value| value.to_bits() == STALE_BITS)
    }

    /// Whether there is a value at a step.
    #[inline]
    pub fn is_set(&self, step: usize) -> bool {
        self.values[step].to_bits() != STALE_BITS
    }

    /// Values, a histogram counted as many as it takes the room of.
    pub fn samples(&self) -> usize {
        let values = self.values.iter().filter(|value| value.to_bits() != STALE_BITS).count();
        values + self.histograms.values().map(|histogram| histogram.positive.counts.len() / 2 + 8).sum::<usize>()
    }

    /// The memory it takes, histograms shared with others counted in full.
    pub fn bytes(&self) -> usize {
        let histograms = self.histograms.values().map(|histogram| {
            size_of::<Histogram>() + 8 * (histogram.positive.counts.len() + histogram.negative.counts.len())
        });
        self.values.len() * size_of::<f64>() + histograms.sum::<usize>()
    }

    /// Steps with histograms, and these.
    pub fn histograms(&self) -> impl Iterator<Item = (usize, &Arc<Histogram>)> + '_ {
        self.histograms.iter().map(|(step, histogram)| (*step, histogram))
    }

    /// Replaces each float by what `f` makes of it; empties the places of histograms.
    #[inline]
    pub fn map_floats(&mut self, f: impl Fn(f64) -> f64) {
        self.drop_histograms();
        for value in &mut self.values {
            if value.to_bits() != STALE_BITS {
                *value = f(*value);
            }
        }
    }

    /// Empties the places of histograms.
    pub fn drop_histograms(&mut self) {
        for (step, _) in std::mem::take(&mut self.histograms) {
            self.values[step] = f64::from_bits(STALE_BITS);
        }
    }

    /// Whether any place is a histogram.
    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The float at a step: `None` where there is nothing, or a histogram.
    #[inline]
    pub fn float(&self, step: usize) -> Option<f64> {
        let value = self.values[step];
        (!matches!(value.to_bits(), STALE_BITS | HISTOGRAM_BITS)).then_some(value)
    }

    /// The histogram at a step.
    pub fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(&step)
    }

    pub fn get(&self, step: usize) -> Option<Value> {
        match self.values[step].to_bits() {
            STALE_BITS => None,
            HISTOGRAM_BITS => self.histograms.get(&step).map(|histogram| Value::Histogram(Arc::clone(histogram))),
            _ => Some(Value::Float(self.values[step])),
        }
    }

    #[inline]
    pub fn set_float(&mut self, step: usize, value: f64) {
        if self.values[step].to_bits() == HISTOGRAM_BITS {
            self.histograms.remove(&step);
        }
        self.values[step] = value;
    }

    pub fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        self.values[step] = f64::from_bits(HISTOGRAM_BITS);
        self.histograms.insert(step, histogram);
    }

    pub fn set(&mut self, step: usize, value: Value) {
        match value {
            Value::Float(value) => self.set_float(step, value),
            Value::Histogram(histogram) => self.set_histogram(step, histogram),
        }
    }

    pub fn clear(&mut self, step: usize) {
        self.set_float(step, f64::from_bits(STALE_BITS));
    }

    /// Floats with the markers of empty places and of histograms, for loops over all steps.
    pub fn raw(&self) -> &[f64] {
        &self.values
    }

    /// The same, to be changed; only places that are floats before and after may be.
    pub fn raw_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Steps with their values.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Value)> + '_ {
        (0..self.len()).filter_map(|step| self.get(step).map(|value| (step, value)))
    }
}
