//! Object files: what a compiler made of a BPF program's source, with its maps, ready to run.

use sandbpf_abi::kfuncs;
use sandbpf_maps::{BtfSizes, Errno, MapSpec, MapType, Object as Element};
use sandbpf_types::BtfTypes;
use sandbpf_verifier::{TypeRef, Types};

use crate::verify::known_field;
use crate::{AnyProgram, Code, Kind, KindName, LoadError, Loader, MapError, Maps, Program, Verifier};

/// An object whose maps exist.
///
/// ```
/// use sandbpf::object::{Object, ObjectSet};
/// use sandbpf::{Loader, Program, Xdp, XdpAction, maps::typed};
/// # let file = include_bytes!("../../elf/tests/data/counter.o");
/// let mut object = Object::parse(file)?;
/// object.set_global("limit", &100u32.to_le_bytes())?;
/// let set = ObjectSet::new(object)?;
/// let count: Program<Xdp> = set.program("count", &Loader::new())?;
/// let action = count.run(&[0; 60])?;
/// # let _ = action;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ObjectSet {
    object: Object,
    maps: Maps,
    /// The numbers of the object's maps; none of one that is not made.
    numbers: Vec<Option<u32>>,
}

/// Why an object, or a program of it, cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectSetError {
    /// The object is damaged or names what it does not have.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A map cannot be made.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A program is not accepted.
    #[error("program `{name}`: {error}")]
    Load {
        /// Its name.
        name: String,
        /// Why.
        error: LoadError,
    },
    /// An instruction refers to what is not there.
    #[error("program `{name}`, instruction {insn}: {what}")]
    Unresolved {
        /// The program.
        name: String,
        /// The instruction, in slots.
        insn: usize,
        /// What it refers to.
        what: String,
    },
    /// A map is of a type that Linux 6.18 does not have.
    #[error("map `{name}`: Linux 6.18 has no maps of type {number}")]
    MapType {
        /// The map.
        name: String,
        /// Its type.
        number: u32,
    },
    /// There is no kind of program for a section, or for what it says.
    #[error("program `{name}` is of type {program_type}, which needs a kind: {why}")]
    Kind {
        /// The program.
        name: String,
        /// Its type by its section.
        program_type: String,
        /// What is missing.
        why: &'static str,
    },
}

impl ObjectSet {
    /// Makes the object's maps and fills them as a loader does.
    pub fn new(object: Object) -> Result<ObjectSet, ObjectSetError> {
        ObjectSet::with_maps(object, Maps::new())
    }

    /// The same, with the maps among these.
    pub fn with_maps(object: Object, maps: Maps) -> Result<ObjectSet, ObjectSetError> {
        let mut numbers = Vec::new();
        let types = BtfTypes::new(object.target().cloned(), object.shared_btf().cloned());
        for def in object.maps() {
            let Some(mut spec) = spec(def, &types)? else {
                numbers.push(None);
                continue;
            };
            // As loaders do: an entry for each processor.
            if spec.map_type == MapType::PerfEventArray && spec.max_entries == 0 {
                spec.max_entries = maps.processors();
            }
            let number = maps.iter().count() as u32;
            let spec_type = spec.map_type;
            let map = maps.create(spec)?;
            if let Some(bytes) = &def.initial {
                let done = match spec_type {
                    MapType::Arena => map.arena_fill(bytes),
                    _ => map.user().update(&0u32.to_ne_bytes(), bytes, 0),
                };
                done.map_err(|errno| set_error(def, errno))?;
            }
            if def.kind.is_frozen() {
                map.user().freeze().map_err(|errno| set_error(def, errno))?;
            }
            numbers.push(Some(number));
        }
        if let Some(btf) = object.btf() {
            let sizes = btf.iter().filter(|(_, ty)| matches!(ty.kind, elf::Kind::Struct(_)));
            for (number, size) in sizes.filter_map(|(id, _)| Some((id, btf.size_of(id)?))) {
                maps.set_object_type(number, u32::try_from(size).unwrap_or(u32::MAX));
            }
        }
        let set = ObjectSet { object, maps, numbers };
        set.fill()?;
        Ok(set)
    }

    /// Puts maps into maps of maps, as their definitions say.
    fn fill(&self) -> Result<(), ObjectSetError> {
        for (def, number) in self.object.maps().iter().zip(&self.numbers) {
            let Some(map) = number.and_then(|number| self.maps.at(number)) else { continue };
            for slot in &def.slots {
                // Programs are put in when they are loaded.
                let Some(inner) = self.map_of(&slot.target) else { continue };
                map.set_object(&slot.index.to_ne_bytes(), Element::Map(inner), 0)
                    .map_err(|errno| set_error(def, errno))?;
            }
        }
        Ok(())
    }

    fn map_of(&self, name: &str) -> Option<std::sync::Arc<sandbpf_maps::Map>> {
        let at = self.object.maps().iter().position(|def| def.name == name)?;
        self.maps.at(self.numbers.get(at).copied().flatten()?).cloned()
    }

    /// The object.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Its maps, by the names that the source gives them.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Loads a program.
    pub fn program<K: Kind>(&self, name: &str, loader: &Loader) -> Result<Program<K>, ObjectSetError> {
        let linked = self.object.program(name)?;
        let code = self.code(&linked)?;
        let loaded = self.loader(&linked, loader, K::NAME).load(Code::Bytes(&code));
        let program: Program<K> =
            loaded.map_err(|error| ObjectSetError::Load { name: name.into(), error })?;
        self.connect(name, std::sync::Arc::clone(&program.image.code))?;
        Ok(program)
    }

    /// Loads a program as what its section says it is.
    pub fn any(&self, name: &str, loader: &Loader) -> Result<AnyProgram, ObjectSetError> {
        let linked = self.object.program(name)?;
        let program_type = linked.entry.program_type();
        let kind = KindName::of_program_type(program_type.name());
        let kind = kind.ok_or_else(|| ObjectSetError::Kind {
            name: name.into(),
            program_type: program_type.to_string(),
            why: "its section does not say what it is for",
        })?;
        self.any_as(name, kind, loader)
    }

    /// Loads a program as this kind, whatever its section says.
    pub fn any_as(&self, name: &str, kind: KindName, loader: &Loader) -> Result<AnyProgram, ObjectSetError> {
        let linked = self.object.program(name)?;
        let code = self.code(&linked)?;
        let program = self
            .loader(&linked, loader, kind)
            .load_any(kind, Code::Bytes(&code))
            .map_err(|error| ObjectSetError::Load { name: name.into(), error })?;
        self.connect(name, std::sync::Arc::clone(&program.image.code))?;
        Ok(program)
    }

    /// A loader for a program of this object, verifying by what the object says of it.
    fn loader(&self, program: &ObjectProgram, loader: &Loader, kind: KindName) -> Loader {
        let mut loader = loader.clone().maps(&self.maps);
        if loader.verifies_kinds()
            && let Some(verifier) = self.verifier(program, kind)
        {
            loader = loader.verified_by(verifier);
        }
        match program.exception_callback {
            Some(slot) => loader.exception_callback(slot as u32),
            None => loader,
        }
    }

    /// The terms on which a program of the object is verified as this kind, with the numbers of its maps; none if
    /// Linux has no such type of program.
    pub fn verifier(&self, program: &ObjectProgram, kind: KindName) -> Option<Verifier> {
        let verifier = Verifier::of_object_as(&self.object, program, Some(kind.program_type()?))?;
        Some(verifier.renumbered(&self.numbers))
    }

    /// Puts a program into the arrays that name it.
    fn connect(
        &self,
        name: &str,
        code: std::sync::Arc<dyn sandbpf_runtime::Execute>,
    ) -> Result<(), ObjectSetError> {
        for (def, number) in self.object.maps().iter().zip(&self.numbers) {
            let Some(map) = number.and_then(|number| self.maps.at(number)) else { continue };
            if map.map_type() != MapType::ProgArray {
                continue;
            }
            for slot in def.slots.iter().filter(|slot| slot.target == name) {
                self.maps.set_code(map, slot.index, std::sync::Arc::clone(&code))?;
            }
        }
        Ok(())
    }

    /// Why a map is not there.
    fn unmade(&self, map: usize) -> String {
        let Some(def) = self.object.maps().get(map) else { return format!("the object has no map {map}") };
        let why = match def.inner.is_none() && matches!(def.map_type.0, 12 | 13) {
            true => "its definition does not say what maps are in it",
            false => "it is one that a loader makes only when it is asked to",
        };
        format!("map `{}` is not made: {why}", def.name)
    }

    /// The program's instructions with the numbers of its maps.
    fn code(&self, program: &ObjectProgram) -> Result<Vec<u8>, ObjectSetError> {
        let mut code = program.insns.clone();
        for fixup in &program.fixups {
            let unresolved = |what: String| ObjectSetError::Unresolved {
                name: program.name().into(),
                insn: fixup.insn,
                what,
            };
            let value = match &fixup.kind {
                FixupKind::Map { map } | FixupKind::MapValue { map, .. } => {
                    let number = self.numbers.get(*map).copied().flatten();
                    number.ok_or_else(|| unresolved(self.unmade(*map)))?
                }
                FixupKind::Kfunc { name, .. } => match kfuncs::named(name) {
                    Some((number, _)) => number as u32,
                    None => {
                        let what = format!("Linux has no kernel function `{name}` that programs may call");
                        return Err(unresolved(what));
                    }
                },
                _ => continue,
            };
            let at = fixup.insn * 8;
            let place = code.get_mut(at..at + 8);
            let place = place.ok_or_else(|| unresolved("it lies outside the program".into()))?;
            place[4..].copy_from_slice(&value.to_le_bytes());
            if self.maps.has_descriptors() {
                // Numbers of descriptors are somebody else's: an index is meant (`BPF_PSEUDO_MAP_IDX` for
                // `BPF_PSEUDO_MAP_FD`, and the same for addresses of values).
                const FD_TO_INDEX: u8 = 4 << 4;
                place[1] += if place[1] >> 4 <= 2 { FD_TO_INDEX } else { 0 };
            }
        }
        Ok(code)
    }
}

fn set_error(def: &MapDef, errno: Errno) -> ObjectSetError {
    MapError::Set { name: def.name.clone(), errno }.into()
}

/// What Linux is asked for; `None` for maps that no loader makes by itself.
fn spec(def: &MapDef, types: &BtfTypes) -> Result<Option<MapSpec>, ObjectSetError> {
    if !def.autocreate {
        return Ok(None);
    }
    let unknown = || ObjectSetError::MapType { name: def.name.clone(), number: def.map_type.0 };
    let map_type = def.map_type.known().ok_or_else(unknown)?;
    // What is in a map of maps that does not say, its loader knows; programs that do without it can be loaded.
    let lacks_inner = matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps) && def.inner.is_none();
    if map_type == MapType::StructOps || lacks_inner {
        return Ok(None);
    }
    // A ring buffer has no values, and those of a perf event array are descriptors. Who gives the type of one says what
    // the records are, for tools that make types of it; Cilium's loader ignores the size, and so do we.
    let names_records = def.value_type != 0 && def.value_size != 4;
    let (names_records, key_size, value_size) = match map_type {
        MapType::Ringbuf if def.value_type != 0 => (true, def.key_size, 0),
        MapType::PerfEventArray if names_records => (true, 4, 4),
        _ => (false, def.key_size, def.value_size),
    };
    let mut spec = MapSpec::new(map_type, key_size, value_size, def.max_entries)
        .with_flags(def.flags)
        .with_name(&def.name);
    spec.map_extra = def.extra;
    let (key_type, value_type) = def.kernel_types();
    if (key_type, value_type) != (0, 0) && !names_records {
        let key = Some(def.key_size).filter(|_| key_type != 0);
        spec.btf = Some(BtfSizes { key, value: def.value_size });
    }
    if value_type != 0 && !names_records {
        let fields = types.special_fields(TypeRef::program(value_type));
        spec.fields = fields.iter().filter_map(known_field).collect();
    }
    if let Some(inner) = &def.inner {
        // Nobody looks for these by their names, which are as short as the kernel wants them.
        spec.inner =
            self::spec(inner, types)?.map(|inner_spec| Box::new(inner_spec.with_name(&inner.kernel_name)));
    }
    Ok(Some(spec))
}

pub use sandbpf_elf::{
    Btf, Fixup, FixupKind, Global, Location, MapDef, Object, ObjectError, ObjectProgram, Options,
    ProgramEntry,
};

/// The types that an object describes, taken apart.
pub use sandbpf_elf as elf;
