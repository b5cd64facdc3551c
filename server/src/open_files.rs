//! How many files and sockets the process may have open at once: raised to what the system allows, and told when that
//! is less than the configuration may need.
//!
//! Service managers and shells often begin with 1,024, and allow many times that to whoever asks.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets beside RocksDB's tables and the connections of clients: logs, the archive's files or connections,
/// staged files.
const OTHERS: u64 = 256;

/// What the process may have open, and what it may come to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    /// `None` without a limit.
    allowed: Option<u64>,
    needed: u64,
}

/// Raises the limit on open files to the most that this process may; warns if that is not enough for `tables` of RocksDB
/// (-1 for all there are) and `connections` of clients.
pub(crate) fn raise_limit(tables: i32, connections: usize) {
    let before = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    let needed = needed(tables, connections);
    tracing::debug!(before = before.current, allowed, needed, "limit on open files");
    if let Some(warning) = (Allowance { allowed, needed }).warning() {
        tracing::warn!(allowed, needed, "{warning}");
    }
}

fn needed(tables: i32, connections: usize) -> u64 {
    u64::try_from(tables)
        .unwrap_or(0)
        .saturating_add(u64::try_from(connections).unwrap_or(u64::MAX))
        .saturating_add(OTHERS)
}

impl Allowance {
    fn warning(self) -> Option<&'static str> {
        self.allowed.is_some_and(|allowed| allowed < self.needed).then_some(
            "the hard limit on open files is less than a busy server may need: raise it (ulimit -Hn, LimitNOFILE), or \
             lower limits.connections",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_warned_of_before_they_run_out() {
        let needed = needed(512, 4_096);
        assert_eq!(needed, 512 + 4_096 + OTHERS);
        let warns = |allowed| Allowance { allowed, needed }.warning().is_some();
        assert!(warns(Some(needed - 1)));
        assert!(!warns(Some(needed)));
        assert!(!warns(None));
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        raise_limit(512, 16);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
