//! What is due, decided without touching the store.

use schemas::object_path::partition_start;
use schemas::tier_map::{ColdTable, Form, Thresholds};
use schemas::{DurationMs, Epoch, Hour, Resolution, Retention, RetentionClass, TimestampMs};

/// What the planner knows of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourState {
    pub hour: Hour,
    /// Through which epoch the hour's base holds everything; zero before its first seal.
    pub sealed_through: Epoch,
    /// The newest epoch with points of this hour that the base lacks, if any.
    pub newest: Option<Epoch>,
    /// When those points were first noticed, and when `newest` last changed (ms).
    pub first_seen: TimestampMs,
    pub last_change: TimestampMs,
}

/// When hours are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealTiming {
    /// How long after its end an hour is sealed for the first time.
    pub lateness: DurationMs,
    /// An hour whose points arrive late is sealed after this long without newer ones …
    pub quiet: DurationMs,
    /// … and at the latest this long after the first of them.
    pub patience: DurationMs,
}

impl Default for SealTiming {
    fn default() -> Self {
        Self { lateness: DurationMs::minutes(10), quiet: DurationMs::minutes(1), patience: DurationMs::minutes(10) }
    }
}

/// What to do with one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealDecision {
    /// Younger than its lateness allows, or late points may still be coming.
    Wait { until: TimestampMs },
    /// Ended and never sealed.
    First,
    /// Sealed through an epoch, and newer runs or the head hold points of it.
    Again { through: Epoch, newest: Epoch },
    /// Nothing newer than its base.
    Keep,
}

/// Decides one hour.
pub fn decide(state: &HourState, timing: SealTiming, now: TimestampMs) -> SealDecision {
    let Some(newest) = state.newest else { return SealDecision::Keep };
    let closes = state.hour.end().plus(timing.lateness);
    if now < closes {
        return SealDecision::Wait { until: closes };
    }
    // In a live stream the first points are long past. When a past range is loaded, the rest of the hour is on its way.
    let due = state.last_change.plus(timing.quiet).min(state.first_seen.plus(timing.patience));
    if now < due {
        return SealDecision::Wait { until: due };
    }
    match state.sealed_through {
        Epoch::ZERO => SealDecision::First,
        through => SealDecision::Again { through, newest },
    }
}

/// Decides every hour, oldest first.
pub fn seals(hours: &[HourState], timing: SealTiming, now: TimestampMs) -> Vec<(Hour, SealDecision)> {
    hours.iter().map(|state| (state.hour, decide(state, timing, now))).collect()
}

/// Hours to seal now whatever their lateness: all that have ended and hold something newer than their base.
pub fn seals_without_waiting(hours: &[HourState], now: TimestampMs) -> Vec<Hour> {
    hours.iter().filter(|state| state.newest.is_some() && state.hour.end() <= now).map(|state| state.hour).collect()
}

/// A threshold that the durations ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub class: RetentionClass,
    pub form: Form,
    pub resolution: Resolution,
    pub thresholds: Thresholds,
    /// The local duration behind `thresholds.hot_lo`.
    pub keep: DurationMs,
}

/// How long RocksDB keeps a (form, resolution). Identity chunks serve 1-minute reads too, so they stay as long as
/// either is kept.
fn local_duration(retention: &Retention, form: Form, resolution: Resolution) -> DurationMs {
    match (form, resolution) {
        (Form::Raw, Resolution::Raw) => retention.hot_raw,
        (Form::Raw1m, Resolution::Raw | Resolution::Minute) => retention.hot_raw.max(retention.warm_rollup_1m),
        (Form::Raw, Resolution::Minute) => retention.warm_rollup_1m,
        (Form::Raw | Form::Raw1m, Resolution::Hour) => retention.warm_rollup_1h,
    }
}

/// How long Delta keeps a resolution.
fn cold_duration(retention: &Retention, resolution: Resolution) -> DurationMs {
    match resolution {
        Resolution::Raw => retention.cold_raw,
        Resolution::Minute => retention.cold_rollup_1m,
        Resolution::Hour => retention.cold_rollup_1h,
    }
}

/// From which hour on Delta keeps a resolution. Partitions go whole, and no hour is denied that is still stored, so it is
/// the first hour of a partition.
fn cold_kept_from(retention: &Retention, resolution: Resolution, now: TimestampMs) -> Hour {
    let hour = Hour::containing(now.minus(cold_duration(retention, resolution)));
    partition_start(ColdTable::of(resolution), hour.day()).hours().start
}

/// The durations of the Delta tables that hold data.
pub fn cold_durations(retention: &Retention) -> [(ColdTable, DurationMs); 3] {
    Resolution::ALL.map(|resolution| (ColdTable::of(resolution), cold_duration(retention, resolution)))
}

/// The thresholds that the durations of the default class ask for now.
pub fn wanted_thresholds(retention: &Retention, now: TimestampMs) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for form in Form::ALL {
        for resolution in Resolution::ALL {
            let keep = local_duration(retention, form, resolution);
            let hot_lo = Hour::containing(now.minus(keep));
            let cold_lo = cold_kept_from(retention, resolution, now).min(hot_lo);
            let thresholds = Thresholds { hot_lo, cold_lo };
            wanted.push(Wanted { class: RetentionClass::DEFAULT, form, resolution, thresholds, keep });
        }
    }
    wanted
}

/// The first hour of which some tier will still keep raw points, whatever a metric's form.
pub fn wanted_intake_floor(retention: &Retention, now: TimestampMs) -> Hour {
    let raw = wanted_thresholds(retention, now).into_iter().filter(|w| w.resolution == Resolution::Raw);
    raw.map(|w| w.thresholds.cold_lo).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENESS_MS: i64 = 600_000;

    fn state(sealed: u32, newest: Option<u32>, seen: i64) -> HourState {
        HourState {
            hour: Hour(1),
            sealed_through: Epoch(sealed),
            newest: newest.map(Epoch),
            first_seen: TimestampMs(seen),
            last_change: TimestampMs(seen),
        }
    }

    fn decide_at(state: &HourState, now: i64) -> SealDecision {
        decide(state, SealTiming::default(), TimestampMs(now))
    }

    #[test]
    fn an_hour_is_sealed_at_its_end_plus_lateness() {
        let closes = Hour(1).end().0 + LATENESS_MS;
        let fresh = state(0, Some(3), 0);
        assert_eq!(decide_at(&fresh, closes - 1), SealDecision::Wait { until: TimestampMs(closes) });
        assert_eq!(decide_at(&fresh, closes), SealDecision::First);
    }

    #[test]
    fn a_past_hour_is_not_sealed_while_it_is_being_loaded() {
        let noticed = 10 * LATENESS_MS + Hour(1).end().0;
        let loading = state(0, Some(4), noticed);
        assert_eq!(decide_at(&loading, noticed), SealDecision::Wait { until: TimestampMs(noticed + 60_000) });
        assert_eq!(decide_at(&loading, noticed + 60_000), SealDecision::First);
    }

    #[test]
    fn late_points_seal_again_after_a_quiet_minute() {
        let noticed = 10 * LATENESS_MS + Hour(1).end().0;
        let late = state(3, Some(4), noticed);
        assert_eq!(decide_at(&late, noticed), SealDecision::Wait { until: TimestampMs(noticed + 60_000) });
        assert_eq!(decide_at(&late, noticed + 60_000), SealDecision::Again { through: Epoch(3), newest: Epoch(4) });
    }

    #[test]
    fn a_steady_trickle_is_sealed_after_ten_minutes_at_the_latest() {
        let noticed = 10 * LATENESS_MS + Hour(1).end().0;
        let trickle = HourState { last_change: TimestampMs(noticed + 599_000), ..state(3, Some(9), noticed) };
        assert!(matches!(decide_at(&trickle, noticed + 599_999), SealDecision::Wait { .. }));
        assert!(matches!(decide_at(&trickle, noticed + 600_000), SealDecision::Again { .. }));
    }

    #[test]
    fn an_hour_without_newer_points_is_kept() {
        assert_eq!(decide_at(&state(3, None, 0), i64::MAX / 2), SealDecision::Keep);
    }

    #[test]
    fn identity_chunks_stay_as_long_as_minutes_do() {
        let now = TimestampMs(Hour(100_000).start().0);
        let wanted = wanted_thresholds(&Retention::default(), now);
        let hot_lo = |form, resolution| {
            let found = wanted.iter().find(|w| (w.form, w.resolution) == (form, resolution));
            found.expect("every pair has a threshold").thresholds.hot_lo
        };
        assert_eq!(hot_lo(Form::Raw, Resolution::Raw), Hour(100_000 - 7 * 24));
        assert_eq!(hot_lo(Form::Raw1m, Resolution::Raw), Hour(100_000 - 30 * 24));
        assert_eq!(hot_lo(Form::Raw1m, Resolution::Raw), hot_lo(Form::Raw1m, Resolution::Minute));
    }

    #[test]
    fn cold_begins_with_a_partition() {
        // The fourth hour of 21 November 2026.
        let now = TimestampMs(1_795_230_000_000);
        let keep =
            Retention { cold_raw: DurationMs::days(40), cold_rollup_1h: DurationMs::days(40), ..Retention::default() };
        let cold_lo = |resolution| {
            let found = wanted_thresholds(&keep, now).into_iter().find(|w| w.resolution == resolution);
            found.expect("every resolution has one").thresholds.cold_lo.to_string()
        };
        assert_eq!(cold_lo(Resolution::Raw), "2026-10-12T00", "days");
        assert_eq!(cold_lo(Resolution::Hour), "2026-10-01T00", "months");
    }

    #[test]
    fn cold_never_begins_after_hot() {
        let brief = Retention { cold_raw: DurationMs::days(1), ..Retention::default() };
        for w in wanted_thresholds(&brief, TimestampMs(Hour(100_000).start().0)) {
            assert!(w.thresholds.cold_lo <= w.thresholds.hot_lo);
        }
    }

    #[test]
    fn sealing_now_takes_every_ended_hour_and_never_the_running_one() {
        let hours = [state(0, Some(1), 0), HourState { hour: Hour(2), ..state(0, Some(1), 0) }];
        let now = TimestampMs(Hour(2).start().0 + 1);
        assert_eq!(seals_without_waiting(&hours, now), [Hour(1)]);
    }
}
