//! OTLP in JSON: protobuf's JSON mapping, with lowerCamelCase names, whole numbers of 64 bits as text, enums as numbers.
//!
//! body ─▶ resources ─▶ scopes ─▶ metrics ─▶ data points, each level read when it is its turn
//!
//! Text that is no JSON refuses the body, a data point of a wrong shape itself only. Numbers may be quoted or not, and
//! enums may be given by their names, as other readers take them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::points::{Attributes, Buckets, Explicit, Exponential, Head, Number, Shape, Summary, Temporality};
use super::protobuf::NESTED_BYTES_MAX;
use super::translate::{Family, Translator};
use super::value::Value;
use crate::decode::DecodeError;

mod scalar;

use scalar::{Enum, Real, Signed, Unsigned};

/// How errors call the message.
pub(super) const FORMAT: &str = "OTLP request";

/// Objects and arrays in the value of an attribute, so deep at most: a value in an array is three of them.
const DEPTH_MAX: usize = 96;

/// Messages that are read later.
type Later<'a> = Vec<&'a RawValue>;

/// What may be null, which is as good as not there.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    resource_metrics: Later<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    resource: Resource<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    scope_metrics: Later<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    attributes: Listed<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeMetrics<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    scope: Scope<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    metrics: Later<'a>,
    #[serde(deserialize_with = "nullable")]
    schema_url: String,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Scope<'a> {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    version: String,
    #[serde(borrow, deserialize_with = "nullable")]
    attributes: Listed<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metric<'a> {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    description: String,
    #[serde(deserialize_with = "nullable")]
    unit: String,
    #[serde(borrow)]
    gauge: Option<Data<'a>>,
    #[serde(borrow)]
    sum: Option<Data<'a>>,
    #[serde(borrow)]
    histogram: Option<Data<'a>>,
    #[serde(borrow)]
    exponential_histogram: Option<Data<'a>>,
    #[serde(borrow)]
    summary: Option<Data<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    data_points: Later<'a>,
    #[serde(deserialize_with = "nullable")]
    aggregation_temporality: Enum,
    #[serde(deserialize_with = "nullable")]
    is_monotonic: bool,
}

/// The fields of data points of all kinds; none means another thing in another kind.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DataPoint<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    attributes: Listed<'a>,
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Unsigned,
    #[serde(deserialize_with = "nullable")]
    flags: Unsigned,
    #[serde(deserialize_with = "nullable")]
    exemplars: Vec<IgnoredAny>,
    as_double: Option<Real>,
    as_int: Option<Signed>,
    #[serde(deserialize_with = "nullable")]
    count: Unsigned,
    sum: Option<Real>,
    #[serde(deserialize_with = "nullable")]
    bucket_counts: Vec<Unsigned>,
    #[serde(deserialize_with = "nullable")]
    explicit_bounds: Vec<Real>,
    #[serde(deserialize_with = "nullable")]
    scale: Signed,
    #[serde(deserialize_with = "nullable")]
    zero_count: Unsigned,
    #[serde(deserialize_with = "nullable")]
    positive: ExponentialBuckets,
    #[serde(deserialize_with = "nullable")]
    negative: ExponentialBuckets,
    #[serde(deserialize_with = "nullable")]
    quantile_values: Vec<Quantile>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ExponentialBuckets {
    #[serde(deserialize_with = "nullable")]
    offset: Signed,
    #[serde(deserialize_with = "nullable")]
    bucket_counts: Vec<Unsigned>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Quantile {
    #[serde(deserialize_with = "nullable")]
    quantile: Real,
    #[serde(deserialize_with = "nullable")]
    value: Real,
}

pub(super) fn decode(body: &[u8], out: &mut Translator<'_, '_, '_, '_>) -> Result<(), DecodeError> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        let (place, what) = ("line 1, column 1".to_owned(), "an array where an object should be".to_owned());
        return Err(DecodeError::Malformed { format: FORMAT, place, what });
    }
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    for resource in request.resource_metrics {
        let resource: ResourceMetrics<'_> = read(resource)?;
        out.resource(&resource.resource.attributes.0);
        for scope in resource.scope_metrics {
            let ScopeMetrics { scope, metrics, schema_url } = read(scope)?;
            out.scope(&scope.name, &scope.version, &schema_url, &scope.attributes.0);
            for one in metrics {
                metric(read(one)?, out)?;
            }
        }
        out.end_resource()?;
    }
    Ok(())
}

fn metric(metric: Metric<'_>, out: &mut Translator<'_, '_, '_, '_>) -> Result<(), DecodeError> {
    let Metric { name, description, unit, gauge, sum, histogram, exponential_histogram, summary } = metric;
    let temporality = |data: &Data<'_>| Temporality::of(data.aggregation_temporality.0);
    let (shape, data) = if let Some(data) = gauge {
        (Shape::Gauge, data)
    } else if let Some(data) = sum {
        (Shape::Sum { monotonic: data.is_monotonic, temporality: temporality(&data) }, data)
    } else if let Some(data) = histogram {
        (Shape::Explicit(temporality(&data)), data)
    } else if let Some(data) = exponential_histogram {
        (Shape::Exponential(temporality(&data)), data)
    } else if let Some(data) = summary {
        (Shape::Summary, data)
    } else {
        return Ok(());
    };
    if data.data_points.is_empty() {
        return Ok(());
    }
    let family = out.metric(&name, &unit, &description, shape);
    for point in data.data_points {
        match serde_json::from_str::<DataPoint<'_>>(point.get()) {
            Ok(point) => data_point(point, shape, &family, out)?,
            Err(error) => out.unreadable(error.to_string())?,
        }
    }
    Ok(())
}

fn data_point(
    point: DataPoint<'_>,
    shape: Shape,
    family: &Family,
    out: &mut Translator<'_, '_, '_, '_>,
) -> Result<(), DecodeError> {
    let head = Head {
        attributes: point.attributes.0,
        time_ns: point.time_unix_nano.0,
        flags: point.flags.0,
        exemplars: u64::try_from(point.exemplars.len()).unwrap_or(u64::MAX),
    };
    let (count, sum) = (point.count.0, point.sum.map(|sum| sum.0));
    match shape {
        Shape::Gauge | Shape::Sum { .. } => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "stored values are doubles; integers beyond 2^53 are rounded"
            )]
            let whole = point.as_int.map(|number| number.0 as f64);
            out.number(family, &Number { head, value: point.as_double.map(|number| number.0).or(whole) })
        }
        Shape::Explicit(_) => {
            let bounds = point.explicit_bounds.into_iter().map(|bound| bound.0).collect();
            out.explicit(family, &Explicit { head, count, sum, counts: counts(point.bucket_counts), bounds })
        }
        Shape::Exponential(_) => {
            let (scale, zero_count) = (point.scale.0, point.zero_count.0);
            let (positive, negative) = (buckets(point.positive), buckets(point.negative));
            out.exponential(family, &Exponential { head, count, sum, scale, zero_count, positive, negative })
        }
        Shape::Summary => {
            let quantiles = point.quantile_values.iter().map(|of| (of.quantile.0, of.value.0)).collect();
            out.summary(family, &Summary { head, count, sum: sum.unwrap_or(0.0), quantiles })
        }
    }
}

fn counts(given: Vec<Unsigned>) -> Vec<u64> {
    given.into_iter().map(|count| count.0).collect()
}

fn buckets(given: ExponentialBuckets) -> Buckets {
    Buckets { offset: given.offset.0, counts: counts(given.bucket_counts) }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(raw.get()).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> DecodeError {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned();
    DecodeError::Malformed { format: FORMAT, place, what }
}

/// Attributes as a list of `KeyValue`.
#[derive(Default)]
struct Listed<'a>(Attributes<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of attributes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut attributes = Attributes::default();
                while let Some(KeyValue { key, value }) = list.next_element()? {
                    attributes.push((key, value.0.into_text()));
                }
                Ok(attributes)
            }
        }
        deserializer.deserialize_seq(List).map(Self)
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct KeyValue<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    key: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "nullable")]
    value: Any<'a>,
}

/// An `AnyValue`.
#[derive(serde::Deserialize)]
#[serde(try_from = "AnyFields<'de>", bound(deserialize = "'de: 'a"))]
struct Any<'a>(Value<'a>);

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnyFields<'a> {
    #[serde(borrow)]
    string_value: Option<Cow<'a, str>>,
    bool_value: Option<bool>,
    int_value: Option<Signed>,
    double_value: Option<Real>,
    bytes_value: Option<String>,
    #[serde(borrow)]
    array_value: Option<&'a RawValue>,
    #[serde(borrow)]
    kvlist_value: Option<&'a RawValue>,
}

/// What arrays and maps hold.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Values<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    values: Vec<Any<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Members<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    values: Vec<KeyValue<'a>>,
}

impl<'a> TryFrom<AnyFields<'a>> for Any<'a> {
    type Error = String;

    fn try_from(fields: AnyFields<'a>) -> Result<Self, String> {
        let value = if let Some(text) = fields.string_value {
            Value::Text(text)
        } else if let Some(is) = fields.bool_value {
            Value::Bool(is)
        } else if let Some(number) = fields.int_value {
            Value::Int(number.0)
        } else if let Some(number) = fields.double_value {
            Value::Double(number.0)
        } else if let Some(text) = fields.bytes_value {
            Value::Bytes(Cow::Owned(BASE64.decode(text).map_err(|error| format!("bytesValue: {error}"))?))
        } else if let Some(array) = fields.array_value {
            Value::Array(nested::<Values<'a>>(array)?.values.into_iter().map(|value| value.0).collect())
        } else if let Some(map) = fields.kvlist_value {
            Value::Map(nested::<Members<'a>>(map)?.values.into_iter().map(|of| (of.key, of.value.0)).collect())
        } else {
            Value::Empty
        };
        Ok(Self(value))
    }
}

impl Default for Any<'_> {
    fn default() -> Self {
        Self(Value::Empty)
    }
}

/// An array or a map in the value of an attribute, bounded before it is read.
fn nested<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, String> {
    if raw.get().len() > NESTED_BYTES_MAX || depth_of(raw.get()) > DEPTH_MAX {
        return Err("the value of an attribute is too deep or too large".to_owned());
    }
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

/// How deep objects and arrays lie in each other.
fn depth_of(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
