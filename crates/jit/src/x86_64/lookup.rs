//! Lookups in machine code: an element of an array by its index, of a hash table by its key.
//!
//! Where the key is, `rsi` says; where the value is, `rax` says afterwards, as an address of the program's, or 0. Every register
//! that a call of C may change is changed.
//!
//! ```text
//! mov    r10, [rsi]             a key of 8 bytes          next: lea  r8d, [rdi - 1]
//! mov    rax, secret 0          its hash                        and  edi, r8d
//! xor    rax, r10                                               jnz  candidate
//! mov    rcx, secret 1                                    none: test r11d, LOCKED | LINKED
//! mul    rcx                                                    jnz  ask
//! xor    eax, edx                                               cmp  r11d, [r9]
//! mov    r9d, eax               its home                        jne  ask
//! and    r9d, homes - 1                                         xor  eax, eax
//! lea    ecx, [r9 + 2 r9]                                       ret
//! shl    r9, 4
//! mov    r8, groups                                        ask: mov  rdi, map
//! add    r9, r8                                                 mov  rdx, state
//! shr    eax, 25                its tag                         jmp  map_lookup
//! or     eax, 0x80
//! imul   eax, 0x01010101
//! movd   xmm0, eax
//! pshufd xmm0, xmm0, 0
//! mov    r11, [r9]              the version, before …
//! movdqu xmm1, [r9]             the tags
//! pcmpeqb xmm0, xmm1
//! pmovmskb edi, xmm0
//! and    edi, 0xfff0            without the version
//! jz     none
//! candidate:
//! bsf    edx, edi               the slot
//! lea    edx, [rdx + 4 rcx - 4]
//! imul   rax, rdx, stride
//! mov    r8, start
//! cmp    [r8 + rax], r10        has it the key?
//! jne    next
//! test   r11d, LOCKED
//! jnz    ask
//! cmp    r11d, [r9]             … and after
//! jne    ask
//! mov    r8, values
//! add    rax, r8
//! ret
//! ```

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_runtime::maps::{Flat, Homes};

use super::{Emitter, field};
use crate::maps::Known;

/// The longest key that is compared here, in bytes.
const LONGEST: u32 = 64;

/// `rax` is the address of element `eax` of an array, or control goes to `none`.
pub(crate) fn element(e: &mut Emitter<'_>, known: &Known, flat: &Flat, entries: u32, none: DynamicLabel) {
    dynasm!(e.asm ; .arch x64 ; cmp eax, entries as i32 ; jae =>none);
    times(e, flat.stride);
    found(e, known, flat);
}

/// `rax *= stride`
fn times(e: &mut Emitter<'_>, stride: u64) {
    match stride.is_power_of_two() {
        true => dynasm!(e.asm ; .arch x64 ; shl rax, stride.trailing_zeros() as i8),
        false => dynasm!(e.asm ; .arch x64 ; imul rax, rax, stride as i32),
    }
}

/// `rax`, which counts from the first record, becomes the address of the value there.
fn found(e: &mut Emitter<'_>, known: &Known, flat: &Flat) {
    if known.is_per_cpu() {
        e.asks_cpu = true;
        dynasm!(e.asm ; .arch x64 ; mov r8d, [r12 + field!(cpu)]);
        if flat.copies > 1 {
            let inside = e.asm.new_dynamic_label();
            dynasm!(e.asm
                ; .arch x64
                ; cmp r8d, flat.copies as i32
                ; jb =>inside
                ; mov r9, rax
                ; mov eax, r8d
                ; xor edx, edx
                ; mov ecx, flat.copies as i32
                ; div ecx
                ; mov r8d, edx
                ; mov rax, r9
                ; =>inside
                ; imul r8, r8, flat.copy as i32
                ; add rax, r8
            );
        }
    }
    let first = known.values + flat.first;
    dynasm!(e.asm ; .arch x64 ; mov r8, QWORD first as i64 ; add rax, r8);
    if let (true, Some(bias)) = (e.remembers, known.bias()) {
        let (readable, writable) = known.rights();
        dynasm!(e.asm
            ; .arch x64
            ; mov r8, QWORD bias as i64
            ; mov [r12 + field!(near)], rax
            ; mov [r12 + field!(near_bias)], r8
            ; mov DWORD [r12 + field!(near_readable)], readable as i32
            ; mov DWORD [r12 + field!(near_writable)], writable as i32
        );
    }
}

/// Code that looks a key up in a map: its own where that is a hash table whose homes are known, and a question otherwise.
pub(crate) fn stub(e: &mut Emitter<'_>, known: &Known) {
    let ask = e.asm.new_dynamic_label();
    if let Some((homes, flat)) = known.hash().filter(|_| known.key_size() <= LONGEST) {
        in_hash(e, known, &homes, &flat, ask);
    }
    let map = core::ptr::from_ref(known) as i64;
    e.asks_cpu |= known.is_per_cpu();
    dynasm!(e.asm ; .arch x64 ; =>ask ; mov rdi, QWORD map ; mov rdx, r12 ; jmp ->map_lookup);
}

fn in_hash(e: &mut Emitter<'_>, known: &Known, homes: &Homes, flat: &Flat, ask: DynamicLabel) {
    let (candidate, next, none) =
        (e.asm.new_dynamic_label(), e.asm.new_dynamic_label(), e.asm.new_dynamic_label());
    let size = known.key_size();
    hash(e, size, homes.secrets);
    let (groups, mask) = (homes.groups as i64, (homes.homes - 1) as i32);
    // The bits of a comparison that stand for tags: all but those of the version.
    let tags = ((1 << Homes::PLACES) - 1) << 4;
    dynasm!(e.asm
        ; .arch x64
        ; mov r9d, eax
        ; and r9d, mask
        ; lea ecx, [r9 + 2 * r9]
        ; shl r9, 4
        ; mov r8, QWORD groups
        ; add r9, r8
        ; shr eax, Homes::TAG_SHIFT as i8
        ; or eax, i32::from(Homes::TAG)
        ; imul eax, eax, 0x0101_0101
        ; movd xmm0, eax
        ; pshufd xmm0, xmm0, 0
        ; mov r11, [r9]
        ; movdqu xmm1, [r9]
        ; pcmpeqb xmm0, xmm1
        ; pmovmskb edi, xmm0
        ; and edi, tags
        ; jz =>none
        ; =>candidate
        ; bsf edx, edi
        ; lea edx, [rdx + 4 * rcx - 4]
    );
    let start = flat.start as i64;
    dynasm!(e.asm ; .arch x64 ; imul rax, rdx, flat.stride as i32 ; mov r8, QWORD start);
    for word in 0..size.div_ceil(8) {
        let at = 8 * word as i32;
        if size > 8 {
            part(e, at, size - 8 * word);
        }
        dynasm!(e.asm ; .arch x64 ; cmp [r8 + rax + at], r10 ; jne =>next);
    }
    dynasm!(e.asm ; .arch x64 ; test r11d, Homes::LOCKED as i32 ; jnz =>ask ; cmp r11d, [r9] ; jne =>ask);
    if let Some(marks) = homes.marks {
        dynasm!(e.asm
            ; .arch x64
            ; mov r8, QWORD marks as i64
            ; cmp BYTE [r8 + rdx], 0
            ; jne >marked
            ; mov BYTE [r8 + rdx], 1
            ; marked:
        );
    }
    found(e, known, flat);
    dynasm!(e.asm
        ; .arch x64
        ; ret
        ; =>next
        ; lea r8d, [rdi - 1]
        ; and edi, r8d
        ; jnz =>candidate
        ; =>none
        ; test r11d, (Homes::LOCKED | Homes::LINKED) as i32
        ; jnz =>ask
        ; cmp r11d, [r9]
        ; jne =>ask
        ; xor eax, eax
        ; ret
    );
}

/// `eax` is the hash of the key; of one with up to eight bytes, `r10` is the word. As `fold::hash` has it in `sandbpf-maps`.
fn hash(e: &mut Emitter<'_>, size: u32, secrets: [u64; 2]) {
    let [first, second] = secrets.map(|secret| secret as i64);
    dynasm!(e.asm ; .arch x64 ; mov rax, QWORD first ; mov r9, QWORD second);
    let mut at = 0;
    while at < size {
        part(e, at as i32, size - at);
        dynasm!(e.asm ; .arch x64 ; xor rax, r10);
        at += 8;
        if at < size {
            part(e, at as i32, size - at);
            dynasm!(e.asm ; .arch x64 ; xor r10, r9 ; mul r10 ; xor rax, rdx);
            at += 8;
        } else {
            dynasm!(e.asm ; .arch x64 ; mul r9 ; xor rax, rdx);
        }
    }
}

/// `r10` is the word of the key that starts at byte `at`, where so many bytes are left; zeros come after them.
fn part(e: &mut Emitter<'_>, at: i32, left: u32) {
    match left {
        0 => dynasm!(e.asm ; .arch x64 ; xor r10d, r10d),
        1 => dynasm!(e.asm ; .arch x64 ; movzx r10d, BYTE [rsi + at]),
        2 => dynasm!(e.asm ; .arch x64 ; movzx r10d, WORD [rsi + at]),
        3 => dynasm!(e.asm
            ; .arch x64
            ; movzx r10d, BYTE [rsi + at + 2]
            ; shl r10d, 16
            ; movzx r8d, WORD [rsi + at]
            ; or r10d, r8d
        ),
        4 => dynasm!(e.asm ; .arch x64 ; mov r10d, [rsi + at]),
        5..=7 => dynasm!(e.asm
            ; .arch x64
            // The last four bytes, less those that are among the first.
            ; mov r10d, [rsi + at + (left as i32 - 4)]
            ; shr r10d, (8 * (8 - left)) as i8
            ; shl r10, 32
            ; mov r8d, [rsi + at]
            ; or r10, r8
        ),
        _ => dynasm!(e.asm ; .arch x64 ; mov r10, [rsi + at]),
    }
}
