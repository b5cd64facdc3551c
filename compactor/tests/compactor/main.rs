//! What the jobs promise, a module a behaviour.

extern crate thermocline_compactor as compactor;

mod given;
mod lost_disk;
mod on_demand;
mod several_writers;
