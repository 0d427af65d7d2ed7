//! Helpers on bytes that belong to something: a socket, a task, an inode, a control group, an attachment.

use super::Scalar;
use super::errno::{EINVAL, fail};
use super::map::answer;
use crate::{HelperResult, Machine, address};

/// Create it if it is not there.
const CREATE: u64 = 1;

macro_rules! pairs {
    ($($(#[doc = $doc:literal])* $get:literal $get_name:ident, $delete:literal $delete_name:ident;)*) => {
        crate::helpers! {
            pub(super) static HELPERS;

            /// The bytes of the control group that the program is attached to.
            81 fn get_local_storage(machine, map: Scalar, flags: Scalar) {
                let (number, map) = machine.map(map.0)?;
                if flags.0 != 0 {
                    return fail(EINVAL);
                }
                let owner = vec![0; map.spec().key_size as usize];
                let place = map.storage_get(&owner, None, CREATE, machine.cpu());
                Ok(place.map_or(0, |place| address::map_value(number, place)))
            }

            $(
                $(#[doc = $doc])*
                $get fn $get_name(machine, map: Scalar, owner: Scalar, value: Scalar, flags: Scalar) {
                    get(machine, map.0, owner.0, value.0, flags.0)
                }

                /// Removes them.
                $delete fn $delete_name(machine, map: Scalar, owner: Scalar) {
                    let (_, map) = machine.map(map.0)?;
                    match owner.0 {
                        0 => fail(EINVAL),
                        owner => answer(map.storage_delete(&owner.to_le_bytes())),
                    }
                }
            )*

            /// Exchanges a pointer in a map's value.
            194 fn kptr_xchg(machine, place: Scalar, pointer: Scalar) {
                use sandbpf_isa::{AtomicOp, Size};
                Ok(machine.memory.atomic(AtomicOp::Xchg, Size::DW, place.0, pointer.0, 0)?)
            }
        }
    };
}

pairs! {
    /// The bytes that belong to a socket, or null.
    107 sk_storage_get, 108 sk_storage_delete;
    /// The bytes that belong to an inode, or null.
    145 inode_storage_get, 146 inode_storage_delete;
    /// The bytes that belong to a task, or null.
    156 task_storage_get, 157 task_storage_delete;
    /// The bytes that belong to a control group, or null.
    210 cgrp_storage_get, 211 cgrp_storage_delete;
}

fn get(machine: &mut Machine<'_>, map: u64, owner: u64, value: u64, flags: u64) -> HelperResult {
    let (number, map) = machine.map(map)?;
    if owner == 0 || flags & !CREATE != 0 {
        return Ok(0);
    }
    let value = match value {
        0 => None,
        value => Some(machine.bytes(value, map.spec().value_size.into())?),
    };
    let place = map.storage_get(&owner.to_le_bytes(), value.as_deref(), flags, machine.cpu());
    Ok(place.map_or(0, |place| address::map_value(number, place)))
}
