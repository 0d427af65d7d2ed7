//! Object files on the command line: opened, changed, loaded; their maps shown afterwards.

use std::path::Path;
use std::sync::Arc;

use sandbpf::maps::{MapType, User};
use sandbpf::object::{Object, ObjectSet, Options, elf::Btf};
use sandbpf::{AnyProgram, KindName, Loader};
use serde_json::{Value, json};

use crate::failure::{Failure, shown};
use crate::source::read_file;
use crate::types;

/// The first bytes of an object file.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";

/// Opens an object, for a kernel whose types are in a file if it needs any.
pub(crate) fn parse(path: &Path, bytes: &[u8], btf: Option<&Path>) -> Result<Object, Failure> {
    let read = |btf: &Path| {
        let types = Btf::parse(&read_file(btf)?).map_err(|error| Failure::input(shown(btf), error))?;
        Ok::<_, Failure>(Arc::new(types))
    };
    parse_for(path, bytes, btf.map(read).transpose()?)
}

/// Opens an object, for a kernel with these types.
pub(crate) fn parse_for(path: &Path, bytes: &[u8], types: Option<Arc<Btf>>) -> Result<Object, Failure> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut options = Options::new().name(stem);
    if let Some(types) = types {
        options = options.target(types);
    }
    options.parse(bytes).map_err(|error| Failure::input(shown(path), error))
}

/// A program of an object, loaded.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) set: ObjectSet,
    pub(crate) program: AnyProgram,
}

/// What to load of an object, and how.
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    pub(crate) program: Option<&'a str>,
    pub(crate) kind: Option<KindName>,
    pub(crate) globals: &'a [(String, String)],
    pub(crate) btf: Option<&'a Path>,
}

impl Loaded {
    /// Loads the program that is wanted, or the only one.
    pub(crate) fn open(bytes: &[u8], wanted: &Wanted<'_>, loader: &Loader) -> Result<Loaded, Failure> {
        let place = shown(wanted.path);
        let failed = |error: &dyn std::fmt::Display| Failure::input(&place, error);
        let mut object = parse(wanted.path, bytes, wanted.btf)?;
        for (name, value) in wanted.globals {
            let size = object.global(name).map_or(0, |global| global.size);
            let bytes =
                global_bytes(value, size).map_err(|what| failed(&format!("global `{name}`: {what}")))?;
            object.set_global(name, &bytes).map_err(|error| failed(&error))?;
        }
        let names: Vec<String> = object.entries().iter().map(|entry| entry.name.clone()).collect();
        let name = match (wanted.program, names.as_slice()) {
            (Some(name), _) => name.to_string(),
            (None, [only]) => only.clone(),
            (None, []) => return Err(failed(&"the object has no programs")),
            (None, many) => {
                return Err(failed(&format!("--program must choose one of {}", many.join(", "))));
            }
        };
        let set = ObjectSet::new(object).map_err(|error| failed(&error))?;
        let program = match wanted.kind {
            Some(kind) => set.any_as(&name, kind, loader),
            None => set.any(&name, loader),
        };
        let program = program.map_err(|error| failed(&error))?;
        // Programs that others may call by tail calls are loaded as well, where they can be.
        for other in names.iter().filter(|other| **other != name) {
            let is_called =
                set.object().maps().iter().any(|map| map.slots.iter().any(|slot| slot.target == **other));
            if is_called {
                set.any_as(other, program.kind(), loader).map_err(|error| failed(&error))?;
            }
        }
        Ok(Loaded { name, set, program })
    }

    /// Puts entries into maps, as a file of JSON says.
    pub(crate) fn fill(&self, path: &Path) -> Result<(), Failure> {
        let place = shown(path);
        let failed = |what: String| Failure::input(&place, what);
        let entries: Value =
            serde_json::from_slice(&read_file(path)?).map_err(|error| failed(error.to_string()))?;
        for described in entries["maps"].as_array().into_iter().flatten() {
            let name = described["name"].as_str().ok_or_else(|| failed("a map without a name".into()))?;
            let map = self.set.maps().named(name).map_err(|error| failed(error.to_string()))?;
            let user = map.user();
            for (number, entry) in described["entries"].as_array().into_iter().flatten().enumerate() {
                let bytes = |field: &str, size: usize| {
                    let bytes = match &entry[field] {
                        Value::String(digits) => {
                            crate::bytes::parse(digits).map_err(|error| error.to_string())
                        }
                        Value::Number(number) => global_bytes(&number.to_string(), size),
                        _ => Err("expected a number or bytes in hexadecimal".into()),
                    };
                    bytes.map_err(|what| failed(format!("map `{name}`, entry {number}, {field}: {what}")))
                };
                let (key, value) =
                    (bytes("key", map.spec().key_size as usize)?, bytes("value", user.value_size())?);
                let result =
                    match key.len() == map.spec().key_size as usize && value.len() == user.value_size() {
                        true => user.update(&key, &value, 0),
                        false => Err(sandbpf::maps::Errno::EINVAL),
                    };
                result.map_err(|errno| failed(format!("map `{name}`, entry {number}: {errno}")))?;
            }
        }
        Ok(())
    }

    /// What the maps hold.
    pub(crate) fn maps(&self) -> Value {
        let object = self.set.object();
        let maps = object.maps().iter().filter_map(|def| {
            let map = self.set.maps().named(&def.name).ok()?;
            let entries = entries(&map.user(), |key, value| {
                let key = types::value(object.btf(), def.key_type, key);
                let cpus: Vec<Value> = match map.map_type().is_per_cpu() {
                    true => value
                        .chunks((def.value_size as usize).next_multiple_of(8).max(8))
                        .map(|value| types::value(object.btf(), def.value_type, value))
                        .collect(),
                    false => vec![types::value(object.btf(), def.value_type, value)],
                };
                let value =
                    if cpus.len() == 1 { cpus.into_iter().next().unwrap_or_default() } else { json!(cpus) };
                json!({ "key": key, "value": value })
            });
            Some(json!({ "name": def.name, "type": def.map_type.to_string(), "entries": entries }))
        });
        json!({ "maps": maps.collect::<Vec<_>>() })
    }

    /// The records that programs wrote since the last time, one value each.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        for map in self.set.maps().iter() {
            let name = &map.spec().name;
            match map.map_type() {
                MapType::Ringbuf => {
                    let _ = map.ring_consume(|record| {
                        events.push(json!({ "map": name, "data": hex::encode(record) }));
                    });
                }
                MapType::PerfEventArray => {
                    let (records, lost) = map.perf_take().unwrap_or_default();
                    for record in records {
                        events.push(
                            json!({ "map": name, "cpu": record.cpu, "data": hex::encode(&record.data) }),
                        );
                    }
                    if lost > 0 {
                        events.push(json!({ "map": name, "lost": lost }));
                    }
                }
                _ => {}
            }
        }
        events
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

/// A value for a global variable: a number that fits its size, or bytes as `hex:…`.
fn global_bytes(text: &str, size: usize) -> Result<Vec<u8>, String> {
    if let Some(digits) = text.strip_prefix("hex:") {
        return crate::bytes::parse(digits).map_err(|error| error.to_string());
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(i128::from),
        None => text.parse::<i128>().ok(),
    };
    let number = number.ok_or_else(|| format!("`{text}` is no number; bytes begin with `hex:`"))?;
    let bits = 8 * size.min(8) as u32;
    let fits = bits > 0 && number < 1i128 << bits && number >= -(1i128 << (bits - 1));
    if !fits {
        return Err(format!("{text} does not fit {size} bytes"));
    }
    let mut bytes = (number as i64 as u64).to_le_bytes().to_vec();
    if number > i128::from(i64::MAX) {
        bytes = (number as u64).to_le_bytes().to_vec();
    }
    bytes.resize(size, if number < 0 { 0xff } else { 0 });
    Ok(bytes)
}
