//! The hot store's behaviour from outside, a file a subject. `given` holds the world that the stories play in.

extern crate thermocline_hot as hot;

#[path = "store/given.rs"]
mod given;

#[path = "store/acknowledged.rs"]
mod acknowledged;
#[path = "store/crashed.rs"]
mod crashed;
#[path = "store/dropped.rs"]
mod dropped;
#[path = "store/founded.rs"]
mod founded;
#[path = "store/histograms.rs"]
mod histograms;
#[path = "store/interleaved.rs"]
mod interleaved;
#[path = "store/measured.rs"]
mod measured;
#[path = "store/merged.rs"]
mod merged;
#[path = "store/offsets.rs"]
mod offsets;
#[path = "store/sealed.rs"]
mod sealed;
