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
//! A key that is nowhere is the helper's to refuse, as one that a map is asked about must be on the stack, where nobody else
//! writes: the helper is called behind the code that runs.

use core::mem::offset_of;

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{FRAME_SIZE, Pc, Reg, StackUse};
use sandbpf_runtime::address::{REGION_BITS, REGION_SIZE, STACK};
use sandbpf_runtime::maps::MapType;
use sandbpf_runtime::memory::view::{REGIONS, RegionView};

use super::call::call_out;
use super::lookup::{self, Near, Surroundings};
use super::memory::{self, region};
use super::{Emitter, field};
use crate::callbacks::{self, STACK_REGION};
use crate::locals::Value;
use crate::maps::{DELETE, Known, LOOKUP, UPDATE};

/// The host's registers for the second and third argument, which are `r2` and `r3`.
const RSI: u8 = 6;
const RDX: u8 = 2;
/// Where the code that looks up finds a key; it is `r5`.
const R8: u8 = 8;
/// One that holds nothing of the program's.
const R11: u8 = 11;
/// What points to the state.
const R12: u8 = 12;

/// Emits the call of a helper for maps; says whether it could.
pub(crate) fn call(e: &mut Emitter<'_>, pc: Pc, id: i32) -> bool {
    let (Some(maps), true) = (e.maps, e.is_usual()) else { return false };
    let said = || match e.locals.as_ref()?.get(Reg::R1) {
        Value::Number(pointer) => maps.at(pointer),
        Value::Unknown | Value::Frame(_) => None,
    };
    let Some(at) = said().or(e.fact_map) else { return false };
    let known = maps.get(at);
    // What is written must be on the stack, where there is one.
    if !known.has_values() || id != LOOKUP && e.program.stack_use() == StackUse::None {
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
    let around = surroundings(e);
    e.asks_cpu |= known.is_per_cpu();
    e.save(pc);
    if let Some((entries, flat)) = known.array() {
        let none = e.asm.new_dynamic_label();
        anywhere(e, Reg::R2, R8, known.key_size(), detour);
        dynasm!(e.asm ; .arch x64 ; mov eax, [r8]);
        lookup::element(&mut e.asm, known, entries, &flat, none, around);
        dynasm!(e.asm ; .arch x64 ; jmp >over ; =>none ; xor eax, eax ; over:);
    } else if known.is_looked_up() {
        let label = *e.lookups[at].get_or_insert_with(|| e.asm.new_dynamic_label());
        anywhere(e, Reg::R2, R8, known.key_size(), detour);
        dynasm!(e.asm ; .arch x64 ; call =>label);
    } else {
        let map = core::ptr::from_ref(known) as i64;
        on_stack(e, Reg::R2, RSI, known.key_size(), detour);
        dynasm!(e.asm ; .arch x64 ; mov rdi, QWORD map ; mov rdx, r12 ; call ->map_lookup);
    }
    e.restore(pc);
    dynasm!(e.asm ; .arch x64 ; =>done);
}

fn surroundings(e: &Emitter<'_>) -> Surroundings {
    let near = Near {
        state: R12,
        address: field!(near),
        bias: field!(near_bias),
        readable: field!(near_readable),
        writable: field!(near_writable),
    };
    Surroundings { cpu: (R12, field!(cpu)), near: e.remembers.then_some(near) }
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

/// Where the frame is, and this from its pointer: the host's address in `to`, if `reg` is known to hold the guest's of so many
/// bytes of it.
fn in_frame(e: &mut Emitter<'_>, reg: Reg, to: u8, size: i32) -> bool {
    let Some(Value::Frame(off)) = e.locals.as_ref().map(|locals| locals.get(reg)) else { return false };
    let end = off.checked_add(size);
    let inside = off >= -(FRAME_SIZE as i32) && end.is_some_and(|end| end <= 0);
    if inside {
        let (frame, start) = (e.host(Reg::R10), region(STACK_REGION) + offset_of!(RegionView, start) as i32);
        dynasm!(e.asm
            ; .arch x64
            ; mov r9, [r12 + start]
            ; lea Rq(to), [r9 + Rq(frame) + (off - STACK as i32)]
        );
    }
    inside
}

/// Makes `to` the host's address of so many bytes of the stack that `reg` points to; or goes to `other`, with all registers of
/// the program as they were.
fn on_stack(e: &mut Emitter<'_>, reg: Reg, to: u8, size: u32, other: DynamicLabel) {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    if in_frame(e, reg, to, size) {
        return;
    }
    let start = region(STACK_REGION) + offset_of!(RegionView, start) as i32;
    let readable = region(STACK_REGION) + offset_of!(RegionView, readable) as i32;
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

/// The same for a key in any region.
fn anywhere(e: &mut Emitter<'_>, reg: Reg, to: u8, size: u32, other: DynamicLabel) {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    if in_frame(e, reg, to, size) {
        return;
    }
    if let Some(region) = e.key {
        let from = e.host(reg);
        return match memory::bias(region) {
            memory::Bias::In(at) => {
                dynasm!(e.asm ; .arch x64 ; mov Rq(to), [r12 + at] ; add Rq(to), Rq(from));
            }
            memory::Bias::Is(bias) => {
                dynasm!(e.asm ; .arch x64 ; mov Rq(to), QWORD bias as i64 ; add Rq(to), Rq(from));
            }
        };
    }
    let (from, inside) = (e.host(reg), (REGION_SIZE - 1) as i32);
    let start = region(0) + offset_of!(RegionView, start) as i32;
    let readable = region(0) + offset_of!(RegionView, readable) as i32;
    dynasm!(e.asm
        ; .arch x64
        ; mov r10, Rq(from)
        ; shr r10, REGION_BITS as i8
        ; cmp r10, REGIONS as i32
        ; jae =>other
        ; shl r10d, 4
        ; mov r9d, Rd(from)
        ; and r9d, inside
        ; lea r11d, [r9 + size]
        ; cmp r11d, [r12 + r10 + readable]
        ; ja =>other
        ; add r9, [r12 + r10 + start]
        ; mov Rq(to), r9
    );
}

/// What the calls go through.
pub(crate) fn stubs(e: &mut Emitter<'_>) {
    let Some(maps) = e.maps else { return };
    for (at, known) in maps.all().iter().enumerate() {
        let Some(label) = e.lookups[at] else { continue };
        let (ask, around, map) = (e.asm.new_dynamic_label(), surroundings(e), known.pointer() as i32);
        dynasm!(e.asm ; .arch x64 ; .align 16 ; =>label);
        lookup::stub(&mut e.asm, known, ask, around);
        // What the code that calls was given is where it was, but for the map.
        dynasm!(e.asm ; .arch x64 ; =>ask ; mov edi, map ; mov eax, LOOKUP ; xor r10d, r10d ; jmp ->helper);
    }
    dynasm!(e.asm ; .arch x64 ; ->map_update:);
    call_out(e, callbacks::update as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ret ; ->map_delete:);
    call_out(e, callbacks::delete as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ret ; ->map_lookup:);
    call_out(e, callbacks::lookup as *const () as usize);
    dynasm!(e.asm ; .arch x64 ; ret);
}
