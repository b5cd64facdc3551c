//! Totals of what senders tell in differences (delta temporality).
//!
//! request ─▶ [`Session`]: difference ─▶ total so far + difference ─▶ stored ─▶ [`Session::commit`]
//!
//! A total is kept per stored series, in memory only: after a restart, or when nothing came for longer than the expiry,
//! it starts anew, which queries see as a counter reset. A point of the same time as the last one is a repetition and
//! gives the same total; an older one is refused, for the totals after it are stored already.
//!
//! Requests with differences exclude each other from their first difference until their points are stored, and what a
//! refused request would have changed is forgotten: so a request that is sent again after a 503 counts once.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use schemas::histogram::Histogram;
use schemas::{RejectReason, SeriesHash};

use super::Settings;
use super::histograms::merged;

/// How often expired totals are looked for, as a part of the expiry.
const SWEEPS_PER_EXPIRY: i64 = 4;

/// The totals of all series.
#[derive(Debug, Default)]
pub(super) struct Deltas(Mutex<Totals>);

#[derive(Debug, Default)]
struct Totals {
    series: HashMap<SeriesHash, Total>,
    swept_ms: i64,
}

/// The total of one series.
#[derive(Debug, Clone)]
struct Total {
    /// The time of the last point, in ns.
    time_ns: u64,
    /// When it came, in ms.
    came_ms: i64,
    sum: Sum,
}

#[derive(Debug, Clone)]
enum Sum {
    Number(f64),
    Histogram(Box<Histogram>),
}

/// One request's share in the totals.
#[derive(Debug)]
pub struct Session<'d> {
    settings: &'d Settings,
    deltas: &'d Deltas,
    held: Option<MutexGuard<'d, Totals>>,
    changed: HashMap<SeriesHash, Total>,
    /// How many of the changed series are new.
    new: usize,
}

impl<'d> Session<'d> {
    pub(super) fn new(settings: &'d Settings, deltas: &'d Deltas) -> Self {
        Self { settings, deltas, held: None, changed: HashMap::new(), new: 0 }
    }

    pub(super) fn settings(&self) -> &'d Settings {
        self.settings
    }

    /// The total of a series with `difference` in it; times in ns, now in ms.
    pub(super) fn add(
        &mut self,
        series: SeriesHash,
        time_ns: u64,
        now_ms: i64,
        difference: f64,
    ) -> Result<f64, RejectReason> {
        let sum = self.total(series, time_ns, now_ms, |sum| match sum {
            Some(Sum::Number(total)) => Sum::Number(total + difference),
            Some(Sum::Histogram(_)) | None => Sum::Number(difference),
        })?;
        Ok(match sum {
            Sum::Number(total) => *total,
            Sum::Histogram(_) => difference,
        })
    }

    /// The total of a series of histograms with `difference` in it.
    pub(super) fn merge(
        &mut self,
        series: SeriesHash,
        time_ns: u64,
        now_ms: i64,
        difference: Histogram,
    ) -> Result<Histogram, RejectReason> {
        let sum = self.total(series, time_ns, now_ms, |sum| match sum {
            Some(Sum::Histogram(total)) => Sum::Histogram(Box::new(merged(total, &difference))),
            Some(Sum::Number(_)) | None => Sum::Histogram(Box::new(difference.clone())),
        })?;
        Ok(match sum {
            Sum::Histogram(total) => Histogram::clone(total),
            Sum::Number(_) => difference,
        })
    }

    fn total(
        &mut self,
        series: SeriesHash,
        time_ns: u64,
        now_ms: i64,
        next: impl FnOnce(Option<&Sum>) -> Sum,
    ) -> Result<&Sum, RejectReason> {
        let (settings, deltas) = (self.settings, self.deltas);
        let held = self.held.get_or_insert_with(|| {
            let mut totals = deltas.0.lock();
            totals.sweep(now_ms, settings.delta_expiry_ms);
            totals
        });
        let known = self.changed.get(&series).or_else(|| held.series.get(&series));
        let total = match known {
            Some(known) if time_ns == known.time_ns => known.clone(),
            Some(known) if time_ns < known.time_ns => {
                return Err(RejectReason::Delta(
                    "a delta point older than one that is in the total already".to_owned(),
                ));
            }
            Some(known) => Total { time_ns, came_ms: now_ms, sum: next(Some(&known.sum)) },
            None if held.series.len() + self.new >= settings.delta_series_max => {
                let limit = settings.delta_series_max;
                let what = format!("{limit} series of deltas are accumulated, the limit (otlp.delta_series)");
                return Err(RejectReason::Delta(what));
            }
            None => {
                self.new += 1;
                Total { time_ns, came_ms: now_ms, sum: next(None) }
            }
        };
        let place = self.changed.entry(series).insert_entry(total).into_mut();
        Ok(&place.sum)
    }

    /// The points of the request are stored: its totals are those from now on.
    pub fn commit(mut self) {
        if let Some(held) = &mut self.held {
            held.series.extend(self.changed.drain());
        }
    }
}

impl Totals {
    /// Forgets totals to which nothing came for too long.
    fn sweep(&mut self, now_ms: i64, expiry_ms: i64) {
        if now_ms.saturating_sub(self.swept_ms) >= expiry_ms / SWEEPS_PER_EXPIRY {
            self.swept_ms = now_ms;
            self.series.retain(|_, total| now_ms.saturating_sub(total.came_ms) < expiry_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: SeriesHash = SeriesHash(7);

    fn settings(delta_series_max: usize) -> Settings {
        Settings { delta_series_max, delta_expiry_ms: 1_000, ..Settings::default() }
    }

    #[test]
    fn differences_add_up_once_they_are_stored() {
        let (settings, deltas) = (settings(10), Deltas::default());
        let mut refused = Session::new(&settings, &deltas);
        assert_eq!(refused.add(SERIES, 1, 0, 5.0), Ok(5.0));
        drop(refused);
        let mut stored = Session::new(&settings, &deltas);
        assert_eq!(stored.add(SERIES, 1, 0, 5.0), Ok(5.0));
        assert_eq!(stored.add(SERIES, 2, 0, 3.0), Ok(8.0));
        stored.commit();
        assert_eq!(Session::new(&settings, &deltas).add(SERIES, 3, 0, 1.0), Ok(9.0));
    }

    #[test]
    fn a_repetition_gives_the_same_total_and_an_older_point_none() {
        let (settings, deltas) = (settings(10), Deltas::default());
        let mut session = Session::new(&settings, &deltas);
        assert_eq!(session.add(SERIES, 5, 0, 2.0), Ok(2.0));
        session.commit();
        let mut session = Session::new(&settings, &deltas);
        assert_eq!(session.add(SERIES, 5, 0, 2.0), Ok(2.0));
        assert_eq!(session.add(SERIES, 4, 0, 2.0).map_err(|reason| reason.code()), Err("delta"));
    }

    #[test]
    fn totals_are_bounded_and_forgotten_in_time() {
        let (settings, deltas) = (settings(1), Deltas::default());
        let mut session = Session::new(&settings, &deltas);
        assert_eq!(session.add(SERIES, 1, 0, 2.0), Ok(2.0));
        assert!(session.add(SeriesHash(8), 1, 0, 2.0).is_err());
        session.commit();
        let mut soon = Session::new(&settings, &deltas);
        assert!(soon.add(SeriesHash(8), 1, 999, 2.0).is_err());
        assert_eq!(soon.add(SERIES, 2, 999, 1.0), Ok(3.0));
        drop(soon);
        let mut late = Session::new(&settings, &deltas);
        assert_eq!(late.add(SeriesHash(8), 3, 1_500, 2.0), Ok(2.0));
    }
}
