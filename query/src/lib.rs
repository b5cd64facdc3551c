//! Answers questions about metrics from whatever tier owns the data, and says where the answer came from.
//!
//! REST: matchers + range → series → granularity → routes → works → parts → buckets → answer + provenance   (`range`)
//! SQL: text → plan → tables over the same routes and the same reads → batches + provenance                  (`sql`)
//! PromQL: text → tree → evaluator over series that the same routes lead to → values + notes + provenance    (`promql`)
//!
//! Nouns: a *selection* is the series of a query; a *route* says which tier owns which part of a range; *hours* are those in which data can be; a *part* is what
//! one series' bucket, or the part of it in one hour, becomes; *provenance* is what is said with an answer.
//!
//! Invariants: ROUTE-1 (`router`), AGREE-1 (REST, SQL and PromQL share `read`), TIME-1 (ranges are half-open, buckets are
//! `[b, b+w)`), ROLL-3 (averages and quantiles are derived here, on read). One view of the store serves a whole query,
//! so an answer never mixes two states. Not here: HTTP and JSON (`server`), how tiers keep data (`hot`, `cold`).

mod answer;
mod engine;
mod error;
mod hours;
mod limits;
mod metrics;
mod promql;
mod provenance;
mod range;
mod read;
mod request;
pub mod router;
mod selection;
mod slow;
mod sql;

pub use self::promql::{Limited, PromqlAnswer, PromqlRequest, PromqlTimings, RawAnswer, RawSeries};
pub use answer::{AnswerSeries, RangeAnswer};
pub use engine::Engine;
pub use error::QueryError;
pub use limits::QueryLimits;
pub use metrics::QueryMetrics;
pub use provenance::{Provenance, ProvenanceCollector, ProvenanceSegment, Timings};
pub use request::{Agg, Fill, Granularity, GroupAgg, MAX_POINTS_DEFAULT, RangeRequest};
pub use sql::SqlAnswer;
