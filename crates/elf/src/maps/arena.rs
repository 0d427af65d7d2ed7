//! The arena of an object, and the variables in it: those of section `.addr_space.1` lie at its start
//! (`init_arena_map_data` in libbpf).

use super::{MapDef, PAGE};
use crate::file::File;
use crate::{MapType, ObjectError};

const SECTION: &str = ".addr_space.1";

/// Puts the variables into the arena; their section and the map, if there are any.
pub(crate) fn place(file: &File<'_>, maps: &mut [MapDef]) -> Result<Option<(usize, usize)>, ObjectError> {
    let mut arenas = maps.iter_mut().enumerate().filter(|(_, map)| map.map_type == MapType::Arena);
    let (arena, second) = (arenas.next(), arenas.next());
    if let (Some((_, arena)), Some((_, second))) = (&arena, second) {
        let what = format!("it is an arena, and so is {}; an object has only one", arena.name);
        return Err(ObjectError::map(&*second.name, what));
    }
    let Some((index, section)) = file.section(SECTION).filter(|(_, section)| section.size != 0) else {
        return Ok(None);
    };
    let Some((map, arena)) = arena else {
        let what = "it has variables of an arena, and no map of section .maps is one";
        return Err(ObjectError::section(SECTION, what));
    };
    let room = u64::from(arena.max_entries) * u64::from(PAGE);
    if section.size > room {
        let what =
            format!("its variables have {} bytes, and the arena {} has {room}", section.size, arena.name);
        return Err(ObjectError::section(SECTION, what));
    }
    arena.variables = Some(
        u32::try_from(section.size).map_err(|_| ObjectError::section(SECTION, "it has more than 4 GiB"))?,
    );
    // Zeros are not in the file.
    arena.initial = (!section.data.is_empty()).then(|| section.data.to_vec());
    Ok(Some((index, map)))
}
