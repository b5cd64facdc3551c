//! What a writer's schema means to us: which fields are read, by which reader schema, and whether it is harmless.
//!
//! text ─▶ [`Type`]: names resolved and written out, bounded ─▶ [`Layout`]: shape, columns, writer and reader schema
//!
//! The decoder gets the writer's schema in a form of ours: the same bytes on the wire, but each name written out where
//! it is used, and without aliases, defaults and logical types. So what a decoder makes of those (recursion, names that
//! stand for each other, exponential growth) cannot matter, and the records have names that a reader schema can match.
//!
//! Harmless means bounded work a byte of a message: a schema may not refer to itself, may have [`types::TYPES_MAX`] types
//! when written out, nested [`types::DEPTH_MAX`] deep, and no array of it may have items that take no bytes, for its count
//! alone would then say how long it takes.

use serde_json::{Value, json};

#[cfg(test)]
mod tests;
mod types;

use types::Type;
pub(super) use types::Unit;

/// The two records that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{metric_name, value, timestamp, labels, source}`.
    Point,
    /// `{metric, labels, points: [{ts, v}]}`.
    Points,
}

/// How to read the records of one schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shape: Shape,
    /// Columns of the decoded batch. Metric and value (or points) are always the first two.
    pub(super) labels: Option<usize>,
    pub(super) source: Option<usize>,
    pub(super) timestamp: Option<usize>,
    /// Of `timestamp`, or of `ts` in the points.
    pub(super) unit: Unit,
    pub(super) writer: String,
    pub(super) reader: String,
}

/// What a field of ours must hold, whatever the writer calls its record and however it narrows the type.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Text,
    Number,
    Time,
    Labels,
    Points,
    Point,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a double, float, long or int",
            Self::Time => "a long of milliseconds",
            Self::Labels => "a map of strings",
            Self::Points => "an array of records {ts, v}",
            Self::Point => "a record {ts, v}",
        }
    }
}

impl Layout {
    /// Reads the schema of a writer. The error says what is missing, or why it cannot be used.
    pub(super) fn of(schema: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(schema).map_err(|error| format!("it is not JSON: {error}"))?;
        let root = Type::parse(&json)?;
        let Type::Record(fields) = &root else { return Err("it is not a record".to_owned()) };
        let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, ty)| ty);
        let (shape, first, second, value) = match field("points") {
            Some(_) => (Shape::Points, "metric", "points", Wanted::Points),
            None => (Shape::Point, "metric_name", "value", Wanted::Number),
        };
        let mut reader = Reader::default();
        let missing: Vec<&str> = [first, second].into_iter().filter(|name| field(name).is_none()).collect();
        if !missing.is_empty() {
            let has: Vec<&str> = fields.iter().take(20).map(|(name, _)| name.as_str()).collect();
            let (missing, has) = (missing.join(" and "), has.join(", "));
            return Err(format!("the record has no field {missing}; it has {has}"));
        }
        reader.add(first, field(first), Wanted::Text)?;
        reader.add(second, field(second), value)?;
        let labels = reader.add("labels", field("labels"), Wanted::Labels)?;
        let source = reader.add("source", field("source"), Wanted::Text)?;
        let (timestamp, unit) = match shape {
            Shape::Point => (reader.add("timestamp", field("timestamp"), Wanted::Time)?, field("timestamp")),
            Shape::Points => (None, field("points")),
        };
        let unit = unit.and_then(unit_of).unwrap_or(Unit::Millis);
        let reader = json!({"type": "record", "name": ROOT, "fields": reader.fields}).to_string();
        let writer = root.written(&mut 0).to_string();
        Ok(Self { shape, labels, source, timestamp, unit, writer, reader })
    }
}

/// The name of the outermost record in both schemas.
const ROOT: &str = "n0";
/// The reader schema being put together.
#[derive(Default)]
struct Reader {
    fields: Vec<Value>,
}

impl Reader {
    /// Adds a field, if the writer has it, and tells its column.
    fn add(&mut self, name: &str, ty: Option<&Type>, wanted: Wanted) -> Result<Option<usize>, String> {
        let Some(ty) = ty else { return Ok(None) };
        let read = ty.read_as(wanted).ok_or_else(|| format!("the field {name} is not {}", wanted.name()))?;
        self.fields.push(json!({"name": name, "type": read}));
        Ok(Some(self.fields.len() - 1))
    }
}

/// The unit of the first time in a type: the field itself, or `ts` of the points.
fn unit_of(ty: &Type) -> Option<Unit> {
    match ty {
        Type::Long(unit) => Some(*unit),
        Type::Union(branches) => branches.iter().find_map(unit_of),
        Type::Array(items) => unit_of(items),
        Type::Record(fields) => fields.iter().find(|(name, _)| name == "ts").and_then(|(_, ty)| unit_of(ty)),
        Type::Null | Type::Boolean | Type::Int | Type::Float | Type::Double => None,
        Type::Bytes | Type::String | Type::Fixed(_) | Type::Enum | Type::Map(_) => None,
    }
}

impl Type {
    /// The type of ours as which this one can be read, nullable where this one is.
    fn read_as(&self, wanted: Wanted) -> Option<Value> {
        if let Self::Union(branches) = self {
            return match branches.as_slice() {
                [Self::Null, ty] | [ty, Self::Null] => Some(json!(["null", ty.read_as(wanted)?])),
                // Values of branches that cannot be read as this are errors of their messages.
                branches => branches.iter().find_map(|branch| branch.read_as(wanted)),
            };
        }
        Some(match (wanted, self) {
            (Wanted::Text, Self::String | Self::Bytes) => json!("string"),
            (Wanted::Number, Self::Double | Self::Float | Self::Long(_) | Self::Int) => json!("double"),
            (Wanted::Time, Self::Long(_) | Self::Int) => json!("long"),
            (Wanted::Labels, Self::Map(values)) => json!({"type": "map", "values": values.read_as(Wanted::Text)?}),
            (Wanted::Points, Self::Array(items)) => json!({"type": "array", "items": items.read_as(Wanted::Point)?}),
            (Wanted::Point, Self::Record(fields)) => {
                let field = |name: &str, wanted| {
                    let (_, ty) = fields.iter().find(|(field, _)| field == name)?;
                    Some(json!({"name": name, "type": ty.read_as(wanted)?}))
                };
                let fields = [field("ts", Wanted::Time)?, field("v", Wanted::Number)?];
                json!({"type": "record", "name": types::ALIAS, "fields": fields})
            }
            _ => return None,
        })
    }
}
