//! What tests are made with: data that is worth testing with, answers that are right, stores that fail, and the real
//! server.
//!
//! `strategies` ─▶ points in arrival order ─▶ the system, and `oracle` ─▶ both answer the same question ─▶ equal
//!
//! The oracle is a sorted map and loops: slow, and independent of every piece of code that it judges. Processes are
//! the real ones: the program as built, a real S3 server, a real Kafka. Random choices come from a seed that is printed
//! ([`seed()`]); `TEST_SEED` repeats it.

pub mod counting_store;
pub mod fault_store;
pub mod kafka;
pub mod oracle;
pub mod process;
pub mod s3;
pub mod seed;
pub mod small_disk;
pub mod strategies;

pub use counting_store::CountingStore;
pub use fault_store::{FaultRates, FaultStore};
pub use kafka::Kafka;
pub use oracle::{Oracle, Question};
pub use process::Server;
pub use s3::S3;
pub use seed::seed;
pub use small_disk::SmallDisk;
pub use strategies::{Arrival, Workload};
