//! What is measured: this host through `sysinfo`, and through /proc where that knows more (Linux).
//!
//! [`Probe::measure`] ─▶ one [`Reading`] after the other, each a metric with at most one label
//!
//! Counters are given as they stand since the host started, so that rates survive a missed measurement. What the
//! system does not tell is left out, not made zero.

mod procfs;

use sysinfo::{Disks, Networks, System};

/// A measured value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading<'a> {
    pub(super) metric: &'a str,
    pub(super) unit: &'static str,
    pub(super) label: Option<(&'static str, &'a str)>,
    pub(super) value: f64,
}

/// Keeps what differences are measured against.
#[derive(Debug)]
pub(super) struct Probe {
    system: System,
    disks: Disks,
    networks: Networks,
    cpu_times: Option<procfs::CpuTimes>,
}

/// Takes readings as they are made.
type Take<'t> = &'t mut dyn FnMut(&Reading<'_>);

impl Probe {
    pub(super) fn new() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self {
            system,
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
            cpu_times: procfs::cpu_times(),
        }
    }

    /// Measures everything once.
    pub(super) fn measure(&mut self, take: Take<'_>) {
        self.cpu(take);
        self.memory(take);
        self.disk(take);
        self.network(take);
        load(take);
        procfs::connections(&mut |state, count| {
            take(&Reading { metric: "connections", unit: "connections", label: Some(("state", state)), value: count });
        });
        if let Some(count) = procfs::process_count() {
            gauge(take, "process_count", "processes", count);
        }
        gauge(take, "uptime", "seconds", wide(System::uptime()));
    }

    fn cpu(&mut self, take: Take<'_>) {
        self.system.refresh_cpu_usage();
        gauge(take, "cpu_usage", "percent", rounded(f64::from(self.system.global_cpu_usage())));
        let now = procfs::cpu_times();
        if let (Some(before), Some(now)) = (&self.cpu_times, &now) {
            now.shares_since(before, &mut |mode, percent| {
                take(&Reading {
                    metric: "cpu_mode",
                    unit: "percent",
                    label: Some(("mode", mode)),
                    value: rounded(percent),
                });
            });
        }
        self.cpu_times = now;
        gauge(take, "cpu_count", "cores", u32::try_from(self.system.cpus().len()).map_or(0.0, f64::from));
    }

    fn memory(&mut self, take: Take<'_>) {
        self.system.refresh_memory();
        let (used, total) = (self.system.used_memory(), self.system.total_memory());
        gauge(take, "memory_used", "bytes", wide(used));
        gauge(take, "memory_total", "bytes", wide(total));
        gauge(take, "memory_available", "bytes", wide(self.system.available_memory()));
        percentage(take, "memory_usage", None, used, total);
        let (used, total) = (self.system.used_swap(), self.system.total_swap());
        gauge(take, "swap_used", "bytes", wide(used));
        gauge(take, "swap_total", "bytes", wide(total));
        percentage(take, "swap_usage", None, used, total);
    }

    fn disk(&mut self, take: Take<'_>) {
        self.disks.refresh(true);
        for disk in self.disks.list() {
            let mount = disk.mount_point().to_string_lossy();
            let label = Some(("mount", mount.as_ref()));
            let (total, available) = (disk.total_space(), disk.available_space());
            let used = total.saturating_sub(available);
            let usage = disk.usage();
            for (metric, bytes) in [
                ("disk_used", used),
                ("disk_total", total),
                ("disk_read", usage.total_read_bytes),
                ("disk_written", usage.total_written_bytes),
            ] {
                take(&Reading { metric, unit: "bytes", label, value: wide(bytes) });
            }
            percentage(take, "disk_usage", label, used, total);
        }
    }

    fn network(&mut self, take: Take<'_>) {
        self.networks.refresh(true);
        for (interface, data) in self.networks.list() {
            let label = Some(("interface", interface.as_str()));
            for (metric, unit, count) in [
                ("network_received", "bytes", data.total_received()),
                ("network_transmitted", "bytes", data.total_transmitted()),
                ("network_received_packets", "packets", data.total_packets_received()),
                ("network_transmitted_packets", "packets", data.total_packets_transmitted()),
                ("network_receive_errors", "errors", data.total_errors_on_received()),
                ("network_transmit_errors", "errors", data.total_errors_on_transmitted()),
            ] {
                take(&Reading { metric, unit, label, value: wide(count) });
            }
        }
    }
}

/// The name of this host.
pub(super) fn host_name() -> String {
    System::host_name().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

fn load(take: Take<'_>) {
    let load = System::load_average();
    for (metric, value) in [("load_1m", load.one), ("load_5m", load.five), ("load_15m", load.fifteen)] {
        gauge(take, metric, "processes", value);
    }
}

fn gauge(take: Take<'_>, metric: &'static str, unit: &'static str, value: f64) {
    take(&Reading { metric, unit, label: None, value });
}

/// A share of something; nothing of nothing is left out.
fn percentage(take: Take<'_>, metric: &'static str, label: Option<(&'static str, &str)>, part: u64, whole: u64) {
    if whole > 0 {
        take(&Reading { metric, unit: "percent", label, value: rounded(100.0 * wide(part) / wide(whole)) });
    }
}

/// Two decimals: what lies behind them is noise, and costs space.
fn rounded(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

/// Counts as doubles: exact below 2^53, as everything stored is.
fn wide(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_host_has_processors_memory_and_load() {
        let mut probe = Probe::new();
        let mut readings = BTreeMap::new();
        probe.measure(&mut |reading| {
            assert!(reading.value.is_finite(), "{reading:?}");
            readings.insert(reading.metric.to_owned(), reading.value);
        });
        for metric in ["cpu_usage", "memory_used", "memory_usage", "load_1m", "uptime"] {
            assert!(readings.contains_key(metric), "{metric} is missing in {readings:?}");
        }
        assert!(readings["cpu_count"] >= 1.0);
        assert!((0.0..=100.0).contains(&readings["memory_usage"]));
    }

    #[test]
    fn a_series_is_read_once_a_measurement() {
        let mut probe = Probe::new();
        let mut seen = std::collections::BTreeSet::new();
        probe.measure(&mut |reading| {
            let label = reading.label.map(|(name, value)| format!("{name}={value}"));
            assert!(seen.insert((reading.metric.to_owned(), label)), "{reading:?} stands twice");
        });
    }
}
