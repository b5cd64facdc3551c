//! Prometheus' HTTP API, as Grafana's built-in data source, promtool and other clients ask it.
//!
//! form and URL ([`form`]) ─▶ handler ─▶ `query::Engine` ─▶ data, written into the body ([`render`], [`pieces`]) in an
//! [`envelope`]
//!
//! * Paths, parameters, error texts and statuses are those of Prometheus 3; a parameter that is not known is ignored.
//! * Answers are written piece by piece where they are long, and tell their provenance in headers.
//!
//! Not here: the language (`promql`), where data come from (`query`), remote write (`prometheus_write`).

mod envelope;
pub(super) mod expressions;
pub(super) mod federate;
mod form;
pub(super) mod metadata;
pub(super) mod names;
mod number;
mod pieces;
pub(super) mod query;
pub(super) mod remote_read;
mod render;
pub(super) mod status;
mod time;
