//! The engine over a real store and a real archive, judged by the naive model.

mod agreement;
mod given;
mod range;
mod sql;
