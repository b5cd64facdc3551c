//! Provenance of an answer: as headers, and as JSON.
//!
//! Which tier answered which part of the range, at what resolution, how complete, and what was read for it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use query::Provenance;
use serde::Serialize;
use utoipa::ToSchema;

use super::instant::rfc3339;

/// The headers that tell an answer's provenance, and what they mean.
pub(super) const HEADERS: [(&str, &str); 6] = [
    ("x-thermocline-tiers", "Which tiers answered: `hot`, `warm`, `cold`, separated by commas"),
    ("x-thermocline-resolution", "The coarsest resolution in the answer"),
    ("x-thermocline-complete", "`false` where something coarser, or nothing, stands for what retention has dropped"),
    ("x-thermocline-data-version", "Answers of a data directory with the same version saw the same tier map"),
    ("x-thermocline-quantile-error", "Bound on the relative error of a quantile; absent where values are exact"),
    ("server-timing", "Milliseconds for finding series, reading, and all of it"),
];

/// Those of them that a streamed answer sends ahead of its rows.
pub(super) fn planned_headers() -> &'static [(&'static str, &'static str)] {
    &HEADERS[..4]
}

/// One part of the asked range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentShape {
    start: String,
    end: String,
    /// `hot`, `warm` or `cold`; null where retention has left nothing.
    tier: Option<&'static str>,
    resolution: String,
    complete: bool,
}

/// Where an answer comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProvenanceShape {
    tiers: Vec<&'static str>,
    /// The resolution of the answer.
    resolution: String,
    complete: bool,
    /// Two answers of one version saw the same tier map.
    data_version: u64,
    /// Bound on the relative error of a quantile; null where the answer is exact.
    quantile_error: Option<f64>,
    segments: Vec<SegmentShape>,
    series_matched: u64,
    points_read: u64,
    rows_read: u64,
    bytes_read: u64,
    object_store_gets: u64,
    elapsed_ms: f64,
}

impl ProvenanceShape {
    pub(crate) fn of(provenance: &Provenance) -> Self {
        Self {
            tiers: provenance.tiers.iter().map(|tier| tier.as_str()).collect(),
            resolution: provenance.resolution.to_owned(),
            complete: provenance.complete,
            data_version: provenance.data_version,
            quantile_error: provenance.quantile_error,
            segments: provenance.segments.iter().map(segment).collect(),
            series_matched: provenance.series_matched,
            points_read: provenance.points_read,
            rows_read: provenance.rows_read,
            bytes_read: provenance.bytes_read,
            object_store_gets: provenance.object_store_gets,
            elapsed_ms: milliseconds(provenance.timings.total),
        }
    }
}

fn segment(segment: &query::ProvenanceSegment) -> SegmentShape {
    SegmentShape {
        start: rfc3339(segment.start),
        end: rfc3339(segment.end),
        tier: segment.tier.map(schemas::tier_map::Tier::as_str),
        resolution: segment.resolution.to_string(),
        complete: segment.complete,
    }
}

/// Adds the provenance headers of an answer that is whole.
pub(crate) fn add_headers(headers: &mut HeaderMap, provenance: &Provenance) {
    add_planned_headers(headers, provenance);
    if let Some(error) = provenance.quantile_error {
        set(headers, "x-thermocline-quantile-error", &format!("{error:.4}"));
    }
    let timings = provenance.timings;
    let steps = [("select", timings.select), ("read", timings.read), ("total", timings.total)];
    let steps = steps.map(|(step, took)| format!("{step};dur={:.3}", milliseconds(took)));
    set(headers, "server-timing", &steps.join(", "));
}

/// Adds the headers of [`planned_headers`], which can be sent before anything is read.
pub(crate) fn add_planned_headers(headers: &mut HeaderMap, provenance: &Provenance) {
    let tiers: Vec<&str> = provenance.tiers.iter().map(|tier| tier.as_str()).collect();
    set(headers, "x-thermocline-tiers", &tiers.join(","));
    set(headers, "x-thermocline-resolution", provenance.resolution);
    set(headers, "x-thermocline-complete", &provenance.complete.to_string());
    set(headers, "x-thermocline-data-version", &provenance.data_version.to_string());
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
