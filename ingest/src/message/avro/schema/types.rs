//! A schema as types: every name resolved and written out where it is used, within bounds.
//!
//! JSON ─▶ [`Type::parse`] ─▶ [`Type`] ─▶ [`Type::written`]: JSON with the same bytes on the wire, in the plainest form

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Types in a schema when every name is written out.
pub(super) const TYPES_MAX: usize = 2_000;
/// How deep types may be nested.
pub(super) const DEPTH_MAX: usize = 32;
/// The alias of every record that is written out: a reader's record of this name matches it.
pub(super) const ALIAS: &str = "point";
/// Branches of a union: what the decoder can tell apart.
const BRANCHES_MAX: usize = 100;

/// A type as its values lie on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
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
pub(in crate::message::avro) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Milliseconds, rounded towards the past.
    pub(in crate::message::avro) fn to_ms(self, number: i64) -> i64 {
        match self {
            Self::Millis => number,
            Self::Micros => number.div_euclid(1_000),
            Self::Nanos => number.div_euclid(1_000_000),
        }
    }
}

impl Type {
    /// Reads a schema. The error says why it cannot be used.
    pub(super) fn parse(json: &Value) -> Result<Self, String> {
        Parser::default().parse(json, "", 0)
    }

    /// Writes the type out. `names` counts the named types, of which each use gets a name of its own.
    pub(super) fn written(&self, names: &mut u32) -> Value {
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
                json!({"type": "record", "name": name, "aliases": [ALIAS], "fields": fields})
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
