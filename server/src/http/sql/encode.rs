//! Record batches as JSON, NDJSON, CSV or an Arrow stream.
//!
//! Floats that JSON has no number for are words (`NaN`, `+Inf`, `-Inf`) as everywhere in the API, in CSV too, where a
//! column of maps or lists is one field of JSON text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StringArray, StructArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{EncoderFactory, JsonArray, LineDelimited, NullableEncoder};
use arrow::json::{EncoderOptions, WriterBuilder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use serde::Serialize;

use crate::http::number::JsonFloat;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Ndjson,
    Csv,
    Arrow,
}

impl Encoding {
    /// Best first, for `Accept`.
    pub(super) const MEDIA_TYPES: [&'static str; 4] =
        ["application/json", "text/csv", "application/x-ndjson", "application/vnd.apache.arrow.stream"];

    /// The encoding of one of [`Self::MEDIA_TYPES`].
    pub(super) fn of(media_type: &str) -> Self {
        match media_type {
            "text/csv" => Self::Csv,
            "application/x-ndjson" => Self::Ndjson,
            "application/vnd.apache.arrow.stream" => Self::Arrow,
            _ => Self::Json,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Encodes the batches of one answer, in order.
pub(super) enum Encoder {
    Json { rows: bool },
    Ndjson,
    Csv { schema: SchemaRef, header: bool },
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    pub(super) fn new(encoding: Encoding, schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(match encoding {
            Encoding::Json => Self::Json { rows: false },
            Encoding::Ndjson => Self::Ndjson,
            Encoding::Csv => Self::Csv { schema: Arc::clone(schema), header: false },
            Encoding::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema)?)),
        })
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        match self {
            Self::Json { rows } => {
                let mut out = Vec::new();
                let mut writer = json().build::<_, JsonArray>(&mut out);
                writer.write(batch)?;
                writer.finish()?;
                drop(writer);
                // The batch's own brackets give way to those of the whole answer.
                let inner = out.strip_prefix(b"[").and_then(|o| o.strip_suffix(b"]")).unwrap_or(&[]);
                if inner.is_empty() {
                    return Ok(Bytes::new());
                }
                let before: &[u8] = if *rows { b",\n" } else { b"[" };
                *rows = true;
                Ok(Bytes::from([before, inner].concat()))
            }
            Self::Ndjson => {
                let mut out = Vec::new();
                json().build::<_, LineDelimited>(&mut out).write(batch)?;
                Ok(Bytes::from(out))
            }
            Self::Csv { header, .. } => {
                let first = !std::mem::replace(header, true);
                csv_text(&flat(batch)?, first)
            }
            Self::Arrow(writer) => {
                writer.write(batch)?;
                Ok(Bytes::from(std::mem::take(writer.get_mut())))
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<Bytes, ArrowError> {
        match self {
            Self::Json { rows } => Ok(Bytes::from_static(if *rows { b"]\n" } else { b"[]\n" })),
            Self::Ndjson => Ok(Bytes::new()),
            Self::Csv { schema, header } => {
                // An answer without rows still names its columns.
                if *header {
                    Ok(Bytes::new())
                } else {
                    csv_text(&flat(&RecordBatch::new_empty(Arc::clone(schema)))?, true)
                }
            }
            Self::Arrow(writer) => {
                writer.finish()?;
                Ok(Bytes::from(std::mem::take(writer.get_mut())))
            }
        }
    }
}

fn json() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(FloatWords))
}

fn csv_text(batch: &RecordBatch, header: bool) -> Result<Bytes, ArrowError> {
    let mut out = Vec::new();
    csv::WriterBuilder::new().with_header(header).build(&mut out).write(batch)?;
    Ok(Bytes::from(out))
}

/// Turns columns that CSV cannot hold into JSON text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns): (Vec<FieldRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let text = match field.data_type() {
            nested if nested.is_nested() => Some(json_text(field, column)?),
            DataType::Float64 => with_words::<Float64Type>(column)?,
            DataType::Float32 => with_words::<Float32Type>(column)?,
            _ => None,
        };
        match text {
            Some(text) => {
                fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
                columns.push(Arc::new(text));
            }
            None => {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Floats as text, if some are infinite, which CSV's writer has other words for.
fn with_words<F: ArrowPrimitiveType>(column: &ArrayRef) -> Result<Option<StringArray>, ArrowError>
where
    F::Native: Into<f64>,
{
    let floats = column.as_primitive::<F>();
    if floats.iter().flatten().all(|value| !value.into().is_infinite()) {
        return Ok(None);
    }
    let options = FormatOptions::default();
    let others = ArrayFormatter::try_new(column, &options)?;
    let text = (0..floats.len()).map(|row| {
        floats.is_valid(row).then(|| {
            let word = JsonFloat(floats.value(row).into()).word();
            word.map_or_else(|| others.value(row).to_string(), str::to_owned)
        })
    });
    Ok(Some(text.collect()))
}

/// Each value of a column as JSON.
fn json_text(field: &FieldRef, column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let name = "v";
    let field = Arc::new(field.as_ref().clone().with_name(name).with_nullable(true));
    let rows = RecordBatch::from(StructArray::from(vec![(field, Arc::clone(column))]));
    let mut out = Vec::new();
    json().build::<_, LineDelimited>(&mut out).write(&rows)?;
    let text = String::from_utf8(out).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    // Each line is {"v":…}.
    let values = text.lines().map(|line| line.strip_prefix("{\"v\":").and_then(|line| line.strip_suffix('}')));
    Ok(values.map(|value| value.filter(|v| *v != "null")).collect())
}

/// Writes NaN and infinities as words instead of null.
#[derive(Debug)]
struct FloatWords;

impl EncoderFactory for FloatWords {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        Ok(floats::<Float64Type>(array).or_else(|| floats::<Float32Type>(array)))
    }
}

fn floats<F: ArrowPrimitiveType>(array: &dyn Array) -> Option<NullableEncoder<'_>>
where
    F::Native: Into<f64> + Serialize,
{
    let floats = array.as_primitive_opt::<F>()?;
    Some(NullableEncoder::new(Box::new(Floats(floats)), floats.nulls().cloned()))
}

struct Floats<'a, F: ArrowPrimitiveType>(&'a PrimitiveArray<F>);

impl<F: ArrowPrimitiveType> arrow::json::Encoder for Floats<'_, F>
where
    F::Native: Into<f64> + Serialize,
{
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        let value = self.0.value(index);
        let written = match JsonFloat(value.into()).word() {
            Some(word) => serde_json::to_writer(&mut *out, word),
            None => serde_json::to_writer(&mut *out, &value),
        };
        // Cannot fail: a float or a word, into memory.
        if written.is_err() {
            out.extend_from_slice(b"null");
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{MapBuilder, StringBuilder};

    use super::*;

    fn batch() -> RecordBatch {
        let mut labels = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for host in ["a", "b"] {
            labels.keys().append_value("host");
            labels.values().append_value(host);
            labels.append(true).expect("one value a key");
        }
        let labels: ArrayRef = Arc::new(labels.finish());
        let values: ArrayRef = Arc::new(PrimitiveArray::<Float64Type>::from(vec![Some(1.5), Some(f64::NAN)]));
        RecordBatch::try_from_iter_with_nullable([("labels", labels, false), ("value", values, true)]).expect("equal")
    }

    fn all(encoding: Encoding, batches: &[RecordBatch]) -> String {
        let mut encoder = Encoder::new(encoding, &batch().schema()).expect("encodes");
        let mut out = Vec::new();
        for batch in batches {
            out.extend_from_slice(&encoder.batch(batch).expect("encodes"));
        }
        out.extend_from_slice(&encoder.finish().expect("encodes"));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn json_is_one_array_over_all_batches() {
        let value: serde_json::Value = serde_json::from_str(&all(Encoding::Json, &[batch(), batch()])).expect("JSON");
        let row = serde_json::json!({ "labels": { "host": "b" }, "value": "NaN" });
        assert_eq!((value.as_array().map(Vec::len), &value[1], &value[3]), (Some(4), &row, &row));
        assert_eq!(all(Encoding::Json, &[]), "[]\n");
        assert_eq!(all(Encoding::Json, &[batch().slice(0, 0)]), "[]\n");
    }

    #[test]
    fn ndjson_is_a_row_a_line() {
        let text = all(Encoding::Ndjson, &[batch()]);
        assert_eq!(
            text,
            "{\"labels\":{\"host\":\"a\"},\"value\":1.5}\n{\"labels\":{\"host\":\"b\"},\"value\":\"NaN\"}\n"
        );
    }

    #[test]
    fn csv_names_its_columns_once_and_holds_maps_as_json() {
        let text = all(Encoding::Csv, &[batch(), batch().slice(0, 1)]);
        let row = "\"{\"\"host\"\":\"\"a\"\"}\",1.5\n";
        assert_eq!(text, format!("labels,value\n{row}\"{{\"\"host\"\":\"\"b\"\"}}\",NaN\n{row}"));
        assert_eq!(all(Encoding::Csv, &[]), "labels,value\n");
    }

    #[test]
    fn floats_without_a_number_are_the_same_words_in_every_text() {
        let odd = [Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(f64::NAN), None, Some(0.1), Some(-1e300)];
        let short = [Some(f32::INFINITY), Some(f32::NEG_INFINITY), Some(f32::NAN), None, Some(0.1), Some(2.0)];
        let columns: [(&str, ArrayRef); 2] = [
            ("wide", Arc::new(PrimitiveArray::<Float64Type>::from_iter(odd))),
            ("short", Arc::new(PrimitiveArray::<Float32Type>::from_iter(short))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("equal");
        let text = |encoding| {
            let mut encoder = Encoder::new(encoding, &batch.schema()).expect("encodes");
            String::from_utf8(encoder.batch(&batch).expect("encodes").to_vec()).expect("text")
        };
        assert_eq!(text(Encoding::Csv), "wide,short\n+Inf,+Inf\n-Inf,-Inf\nNaN,NaN\n,\n0.1,0.1\n-1e300,2.0\n");
        let rows = text(Encoding::Ndjson);
        let expected = [
            r#"{"wide":"+Inf","short":"+Inf"}"#,
            r#"{"wide":"-Inf","short":"-Inf"}"#,
            r#"{"wide":"NaN","short":"NaN"}"#,
            r#"{"wide":null,"short":null}"#,
            r#"{"wide":0.1,"short":0.1}"#,
            r#"{"wide":-1e+300,"short":2.0}"#,
        ];
        assert!(rows.lines().eq(expected), "{rows}");
    }

    #[test]
    fn an_arrow_stream_reads_back() {
        let mut encoder = Encoder::new(Encoding::Arrow, &batch().schema()).expect("encodes");
        let mut out = encoder.batch(&batch()).expect("encodes").to_vec();
        out.extend_from_slice(&encoder.finish().expect("encodes"));
        let reader = arrow::ipc::reader::StreamReader::try_new(out.as_slice(), None).expect("a stream");
        let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("whole");
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    }
}
