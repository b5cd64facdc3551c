//! System tests: a module a behaviour, so that listing this folder reads as the specification.

mod api;
mod architecture;
mod crash;
mod delta;
mod tiers;
