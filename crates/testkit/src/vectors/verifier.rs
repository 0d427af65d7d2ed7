//! The terms on which a record's program was verified: what `bpf(2)` was told of it.

use std::sync::Arc;

use sandbpf::abi::{AttachType, ProgramType};
use sandbpf::object::elf::SectionKind;
use sandbpf::object::{Btf, FixupKind, MapDef, Object, ObjectProgram};
use sandbpf::verifier::MapShape;
use sandbpf::{FunctionInfo, Verifier};
use serde_json::{Value, json};

use super::library::Library;
use super::record::{Malformed, Record, bytes};

/// `BPF_F_RDONLY_PROG`.
const RDONLY_PROG: u32 = 1 << 7;

/// The verifier that the record's program met.
pub(crate) fn of(record: &Record, library: &Library) -> Result<Verifier, Malformed> {
    on_terms(record, library, true)
}

/// The same, had the program been loaded without its types.
pub(crate) fn untyped(record: &Record, library: &Library) -> Result<Verifier, Malformed> {
    on_terms(record, library, false)
}

fn on_terms(record: &Record, library: &Library, typed: bool) -> Result<Verifier, Malformed> {
    let value = record.value();
    let name = record.str("prog_type")?;
    let program_type = ProgramType::from_name(name).ok_or(Malformed::field("prog_type"))?;
    let attach = number(value, "expected_attach_type").or(number(value, "attach_type")).unwrap_or(0);
    let object = value["object"].as_str().and_then(|name| library.object(name));
    let program = object.as_deref().filter(|_| typed).and_then(|object| linked(object, record));
    let mut verifier = match (&object, &program) {
        (Some(object), Some(program)) => Verifier::of_object_as(object, program, Some(program_type)),
        _ => None,
    }
    .unwrap_or_else(|| Verifier::new(program_type));
    // The kernel that was asked is built without `CONFIG_KALLSYMS_ALL`.
    verifier = verifier.attached(AttachType(attach)).data_symbols(false);
    if !typed {
        verifier = verifier.typed(library.kernel().cloned(), None);
    } else if object.is_none() {
        let own = bytes(&value["btf"]).and_then(|types| Btf::parse(&types).ok()).map(Arc::new);
        verifier = verifier.typed(library.kernel().cloned(), own).functions(functions(value));
        if let Some(target) = value["attach_btf_name"].as_str() {
            verifier = verifier.targeting(target);
        }
    }
    if let Some(flags) = number(value, "prog_flags") {
        // What a loader takes from the section, the record does not repeat.
        let section =
            value["section"].as_str().filter(|_| typed).map(|section| section.trim_start_matches('?'));
        let by_section = section.and_then(SectionKind::of).map_or(0, |kind| kind.program_flags());
        verifier = verifier.flags(flags | by_section);
    }
    if let Some(license) = value["license"].as_str() {
        verifier = verifier.license(license);
    }
    let described = value["maps"].as_array().map(Vec::as_slice).unwrap_or_default();
    // The shapes of inner maps stand behind those that the program names.
    let mut shapes = vec![MapShape::default(); described.len()];
    for (at, map) in described.iter().enumerate() {
        let name = map["name"].as_str().unwrap_or_default();
        let def = object
            .as_deref()
            .and_then(|object| object.maps().iter().find(|def| def.name == name || def.kernel_name == name));
        let shape = Described { map, def, typed }.shape(&verifier, library, &mut shapes)?;
        shapes[at] = shape;
    }
    Ok(verifier.shapes(shapes, described.len()))
}

/// Whether the record's program is in an object file that is not at hand: then its functions and types are not known.
pub(crate) fn lacks_object(record: &Record, library: &Library) -> bool {
    let name = record.value()["object"].as_str();
    name.is_some_and(|name| library.object(name).is_none_or(|object| linked(&object, record).is_none()))
}

/// Puts the numbers of kernel functions and types into the code, which the record tells of the kernel it was loaded into.
pub(crate) fn complete(record: &Record, library: &Library, code: &mut [u8]) {
    unname(record, code);
    let object = record.value()["object"].as_str().and_then(|name| library.object(name));
    let Some(program) = object.and_then(|object| linked(&object, record)) else { return };
    let complete = sandbpf::linked_code(&program);
    for fixup in &program.fixups {
        let at = fixup.insn * 8 + 4;
        let is_map = matches!(fixup.kind, FixupKind::Map { .. } | FixupKind::MapValue { .. });
        if let (false, Some(to), Some(from)) = (is_map, code.get_mut(at..at + 4), complete.get(at..at + 4)) {
            to.copy_from_slice(from);
        }
    }
}

/// What the record does not call a map is the descriptor of none, though our maps have such numbers.
fn unname(record: &Record, code: &mut [u8]) {
    const WIDE: u8 = 0x18;
    const NO_DESCRIPTOR: u8 = 0x40;
    let fixups = record.value()["fixups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named: Vec<_> = fixups.iter().filter_map(|fixup| fixup["insn"].as_u64()).collect();
    for (slot, insn) in code.chunks_exact_mut(8).enumerate() {
        let names_map = insn[0] == WIDE && matches!(insn[1] >> 4, 1 | 2);
        if names_map && !named.contains(&(slot as u64)) && insn[7] == 0 {
            insn[7] = NO_DESCRIPTOR;
        }
    }
}

/// The program in its object, if what it was linked to there is what was loaded.
fn linked(object: &Object, record: &Record) -> Option<ObjectProgram> {
    let name = record.value()["program"].as_str()?;
    let section = record.value()["section"].as_str();
    let named = object.entries().iter().filter(|entry| entry.name == name);
    let entry =
        named.clone().find(|entry| Some(entry.section.as_str()) == section).or(named.clone().next())?;
    let program = object.link(entry).ok()?;
    let slots = record.value()["insn_cnt"].as_u64()?;
    (program.insns.len() as u64 == slots * 8).then_some(program)
}

fn number(value: &Value, field: &str) -> Option<u32> {
    value[field].as_u64().and_then(|number| u32::try_from(number).ok())
}

/// What the record tells of functions: where they start, and their types.
fn functions(value: &Value) -> Vec<FunctionInfo> {
    let told = value["func_info"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let function = |row: &Value| {
        let (slot, type_id) = (number(&row[0])?, number(&row[1])?);
        Some(FunctionInfo { slot, name: String::new(), global: false, type_id })
    };
    told.iter().filter_map(function).collect()
}

/// A map as the record tells of it, and as its object does.
struct Described<'d> {
    map: &'d Value,
    def: Option<&'d MapDef>,
    typed: bool,
}

impl Described<'_> {
    fn shape(
        &self,
        verifier: &Verifier,
        library: &Library,
        shapes: &mut Vec<MapShape>,
    ) -> Result<MapShape, Malformed> {
        let map = self.map;
        let field = |name: &str| number(map, name).unwrap_or(0);
        let map_type = match &map["type"] {
            Value::String(name) => sandbpf::maps::MapType::from_name(name).map(|known| known as u32),
            other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        let mut shape = MapShape {
            name: map["name"].as_str().unwrap_or("").chars().take(15).collect(),
            map_type: map_type.ok_or(Malformed::field("maps"))?,
            key_size: field("key_size"),
            value_size: field("value_size"),
            max_entries: field("max_entries"),
            flags: field("map_flags"),
            mapped: map["map_extra"].as_u64().is_some_and(|address| address != 0) || self.def.is_some(),
            ..MapShape::default()
        };
        if (map["internal"] == true && shape.flags & RDONLY_PROG != 0) || map["freeze"] == true {
            shape.frozen = true;
            let mut contents =
                bytes(&map["init_value"]).or_else(|| bytes(&map["init"][0]["value"])).unwrap_or_default();
            contents.resize(shape.value_size as usize, 0);
            shape.contents = Some(contents);
        }
        if matches!(shape.map_type, 12 | 13) {
            let inner = match (map["inner"].is_object(), self.def.and_then(|def| def.inner.as_deref())) {
                (true, _) => {
                    let inner = Described { map: &map["inner"], def: None, typed: self.typed };
                    inner.shape(verifier, library, shapes)?
                }
                (false, Some(def)) => {
                    let map = json!({"type": def.map_type.0, "key_size": def.key_size,
                        "value_size": def.value_size, "max_entries": def.max_entries,
                        "map_flags": def.flags, "btf_value_type_id": def.value_type});
                    Described { map: &map, def: Some(def), typed: self.typed }
                        .shape(verifier, library, shapes)?
                }
                (false, None) => MapShape {
                    map_type: 2,
                    key_size: 4,
                    value_size: 4,
                    max_entries: 1,
                    ..MapShape::default()
                },
            };
            shapes.push(inner);
            shape.inner = Some(shapes.len() - 1);
        }
        let value_type = if self.typed { field("btf_value_type_id") } else { 0 };
        let own = bytes(&map["btf"]).and_then(|types| Btf::parse(&types).ok()).map(Arc::new);
        if value_type != 0 {
            let of_map = own.map(|own| verifier.clone().typed(library.kernel().cloned(), Some(own)));
            shape.has_btf = true;
            shape.value_type = Some(value_type);
            shape.fields = of_map.as_ref().unwrap_or(verifier).fields_of(value_type);
        }
        Ok(shape)
    }
}
