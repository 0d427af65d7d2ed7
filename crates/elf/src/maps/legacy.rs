//! Maps of loaders before libbpf 1.0: structures of 32-bit words in a section `maps`.
//!
//! Every loader begins with type, key size, value size and entries; flags follow, and then they differ: the kernel's
//! samples have the index of the inner map and a memory node, iproute2 and Cilium an identifier, a pinning, and the
//! identifier or index of the inner map. gobpf has a section for each map, `maps/name`.

use super::{MapDef, MapKind, Pinning, Place};
use crate::file::File;
use crate::{MapNumber, ObjectError};

/// Creation flag that makes the kernel look at the memory node.
const F_NUMA_NODE: u32 = 4;
/// More words than any loader's structure has before its texts.
const MAX_WORDS: usize = 16;

/// A section of such definitions.
pub(crate) fn is_section(name: &str) -> bool {
    name == "maps" || name.starts_with("maps/")
}

/// All maps of these sections, in the order of sections and places.
pub(crate) fn collect(file: &File<'_>) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    let mut tails: Vec<Vec<u32>> = Vec::new();
    for (index, section) in file.sections.iter().enumerate().filter(|(_, section)| is_section(section.name)) {
        let named = |symbol: &&crate::file::Symbol<'_>| {
            symbol.section == index && !symbol.is_section() && !symbol.name.is_empty()
        };
        let mut symbols: Vec<_> = file.symbols.iter().filter(named).collect();
        symbols.sort_by_key(|symbol| symbol.value);
        symbols.dedup_by_key(|symbol| symbol.value);
        if symbols.is_empty() {
            continue;
        }
        // All definitions of a section have the same size.
        let size = section.data.len() / symbols.len();
        for symbol in symbols {
            let fail = |what: String| ObjectError::map(symbol.name, what);
            let start = usize::try_from(symbol.value).ok().filter(|start| *start < section.data.len());
            let start = start.ok_or_else(|| fail("it lies outside its section".into()))?;
            let end = start.saturating_add(size).min(section.data.len());
            let words = section.data[start..end].chunks_exact(4).take(MAX_WORDS);
            let words: Vec<u32> =
                words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
            let [map_type, key_size, value_size, max_entries, ref rest @ ..] = words[..] else {
                return Err(fail(format!("expected 16 bytes or more, found {}", end - start)));
            };
            let place = Place::new(index, symbol.value);
            let mut map = MapDef::new(symbol.name, section.name, place, MapKind::Declared);
            map.map_type = MapNumber(map_type);
            map.key_size = key_size;
            map.value_size = value_size;
            map.max_entries = max_entries;
            map.flags = rest.first().copied().unwrap_or(0);
            tails.push(rest.get(1..).unwrap_or_default().to_vec());
            maps.push(map);
        }
    }
    let outlines = maps.clone();
    for (n, map) in maps.iter_mut().enumerate() {
        tail(map, &tails[n], &outlines, &tails);
    }
    Ok(maps)
}

/// What follows the flags, by how much follows.
fn tail(map: &mut MapDef, words: &[u32], all: &[MapDef], tails: &[Vec<u32>]) {
    let inner = match *words {
        // An identifier, a pinning, the inner map's identifier, its index in the section.
        [_, pinning, inner_id, inner_index, ..] => {
            map.pinning = Pinning::from_number(pinning);
            let by_id = tails.iter().position(|tail| inner_id != 0 && tail.first() == Some(&inner_id));
            by_id.unwrap_or(inner_index as usize)
        }
        // The inner map's index and a memory node, or an identifier and a pinning.
        [inner_index, other] => {
            if map.is_outer() || map.flags & F_NUMA_NODE != 0 {
                map.numa_node = other;
            } else {
                map.pinning = Pinning::from_number(other);
            }
            inner_index as usize
        }
        [inner_index, ..] => inner_index as usize,
        [] => return,
    };
    if map.is_outer() {
        // Definitions say nothing or zero; what the kernel stores is a descriptor.
        map.value_size = 4;
        map.inner = all.get(inner).filter(|inner| !inner.is_outer()).cloned().map(Box::new);
    }
}
