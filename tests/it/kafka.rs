//! Points from Kafka, against real brokers: every point that was produced is stored once, whatever is killed.
//!
//! [`load`] ─▶ messages of any format ─▶ topics ─▶ servers of one group ─▶ API, and DuckDB over Delta ─▶ what was produced
//!
//! * `everything`: all that can go wrong, in turn, under two million points (OFF-1, SET-1).
//! * `smoke`: one server, kills, restarts, topics and partitions that appear.
//! * `crash_points`: killed between any two steps of storing a slice.
//! * `dead_letters`: what cannot be read, and the way back; `producers`: clients that are not ours.
//! * `disk_lost`: a server whose data directory is gone begins with its archive and with what Kafka still has.
//! * `levels`: what each delivery level promises, and HTTP by way of a topic.
//! * `hostile`: a partition without a leader, messages that are forgotten, too large, or aborted.
//! * `listeners`: TLS, and SASL by PLAIN and SCRAM.
//! * `deploy`: the pipeline of `deploy/compose.yaml` is one.
//!
//! Where there is no Java, these are skipped with a loud line, except with `CI=true`. Waiting is for a condition, with a
//! bound on a hang.

mod crash_points;
mod dead_letters;
mod deploy;
mod disk_lost;
mod everything;
mod found;
mod hostile;
mod letters;
mod levels;
mod listeners;
mod load;
mod producers;
mod registry;
mod smoke;
