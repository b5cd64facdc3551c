//! Long bodies, made piece by piece: each off the async threads, and only as the client takes those before.
//!
//! iterator of pieces ─▶ [`body`] ─▶ chunks of the answer
//! iterator of work ─▶ [`side_by_side`], a few pieces ahead ─┘
//!
//! So an answer of any length needs the memory of a few pieces, a slow client holds no thread, and one that leaves ends the
//! work. A piece that cannot be made breaks the answer off, so that a part is never taken for the whole.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};

/// Bytes of a piece, about: large enough that handing it over costs nothing beside making it.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Pieces that wait for the client or are being made.
const PIECES_AHEAD: usize = 2;

/// A body of the pieces.
pub(super) fn body(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Body {
    Body::from_stream(stream::try_unfold(pieces, |mut pieces| async move {
        let made = tokio::task::spawn_blocking(move || pieces.next().map(|piece| (Bytes::from(piece), pieces)));
        made.await.map_err(io::Error::other)
    }))
}

/// A body of pieces that do not need each other to be made: the next are made while the client takes the first.
pub(super) fn side_by_side<P>(pieces: impl Iterator<Item = P> + Send + 'static) -> Body
where
    P: FnOnce() -> Vec<u8> + Send + 'static,
{
    let making =
        |piece: P| async { tokio::task::spawn_blocking(piece).await.map(Bytes::from).map_err(io::Error::other) };
    Body::from_stream(stream::iter(pieces).map(making).buffered(PIECES_AHEAD))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_their_order() {
        let pieces = || (0..100_u8).map(|n| vec![n; 3]);
        for body in [body(pieces()), side_by_side(pieces().map(|piece| move || piece))] {
            let whole = body.collect().await.expect("whole").to_bytes();
            assert_eq!(whole.len(), 300);
            assert!(whole.is_sorted());
        }
    }

    #[tokio::test]
    async fn a_piece_that_cannot_be_made_breaks_the_body_off() {
        let pieces = (0..3_u8).map(|n| if n == 2 { panic!("a piece that cannot be made") } else { vec![n] });
        assert!(body(pieces).collect().await.is_err());
        let pieces = (0..3_u8).map(|n| move || if n == 2 { panic!("a piece that cannot be made") } else { vec![n] });
        assert!(side_by_side(pieces).collect().await.is_err());
    }
}
