//! What the cold tier promises, a module a behaviour.

extern crate thermocline_cold as cold;

mod concurrency;
mod faults;
mod foreign;
mod hours;
mod positions;
mod pruning;
mod round_trip;
mod s3;
mod series;
mod stores;
mod support;
mod united;
mod upkeep;
