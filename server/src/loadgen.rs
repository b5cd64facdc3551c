//! `thermocline loadgen`: pushes the metrics of a made-up fleet, over any protocol, as fast as it is taken or at a rate.
//!
//! seed ─▶ hosts ([`workload`]) ─▶ bodies ([`body`], one stripe of hosts a connection) ─▶ POST ([`sender`]) ─▶ [`report`]
//!
//! The same seed gives the same points, however many connections send them: a host belongs to one connection and
//! has a generator of its own. Making a point costs tens of nanoseconds, because the server it loads often shares the
//! machine. Not here: checking what the server then answers.

mod body;
mod report;
mod sender;
mod worker;
mod workload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use runtime::{Clock, SystemClock};
use schemas::{DurationMs, TimestampMs};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::report::{Report, Tally};
use self::sender::Sender;
use self::worker::{Pace, Source, Worker};
use self::workload::Fleet;
use crate::commands::print;

const EXAMPLES: &str = "\
Examples:
  thermocline loadgen --past 3d --hosts 50               three past days, as fast as they are taken
  thermocline loadgen --hosts 1000 --every 1s --for 1m   live: 1000 hosts × 30 metrics each second
  thermocline loadgen --hosts 5000 --metrics 100 --past 10m --rate 50000
  thermocline loadgen --workload cpu-only --past 1d --prebuilt --connections 8
  thermocline loadgen --workload remote-write-series --from 2026-11-20T00:00:00Z \\
      --to 2026-11-20T06:00:00Z

Each host sends a point of each metric every --every. Without a past range it is the present that
is sent, until Ctrl-C or --for. Points older than a server keeps raw ones are refused, and those
more than ten minutes ahead of its clock.";

/// What the hosts of the fleet measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadName {
    /// 30 metrics a host: gauges with two decimals, counters that reset now and then
    Fleet,
    /// The `cpu-only` case of the time-series benchmark suite: 10 integer fields and 10 tags a host
    CpuOnly,
    /// 100 series a host that differ in labels, one sample each a request, as Prometheus sends them
    RemoteWriteSeries,
}

/// Metrics of a host, at most: its points of one time are one piece of a request.
const METRICS_MAX: i64 = 100_000;

/// How points are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolName {
    RemoteWrite,
    Influx,
    Json,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadgenArgs {
    /// The server to load
    #[arg(long, env = "THERMOCLINE_SERVER", default_value = "http://127.0.0.1:9464", value_name = "URL")]
    server: String,
    /// What is measured
    #[arg(long, value_enum, default_value = "fleet")]
    workload: WorkloadName,
    /// How it is sent [default: influx for cpu-only, else remote-write]
    #[arg(long, value_enum)]
    protocol: Option<ProtocolName>,
    /// Hosts in the fleet
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    hosts: u32,
    /// Metrics of each host: the first of the workload's, or all of them repeated under numbered names (of
    /// remote-write-series: with further paths) [default: all of the workload's; cpu-only has no others]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=METRICS_MAX))]
    metrics: Option<u32>,
    /// Time between two points of a series
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    every: DurationMs,
    /// Send a past range that ends now, this long
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["from", "to"])]
    past: Option<DurationMs>,
    /// Send a past range from here (RFC 3339, or a Unix time) …
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<TimestampMs>,
    /// … up to here [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "from")]
    to: Option<TimestampMs>,
    /// Send the present for this long, then stop
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, conflicts_with_all = ["past", "from"])]
    length: Option<DurationMs>,
    /// At most this many points a second [default: as fast as they are taken]
    #[arg(long, value_name = "POINTS", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Requests under way at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Points in a request
    #[arg(long, default_value_t = 5_000, value_name = "POINTS", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Make all bodies of a past range before the clock starts (they must fit in memory)
    #[arg(long)]
    prebuilt: bool,
    /// Another seed gives other values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long a request is tried again while the server is away or busy
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = duration)]
    patience: DurationMs,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// When points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    /// A range of the past, `[from, to)`, in steps.
    Past { from: TimestampMs, to: TimestampMs },
    /// The present, until told to stop or for a while.
    Live { length: Option<DurationMs> },
}

/// Runs the load; prints a summary.
pub(crate) async fn run(args: LoadgenArgs) -> anyhow::Result<()> {
    let times = args.times(TimestampMs(SystemClock.now_ms()))?;
    ensure!(!args.prebuilt || matches!(times, Times::Past { .. }), "--prebuilt needs a past range (--past or --from)");
    let fleet = Arc::new(args.fleet()?);
    let sources = prepare(&args, &fleet, times).await?;
    let stop = CancellationToken::new();
    let bar = report::progress_bar(args.points(&fleet, times));
    let begun = Instant::now();
    let pace = Arc::new(Pace::new(args.rate));
    let sender = Sender::new(&args.server, args.protocol(), args.patience.as_std())?;
    let mut workers = JoinSet::new();
    for source in sources {
        let worker = Worker {
            source,
            sender: sender.clone(),
            pace: Arc::clone(&pace),
            stop: stop.clone(),
            bar: bar.clone(),
            tally: Tally::default(),
        };
        workers.spawn(worker.run(times, args.every));
    }
    let outcome = gather(&mut workers, &stop).await;
    bar.finish_and_clear();
    let report = Report { tally: outcome?, elapsed: begun.elapsed() };
    print(&if args.json { report.json() } else { report.text() })
}

/// A source of requests for each connection; with `--prebuilt` they are made here, on all cores.
async fn prepare(args: &LoadgenArgs, fleet: &Arc<Fleet>, times: Times) -> anyhow::Result<Vec<Source>> {
    let stripes = u32::from(args.connections).min(args.hosts);
    let mut making = JoinSet::new();
    for stripe in 0..stripes {
        let hosts = (stripe..args.hosts).step_by(stripes as usize);
        let mut source = Source::new(fleet, hosts, args.protocol(), args.batch, args.every);
        if let Times::Past { from, to } = times {
            source.set_range(from, to);
        }
        let prebuilt = args.prebuilt;
        making.spawn_blocking(move || if prebuilt { source.prebuild().map(|()| source) } else { Ok(source) });
    }
    let mut sources = Vec::new();
    while let Some(made) = making.join_next().await {
        sources.push(made.context("making requests")??);
    }
    Ok(sources)
}

/// Waits for all workers. Ctrl-C stops them after the request under way; the first failure stops the others.
async fn gather(workers: &mut JoinSet<anyhow::Result<Tally>>, stop: &CancellationToken) -> anyhow::Result<Tally> {
    let mut total = Tally::default();
    let mut failure = None;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c(), if !stop.is_cancelled() => stop.cancel(),
            joined = workers.join_next() => match joined {
                None => break,
                Some(Ok(Ok(tally))) => total.add(&tally),
                Some(Ok(Err(error))) => {
                    stop.cancel();
                    failure.get_or_insert(error);
                }
                Some(Err(error)) => bail!("a worker ended: {error}"),
            },
        }
    }
    failure.map_or(Ok(total), Err)
}

impl LoadgenArgs {
    fn protocol(&self) -> ProtocolName {
        self.protocol.unwrap_or(match self.workload {
            WorkloadName::CpuOnly => ProtocolName::Influx,
            WorkloadName::Fleet | WorkloadName::RemoteWriteSeries => ProtocolName::RemoteWrite,
        })
    }

    fn fleet(&self) -> anyhow::Result<Fleet> {
        let fleet = Fleet::new(self.workload, self.metrics, self.seed);
        let of_benchmark = Fleet::new(WorkloadName::CpuOnly, None, self.seed).metrics().len();
        ensure!(
            self.workload != WorkloadName::CpuOnly || fleet.metrics().len() == of_benchmark,
            "--workload cpu-only has the {of_benchmark} metrics of the benchmark, no more and no fewer: leave out --metrics"
        );
        Ok(fleet)
    }

    fn times(&self, now: TimestampMs) -> anyhow::Result<Times> {
        ensure!(self.every > DurationMs(0), "--every must be longer than nothing");
        let now = now.floor_to(self.every);
        Ok(match (self.past, self.from) {
            (Some(length), _) => Times::Past { from: now.minus(length), to: now },
            (None, Some(from)) => {
                let to = self.to.unwrap_or(now);
                ensure!(from <= to, "--to lies before --from");
                Times::Past { from, to }
            }
            (None, None) => Times::Live { length: self.length },
        })
    }

    /// Points that will be sent, where that is known before.
    fn points(&self, fleet: &Fleet, times: Times) -> Option<u64> {
        let Times::Past { from, to } = times else { return None };
        let steps = u64::try_from(to.0 - from.0).ok()?.div_ceil(u64::try_from(self.every.0).ok()?);
        steps.checked_mul(u64::from(self.hosts))?.checked_mul(u64::try_from(fleet.metrics().len()).ok()?)
    }
}

fn duration(text: &str) -> Result<DurationMs, String> {
    promql::parse_duration(text).map_err(|error| error.to_string())
}

fn instant(text: &str) -> Result<TimestampMs, String> {
    ingest::timestamp::from_text(text).map(TimestampMs).map_err(|error| error.to_string())
}

/// Waits, or less if told to stop; says whether to go on.
async fn pause(wait: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: LoadgenArgs,
    }

    fn parse(words: &[&str]) -> Result<LoadgenArgs, clap::Error> {
        Line::try_parse_from([&["loadgen"], words].concat()).map(|line| line.args)
    }

    const NOW: TimestampMs = TimestampMs(1_742_221_805_000);

    #[test]
    fn a_past_range_ends_at_the_last_full_step() {
        let args = parse(&["--past", "1h", "--hosts", "2", "--workload", "cpu-only"]).expect("valid");
        let times = args.times(NOW).expect("valid");
        let (from, to) = (TimestampMs(1_742_218_200_000), TimestampMs(1_742_221_800_000));
        assert_eq!(times, Times::Past { from, to });
        assert_eq!(args.points(&args.fleet().expect("valid"), times), Some(360 * 2 * 10));
        assert_eq!(args.protocol(), ProtocolName::Influx);
    }

    #[test]
    fn without_a_range_the_present_is_sent() {
        let args = parse(&["--for", "1m"]).expect("valid");
        assert_eq!(args.times(NOW).expect("valid"), Times::Live { length: Some(DurationMs::MINUTE) });
        assert_eq!(args.protocol(), ProtocolName::RemoteWrite);
    }

    #[test]
    fn the_benchmark_has_ten_metrics_and_the_others_as_many_as_wanted() {
        let metrics = |words: &[&str]| parse(words).expect("valid").fleet().map(|fleet| fleet.metrics().len());
        assert_eq!(metrics(&["--metrics", "250"]).expect("any"), 250);
        assert_eq!(metrics(&["--workload", "remote-write-series", "--metrics", "5"]).expect("any"), 5);
        assert_eq!(metrics(&["--workload", "cpu-only", "--metrics", "10"]).expect("its own"), 10);
        let refused = metrics(&["--workload", "cpu-only", "--metrics", "11"]).expect_err("not the benchmark");
        assert!(refused.to_string().contains("cpu-only has the 10 metrics"), "{refused}");
        assert!(parse(&["--metrics", "0"]).is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(parse(&["--past", "1h", "--from", "0"]).is_err());
        assert!(parse(&["--past", "1h", "--for", "1m"]).is_err());
        assert!(parse(&["--past", "soon"]).is_err());
        assert!(parse(&["--to", "0"]).is_err());
        assert!(parse(&["--from", "200", "--to", "100"]).expect("well formed").times(NOW).is_err());
        assert!(parse(&["--every", "0"]).expect("well formed").times(NOW).is_err());
    }
}
