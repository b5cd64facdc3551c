//! Crash points: named places at which a crash test kills the process, exactly as `kill -9` would, or a task, by a panic.
//!
//! Built in only with the feature `failpoints`; then `FAILPOINTS="hot.flush.synced=3;hot.seal.written=1"` kills the
//! process with SIGKILL when `hot.flush.synced` is passed for the third time, or `hot.seal.written` for the first.
//! Death is the only action needed, so this stands here instead of a general fault-injection crate.

/// Passes a crash point. Costs nothing without the feature.
#[inline]
pub fn crash_point(name: &'static str) {
    #[cfg(feature = "failpoints")]
    if armed::is_fatal(name) {
        armed::kill_self();
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// Passes a place at which only the task that passes it dies. Armed as [`crash_point`] is.
///
/// # Panics
/// When `FAILPOINTS` says so.
#[inline]
pub fn panic_point(name: &'static str) {
    #[cfg(feature = "failpoints")]
    assert!(!armed::is_fatal(name), "the panic point {name} was armed");
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// Whether crash points are built in.
pub const fn built_in() -> bool {
    cfg!(feature = "failpoints")
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::HashMap;
    use std::sync::OnceLock;

    use parking_lot::Mutex;

    /// How many more passes each armed point survives, plus one.
    type Fuses = Mutex<HashMap<String, u64>>;

    static FUSES: OnceLock<Fuses> = OnceLock::new();

    /// Counts a pass; whether it is the fatal one.
    pub(super) fn is_fatal(name: &str) -> bool {
        let fuses = FUSES.get_or_init(|| Mutex::new(parse(&std::env::var("FAILPOINTS").unwrap_or_default())));
        burn(&mut fuses.lock(), name)
    }

    /// `name=passes;…`; what does not parse arms nothing.
    pub(super) fn parse(text: &str) -> HashMap<String, u64> {
        let entry = |part: &str| {
            let (name, passes) = part.split_once('=')?;
            Some((name.trim().to_owned(), passes.trim().parse().ok()?))
        };
        text.split(';').filter_map(entry).collect()
    }

    /// Whether this pass is the fatal one.
    pub(super) fn burn(fuses: &mut HashMap<String, u64>, name: &str) -> bool {
        let Some(left) = fuses.get_mut(name) else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }

    pub(super) fn kill_self() -> ! {
        let myself = rustix::process::getpid();
        rustix::process::kill_process(myself, rustix::process::Signal::KILL).expect("a process may kill itself");
        // The signal is on its way; nothing after the crash point may run.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use super::armed::{burn, parse};

    #[test]
    fn a_point_is_fatal_at_the_pass_that_was_named() {
        let mut fuses = parse("a.b=2; c=1;nonsense");
        assert!(!burn(&mut fuses, "a.b"));
        assert!(burn(&mut fuses, "a.b"));
        assert!(burn(&mut fuses, "c"));
        assert!(!burn(&mut fuses, "elsewhere"));
    }
}
