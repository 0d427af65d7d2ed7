//! The functions of a program before any is walked: that jumps stay in them, and that they may do what they do by their
//! types (`check_subprogs`, `check_btf_func`).

use sandbpf_abi as abi;
use sandbpf_isa::{Callee, Function, Insn, Pc, Program};

use crate::environment::{Environment, Signature, TypeRef};
use crate::error::{Check, refuse};
use crate::types::Shape;

/// Checks the functions of a program.
pub(crate) fn check(program: &Program, env: &Environment<'_>) -> Check {
    if program.functions().len() > env.limits.functions {
        refuse!(TooBig, "too many subprograms");
    }
    metadata(program, env)?;
    catches_once(env)?;
    are_closed(program)?;
    for function in &program.functions()[1..] {
        let insns = &program.insns()[function.entry.index()..function.end.index()];
        let of = Text {
            packet_load: insns.iter().any(|insn| matches!(insn, Insn::LoadPacket { .. })),
            tail_call: insns.iter().any(calls_program),
        };
        of.check(env, function)?;
    }
    Ok(())
}

/// What a device knows of a frame, a program learns that is bound to the device (`bpf_dev_bound_kfunc_check`).
fn metadata(program: &Program, env: &Environment<'_>) -> Check {
    let asks = |insn: &Insn| match insn {
        Insn::Call { callee: Callee::Kfunc { id, .. } } => {
            abi::kfuncs::numbered(*id).is_some_and(|kfunc| kfunc.name.starts_with("bpf_xdp_metadata_"))
        }
        _ => false,
    };
    if !env.flags.xdp_dev_bound && program.insns().iter().any(asks) {
        refuse!(Inval, "metadata kfuncs require device-bound program");
    }
    Ok(())
}

/// One function catches what a program throws, not two (`bpf_find_exception_callback_insn_off`).
fn catches_once(env: &Environment<'_>) -> Check {
    let Some(main) = env.signatures.iter().find(|signature| signature.entry == Pc(0)) else { return Ok(()) };
    let callbacks = env.types.map(|types| types.exception_callbacks(TypeRef::program(main.type_id)));
    if callbacks.is_some_and(|callbacks| callbacks.len() > 1) {
        refuse!(Exist, "multiple exception callback tags for main subprog");
    }
    Ok(())
}

/// Jumps stay in their function, and no function runs into the next.
fn are_closed(program: &Program) -> Check {
    for function in program.functions() {
        for index in function.entry.0..function.end.0 {
            let pc = Pc(index);
            let insn = &program.insns()[pc.index()];
            if let Some(to) = insn.target()
                && (to < function.entry || to >= function.end)
            {
                refuse!(Inval, "jump out of range from insn {} to {}", program.slot(pc), program.slot(to));
            }
            let last = index + 1 == function.end.0;
            if last && !matches!(insn, Insn::Exit | Insn::Jump { .. }) {
                refuse!(Inval, "last insn is not an exit or jmp");
            }
        }
    }
    Ok(())
}

pub(crate) fn calls_program(insn: &Insn) -> bool {
    matches!(insn, Insn::Call { callee: Callee::Helper(abi::helper::TAIL_CALL) })
}

/// What a function does that may end it with a number of the kernel's choice.
struct Text {
    packet_load: bool,
    tail_call: bool,
}

impl Text {
    /// Then its type must say that it returns one.
    fn check(&self, env: &Environment<'_>, function: &Function) -> Check {
        if !self.packet_load && !self.tail_call {
            return Ok(());
        }
        let name = if self.packet_load { "LD_ABS" } else { "tail_call" };
        if env.signatures.is_empty() {
            refuse!(Inval, "{name} is not allowed in subprogs without BTF");
        }
        let is_own = |signature: &&Signature| signature.entry == function.entry;
        let prototype = env
            .signatures
            .iter()
            .find(is_own)
            .zip(env.types)
            .and_then(|(signature, types)| types.prototype(TypeRef::program(signature.type_id)));
        match prototype.map(|prototype| prototype.result) {
            None | Some(Shape::Number { .. }) => Ok(()),
            Some(_) => refuse!(Inval, "{name} is only allowed in functions that return 'int'."),
        }
    }
}
