//! `invariant!`: states a named invariant of `docs/invariants.md` where it can be seen.
//!
//! A violation panics in debug builds and in tests; in release it is logged once a place, and counted.

use std::sync::atomic::{AtomicU64, Ordering};

static VIOLATIONS: AtomicU64 = AtomicU64::new(0);

/// Violations seen by this process (release builds; debug builds panic instead).
pub fn violations() -> u64 {
    VIOLATIONS.load(Ordering::Relaxed)
}

/// Counts and logs a violation. Called by [`invariant!`](crate::invariant!).
pub fn violated(id: &'static str, what: &str) {
    VIOLATIONS.fetch_add(1, Ordering::Relaxed);
    debug_assert!(false, "invariant {id} violated: {what}");
    tracing::error!(invariant = id, what, "invariant violated");
}

/// `invariant!("MAP-1", condition, "message {}", args)`.
#[macro_export]
macro_rules! invariant {
    ($id:literal, $condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::invariant::violated($id, &format!($($message)+));
        }
    };
}
