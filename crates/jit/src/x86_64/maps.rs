//! Calls of the helpers for maps, where it is known which map is meant.
//!
//! ```text
//! mov  r9, [state + stack]      where the key is for the host
//! lea  rsi, [r9 + r10 - 8]      …
//! mov  eax, [rsi]               an array: the key is the index
//! cmp  eax, entries
//! jae  none
//! shl  rax, 3
//! mov  r9, values
//! add  rax, r9
//!
//! call lookup                   a hash table: `lookup` is code of the map's own
//! ```
//!
//! A key that is not on the stack, or not all of it, is the helper's to find, or to refuse: it is called behind the code that
//! runs.

use core::mem::offset_of;

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{FRAME_SIZE, Pc, Reg, StackUse};
use sandbpf_runtime::address::STACK;
use sandbpf_runtime::maps::MapType;
use sandbpf_runtime::memory::view::RegionView;

use super::call::call_out;
use super::memory::region;
use super::{Emitter, lookup};
use crate::callbacks::{self, STACK_REGION};
use crate::locals::Value;
use crate::maps::{DELETE, Known, LOOKUP, UPDATE};

/// The host's registers for the second and third argument, which are `r2` and `r3`.
const RSI: u8 = 6;
const RDX: u8 = 2;
/// One that holds nothing of the program's.
const R11: u8 = 11;

/// Emits the call of a helper for maps; says whether it could.
pub(crate) fn call(e: &mut Emitter<'_>, pc: Pc, id: i32) -> bool {
    let (Some(maps), true) = (e.maps, e.is_usual()) else { return false };
    let said = || match e.locals.as_ref()?.get(Reg::R1) {
        Value::Number(pointer) => maps.at(pointer),
        Value::Unknown | Value::Frame(_) => None,
    };
    let Some(at) = said().or(e.fact_map) else { return false };
    let known = maps.get(at);
    if !known.has_values() || e.program.stack_use() == StackUse::None {
        return false;
    }
    match id {
        LOOKUP => look_up(e, pc, at, known),
        UPDATE => update(e, pc, known),
        DELETE => delete(e, pc, known),
        _ => return false,
    }
    true
}

/// `r0 = map_lookup_elem(map, key)`
fn look_up(e: &mut Emitter<'_>, pc: Pc, at: usize, known: &Known) {
    let done = e.asm.new_dynamic_label();
    let detour = e.detour(LOOKUP, pc, done);
    e.save(pc);
    on_stack(e, Reg::R2, RSI, known.key_size(), detour);
    match known.array() {
        Some((entries, flat)) => {
            let none = e.asm.new_dynamic_label();
            dynasm!(e.asm ; .arch x64 ; mov eax, [rsi]);
            lookup::element(e, known, &flat, entries, none);
            dynasm!(e.asm ; .arch x64 ; jmp >over ; =>none ; xor eax, eax ; over:);
        }
        None => {
            let label = *e.lookups[at].get_or_insert_with(|| e.asm.new_dynamic_label());
            dynasm!(e.asm ; .arch x64 ; call =>label);
        }
    }
    e.restore(pc);
    dynasm!(e.asm ; .arch x64 ; =>done);
}

/// `r0 = map_update_elem(map, key, value, flags)`
fn update(e: &mut Emitter<'_>, pc: Pc, known: &Known) {
    use MapType::{LruHash, LruPercpuHash};
    e.asks_cpu |= known.is_per_cpu() || matches!(known.map.map_type(), LruHash | LruPercpuHash);
    let done = e.asm.new_dynamic_label();
    let detour = e.detour(UPDATE, pc, done);
    e.save(pc);
    // Nothing changes before both are found.
    on_stack(e, Reg::R2, R11, known.key_size(), detour);
    on_stack(e, Reg::R3, RDX, known.value_size(), detour);
    let map = core::ptr::from_ref(known) as i64;
    dynasm!(e.asm
        ; .arch x64
        ; mov rsi, r11
        ; mov rdi, QWORD map
        ; mov r8, r12
        ; call ->map_update
    );
    e.restore(pc);
    dynasm!(e.asm ; .arch x64 ; =>done);
}

/// `r0 = map_delete_elem(map, key)`
fn delete(e: &mut Emitter<'_>, pc: Pc, known: &Known) {
    let done = e.asm.new_dynamic_label();
    let detour = e.detour(DELETE, pc, done);
    e.save(pc);
    on_stack(e, Reg::R2, RSI, known.key_size(), detour);
    let map = core::ptr::from_ref(known) as i64;
    dynasm!(e.asm ; .arch x64 ; mov rdi, QWORD map ; mov rdx, r12 ; call ->map_delete);
    e.restore(pc);
    dynasm!(e.asm ; .arch x64 ; =>done);
}

/// Makes `to` the host's address of so many bytes of the stack that `reg` points to; or goes to `other`, with all registers of
/// the program as they were.
fn on_stack(e: &mut Emitter<'_>, reg: Reg, to: u8, size: u32, other: DynamicLabel) {
    let start = region(STACK_REGION) + offset_of!(RegionView, start) as i32;
    let readable = region(STACK_REGION) + offset_of!(RegionView, readable) as i32;
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    if let Some(Value::Frame(off)) = e.locals.as_ref().map(|locals| locals.get(reg))
        && off >= -(FRAME_SIZE as i32)
        && off.checked_add(size).is_some_and(|end| end <= 0)
    {
        let frame = e.host(Reg::R10);
        dynasm!(e.asm
            ; .arch x64
            ; mov r9, [r12 + start]
            ; lea Rq(to), [r9 + Rq(frame) + (off - STACK as i32)]
        );
        return;
    }
    let from = e.host(reg);
    dynasm!(e.asm
        ; .arch x64
        ; lea r9, [Rq(from) - STACK as i32]
        ; mov r10d, [r12 + readable]
        ; sub r10, r9
        ; jb =>other
        ; cmp r10, size
        ; jb =>other
        ; add r9, [r12 + start]
        ; mov Rq(to), r9
    );
}

/// What the calls go through.
pub(crate) fn stubs(e: &mut Emitter<'_>) {
    let Some(maps) = e.maps else { return };
    for (at, known) in maps.all().iter().enumerate() {
        let Some(label) = e.lookups[at] else { continue };
        dynasm!(e.asm ; .arch x64 ; .align 16 ; =>label);
        lookup::stub(e, known);
    }
    dynasm!(e.asm ; .arch x64 ; ->map_update:);
    call_out(e, callbacks::update as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ret ; ->map_delete:);
    call_out(e, callbacks::delete as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ret ; ->map_lookup:);
    call_out(e, callbacks::lookup as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ret);
}
