//! A buffer for canonical bytes that are copied from a message piece by piece.

/// Most pieces are copied as one block of this size, whose end is then written over: a block is four instructions, a
/// call to `memcpy` fifty.
const BLOCK: usize = 32;
/// The longest piece, in bytes.
pub(crate) const PIECE_BYTES_MAX: usize = 128;
/// Room for the longest piece.
const SLACK: usize = PIECE_BYTES_MAX + BLOCK;

/// Bytes of one series, gathered. Its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    len: usize,
}

impl Blocks {
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Copies `message[start..end]`, at most [`PIECE_BYTES_MAX`] bytes.
    #[inline]
    pub(crate) fn append(&mut self, message: &[u8], start: usize, end: usize) {
        let len = end - start;
        let source = message.get(start..).and_then(<[u8]>::first_chunk::<BLOCK>);
        let target = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut::<BLOCK>);
        match (source, target) {
            (Some(source), Some(target)) if len <= BLOCK => *target = *source,
            _ => self.append_slowly(&message[start..end]),
        }
        self.len += len;
    }

    /// Writes a long piece, or one close to the end of the message or of the room there is.
    #[inline(never)]
    fn append_slowly(&mut self, piece: &[u8]) {
        if self.bytes.len() < self.len + SLACK {
            self.bytes.resize(self.len + 2 * SLACK, 0);
        }
        self.bytes[self.len..][..piece.len()].copy_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_appended_is_what_was_there(
            message in proptest::collection::vec(any::<u8>(), 1..300),
            pieces in proptest::collection::vec((any::<prop::sample::Index>(), 0..=PIECE_BYTES_MAX), 0..20),
        ) {
            let (mut blocks, mut expected) = (Blocks::default(), Vec::new());
            for (start, len) in pieces {
                let start = start.index(message.len());
                let end = (start + len).min(message.len());
                blocks.append(&message, start, end);
                expected.extend_from_slice(&message[start..end]);
            }
            prop_assert_eq!(blocks.as_slice(), expected);
        }
    }
}
