//! Batches of rows become Parquet files, a new one whenever one is big enough.

use std::io::{Read, Seek, SeekFrom};

use arrow::array::{Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use schemas::tier_map::ColdTable;
use tempfile::SpooledTempFile;

use super::properties::{ValueEncoding, properties, trial};
use crate::columns::data_schema;
use crate::error::{ColdError, Doing};
use crate::table::FileStats;

/// A file is closed at about this size.
const PART_BYTES_MAX: usize = if cfg!(test) { 256 << 10 } else { 256 << 20 };
/// A file is kept in memory up to this size, then on disk.
const SPOOL_BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 16 << 20 };
/// Rows that decide how raw values are encoded …
const TRIAL_ROWS: usize = 128 << 10;
/// … or fewer, where they have this many bytes: native histograms do.
const TRIAL_BYTES: usize = 32 << 20;
/// A row group is closed early at this size, which floats alone do not reach: it is held in memory.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;

/// A finished Parquet file that is not yet uploaded.
pub(crate) struct Part {
    file: SpooledTempFile,
    pub(crate) bytes: u64,
    pub(crate) stats: FileStats,
}

impl Part {
    /// The next bytes, at most `max`; none at the end.
    pub(crate) fn read(&mut self, max: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(max.min(usize::try_from(self.bytes).unwrap_or(max)));
        self.file.by_ref().take(u64::try_from(max).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

struct Open {
    writer: ArrowWriter<SpooledTempFile>,
    stats: FileStats,
}

/// Writes one table's files of one attempt.
pub(crate) struct RollingWriter {
    table: ColdTable,
    encoding: Option<ValueEncoding>,
    /// Rows that wait for the trial.
    waiting: Vec<(RecordBatch, FileStats)>,
    waiting_rows: usize,
    waiting_bytes: usize,
    open: Option<Open>,
    parts: Vec<Part>,
}

impl RollingWriter {
    pub(crate) fn new(table: ColdTable) -> Self {
        // Only raw values are worth a trial; floats of rollups use a dictionary while it pays.
        let encoding = (table != ColdTable::Raw).then_some(ValueEncoding::Dictionary);
        Self { table, encoding, waiting: Vec::new(), waiting_rows: 0, waiting_bytes: 0, open: None, parts: Vec::new() }
    }

    /// Appends rows; `stats` are of these rows.
    pub(crate) fn write(&mut self, batch: RecordBatch, stats: FileStats) -> Result<(), ColdError> {
        if let Some(encoding) = self.encoding {
            return self.append(&batch, &stats, encoding);
        }
        self.waiting_rows += batch.num_rows();
        self.waiting_bytes += batch.get_array_memory_size();
        self.waiting.push((batch, stats));
        let enough = self.waiting_rows >= TRIAL_ROWS || self.waiting_bytes >= TRIAL_BYTES;
        if enough { self.decide_encoding() } else { Ok(()) }
    }

    /// Ends the last file.
    pub(crate) fn finish(&mut self) -> Result<(), ColdError> {
        self.decide_encoding()?;
        self.close()
    }

    pub(crate) fn take_parts(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.parts)
    }

    fn decide_encoding(&mut self) -> Result<(), ColdError> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let encoding = self.try_encodings(&waiting)?;
        self.encoding = Some(encoding);
        waiting.iter().try_for_each(|(batch, stats)| self.append(batch, stats, encoding))
    }

    fn try_encodings(&self, waiting: &[(RecordBatch, FileStats)]) -> Result<ValueEncoding, ColdError> {
        let values: Vec<&dyn Array> =
            waiting.iter().filter_map(|(batch, _)| batch.column_by_name("value")).map(AsRef::as_ref).collect();
        let all = arrow::compute::concat(&values).doing(|| self.doing())?;
        trial(&all).doing(|| self.doing())
    }

    fn append(&mut self, batch: &RecordBatch, stats: &FileStats, encoding: ValueEncoding) -> Result<(), ColdError> {
        let open = match &mut self.open {
            Some(open) => open,
            empty => empty.insert(Open { writer: writer(self.table, encoding)?, stats: FileStats::default() }),
        };
        open.writer.write(batch).doing(|| format!("cannot encode {}", self.table.as_str()))?;
        open.stats.merge(stats);
        if open.writer.in_progress_size() >= ROW_GROUP_BYTES_MAX {
            open.writer.flush().doing(|| format!("cannot encode {}", self.table.as_str()))?;
        }
        if open.writer.bytes_written() + open.writer.in_progress_size() >= PART_BYTES_MAX {
            self.close()
        } else {
            Ok(())
        }
    }

    fn close(&mut self) -> Result<(), ColdError> {
        let Some(Open { writer, stats }) = self.open.take() else { return Ok(()) };
        let mut file = writer.into_inner().doing(|| self.doing())?;
        let bytes = file.stream_position().and_then(|end| file.seek(SeekFrom::Start(0)).map(|_| end));
        let bytes = bytes.map_err(|source| ColdError::Io { doing: "cannot use a temporary file", source })?;
        self.parts.push(Part { file, bytes, stats });
        Ok(())
    }

    fn doing(&self) -> String {
        format!("cannot encode {}", self.table.as_str())
    }
}

fn writer(table: ColdTable, encoding: ValueEncoding) -> Result<ArrowWriter<SpooledTempFile>, ColdError> {
    let file = SpooledTempFile::new(SPOOL_BYTES_MAX);
    // Readers get plain Parquet types; Arrow's own schema would only say how we built the columns.
    let options = ArrowWriterOptions::new().with_properties(properties(table, encoding)).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(file, data_schema(table), options)
        .doing(|| format!("cannot encode {}", table.as_str()))
}
