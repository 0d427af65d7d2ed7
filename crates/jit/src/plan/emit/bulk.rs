//! What is done many bytes at once.
//!
//! Code is told where in registers: `rdi` to, `rsi` from, `rcx` how many bytes (a multiple of the element's size, or 0). It may
//! change `rax`, `rcx`, `rdx`, `rsi`, `rdi`, `r8` to `r11` and all vectors; a sum is in `rax` afterwards.

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler, dynasm};
use sandbpf_isa::Size;

use super::features::Features;

/// Where the code goes. Its labels are its own.
pub(crate) type Assembler = VecAssembler<X64Relocation>;

/// What is done, with elements of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Copy(Size),
    Xor(Size),
    Sum(Size),
}

/// Writes the code.
pub(crate) fn bulk(asm: &mut Assembler, what: Kind, _features: Features) {
    let (Kind::Copy(element) | Kind::Xor(element) | Kind::Sum(element)) = what;
    if let Kind::Sum(_) = what {
        dynasm!(asm ; .arch x64 ; xor eax, eax);
    }
    dynasm!(asm ; .arch x64 ; xor edx, edx ; test rcx, rcx ; jz BYTE >done ; element:);
    match element {
        Size::B => dynasm!(asm ; .arch x64 ; movzx r8d, BYTE [rsi + rdx]),
        Size::H => dynasm!(asm ; .arch x64 ; movzx r8d, WORD [rsi + rdx]),
        Size::W => dynasm!(asm ; .arch x64 ; mov r8d, [rsi + rdx]),
        Size::DW => dynasm!(asm ; .arch x64 ; mov r8, [rsi + rdx]),
    }
    match what {
        Kind::Copy(Size::B) => dynasm!(asm ; .arch x64 ; mov [rdi + rdx], r8b),
        Kind::Copy(Size::H) => dynasm!(asm ; .arch x64 ; mov [rdi + rdx], r8w),
        Kind::Copy(Size::W) => dynasm!(asm ; .arch x64 ; mov [rdi + rdx], r8d),
        Kind::Copy(Size::DW) => dynasm!(asm ; .arch x64 ; mov [rdi + rdx], r8),
        Kind::Xor(Size::B) => dynasm!(asm ; .arch x64 ; xor [rdi + rdx], r8b),
        Kind::Xor(Size::H) => dynasm!(asm ; .arch x64 ; xor [rdi + rdx], r8w),
        Kind::Xor(Size::W) => dynasm!(asm ; .arch x64 ; xor [rdi + rdx], r8d),
        Kind::Xor(Size::DW) => dynasm!(asm ; .arch x64 ; xor [rdi + rdx], r8),
        Kind::Sum(_) => dynasm!(asm ; .arch x64 ; add rax, r8),
    }
    let size = i32::from(element.bytes());
    dynasm!(asm ; .arch x64 ; add rdx, size ; cmp rdx, rcx ; jb BYTE <element ; done:);
}
