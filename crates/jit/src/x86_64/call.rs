//! Calls.
//!
//! ```text
//! mov  eax, id                     a helper finds its arguments where C has them; the stub
//! mov  r10d, pc                    tells the callback who is called, and looks how it went
//! call helper
//!
//! cmp  [state + depth], 7          a local call keeps the caller's r6 … r9 and its count of
//! jae  too_deep                    may_gotos on the host's stack, which holds 8 frames at most
//! (charge)
//! push r6 … r9, [state + may_goto]
//! (a new frame)
//! call callee
//! (the old frame)
//! pop  [state + may_goto], r9 … r6
//! ```

use core::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{FRAME_SIZE, MAX_FRAMES, MAY_GOTO_LIMIT, Pc, Reg, RegSet, StackUse};
use sandbpf_runtime::TAIL_CALL;
use sandbpf_runtime::memory::view::RegionView;

use super::memory::region;
use super::{Emitter, branch, field, maps, register as place};
use crate::callbacks::{self, STACK_REGION};
use crate::layout::status;

/// The host's registers for the first five arguments of a function of C.
const ARGUMENTS: [u8; 5] = [7, 6, 2, 1, 8];

/// `r0 = helper(r1, r2, r3, r4, r5)`
pub(crate) fn helper(e: &mut Emitter<'_>, pc: Pc, id: i32) {
    if !maps::call(e, pc, id) {
        by_number(e, pc, id);
    }
}

/// The same, whoever it is.
pub(crate) fn by_number(e: &mut Emitter<'_>, pc: Pc, id: i32) {
    arrange(e, pc, id);
    dynasm!(e.asm ; .arch x64 ; call ->helper);
    settle(e, pc);
    if id == TAIL_CALL {
        let failed = e.asm.new_dynamic_label();
        dynasm!(e.asm ; .arch x64 ; cmp QWORD [r12 + field!(answer)], 0 ; je =>failed);
        branch::exit(e);
        dynasm!(e.asm ; .arch x64 ; =>failed);
    }
}

/// `r0 = kfunc(r1, r2, r3, r4, r5)`
pub(crate) fn kfunc(e: &mut Emitter<'_>, pc: Pc, id: i32) {
    arrange(e, pc, id);
    dynasm!(e.asm ; .arch x64 ; call ->kfunc);
    settle(e, pc);
}

/// Puts arguments where the stubs want them.
fn arrange(e: &mut Emitter<'_>, pc: Pc, id: i32) {
    match e.is_usual() {
        true => e.save(pc),
        false => {
            e.spill();
            for (reg, host) in RegSet::ARGUMENTS.iter().zip(ARGUMENTS) {
                dynasm!(e.asm ; .arch x64 ; mov Rq(host), [r12 + place(reg)]);
            }
        }
    }
    dynasm!(e.asm ; .arch x64 ; mov eax, id ; mov r10d, pc.0 as i32);
}

/// Takes the result, which is in `rax`, and what the call did not preserve.
fn settle(e: &mut Emitter<'_>, pc: Pc) {
    match e.is_usual() {
        true => e.restore(pc),
        false => {
            dynasm!(e.asm ; .arch x64 ; mov [r12 + place(Reg::R0)], rax);
            e.reload();
        }
    }
}

/// What calls of helpers and kernel functions go through.
pub(crate) fn stubs(e: &mut Emitter<'_>) {
    dynasm!(e.asm ; .arch x64 ; ->helper:);
    stub(e, callbacks::helper as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ->kfunc:);
    stub(e, callbacks::kfunc as *const () as usize);
}

fn stub(e: &mut Emitter<'_>, callback: usize) {
    dynasm!(e.asm
        ; .arch x64
        ; mov [r12 + field!(call_id)], eax
        ; mov [r12 + field!(call_pc)], r10d
        ; mov r9, r12
    );
    call_out(e, callback);
    dynasm!(e.asm ; .arch x64 ; ret);
}

/// Calls Rust, with its arguments in their registers; goes to the end of the run if it found a trap.
pub(crate) fn call_out(e: &mut Emitter<'_>, callback: usize) {
    let saved = field!(callback_stack);
    dynasm!(e.asm
        ; .arch x64
        ; mov [r12 + saved], rsp
        ; and rsp, -16
        ; mov rax, QWORD callback as i64
        ; call rax
        ; mov rsp, [r12 + saved]
        ; test edx, edx
        ; jnz ->trapped
    );
}

/// Calls a function of the program.
pub(crate) fn local(e: &mut Emitter<'_>, pc: Pc, entry: Pc) {
    check_depth(e, pc);
    let cost = e.program.function_of(entry).cost;
    e.charge(cost, pc);
    enter(e);
    let target = e.label(entry);
    dynasm!(e.asm ; .arch x64 ; call =>target);
    leave(e);
}

/// Calls the function that a register points to.
pub(crate) fn register_call(e: &mut Emitter<'_>, pc: Pc, reg: Reg) {
    e.spill();
    dynasm!(e.asm ; .arch x64 ; mov esi, pc.0 as i32 ; mov edx, i32::from(reg.number()));
    e.callback(callbacks::function as *const () as usize);
    check_depth(e, pc);
    let broke = e.trap_label(status::OUT_OF_INSTRUCTIONS, pc);
    dynasm!(e.asm
        ; .arch x64
        ; mov r9, [r12 + field!(answer)]
        ; shl r9, 4
        ; add r9, [r12 + field!(functions)]
        ; mov r10, [r9 + 8]
        ; cmp [r12 + field!(budget)], r10
        ; jb =>broke
        ; sub [r12 + field!(budget)], r10
        ; mov r9, [r9]
        ; mov [r12 + field!(answer)], r9
    );
    e.reload();
    enter(e);
    dynasm!(e.asm ; .arch x64 ; call QWORD [r12 + field!(answer)]);
    leave(e);
}
pub(crate) use register_call as register;

fn check_depth(e: &mut Emitter<'_>, pc: Pc) {
    let deep = e.trap_label(status::CALL_DEPTH, pc);
    dynasm!(e.asm ; .arch x64 ; cmp QWORD [r12 + field!(depth)], MAX_FRAMES as i32 - 1 ; jae =>deep);
}

fn enter(e: &mut Emitter<'_>) {
    for reg in RegSet::PRESERVED.iter() {
        let host = e.host(reg);
        dynasm!(e.asm ; .arch x64 ; push Rq(host));
    }
    let r10 = e.host(Reg::R10);
    dynasm!(e.asm
        ; .arch x64
        ; push QWORD [r12 + field!(may_goto)]
        ; mov QWORD [r12 + field!(may_goto)], MAY_GOTO_LIMIT as i32
        ; inc QWORD [r12 + field!(depth)]
        ; add Rq(r10), FRAME_SIZE as i32
    );
    if e.program.stack_use() == StackUse::None {
        return;
    }
    let stack = region(STACK_REGION);
    let (start, readable, writable) = (
        stack + offset_of!(RegionView, start) as i32,
        stack + offset_of!(RegionView, readable) as i32,
        stack + offset_of!(RegionView, writable) as i32,
    );
    dynasm!(e.asm
        ; .arch x64
        ; mov r9d, [r12 + readable]
        ; add r9, [r12 + start]
        ; add DWORD [r12 + readable], FRAME_SIZE as i32
        ; add DWORD [r12 + writable], FRAME_SIZE as i32
        ; xorps xmm0, xmm0
        ; mov r10d, (FRAME_SIZE / 64) as i32
        ; clear:
        ; movups [r9], xmm0
        ; movups [r9 + 16], xmm0
        ; movups [r9 + 32], xmm0
        ; movups [r9 + 48], xmm0
        ; add r9, 64
        ; dec r10d
        ; jnz <clear
    );
}

fn leave(e: &mut Emitter<'_>) {
    let r10 = e.host(Reg::R10);
    dynasm!(e.asm
        ; .arch x64
        ; sub Rq(r10), FRAME_SIZE as i32
        ; dec QWORD [r12 + field!(depth)]
        ; pop QWORD [r12 + field!(may_goto)]
    );
    let preserved: Vec<Reg> = RegSet::PRESERVED.iter().collect();
    for &reg in preserved.iter().rev() {
        let host = e.host(reg);
        dynasm!(e.asm ; .arch x64 ; pop Rq(host));
    }
    if e.program.stack_use() == StackUse::None {
        return;
    }
    let stack = region(STACK_REGION);
    let (readable, writable) =
        (stack + offset_of!(RegionView, readable) as i32, stack + offset_of!(RegionView, writable) as i32);
    dynasm!(e.asm
        ; .arch x64
        ; sub DWORD [r12 + readable], FRAME_SIZE as i32
        ; sub DWORD [r12 + writable], FRAME_SIZE as i32
    );
}
