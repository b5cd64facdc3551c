//! Version 0 of a table, and whether a table that is found is one of ours.

use std::collections::HashMap;

use deltalake_core::kernel::transaction::CommitData;
use deltalake_core::kernel::{Action, EagerSnapshot, Protocol, StructType, new_metadata};
use deltalake_core::logstore::commit_uri_from_version;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use object_store::{Error as StoreError, ObjectStore, PutMode, PutOptions};
use schemas::tier_map::ColdTable;

use crate::columns::{delta_schema, partition_columns};
use crate::error::{ColdError, Doing};

/// Properties of a new table, for outside engines and for our own upkeep.
const PROPERTIES: [(&str, &str); 4] = [
    ("delta.checkpointInterval", "32"),
    ("delta.logRetentionDuration", "interval 30 days"),
    ("delta.deletedFileRetentionDuration", "interval 7 days"),
    ("delta.dataSkippingNumIndexedCols", "3"),
];

/// Puts version 0, unless somebody else just did.
pub(super) async fn create(kind: ColdTable, store: &dyn ObjectStore) -> Result<(), ColdError> {
    let incompatible = |problem: String| ColdError::Incompatible { table: kind, problem };
    let protocol: Protocol =
        serde_json::from_value(serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 }))
            .map_err(|e| incompatible(e.to_string()))?;
    let schema = delta_schema(kind).map_err(incompatible)?;
    let partitions = partition_columns(kind);
    let partitions = partitions.iter().map(|field| field.name());
    let metadata = new_metadata(&schema, partitions, PROPERTIES).doing(|| "cannot describe a table".to_owned())?;
    let actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
    let bytes = commit_bytes(kind, actions, "create")?;
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.put_opts(&commit_uri_from_version(Some(0)), bytes.into(), create).await {
        // Another node made it at the same time: what counts is that it exists.
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
        Err(source) => Err(ColdError::Store { doing: format!("cannot create table {}", kind.as_str()), source }),
    }
}

/// The JSON lines of a commit.
pub(super) fn commit_bytes(kind: ColdTable, actions: Vec<Action>, why: &str) -> Result<bytes::Bytes, ColdError> {
    let partition_by = partition_columns(kind).iter().map(|field| field.name().clone()).collect();
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(partition_by), predicate: None };
    let said = HashMap::from([("thermocline".to_owned(), serde_json::json!(why))]);
    let data = CommitData::new(actions, operation, said, Vec::new());
    data.get_bytes().doing(|| "cannot write a commit as JSON".to_owned())
}

/// Refuses a table that is not exactly as [`create`] makes it.
pub(super) fn check_compatible(kind: ColdTable, snapshot: &EagerSnapshot) -> Result<(), ColdError> {
    let incompatible = |problem: String| Err(ColdError::Incompatible { table: kind, problem });
    let protocol = snapshot.protocol();
    if protocol.min_reader_version() > 1 || protocol.min_writer_version() > 2 {
        let (reader, writer) = (protocol.min_reader_version(), protocol.min_writer_version());
        return incompatible(format!("it asks for protocol {reader}/{writer}, and this program knows 1/2"));
    }
    let expected = delta_schema(kind).map_err(|problem| ColdError::Incompatible { table: kind, problem })?;
    let found = snapshot.schema();
    if *found != expected {
        let names =
            |schema: &StructType| schema.fields().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ");
        return incompatible(format!("it has the columns {}, not {}", names(&found), names(&expected)));
    }
    let partitions: Vec<String> = partition_columns(kind).iter().map(|field| field.name().clone()).collect();
    if snapshot.metadata().partition_columns() != partitions {
        return incompatible(format!("it is not partitioned by {}", partitions.join(", ")));
    }
    Ok(())
}
