//! Helpers that walk maps, collect stacks in them, and start timers in their values.

use super::errno::{EFAULT, EINVAL, fail};
use super::{Context, Scalar};
use crate::later::Kind;
use crate::{Space, address};

crate::helpers! {
    pub(super) static HELPERS;

    /// Finds or keeps the stack in a map: gives its number there.
    27 fn get_stackid(machine, _ctx: Context, map: Scalar, flags: Scalar) {
        const SKIP: u64 = 0xff;
        const USER: u64 = 1 << 8;
        const KNOWN: u64 = SKIP | USER | 1 << 9 | 1 << 10;
        let (_, map) = machine.map(map.0)?;
        if flags.0 & !KNOWN != 0 {
            return fail(EINVAL);
        }
        let space = if flags.0 & USER != 0 { Space::User } else { Space::Kernel };
        let addresses = machine.host().stack(space);
        let kept = addresses.iter().skip((flags.0 & SKIP) as usize);
        let entries: Vec<u8> = kept.flat_map(|address| address.to_le_bytes()).collect();
        if entries.is_empty() {
            return fail(EFAULT);
        }
        match map.stack_insert(&entries, flags.0) {
            Ok(id) => Ok(id.into()),
            Err(errno) => Ok(errno.to_r0()),
        }
    }

    /// Calls a function with every element of a map until it returns 1; gives how many it saw.
    164 fn for_each_map_elem(machine, map_pointer: Scalar, function: Scalar, context: Scalar, flags: Scalar) {
        let (number, map) = machine.map(map_pointer.0)?;
        if flags.0 != 0 || !map.can_be_walked() {
            return fail(EINVAL);
        }
        let mut count = 0;
        for (key, place) in map.elements(machine.cpu()) {
            count += 1;
            let Some(key) = machine.memory.add_object(&key) else { return fail(EFAULT) };
            let value = address::map_value(number, place);
            let result = machine.call_back(function.0, [map_pointer.0, key, value, context.0, 0]);
            machine.memory.drop_object(key);
            if result? != 0 {
                break;
            }
        }
        Ok(count)
    }

    /// Makes a timer in a map's value.
    169 fn timer_init(machine, timer: Scalar, _map: Scalar, flags: Scalar) {
        // CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME.
        if !matches!(flags.0, 0 | 1 | 7) {
            return fail(EINVAL);
        }
        machine.later_init(timer.0)
    }

    /// Says what the timer calls.
    170 fn timer_set_callback(machine, timer: Scalar, function: Scalar) {
        machine.later_set_callback(timer.0, function.0)
    }

    /// Starts the timer. The embedder decides whether time passes.
    171 fn timer_start(machine, timer: Scalar, nanos: Scalar, flags: Scalar) {
        const ABSOLUTE: u64 = 1;
        // There is one processor to be on.
        const PINNED: u64 = 2;
        if flags.0 & !(ABSOLUTE | PINNED) != 0 {
            return fail(EINVAL);
        }
        let start = if flags.0 & ABSOLUTE != 0 { 0 } else { machine.now_ns() };
        machine.later_start(timer.0, Kind::Timer, start.saturating_add(nanos.0))
    }

    /// Stops the timer: 1 if it ran.
    172 fn timer_cancel(machine, timer: Scalar) {
        machine.later_cancel(timer.0)
    }
}
