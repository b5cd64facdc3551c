//! OTLP in protobuf: `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`, read in place.
//!
//! Field numbers are those of `opentelemetry/proto/{metrics,resource,common}/v1`. A message is walked twice where what
//! stands behind its points (a unit, a resource) is needed before them.

use std::borrow::Cow;
use std::ops::Range;

use schemas::varint::unzigzag;

use super::json::FORMAT;
use super::points::{Attribute, Attributes, Buckets, Explicit, Exponential, Number, Shape, Summary, Temporality};
use super::translate::{Family, Translator};
use super::value::Value;
use crate::decode::DecodeError;
use crate::decode::protobuf::{Field, Reader};

/// Arrays and maps in arrays and maps, so deep at most.
const DEPTH_MAX: usize = 32;
/// Bytes of an array or a map that is to become a label; what it is read into is some times larger.
pub(super) const NESTED_BYTES_MAX: usize = 1 << 20;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn decode(body: &[u8], out: &mut Translator<'_, '_, '_, '_>) -> Result<()> {
    let mut reader = Reader::new(body, FORMAT);
    while let Some(field) = reader.next_field()? {
        if let (1, Field::Bytes(resource)) = field {
            resource_metrics(&reader.within(resource), out)?;
        }
    }
    Ok(())
}

fn resource_metrics(reader: &Reader<'_>, out: &mut Translator<'_, '_, '_, '_>) -> Result<()> {
    let mut attributes = Attributes::default();
    let mut first = *reader;
    while let Some(field) = first.next_field()? {
        if let (1, Field::Bytes(resource)) = field {
            let mut resource = first.within(resource);
            while let Some(field) = resource.next_field()? {
                if let (1, Field::Bytes(attribute)) = field {
                    attributes.push(key_value(resource.within(attribute))?);
                }
            }
        }
    }
    out.resource(&attributes);
    let mut second = *reader;
    while let Some(field) = second.next_field()? {
        if let (2, Field::Bytes(scope)) = field {
            scope_metrics(&second.within(scope), out)?;
        }
    }
    out.end_resource()
}

fn scope_metrics(reader: &Reader<'_>, out: &mut Translator<'_, '_, '_, '_>) -> Result<()> {
    let (mut name, mut version, mut schema_url) = ("", "", "");
    let mut attributes = Attributes::default();
    let mut first = *reader;
    while let Some(field) = first.next_field()? {
        match field {
            (1, Field::Bytes(scope)) => {
                let mut scope = first.within(scope);
                while let Some(field) = scope.next_field()? {
                    match field {
                        (1, Field::Bytes(said)) => name = text(&scope, said)?,
                        (2, Field::Bytes(said)) => version = text(&scope, said)?,
                        (3, Field::Bytes(attribute)) => attributes.push(key_value(scope.within(attribute))?),
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(url)) => schema_url = text(&first, url)?,
            _ => {}
        }
    }
    out.scope(name, version, schema_url, &attributes);
    let mut second = *reader;
    while let Some(field) = second.next_field()? {
        if let (2, Field::Bytes(one)) = field {
            metric(second.within(one), out)?;
        }
    }
    Ok(())
}

fn metric(mut reader: Reader<'_>, out: &mut Translator<'_, '_, '_, '_>) -> Result<()> {
    let (mut name, mut help, mut unit, mut data) = ("", "", "", None);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Bytes(said)) => name = text(&reader, said)?,
            (2, Field::Bytes(said)) => help = text(&reader, said)?,
            (3, Field::Bytes(said)) => unit = text(&reader, said)?,
            (kind @ (5 | 7 | 9 | 10 | 11), Field::Bytes(points)) => data = Some((kind, reader.within(points))),
            _ => {}
        }
    }
    let Some((kind, data)) = data else { return Ok(()) };
    let (shape, has_points) = shape(kind, data)?;
    if has_points {
        let family = out.metric(name, unit, help, shape);
        return data_points(data, &family, shape, out);
    }
    Ok(())
}

/// What a metric is, and whether it has points.
fn shape(kind: u64, mut data: Reader<'_>) -> Result<(Shape, bool)> {
    let (mut temporality, mut monotonic, mut has_points) = (Temporality::default(), false, false);
    while let Some(field) = data.next_field()? {
        match field {
            (1, Field::Bytes(_)) => has_points = true,
            (2, Field::Varint(number)) => temporality = Temporality::of(number),
            (3, Field::Varint(is)) => monotonic = is != 0,
            _ => {}
        }
    }
    let shape = match kind {
        7 => Shape::Sum { monotonic, temporality },
        9 => Shape::Explicit(temporality),
        10 => Shape::Exponential(temporality),
        11 => Shape::Summary,
        _ => Shape::Gauge,
    };
    Ok((shape, has_points))
}

fn data_points(
    mut data: Reader<'_>,
    family: &Family,
    shape: Shape,
    out: &mut Translator<'_, '_, '_, '_>,
) -> Result<()> {
    while let Some(field) = data.next_field()? {
        let (1, Field::Bytes(point)) = field else { continue };
        let point = data.within(point);
        match shape {
            Shape::Gauge | Shape::Sum { .. } => out.number(family, &number(point)?)?,
            Shape::Explicit(_) => out.explicit(family, &explicit(point)?)?,
            Shape::Exponential(_) => out.exponential(family, &exponential(point)?)?,
            Shape::Summary => out.summary(family, &summary(point)?)?,
        }
    }
    Ok(())
}

fn number(mut reader: Reader<'_>) -> Result<Number<'_>> {
    let mut point = Number::default();
    while let Some(field) = reader.next_field()? {
        match field {
            (3, Field::Fixed64(time)) => point.head.time_ns = time,
            (4, Field::Fixed64(bits)) => point.value = Some(f64::from_bits(bits)),
            (5, Field::Bytes(_)) => point.head.exemplars += 1,
            #[expect(
                clippy::cast_precision_loss,
                reason = "stored values are doubles; integers beyond 2^53 are rounded"
            )]
            (6, Field::Fixed64(bits)) => point.value = Some(bits.cast_signed() as f64),
            (7, Field::Bytes(attribute)) => point.head.attributes.push(key_value(reader.within(attribute))?),
            (8, Field::Varint(flags)) => point.head.flags = flags,
            _ => {}
        }
    }
    Ok(point)
}

fn explicit(mut reader: Reader<'_>) -> Result<Explicit<'_>> {
    let mut point = Explicit::default();
    while let Some(field) = reader.next_field()? {
        match field {
            (3, Field::Fixed64(time)) => point.head.time_ns = time,
            (4, Field::Fixed64(count)) => point.count = count,
            (5, Field::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
            (6, field) => fixed64s(&reader, field, |count| point.counts.push(count))?,
            (7, field) => fixed64s(&reader, field, |bits| point.bounds.push(f64::from_bits(bits)))?,
            (8, Field::Bytes(_)) => point.head.exemplars += 1,
            (9, Field::Bytes(attribute)) => point.head.attributes.push(key_value(reader.within(attribute))?),
            (10, Field::Varint(flags)) => point.head.flags = flags,
            _ => {}
        }
    }
    Ok(point)
}

fn exponential(mut reader: Reader<'_>) -> Result<Exponential<'_>> {
    let mut point = Exponential::default();
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Bytes(attribute)) => point.head.attributes.push(key_value(reader.within(attribute))?),
            (3, Field::Fixed64(time)) => point.head.time_ns = time,
            (4, Field::Fixed64(count)) => point.count = count,
            (5, Field::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
            (6, Field::Varint(scale)) => point.scale = unzigzag(scale),
            (7, Field::Fixed64(count)) => point.zero_count = count,
            (8, Field::Bytes(positive)) => point.positive = buckets(reader.within(positive))?,
            (9, Field::Bytes(negative)) => point.negative = buckets(reader.within(negative))?,
            (10, Field::Varint(flags)) => point.head.flags = flags,
            (11, Field::Bytes(_)) => point.head.exemplars += 1,
            _ => {}
        }
    }
    Ok(point)
}

/// Buckets, or one more than there may be.
fn buckets(mut reader: Reader<'_>) -> Result<Buckets> {
    let mut buckets = Buckets::default();
    let push = |counts: &mut Vec<u64>, count| {
        if counts.len() <= schemas::histogram::BUCKETS_MAX {
            counts.push(count);
        }
    };
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Varint(offset)) => buckets.offset = unzigzag(offset),
            (2, Field::Varint(count)) => push(&mut buckets.counts, count),
            (2, Field::Bytes(packed)) => {
                let mut packed = reader.within(packed);
                while let Some(count) = packed.next_packed_varint()? {
                    push(&mut buckets.counts, count);
                }
            }
            _ => {}
        }
    }
    Ok(buckets)
}

fn summary(mut reader: Reader<'_>) -> Result<Summary<'_>> {
    let mut point = Summary::default();
    while let Some(field) = reader.next_field()? {
        match field {
            (3, Field::Fixed64(time)) => point.head.time_ns = time,
            (4, Field::Fixed64(count)) => point.count = count,
            (5, Field::Fixed64(bits)) => point.sum = f64::from_bits(bits),
            (6, Field::Bytes(quantile)) => point.quantiles.push(quantile_of(reader.within(quantile))?),
            (7, Field::Bytes(attribute)) => point.head.attributes.push(key_value(reader.within(attribute))?),
            (8, Field::Varint(flags)) => point.head.flags = flags,
            _ => {}
        }
    }
    Ok(point)
}

fn quantile_of(mut reader: Reader<'_>) -> Result<(f64, f64)> {
    let (mut quantile, mut value) = (0.0, 0.0);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Fixed64(bits)) => quantile = f64::from_bits(bits),
            (2, Field::Fixed64(bits)) => value = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((quantile, value))
}

/// Numbers of eight bytes, packed or one by one.
fn fixed64s(reader: &Reader<'_>, field: Field, mut push: impl FnMut(u64)) -> Result<()> {
    match field {
        Field::Fixed64(number) => push(number),
        Field::Bytes(packed) => {
            let mut packed = reader.within(packed);
            while let Some(number) = packed.next_packed_fixed64()? {
                push(number);
            }
        }
        Field::Varint(_) | Field::Fixed32 => {}
    }
    Ok(())
}

fn key_value<'a>(reader: Reader<'a>) -> Result<Attribute<'a>> {
    let (key, value) = member(reader, 0)?;
    Ok((key, value.into_text()))
}

/// A `KeyValue` at a depth of nesting.
fn member<'a>(mut reader: Reader<'a>, depth: usize) -> Result<(Cow<'a, str>, Value<'a>)> {
    let (mut key, mut value) = ("", Value::Empty);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Bytes(name)) => key = text(&reader, name)?,
            (2, Field::Bytes(any)) => value = any_value(reader.within(any), depth)?,
            _ => {}
        }
    }
    Ok((Cow::Borrowed(key), value))
}

fn any_value<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Value<'a>> {
    let mut value = Value::Empty;
    while let Some(field) = reader.next_field()? {
        value = match field {
            (1, Field::Bytes(said)) => Value::Text(Cow::Borrowed(text(&reader, said)?)),
            (2, Field::Varint(is)) => Value::Bool(is != 0),
            (3, Field::Varint(number)) => Value::Int(number.cast_signed()),
            (4, Field::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (5 | 6, Field::Bytes(nested)) if depth >= DEPTH_MAX || nested.len() > NESTED_BYTES_MAX => {
                return Err(reader.malformed("the value of an attribute is too deep or too large"));
            }
            (5, Field::Bytes(values)) => Value::Array(array(reader.within(values), depth + 1)?),
            (6, Field::Bytes(members)) => Value::Map(map(reader.within(members), depth + 1)?),
            (7, Field::Bytes(bytes)) => Value::Bytes(Cow::Borrowed(reader.slice(bytes))),
            _ => value,
        };
    }
    Ok(value)
}

fn array<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Vec<Value<'a>>> {
    let mut values = Vec::new();
    while let Some(field) = reader.next_field()? {
        if let (1, Field::Bytes(value)) = field {
            values.push(any_value(reader.within(value), depth)?);
        }
    }
    Ok(values)
}

fn map<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Vec<(Cow<'a, str>, Value<'a>)>> {
    let mut members = Vec::new();
    while let Some(field) = reader.next_field()? {
        if let (1, Field::Bytes(one)) = field {
            members.push(member(reader.within(one), depth)?);
        }
    }
    Ok(members)
}

fn text<'a>(reader: &Reader<'a>, range: Range<usize>) -> Result<&'a str> {
    std::str::from_utf8(reader.slice(range)).map_err(|_| reader.malformed("a text is not UTF-8"))
}
