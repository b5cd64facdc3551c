//! Long bodies, made piece by piece: each off the async threads, and no sooner than the client has taken the one before.
//!
//! iterator of pieces ─▶ [`body`] ─▶ chunks of the answer
//!
//! So an answer of any length needs the memory of a piece, a slow client holds no thread, and one that leaves ends the
//! work. A piece that cannot be made breaks the answer off, so that a part is never taken for the whole.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;

/// Bytes of a piece, about: large enough that handing it over costs nothing beside making it.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// A body of the pieces.
pub(super) fn body(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Body {
    Body::from_stream(stream::try_unfold(pieces, |mut pieces| async move {
        let made = tokio::task::spawn_blocking(move || pieces.next().map(|piece| (Bytes::from(piece), pieces)));
        made.await.map_err(io::Error::other)
    }))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_their_order() {
        let whole = body((0..100_u8).map(|n| vec![n; 3])).collect().await.expect("whole").to_bytes();
        assert_eq!(whole.len(), 300);
        assert!(whole.is_sorted());
    }

    #[tokio::test]
    async fn a_piece_that_cannot_be_made_breaks_the_body_off() {
        let pieces = (0..3_u8).map(|n| if n == 2 { panic!("a piece that cannot be made") } else { vec![n] });
        assert!(body(pieces).collect().await.is_err());
    }
}
