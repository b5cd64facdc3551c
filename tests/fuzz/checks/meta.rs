//! What holds for any bytes that claim to be a meta record: a length byte, the key, the value.

use schemas::meta::MetaRecord;

/// Decodes the record, with the value's version as it is and as it should be.
///
/// # Panics
/// If a decoder panics, or what decodes does not survive encoding.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&length, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(length).min(rest.len()));
    check_one(key, value);
    let mut versioned = value.to_vec();
    if let Some(version) = versioned.first_mut() {
        *version = 1;
    }
    check_one(key, &versioned);
}

fn check_one(key: &[u8], value: &[u8]) {
    let Ok(record) = MetaRecord::decode(key, value) else { return };
    assert_eq!(record.key(), key, "a fact has one key");
    assert_eq!(MetaRecord::decode(&record.key(), &record.value()), Ok(record));
}
