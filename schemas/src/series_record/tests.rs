use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn identity() -> IdentityRecord {
    IdentityRecord {
        sid: Sid(300),
        metric: MetricId(7),
        created: Day(20_778),
        kind: SeriesKind::Float,
        classes: vec![
            ClassFrom { from: Hour(0), class: RetentionClass::DEFAULT },
            ClassFrom { from: Hour(498_672), class: RetentionClass(3) },
        ],
    }
}

fn said() -> MetricMetadata {
    MetricMetadata { unit: Some("bytes".to_owned()), kind: None, help: Some(String::new()) }
}

/// One value of each kind, as bytes, with a decoder that says whether they are read.
type Sample = (Vec<u8>, fn(&[u8]) -> bool);

fn samples() -> Vec<Sample> {
    let labels = [LabelSymbols { name: Symbol(0), value: Symbol(1) }];
    vec![
        (CountersRecord { next_sid: 301, next_symbol: 9 }.encode(), |v| CountersRecord::decode(v).is_ok()),
        (identity().encode(), |v| IdentityRecord::decode(v).is_ok()),
        (encode_labels(&labels), |v| decode_labels(v).is_ok()),
        (encode_symbol("é"), |v| decode_symbol(v).is_ok()),
        (encode_metadata(&said()), |v| decode_metadata(v).is_ok()),
    ]
}

#[test]
fn keys_sort_by_kind_and_number_and_come_back() {
    let keys = [
        SeriesKey::Counters,
        SeriesKey::Identity(SeriesHash(1)),
        SeriesKey::Identity(SeriesHash(1 << 100)),
        SeriesKey::Labels(Sid(1)),
        SeriesKey::Labels(Sid(256)),
        SeriesKey::Symbol(Symbol(0)),
        SeriesKey::Metadata(MetricId(4)),
    ];
    let bytes: Vec<Vec<u8>> = keys.iter().map(|key| key.encode()).collect();
    assert!(bytes.is_sorted());
    for (key, bytes) in keys.iter().zip(&bytes) {
        assert_eq!(SeriesKey::decode(bytes), Ok(*key));
        assert!(SeriesKey::decode(&bytes[..bytes.len() - 1]).is_err());
    }
    assert!(SeriesKey::decode(&[9, 0, 0, 0, 0]).is_err());
}

#[test]
fn activity_keys_sort_by_day_first() {
    let key = ActivityKey { day: Day(20_778), high: 0xabcd };
    assert_eq!(ActivityKey::decode(&key.encode()), Ok(key));
    assert!(key.encode() < ActivityKey::first_of(Day(20_779)).encode());
    assert!(ActivityKey::decode(&[0; 5]).is_err());
}

#[test]
fn records_come_back() {
    let counters = CountersRecord { next_sid: u32::MAX, next_symbol: 0 };
    assert_eq!(CountersRecord::decode(&counters.encode()), Ok(counters));
    assert_eq!(IdentityRecord::decode(&identity().encode()), Ok(identity()));
    assert_eq!(identity().class(), RetentionClass(3));
    let labels = [
        LabelSymbols { name: Symbol(0), value: Symbol(u32::MAX) },
        LabelSymbols { name: Symbol(128), value: Symbol(1) },
    ];
    assert_eq!(decode_labels(&encode_labels(&labels)).as_deref(), Ok(&labels[..]));
    assert_eq!(decode_symbol(&encode_symbol("")), Ok(""));
    assert_eq!(decode_metadata(&encode_metadata(&said())), Ok(said()));
    assert_eq!(activity_bitmap(&begin_activity(0)), Ok(&[][..]));
}

#[test]
fn record_bytes_are_golden() {
    assert_eq!(hex(&SeriesKey::Identity(SeriesHash(0x0102)).encode()), "0100000000000000000000000000000102");
    assert_eq!(hex(&SeriesKey::Labels(Sid(300)).encode()), "020000012c");
    assert_eq!(hex(&ActivityKey { day: Day(20_778), high: 1 }.encode()), "0000512a0001");
    let bytes: Vec<String> = samples().iter().map(|(bytes, _)| hex(bytes)).collect();
    let golden = [
        "01ad0209",
        "01ac0207aaa20100020000f0b71e03",
        "010001",
        "01c3a9",
        // The kind is absent; the help is there and empty.
        "0101056279746573000100",
    ];
    assert_eq!(bytes, golden);
}

#[test]
fn other_versions_and_damage_are_errors() {
    for (bytes, decodes) in samples() {
        assert!(decodes(&bytes));
        assert!(!decodes(&[]), "no value is empty");
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert!(!decodes(&newer));
    }
    let value = identity().encode();
    for cut in 0..value.len() {
        assert!(IdentityRecord::decode(&value[..cut]).is_err());
    }
    let mut longer = value.clone();
    longer.push(0);
    assert_eq!(IdentityRecord::decode(&longer), Err(SeriesRecordError::Long(1)));
    assert_eq!(decode_symbol(&[VERSION, 0xff]), Err(SeriesRecordError::NotUtf8));
    assert!(decode_labels(&[VERSION, 1]).is_err(), "a label has a name and a value");
    assert!(decode_labels(&[VERSION, 1, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err(), "symbols have 32 bits");
    assert!(decode_metadata(&[VERSION, 1, 0xff, 0xff, 3]).is_err(), "lengths are checked against what is there");
}
