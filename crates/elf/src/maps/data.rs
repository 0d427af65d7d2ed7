//! Global variables: each section of data is a map with one value, the section's bytes.

use super::{MapDef, MapKind, Place};
use crate::btf::{Btf, Kind, TypeId};
use crate::externs::KCONFIG;
use crate::file::{File, Section};
use crate::{MapType, ObjectError};

/// `BPF_F_RDONLY_PROG`: programs read only.
const F_RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`: user space may map it.
const F_MMAPABLE: u32 = 1 << 10;
/// Longest name that the kernel takes.
const MAX_NAME: usize = 15;

fn is(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Which data a section has.
pub(crate) fn kind(section: &Section<'_>) -> Option<MapKind> {
    let progbits = section.kind == object::elf::SHT_PROGBITS;
    if section.size == 0 || section.executable() {
        None
    } else if progbits && is(section.name, ".data") {
        Some(MapKind::Data)
    } else if progbits && is(section.name, ".rodata") {
        Some(MapKind::Rodata)
    } else if section.kind == object::elf::SHT_NOBITS && is(section.name, ".bss") {
        Some(MapKind::Bss)
    } else {
        None
    }
}

/// The maps of all sections of data, in the order of sections, then `.kconfig`.
pub(crate) fn collect(
    file: &File<'_>,
    btf: Option<&Btf>,
    object: &str,
    kconfig: Option<&[u8]>,
) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    for (index, section) in file.sections.iter().enumerate() {
        let Some(kind) = kind(section) else { continue };
        let bytes = (kind != MapKind::Bss).then_some(section.data);
        maps.push(define(btf, object, section.name, index, section.size, kind, bytes)?);
    }
    if let Some(bytes) = kconfig {
        // No section holds it, and no symbol points into it.
        maps.push(define(btf, object, KCONFIG, 0, bytes.len() as u64, MapKind::Kconfig, Some(bytes))?);
    }
    Ok(maps)
}

fn define(
    btf: Option<&Btf>,
    object: &str,
    section: &str,
    index: usize,
    size: u64,
    kind: MapKind,
    bytes: Option<&[u8]>,
) -> Result<MapDef, ObjectError> {
    let size = u32::try_from(size).map_err(|_| ObjectError::section(section, "it has more than 4 GiB"))?;
    let kernel_name = kernel_name(object, section);
    // Sections of one's own are known by their name, the common ones by the object's.
    let own = matches!(kind, MapKind::Data | MapKind::Rodata) && section != ".data" && section != ".rodata";
    let name = if own { section } else { &kernel_name };
    let mut map = MapDef::new(name, section, Place::new(index, 0), kind);
    map.map_type = MapType::Array.into();
    map.key_size = 4;
    map.value_size = size;
    map.max_entries = 1;
    map.flags = if map.kind.is_frozen() { F_RDONLY_PROG } else { 0 };
    map.initial = bytes.map(<[u8]>::to_vec);
    if let Some(btf) = btf {
        map.value_type = btf.find(section, |_| true).unwrap_or(0);
        if has_global(btf, map.value_type) {
            map.flags |= F_MMAPABLE;
        }
    }
    map.kernel_name = kernel_name;
    Ok(map)
}

/// A variable of the section is known outside of its object.
fn has_global(btf: &Btf, section: TypeId) -> bool {
    let Some(Kind::DataSec { vars, .. }) = btf.kind(section) else { return false };
    vars.iter().any(|var| matches!(btf.kind(var.var), Some(Kind::Var { linkage, .. }) if *linkage != 0))
}

/// The object's name, as far as it fits before the section's.
fn kernel_name(object: &str, section: &str) -> String {
    let suffix = section.len().clamp(7, MAX_NAME);
    let prefix = if section.chars().skip(1).any(|c| c == '.') { 0 } else { MAX_NAME - suffix };
    let clean = |byte: u8| {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' { byte as char } else { '_' }
    };
    object.bytes().take(prefix).chain(section.bytes().take(suffix)).map(clean).collect()
}
