//! What holds for any text that claims to be the tag of a data file in the Delta log.

use schemas::file_tags::FileTags;

/// # Panics
/// If the decoder panics, or what decodes does not survive encoding.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(tags) = FileTags::decode(text) else { return };
    assert_eq!(FileTags::decode(&tags.encode()).expect("what was encoded decodes"), tags);
    for holding in &tags.holds {
        let hour = holding.hour;
        assert!(hour.start() < hour.end() || hour.next() == hour);
        assert!(hour.day().hours().start <= hour);
    }
}
