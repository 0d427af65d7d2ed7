//! Helpers on maps of sockets, and on messages that are about to be sent.

use sandbpf_maps::{Map, Object};

use super::errno::{EINVAL, ENOENT, ENOTSUPP, fail};
use super::map::answer;
use super::{Context, Scalar};
use crate::net::Redirect;
use crate::{HelperResult, Machine};

const SK_DROP: u64 = 0;
const SK_PASS: u64 = 1;
const INGRESS: u64 = 1;

crate::helpers! {
    pub(super) static HELPERS;

    /// Sends a packet to a socket of a map, by index.
    52 fn sk_redirect_map(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        by_index(machine, map.0, key.0, flags.0)
    }

    /// Puts a socket into a map.
    53 fn sock_map_update(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        update(machine, map.0, key.0, flags.0)
    }

    /// Sends a message to a socket of a map, by index.
    60 fn msg_redirect_map(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        by_index(machine, map.0, key.0, flags.0)
    }

    /// The verdict is for so many bytes of the message.
    61 fn msg_apply_bytes(_machine, _ctx: Context, _bytes: Scalar) {
        Ok(0)
    }

    /// Call again when the message has so many bytes.
    62 fn msg_cork_bytes(_machine, _ctx: Context, _bytes: Scalar) {
        Ok(0)
    }

    /// Makes bytes of the message directly accessible.
    63 fn msg_pull_data(_machine, _ctx: Context, start: Scalar, end: Scalar, flags: Scalar) {
        if flags.0 != 0 || end.0 as u32 <= start.0 as u32 {
            return fail(EINVAL);
        }
        Ok(0)
    }

    /// Puts a socket into a map, by key.
    70 fn sock_hash_update(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        update(machine, map.0, key.0, flags.0)
    }

    /// Sends a message to a socket of a map, by key.
    71 fn msg_redirect_hash(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        by_key(machine, map.0, key.0, flags.0)
    }

    /// Sends a packet to a socket of a map, by key.
    72 fn sk_redirect_hash(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        by_key(machine, map.0, key.0, flags.0)
    }

    /// Gives a packet to a socket of a map that shares a port.
    82 fn sk_select_reuseport(machine, _ctx: Context, map: Scalar, key: Scalar, flags: Scalar) {
        let (number, map) = machine.map(map.0)?;
        if flags.0 != 0 {
            return fail(EINVAL);
        }
        let bytes = machine.bytes(key.0, map.spec().key_size.into())?;
        match map.object(&bytes) {
            Some(Object::Socket(_)) => {
                let key = bytes.iter().rev().fold(0, |key, &byte| key << 8 | u64::from(byte));
                machine.redirect(Redirect::Map { map: number, key, flags: 0 });
                Ok(0)
            }
            _ => fail(ENOENT),
        }
    }

    /// Puts room into a message; messages that nobody describes have no bytes.
    90 fn msg_push_data(_machine, _ctx: Context, _start: Scalar, _len: Scalar, flags: Scalar) {
        fail(if flags.0 != 0 { EINVAL } else { ENOTSUPP })
    }

    /// Takes bytes out of a message; messages that nobody describes have no bytes.
    91 fn msg_pop_data(_machine, _ctx: Context, _start: Scalar, _len: Scalar, _flags: Scalar) {
        fail(EINVAL)
    }
}

fn by_index(machine: &mut Machine<'_>, map: u64, key: u64, flags: u64) -> HelperResult {
    let (number, map) = machine.map(map)?;
    Ok(send(machine, number, map, &(key as u32).to_ne_bytes(), flags))
}

fn by_key(machine: &mut Machine<'_>, map: u64, key: u64, flags: u64) -> HelperResult {
    let (number, map) = machine.map(map)?;
    let key = machine.bytes(key, map.spec().key_size.into())?;
    Ok(send(machine, number, map, &key, flags))
}

fn send(machine: &mut Machine<'_>, number: u32, map: &Map, key: &[u8], flags: u64) -> u64 {
    if flags & !INGRESS != 0 || !matches!(map.object(key), Some(Object::Socket(_))) {
        return SK_DROP;
    }
    let key = key.iter().take(8).rev().fold(0, |key, &byte| key << 8 | u64::from(byte));
    machine.redirect(Redirect::Map { map: number, key, flags });
    SK_PASS
}

/// The socket of a run is the one with cookie 1.
fn update(machine: &mut Machine<'_>, map: u64, key: u64, flags: u64) -> HelperResult {
    let (_, map) = machine.map(map)?;
    let key = machine.bytes(key, map.spec().key_size.into())?;
    answer(map.set_object(&key, Object::Socket(1), flags))
}
