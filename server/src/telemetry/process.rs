//! `process_*` metrics, as every Prometheus client library gives them, read from `/proc/self` at each scrape; and
//! what the process saw of itself: violated invariants.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// `USER_HZ`: the unit of times in `/proc`, 100 on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the process' own state when it is scraped.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(stat) = Stat::read() else { return Ok(()) };
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Memory in RAM", stat.resident_bytes)?;
        gauge("process_virtual_memory_bytes", "Memory addressed", stat.virtual_bytes)?;
        gauge("process_start_time_seconds", "Start of the process since the Unix epoch", stat.start_seconds)?;
        gauge("process_threads", "Threads of the process", stat.threads)?;
        if let Some(open) = open_files() {
            gauge("process_open_fds", "Open file descriptors", open)?;
        }
        if let Some(max) = max_files() {
            gauge("process_max_fds", "File descriptors that may be open", max)?;
        }
        let cpu = ConstCounter::new(stat.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system CPU time",
            None,
            cpu.metric_type(),
        )?)?;
        let violations = ConstCounter::new(runtime::invariant::violations());
        violations.encode(encoder.encode_descriptor(
            "thermocline_invariant_violations",
            "Violations of the invariants of docs/invariants.md that this process has seen",
            None,
            violations.metric_type(),
        )?)
    }
}

#[derive(Debug)]
struct Stat {
    cpu_seconds: f64,
    start_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        Self::parse(&stat, &status, &system)
    }

    /// The command name may hold blanks and parentheses, so fields are counted from behind its last one.
    fn parse(stat: &str, status: &str, system: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        // proc(5) counts from 1 and the command is field 2, so field n stands at n − 3.
        let field = |n: usize| fields.get(n - 3)?.parse::<f64>().ok();
        let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let resident_kib: f64 =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            start_seconds: boot + field(22)? / TICKS_PER_SECOND,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_bytes: resident_kib * 1_024.0,
        })
    }
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

fn max_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 12 0 1000 4096000 300 1844";
        let parsed =
            Stat::parse(stat, "VmSize:\t 9 kB\nVmRSS:\t  2048 kB\n", "cpu 1\nbtime 1700000000\n").expect("whole");
        assert!((parsed.cpu_seconds - 3.0).abs() < 1e-9);
        assert!((parsed.threads - 12.0).abs() < 1e-9);
        assert!((parsed.start_seconds - 1_700_000_010.0).abs() < 1e-9);
        assert!((parsed.resident_bytes - 2_097_152.0).abs() < 1e-9);
    }
}
