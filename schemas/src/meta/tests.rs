use std::path::Path;

use proptest::prelude::*;

use super::*;

fn one_of_each() -> Vec<MetaRecord> {
    let class = RetentionClass(2);
    let run = RunRecord {
        epoch: Epoch(9),
        oldest: Epoch(9),
        hours: vec![
            RunHour { hour: Hour(0), points: 3, classes: vec![RetentionClass(0)] },
            RunHour { hour: Hour(490_000), points: 1 << 40, classes: vec![RetentionClass(0), class] },
        ],
    };
    let hours = vec![RunHour { hour: Hour(7), points: 1, classes: vec![RetentionClass(0)] }];
    let merged = RunRecord { epoch: Epoch(300), oldest: Epoch(40), hours };
    let mut delta = DeltaVersions::default();
    delta.set(ColdTable::Raw, 0);
    delta.set(ColdTable::Rollup1h, u64::from(u32::MAX));
    vec![
        MetaRecord::Format(FORMAT_VERSION),
        MetaRecord::Incarnation("0123456789abcdef0123456789abcdef".to_owned()),
        MetaRecord::Checkpoint(Epoch(300)),
        MetaRecord::Run(run),
        MetaRecord::SealedThrough(Hour(490_000), Epoch(7)),
        MetaRecord::ArchivedThrough(ColdTable::Rollup1m, class, Hour(490_000), Epoch(6)),
        MetaRecord::Thresholds(class, Form::Raw1m, Resolution::Hour, Thresholds { hot_lo: Hour(10), cold_lo: Hour(4) }),
        MetaRecord::Form(class, Day(20_778), MetricId(17), Form::Raw1m),
        MetaRecord::Quarantine(Hour(5), "chunk is malformed".to_owned()),
        MetaRecord::IntakeFloor(class, Hour(3)),
        MetaRecord::Delta(delta),
        MetaRecord::MapVersion(300),
        MetaRecord::KafkaOffset(
            Epoch(7),
            TopicPartition::new("metrics-raw", 11),
            KafkaOffset { next: 1_000_000, archived: true },
        ),
        MetaRecord::Run(merged),
    ]
}

#[test]
fn every_record_comes_back_and_keys_differ() {
    let records = one_of_each();
    let mut keys: Vec<Vec<u8>> = records.iter().map(MetaRecord::key).collect();
    for record in &records {
        assert_eq!(MetaRecord::decode(&record.key(), &record.value()).as_ref(), Ok(record));
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), records.len());
}

#[test]
fn keys_to_remove_a_record_are_those_it_was_written_under() {
    let key_of = |at: usize| one_of_each()[at].key();
    assert_eq!(key_of(3), MetaKey::Run(Epoch(9)).bytes());
    assert_eq!(key_of(4), MetaKey::SealedThrough(Hour(490_000)).bytes());
    let archived = MetaKey::ArchivedThrough(ColdTable::Rollup1m, RetentionClass(2), Hour(490_000));
    assert_eq!(key_of(5), archived.bytes());
    assert_eq!(key_of(7), MetaKey::Form(RetentionClass(2), Day(20_778), MetricId(17)).bytes());
    assert_eq!(key_of(8), MetaKey::Quarantine(Hour(5)).bytes());
    assert_eq!(key_of(12), MetaKey::KafkaOffset(Epoch(7), TopicPartition::new("metrics-raw", 11)).bytes());
}

#[test]
fn golden_records_of_version_1_are_read_and_written_alike() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/meta/v1/records.txt");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: Vec<String> =
        one_of_each().iter().map(|record| format!("{} {}", hex(&record.key()), hex(&record.value()))).collect();
    let text = format!("{}\n", lines.join("\n"));
    if std::env::var_os("GOLDEN_WRITE").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for golden files");
        std::fs::write(&path, &text).expect("a new golden file");
    }
    let golden = std::fs::read_to_string(&path).expect("a golden file");
    assert_eq!(golden, text);
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
    };
    for (line, record) in golden.lines().zip(one_of_each()) {
        let (key, value) = line.split_once(' ').expect("key and value");
        assert_eq!(MetaRecord::decode(&unhex(key), &unhex(value)), Ok(record));
    }
}

#[test]
fn unknown_kinds_versions_and_trailing_bytes_are_errors() {
    assert!(matches!(MetaRecord::decode(&[0xff], &[1]), Err(MetaError::Key(_))));
    assert!(matches!(MetaRecord::decode(&[], &[1]), Err(MetaError::Key(_))));
    assert_eq!(MetaRecord::decode(&[CHECKPOINT], &[2, 0]), Err(MetaError::Version { found: 2 }));
    assert!(matches!(MetaRecord::decode(&[CHECKPOINT], &[1, 0, 0]), Err(MetaError::Value(_))));
    assert!(matches!(MetaRecord::decode(&[CHECKPOINT], &[]), Err(MetaError::Read(_))));
    let before_the_first_epoch = MetaRecord::decode(&MetaKey::Run(Epoch(3)).bytes(), &[1, 0, 4]);
    assert!(matches!(before_the_first_epoch, Err(MetaError::Value(_))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        key in proptest::collection::vec(any::<u8>(), 0..16),
        mut value in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Some(version) = value.first_mut() {
            *version = VALUE_VERSION;
        }
        for kind in FORMAT..=KAFKA_OFFSET {
            let mut key = key.clone();
            key.insert(0, kind);
            MetaRecord::decode(&key, &value).ok();
        }
    }
}
