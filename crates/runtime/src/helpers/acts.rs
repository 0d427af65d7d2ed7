//! Helpers that act on the world: the act is told to the host, and nothing happens here.

use super::errno::{EINVAL, EOPNOTSUPP, fail};
use super::{Bytes, Context, Scalar};
use crate::{Act, Machine};

crate::helpers! {
    pub(super) static HELPERS;

    /// Makes the traced function return this instead of running.
    58 fn override_return(machine, _ctx: Context, value: Scalar) {
        act(machine, Act::OverrideReturn(value.0))
    }

    /// Binds a socket to an address.
    64 fn bind(machine, _ctx: Context, address: Bytes) {
        let address = machine.bytes(address.address, address.len)?;
        if address.len() < 16 {
            return fail(EINVAL);
        }
        act(machine, Act::Bind(address))
    }

    /// Repeats the key that an infrared receiver saw.
    77 fn rc_repeat(machine, _ctx: Context) {
        act(machine, Act::RcRepeat)
    }

    /// Reports a key of an infrared remote control.
    78 fn rc_keydown(machine, _ctx: Context, protocol: Scalar, scancode: Scalar, toggle: Scalar) {
        let (protocol, toggle) = (protocol.0 as u32, toggle.0 != 0);
        act(machine, Act::RcKey { protocol, scancode: scancode.0, toggle })
    }

    /// Reports a movement of an infrared remote control.
    92 fn rc_pointer_rel(machine, _ctx: Context, x: Scalar, y: Scalar) {
        act(machine, Act::RcPointer { x: x.0 as i32, y: y.0 as i32 })
    }

    /// Sends a signal to the running process.
    109 fn send_signal(machine, signal: Scalar) {
        signal_(machine, signal.0, false)
    }

    /// Sends an acknowledgement on a TCP connection.
    116 fn tcp_send_ack(machine, _socket: Scalar, sequence: Scalar) {
        act(machine, Act::TcpAck { sequence: sequence.0 as u32 })
    }

    /// Sends a signal to the running thread.
    117 fn send_signal_thread(machine, signal: Scalar) {
        signal_(machine, signal.0, true)
    }

    /// Prints into the file of an iterator.
    126 fn seq_printf(machine, _seq: Scalar, text: Bytes, args: Bytes) {
        let text = machine.bytes(text.address, text.len)?;
        let args = machine.bytes(args.address, args.len)?;
        if !args.len().is_multiple_of(8) {
            return fail(EINVAL);
        }
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        let args: Vec<u64> = args.chunks(8).map(word).collect();
        match super::format::format(machine, &text, &args) {
            Ok(bytes) => act(machine, Act::Output(bytes)),
            Err(errno) => fail(errno),
        }
    }

    /// Writes into the file of an iterator.
    127 fn seq_write(machine, _seq: Scalar, data: Bytes) {
        let bytes = machine.bytes(data.address, data.len)?;
        act(machine, Act::Output(bytes))
    }

    /// Sets options of a program that is about to run.
    159 fn bprm_opts_set(machine, _bprm: Scalar, flags: Scalar) {
        if flags.0 & !1 != 0 {
            return fail(EINVAL);
        }
        act(machine, Act::SecureExec(flags.0 & 1 != 0))
    }

    /// What the system call returns, as programs before this one left it.
    186 fn get_retval(machine) {
        Ok(machine.retval as u64)
    }

    /// What the system call returns.
    187 fn set_retval(machine, value: Scalar) {
        machine.retval = (value.0 as i32).into();
        Ok(0)
    }

    /// A hash that integrity measurement took of a file; there is none.
    161 fn ima_inode_hash(_machine, _inode: Scalar, _to: super::Out) {
        fail(EOPNOTSUPP)
    }

    /// The same, taking one if need be.
    193 fn ima_file_hash(_machine, _file: Scalar, _to: super::Out) {
        fail(EOPNOTSUPP)
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what a helper's body ends with")]
fn act(machine: &Machine<'_>, act: Act) -> crate::HelperResult {
    machine.host().act(act);
    Ok(0)
}

fn signal_(machine: &Machine<'_>, signal: u64, thread: bool) -> crate::HelperResult {
    const LAST: u32 = 64;
    let signal = signal as u32;
    // Process 1 gets none, as it has no handler that could be meant.
    match signal {
        0..=LAST if machine.host().task().tgid != 1 => act(machine, Act::Signal { signal, thread }),
        0..=LAST => fail(super::errno::EPERM),
        _ => fail(EINVAL),
    }
}
