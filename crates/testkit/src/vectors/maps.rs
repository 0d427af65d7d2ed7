//! The maps of a record, made anew for every engine, and the program that names them.

use sandbpf::maps::{BtfSizes, MapSpec, MapType};
use sandbpf::{Code, Engine, KindName, LoadError, Loader, Maps};
use serde_json::Value;

use super::record::{Malformed, Record, bytes};

/// Why a record's maps cannot be made.
#[derive(Debug)]
pub(crate) enum NoMaps {
    Malformed(Malformed),
    Refused(String),
}

impl From<LoadError> for NoMaps {
    fn from(error: LoadError) -> Self {
        NoMaps::Refused(format!("not loaded: {error}"))
    }
}

impl From<Malformed> for NoMaps {
    fn from(malformed: Malformed) -> Self {
        NoMaps::Malformed(malformed)
    }
}

/// The record's program with the numbers of the maps and kernel functions that it names.
pub(crate) fn code(record: &Record) -> Result<Vec<u8>, Malformed> {
    let mut code = record.code()?;
    for fixup in record.value()["fixups"].as_array().into_iter().flatten() {
        let number = |field: &str| fixup[field].as_u64().and_then(|number| u32::try_from(number).ok());
        let found = match fixup["kind"].as_str() {
            Some("map") => number("map"),
            // One that is unknown has no number.
            Some("kfunc") => fixup["name"]
                .as_str()
                .map(|name| sandbpf::abi::kfuncs::named(name).map_or(0, |(number, _)| number as u32)),
            _ => continue,
        };
        let (Some(insn), Some(map)) = (number("insn"), found) else {
            return Err(Malformed::field("fixups"));
        };
        let at = insn as usize * 8 + 4;
        code.get_mut(at..at + 4).ok_or(Malformed::field("fixups"))?.copy_from_slice(&map.to_le_bytes());
    }
    Ok(code)
}

/// Makes the record's maps, in order, with what is in them.
pub(crate) fn of(record: &Record, kind: KindName) -> Result<Maps, NoMaps> {
    let maps = Maps::new();
    for described in record.value()["maps"].as_array().into_iter().flatten() {
        let spec = spec(described).ok_or(Malformed::field("maps"))?;
        let map = maps.create(spec).map_err(|error| NoMaps::Refused(error.to_string()))?;
        let set = |key: &[u8], value: &[u8]| {
            map.update(key, value, 0, 0).map_err(|errno| NoMaps::Refused(errno.to_string()))
        };
        if let Some(value) = bytes(&described["init_value"]).filter(|value| !value.is_empty()) {
            set(&[0; 4], &value)?;
        }
        if let Some((_, value)) = filled_by_runner(record).filter(|(name, _)| described["name"] == **name) {
            let filled = map.user().update(&[0; 4], &value, 0);
            filled.map_err(|errno| NoMaps::Refused(errno.to_string()))?;
        }
        for entry in described["init"].as_array().into_iter().flatten() {
            let field = |name: &str| bytes(&entry[name]).ok_or(Malformed::field("maps"));
            set(&field("key")?, &field("value")?)?;
        }
        for entry in described["progs"].as_array().into_iter().flatten() {
            let number = |name: &str| entry[name].as_u64().ok_or(Malformed::field("maps"));
            let own = maps.iter().count() - 1;
            let tail = match entry["tail"].as_u64() {
                Some(index) => format!("r3 = {index}\nr2 = map[fd:{own}]\ncall 12\n"),
                None => String::new(),
            };
            let text = format!("{tail}r0 = {}\nexit", number("ret")?);
            let program = sandbpf::isa::parse(&text).map_err(|_| Malformed::field("maps"))?;
            let loader = Loader::new().engine(Engine::Interpreter).maps(&maps);
            let stub = loader
                .load_any(kind, Code::Program(program))
                .map_err(|error| NoMaps::Refused(error.to_string()))?;
            maps.set_any(&map, number("key")? as u32, &stub)
                .map_err(|error| NoMaps::Refused(error.to_string()))?;
        }
    }
    Ok(maps)
}

/// What the kernel's own runner of these tests puts into a map before it runs them: the map's name, and the value of key 0
/// (`struct test_val`: an index in bytes, and eleven numbers of which one is not 0).
pub(crate) fn filled_by_runner(record: &Record) -> Option<(&'static str, Vec<u8>)> {
    let map = match record.value()["file"].as_str()? {
        "verifier_array_access.c" => "map_array_ro",
        "verifier_value_ptr_arith.c" => "map_array_48b",
        _ => return None,
    };
    let mut words = [0u32; 12];
    words[0] = 7 * 4;
    words[7] = 0xabcd_ef12;
    Some((map, words.into_iter().flat_map(u32::to_le_bytes).collect()))
}

pub(super) fn spec(described: &Value) -> Option<MapSpec> {
    let number = |field: &str| described[field].as_u64().map_or(Some(0), |number| u32::try_from(number).ok());
    let map_type = match &described["type"] {
        Value::String(name) => MapType::from_name(name)?,
        other => MapType::from_number(other.as_u64()?.try_into().ok()?)?,
    };
    let mut spec = MapSpec::new(map_type, number("key_size")?, number("value_size")?, number("max_entries")?)
        .with_flags(number("map_flags")?);
    spec.map_extra = described["map_extra"].as_u64().unwrap_or_default();
    if let Some(name) = described["name"].as_str() {
        spec = spec.with_name(name);
    }
    use MapType::*;
    match map_type {
        ArrayOfMaps | HashOfMaps => {
            spec.inner =
                Some(Box::new(self::spec(&described["inner"]).unwrap_or(MapSpec::new(Array, 4, 4, 1))));
        }
        SkStorage | InodeStorage | TaskStorage | CgrpStorage => {
            spec.btf = Some(BtfSizes { key: Some(spec.key_size), value: spec.value_size });
        }
        _ => {}
    }
    Some(spec)
}
