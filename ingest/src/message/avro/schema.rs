//! What a writer's schema means to us: which fields are read, by which reader schema, and whether it is harmless.
//!
//! text ─▶ [`Type`]: names resolved and written out, bounded ─▶ [`Layout`]: shape, columns, writer and reader schema
//!
//! The decoder gets the writer's schema in a form of ours: the same bytes on the wire, but each name written out where
//! it is used, and without aliases, defaults and logical types. So what a decoder makes of those (recursion, names that
//! stand for each other, exponential growth) cannot matter, and the records have names that a reader schema can match.
//!
//! Harmless means bounded work a byte of a message: a schema may not refer to itself, may have [`TYPES_MAX`] types
//! when written out, nested [`DEPTH_MAX`] deep, and no array of it may have items that take no bytes, for its count
//! alone would then say how long it takes.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Types in a schema when every name is written out.
const TYPES_MAX: usize = 2_000;
/// How deep types may be nested.
const DEPTH_MAX: usize = 32;
/// Branches of a union: what the decoder can tell apart.
const BRANCHES_MAX: usize = 100;

/// A type as its values lie on the wire.
#[derive(Debug, Clone, PartialEq)]
enum Type {
    Null,
    Boolean,
    Int,
    Long(Unit),
    Float,
    Double,
    Bytes,
    String,
    Fixed(u64),
    Enum,
    Array(Box<Type>),
    Map(Box<Type>),
    Record(Vec<(String, Type)>),
    Union(Vec<Type>),
}

/// The unit of a `long` that is a time: milliseconds unless its logical type says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Milliseconds, rounded towards the past.
    pub(super) fn to_ms(self, number: i64) -> i64 {
        match self {
            Self::Millis => number,
            Self::Micros => number.div_euclid(1_000),
            Self::Nanos => number.div_euclid(1_000_000),
        }
    }
}

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
        let root = Parser::default().parse(&json, "", 0)?;
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
/// The name of the record of a point, in the reader schema: an alias matches it with the writer's.
const POINT: &str = "point";

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
                json!({"type": "record", "name": POINT, "fields": fields})
            }
            _ => return None,
        })
    }

    /// Writes the type out. `names` counts the named types, of which each use gets a name of its own.
    fn written(&self, names: &mut u32) -> Value {
        let mut name = || {
            *names += 1;
            format!("n{}", *names - 1)
        };
        match self {
            Self::Null => json!("null"),
            Self::Boolean => json!("boolean"),
            Self::Int => json!("int"),
            Self::Long(_) => json!("long"),
            Self::Float => json!("float"),
            Self::Double => json!("double"),
            Self::Bytes => json!("bytes"),
            Self::String => json!("string"),
            Self::Fixed(size) => json!({"type": "fixed", "name": name(), "size": size}),
            Self::Enum => json!({"type": "enum", "name": name(), "symbols": ["A"]}),
            Self::Array(items) => json!({"type": "array", "items": items.written(names)}),
            Self::Map(values) => json!({"type": "map", "values": values.written(names)}),
            Self::Record(fields) => {
                let name = name();
                let fields: Vec<Value> =
                    fields.iter().map(|(name, ty)| json!({"name": name, "type": ty.written(names)})).collect();
                json!({"type": "record", "name": name, "aliases": [POINT], "fields": fields})
            }
            Self::Union(branches) => Value::Array(branches.iter().map(|branch| branch.written(names)).collect()),
        }
    }

    /// Whether a value may take no bytes at all.
    fn may_be_empty(&self) -> bool {
        match self {
            Self::Null | Self::Fixed(0) => true,
            Self::Record(fields) => fields.iter().all(|(_, ty)| ty.may_be_empty()),
            Self::Boolean | Self::Int | Self::Long(_) | Self::Float | Self::Double | Self::Bytes | Self::String => {
                false
            }
            Self::Fixed(_) | Self::Enum | Self::Array(_) | Self::Map(_) | Self::Union(_) => false,
        }
    }
}

/// A schema being read.
#[derive(Default)]
struct Parser {
    /// Named types by their full name, with how many types each is and how deep.
    named: HashMap<String, Named>,
    types: usize,
}

struct Named {
    ty: Type,
    types: usize,
    depth: usize,
}

impl Parser {
    /// Reads a type that stands `depth` deep, where unqualified names belong to `namespace`.
    fn parse(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Type, String> {
        self.count(1, depth)?;
        match json {
            Value::String(name) => self.by_name(name, None, namespace, depth),
            Value::Array(branches) => self.union(branches, namespace, depth),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => match name.as_str() {
                    "record" | "error" | "enum" | "fixed" => self.define(name, object, namespace, depth),
                    "array" => {
                        let items = self.inner(object, "items", namespace, depth)?;
                        if items.may_be_empty() {
                            return Err("it has an array of items that take no bytes".to_owned());
                        }
                        Ok(Type::Array(Box::new(items)))
                    }
                    "map" => Ok(Type::Map(Box::new(self.inner(object, "values", namespace, depth)?))),
                    name => self.by_name(name, object.get("logicalType").and_then(Value::as_str), namespace, depth),
                },
                Some(inner) => self.parse(inner, namespace, depth + 1),
                None => Err("an object in it has no type".to_owned()),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Err("a type in it is neither text nor object".to_owned())
            }
        }
    }

    fn count(&mut self, types: usize, depth: usize) -> Result<(), String> {
        self.types += types;
        match () {
            () if self.types > TYPES_MAX => Err(format!("it has more than {TYPES_MAX} types when written out")),
            () if depth > DEPTH_MAX => Err(format!("its types are nested more than {DEPTH_MAX} deep")),
            () => Ok(()),
        }
    }

    fn inner(&mut self, object: &Map<String, Value>, key: &str, namespace: &str, depth: usize) -> Result<Type, String> {
        let json = object.get(key).ok_or_else(|| format!("a type in it has no {key}"))?;
        self.parse(json, namespace, depth + 1)
    }

    fn union(&mut self, branches: &[Value], namespace: &str, depth: usize) -> Result<Type, String> {
        if branches.is_empty() || branches.len() > BRANCHES_MAX {
            return Err(format!("it has a union of {} branches", branches.len()));
        }
        let mut types = Vec::with_capacity(branches.len());
        for branch in branches {
            match self.parse(branch, namespace, depth + 1)? {
                Type::Union(_) => return Err("it has a union inside of a union".to_owned()),
                ty => types.push(ty),
            }
        }
        Ok(Type::Union(types))
    }

    fn by_name(&mut self, name: &str, logical: Option<&str>, namespace: &str, depth: usize) -> Result<Type, String> {
        Ok(match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long(match logical {
                Some("timestamp-micros" | "local-timestamp-micros") => Unit::Micros,
                Some("timestamp-nanos" | "local-timestamp-nanos") => Unit::Nanos,
                // Avro asks to ignore logical types that one does not know.
                Some(_) | None => Unit::Millis,
            }),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            name => {
                let full = full_name(name, namespace);
                // A type is known when it has been read to its end: one inside of itself is not.
                let Some(Named { ty, types, depth: inside }) = self.named.get(&full) else {
                    return Err(format!("the type {full:?} in it is unknown, or refers to itself"));
                };
                let (ty, types, inside) = (ty.clone(), *types, *inside);
                self.count(types, depth + inside)?;
                ty
            }
        })
    }

    /// Reads a record, an enum or a fixed, and remembers it by its name.
    fn define(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Type, String> {
        let name = object.get("name").and_then(Value::as_str).ok_or_else(|| format!("a {kind} in it has no name"))?;
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(name, namespace);
        let before = self.types;
        let ty = match kind {
            "enum" => Type::Enum,
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).filter(|size| *size <= 1 << 30);
                Type::Fixed(size.ok_or_else(|| format!("the fixed {full:?} in it has no size"))?)
            }
            _ => {
                let inside = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
                Type::Record(self.fields(object, inside, depth)?)
            }
        };
        let named = Named { types: self.types - before, depth: depth_of(&ty), ty: ty.clone() };
        match self.named.insert(full.clone(), named) {
            None => Ok(ty),
            Some(_) => Err(format!("the type {full:?} is defined twice in it")),
        }
    }

    fn fields(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Vec<(String, Type)>, String> {
        let fields = object.get("fields").and_then(Value::as_array).ok_or("a record in it has no fields")?;
        let mut read: Vec<(String, Type)> = Vec::with_capacity(fields.len());
        for field in fields {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field in it has no name")?;
            if read.iter().any(|(other, _)| other == name) {
                return Err(format!("the field {name:?} stands twice in a record of it"));
            }
            let ty = field.get("type").ok_or_else(|| format!("the field {name:?} in it has no type"))?;
            // `{"name": "t", "type": "long", "logicalType": …}` is wrong but common: Avro ignores it there, so do we.
            read.push((name.to_owned(), self.parse(ty, namespace, depth + 1)?));
        }
        Ok(read)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// How deep the types in this one are nested.
fn depth_of(ty: &Type) -> usize {
    match ty {
        Type::Array(inner) | Type::Map(inner) => 1 + depth_of(inner),
        Type::Record(fields) => 1 + fields.iter().map(|(_, ty)| depth_of(ty)).max().unwrap_or(0),
        Type::Union(branches) => 1 + branches.iter().map(depth_of).max().unwrap_or(0),
        Type::Null | Type::Boolean | Type::Int | Type::Long(_) | Type::Float | Type::Double => 0,
        Type::Bytes | Type::String | Type::Fixed(_) | Type::Enum => 0,
    }
}

#[cfg(test)]
mod tests;
