//! What holds for any bytes that claim to be a key or the name of a column family.

use schemas::keys::{
    Family, log_key, parse_log_key, parse_run_key, parse_sealed_key, run_epoch_prefix, run_hour_prefix, run_key,
    sealed_hour_prefix, sealed_key,
};

/// # Panics
/// If a parser panics, or what it reads is not written as the same bytes: a thing has one key.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(sequence) = parse_log_key(bytes) {
        assert_eq!(log_key(sequence), bytes);
    }
    if let Ok((epoch, hour, address)) = parse_run_key(bytes) {
        assert_eq!(run_key(epoch, hour, address), bytes);
        assert!(bytes.starts_with(&run_epoch_prefix(epoch)) && bytes.starts_with(&run_hour_prefix(epoch, hour)));
        assert!(hour.day().hours().start <= hour && hour.week().hours().start <= hour);
    }
    if let Ok((hour, address)) = parse_sealed_key(bytes) {
        assert_eq!(sealed_key(hour, address), bytes);
        assert!(bytes.starts_with(&sealed_hour_prefix(address.class, hour)));
    }
    if let Ok(family) = String::from_utf8_lossy(bytes).parse::<Family>() {
        assert_eq!(family.to_string().as_bytes(), bytes);
        assert!(family.hours().is_none_or(|hours| hours.start <= hours.end));
    }
}
