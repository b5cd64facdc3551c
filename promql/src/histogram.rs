//! Native histograms: their buckets, arithmetic, and what is estimated from them.
//!
//! `Histogram` ─▶ [`Bucket`]s with bounds (`buckets`) · a ± b over different layouts (`arithmetic`) · quantile,
//! fraction, variance (`estimate`) · part of it (`trim`) · reset between two (`reset`) · text (`text`) · what to say
//! of it (`remarks`)
//!
//! Nouns: a *layout* is schema, zero threshold, custom bounds. Two layouts *agree* after the finer schema is reduced,
//! the narrower zero bucket widened, custom bounds intersected; exponential and custom buckets never agree
//! ([`Incompatible`]). Numbers are those of Prometheus, addition for addition. Not here: what histograms are stored
//! as (`schemas`).

mod arithmetic;
mod bounds;
mod buckets;
mod compact;
mod estimate;
mod layout;
mod remarks;
mod reset;
#[cfg(test)]
mod tests;
mod text;
mod trim;

pub use arithmetic::{Bounds, Combined, Incompatible, Mean, Noticed, Sum, add, divide, multiply, subtract};
pub use buckets::{Bucket, ascending, descending, negative, positive};
pub use compact::{compact, equal};
pub use estimate::{fraction, mean, quantile, variance};
pub use layout::{reduced, uses_custom_buckets};
pub use remarks::{Operation, Subject};
pub use reset::is_reset;
pub use text::describe;
pub use trim::{Side, trim};
