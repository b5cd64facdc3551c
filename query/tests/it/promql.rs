//! What PromQL over the tiers promises: the same answers as over the same points in memory, wherever the points lie.

mod agree;
mod both;
mod bounds;
mod expired;
mod files;
mod names;
mod tiers;
