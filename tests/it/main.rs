//! System tests: a module a behaviour, so that listing this folder reads as the specification.

mod answers;
mod api;
mod architecture;
mod controls;
mod crash;
mod delta;
mod disk;
mod duckdb;
mod grafana;
mod hostile;
mod kafka;
mod operations;
mod otlp;
mod prometheus;
mod protocols;
mod remote_write_v2;
mod retention;
mod s3;
mod tiers;
