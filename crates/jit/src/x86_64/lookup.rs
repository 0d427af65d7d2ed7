//! Lookups in machine code: an element of an array by its index, of a hash table by its key.
//!
//! Where the value is, `rax` says afterwards, as an address of the program's, or 0. A stub finds the key where `r8` says, and
//! changes `rax`, `rcx`, `rdx`, `rdi`, `r8` to `r11` and `xmm0`; nothing else.
//!
//! ```text
//! mov    r10, [r8]              a key of 8 bytes          next: lea  eax, [rdi - 1]
//! mov    rax, [secret 0]        its hash                        and  edi, eax
//! xor    rax, r10                                               jnz  candidate
//! mov    r9, [secret 1]                                   none: test r11d, LINKED
//! mul    r9                                                     jnz  ask
//! xor    eax, edx                                               cmp  r11d, [r9]
//! mov    eax, eax                                               jne  ask
//! imul   r9, rax, homes         its home                        xor  eax, eax
//! shr    r9, 32                                                 ret
//! imul   rcx, r9, stride
//! add    rcx, [start]
//! shl    r9, 4
//! add    r9, [groups]
//! or     eax, 0x80              its tag
//! movzx  eax, al
//! imul   eax, 0x01010101
//! movd   xmm0, eax
//! pshufd xmm0, xmm0, 0
//! mov    r11d, [r9]             the version, before …
//! and    r11d, ~LOCKED
//! pcmpeqb xmm0, [r9]            the tags
//! pmovmskb edi, xmm0
//! and    edi, 0xfff0            without the version
//! jz     none
//! candidate:
//! bsf    edx, edi               the place
//! imul   rdx, rdx, row
//! cmp    [rcx + rdx - 4 row], r10
//! jne    next
//! cmp    r11d, [r9]             … and after
//! jne    ask
//! lea    rax, [rcx + rdx - 4 row + first]
//! sub    rax, [bias]
//! ret
//! ```

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_runtime::maps::{Flat, Homes};

use super::Assembler;
use crate::maps::Known;

/// The host's registers that stand in for a moment.
const RAX: u8 = 0;
const R11: u8 = 11;
/// The bit of a comparison that stands for the first tag: those before it are the version.
const FIRST_TAG: i32 = 4;

/// Where code that looks up finds what it does not know itself. Registers are none of those that are changed.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings {
    /// What points to the number of the processor, of 32 bits, and how far from there it is.
    pub(crate) cpu: (u8, i32),
    /// Where to write down which value was found, if somebody wants to know.
    pub(crate) near: Option<Near>,
}

/// What is written down of a value that was found.
#[derive(Clone, Copy)]
pub(crate) struct Near {
    /// The register that points to where.
    pub(crate) state: u8,
    /// Where the address goes, …
    pub(crate) address: i32,
    /// … the host's address less it, …
    pub(crate) bias: i32,
    /// … and how many bytes may be read and written.
    pub(crate) readable: i32,
    pub(crate) writable: i32,
}

/// `rax` is the address of element `eax` of an array, or control goes to `none`. Changes `rax`, `rcx`, `rdx` and `r8` to `r10`.
pub(crate) fn element(
    asm: &mut Assembler,
    known: &Known,
    entries: u32,
    flat: &Flat,
    none: DynamicLabel,
    around: Surroundings,
) {
    dynasm!(asm ; .arch x64 ; cmp eax, entries as i32 ; jae =>none);
    match flat.stride.is_power_of_two() {
        true => dynasm!(asm ; .arch x64 ; shl rax, flat.stride.trailing_zeros() as i8),
        false => dynasm!(asm ; .arch x64 ; imul rax, rax, flat.stride as i32),
    }
    copy(asm, known, flat, around);
    let first = known.values + flat.first;
    dynasm!(asm ; .arch x64 ; mov r8, QWORD first as i64 ; add rax, r8);
    write_down(asm, known, around);
}

/// Adds to `rax` where this processor's copy of a value is. Changes `rcx`, `rdx`, `r8` and `r9`.
fn copy(asm: &mut Assembler, known: &Known, flat: &Flat, around: Surroundings) {
    if !known.is_per_cpu() || flat.copies == 1 {
        return;
    }
    let inside = asm.new_dynamic_label();
    let (state, at) = around.cpu;
    dynasm!(asm
        ; .arch x64
        ; mov r8d, [Rq(state) + at]
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

fn write_down(asm: &mut Assembler, known: &Known, around: Surroundings) {
    let (Some(near), Some(bias)) = (around.near, known.bias()) else { return };
    let (state, (readable, writable)) = (near.state, known.rights());
    dynasm!(asm
        ; .arch x64
        ; mov r8, QWORD bias as i64
        ; mov [Rq(state) + near.address], rax
        ; mov [Rq(state) + near.bias], r8
        ; mov DWORD [Rq(state) + near.readable], readable as i32
        ; mov DWORD [Rq(state) + near.writable], writable as i32
    );
}

/// Code that looks a key up in a hash table, or goes to `ask` with all but the registers that it changes as they were.
pub(crate) fn stub(asm: &mut Assembler, known: &Known, ask: DynamicLabel, around: Surroundings) {
    let Some((homes, flat)) = known.hash() else { return };
    let [first, second, groups, start, bias] = core::array::from_fn(|_| asm.new_dynamic_label());
    let [candidate, next, none] = core::array::from_fn(|_| asm.new_dynamic_label());
    let size = known.key_size();
    hash(asm, size, first, second);
    let (stride, count) = (flat.stride as i32, homes.count as i32);
    let tags = ((1 << Homes::PLACES) - 1) << FIRST_TAG;
    dynasm!(asm
        ; .arch x64
        ; mov eax, eax
        ; imul r9, rax, homes.homes as i32
        ; shr r9, 32
        ; imul rcx, r9, stride
        ; add rcx, [=>start]
        ; shl r9, 4
        ; add r9, [=>groups]
        ; or eax, i32::from(Homes::TAG)
        ; movzx eax, al
        ; imul eax, eax, 0x0101_0101
        ; movd xmm0, eax
        ; pshufd xmm0, xmm0, 0
        ; mov r11d, [r9]
        ; and r11d, !(Homes::LOCKED as i32)
    );
    match homes.groups % 16 == 0 {
        true => dynasm!(asm ; .arch x64 ; pcmpeqb xmm0, [r9]),
        false => dynasm!(asm ; .arch x64 ; movdqu xmm1, [r9] ; pcmpeqb xmm0, xmm1),
    }
    dynasm!(asm
        ; .arch x64
        ; pmovmskb edi, xmm0
        ; and edi, tags
        ; jz =>none
        ; =>candidate
        ; bsf edx, edi
        ; imul rdx, rdx, stride * count
    );
    let record = -FIRST_TAG * stride * count;
    for word in 0..size.div_ceil(8) {
        let at = 8 * word as i32;
        if size > 8 {
            part(asm, at, size - 8 * word, RAX);
        }
        dynasm!(asm ; .arch x64 ; cmp [rcx + rdx + record + at], r10 ; jne =>next);
    }
    dynasm!(asm ; .arch x64 ; cmp r11d, [r9] ; jne =>ask);
    if let Some(marks) = homes.marks {
        mark(asm, &homes, marks);
    }
    dynasm!(asm ; .arch x64 ; lea rax, [rcx + rdx + record + flat.first as i32]);
    copy(asm, known, &flat, around);
    dynasm!(asm ; .arch x64 ; sub rax, [=>bias]);
    write_down(asm, known, around);
    dynasm!(asm
        ; .arch x64
        ; ret
        ; =>next
        ; lea eax, [rdi - 1]
        ; and edi, eax
        ; jnz =>candidate
        ; =>none
        ; test r11d, Homes::LINKED as i32
        ; jnz =>ask
        ; cmp r11d, [r9]
        ; jne =>ask
        ; xor eax, eax
        ; ret
        ; .align 8
        ; =>first
        ; .i64 homes.secrets[0] as i64
        ; =>second
        ; .i64 homes.secrets[1] as i64
        ; =>groups
        ; .i64 homes.groups as i64
        ; =>start
        ; .i64 flat.start as i64
        ; =>bias
        ; .i64 flat.start.wrapping_sub(known.values) as i64
    );
}

/// Remembers that the element was used whose record is at `rcx + rdx`. Changes `rax`, `r8` and `r10`.
fn mark(asm: &mut Assembler, homes: &Homes, marks: u64) {
    let count = homes.count as i32;
    // The group's number, and from it and the place the slot's.
    dynasm!(asm
        ; .arch x64
        ; mov r10, QWORD homes.groups as i64
        ; mov r8, r9
        ; sub r8, r10
        ; shr r8, 4
        ; bsf eax, edi
        ; imul rax, rax, count
        ; add r8, rax
        ; mov r10, QWORD marks as i64
        ; cmp BYTE [r8 + r10 - FIRST_TAG * count], 0
        ; jne >marked
        ; mov BYTE [r8 + r10 - FIRST_TAG * count], 1
        ; marked:
    );
}

/// `eax` is the hash of the key at `r8`; of one with up to eight bytes, `r10` is the word. As `fold::hash` has it in
/// `sandbpf-maps`.
fn hash(asm: &mut Assembler, size: u32, first: DynamicLabel, second: DynamicLabel) {
    dynasm!(asm ; .arch x64 ; mov rax, [=>first] ; mov r9, [=>second]);
    let mut at = 0;
    while at < size {
        part(asm, at as i32, size - at, R11);
        dynasm!(asm ; .arch x64 ; xor rax, r10);
        at += 8;
        if at < size {
            part(asm, at as i32, size - at, R11);
            dynasm!(asm ; .arch x64 ; xor r10, r9 ; mul r10 ; xor rax, rdx);
            at += 8;
        } else {
            dynasm!(asm ; .arch x64 ; mul r9 ; xor rax, rdx);
        }
    }
}

/// `r10` is the word of the key that starts at byte `at`, where so many bytes are left; zeros come after them. May change `spare`.
fn part(asm: &mut Assembler, at: i32, left: u32, spare: u8) {
    match left {
        0 => dynasm!(asm ; .arch x64 ; xor r10d, r10d),
        1 => dynasm!(asm ; .arch x64 ; movzx r10d, BYTE [r8 + at]),
        2 => dynasm!(asm ; .arch x64 ; movzx r10d, WORD [r8 + at]),
        // The last two or four bytes, less those that are among the first.
        3 => dynasm!(asm
            ; .arch x64
            ; movzx r10d, BYTE [r8 + at + 2]
            ; shl r10d, 16
            ; mov r10w, [r8 + at]
        ),
        4 => dynasm!(asm ; .arch x64 ; mov r10d, [r8 + at]),
        5..=7 => dynasm!(asm
            ; .arch x64
            ; mov r10d, [r8 + at + (left as i32 - 4)]
            ; shr r10d, (8 * (8 - left)) as i8
            ; shl r10, 32
            ; mov Rd(spare), [r8 + at]
            ; or r10, Rq(spare)
        ),
        _ => dynasm!(asm ; .arch x64 ; mov r10, [r8 + at]),
    }
}
