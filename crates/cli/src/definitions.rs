//! Definitions of maps: for code that names maps by number, and for what an object leaves to its loader.
//!
//! A definition says `number`, `type`, `max_entries` and what keys and values are: `"key": "char[16]"`, `"value": "u64"`,
//! or their bytes, `"key_size": 16`. One with the name of a map of the object, and no number, changes what the object
//! says: loaders decide some sizes at run time, and what is in a map of maps.

use std::path::{Path, PathBuf};

use sandbpf::Maps;
use sandbpf::maps::{MapSpec, MapType};
use sandbpf::object::{MapDef, Object, elf};
use serde_json::Value;

use crate::failure::{Failure, shown};
use crate::held::{Held, Shape, fields, list};
use crate::source::read_json;

/// What a file says of a map.
#[derive(Debug)]
pub(crate) struct Definition {
    path: PathBuf,
    name: String,
    /// Its place in the file, or the number by which code names it.
    number: i32,
    is_numbered: bool,
    map_type: Option<MapType>,
    key: Option<(Shape, u32)>,
    value: Option<(Shape, u32)>,
    max_entries: Option<u32>,
    flags: Option<u32>,
    inner: Option<Box<Definition>>,
}

const FIELDS: &[&str] = &[
    "entries",
    "flags",
    "inner",
    "key",
    "key_size",
    "max_entries",
    "name",
    "number",
    "type",
    "value",
    "value_size",
];

/// The definitions in files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Definition>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let described = read_json(path)?;
        let described = list(&described).map_err(|what| Failure::input(shown(path), what))?;
        for (at, described) in described.iter().enumerate() {
            let name = described["name"].as_str().map_or_else(|| at.to_string(), str::to_string);
            let failed = |what: String| Failure::input(shown(path), format!("map `{name}`: {what}"));
            all.push(Definition::of(path, &name, at, described, 0).map_err(failed)?);
        }
    }
    Ok(all)
}

impl Definition {
    fn of(path: &Path, name: &str, at: usize, described: &Value, depth: u32) -> Result<Definition, String> {
        fields(described, FIELDS)?;
        let word = |field: &str| match &described[field] {
            Value::Null => Ok(None),
            value => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(format!("{field}: expected a number of 32 bits, found {value}")),
            },
        };
        let map_type = match &described["type"] {
            Value::Null => None,
            Value::String(name) => Some(named_type(name)?),
            other => return Err(format!("type: expected a name, found {other}")),
        };
        let number = match &described["number"] {
            Value::Null => i32::try_from(at).ok(),
            value => value.as_i64().and_then(|number| i32::try_from(number).ok()),
        };
        let inner = match &described["inner"] {
            Value::Null => None,
            _ if depth > 0 => return Err("inner: maps in maps in maps are no maps of Linux".into()),
            inner => {
                let inner = Definition::of(path, name, 0, inner, depth + 1);
                Some(Box::new(inner.map_err(|what| format!("inner: {what}"))?))
            }
        };
        Ok(Definition {
            path: path.into(),
            name: name.into(),
            number: number.ok_or("number: expected a number of 31 bits")?,
            is_numbered: !described["number"].is_null(),
            map_type,
            key: shape(&described["key"], word("key_size")?).map_err(|what| format!("key: {what}"))?,
            value: shape(&described["value"], word("value_size")?)
                .map_err(|what| format!("value: {what}"))?,
            max_entries: word("max_entries")?,
            flags: word("flags")?,
            inner,
        })
    }

    /// Changes the map of this name in an object; whether there is one.
    pub(crate) fn amend(&self, object: &mut Object) -> bool {
        match object.map_mut(&self.name) {
            Some(def) if !self.is_numbered => {
                self.change(def);
                true
            }
            _ => false,
        }
    }

    fn change(&self, def: &mut MapDef) {
        if let Some(map_type) = self.map_type {
            def.map_type = map_type.into();
        }
        // A type that is as long stays; another one would be wrong.
        let sized = |size: &mut u32, of: &mut elf::TypeId, given: Option<(Shape, u32)>| {
            if let Some((_, given)) = given.filter(|given| given.1 != *size) {
                (*size, *of) = (given, 0);
            }
        };
        sized(&mut def.key_size, &mut def.key_type, self.key);
        sized(&mut def.value_size, &mut def.value_type, self.value);
        def.max_entries = self.max_entries.unwrap_or(def.max_entries);
        def.flags = self.flags.unwrap_or(def.flags);
        if let Some(inner) = &self.inner {
            let mut own = def.inner.take().unwrap_or_else(|| {
                let mut plain = def.clone();
                (plain.key_type, plain.value_type, plain.flags) = (0, 0, 0);
                plain.slots.clear();
                Box::new(plain)
            });
            inner.change(&mut own);
            def.inner = Some(own);
            def.value_size = 4;
        }
    }

    /// Makes a map that code names by number.
    pub(crate) fn make(&self, maps: &Maps) -> Result<Held, Failure> {
        let failed = |what: String| Failure::input(shown(&self.path), what);
        let mut spec = self.spec().map_err(|what| failed(format!("map `{}`: {what}", self.name)))?;
        if spec.map_type == MapType::PerfEventArray && spec.max_entries == 0 {
            spec.max_entries = maps.processors();
        }
        let map = maps.create_as(self.number, spec).map_err(|error| failed(error.to_string()))?;
        let shape = |given: Option<(Shape, u32)>| given.map_or(Shape::Type(0), |given| given.0);
        Ok(Held { name: self.name.clone(), map, key: shape(self.key), value: shape(self.value) })
    }

    fn spec(&self) -> Result<MapSpec, String> {
        let map_type = self.map_type.ok_or("type: is not given")?;
        let size = |given: Option<(Shape, u32)>| given.map_or(0, |given| given.1);
        let entries = self.max_entries.unwrap_or(0);
        let spec = MapSpec::new(map_type, size(self.key), size(self.value), entries)
            .with_flags(self.flags.unwrap_or(0))
            .with_name(&self.name);
        match &self.inner {
            None => Ok(spec),
            Some(inner) => Ok(spec.with_inner(inner.spec().map_err(|what| format!("inner: {what}"))?)),
        }
    }
}

fn named_type(name: &str) -> Result<MapType, String> {
    MapType::ALL.iter().copied().find(|map_type| map_type.name() == name).ok_or_else(|| {
        let names: Vec<&str> = MapType::ALL.iter().map(|map_type| map_type.name()).collect();
        format!("type: `{name}` is no type of map; there are {}", names.join(", "))
    })
}

/// What a definition says of a key or a value: `char[16]`, `u32`, `s64`, or nothing but its size.
fn shape(described: &Value, size: Option<u32>) -> Result<Option<(Shape, u32)>, String> {
    let expected = || format!("expected char[n], u8 to u64 or s8 to s64, found {described}");
    let text = match described {
        Value::Null => return Ok(size.map(|size| (Shape::Type(0), size))),
        Value::String(text) => text.as_str(),
        _ => return Err(expected()),
    };
    if let Some(count) = text.strip_prefix("char[").and_then(|rest| rest.strip_suffix(']')) {
        return Ok(Some((Shape::Text, count.parse().map_err(|_| expected())?)));
    }
    let signed = text.starts_with('s');
    let size = match text.get(1..).filter(|_| signed || text.starts_with('u')) {
        Some("8") => 1,
        Some("16") => 2,
        Some("32") => 4,
        Some("64") => 8,
        _ => return Err(expected()),
    };
    Ok(Some((Shape::Number { signed }, size)))
}
