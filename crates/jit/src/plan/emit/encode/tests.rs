//! Encodings are those of the assembler that the rest of the crate uses: each form, with registers of either half in each
//! place, and the bases that want an index or a displacement.

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler, dynasm};
use sandbpf_isa::{Size, Width};

use super::super::machine::{Alu, Flag, Mem, Rm, Shift, Unary, Widen, reg::*};
use super::Encoder;

const WORD8: Widen = Widen::Zero(Size::DW);

fn mem(base: u8, index: u8, scale: u8, disp: i32) -> Mem {
    Mem { base: Some(base), index: Some((index, scale)), disp }
}

fn at(base: u8, disp: i32) -> Rm {
    Rm::Mem(Mem { base: Some(base), index: None, disp })
}

fn assembled(write: impl Fn(&mut VecAssembler<X64Relocation>)) -> Vec<u8> {
    let mut asm = VecAssembler::new(0);
    write(&mut asm);
    asm.finalize().expect("there are no labels")
}

/// Compares what we encode with the assembler's words for it.
macro_rules! same {
    ($method:ident($($argument:expr),*) => $($words:tt)*) => {{
        let mut ours = Encoder::default();
        ours.$method($($argument),*);
        let theirs = assembled(|asm| dynasm!(asm ; .arch x64 ; $($words)*));
        assert_eq!(ours.bytes, theirs, stringify!($($words)*));
    }};
}

#[test]
fn moves() {
    same!(mov(Width::W64, RAX, RCX) => mov rax, rcx);
    same!(mov(Width::W32, 9, RDX) => mov r9d, edx);
    same!(mov(Width::W64, RBX, 15) => mov rbx, r15);
    same!(mov_imm(RSI, 5) => mov esi, 5);
    same!(mov_imm(12, 0xffff_fff0) => mov r12d, DWORD -16);
    same!(mov_imm(RDI, u64::MAX) => mov rdi, DWORD -1);
    same!(mov_imm(8, 0x1234_5678_9abc_def0) => mov r8, QWORD 0x1234_5678_9abc_def0);
    same!(zero(RAX) => xor eax, eax);
    same!(zero(9) => xor r9d, r9d);
    same!(swap(RAX, 10) => xchg r10, rax);
    same!(swap(RBX, RCX) => xchg rbx, rcx);
    same!(push(RBX) => push rbx);
    same!(push(12) => push r12);
    same!(push_imm(500) => push DWORD 500);
    same!(push_imm(-5) => push BYTE -5);
    same!(push_mem(Mem { base: Some(RSP), index: None, disp: 40 }) => push QWORD [rsp + 40]);
    same!(pop(RBP) => pop rbp);
    same!(pop(15) => pop r15);
    same!(ret() => ret);
    same!(cmov(Flag::Less, Width::W64, RAX, Rm::Reg(9)) => cmovl rax, r9);
    same!(cmov(Flag::Above, Width::W64, 9, at(RDI, 8)) => cmova r9, [rdi + 8]);
    same!(set(Flag::BelowEqual, RAX) => setbe al);
    same!(set(Flag::Equal, RSI) => sete sil);
    same!(set(Flag::Greater, 9) => setg r9b);
    same!(lea(Width::W64, RAX, mem(RDI, RCX, 2, 8)) => lea rax, [rdi + rcx * 4 + 8]);
    same!(lea(Width::W32, 9, mem(12, 13, 3, 0)) => lea r9d, [r12 + r13 * 8]);
}

#[test]
fn addresses() {
    same!(widen(WORD8, RAX, at(RDI, 0)) => mov rax, [rdi]);
    same!(widen(WORD8, RAX, at(RBP, 0)) => mov rax, [rbp]);
    same!(widen(WORD8, RAX, at(RSP, 0)) => mov rax, [rsp]);
    same!(widen(WORD8, RAX, at(12, 0)) => mov rax, [r12]);
    same!(widen(WORD8, 9, at(13, 0)) => mov r9, [r13]);
    same!(widen(WORD8, RAX, at(RSP, -128)) => mov rax, [rsp - 128]);
    same!(widen(WORD8, RAX, at(RDI, 127)) => mov rax, [rdi + 127]);
    same!(widen(WORD8, RAX, at(RDI, 128)) => mov rax, [rdi + 128]);
    same!(widen(WORD8, RAX, at(12, 1000)) => mov rax, [r12 + 1000]);
    same!(widen(WORD8, RAX, at(13, -129)) => mov rax, [r13 - 129]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(RDI, RCX, 0, 0))) => mov rax, [rdi + rcx]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(RSP, RCX, 1, 0))) => mov rax, [rsp + rcx * 2]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(RBP, RCX, 1, 0))) => mov rax, [rbp + rcx * 2]);
    same!(widen(WORD8, 15, Rm::Mem(mem(13, 14, 3, 0))) => mov r15, [r13 + r14 * 8]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(12, 12, 2, 5))) => mov rax, [r12 + r12 * 4 + 5]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(RDI, RBP, 0, 0))) => mov rax, [rdi + rbp]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(RSI, 8, 2, 1000))) => mov rax, [rsi + r8 * 4 + 1000]);
}

#[test]
fn loads() {
    same!(widen(Widen::Zero(Size::B), RAX, at(RDI, 3)) => movzx eax, BYTE [rdi + 3]);
    same!(widen(Widen::Zero(Size::H), 9, at(8, 3)) => movzx r9d, WORD [r8 + 3]);
    same!(widen(Widen::Zero(Size::W), RAX, at(8, 3)) => mov eax, [r8 + 3]);
    same!(widen(Widen::Sign(Size::B), RAX, at(RDI, 3)) => movsx rax, BYTE [rdi + 3]);
    same!(widen(Widen::Sign(Size::H), 9, at(RDI, 3)) => movsx r9, WORD [rdi + 3]);
    same!(widen(Widen::Sign(Size::W), RAX, at(RDI, 3)) => movsxd rax, DWORD [rdi + 3]);
    same!(widen(Widen::Zero(Size::B), RAX, Rm::Reg(RCX)) => movzx eax, cl);
    same!(widen(Widen::Zero(Size::B), RAX, Rm::Reg(RSI)) => movzx eax, sil);
    same!(widen(Widen::Zero(Size::B), RSI, Rm::Reg(RAX)) => movzx esi, al);
    same!(widen(Widen::Zero(Size::H), RAX, Rm::Reg(9)) => movzx eax, r9w);
    same!(widen(Widen::Zero(Size::W), RAX, Rm::Reg(9)) => mov eax, r9d);
    same!(widen(Widen::Sign(Size::B), 9, Rm::Reg(RDI)) => movsx r9, dil);
    same!(widen(Widen::Sign(Size::H), RAX, Rm::Reg(RDI)) => movsx rax, di);
    same!(widen(Widen::Sign(Size::W), RAX, Rm::Reg(RDI)) => movsxd rax, edi);
    same!(load_swapped(Size::W, RAX, mem(RDI, RCX, 0, 4)) => movbe eax, [rdi + rcx + 4]);
    same!(load_swapped(Size::DW, 9, mem(RDI, RCX, 0, 4)) => movbe r9, [rdi + rcx + 4]);
}

#[test]
fn stores() {
    same!(store(Size::B, mem(RDI, RCX, 0, 4), RAX) => mov [rdi + rcx + 4], al);
    same!(store(Size::B, mem(RDI, RCX, 0, 4), RSI) => mov [rdi + rcx + 4], sil);
    same!(store(Size::H, mem(RDI, RCX, 0, 4), RAX) => mov [rdi + rcx + 4], ax);
    same!(store(Size::H, mem(RDI, 9, 0, 4), 8) => mov [rdi + r9 + 4], r8w);
    same!(store(Size::W, mem(RDI, RCX, 0, 4), RAX) => mov [rdi + rcx + 4], eax);
    same!(store(Size::DW, mem(RDI, RCX, 0, 4), 14) => mov [rdi + rcx + 4], r14);
    same!(store_imm(Size::B, mem(RDI, RCX, 0, 4), -1) => mov BYTE [rdi + rcx + 4], -1);
    same!(store_imm(Size::H, mem(RDI, RCX, 0, 4), 0x1234) => mov WORD [rdi + rcx + 4], 0x1234);
    same!(store_imm(Size::W, mem(RDI, RCX, 0, 4), 7) => mov DWORD [rdi + rcx + 4], 7);
    same!(store_imm(Size::DW, mem(9, RCX, 0, 4), -7) => mov QWORD [r9 + rcx + 4], -7);
    same!(store_swapped(Size::H, mem(RDI, RCX, 0, 4), RAX) => movbe [rdi + rcx + 4], ax);
    same!(store_swapped(Size::DW, mem(RDI, RCX, 0, 4), 9) => movbe [rdi + rcx + 4], r9);
    same!(vector_zero() => xorps xmm0, xmm0);
    same!(vector_store(mem(RDI, RCX, 0, 4)) => movups [rdi + rcx + 4], xmm0);
    same!(vector_load8(1, mem(RDI, RCX, 0, 4)) => movq xmm1, QWORD [rdi + rcx + 4]);
    same!(vector_store8(1, mem(9, RCX, 0, 4)) => movq QWORD [r9 + rcx + 4], xmm1);
    same!(vector_from(0, RDI) => movq xmm0, rdi);
    same!(vector_to(1, 9) => movq r9, xmm1);
    same!(fill() => rep stosq);
}

#[test]
fn arithmetic() {
    same!(alu(Alu::Add, Width::W64, RAX, Rm::Reg(RCX)) => add rax, rcx);
    same!(alu(Alu::Or, Width::W32, 9, Rm::Reg(RCX)) => or r9d, ecx);
    same!(alu(Alu::And, Width::W64, RAX, Rm::Reg(10)) => and rax, r10);
    same!(alu(Alu::Sub, Width::W32, RAX, at(RDI, 8)) => sub eax, [rdi + 8]);
    same!(alu(Alu::Xor, Width::W64, 9, at(8, 8)) => xor r9, [r8 + 8]);
    same!(alu(Alu::Cmp, Width::W64, RSI, Rm::Reg(RDI)) => cmp rsi, rdi);
    same!(alu_to(Alu::Add, Size::B, mem(RDI, RCX, 0, 4), RSI) => add [rdi + rcx + 4], sil);
    same!(alu_to(Alu::Xor, Size::H, mem(RDI, RCX, 0, 4), RSI) => xor [rdi + rcx + 4], si);
    same!(alu_to(Alu::Sub, Size::DW, mem(RDI, RCX, 0, 4), 9) => sub [rdi + rcx + 4], r9);
    same!(alu_imm(Alu::Add, Size::DW, Rm::Reg(RAX), -128) => add rax, BYTE -128);
    same!(alu_imm(Alu::Add, Size::DW, Rm::Reg(RAX), 500) => add rax, 500);
    same!(alu_imm(Alu::Cmp, Size::W, Rm::Reg(RAX), 500) => cmp eax, 500);
    same!(alu_imm(Alu::Add, Size::DW, Rm::Reg(9), 500) => add r9, 500);
    same!(alu_imm(Alu::And, Size::W, Rm::Reg(RCX), 500) => and ecx, 500);
    // The assembler knows these in their long forms only.
    same!(alu_imm(Alu::Cmp, Size::W, Rm::Reg(RCX), 5) => .u8 0x83 ; .u8 0xf9 ; .u8 5);
    same!(alu_imm(Alu::Cmp, Size::B, Rm::Reg(RSI), 5) => cmp sil, 5);
    same!(alu_imm(Alu::Cmp, Size::B, at(RDI, 8), -5) => cmp BYTE [rdi + 8], -5);
    same!(alu_imm(Alu::Add, Size::H, at(RDI, 8), 5) => .u8 0x66 ; .u8 0x83 ; .u8 0x47 ; .u8 8 ; .u8 5);
    same!(alu_imm(Alu::Add, Size::H, at(RDI, 8), 500) => add WORD [rdi + 8], 500);
    same!(alu_imm(Alu::Cmp, Size::DW, at(RDI, 8), 500) => cmp QWORD [rdi + 8], 500);
    same!(test(Width::W32, Rm::Reg(RAX), RAX) => test eax, eax);
    same!(test(Width::W64, at(RDI, 8), 9) => test [rdi + 8], r9);
    same!(test_imm(Size::B, Rm::Reg(RAX), 4) => test al, 4);
    same!(test_imm(Size::B, Rm::Reg(RSI), 4) => test sil, 4);
    same!(test_imm(Size::W, Rm::Reg(RAX), 500) => test eax, 500);
    same!(test_imm(Size::DW, Rm::Reg(RAX), -500) => test rax, -500);
    same!(test_imm(Size::W, Rm::Reg(9), 500) => test r9d, 500);
    same!(test_imm(Size::B, at(RDI, 8), 4) => test BYTE [rdi + 8], 4);
    same!(test_imm(Size::W, at(RDI, 8), 500) => test DWORD [rdi + 8], 500);
    same!(bt(Width::W32, RAX, 9) => bt eax, r9d);
    same!(bt(Width::W64, 9, RCX) => bt r9, rcx);
    same!(bt_imm(Width::W64, RSI, 40) => bt rsi, 40);
    same!(unary(Unary::Not, Width::W64, Rm::Reg(RAX)) => not rax);
    same!(unary(Unary::Neg, Width::W32, Rm::Reg(9)) => neg r9d);
    same!(unary(Unary::Mul, Width::W64, at(RDI, 8)) => mul QWORD [rdi + 8]);
    same!(unary(Unary::Div, Width::W32, Rm::Reg(RCX)) => div ecx);
    same!(unary(Unary::Idiv, Width::W64, Rm::Reg(RCX)) => idiv rcx);
    same!(sign_to_rdx(Width::W32) => cdq);
    same!(sign_to_rdx(Width::W64) => cqo);
    same!(imul(Width::W64, RAX, Rm::Reg(9)) => imul rax, r9);
    same!(imul(Width::W32, 9, at(RDI, 8)) => imul r9d, [rdi + 8]);
    same!(imul_imm(Width::W32, RAX, Rm::Reg(RCX), 1000) => imul eax, ecx, 1000);
    same!(imul_imm(Width::W64, 9, at(RDI, 8), -7) => imul r9, [rdi + 8], BYTE -7);
    same!(shift_imm(Shift::Shl, Width::W64, Rm::Reg(RAX), 9) => shl rax, 9);
    same!(shift_imm(Shift::Sar, Width::W32, Rm::Reg(9), 31) => sar r9d, 31);
    same!(shift_imm(Shift::Rol, Width::W32, Rm::Reg(RCX), 13) => rol ecx, 13);
    same!(shift_imm(Shift::Shr, Width::W32, Rm::Reg(RCX), 13) => shr ecx, 13);
    same!(bswap(Width::W32, RCX) => bswap ecx);
    same!(bswap(Width::W64, 9) => bswap r9);
    same!(rotate_word(RSI) => rol si, 8);
    same!(rotate_word(9) => rol r9w, 8);
}

#[test]
fn extensions() {
    same!(shift_by(Shift::Shl, Width::W64, RAX, Rm::Reg(RCX), 9) => shlx rax, rcx, r9);
    same!(shift_by(Shift::Shr, Width::W32, 9, at(8, 8), RDI) => shrx r9d, [r8 + 8], edi);
    same!(shift_by(Shift::Sar, Width::W64, 15, Rm::Mem(mem(RDI, 9, 1, 0)), 14) => sarx r15, [rdi + r9 * 2], r14);
    same!(rotate_right(Width::W32, RAX, Rm::Reg(9), 7) => rorx eax, r9d, 7);
    same!(rotate_right(Width::W64, 9, at(RDI, 8), 33) => rorx r9, [rdi + 8], 33);
    same!(and_not(Width::W64, RAX, RCX, Rm::Reg(9)) => andn rax, rcx, r9);
    same!(and_not(Width::W32, 9, 10, at(RDI, 8)) => andn r9d, r10d, [rdi + 8]);
    same!(mul_high(RAX, Rm::Reg(RCX)) => mulx rax, rax, rcx);
    same!(mul_high(9, at(RDI, 8)) => mulx r9, r9, [rdi + 8]);
}

#[test]
fn calls_and_shared_memory() {
    same!(call(Rm::Reg(RAX)) => call rax);
    same!(call(at(RDI, 48)) => call QWORD [rdi + 48]);
    same!(lock() => .u8 0xf0);
    same!(exchange_add(Size::W, mem(RDI, RCX, 0, 4), RAX) => xadd [rdi + rcx + 4], eax);
    same!(exchange_add(Size::DW, mem(RDI, 9, 0, 4), 8) => xadd [rdi + r9 + 4], r8);
    same!(compare_exchange(Size::W, mem(RDI, RCX, 0, 4), RSI) => cmpxchg [rdi + rcx + 4], esi);
    same!(compare_exchange(Size::DW, mem(RDI, 9, 0, 4), 8) => cmpxchg [rdi + r9 + 4], r8);
    same!(exchange(Size::W, mem(RDI, RCX, 0, 4), RSI) => xchg [rdi + rcx + 4], esi);
    same!(exchange(Size::DW, mem(RDI, 9, 0, 4), 8) => xchg [rdi + r9 + 4], r8);
}

#[test]
fn exchanged_operands_are_shorter() {
    // As a base rbp would want a displacement.
    same!(widen(WORD8, RAX, Rm::Mem(mem(RBP, RCX, 0, 0))) => mov rax, [rcx + rbp]);
    same!(widen(WORD8, RAX, Rm::Mem(mem(13, 8, 0, 0))) => mov rax, [r8 + r13]);
}
