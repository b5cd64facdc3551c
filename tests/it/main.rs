//! System tests: a module a behaviour, so that listing this folder reads as the specification.

mod architecture;
mod tiers;
