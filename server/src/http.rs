//! The HTTP front end: sockets, routes, and JSON shapes.
//!
//! socket ─▶ [`listen`] (bounds, timeouts) ─▶ [`router`] (routes, [`middleware`]) ─▶ one handler file a group ─▶ part
//! of the process ─▶ JSON, or a [`problem`]
//!
//! * The listener is open before the store is: until then every path but health, metrics and documentation answers
//!   503 with what is waited for ([`gate`]).
//! * Handlers are thin: read parameters, call a part, render. Domain types carry no JSON shape; shapes are here.
//! * Every error outside the compatibility APIs is a [`problem::Problem`]; nothing is HTML, and no input gives a 500.
//!
//! Not here: decoding of pushed bytes (`ingest`), answering queries (`query`).

mod admin;
pub(crate) mod app;
mod body;
mod controls;
mod documents;
pub(crate) mod gate;
mod health;
mod influx;
mod ingest_answer;
mod instant;
mod kafka;
pub(crate) mod listen;
mod media;
mod metrics_read;
mod metrics_write;
mod middleware;
mod number;
mod openapi;
mod otlp;
mod params;
mod policies;
mod problem;
mod prometheus;
mod prometheus_write;
mod provenance;
pub(crate) mod router;
mod segment;
mod self_metrics;
mod sql;
pub(crate) mod tiers;

#[cfg(test)]
mod tests;
