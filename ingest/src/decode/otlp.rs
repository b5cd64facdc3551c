//! OpenTelemetry metrics (OTLP 1), in protobuf or JSON: `ExportMetricsServiceRequest`.
//!
//! body ─▶ [`protobuf`] or [`json`]: point by point ─▶ [`translate`]: names, labels, samples ─▶ [`deltas`]: what is told
//! as a difference becomes a total ─▶ batch
//!
//! What comes out is what Prometheus makes of the same request ([`names`], [`labels`]), with two exceptions: delta
//! temporality is taken, and a bad point costs itself only. Indexes of rejections are those of the data points in the
//! request, from 0; a data point of a histogram has many samples, which are what is counted.
//!
//! Nouns: a *resource* is who measures, a *scope* which of its libraries, a *data point* what is measured at one time.
//! Not here: the answer, which HTTP gives.

mod deltas;
mod histograms;
mod json;
mod labels;
mod names;
mod points;
mod protobuf;
#[cfg(test)]
mod tests;
mod translate;
mod value;

use schemas::PointBatch;

pub use deltas::Session;
pub use names::{LabelNames, Translation};

use deltas::Deltas;
use translate::Translator;

use super::{DecodeError, Decoded, Scope};

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// What operators choose. The defaults are Prometheus', and those of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub translation: Translation,
    pub label_names: LabelNames,
    /// Attributes of the resource that become labels of every point.
    pub promoted: Promoted,
    /// Whether name, version, schema and attributes of the scope become labels.
    pub promote_scope: bool,
    /// Whether `target_info` has the attributes that `job` and `instance` are made of.
    pub keep_identifying: bool,
    /// Whether histograms with explicit bounds become native histograms with custom buckets.
    pub histograms_to_nhcb: bool,
    /// Series that are accumulated from differences; further ones are refused.
    pub delta_series_max: usize,
    /// After this many ms without a point a total is forgotten.
    pub delta_expiry_ms: i64,
}

/// Which attributes of a resource become labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promoted {
    Listed(Vec<String>),
    AllBut(Vec<String>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            translation: Translation::default(),
            label_names: LabelNames::default(),
            promoted: Promoted::Listed(Vec::new()),
            promote_scope: false,
            keep_identifying: false,
            histograms_to_nhcb: false,
            delta_series_max: 500_000,
            delta_expiry_ms: 600_000,
        }
    }
}

/// Settings, and the totals of what is told in differences. One for all requests.
#[derive(Debug, Default)]
pub struct Otlp {
    settings: Settings,
    deltas: Deltas,
}

impl Otlp {
    pub fn new(settings: Settings) -> Self {
        Self { settings, deltas: Deltas::default() }
    }

    /// Begins a request. Its totals count once it is [committed](Session::commit); until then other requests with
    /// differences wait.
    pub fn session(&self) -> Session<'_> {
        Session::new(&self.settings, &self.deltas)
    }
}

/// Decodes a plain `ExportMetricsServiceRequest`.
pub fn decode(
    body: &[u8],
    encoding: Encoding,
    session: &mut Session<'_>,
    scope: Scope<'_>,
    batch: &mut PointBatch,
) -> Result<Decoded, DecodeError> {
    let mut translator = Translator::new(session, scope, batch);
    match encoding {
        Encoding::Protobuf => protobuf::decode(body, &mut translator)?,
        Encoding::Json => json::decode(body, &mut translator)?,
    }
    Ok(translator.finish())
}
