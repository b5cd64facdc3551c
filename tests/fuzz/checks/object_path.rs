//! What holds for any text that claims to be the name of a data file or a part of its path.

use schemas::object_path::{DataFile, Incarnation, parse_class, parse_day, partition_end};
use schemas::tier_map::ColdTable;

/// # Panics
/// If a parser panics, or what it reads is not written as the same text: two names are two files.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(file) = DataFile::parse(text) {
        assert_eq!(text.rsplit('/').next(), Some(file.to_string().as_str()));
    }
    if let Ok(incarnation) = Incarnation::new(text) {
        assert_eq!(incarnation.as_str(), text);
    }
    if let Some(class) = parse_class(text) {
        assert_eq!(class.name(), text);
    }
    if let Some(day) = parse_day(text) {
        assert_eq!(day.to_string(), text);
        assert!(ColdTable::ALL.iter().all(|table| partition_end(*table, day) > day));
    }
}
