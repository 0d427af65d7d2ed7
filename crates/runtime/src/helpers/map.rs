//! Helpers on maps.
//!
//! What a helper answers with an error number here is what the map says; the rules are the maps' own (`sandbpf-maps`).

use std::borrow::Cow;
use std::sync::Arc;

use sandbpf_maps::{Errno, Map, MapType};

use super::Context;
use super::errno::{EINVAL, ENOENT, fail};
use super::{Scalar, errno};
use crate::net::Redirect;
use crate::{Fault, HelperResult, Machine, address};

/// How many tail calls a run makes (`MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;

impl<'run> Machine<'run> {
    /// The map that a pointer to one points to, and its number.
    pub(crate) fn map(&self, pointer: u64) -> Result<(u32, &'run Arc<Map>), Fault> {
        let found = || {
            let number = address::as_map(pointer)?;
            Some((number, self.world()?.map(number)?))
        };
        found().ok_or(Fault { address: pointer, size: 1, write: false })
    }

    /// The bytes of a key.
    fn key(&self, map: &Map, key: u64) -> Result<Cow<'_, [u8]>, Fault> {
        self.look(key, map.spec().key_size.into())
    }

    /// The bytes of a value.
    fn value(&self, map: &Map, value: u64) -> Result<Cow<'_, [u8]>, Fault> {
        self.look(value, map.spec().value_size.into())
    }
}

/// What a map says, as a helper's answer.
#[allow(clippy::unnecessary_wraps, reason = "what a helper's body ends with")]
pub(super) fn answer(result: Result<(), Errno>) -> HelperResult {
    match result {
        Ok(()) => Ok(0),
        Err(errno) => Ok(errno.to_r0()),
    }
}

crate::helpers! {
    pub(super) static HELPERS;

    /// Finds a key: a pointer to its value, or null.
    1 fn map_lookup_elem(machine, map: Scalar, key: Scalar) {
        let (number, map) = machine.map(map.0)?;
        let cpu = machine.cpu();
        let key = machine.key(map, key.0)?;
        Ok(lookup(machine, number, map, &key, cpu))
    }

    /// Sets the value of a key.
    2 fn map_update_elem(machine, map: Scalar, key: Scalar, value: Scalar, flags: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let cpu = machine.cpu();
        let (key, value) = (machine.key(map, key.0)?, machine.value(map, value.0)?);
        answer(map.update(&key, &value, flags.0, cpu))
    }

    /// Removes a key.
    3 fn map_delete_elem(machine, map: Scalar, key: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let key = machine.key(map, key.0)?;
        answer(map.delete(&key))
    }

    /// Runs another program in the place of this function; goes on here if there is none.
    12 fn tail_call(machine, context: Context, map: Scalar, index: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let program = map.program(index.0 as u32).and_then(|id| machine.world()?.program(id));
        match program {
            Some(program) if machine.tail_calls < MAX_TAIL_CALLS => {
                machine.tail_calls += 1;
                machine.replace(program, context.0)
            }
            _ => fail(ENOENT),
        }
    }

    /// Sends an XDP frame to what a map holds.
    51 fn redirect_map(machine, map: Scalar, key: Scalar, flags: Scalar) {
        let (number, map) = machine.map(map.0)?;
        Ok(redirect(machine, number, map, key.0, flags.0))
    }

    /// Whether a packet's socket is in a control group of an array, or below it.
    33 fn skb_under_cgroup(machine, _ctx: Context, map: Scalar, index: Scalar) {
        let (_, map) = machine.map(map.0)?;
        under_cgroup(machine, map, index.0 as u32)
    }

    /// Whether the running task is in a control group of an array, or below it.
    37 fn current_task_under_cgroup(machine, map: Scalar, index: Scalar) {
        let (_, map) = machine.map(map.0)?;
        under_cgroup(machine, map, index.0 as u32)
    }

    /// Puts a value into a queue, onto a stack, into a filter.
    87 fn map_push_elem(machine, map: Scalar, value: Scalar, flags: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let value = machine.value(map, value.0)?;
        answer(map.push(&value, flags.0))
    }

    /// Takes a value from a queue or a stack.
    88 fn map_pop_elem(machine, map: Scalar, value: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let mut bytes = machine.value(map, value.0)?.into_owned();
        let result = map.pop(&mut bytes);
        machine.memory.copy_in(value.0, &bytes)?;
        answer(result)
    }

    /// Looks at the next value of a queue or a stack, or whether a filter may hold a value.
    89 fn map_peek_elem(machine, map: Scalar, value: Scalar) {
        let (_, map) = machine.map(map.0)?;
        let mut bytes = machine.value(map, value.0)?.into_owned();
        let result = map.peek(&mut bytes);
        machine.memory.copy_in(value.0, &bytes)?;
        answer(result)
    }

    /// Finds a key: a pointer to its value on a processor, or null.
    195 fn map_lookup_percpu_elem(machine, map: Scalar, key: Scalar, cpu: Scalar) {
        let (number, map) = machine.map(map.0)?;
        let key = machine.key(map, key.0)?;
        let place = map.lookup_percpu(&key, cpu.0 as u32);
        Ok(place.map_or(0, |place| address::map_value(number, place)))
    }
}

/// A pointer to what a key stands for, or null.
fn lookup(machine: &Machine<'_>, number: u32, map: &Map, key: &[u8], cpu: u32) -> u64 {
    use MapType::{ArrayOfMaps, HashOfMaps};
    if let ArrayOfMaps | HashOfMaps = map.map_type() {
        let inner = map.inner(key).and_then(|inner| machine.world()?.add_map(inner).ok());
        return inner.map_or(0, address::map);
    }
    map.lookup(key, cpu).map_or(0, |place| address::map_value(number, place))
}

fn redirect(machine: &mut Machine<'_>, number: u32, map: &Map, key: u64, flags: u64) -> u64 {
    const XDP_ABORTED: u64 = 0;
    const XDP_REDIRECT: u64 = 4;
    /// The answer where the map has nothing.
    const ACTION: u64 = 3;
    const BROADCAST: u64 = 1 << 3;
    const EXCLUDE_INGRESS: u64 = 1 << 4;
    use MapType::{Cpumap, Devmap, DevmapHash, Xskmap};
    let known = match map.map_type() {
        Devmap | DevmapHash => ACTION | BROADCAST | EXCLUDE_INGRESS,
        Cpumap | Xskmap => ACTION,
        _ => return XDP_ABORTED,
    };
    if flags & !known != 0 {
        return XDP_ABORTED;
    }
    if map.object(&(key as u32).to_ne_bytes()).is_none() && flags & BROADCAST == 0 {
        return flags & ACTION;
    }
    machine.redirect(Redirect::Map { map: number, key, flags });
    XDP_REDIRECT
}

fn under_cgroup(machine: &Machine<'_>, map: &Map, index: u32) -> HelperResult {
    use sandbpf_maps::Object;
    if index >= map.spec().max_entries {
        return fail(errno::E2BIG);
    }
    match map.object(&index.to_ne_bytes()) {
        Some(Object::Cgroup(id)) => Ok(machine.host().task().cgroups.contains(&id).into()),
        Some(_) => fail(EINVAL),
        None => fail(errno::EAGAIN),
    }
}
