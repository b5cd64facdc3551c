//! A buffer for canonical bytes that are copied from a message piece by piece.

/// Small copies are made in blocks of this size: a block is two instructions, a call to `memcpy` fifty.
const BLOCK: usize = 16;
/// The longest piece, in bytes.
pub(crate) const PIECE_BYTES_MAX: usize = 128;
/// Room behind the bytes, so that a block may be written whole.
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
        if self.bytes.len() < self.len + SLACK {
            self.bytes.resize(self.len + 2 * SLACK, 0);
        }
        let target = &mut self.bytes[self.len..];
        let len = end - start;
        let padded = len.next_multiple_of(BLOCK);
        match message.get(start..start + padded) {
            Some(source) => {
                for (to, from) in target.chunks_exact_mut(BLOCK).zip(source.chunks_exact(BLOCK)) {
                    to.copy_from_slice(from);
                }
            }
            // Too close to the end of the message to read a whole block.
            None => target[..len].copy_from_slice(&message[start..end]),
        }
        self.len += len;
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
