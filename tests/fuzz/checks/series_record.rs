//! What holds for any bytes that claim to be a key or a value of the series index.

use schemas::series_record::{
    ActivityKey, CountersRecord, IdentityRecord, SeriesKey, activity_bitmap, begin_activity, decode_labels,
    decode_metadata, decode_symbol, encode_labels, encode_metadata, encode_symbol,
};

/// Decodes the bytes as each kind of key, and as each kind of value, with its version as it is and as it should be.
///
/// # Panics
/// If a decoder panics, or what decodes does not survive encoding.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(key) = SeriesKey::decode(bytes) {
        assert_eq!(key.encode(), bytes, "a record has one key");
    }
    if let Ok(key) = ActivityKey::decode(bytes) {
        assert_eq!(key.encode(), bytes, "a record has one key");
        assert!(ActivityKey::first_of(key.day) <= key);
    }
    check_value(bytes);
    let mut versioned = bytes.to_vec();
    if let Some(version) = versioned.first_mut() {
        *version = 1;
        check_value(&versioned);
    }
}

fn check_value(value: &[u8]) {
    if let Ok(record) = CountersRecord::decode(value) {
        assert_eq!(CountersRecord::decode(&record.encode()), Ok(record));
    }
    if let Ok(record) = IdentityRecord::decode(value) {
        assert_eq!(record.classes.last().map(|last| last.class), Some(record.class()));
        assert_eq!(IdentityRecord::decode(&record.encode()), Ok(record));
    }
    if let Ok(labels) = decode_labels(value) {
        assert_eq!(decode_labels(&encode_labels(&labels)), Ok(labels));
    }
    if let Ok(text) = decode_symbol(value) {
        assert_eq!(encode_symbol(text), value);
    }
    if let Ok(said) = decode_metadata(value) {
        assert_eq!(decode_metadata(&encode_metadata(&said)), Ok(said));
    }
    if let Ok(bitmap) = activity_bitmap(value) {
        assert_eq!([&begin_activity(bitmap.len()), bitmap].concat(), value);
    }
}
