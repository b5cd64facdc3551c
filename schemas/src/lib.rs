//! The nouns of Thermocline as pure types, and every byte that outlives a process.
//!
//! labels → series hash → series id · points → chunk → rollup → answer · hour → tier map → owner
//!
//! Everything here is a value: no I/O, no async, no clock, no randomness. Each persisted or wire format has a
//! page under `docs/formats/` and golden bytes under `tests/golden/`; a decoder of outside bytes returns an
//! error and never panics. JSON shapes of the API are not here: the server renders them.

pub mod batch;
pub mod chunk;
pub mod file_tags;
pub mod histogram;
pub mod ids;
pub mod kafka;
pub mod keys;
pub mod labels;
pub mod log_record;
pub mod matcher;
pub mod meta;
pub mod object_path;
pub mod points;
pub mod position;
pub mod reject;
pub mod retention;
pub mod rollup;
pub mod rollup_row;
pub mod series_record;
pub mod sketch;
#[cfg(test)]
mod strategies;
pub mod tier_map;
pub mod time;
pub mod varint;

pub use batch::PointBatch;
pub use ids::{Epoch, MetricId, RetentionClass, SeriesAddress, SeriesHash, SeriesId, Sid};
pub use kafka::{Offsets, TopicPartition};
pub use labels::Labels;
pub use matcher::{LabelMatcher, MatchOp};
pub use points::Points;
pub use reject::RejectReason;
pub use retention::Retention;
pub use tier_map::TierMap;
pub use time::{BucketStart, Day, DurationMs, Hour, Resolution, TimeRange, TimestampMs, Week};
