//! Object files on the command line: opened, changed, loaded.

use std::path::Path;
use std::sync::Arc;

use sandbpf::object::elf::{Btf, Kind};
use sandbpf::object::{Object, ObjectSet, ObjectSetError, Options};
use sandbpf::{AnyProgram, KindName, Loader, Maps};
use serde_json::Value;

use crate::definitions::Definition;
use crate::failure::{Failure, shown};
use crate::held::Held;
use crate::map_size::{self, MapSizes};
use crate::source::read_file;
use crate::{encode, types};

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
    pub(crate) map_sizes: &'a MapSizes,
    pub(crate) btf: Option<&'a Path>,
    /// The maps that it is loaded among.
    pub(crate) maps: &'a Maps,
    /// What is said of its maps, and what maps there are besides.
    pub(crate) definitions: &'a [Definition],
}

impl Loaded {
    /// Loads the program that is wanted, or the only one; maps besides the object's are added to `held`.
    pub(crate) fn open(
        bytes: &[u8],
        wanted: &Wanted<'_>,
        loader: &Loader,
        held: &mut Vec<Held>,
    ) -> Result<Loaded, Failure> {
        let place = shown(wanted.path);
        let failed = |error: &dyn std::fmt::Display| Failure::input(&place, error);
        let mut object = parse(wanted.path, bytes, wanted.btf)?;
        for (name, value) in wanted.globals {
            let bytes = global_bytes(&object, name, value)
                .map_err(|what| failed(&format!("global `{name}`: {what}")))?;
            object.set_global(name, &bytes).map_err(|error| failed(&error))?;
        }
        wanted.map_sizes.set(&mut object).map_err(|what| failed(&what))?;
        let names: Vec<String> = object.entries().iter().map(|entry| entry.name.clone()).collect();
        let name = match (wanted.program, names.as_slice()) {
            (Some(name), _) => {
                check_program(&object, name).map_err(|what| failed(&what))?;
                name.to_string()
            }
            (None, [only]) => only.clone(),
            (None, []) => return Err(failed(&"the object has no programs")),
            (None, many) => {
                return Err(failed(&format!("--program must choose one of {}", many.join(", "))));
            }
        };
        for definition in wanted.definitions {
            if !definition.amend(&mut object) {
                held.push(definition.make(wanted.maps)?);
            }
        }
        let missing = map_size::missing(&object);
        let set = ObjectSet::with_maps(object, wanted.maps.clone()).map_err(|error| match error {
            ObjectSetError::Map(error) => failed(&map_size::explain(&error, &missing)),
            error => failed(&error),
        })?;
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
}

/// That an object has a program of this name.
pub(crate) fn check_program(object: &Object, name: &str) -> Result<(), String> {
    let names: Vec<&str> = object.entries().iter().map(|entry| entry.name.as_str()).collect();
    match names.contains(&name) {
        true => Ok(()),
        false if names.is_empty() => Err(format!("there is no program `{name}`; the object has none")),
        false => Err(format!("there is no program `{name}`; there are {}", names.join(", "))),
    }
}

/// A value for a global variable of a type: a number, a flag, text, the name of a value, or bytes as `hex:…`; JSON for
/// structures and arrays.
fn global_bytes(object: &Object, name: &str, text: &str) -> Result<Vec<u8>, String> {
    let Some(global) = object.global(name) else {
        let names = variables(object);
        return Err(match names.is_empty() {
            true => "the object has no global variables".into(),
            false => format!("the object has no such variable; there are {}", names.join(", ")),
        });
    };
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let value = match text.strip_prefix("0x") {
        Some(digits) => {
            let number = u64::from_str_radix(digits, 16);
            Value::from(number.map_err(|_| format!("`{text}` is no number of 64 bits"))?)
        }
        None if text.starts_with(['{', '[']) || is_number(text) || text == "true" || text == "false" => {
            serde_json::from_str(text)
                .map_err(|_| format!("`{text}` is no number; bytes begin with `hex:`"))?
        }
        None => Value::from(text),
    };
    let of = global.ty.unwrap_or(0);
    // Text is for characters and for the names of values; anything else has to say that it is bytes.
    let takes_text = object.btf().and_then(|types| match types.strip(of)?.1 {
        Kind::Array(array) => Some(types::is_text(types, array.element)),
        kind => Some(matches!(kind, Kind::Enum(_) | Kind::Enum64(_))),
    });
    match &value {
        Value::String(text) if takes_text != Some(true) && !text.starts_with("hex:") => {
            Err(format!("`{text}` is no number; bytes begin with `hex:`"))
        }
        value => encode::value(object.btf(), of, global.size, value),
    }
}

/// The variables that can be set, by the types.
fn variables(object: &Object) -> Vec<&str> {
    let Some(types) = object.btf() else { return Vec::new() };
    let variables = types.iter().filter(|(_, ty)| matches!(ty.kind, Kind::Var { .. }));
    let names = variables.map(|(id, _)| types.name(id)).filter(|name| object.global(name).is_some());
    names.take(20).collect()
}
