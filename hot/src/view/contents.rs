//! What an hour holds of one (class, form, resolution), for retention's dry run. Reads headers, decodes nothing.

use schemas::chunk::read_header;
use schemas::keys::{Family, parse_sealed_key, sealed_hour_prefix};
use schemas::tier_map::Form;
use schemas::{Hour, Resolution, RetentionClass, Sid};

use super::View;
use crate::cursor::Access;
use crate::error::HotError;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Series with data, ascending by metric and sid.
    pub series: Vec<Sid>,
    /// Points of raw data; rows of rollups, one a series and hour.
    pub points: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl View {
    /// What RocksDB holds of an hour. Identity chunks count as raw data only: they are their own 1-minute rows.
    pub fn contents(
        &self,
        hour: Hour,
        class: RetentionClass,
        form: Form,
        resolution: Resolution,
    ) -> Result<Contents, HotError> {
        let mut contents = Contents::default();
        let family = match (resolution, form) {
            (Resolution::Raw, _) => Family::of_raw(form, hour),
            (Resolution::Minute, Form::Raw) => Family::Minute(hour.week()),
            (Resolution::Minute, Form::Raw1m) => return Ok(contents),
            (Resolution::Hour, _) => Family::Hour(hour.week()),
        };
        let Some(mut cursor) = self.cursor(family, &sealed_hour_prefix(class, hour), Access::Pass) else {
            return Ok(contents);
        };
        let damaged = |key: &[u8], error: String| HotError::damaged("row", family.to_string(), key, error);
        while let Some((key, value)) = cursor.advance()? {
            let (_, address) = parse_sealed_key(key).map_err(|error| damaged(key, error.to_string()))?;
            if self.map().form(class, address.metric, hour.day()) != form {
                continue;
            }
            contents.points += match resolution {
                Resolution::Raw => {
                    let header = read_header(value).map_err(|error| damaged(key, error.to_string()))?;
                    u64::from(header.points)
                }
                Resolution::Minute | Resolution::Hour => 1,
            };
            contents.series.push(address.sid);
            contents.bytes += (key.len() + value.len()) as u64;
        }
        Ok(contents)
    }
}
