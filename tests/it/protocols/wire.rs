//! Remote write's message, made by hand: what a test makes with the code under test proves little.

use std::io::Write as _;

/// A timestamp in milliseconds, and its value.
pub(crate) struct Sample(pub(crate) i64, pub(crate) f64);

/// Labels and samples of one series.
pub(crate) type Sent<'a> = (Vec<(&'a str, &'a str)>, Vec<Sample>);

/// `prometheus.WriteRequest`, not yet compressed.
pub(crate) fn write_request(series: &[Sent<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, samples) in series {
        let mut one = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut one, 1, &label);
        }
        for Sample(timestamp, value) in samples {
            field(&mut one, 2, &sample(*timestamp, *value));
        }
        field(&mut request, 1, &one);
    }
    request
}

/// `io.prometheus.write.v2.Request`, not yet compressed: series of one sample of value 1, by references to symbols and
/// timestamp.
pub(crate) fn write_request_v2(symbols: &[&str], series: &[(&[u8], i64)]) -> Vec<u8> {
    let mut request = Vec::new();
    for symbol in symbols {
        field(&mut request, 4, symbol.as_bytes());
    }
    for (references, timestamp) in series {
        let mut one = Vec::new();
        field(&mut one, 1, references);
        field(&mut one, 2, &sample(*timestamp, 1.0));
        field(&mut request, 5, &one);
    }
    request
}

/// A sample of either version: field 1, 64 bits; field 2, varint.
fn sample(timestamp: i64, value: f64) -> Vec<u8> {
    let mut sample = vec![0x09];
    sample.extend(value.to_le_bytes());
    sample.push(0x10);
    varint(&mut sample, timestamp.cast_unsigned());
    sample
}

/// A field of bytes with its length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

pub(crate) fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
