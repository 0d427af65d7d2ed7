//! Maps defined in types: each variable of `.maps` is a structure whose members are pointers, and what they point
//! to says everything; `int (*max_entries)[64]` is the number 64.

use std::collections::HashSet;

use super::{InitialSlot, MapDef, MapKind, Pinning, Place, is_outer};
use crate::btf::{Btf, Composite, Kind, Member, SectionVar};
use crate::file::File;
use crate::functions::Functions;
use crate::{MapNumber, MapType, ObjectError};

/// The section of definitions.
pub(crate) const SECTION: &str = ".maps";

/// Bytes of a pointer in BPF.
const POINTER: u64 = 8;

/// All maps of `.maps`, in the order of their places.
pub(crate) fn collect(file: &File<'_>, btf: Option<&Btf>) -> Result<Vec<MapDef>, ObjectError> {
    let Some((index, section)) = file.section(SECTION) else { return Ok(Vec::new()) };
    let damaged = |what: &str| ObjectError::section(SECTION, what);
    let btf = btf.ok_or_else(|| damaged("maps are defined by types, and the object has none"))?;
    let vars = btf.iter().find_map(|(id, ty)| match &ty.kind {
        Kind::DataSec { vars, .. } if btf.name(id) == SECTION => Some(vars),
        _ => None,
    });
    let vars = vars.ok_or_else(|| damaged("the types do not describe it"))?;
    vars.iter().map(|var| define(btf, index, section.size, *var)).collect()
}

fn define(btf: &Btf, section: usize, section_size: u64, var: SectionVar) -> Result<MapDef, ObjectError> {
    let name = btf.name(var.var);
    let fail = |what: String| Err(ObjectError::map(name, what));
    if name.is_empty() {
        return Err(ObjectError::section(SECTION, "a map has no name"));
    }
    if u64::from(var.offset) + u64::from(var.size) > section_size {
        return fail("it lies outside its section".into());
    }
    let Some(&Kind::Var { ty, linkage }) = btf.kind(var.var) else {
        return fail("expected a variable".into());
    };
    if linkage != 1 {
        return fail("expected a global variable, found a static or extern one".into());
    }
    let Some((_, Kind::Struct(definition))) = btf.strip(ty) else {
        return fail("expected a structure".into());
    };
    if definition.size > var.size {
        return fail(format!("expected {} bytes, found {}", definition.size, var.size));
    }
    let place = Place::new(section, var.offset.into());
    let mut map = MapDef::new(name, SECTION, place, MapKind::Declared);
    read(btf, definition, &mut map, false)?;
    Ok(map)
}

/// The definition of a map in place, or of the maps in a map of maps (`inner`).
fn read(btf: &Btf, definition: &Composite, map: &mut MapDef, inner: bool) -> Result<(), ObjectError> {
    let last = definition.members.len().saturating_sub(1);
    for (n, member) in definition.members.iter().enumerate() {
        let field = btf.member_name(member);
        let number = |map: &MapDef| {
            number(btf, member)
                .ok_or_else(|| ObjectError::map(&*map.name, format!("{field}: expected a number")))
        };
        match field {
            "type" => map.map_type = MapNumber(number(map)?),
            "max_entries" => map.max_entries = number(map)?,
            "map_flags" => map.flags = number(map)?,
            "numa_node" => map.numa_node = number(map)?,
            "key_size" | "value_size" => {
                let size = number(map)?;
                set_size(map, field == "key_size", size)?;
            }
            "key" | "value" => {
                let Some(&Kind::Ptr(to)) = btf.kind(member.ty) else {
                    return Err(ObjectError::map(
                        &*map.name,
                        format!("{field}: expected a pointer to a type"),
                    ));
                };
                let size = btf.size_of(to).and_then(|size| u32::try_from(size).ok());
                let size = size
                    .ok_or_else(|| ObjectError::map(&*map.name, format!("{field}: its type has no size")))?;
                set_size(map, field == "key", size)?;
                if field == "key" {
                    map.key_type = to;
                } else {
                    map.value_type = to;
                }
            }
            "values" => {
                if inner {
                    return Err(ObjectError::map(&*map.name, "maps in maps cannot hold maps"));
                }
                if n != last {
                    return Err(ObjectError::map(&*map.name, "values: expected it as the last member"));
                }
                values(btf, member, map)?;
            }
            "pinning" if inner => return Err(ObjectError::map(&*map.name, "maps in maps cannot be pinned")),
            "pinning" => map.pinning = Pinning::from_number(number(map)?),
            "map_extra" => {
                let extra = long(btf, member);
                map.extra =
                    extra.ok_or_else(|| ObjectError::map(&*map.name, "map_extra: expected a number"))?;
            }
            // Loaders other than libbpf have fields of their own.
            _ => {}
        }
    }
    if map.map_type == MapNumber::default() {
        return Err(ObjectError::map(&*map.name, "it has no type"));
    }
    Ok(())
}

fn set_size(map: &mut MapDef, key: bool, size: u32) -> Result<(), ObjectError> {
    let (known, word) = if key { (&mut map.key_size, "key") } else { (&mut map.value_size, "value") };
    if *known != 0 && *known != size {
        let what = format!("its {word} has {known} bytes and {size} bytes");
        return Err(ObjectError::map(&*map.name, what));
    }
    *known = size;
    Ok(())
}

/// `__array(values, …)`: what a map of maps holds, or that an array of programs has some from the beginning.
fn values(btf: &Btf, member: &Member, map: &mut MapDef) -> Result<(), ObjectError> {
    let programs = map.map_type == MapType::ProgArray;
    if !programs && !is_outer(map.map_type) {
        return Err(ObjectError::map(&*map.name, "values: expected a map of maps or an array of programs"));
    }
    set_size(map, false, 4)?;
    map.place.values = Some(u64::from(member.bit_offset / 8));
    let element = match btf.kind(member.ty) {
        Some(Kind::Array(array)) if array.count == 0 => btf.strip(array.element),
        _ => None,
    };
    let Some((_, &Kind::Ptr(to))) = element else {
        return Err(ObjectError::map(&*map.name, "values: expected an array of pointers without a length"));
    };
    match btf.strip(to) {
        Some((_, Kind::FuncProto { .. })) if programs => Ok(()),
        Some((_, Kind::Struct(definition))) if !programs => {
            let name = format!("{}.inner", map.name);
            let mut inner = MapDef::new(&name, SECTION, map.place, MapKind::Declared);
            read(btf, definition, &mut inner, true)?;
            map.inner = Some(Box::new(inner));
            Ok(())
        }
        _ => Err(ObjectError::map(&*map.name, "values: expected pointers to map definitions or programs")),
    }
}

/// `int (*field)[n]` is n.
fn number(btf: &Btf, member: &Member) -> Option<u32> {
    match btf.strip(member.ty)? {
        (_, &Kind::Ptr(to)) => match btf.kind(to)? {
            Kind::Array(array) => Some(array.count),
            _ => None,
        },
        _ => None,
    }
}

/// The same, or the only value of an enumeration.
fn long(btf: &Btf, member: &Member) -> Option<u64> {
    let (_, kind) = btf.strip(member.ty)?;
    match kind.enumeration() {
        Some(values) => match *values.values {
            [ref value] => Some(value.value),
            _ => None,
        },
        None => number(btf, member).map(u64::from),
    }
}

/// Entries that maps have from the beginning: relocations within the definitions.
pub(crate) fn fill_slots(
    file: &File<'_>,
    functions: &Functions,
    maps: &mut [MapDef],
) -> Result<(), ObjectError> {
    let Some((section, _)) = file.section(SECTION) else { return Ok(()) };
    // They come first, in the order of their places.
    let declared = maps.iter().take_while(|map| map.place.section == section).count();
    let maps = &mut maps[..declared];
    let names: HashSet<String> = maps.iter().map(|map| map.name.clone()).collect();
    for relocation in file.relocations(section)? {
        let symbol = &file.symbols[relocation.symbol];
        let wrong =
            |what: String| ObjectError::section(SECTION, format!("at byte {}: {what}", relocation.offset));
        // The last definition that begins before the place.
        let map = maps.partition_point(|map| map.place.offset <= relocation.offset).checked_sub(1);
        let map = &mut maps[map.ok_or_else(|| wrong("no map is there".into()))?];
        let values = map.place.values.ok_or_else(|| wrong(format!("map {} holds no values", map.name)))?;
        let within = relocation.offset.checked_sub(map.place.offset + values);
        let slot =
            within.filter(|at| at.is_multiple_of(POINTER)).and_then(|at| u32::try_from(at / POINTER).ok());
        let index = slot.ok_or_else(|| wrong(format!("no value of map {} is there", map.name)))?;
        let target = if map.is_outer() {
            let known = symbol.section == section && names.contains(symbol.name);
            known.then(|| symbol.name.to_owned())
        } else {
            functions.entry_at(symbol.section, symbol.value).map(|function| function.name.clone())
        };
        let target =
            target.ok_or_else(|| wrong(format!("expected a map or program, found {:?}", symbol.name)))?;
        match map.slots.last_mut().filter(|last| last.index == index) {
            Some(last) => last.target = target,
            None => map.slots.push(InitialSlot { index, target }),
        }
    }
    Ok(())
}
