//! Entry and end of a run.
//!
//! ```text
//! push rbx, rbp, r12 … r15          pop r15 … r12, rbp, rbx
//! mov  r12, rdi                     ret
//! mov  [r12 + host_stack], rsp
//! mov  r0 … r10 from the machine
//! add  rbp, [r12 + bias]          if it is to be the host's address of the frame
//! call [r12 + first]              if the program calls functions
//! ```

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::Reg;

use super::{Emitter, field};

/// The first bytes of the code.
pub(crate) fn enter(e: &mut Emitter<'_>) {
    let stack = field!(host_stack);
    dynasm!(e.asm
        ; .arch x64
        ; push rbx
        ; push rbp
        ; push r12
        ; push r13
        ; push r14
        ; push r15
        ; mov r12, rdi
        ; mov [r12 + stack], rsp
        ; mov r9, [r12 + field!(entry)]
    );
    for reg in Reg::all() {
        let (at, host) = (8 * i32::from(reg.number()), e.host(reg));
        dynasm!(e.asm ; .arch x64 ; mov Rq(host), [r9 + at]);
    }
    if e.holds_frame {
        dynasm!(e.asm ; .arch x64 ; add rbp, [r12 + field!(biases)]);
    }
    if calls_first(e) {
        dynasm!(e.asm ; .arch x64 ; call QWORD [r12 + field!(first)] ; jmp ->exit);
    }
}

/// Whether a run starts with a call of its first function. Where nobody calls a function, the only one just follows.
pub(crate) fn calls_first(e: &Emitter<'_>) -> bool {
    e.has_calls
}

/// The ways out: `->exit` with `r0`, `->trapped` from anywhere.
pub(crate) fn leave(e: &mut Emitter<'_>) {
    dynasm!(e.asm ; .arch x64 ; ->exit:);
    if e.options.export_registers {
        e.spill();
    }
    let (r0, stack) = (e.host(Reg::R0), field!(host_stack));
    if r0 != super::RAX {
        dynasm!(e.asm ; .arch x64 ; mov rax, Rq(r0));
    }
    dynasm!(e.asm
        ; .arch x64
        ; ->trapped:
        ; mov rsp, [r12 + stack]
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbp
        ; pop rbx
        ; ret
    );
}
