//! What Linux tells in /proc and `sysinfo` does not: processor time by mode, connections by state, processes.
//! On other systems, and where a file cannot be read, there is nothing.

use std::fs;

/// Processor time since start, by mode, in ticks: the first line of `/proc/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuTimes([u64; 8]);

/// The columns of `/proc/stat`. Time of guests is part of `user` and `nice` already.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

impl CpuTimes {
    fn parse(stat: &str) -> Option<Self> {
        let mut columns = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        let mut times = [0; 8];
        for time in &mut times {
            *time = columns.next()?.parse().ok()?;
        }
        Some(Self(times))
    }

    /// The share of each mode in the time since `before`, in percent.
    pub(super) fn shares_since(&self, before: &Self, take: &mut dyn FnMut(&'static str, f64)) {
        let spent = |at: usize| self.0[at].saturating_sub(before.0[at]);
        let total: u64 = (0..MODES.len()).map(spent).sum();
        if total == 0 {
            return;
        }
        for (at, mode) in MODES.iter().enumerate() {
            take(mode, 100.0 * super::wide(spent(at)) / super::wide(total));
        }
    }
}

pub(super) fn cpu_times() -> Option<CpuTimes> {
    CpuTimes::parse(&fs::read_to_string("/proc/stat").ok()?)
}

/// TCP connections by state, IPv4 and IPv6 together.
pub(super) fn connections(take: &mut dyn FnMut(&'static str, f64)) {
    let mut counts = [0_u32; STATES.len()];
    let mut known = false;
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(table) = fs::read_to_string(path) {
            known = true;
            count_states(&table, &mut counts);
        }
    }
    if known {
        for (state, count) in STATES.iter().zip(counts) {
            take(state, f64::from(count));
        }
    }
}

/// The kernel's `TCP_…` states, which it counts from 1.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

fn count_states(table: &str, counts: &mut [u32; STATES.len()]) {
    for line in table.lines().skip(1) {
        // sl, local_address, rem_address, st, …
        let state = line.split_ascii_whitespace().nth(3).and_then(|state| usize::from_str_radix(state, 16).ok());
        if let Some(count) = state.and_then(|state| counts.get_mut(state.checked_sub(1)?)) {
            *count += 1;
        }
    }
}

/// Processes on this host.
pub(super) fn process_count() -> Option<f64> {
    let is_process = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
    let count = fs::read_dir("/proc").ok()?.flatten().filter(is_process).count();
    u32::try_from(count).ok().filter(|count| *count > 0).map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_processor_time_add_up() {
        let before = CpuTimes::parse("cpu  100 0 50 800 20 0 5 0 0 0\ncpu0 1 1 1 1\n").expect("well formed");
        let after = CpuTimes::parse("cpu  130 0 60 850 20 0 5 10 0 0\n").expect("well formed");
        let mut shares = Vec::new();
        after.shares_since(&before, &mut |mode, percent| shares.push((mode, percent)));
        assert_eq!(shares[0], ("user", 30.0));
        assert_eq!(shares[3], ("idle", 50.0));
        assert_eq!(shares[7], ("steal", 10.0));
        let total: f64 = shares.iter().map(|(_, percent)| percent).sum();
        assert!((total - 100.0).abs() < 1e-9, "{total}");
        let mut none = 0;
        before.shares_since(&before, &mut |_, _| none += 1);
        assert_eq!(none, 0, "no time has passed");
    }

    #[test]
    fn what_is_not_proc_stat_gives_nothing() {
        for text in ["", "intr 1 2 3", "cpu 1 2", "cpu a b c d e f g h"] {
            assert_eq!(CpuTimes::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn connections_are_counted_by_state() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 0100007F:24F8 00000000:0000 0A 00000000:00000000\n\
            1: 0100007F:24F8 0100007F:D2A0 01 00000000:00000000\n\
            2: 0100007F:24F8 0100007F:D2A2 01 00000000:00000000\n\
            3: 0100007F:24F8 0100007F:D2A2 FF 00000000:00000000\n\
            4: broken\n";
        let mut counts = [0; STATES.len()];
        count_states(table, &mut counts);
        assert_eq!((counts[0], counts[9], counts.iter().sum::<u32>()), (2, 1, 3));
    }
}
