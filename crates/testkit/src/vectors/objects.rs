//! Programs of object files that records are about: with the programs in their arrays, and the kernel functions they
//! call, which a record alone does not name.

use std::path::Path;

use sandbpf::maps::MapType;
use sandbpf::object::{MapDef, Object, ObjectSet};
use sandbpf::{AnyProgram, KindName, Loader};

use super::Context;
use super::engines::{LONG, Loaded, Settings};
use super::maps;
use super::record::Record;

/// Folders of objects as records call them, and where they are.
const FOLDERS: &[(&str, &str)] = &[("modern-objs", "selftests-annotated"), ("progs-objs", "selftests-progs")];

/// Loads the program of a record from its object file on every engine, each with maps of its own; `None` if the object is
/// not there, or why it is not loaded.
pub(crate) fn load(
    record: &Record,
    kind: KindName,
    context: &Context<'_>,
) -> Option<Result<Vec<Loaded>, String>> {
    let path = Path::new(record.value()["object"].as_str()?);
    let name = record.value()["program"].as_str()?;
    let folder = path.parent().and_then(Path::to_str)?;
    let (_, folder) = FOLDERS.iter().find(|(theirs, _)| *theirs == folder)?;
    let file = Path::new(folder).join(path.file_name()?);
    let bytes = context.library.object_file(&file)?;
    if Object::parse(&bytes).is_ok_and(|object| object.maps().iter().any(lacks_pattern)) {
        return None;
    }
    let settings = Settings { budget: LONG, ..Settings::default() };
    let program = |loader: Loader, others: Loader| program(record, &bytes, name, kind, &loader, &others);
    let plain = |engine| settings.loader(engine);
    let loaded = context.engines.load_by(|engine| program(plain(engine), plain(engine)));
    Some(loaded.map(|mut loaded| {
        loaded.extend(
            context.engines.load_proved(settings, |loader, _| program(loader.clone().verified(true), loader)),
        );
        loaded
    }))
}

/// Whether a map of maps does not say what it holds: then the kernel's runner of these tests says it.
fn lacks_pattern(map: &MapDef) -> bool {
    let map_type = MapType::from_number(map.map_type.0);
    matches!(map_type, Some(MapType::ArrayOfMaps | MapType::HashOfMaps)) && map.inner.is_none()
}

fn program(
    record: &Record,
    bytes: &[u8],
    name: &str,
    kind: KindName,
    loader: &Loader,
    others: &Loader,
) -> Result<AnyProgram, String> {
    let object = Object::parse(bytes).map_err(|error| error.to_string())?;
    let targets: Vec<String> =
        object.maps().iter().flat_map(|map| &map.slots).map(|slot| slot.target.clone()).collect();
    let set = ObjectSet::new(object).map_err(|error| error.to_string())?;
    for target in targets.iter().filter(|target| set.object().program(target).is_ok()) {
        set.any(target, others).map_err(|error| error.to_string())?;
    }
    if let Some((map, value)) = maps::filled_by_runner(record)
        && let Ok(map) = set.maps().named(map)
    {
        map.user().update(&[0; 4], &value, 0).map_err(|errno| errno.to_string())?;
    }
    set.any_as(name, kind, loader).map_err(|error| error.to_string())
}
