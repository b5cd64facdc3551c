//! How columns are encoded in Parquet.
//!
//! Times and ids are DELTA_BINARY_PACKED, raw values whichever of a dictionary and BYTE_STREAM_SPLIT was smaller on the
//! first rows, all of it ZSTD 3. Statistics only where rows are sorted by them; a bloom filter on `series_id`, since
//! ids of a metric's series spread over all row groups of a big one.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use schemas::tier_map::ColdTable;

use crate::columns::{SORT, data_schema};

/// Rows of a row group of raw points.
const RAW_ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows of a row group of rollups and of series.
const WIDE_ROW_GROUP_ROWS: usize = 128 << 10;
/// Rows of a page: what a query of one series decodes at least.
const PAGE_ROWS: usize = 16 << 10;
/// Above this a dictionary gives way to the column's other encoding.
const DICTIONARY_BYTES_MAX: usize = 512 << 10;

/// How values of raw points are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueEncoding {
    /// Few distinct values: decimal gauges.
    Dictionary,
    /// Any others.
    ByteStreamSplit,
}

/// The properties of a table's files.
pub(crate) fn properties(table: ColdTable, values: ValueEncoding) -> WriterProperties {
    let rows = if table == ColdTable::Raw { RAW_ROW_GROUP_ROWS } else { WIDE_ROW_GROUP_ROWS };
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(rows))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_created_by(concat!("thermocline ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_sorting_columns(Some(sorting_columns(table)));
    for field in data_schema(table).fields() {
        builder = column(builder, table, field, values);
    }
    builder.build()
}

fn column(
    builder: WriterPropertiesBuilder,
    table: ColdTable,
    field: &Field,
    values: ValueEncoding,
) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(field.name().as_str());
    let plain = |builder: WriterPropertiesBuilder, encoding| {
        builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding)
    };
    let sorted = SORT.contains(&field.name().as_str());
    let builder =
        if sorted { builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page) } else { builder };
    match (field.name().as_str(), field.data_type()) {
        ("series_id", _) => plain(builder, Encoding::DELTA_BINARY_PACKED)
            .set_column_bloom_filter_enabled(path.clone(), table != ColdTable::Series)
            .set_column_bloom_filter_fpp(path.clone(), 0.01),
        (_, DataType::Timestamp(..)) => plain(builder, Encoding::DELTA_BINARY_PACKED),
        ("value", _) if values == ValueEncoding::ByteStreamSplit => plain(builder, Encoding::BYTE_STREAM_SPLIT),
        // No two are the same.
        ("histogram", _) => plain(builder, Encoding::PLAIN),
        // What the dictionary falls back to when it is full.
        (_, DataType::Float64) => builder.set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT),
        _ => builder,
    }
}

fn sorting_columns(table: ColdTable) -> Vec<SortingColumn> {
    let schema = data_schema(table);
    let position = |name: &&str| schema.index_of(name).ok().and_then(|index| i32::try_from(index).ok());
    let ascending = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    SORT.iter().filter_map(position).map(ascending).collect()
}

/// Encodes the first values both ways and says which is smaller.
pub(crate) fn trial(values: &ArrayRef) -> Result<ValueEncoding, ParquetError> {
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Float64, true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(values)])?;
    let size = |encoding| -> Result<usize, ParquetError> {
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(trial_properties(encoding)))?;
        writer.write(&batch)?;
        Ok(writer.into_inner()?.len())
    };
    let dictionary = size(ValueEncoding::Dictionary)?;
    let split = size(ValueEncoding::ByteStreamSplit)?;
    Ok(if dictionary <= split { ValueEncoding::Dictionary } else { ValueEncoding::ByteStreamSplit })
}

fn trial_properties(encoding: ValueEncoding) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_dictionary_enabled(encoding == ValueEncoding::Dictionary)
        .set_encoding(Encoding::BYTE_STREAM_SPLIT)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .build()
}
