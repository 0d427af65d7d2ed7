//! The maps of a run, those of an object and those that were defined: entries put in before, and shown afterwards.
//!
//! Files and reports have one form, JSON: `{"maps": [{"name": …, "entries": [{"key": …, "value": …}]}]}`.

use std::path::Path;
use std::sync::Arc;

use sandbpf::Maps;
use sandbpf::isa::{self, Imm64, Insn, MapRef};
use sandbpf::maps::typed::{self, View};
use sandbpf::maps::{Map, MapType, User};
use sandbpf::object::ObjectSet;
use sandbpf::object::elf::{Btf, TypeId};
use serde_json::{Value, json};

use crate::failure::{Failure, shown};
use crate::source::read_json;
use crate::{encode, types};

/// A map, and what its keys and values are.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its whole name; the kernel's is shorter.
    pub(crate) name: String,
    pub(crate) map: Arc<Map>,
    pub(crate) key: Shape,
    pub(crate) value: Shape,
}

/// What the bytes of a key or value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A type of the object, or none it knows.
    Type(TypeId),
    Text,
    Number {
        signed: bool,
    },
}

/// The maps of an object, or those that were defined.
pub(crate) fn of_object(set: &ObjectSet) -> Vec<Held> {
    let defs = set.object().maps().iter();
    defs.filter_map(|def| {
        let map = Arc::clone(set.maps().named(&def.name).ok()?);
        let (key, value) = (Shape::Type(def.key_type), Shape::Type(def.value_type));
        Some(Held { name: def.name.clone(), map, key, value })
    })
    .collect()
}

/// The first instruction of a program that names a map that is not there, and its number.
pub(crate) fn missing(program: &isa::Program, maps: &Maps) -> Option<(usize, i32)> {
    program.insns().iter().enumerate().find_map(|(at, insn)| match *insn {
        Insn::LoadImm { value: Imm64::Map(map) | Imm64::MapValue(map, _), .. }
            if maps.named_by(map).is_none() =>
        {
            let (MapRef::Fd(number) | MapRef::Index(number)) = map;
            Some((at, number))
        }
        _ => None,
    })
}

/// Opens the readers of perf event arrays: somebody reads what programs write there.
pub(crate) fn open_readers(held: &[Held]) -> Result<(), String> {
    for Held { name, map, .. } in held.iter().filter(|held| held.map.map_type() == MapType::PerfEventArray) {
        let failed = |error: &dyn std::fmt::Display| format!("map `{name}`: {error}");
        let readers = typed::PerfEventArray::of(Arc::clone(map), name).map_err(|error| failed(&error))?;
        readers.open().map_err(|errno| failed(&errno))?;
    }
    Ok(())
}

/// Puts entries into maps, as a file says.
pub(crate) fn fill(held: &[Held], types: Option<&Btf>, path: &Path) -> Result<(), Failure> {
    let failed = |what: String| Failure::input(shown(path), what);
    let described = read_json(path)?;
    for described in list(&described).map_err(failed)? {
        let name = described["name"].as_str().ok_or_else(|| failed("a map without a name".into()))?;
        let held = held.iter().find(|held| held.name == name).ok_or_else(|| {
            let names: Vec<&str> = held.iter().map(|held| held.name.as_str()).collect();
            failed(format!("there is no map `{name}`; there are {}", names.join(", ")))
        })?;
        let entries = match &described["entries"] {
            Value::Array(entries) => entries.as_slice(),
            Value::Null => &[],
            other => return Err(failed(format!("map `{name}`: entries: expected a list, found {other}"))),
        };
        for (number, entry) in entries.iter().enumerate() {
            held.put(types, entry).map_err(|what| failed(format!("map `{name}`, entry {number}: {what}")))?;
        }
    }
    Ok(())
}

/// What maps hold.
pub(crate) fn show(held: &[Held], types: Option<&Btf>) -> Value {
    let maps = held.iter().map(|held| held.show(types));
    json!({ "maps": maps.collect::<Vec<_>>() })
}

impl Held {
    fn put(&self, types: Option<&Btf>, entry: &Value) -> Result<(), String> {
        fields(entry, &["key", "value"])?;
        let user = self.map.user();
        let (spec, size) = (self.map.spec(), user.value_size());
        let key = self.key.encode(types, spec.key_size as usize, &entry["key"]);
        let key = key.map_err(|what| format!("key: {what}"))?;
        let value = match &entry["value"] {
            // One for each CPU.
            Value::Array(values) if self.is_per_cpu(values.len()) => {
                let one = spec.value_size as usize;
                let mut all = Vec::with_capacity(size);
                for value in values {
                    all.extend(
                        self.value.encode(types, one, value).map_err(|what| format!("value: {what}"))?,
                    );
                    all.resize(all.len().next_multiple_of(8), 0);
                }
                all
            }
            value => {
                let one = if self.map.map_type().is_per_cpu() { spec.value_size as usize } else { size };
                let mut bytes =
                    self.value.encode(types, one, value).map_err(|what| format!("value: {what}"))?;
                bytes.resize(size, 0);
                bytes
            }
        };
        user.update(&key, &value, 0).map_err(|errno| errno.to_string())
    }

    /// Whether so many values are one for each CPU.
    fn is_per_cpu(&self, count: usize) -> bool {
        self.map.map_type().is_per_cpu() && count > 1 && count == self.map.cpus() as usize
    }

    fn show(&self, types: Option<&Btf>) -> Value {
        let entries = entries(&self.map.user(), |key, value| {
            let key = self.key.decode(types, key);
            let size = (self.map.spec().value_size as usize).next_multiple_of(8).max(8);
            let mut cpus: Vec<Value> = match self.map.map_type().is_per_cpu() {
                true => value.chunks(size).map(|value| self.value.decode(types, value)).collect(),
                false => vec![self.value.decode(types, value)],
            };
            let value = if cpus.len() == 1 { cpus.pop().unwrap_or_default() } else { json!(cpus) };
            json!({ "key": key, "value": value })
        });
        json!({ "name": self.name, "type": self.map.map_type().name(), "entries": entries })
    }
}

impl Shape {
    fn decode(self, types: Option<&Btf>, bytes: &[u8]) -> Value {
        match self {
            Shape::Type(of) => types::value(types, of, bytes),
            Shape::Text => {
                types::text(bytes, true).map_or_else(|| json!(hex::encode(bytes)), |text| json!(text))
            }
            Shape::Number { signed } => types::number(bytes, signed),
        }
    }

    fn encode(self, types: Option<&Btf>, size: usize, value: &Value) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; size];
        match (self, value) {
            (Shape::Type(of), _) => return encode::value(types, of, size, value),
            (Shape::Text, Value::String(text)) => encode::put_text(&mut bytes, text)?,
            (Shape::Text | Shape::Number { .. }, _) => encode::plain(&mut bytes, value)?,
        }
        Ok(bytes)
    }
}

/// The descriptions in a file.
pub(crate) fn list(described: &Value) -> Result<&[Value], String> {
    match &described["maps"] {
        Value::Array(maps) => Ok(maps),
        _ => Err("expected {\"maps\": [...]}, as --maps writes it".into()),
    }
}

/// A name that nothing reads is a mistake, not a remark.
pub(crate) fn fields(described: &Value, known: &[&str]) -> Result<(), String> {
    match described {
        Value::Object(fields) => match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("`{name}` is no field; there are {}", known.join(", "))),
            None => Ok(()),
        },
        _ => Err(format!("expected fields, found {described}")),
    }
}

/// Every entry of a map that has keys, in the order in which `bpf(2)` walks it. What an array holds at first is not
/// shown.
fn entries(user: &User<'_>, mut show: impl FnMut(&[u8], &[u8]) -> Value) -> Vec<Value> {
    /// No map is shown longer than this.
    const MOST: usize = 1 << 20;
    let is_array = matches!(user.map().map_type(), MapType::Array | MapType::PercpuArray);
    let mut entries = Vec::new();
    let mut key = user.next_key(None).ok();
    while let Some(at) = key.filter(|_| entries.len() < MOST) {
        if let Ok(value) = user.lookup(&at, 0)
            && !(is_array && value.iter().all(|&byte| byte == 0))
        {
            entries.push(show(&at, &value));
        }
        key = user.next_key(Some(&at)).ok();
    }
    entries
}
