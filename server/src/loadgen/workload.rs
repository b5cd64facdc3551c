//! The fleet: hosts with tags, and metrics whose values wander.
//!
//! Values are whole numbers inside, in units or in hundredths, so that they are exact as text and as doubles, and cost
//! one random word each. Random walks stay within their bounds; counters grow, and fall to zero now and then.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::WorkloadName;

/// How a value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number between 0 and `max` that moves by at most `step`.
    Walk { max: i64, step: i64 },
    /// The same in hundredths: a gauge with two decimals.
    Hundredths { max: i64, step: i64 },
    /// Grows by at most `rate`, and starts over about once in `COUNTER_LIFE` points.
    Counter { rate: i64 },
}

/// Points between two resets of a counter, about: a host that restarts every few weeks at a point a minute.
const COUNTER_LIFE: u64 = 30_000;

/// A metric that every host has.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    /// Measurement and field of line protocol; joined by `_` they are the metric's name.
    pub(super) measurement: String,
    pub(super) field: String,
    /// A label besides the tags of the host.
    pub(super) label: Option<(&'static str, String)>,
    pub(super) kind: Kind,
}

impl Metric {
    pub(super) fn name(&self) -> String {
        format!("{}_{}", self.measurement, self.field)
    }
}

/// What all hosts have in common.
#[derive(Debug)]
pub(super) struct Fleet {
    workload: WorkloadName,
    seed: u64,
    metrics: Vec<Metric>,
}

impl Fleet {
    /// `count` metrics a host: the first of the workload's, or all of them again and again, with a number; by default all
    /// of them once.
    pub(super) fn new(workload: WorkloadName, count: Option<u32>, seed: u64) -> Self {
        let round = |round: usize| match workload {
            WorkloadName::Fleet => host_metrics(round),
            // These have no others: more is the same again.
            WorkloadName::CpuOnly => cpu_metrics(),
            WorkloadName::RemoteWriteSeries => request_metrics(round),
        };
        let metrics = match count {
            None => round(0),
            Some(count) => (0..).flat_map(round).take(count as usize).collect(),
        };
        Self { workload, seed, metrics }
    }

    /// The metrics of each host; those of one line of line protocol stand together.
    pub(super) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Host `number` at the beginning of its life.
    pub(super) fn host(&self, number: u32) -> Host {
        // Neighbours must not resemble each other: the seeding of the generator mixes.
        let mut random = StdRng::seed_from_u64(self.seed ^ (u64::from(number) << 32));
        let tags = match self.workload {
            WorkloadName::Fleet => fleet_tags(number, &mut random),
            WorkloadName::CpuOnly => benchmark_tags(number, &mut random),
            WorkloadName::RemoteWriteSeries => target_tags(number),
        };
        let levels = self.metrics.iter().map(|metric| first_level(metric.kind, &mut random)).collect();
        Host { tags, levels, random }
    }
}

/// A host: its tags, sorted by name, and where its metrics stand.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) tags: Vec<(&'static str, String)>,
    /// In the order of [`Fleet::metrics`]; in units or hundredths by their kind.
    pub(super) levels: Vec<i64>,
    random: StdRng,
}

impl Host {
    /// Moves every metric one step on.
    pub(super) fn advance(&mut self, metrics: &[Metric]) {
        for (level, metric) in self.levels.iter_mut().zip(metrics) {
            let random = self.random.next_u64();
            *level = match metric.kind {
                Kind::Walk { max, step } | Kind::Hundredths { max, step } => {
                    (*level + below(random, 2 * step + 1) - step).clamp(0, max)
                }
                Kind::Counter { .. } if random.is_multiple_of(COUNTER_LIFE) => 0,
                Kind::Counter { rate } => *level + below(random >> 16, rate),
            };
        }
    }
}

/// The level as the double that it stands for.
pub(super) fn value(kind: Kind, level: i64) -> f64 {
    let level = level as f64;
    match kind {
        Kind::Hundredths { .. } => level / 100.0,
        Kind::Walk { .. } | Kind::Counter { .. } => level,
    }
}

fn first_level(kind: Kind, random: &mut StdRng) -> i64 {
    match kind {
        Kind::Walk { max, .. } | Kind::Hundredths { max, .. } => below(random.next_u64(), max + 1),
        Kind::Counter { rate } => below(random.next_u64(), rate * 1_000),
    }
}

/// A number in `[0, bound)`; `bound` is positive. Its slight bias does not matter for load.
fn below(random: u64, bound: i64) -> i64 {
    let bound = bound.max(1).unsigned_abs();
    (random % bound).cast_signed()
}

fn pick(random: &mut StdRng, from: &[&'static str]) -> String {
    let at = usize::try_from(random.next_u32()).unwrap_or(0) % from.len();
    from[at].to_owned()
}

const REGIONS: [&str; 9] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];
const ZONES: [&str; 3] = ["a", "b", "c"];

/// The ten tags of the time-series benchmark suite, and its values.
fn benchmark_tags(number: u32, random: &mut StdRng) -> Vec<(&'static str, String)> {
    let region = pick(random, &REGIONS);
    let datacenter = format!("{region}{}", pick(random, &ZONES));
    vec![
        ("arch", pick(random, &["x64", "x86"])),
        ("datacenter", datacenter),
        ("hostname", format!("host_{number}")),
        ("os", pick(random, &["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"])),
        ("rack", below(random.next_u64(), 100).to_string()),
        ("region", region),
        ("service", below(random.next_u64(), 20).to_string()),
        ("service_environment", pick(random, &["production", "staging", "test"])),
        ("service_version", below(random.next_u64(), 2).to_string()),
        ("team", pick(random, &["SF", "NYC", "LON", "CHI"])),
    ]
}

fn fleet_tags(number: u32, random: &mut StdRng) -> Vec<(&'static str, String)> {
    let region = pick(random, &REGIONS);
    vec![
        ("env", pick(random, &["production", "production", "production", "staging", "dev"])),
        ("region", region.clone()),
        ("server_id", format!("srv-{region}-{number:05}")),
        ("service", pick(random, &["api-gateway", "auth", "billing", "checkout", "search", "storefront"])),
    ]
}

fn target_tags(number: u32) -> Vec<(&'static str, String)> {
    vec![
        ("cluster", format!("cluster-{}", number % 5)),
        ("instance", format!("10.{}.{}.{}:9090", number >> 16 & 255, number >> 8 & 255, number & 255)),
        ("job", "load".to_owned()),
        ("namespace", format!("namespace-{}", number % 40)),
        ("pod", format!("server-{number:06}")),
    ]
}

fn cpu_metrics() -> Vec<Metric> {
    let fields = [
        "usage_user",
        "usage_system",
        "usage_idle",
        "usage_nice",
        "usage_iowait",
        "usage_irq",
        "usage_softirq",
        "usage_steal",
        "usage_guest",
        "usage_guest_nice",
    ];
    fields.iter().map(|field| metric("cpu", field, Kind::Walk { max: 100, step: 2 })).collect()
}

/// The metrics of a host. Later rounds are further devices of the same kinds: `cpu2_usage`.
fn host_metrics(round: usize) -> Vec<Metric> {
    let percent = Kind::Hundredths { max: 10_000, step: 150 };
    let slow = Kind::Hundredths { max: 10_000, step: 3 };
    let load = Kind::Hundredths { max: 3_200, step: 40 };
    let bytes = Kind::Walk { max: 64 << 30, step: 32 << 20 };
    let traffic = Kind::Counter { rate: 5 << 20 };
    let events = Kind::Counter { rate: 2_000 };
    let rare = Kind::Counter { rate: 3 };
    let all: [(&str, &[(&str, Kind)]); 8] = [
        ("cpu", &[("usage", percent), ("user", percent), ("system", percent), ("iowait", percent), ("steal", slow)]),
        ("memory", &[("used_percent", percent), ("available_bytes", bytes), ("cached_bytes", bytes)]),
        (
            "disk",
            &[
                ("used_percent", slow),
                ("read_bytes_total", traffic),
                ("written_bytes_total", traffic),
                ("ops_total", events),
            ],
        ),
        (
            "network",
            &[
                ("receive_bytes_total", traffic),
                ("transmit_bytes_total", traffic),
                ("receive_packets_total", events),
                ("transmit_packets_total", events),
                ("errors_total", rare),
            ],
        ),
        ("load", &[("1m", load), ("5m", load), ("15m", load)]),
        (
            "http",
            &[
                ("requests_total", events),
                ("errors_total", rare),
                ("latency_ms", Kind::Hundredths { max: 200_000, step: 900 }),
                ("in_flight", Kind::Walk { max: 500, step: 9 }),
            ],
        ),
        ("process", &[("count", Kind::Walk { max: 900, step: 4 }), ("threads", Kind::Walk { max: 9_000, step: 30 })]),
        (
            "hardware",
            &[
                ("temperature_celsius", Kind::Hundredths { max: 9_500, step: 40 }),
                ("fan_rpm", Kind::Walk { max: 6_000, step: 50 }),
                ("power_watts", Kind::Hundredths { max: 80_000, step: 500 }),
                ("uptime_seconds", Kind::Counter { rate: 20 }),
            ],
        ),
    ];
    let numbered = |name: &str| if round == 0 { name.to_owned() } else { format!("{name}{}", round + 1) };
    all.iter()
        .map(|&(name, fields)| (numbered(name), fields))
        .flat_map(|(name, fields)| fields.iter().map(move |(field, kind)| metric(&name, field, *kind)))
        .collect()
}

/// Ten metrics with ten paths each; other paths in each round.
fn request_metrics(round: usize) -> Vec<Metric> {
    let kinds = [Kind::Counter { rate: 500 }, Kind::Hundredths { max: 100_000, step: 300 }];
    let path = |path: usize, number: usize| Metric {
        measurement: format!("service{number:02}"),
        field: if number.is_multiple_of(2) { "requests_total".to_owned() } else { "duration_ms".to_owned() },
        label: Some(("path", format!("/api/v1/resource-{path}"))),
        kind: kinds[number % 2],
    };
    (0..10).flat_map(|number| (0..10).map(move |at| path(10 * round + at, number))).collect()
}

fn metric(measurement: &str, field: &str, kind: Kind) -> Metric {
    Metric { measurement: measurement.to_owned(), field: field.to_owned(), label: None, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [WorkloadName; 3] = [WorkloadName::Fleet, WorkloadName::CpuOnly, WorkloadName::RemoteWriteSeries];

    #[test]
    fn workloads_have_the_size_that_help_promises() {
        let sizes = ALL.map(|workload| Fleet::new(workload, None, 1).metrics().len());
        assert_eq!(sizes, [30, 10, 100]);
        assert_eq!(Fleet::new(WorkloadName::CpuOnly, None, 1).host(0).tags.len(), 10);
    }

    #[test]
    fn any_number_of_metrics_are_as_many_series() {
        for workload in [WorkloadName::Fleet, WorkloadName::RemoteWriteSeries] {
            let of = |count| {
                let fleet = Fleet::new(workload, Some(count), 1);
                fleet.metrics().iter().map(|metric| (metric.name(), metric.label.clone())).collect::<Vec<_>>()
            };
            let (few, many) = (of(7), of(1_234));
            assert_eq!((few.len(), many.len()), (7, 1_234), "{workload:?}");
            assert!(many.starts_with(&few), "{workload:?}");
            let mut distinct = many;
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), 1_234, "{workload:?}");
        }
        let names: Vec<String> =
            Fleet::new(WorkloadName::Fleet, Some(61), 1).metrics().iter().map(Metric::name).collect();
        assert_eq!([&names[0], &names[30], &names[60]], ["cpu_usage", "cpu2_usage", "cpu3_usage"]);
    }

    #[test]
    fn tags_are_sorted_as_remote_write_demands() {
        for workload in ALL {
            let host = Fleet::new(workload, None, 1).host(7);
            assert!(host.tags.is_sorted_by(|a, b| a.0 < b.0), "{workload:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let levels = |seed: u64, number: u32| {
            let fleet = Fleet::new(WorkloadName::Fleet, None, seed);
            let mut host = fleet.host(number);
            (0..100).for_each(|_| host.advance(fleet.metrics()));
            host.levels
        };
        assert_eq!(levels(7, 3), levels(7, 3));
        assert_ne!(levels(7, 3), levels(8, 3));
        assert_ne!(levels(7, 3), levels(7, 4));
    }

    #[test]
    fn walks_stay_in_bounds_and_counters_reset_to_zero() {
        let fleet = Fleet::new(WorkloadName::Fleet, None, 1);
        let mut host = fleet.host(0);
        let mut resets = 0;
        for _ in 0..100_000 {
            let before = host.levels.clone();
            host.advance(fleet.metrics());
            for ((metric, before), after) in fleet.metrics().iter().zip(&before).zip(&host.levels) {
                match metric.kind {
                    Kind::Walk { max, .. } | Kind::Hundredths { max, .. } => assert!((0..=max).contains(after)),
                    Kind::Counter { .. } if after < before => {
                        assert_eq!(*after, 0);
                        resets += 1;
                    }
                    Kind::Counter { .. } => {}
                }
            }
        }
        assert!(resets > 0);
    }
}
