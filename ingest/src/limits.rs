//! What one request, and one series in it, may ask of us. Plain values; the defaults are those of the config.

/// Bounds of a request and of the labels of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body after decompression.
    pub body_bytes_max: usize,
    /// Points in one request, good and bad together.
    pub points_per_request: u64,
    /// Labels of a series, the metric name not counted.
    pub labels_per_series: usize,
    /// Bytes of a label name.
    pub label_name_bytes: usize,
    /// Bytes of a label value, and of a metric name.
    pub label_value_bytes: usize,
    /// Bytes of all names and values of a series together.
    pub labels_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            points_per_request: 2_000_000,
            labels_per_series: 64,
            label_name_bytes: 1 << 10,
            label_value_bytes: 2 << 10,
            labels_bytes: 16 << 10,
        }
    }
}
