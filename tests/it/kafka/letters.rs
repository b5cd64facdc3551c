//! What a topic of dead letters must hold.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use kit::kafka::Record;

/// Every letter is of one message, every message has one letter.
pub(super) fn are_letters_of(topic: &str, expected: &[Record], found: &[Record]) -> anyhow::Result<()> {
    let number = |letter: &Record, name| -> anyhow::Result<i64> {
        letter.header(name).and_then(|text| text.parse().ok()).with_context(|| format!("{name}: {letter:?}"))
    };
    let mut origins = BTreeSet::new();
    for letter in found {
        ensure!(letter.header("x-original-topic") == Some(topic), "{letter:?}");
        let origin = (number(letter, "x-original-partition")?, number(letter, "x-original-offset")?);
        ensure!(origins.insert(origin), "{topic}: the message at {origin:?} has two dead letters");
        let is_of = |record: &&Record| (i64::from(record.partition), record.offset) == origin;
        let of = expected.iter().find(is_of).with_context(|| format!("{topic}: a good message is dead: {letter:?}"))?;
        ensure!(letter.payload == of.payload && letter.key == of.key, "the letter is not the message: {letter:?}");
        ensure!(Some(number(letter, "x-original-timestamp")?) == of.timestamp_ms, "{letter:?}");
        for header in ["x-exception-class", "x-exception-message"] {
            ensure!(letter.header(header).is_some_and(|text| !text.is_empty()), "{header}: {letter:?}");
        }
    }
    ensure!(found.len() == expected.len(), "{topic}: {} of {} dead letters", found.len(), expected.len());
    Ok(())
}
