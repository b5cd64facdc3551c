//! Sums and means of the native histograms of a group at one step.

use std::sync::Arc;

use schemas::histogram::Histogram;

use crate::error::Span;
use crate::histogram::{Mean, Operation, Subject, Sum, compact, multiply};
use crate::math::float_of;
use crate::notes::Notes;

/// A sum or a mean, in parts: one of each block.
pub(super) struct Total {
    parts: Vec<Part>,
    is_mean: bool,
    /// Exponential and custom buckets met: there is no value.
    incompatible: bool,
}

struct Part {
    value: Value,
    count: usize,
}

enum Value {
    Sum(Sum),
    Mean(Mean),
}

impl Total {
    pub(super) fn new(is_mean: bool) -> Self {
        Self { parts: Vec::new(), is_mean, incompatible: false }
    }

    pub(super) fn add(&mut self, histogram: &Histogram, subject: &Subject<'_>, notes: &mut Notes) {
        if self.incompatible {
            return;
        }
        let Some(part) = self.parts.last_mut() else {
            let value = match self.is_mean {
                true => Value::Mean(Mean::new(histogram)),
                false => Value::Sum(Sum::new(histogram)),
            };
            self.parts.push(Part { value, count: 1 });
            return;
        };
        let added = match &mut part.value {
            Value::Sum(sum) => sum.add(histogram).is_ok(),
            Value::Mean(mean) => mean.add(histogram).is_ok(),
        };
        part.count += 1;
        if !added {
            subject.mixed_schemas(notes);
            self.incompatible = true;
        }
    }

    pub(super) fn merge(&mut self, later: Self) {
        self.parts.extend(later.parts);
        self.incompatible |= later.incompatible;
    }

    pub(super) fn finish(self, span: Span, notes: &mut Notes) -> Option<Arc<Histogram>> {
        let subject = Subject { metric: "", span };
        let count: usize = self.parts.iter().map(|part| part.count).sum();
        let (mut whole, mut resets_collide, mut bounds_differed) = (None::<Sum>, false, false);
        let mut incompatible = self.incompatible;
        for part in &self.parts {
            let (histogram, noticed) = match &part.value {
                Value::Sum(sum) => (sum.histogram(), sum.noticed()),
                Value::Mean(mean) if part.count == count => (mean.histogram(), mean.noticed()),
                Value::Mean(mean) => {
                    (multiply(&mean.histogram(), float_of(part.count) / float_of(count)), mean.noticed())
                }
            };
            resets_collide |= noticed.resets_collide;
            bounds_differed |= noticed.bounds_differed;
            match &mut whole {
                None => whole = Some(Sum::new(&histogram)),
                Some(whole) => incompatible |= whole.add(&histogram).is_err(),
            }
        }
        let whole = whole?;
        if bounds_differed || whole.noticed().bounds_differed {
            subject.bounds_reconciled(Operation::Aggregation, notes);
        }
        if incompatible {
            if !self.incompatible {
                subject.mixed_schemas(notes);
            }
            return None;
        }
        if resets_collide || whole.noticed().resets_collide {
            subject.reset_collision(Operation::Aggregation, notes);
        }
        Some(Arc::new(compact(whole.histogram())))
    }
}
