//! Documents in a body: how they follow each other, and what a syntax error costs.

use std::fmt;

use schemas::RejectReason;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Request;
use super::entry::Entry;
use super::loose::Loose;
use crate::decode::DecodeError;

/// Whether the first line is a document of its own and another line follows.
pub(super) fn is_lines(text: &str) -> bool {
    let text = text.trim_start();
    match text.split_once('\n') {
        Some((first, rest)) => {
            text.starts_with('{') && !rest.trim_start().is_empty() && serde_json::from_str::<&RawValue>(first).is_ok()
        }
        None => false,
    }
}

/// One document a line; a line that is none is refused by itself.
pub(super) fn read_lines(text: &str, request: &mut Request<'_, '_>) -> Result<(), DecodeError> {
    for (number, line) in (1_u64..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let mut halt = None;
        let mut json = serde_json::Deserializer::from_str(line);
        let read = Document { request, halt: &mut halt }.deserialize(&mut json).and_then(|()| json.end());
        match (halt, read) {
            (Some(error), _) => return Err(error),
            (None, Err(error)) => {
                let what = format!("line {number}: {}", text_of(&error));
                request.refuse(RejectReason::Malformed(what))?;
            }
            (None, Ok(())) => {}
        }
    }
    Ok(())
}

/// Documents one after the other, however they are spaced; what is no JSON ends it all.
pub(super) fn read_all(text: &str, request: &mut Request<'_, '_>) -> Result<(), DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut documents = 0_u64;
    // The deserializer says by `end` whether anything but white space is left.
    while json.end().is_err() {
        let mut halt = None;
        let read = Document { request, halt: &mut halt }.deserialize(&mut json);
        match (halt, read) {
            (Some(error), _) => return Err(error),
            (None, Err(error)) => return Err(malformed(&error)),
            (None, Ok(())) => documents += 1,
        }
    }
    if documents == 0 {
        let what = "the body is empty".to_owned();
        return Err(DecodeError::Malformed { format: "JSON", place: "byte 0".to_owned(), what });
    }
    Ok(())
}

fn malformed(error: &serde_json::Error) -> DecodeError {
    let place = format!("line {} column {}", error.line(), error.column());
    DecodeError::Malformed { format: "JSON", place, what: text_of(error) }
}

/// The text of an error without its place, which we tell in our own words.
fn text_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// A document is an entry or an array of entries; each is handed on as soon as it is read.
struct Document<'r, 's, 'b> {
    request: &'r mut Request<'s, 'b>,
    /// Why we stopped, when it is not the JSON that is at fault.
    halt: &'r mut Option<DecodeError>,
}

impl Document<'_, '_, '_> {
    fn hand_on<E: serde::de::Error>(&mut self, entry: &Entry<'_>) -> Result<(), E> {
        self.request.entry(entry).map_err(|error| {
            let stop = E::custom(&error);
            *self.halt = Some(error);
            stop
        })
    }
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with metrics, or an array of such objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let entry = Entry::object(map)?;
        self.hand_on(&entry)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element::<Entry<'de>>()? {
            self.hand_on::<A::Error>(&entry)?;
        }
        Ok(())
    }
}
