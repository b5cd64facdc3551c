//! Moves data down the tiers: seal → archive → drop.
//!
//! state of the store ─▶ [`plan`] (pure: what is due) ─▶ [`seal`], [`archive`], [`retention`] (jobs: one step each,
//! durable at its end) ─▶ a new tier map
//!
//! * The *plan* decides from the tier map and the clock, and touches nothing.
//! * A *job* does one unit (an hour, a threshold), may be repeated after a crash at any point, and leaves the rest alone
//!   when its unit is bad: the hour is quarantined with its reason and tried again later (`driver`).
//! * The *ordering rules* (who excludes whom, what must be true before bytes go) are in [`order`], and only there.
//!
//! Invariants: SEAL-1, MOVE-1, DROP-1. Not here: how an hour is merged (`hot`), how it is committed (`cold`).

mod archive;
mod bases;
mod driver;
mod error;
mod metrics;
pub mod order;
pub mod plan;
mod position;
mod report;
mod retention;
mod rounds;
mod seal;

pub use driver::{Compactor, Settings};
pub use error::CompactorError;
pub use report::{
    ArchiveReport, DropPlace, FlushReport, HourFailure, PlannedDrop, RetentionPlan, RetentionReport, SealReport,
};
