//! What holds for a compressed body of any bytes: it comes out within the limit, or not at all.

use ingest::body::{ContentEncoding, decompress};

const LIMIT: usize = 1 << 16;

pub(crate) fn check(bytes: &[u8]) {
    for encoding in [ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Zstd, ContentEncoding::Snappy] {
        if let Ok(plain) = decompress(encoding, bytes, LIMIT) {
            assert!(plain.len() <= LIMIT);
        }
    }
}
