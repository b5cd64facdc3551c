//! Plans for SQL: the tables as they lie in Delta.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use cold::{Archive, ColdSelection, ReadCounters, SqlScan, scan_schema};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect};
use schemas::tier_map::ColdTable;

use crate::support::*;

async fn given_two_hours(given: &Given) -> Arc<Archive> {
    let archive = given.archive("a").await;
    for (through, hour) in [(1, HOUR), (2, HOUR.next())] {
        archive_hour(&archive, hour, through, &fleet(hour, 3)).await.expect("archived");
    }
    archive
}

async fn run(
    archive: &Archive,
    table: ColdTable,
    selection: &ColdSelection,
    scan: SqlScan,
) -> (Arc<dyn ExecutionPlan>, Vec<RecordBatch>) {
    let counters = ReadCounters::default();
    let plan = archive.plan_scan(table, &archive.versions(), selection, scan, &counters).await.expect("plans");
    // A session that knows nothing of the archive's store.
    let batches = collect(Arc::clone(&plan), Arc::new(TaskContext::default())).await.expect("runs");
    assert!(batches.is_empty() || counters.gets() > 0);
    (plan, batches)
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn a_scan_has_the_columns_of_the_table_and_its_partitions() {
    let given = Given::a_directory();
    let archive = given_two_hours(&given).await;
    let expected =
        [(ColdTable::Series, 6), (ColdTable::Raw, 2 * 6 * 360), (ColdTable::Rollup1m, 720), (ColdTable::Rollup1h, 12)];
    for (table, count) in expected {
        let (plan, batches) =
            run(&archive, table, &everything(), SqlScan { partitions: 4, ..SqlScan::default() }).await;
        assert_eq!(plan.schema(), scan_schema(table), "{table:?}");
        assert_eq!(rows(&batches), count, "{table:?}");
    }
    let (_, raw) = run(&archive, ColdTable::Raw, &everything(), SqlScan::default()).await;
    let date = raw[0].column_by_name("date").expect("there").as_primitive::<Date32Type>();
    assert_eq!(date.value(0), 20_778);
    assert_eq!(raw[0].column_by_name("class").expect("there").as_string::<i32>().value(0), "default");
}

#[tokio::test]
async fn selection_predicate_projection_and_limit_narrow() {
    let given = Given::a_directory();
    let archive = given_two_hours(&given).await;
    let schema = scan_schema(ColdTable::Raw);
    let above = binary(col("value", &schema).expect("there"), Operator::Gt, lit(20.0), &schema).expect("typed");
    let selection = ColdSelection { metric: Some("cpu".to_owned()), range: hours(HOUR, 1), ..everything() };
    let scan = SqlScan { projection: Some(vec![3]), predicate: Some(above), partitions: 2, ..SqlScan::default() };
    let (plan, batches) = run(&archive, ColdTable::Raw, &selection, scan.clone()).await;
    assert_eq!(plan.schema().fields().len(), 1);
    let above: usize = fleet(HOUR, 3)
        .iter()
        .filter(|told| told.labels.metric() == "cpu")
        .flat_map(|told| told.points.values.clone())
        .filter(|value| *value > 20.0)
        .count();
    assert_eq!(rows(&batches), above);
    let (_, limited) = run(&archive, ColdTable::Raw, &selection, SqlScan { limit: Some(5), ..scan }).await;
    assert!(rows(&limited) >= 5 && rows(&limited) < above, "{}", rows(&limited));
}

#[tokio::test]
async fn an_ordered_scan_gives_sorted_streams_and_says_so() {
    let given = Given::a_directory();
    let archive = given_two_hours(&given).await;
    let scan = SqlScan { ordered: true, ..SqlScan::default() };
    let counters = ReadCounters::default();
    let (versions, selection) = (archive.versions(), everything());
    let plan = archive.plan_scan(ColdTable::Raw, &versions, &selection, scan, &counters);
    let plan = plan.await.expect("plans");
    assert_eq!(plan.output_partitioning().partition_count(), 2);
    let ordering = plan.output_ordering().expect("declared").to_string();
    assert!(
        ordering.starts_with("metric@1 ASC") && ordering.contains("series_id@0") && ordering.contains("ts@2"),
        "{ordering}"
    );
    let stream = plan.execute(0, Arc::new(TaskContext::default())).expect("runs");
    let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(stream).await.expect("runs");
    let mut previous = None;
    for batch in &batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        let metrics = batch.column(1).as_string_view();
        for row in 0..batch.num_rows() {
            let key = (metrics.value(row).to_owned(), ids.value(row), times.value(row));
            assert!(previous.as_ref().is_none_or(|previous| *previous < key));
            previous = Some(key);
        }
    }
    assert_eq!(rows(&batches), 6 * 360);
}
