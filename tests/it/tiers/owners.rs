//! Whether an answer says truly where it comes from: by the tier map, hour by hour, with a rule of its own.

use std::collections::BTreeSet;

use kit::Question;
use query::Provenance;
use schemas::tier_map::{Form, Owner, Tier};
use schemas::{DurationMs, Hour, MetricId, Resolution, TierMap, TimeRange};

use super::given::{CLASS, World};

/// Answers that named each tier, and those that named several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) hot: u64,
    pub(crate) warm: u64,
    pub(crate) cold: u64,
    pub(crate) several: u64,
}

impl Named {
    pub(crate) fn count(&mut self, told: &Provenance) {
        self.hot += u64::from(told.tiers.contains(&Tier::Hot));
        self.warm += u64::from(told.tiers.contains(&Tier::Warm));
        self.cold += u64::from(told.tiers.contains(&Tier::Cold));
        self.several += u64::from(told.tiers.len() > 1);
    }
}

/// The range that a question covers: whole buckets.
pub(crate) fn covered(question: &Question) -> TimeRange {
    question.width.map_or(question.range, |width| question.range.align_outward(width))
}

/// The metrics with series that a question may reach.
fn metrics(world: &World, question: &Question) -> BTreeSet<MetricId> {
    let index = world.life().store.index();
    let found = index.select(&question.matchers, Some(question.range), usize::MAX).expect("there is a matcher");
    found.into_iter().map(|info| info.address.metric).collect()
}

/// Holds what is said against the tier map. All data is kept somewhere, so every answer must be complete.
pub(crate) fn assert_true(world: &World, question: &Question, told: &Provenance) {
    let view = world.life().store.view();
    let map = view.map();
    assert_eq!(told.data_version, map.version, "nothing has happened since");
    let metrics = metrics(world, question);
    if metrics.is_empty() {
        return;
    }
    assert!(told.complete, "{question:?}: {told:?}");
    let name = question.width.map_or("raw", |width| match width {
        DurationMs::MINUTE => "1m",
        DurationMs::HOUR => "1h",
        _ => "1d",
    });
    assert_eq!(told.resolution, name, "{question:?}");
    let range = covered(question);
    for segment in &told.segments {
        let spans = range.start() <= segment.start && segment.start < segment.end && segment.end <= range.end();
        assert!(spans && segment.complete && segment.resolution == name, "{question:?}: {segment:?}");
    }
    for hour in range.hours().iter() {
        assert_hour(map, &metrics, question, told, hour);
    }
    let segments: BTreeSet<Tier> = told.segments.iter().filter_map(|segment| segment.tier).collect();
    // What is newer than a base is hot; rollups that it touches are recomputed from raw points, wherever those are.
    let newer: BTreeSet<Hour> = view.overlay_hours().into_iter().map(|(hour, _)| hour).collect();
    let recomputed = |metric: &MetricId, hour: &Hour| {
        let form = map.form(CLASS, *metric, hour.day());
        newer.contains(hour) && map.owner(CLASS, form, Resolution::Raw, *hour) == Owner::Cold
    };
    let repaired = range.hours().iter().any(|hour| metrics.iter().any(|metric| recomputed(metric, &hour)));
    let truthful = |tier: &Tier| segments.contains(tier) || *tier == Tier::Hot || (*tier == Tier::Cold && repaired);
    assert!(!told.tiers.is_empty() && told.tiers.iter().all(truthful), "{question:?}: {told:?}");
}

/// For each metric some segment covers the hour with the tier of the metric's owner, and no segment names another's.
fn assert_hour(map: &TierMap, metrics: &BTreeSet<MetricId>, question: &Question, told: &Provenance, hour: Hour) {
    let within = covered(question).intersect(hour.range()).expect("an hour of the range");
    let wanted: BTreeSet<Tier> = metrics.iter().map(|&metric| tier(map, metric, question, hour)).collect();
    let touching = told.segments.iter().filter(|s| s.start < within.end() && within.start() < s.end);
    let found: BTreeSet<Tier> = touching.clone().filter_map(|segment| segment.tier).collect();
    assert_eq!(found, wanted, "hour {hour} of {question:?}: {told:?}");
    for tier in wanted {
        let mut end = within.start();
        for segment in touching.clone().filter(|s| s.tier == Some(tier)) {
            assert!(segment.start <= end, "a gap at {end} in {question:?}: {told:?}");
            end = end.max(segment.end);
        }
        assert!(end >= within.end(), "{tier} ends at {end} in {question:?}: {told:?}");
    }
}

/// The tier that answers an hour of a metric. What of it is local, RocksDB answers; among what is local, raw points
/// within their own duration and whatever is not sealed yet are hot, the rest is warm.
fn tier(map: &TierMap, metric: MetricId, question: &Question, hour: Hour) -> Tier {
    let form = map.form(CLASS, metric, hour.day());
    let owner = |resolution| map.owner(CLASS, form, resolution, hour);
    let is_local = |resolution: &Resolution| owner(*resolution) == Owner::Local;
    let cheapest_first: &[Resolution] = match question.width {
        None => &[Resolution::Raw],
        Some(DurationMs::MINUTE) => &[Resolution::Minute, Resolution::Raw],
        Some(_) => &[Resolution::Hour, Resolution::Minute, Resolution::Raw],
    };
    let Some(&read) = cheapest_first.iter().find(|resolution| is_local(resolution)) else { return Tier::Cold };
    let sealed_end = map.sealed_through.last_key_value().map_or(Hour(0), |(last, _)| last.next());
    let from_chunks = read == Resolution::Raw || (form == Form::Raw1m && read == Resolution::Minute);
    let in_time = hour >= map.thresholds(CLASS, Form::Raw, Resolution::Raw).hot_lo;
    if hour >= sealed_end || (from_chunks && in_time) { Tier::Hot } else { Tier::Warm }
}
