//! System tests: a module a behaviour, so that listing this folder reads as the specification.

mod answers;
mod api;
mod architecture;
mod controls;
mod crash;
mod delta;
mod disk;
mod duckdb;
mod hostile;
mod kafka;
mod operations;
mod protocols;
mod retention;
mod s3;
mod tiers;
