//! Other programs write to the tables too: a compaction by Spark, a correction by hand.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Schema;
use cold::table_schema;
use parquet::arrow::ArrowWriter;
use schemas::tier_map::ColdTable;

use crate::support::*;

/// Adds a file to `raw` as a writer would that knows nothing of us: no tags, no statistics, rows in any order.
fn add_file(given: &Given, version: u64, rows: &[(&Told, i64, f64)]) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(told, ..)| told.id().0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(told, ..)| told.labels.metric()))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, ms, _)| ms * 1_000)).with_timezone("UTC"),
        ),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|(.., value)| *value))),
        Arc::new(BinaryArray::new_null(rows.len())),
    ];
    let data = Arc::new(Schema::new(table_schema(ColdTable::Raw).fields()[..5].to_vec()));
    let batch = RecordBatch::try_new(Arc::clone(&data), columns).expect("as the table has them");
    let path = "date=2026-11-21/class=default/part-00000-c000.snappy.parquet";
    let file = given.path().join("raw").join(path);
    std::fs::create_dir_all(file.parent().expect("has one")).expect("writable");
    let mut writer = ArrowWriter::try_new(File::create(&file).expect("writable"), data, None).expect("starts");
    writer.write(&batch).expect("encodes");
    writer.close().expect("ends");
    let size = std::fs::metadata(&file).expect("there").len();
    let add = serde_json::json!({ "add": {
        "path": path, "size": size, "modificationTime": 1, "dataChange": true,
        "partitionValues": { "date": "2026-11-21", "class": "default" },
    }});
    let log = given.path().join(format!("raw/_delta_log/{version:020}.json"));
    std::fs::write(log, add.to_string()).expect("writable");
}

#[tokio::test]
async fn rows_of_another_program_are_united_with_ours_which_win() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 2);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    let start = HOUR.start().0;
    // Unsorted, one time twice, one time that we have.
    let rows =
        [(&told[3], start + 7, 2.0), (&told[0], start + 9, 1.0), (&told[0], start + 3, 8.0), (&told[0], start, -5.0)];
    add_file(&given, 2, &rows);
    archive.refresh().await.expect("readable");
    let mut expected = told.clone();
    expected[0].points = points(&[(start + 3, 8.0), (start + 9, 1.0)]).overlaid_with(&told[0].points);
    expected[3].points = points(&[(start + 7, 2.0)]).overlaid_with(&told[3].points);
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&expected));
    let files = archive.files(ColdTable::Raw, &archive.versions(), &everything()).await.expect("known");
    let foreign = files.iter().find(|file| file.path.contains("part-00000")).expect("listed");
    assert_eq!(foreign.hours, [HOUR.day().hours()], "without tags and statistics, all of its partition");
    let reopened = given.archive("b").await;
    assert_eq!(read_points(&reopened, &everything()).await.0, told_points(&expected));
}

#[tokio::test]
async fn archiving_goes_on_behind_another_programs_commit() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 1);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    add_file(&given, 2, &[(&told[0], HOUR.start().0 + 1, 1.0)]);
    let commit = archive_hour(&archive, HOUR, 2, &told).await.expect("archived");
    assert_eq!(commit.versions.raw, Some(3));
    let raw = &archive.inventory().await.expect("readable").tables[1];
    assert_eq!(raw.files, 2, "theirs is not ours to replace");
}
