//! Made-up hosts whose values are a function of metric, host and time, so that any answer can be computed without
//! asking the server.

use std::fmt::Write;

use schemas::time::DAY_MS;
use schemas::{DurationMs, TimeRange, TimestampMs};

/// Hosts in the fleet.
pub(crate) const HOSTS: u32 = 50;
/// Time between two points of a series.
pub(crate) const STEP: DurationMs = DurationMs(30_000);

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-south-1"];

/// A metric of every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    CpuUsage,
    MemoryUsage,
    NetworkReceiveBytes,
}

impl Metric {
    pub(crate) const ALL: [Self; 3] = [Self::CpuUsage, Self::MemoryUsage, Self::NetworkReceiveBytes];

    /// Measurement and field of line protocol; joined by `_` they are the metric's name.
    fn measurement_and_field(self) -> (&'static str, &'static str) {
        match self {
            Self::CpuUsage => ("cpu", "usage"),
            Self::MemoryUsage => ("memory", "usage"),
            Self::NetworkReceiveBytes => ("network", "receive_bytes"),
        }
    }
}

/// The fleet and the time for which it has points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet {
    range: TimeRange,
}

impl Fleet {
    /// Points of the `length` before `now`, up to the last full minute.
    pub(crate) fn of_past(length: DurationMs, now: TimestampMs) -> Self {
        let end = now.floor_to(DurationMs::MINUTE);
        Self { range: TimeRange::new(end.minus(length), end).expect("lengths are not negative") }
    }

    pub(crate) fn range(&self) -> TimeRange {
        self.range
    }

    /// All points of the fleet.
    pub(crate) fn points(&self) -> usize {
        self.timestamps(self.range).count() * Metric::ALL.len() * HOSTS as usize
    }

    /// The times of points within `range`.
    pub(crate) fn timestamps(&self, range: TimeRange) -> impl Iterator<Item = TimestampMs> + use<> {
        let range = range.intersect(self.range);
        let (start, end) = range.map_or((0, 0), |range| (range.start().ceil_to(STEP).0, range.end().0));
        (start..end).step_by(usize::try_from(STEP.0).expect("a positive step")).map(TimestampMs)
    }

    /// The value of a point: two decimals for gauges, whole numbers for the counter.
    pub(crate) fn value(&self, metric: Metric, host: u32, ts: TimestampMs) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "times of day and of the demo are far below 2^53")]
        let (day, seconds) =
            (ts.0.rem_euclid(DAY_MS) as f64 / DAY_MS as f64, (ts.0 - self.range.start().0) as f64 / 1e3);
        let phase = std::f64::consts::TAU * (day + f64::from(host) / f64::from(HOSTS));
        match metric {
            Metric::CpuUsage => cents(50.0 + 30.0 * phase.sin() + 10.0 * noise(host, ts)),
            Metric::MemoryUsage => cents(40.0 + 0.5 * f64::from(host) + 5.0 * phase.cos()),
            Metric::NetworkReceiveBytes => (seconds * 1_000.0 * f64::from(host + 1)).floor(),
        }
    }

    /// Appends the points of all hosts and metrics at `ts` as line protocol with milliseconds.
    pub(crate) fn write_lines(&self, ts: TimestampMs, out: &mut String) {
        for metric in Metric::ALL {
            let (measurement, field) = metric.measurement_and_field();
            for host in 0..HOSTS {
                let (name, region, value) = (server_id(host), region(host), self.value(metric, host, ts));
                // Writing to a string cannot fail.
                let _ = writeln!(out, "{measurement},server_id={name},region={region} {field}={value} {}", ts.0);
            }
        }
    }
}

/// The label `server_id` of a host.
pub(crate) fn server_id(host: u32) -> String {
    format!("host-{host:02}")
}

/// The label `region` of a host.
pub(crate) fn region(host: u32) -> &'static str {
    REGIONS[host as usize % REGIONS.len()]
}

fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// From −1 to 1, the same for the same host and time: the finalizer of SplitMix64.
fn noise(host: u32, ts: TimestampMs) -> f64 {
    let mut z = ts.0.cast_unsigned() ^ (u64::from(host) << 48);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = u32::try_from((z ^ (z >> 31)) >> 32).expect("the upper half of 64 bits");
    f64::from(top) / f64::from(u32::MAX) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_being_written_as_text() {
        let fleet = Fleet::of_past(DurationMs::hours(1), TimestampMs(1_742_221_812_345));
        for ts in fleet.timestamps(fleet.range()) {
            for metric in Metric::ALL {
                let value = fleet.value(metric, 7, ts);
                assert_eq!(value.to_string().parse::<f64>().expect("a number").to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn a_fleet_has_a_point_a_step_for_each_series() {
        let fleet = Fleet::of_past(DurationMs::hours(1), TimestampMs(1_742_221_812_345));
        assert_eq!(fleet.points(), 120 * 3 * 50);
        let mut lines = String::new();
        fleet.write_lines(fleet.range().start(), &mut lines);
        assert_eq!(lines.lines().count(), 150);
        assert!(lines.starts_with("cpu,server_id=host-00,region=us-east-1 usage="), "{lines}");
    }
}
