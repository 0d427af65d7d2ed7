//! Pages of arenas: made, given back, kept free (`kernel/bpf/arena.c`).
//!
//! Programs name pages by the user's addresses of them.

use super::kfuncs;
use crate::helpers::errno::{EBUSY, EINVAL, fail};
use sandbpf_maps::{Errno, MapType};

/// `NUMA_NO_NODE`: whichever it is.
const ANY_NODE: i32 = -1;

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_arena_alloc_pages(machine, map, address, count, node, flags) {
        let (_, map) = machine.map(map)?;
        // There is one node.
        if map.map_type() != MapType::Arena || flags != 0 || !matches!(node as i32, ANY_NODE | 0) {
            return Ok(0);
        }
        // Every page is made and cleared.
        machine.spend(u64::from(count as u32).min(map.spec().max_entries.into()))?;
        Ok(map.arena_allocate_at(address, count as u32).unwrap_or(0))
    }

    fn bpf_arena_free_pages(machine, map, address, count) {
        let (_, map) = machine.map(map)?;
        if map.map_type() == MapType::Arena && address != 0 {
            map.arena_free_at(address, count as u32);
        }
        Ok(0)
    }

    fn bpf_arena_reserve_pages(machine, map, address, count) {
        let (_, map) = machine.map(map)?;
        if map.map_type() != MapType::Arena {
            return fail(EINVAL);
        }
        match map.arena_reserve_at(address, count as u32) {
            Ok(()) => Ok(0),
            Err(Errno::EBUSY) => fail(EBUSY),
            Err(_) => fail(EINVAL),
        }
    }
}
