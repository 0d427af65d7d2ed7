//! Helpers that call back, that lock, and that tell a traced function's arguments.

use std::time::Duration;

use super::errno::{E2BIG, EINVAL, fail};
use super::{Context, Scalar};
use crate::locks::Taken;
use crate::machine::Stop;

/// How often `bpf_loop` calls at most (`BPF_MAX_LOOPS`).
const MAX_LOOPS: u32 = 8 << 20;

/// How long a run waits for a lock: whoever has it is a program, which is done sooner.
const PATIENCE: Duration = Duration::from_secs(1);

crate::helpers! {
    pub(super) static HELPERS;

    /// Calls a function with 0, 1, 2 … until it returns 1 or it was called so often; gives how often it was.
    181 fn loop_(machine, times: Scalar, function: Scalar, context: Scalar, flags: Scalar) {
        let times = times.0 as u32;
        if flags.0 != 0 {
            return fail(EINVAL);
        }
        if times > MAX_LOOPS {
            return fail(E2BIG);
        }
        for count in 0..times {
            if machine.call_back(function.0, [count.into(), context.0, 0, 0, 0])? != 0 {
                return Ok(u64::from(count) + 1);
            }
        }
        Ok(times.into())
    }

    /// Takes a lock in a map's value, and waits for it.
    93 fn spin_lock(machine, lock: Scalar) {
        match machine.take_lock(lock.0, PATIENCE)? {
            Taken::Yes => Ok(0),
            Taken::Already | Taken::Never => Err(Stop::Deadlock(lock.0)),
        }
    }

    /// Gives it back.
    94 fn spin_unlock(machine, lock: Scalar) {
        machine.give_lock(lock.0)?;
        Ok(0)
    }

    /// An argument of the traced function.
    183 fn get_func_arg(machine, ctx: Context, number: Scalar, value: Scalar) {
        if number.0 as u32 >= machine.host().function_args().into() {
            return fail(EINVAL);
        }
        let argument = machine.memory.read::<8>(ctx.0.wrapping_add(8 * u64::from(number.0 as u32)))?;
        machine.memory.write::<8>(value.0, argument)?;
        Ok(0)
    }

    /// The result of the traced function.
    184 fn get_func_ret(machine, ctx: Context, value: Scalar) {
        let result = machine.memory.read::<8>(ctx.0.wrapping_add(8 * u64::from(machine.host().function_args())))?;
        machine.memory.write::<8>(value.0, result)?;
        Ok(0)
    }

    /// How many arguments the traced function has.
    185 fn get_func_arg_cnt(machine, _ctx: Context) {
        Ok(machine.host().function_args().into())
    }
}
