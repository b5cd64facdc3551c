//! Decompression of request bodies, bounded by what comes out.
//!
//! `Content-Encoding` ─▶ [`ContentEncoding::parse`] ─▶ [`decompress`]`(bytes, limit)` ─▶ plain bytes
//!
//! The bound holds while decompressing: a bomb stops at the limit, and a length that the sender claims is neither
//! believed nor allocated before it is plausible. Not here: reading the body off the socket, which has its own bound.

use std::borrow::Cow;
use std::io::{self, Read};

use thiserror::Error;

/// The largest zstd window that is accepted, as a power of two: 32 MiB, four times what RFC 8878 asks of a decoder.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// A snappy copy of three bytes yields at most 64, so no honest block grows by more than this factor.
const SNAPPY_GROWTH_MAX: usize = 22;
/// Room made before decompressing gzip and zstd, as a factor of the compressed size: what metrics usually need.
const USUAL_GROWTH: usize = 8;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    Identity,
    Gzip,
    Zstd,
    /// The block format, as Prometheus remote write uses it.
    Snappy,
}

/// Why a body cannot be had.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// HTTP 415.
    #[error("content encoding {0:?} is not supported: send gzip, zstd, snappy or identity")]
    UnknownEncoding(String),
    /// HTTP 413.
    #[error("the body has more than {limit} bytes when decompressed")]
    TooLarge { limit: usize },
    /// HTTP 400.
    #[error("the {encoding} body is damaged: {what}")]
    Damaged { encoding: &'static str, what: String },
}

impl BodyError {
    /// Whether the same body may be taken later. Never: it is the body that is at fault.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl ContentEncoding {
    /// Reads the value of a `Content-Encoding` header; `None` when there is no header. Stacked encodings are refused.
    pub fn parse(header: Option<&str>) -> Result<Self, BodyError> {
        let Some(header) = header else { return Ok(Self::Identity) };
        match header.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "snappy" => Ok(Self::Snappy),
            _ => Err(BodyError::UnknownEncoding(header.chars().take(64).collect())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
        }
    }
}

/// The plain bytes of a body, at most `limit` of them.
pub fn decompress(encoding: ContentEncoding, bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, BodyError> {
    match encoding {
        ContentEncoding::Identity if bytes.len() > limit => Err(BodyError::TooLarge { limit }),
        ContentEncoding::Identity => Ok(Cow::Borrowed(bytes)),
        ContentEncoding::Gzip => {
            read_bounded(encoding, flate2::read::MultiGzDecoder::new(bytes), bytes.len(), limit).map(Cow::Owned)
        }
        ContentEncoding::Zstd => {
            let damaged = |error: io::Error| damaged(encoding, error.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(damaged)?;
            read_bounded(encoding, decoder, bytes.len(), limit).map(Cow::Owned)
        }
        ContentEncoding::Snappy => unsnap(bytes, limit).map(Cow::Owned),
    }
}

fn read_bounded(
    encoding: ContentEncoding,
    decoder: impl Read,
    compressed: usize,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let mut out = Vec::with_capacity(compressed.saturating_mul(USUAL_GROWTH).min(limit));
    // One byte past the limit tells "exactly the limit" from "more".
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(bound).read_to_end(&mut out).map_err(|error| damaged(encoding, error.to_string()))?;
    if out.len() > limit { Err(BodyError::TooLarge { limit }) } else { Ok(out) }
}

fn unsnap(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let bad = |error: snap::Error| damaged(ContentEncoding::Snappy, error.to_string());
    let claimed = snap::raw::decompress_len(bytes).map_err(bad)?;
    if claimed > limit {
        return Err(BodyError::TooLarge { limit });
    }
    if claimed > bytes.len().saturating_mul(SNAPPY_GROWTH_MAX) {
        let what = format!("a length of {} cannot hold the {claimed} bytes that the header claims", bytes.len());
        return Err(damaged(ContentEncoding::Snappy, what));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(bad)
}

fn damaged(encoding: ContentEncoding, what: String) -> BodyError {
    BodyError::Damaged { encoding: encoding.name(), what }
}

#[cfg(test)]
mod tests;
