//! How a metric's chunks of a day are kept: decided before the day's first seal of it, and never changed within the day.
//!
//! as yesterday · else, from 1,000 points on: by size, raw chunks against 1-minute rows with their sketches · else identity
//!
//! A chunk that is smaller than the rows it would be rolled up into serves 1-minute reads itself (storage.md, Identity).
//! Sizes are taken of a sample of the metric's series in the hour, the same one whenever the hour is sealed.

use std::sync::Arc;

use schemas::chunk::ChunkEncoder;
use schemas::meta::MetaRecord;
use schemas::rollup::bucketize;
use schemas::tier_map::Form;
use schemas::{Day, DurationMs, Hour, MetricId, Points, RetentionClass, SeriesAddress, TierMap, rollup_row};

use super::merge;
use crate::error::HotError;
use crate::store::Core;
use crate::view::View;

/// Series whose sizes stand for those of the metric.
const SAMPLE_SERIES: usize = 256;
/// Below this many points in the sample, sizes say little.
const SAMPLE_POINTS_MIN: u64 = 1_000;

/// Decides, records and publishes the forms of those metrics that have none on the hour's day.
pub(super) fn decide(
    core: &Core,
    view: &View,
    hour: Hour,
    metrics: &[(RetentionClass, MetricId)],
) -> Result<(), HotError> {
    let undecided = |map: &TierMap| -> Vec<(RetentionClass, MetricId)> {
        let has_form =
            |&(class, metric): &(RetentionClass, MetricId)| map.forms.contains_key(&(class, hour.day(), metric));
        metrics.iter().copied().filter(|metric| !has_form(metric)).collect()
    };
    if undecided(view.map()).is_empty() {
        return Ok(());
    }
    let _one_at_a_time = core.forms().lock();
    // Another hour of the day may have been first.
    let map = Arc::clone(core.view().map_arc());
    let mut decided: Vec<MetaRecord> = Vec::new();
    for (class, metric) in undecided(&map) {
        let yesterday = hour.day().0.checked_sub(1).map(Day);
        let as_before = yesterday.and_then(|day| map.forms.get(&(class, day, metric)).copied());
        let form = match as_before {
            Some(form) => form,
            None => by_size(view, hour, class, metric)?,
        };
        decided.push(MetaRecord::Form(class, hour.day(), metric, form));
    }
    core.publication().record(core.engine(), "cannot record the forms of metrics", |_, change| {
        decided.into_iter().for_each(|form| change.put(form));
        Ok(())
    })
}

fn by_size(view: &View, hour: Hour, class: RetentionClass, metric: MetricId) -> Result<Form, HotError> {
    let mut sizes = Sizes::default();
    merge::sample_runs(view, hour, (class, metric), SAMPLE_SERIES, &mut |_: SeriesAddress, points| {
        sizes.add(hour, points);
    })?;
    Ok(sizes.form())
}

/// What a sample takes in either form.
#[derive(Debug, Default)]
struct Sizes {
    points: u64,
    chunk_bytes: u64,
    row_bytes: u64,
    encoder: ChunkEncoder,
    scratch: Vec<u8>,
}

impl Sizes {
    fn add(&mut self, hour: Hour, points: &Points) {
        self.points += points.len() as u64;
        self.scratch.clear();
        self.encoder.encode_points(points, 0..points.len(), &mut self.scratch);
        self.chunk_bytes += self.scratch.len() as u64;
        let mut buckets = Vec::new();
        bucketize(&points.timestamps, &points.values, DurationMs::MINUTE, |bucket| buckets.push(bucket));
        self.scratch.clear();
        // Native histograms have no rows.
        if buckets.is_empty() {
            return;
        }
        rollup_row::encode_buckets(DurationMs::MINUTE, hour.start(), &buckets, true, &mut self.scratch);
        self.row_bytes += self.scratch.len() as u64;
    }

    fn form(&self) -> Form {
        if self.points >= SAMPLE_POINTS_MIN && self.chunk_bytes >= self.row_bytes { Form::Raw } else { Form::Raw1m }
    }
}

#[cfg(test)]
mod tests {
    use schemas::histogram::Histogram;

    use super::*;

    fn points(every_ms: i64) -> Points {
        let mut points = Points::default();
        for i in 0..schemas::time::HOUR_MS / every_ms {
            let noise = (i.wrapping_mul(7_919) % 1_009).wrapping_mul(31) % 997;
            points.push(i * every_ms, f64::from(i32::try_from(noise).expect("small")) / 100.0);
        }
        points
    }

    fn form_of(every_ms: i64, series: usize) -> Form {
        let mut sizes = Sizes::default();
        for _ in 0..series {
            sizes.add(Hour(0), &points(every_ms));
        }
        sizes.form()
    }

    #[test]
    fn ten_second_scrapes_are_identity_and_dense_metrics_are_not() {
        assert_eq!(form_of(10_000, 10), Form::Raw1m);
        assert_eq!(form_of(100, 1), Form::Raw);
    }

    #[test]
    fn histograms_have_no_rows_so_a_metric_of_them_that_is_not_small_is_kept_as_raw() {
        let histogram = Arc::new(Histogram::default());
        let form_of = |points: i64| {
            let mut sizes = Sizes::default();
            let mut all = Points::default();
            (0..points).for_each(|i| all.push_histogram(i, Arc::clone(&histogram)));
            sizes.add(Hour(0), &all);
            sizes.form()
        };
        assert_eq!((form_of(999), form_of(1_000)), (Form::Raw1m, Form::Raw));
    }

    #[test]
    fn a_small_metric_is_identity() {
        let mut sizes = Sizes::default();
        let mut few = Points::default();
        (0..999).for_each(|i| few.push(i, f64::NAN));
        sizes.add(Hour(0), &few);
        assert_eq!(sizes.form(), Form::Raw1m);
    }
}
