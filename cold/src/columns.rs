//! Columns of the four tables, as outside engines see them (`docs/formats/delta.md`).
//!
//! [`data_schema`] (what a Parquet file holds) + [`partition_columns`] (what its directory says) = [`table_schema`]
//! ─▶ Delta schema of version 0, checked whenever a table is opened
//!
//! A column is never renamed, retyped or reordered; new ones come last and may be NULL.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::{
    ArrayType, DataType as DeltaType, MapType, PrimitiveType, StructField as DeltaField, StructType,
};
use schemas::object_path::partition_column;
use schemas::tier_map::ColdTable;

/// Rows of every table but `series` are sorted by these within a file; `series` by the first two, metric first.
pub(crate) const SORT: [&str; 3] = ["metric", "series_id", "ts"];

/// Names inside the entries of a Parquet map, as Delta has them.
pub(crate) const MAP_ENTRY: [&str; 3] = ["key_value", "key", "value"];

static DATA_SCHEMAS: LazyLock<BTreeMap<ColdTable, SchemaRef>> = LazyLock::new(|| {
    let schema = |fields: Vec<Field>| Arc::new(Schema::new(fields));
    BTreeMap::from([
        (ColdTable::Series, schema(series())),
        (ColdTable::Raw, schema(raw())),
        (ColdTable::Rollup1m, schema(rollup())),
        (ColdTable::Rollup1h, schema(rollup())),
    ])
});

/// The type of every time: microseconds in UTC, the only timestamp of protocol 1.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns of a data file.
pub(crate) fn data_schema(table: ColdTable) -> SchemaRef {
    Arc::clone(&DATA_SCHEMAS[&table])
}

/// The columns that only a file's directory and its log entry hold.
pub(crate) fn partition_columns(table: ColdTable) -> Vec<Field> {
    partition_column(table).map_or_else(Vec::new, |time| {
        vec![Field::new(time, DataType::Date32, true), Field::new("class", DataType::Utf8, true)]
    })
}

/// All columns of a table, in order.
pub fn table_schema(table: ColdTable) -> SchemaRef {
    let mut fields: Vec<Field> = data_schema(table).fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.extend(partition_columns(table));
    Arc::new(Schema::new(fields))
}

/// The schema that the Delta log has.
pub(crate) fn delta_schema(table: ColdTable) -> Result<StructType, String> {
    let fields: Vec<DeltaField> = table_schema(table).fields().iter().map(|f| delta_field(f)).collect();
    StructType::try_new(fields).map_err(|e| e.to_string())
}

fn raw() -> Vec<Field> {
    let mut fields = key();
    fields.push(Field::new("value", DataType::Float64, true));
    fields.push(Field::new("histogram", DataType::Binary, true));
    fields
}

fn rollup() -> Vec<Field> {
    let mut fields = key();
    let mut add = |names: &[&str], kind: &DataType, nullable: bool| {
        fields.extend(names.iter().map(|name| Field::new(*name, kind.clone(), nullable)));
    };
    let (float, long, time) = (DataType::Float64, DataType::Int64, timestamp_type());
    add(&["count", "nan_count"], &long, false);
    add(&["stale_ts"], &time, true);
    add(&["sum", "min", "max", "avg", "p99"], &float, true);
    add(&["first_ts"], &time, true);
    add(&["first"], &float, true);
    add(&["last_ts"], &time, true);
    add(&["last"], &float, true);
    add(&["reset_adj"], &float, false);
    add(&["resets"], &long, false);
    add(&["increase"], &float, true);
    add(&["scale"], &DataType::Int32, true);
    add(&["zero_count"], &long, true);
    add(&["idx"], &list_of(DataType::Int32), true);
    add(&["cnt"], &list_of(DataType::Int64), true);
    add(&["neg_idx"], &list_of(DataType::Int32), true);
    add(&["neg_cnt"], &list_of(DataType::Int64), true);
    add(&["edge"], &float, true);
    add(&["open_first_ts"], &time, true);
    add(&["open_first", "open_min", "open_max", "open_sum", "open_reset_adj"], &float, true);
    fields
}

fn series() -> Vec<Field> {
    let [entry, key, value] = MAP_ENTRY;
    let pair = Fields::from(vec![Field::new(key, DataType::Utf8, false), Field::new(value, DataType::Utf8, true)]);
    let labels = DataType::Map(Arc::new(Field::new(entry, DataType::Struct(pair), false)), false);
    vec![
        Field::new("series_id", DataType::Int64, false),
        Field::new("metric", DataType::Utf8, false),
        Field::new("tenant", DataType::Utf8, true),
        Field::new("labels", labels, false),
        Field::new("first_date", DataType::Date32, false),
        Field::new("last_date", DataType::Date32, false),
    ]
}

fn key() -> Vec<Field> {
    vec![
        Field::new("series_id", DataType::Int64, false),
        Field::new("metric", DataType::Utf8, false),
        Field::new("ts", timestamp_type(), false),
    ]
}

/// The element is nullable as in every engine's lists, though we write none.
pub(crate) fn list_of(kind: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", kind, true)))
}

fn delta_field(field: &Field) -> DeltaField {
    DeltaField::new(field.name().clone(), delta_type(field.data_type()), field.is_nullable())
}

fn delta_type(kind: &DataType) -> DeltaType {
    match kind {
        DataType::Int64 => DeltaType::LONG,
        DataType::Int32 => DeltaType::INTEGER,
        DataType::Float64 => DeltaType::DOUBLE,
        DataType::Binary => DeltaType::BINARY,
        DataType::Date32 => DeltaType::DATE,
        DataType::Timestamp(..) => DeltaType::Primitive(PrimitiveType::Timestamp),
        DataType::List(element) => {
            DeltaType::from(ArrayType::new(delta_type(element.data_type()), element.is_nullable()))
        }
        DataType::Map(..) => DeltaType::from(MapType::new(DeltaType::STRING, DeltaType::STRING, true)),
        _ => DeltaType::STRING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(table: ColdTable) -> String {
        let schema = table_schema(table);
        let name = |f: &Arc<Field>| format!("{}{}", f.name(), if f.is_nullable() { "?" } else { "" });
        schema.fields().iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_golden() {
        assert_eq!(names(ColdTable::Raw), "series_id metric ts value? histogram? date? class?");
        let rollup = "series_id metric ts count nan_count stale_ts? sum? min? max? avg? p99? first_ts? first? last_ts? \
                      last? reset_adj resets increase? scale? zero_count? idx? cnt? neg_idx? neg_cnt? edge? \
                      open_first_ts? open_first? open_min? open_max? open_sum? open_reset_adj?";
        assert_eq!(names(ColdTable::Rollup1m), format!("{rollup} date? class?"));
        assert_eq!(names(ColdTable::Rollup1h), format!("{rollup} month? class?"));
        assert_eq!(names(ColdTable::Series), "series_id metric tenant? labels first_date last_date");
    }

    #[test]
    fn the_delta_schema_is_plain() {
        let json = serde_json::to_string(&delta_schema(ColdTable::Raw).expect("valid")).expect("json");
        let field = |name: &str, kind: &str, null: bool| {
            format!(r#"{{"name":"{name}","type":"{kind}","nullable":{null},"metadata":{{}}}}"#)
        };
        let expected = [
            field("series_id", "long", false),
            field("metric", "string", false),
            field("ts", "timestamp", false),
            field("value", "double", true),
            field("histogram", "binary", true),
            field("date", "date", true),
            field("class", "string", true),
        ]
        .join(",");
        assert_eq!(json, format!(r#"{{"type":"struct","fields":[{expected}]}}"#));
    }
}
