//! The engine over a real store and a real archive, judged by the naive model.

extern crate thermocline_query as query;

mod agreement;
mod given;
mod promql;
mod range;
mod several;
mod sql;
