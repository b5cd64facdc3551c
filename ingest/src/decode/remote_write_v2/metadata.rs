//! What a series says of its metric.

use crate::decode::DecodeError;
use crate::decode::protobuf::{Field, Reader};
use crate::decode::remote_write::kind_of;

/// Type, help and unit, the texts as references to symbols. By default nothing is said: symbol 0 is the empty one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    kind: u8,
    pub(super) help: u32,
    pub(super) unit: u32,
}

impl Metadata {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let mut said = Self::default();
        let reference = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        while let Some(field) = reader.next_field()? {
            match field {
                // A number that is none of a type says nothing.
                (1, Field::Varint(kind)) => said.kind = u8::try_from(kind).unwrap_or(0),
                (3, Field::Varint(help)) => said.help = reference(help),
                (4, Field::Varint(unit)) => said.unit = reference(unit),
                _ => {}
            }
        }
        Ok(said)
    }

    /// The type in words. Its numbers are those of remote write 1.0.
    pub(super) fn kind(self) -> Option<&'static str> {
        kind_of(u64::from(self.kind))
    }
}

/// The name by which metadata is kept: that of the family, without what a part of a histogram or a summary adds to it.
pub(super) fn family<'a>(metric: &'a str, kind: Option<&str>) -> &'a str {
    let parts: &[&str] = match kind {
        Some("histogram") => &["_bucket", "_count", "_sum"],
        Some("gaugehistogram") => &["_bucket", "_gcount", "_gsum"],
        Some("summary") => &["_count", "_sum"],
        Some(_) | None => &[],
    };
    parts.iter().find_map(|part| metric.strip_suffix(part)).filter(|family| !family.is_empty()).unwrap_or(metric)
}
