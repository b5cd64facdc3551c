//! Every answer equals the naive model, whichever tiers it spans, and whatever has happened to them.
//!
//! points ─▶ ([`given::World`]: the store, the archive, the compactor, the engine) and the model
//! question ─▶ both ([`asked`]) ─▶ the same numbers, by REST and by SQL ([`sql`]), from the tiers that own them ([`owners`])
//!
//! `random` interleaves everything that can happen, by seed; the others tell one story each, named by its fact. All in
//! one process with a clock that is moved by hand; a kill leaves the directory as it was at that moment, copied while
//! the store ran. Invariants: SET-1, ACK-1, SEAL-1, ROLL-1, ROLL-2, MAP-1, MOVE-1, DROP-1, ROUTE-1, AGREE-1. Not here:
//! kills inside a job (`crash`), HTTP.

mod asked;
mod boundaries;
mod expired;
mod given;
mod histograms;
mod late;
mod meanwhile;
mod owners;
mod random;
mod sql;
mod values;
