//! The strings of a request, each once: label names and values, help texts, units.

use schemas::RejectReason;

use crate::canonical::PIECE_BYTES_MAX;
use crate::decode::DecodeError;
use crate::decode::protobuf::{Field, Reader};

/// Symbols of one request. A legitimate request has each string once, so this many are far more than a body can hold;
/// it is a bound on memory (12 bytes a symbol) for bodies of empty strings.
const SYMBOLS_MAX: usize = 4 << 20;

/// Where a string lies in the body.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    len: u32,
    /// Neither empty nor long, with its length before it in one byte, as canonical labels have: most are.
    short: bool,
}

/// The symbols of a request, in place.
#[derive(Debug)]
pub(super) struct Symbols<'a> {
    body: &'a [u8],
    places: Vec<Place>,
    utf8: bool,
}

/// A short symbol in the body: its length in one byte, and its text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Short {
    /// Where the byte with the length is.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'a> Symbols<'a> {
    /// Reads all symbols, wherever in the message they stand.
    pub(super) fn read(body: &'a [u8], mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let (mut places, mut utf8) = (Vec::new(), true);
        while let Some(field) = reader.next_field()? {
            let (4, Field::Bytes(range)) = field else { continue };
            let place = u32::try_from(range.start).ok().zip(u32::try_from(range.len()).ok());
            let Some((start, len)) = place.filter(|_| places.len() < SYMBOLS_MAX) else {
                return Err(reader.malformed("more symbols than a request may have"));
            };
            // A length may be written in more bytes than it needs.
            let in_one_byte = range.start.checked_sub(1).is_some_and(|before| usize::from(body[before]) == range.len());
            let short = !range.is_empty() && range.len() < PIECE_BYTES_MAX && in_one_byte;
            utf8 &= std::str::from_utf8(&body[range]).is_ok();
            places.push(Place { start, len, short });
        }
        Ok(Self { body, places, utf8 })
    }

    /// Whether all of them are UTF-8.
    pub(super) fn are_utf8(&self) -> bool {
        self.utf8
    }

    /// The bytes that a reference stands for.
    pub(super) fn get(&self, reference: u32) -> Result<&'a [u8], RejectReason> {
        let range = self.places.get(reference as usize).map(|place| {
            let start = place.start as usize;
            start..start + place.len as usize
        });
        range.and_then(|range| self.body.get(range)).ok_or_else(|| {
            let symbols = self.places.len();
            RejectReason::InvalidLabels(format!("reference {reference} to one of {symbols} symbols"))
        })
    }

    /// A symbol, if it is short.
    #[inline]
    pub(super) fn short(&self, reference: u32) -> Option<Short> {
        let Place { start, len, short } = *self.places.get(reference as usize)?;
        let start = start as usize;
        short.then_some(Short { start: start.wrapping_sub(1), end: start + len as usize })
    }

    /// The message that places are offsets into.
    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }
}
