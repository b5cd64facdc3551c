//! One connection: takes requests from its source, keeps to the pace, sends, and counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use runtime::{Clock, SystemClock};
use schemas::{DurationMs, TimestampMs};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::{Draft, Request, Template};
use super::report::Tally;
use super::sender::Sender;
use super::workload::{Fleet, Host};
use super::{ProtocolName, Times, pause};

/// Makes the requests of some hosts, time after time.
#[derive(Debug)]
pub(super) struct Source {
    fleet: Arc<Fleet>,
    hosts: Vec<(Host, Template)>,
    draft: Draft,
    points_per_request: u64,
    every: DurationMs,
    /// Where we are: the time of the next point, the end, and the host whose turn it is.
    next: TimestampMs,
    end: TimestampMs,
    turn: usize,
    ready: VecDeque<Request>,
}

impl Source {
    pub(super) fn new(
        fleet: &Arc<Fleet>,
        hosts: impl Iterator<Item = u32>,
        protocol: ProtocolName,
        points_per_request: u32,
        every: DurationMs,
    ) -> Self {
        let hosts = hosts
            .map(|number| {
                let host = fleet.host(number);
                let template = Template::new(protocol, &host, fleet.metrics());
                (host, template)
            })
            .collect();
        Self {
            fleet: Arc::clone(fleet),
            hosts,
            draft: Draft::new(protocol),
            points_per_request: u64::from(points_per_request),
            every,
            next: TimestampMs(0),
            end: TimestampMs(0),
            turn: 0,
            ready: VecDeque::new(),
        }
    }

    /// Sets the times of the points to come, `[from, to)`.
    pub(super) fn set_range(&mut self, from: TimestampMs, to: TimestampMs) {
        (self.next, self.end, self.turn) = (from, to, 0);
    }

    /// Makes all requests of the range.
    pub(super) fn prebuild(&mut self) -> anyhow::Result<()> {
        while let Some(request) = self.make()? {
            self.ready.push_back(request);
        }
        Ok(())
    }

    /// The next request, or `None` when the range is done.
    pub(super) fn next_request(&mut self) -> anyhow::Result<Option<Request>> {
        match self.ready.pop_front() {
            Some(request) => Ok(Some(request)),
            None => self.make(),
        }
    }

    fn make(&mut self) -> anyhow::Result<Option<Request>> {
        let metrics = self.fleet.metrics();
        while self.next < self.end && self.draft.points() < self.points_per_request {
            let (host, template) = &mut self.hosts[self.turn];
            host.advance(metrics);
            self.draft.write(template, host, metrics, self.next.0);
            self.turn += 1;
            if self.turn == self.hosts.len() {
                self.turn = 0;
                self.next = self.next.plus(self.every);
            }
        }
        if self.draft.points() == 0 { Ok(None) } else { self.draft.finish().map(Some) }
    }
}

/// Spreads points evenly over time, over all connections together.
#[derive(Debug)]
pub(super) struct Pace {
    points_per_second: Option<u64>,
    begun: Instant,
    points: AtomicU64,
}

impl Pace {
    pub(super) fn new(points_per_second: Option<u64>) -> Self {
        Self { points_per_second, begun: Instant::now(), points: AtomicU64::new(0) }
    }

    /// How long to wait before `points` more may be sent; takes their turn.
    fn wait(&self, points: u64) -> Duration {
        self.wait_after(self.begun.elapsed(), points)
    }

    fn wait_after(&self, elapsed: Duration, points: u64) -> Duration {
        let Some(rate) = self.points_per_second else { return Duration::ZERO };
        let before = self.points.fetch_add(points, Ordering::Relaxed);
        let due_ms = u128::from(before) * 1_000 / u128::from(rate);
        let due = Duration::from_millis(u64::try_from(due_ms).unwrap_or(u64::MAX));
        due.saturating_sub(elapsed)
    }
}

/// A connection at work.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) source: Source,
    pub(super) sender: Sender,
    pub(super) pace: Arc<Pace>,
    pub(super) stop: CancellationToken,
    pub(super) bar: ProgressBar,
    pub(super) tally: Tally,
}

impl Worker {
    pub(super) async fn run(mut self, times: Times, every: DurationMs) -> anyhow::Result<Tally> {
        match times {
            Times::Past { .. } => self.send_all().await?,
            Times::Live { length } => {
                let end = length.map(|length| TimestampMs(SystemClock.now_ms()).plus(length));
                self.send_present(every, end).await?;
            }
        }
        Ok(self.tally)
    }

    /// Sends what the source has.
    async fn send_all(&mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            let Some(request) = self.source.next_request()? else { break };
            if !pause(self.pace.wait(request.points), &self.stop).await {
                break;
            }
            let points = request.points;
            let sent = self.sender.send(request, &self.stop).await?;
            self.tally.count(points, &sent);
            self.bar.inc(points);
        }
        Ok(())
    }

    /// Sends a point a series at every multiple of `every`, until `end`. A step that could not be sent in time is left
    /// out: the load is on the clock, not on the server.
    async fn send_present(&mut self, every: DurationMs, end: Option<TimestampMs>) -> anyhow::Result<()> {
        let mut step = TimestampMs(SystemClock.now_ms()).floor_to(every);
        while end.is_none_or(|end| step < end) {
            self.source.set_range(step, step.plus(DurationMs(1)));
            self.send_all().await?;
            let now = TimestampMs(SystemClock.now_ms());
            step = now.floor_to(every).max(step).plus(every);
            let wait = DurationMs(step.0.saturating_sub(now.0)).as_std();
            let waited = end.map_or(wait, |end| wait.min(DurationMs(end.0.saturating_sub(now.0)).as_std()));
            if !pause(waited, &self.stop).await {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::WorkloadName;
    use super::*;

    #[test]
    fn a_source_makes_every_point_of_its_range_in_full_requests() {
        let fleet = Arc::new(Fleet::new(WorkloadName::CpuOnly, None, 1));
        let mut source = Source::new(&fleet, 0..7, ProtocolName::Influx, 100, DurationMs::SECOND);
        source.set_range(TimestampMs(1_000_000), TimestampMs(1_005_500));
        let mut points = Vec::new();
        while let Some(request) = source.next_request().expect("plain") {
            points.push(request.points);
        }
        // Six steps of seven hosts with ten metrics each.
        assert_eq!(points, [100, 100, 100, 100, 20]);
    }

    #[test]
    fn prebuilt_requests_are_the_same_bytes() {
        let fleet = Arc::new(Fleet::new(WorkloadName::Fleet, None, 1));
        let bodies = |prebuilt: bool| {
            let mut source = Source::new(&fleet, 0..3, ProtocolName::Json, 50, DurationMs::MINUTE);
            source.set_range(TimestampMs(0), TimestampMs(300_000));
            if prebuilt {
                source.prebuild().expect("plain");
            }
            let mut bodies = Vec::new();
            while let Some(request) = source.next_request().expect("plain") {
                bodies.push(request.body);
            }
            bodies
        };
        assert_eq!(bodies(false), bodies(true));
    }

    #[test]
    fn the_pace_spreads_points_over_time() {
        let pace = Pace::new(Some(1_000));
        assert_eq!(pace.wait_after(Duration::ZERO, 500), Duration::ZERO);
        assert_eq!(pace.wait_after(Duration::ZERO, 500), Duration::from_millis(500));
        assert_eq!(pace.wait_after(Duration::from_millis(600), 500), Duration::from_millis(400));
        assert_eq!(Pace::new(None).wait_after(Duration::ZERO, 1 << 40), Duration::ZERO);
    }
}
