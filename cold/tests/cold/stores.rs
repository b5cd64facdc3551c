//! What an archive asks of its store, and of tables it finds.

use std::sync::Arc;

use cold::{Archive, ArchiveConfig, ColdError};
use object_store::PutMode;

use crate::faults::FaultStore;
use crate::support::*;

#[tokio::test]
async fn a_store_without_conditional_put_is_refused() {
    let given = Given::a_directory();
    let careless = |store| -> Arc<dyn object_store::ObjectStore> {
        FaultStore::around(store).map_put(|mut options| {
            options.mode = PutMode::Overwrite;
            options
        })
    };
    let refused = given.archive_through("a", careless).await.expect_err("refused");
    assert!(matches!(refused, ColdError::NoConditionalPut { .. }), "{refused}");
    assert!(refused.to_string().contains("If-None-Match"), "says what to do: {refused}");
    assert!(!refused.is_retryable());
    assert!(given.files("raw").is_empty(), "nothing was made");
}

#[tokio::test]
async fn a_path_and_a_file_url_are_the_same_place() {
    let given = Given::a_directory();
    let told = fleet(HOUR, 1);
    archive_hour(&given.archive("a").await, HOUR, 1, &told).await.expect("archived");
    let url = format!("file://{}", given.path().display());
    let archive = Archive::open(ArchiveConfig { url, ..given.config("b") }).await.expect("opens");
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn a_path_with_blanks_works() {
    let given = Given::a_directory();
    let url = given.path().join("my cold data").display().to_string();
    let archive = Archive::open(ArchiveConfig { url, ..given.config("a") }).await.expect("opens");
    let told = fleet(HOUR, 1);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    archive.refresh().await.expect("readable");
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn tables_are_plain_delta_of_protocol_one_and_two() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    archive_hour(&archive, HOUR, 1, &fleet(HOUR, 1)).await.expect("archived");
    for table in ["series", "raw", "rollup_1m", "rollup_1h"] {
        let log = given.path().join(table).join("_delta_log");
        let first = std::fs::read_to_string(log.join(format!("{:020}.json", 0))).expect("version 0");
        let protocol = first.lines().find(|line| line.contains("\"protocol\"")).expect("has one");
        assert_eq!(protocol, r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#);
        let second = std::fs::read_to_string(log.join(format!("{:020}.json", 1))).expect("version 1");
        assert!(!second.contains("deletionVector\":{"), "{second}");
    }
}

#[tokio::test]
async fn a_table_that_another_program_changed_is_not_written_to() {
    let given = Given::a_directory();
    given.archive("a").await;
    let log = given.path().join("raw/_delta_log");
    let newer = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    std::fs::write(log.join(format!("{:020}.json", 1)), newer).expect("writable");
    let refused = Archive::open(given.config("a")).await.expect_err("refused");
    assert!(matches!(refused, ColdError::Incompatible { .. }), "{refused}");
    assert!(refused.to_string().contains("3/7"), "{refused}");
}

#[tokio::test]
async fn damage_in_a_data_file_is_an_error() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    archive_hour(&archive, HOUR, 1, &fleet(HOUR, 1)).await.expect("archived");
    let path = &given.parquet_files("raw")[0];
    let whole = std::fs::read(path).expect("readable");
    for cut in [whole.len() / 2, 0] {
        std::fs::write(path, &whole[..cut]).expect("writable");
        let archive = given.archive("b").await;
        let counters = cold::ReadCounters::default();
        let read = match archive.scan_points(&archive.versions(), &everything(), &counters).await {
            Ok(stream) => futures::TryStreamExt::try_collect::<Vec<_>>(stream).await,
            Err(error) => Err(error),
        };
        assert!(read.is_err());
    }
}
