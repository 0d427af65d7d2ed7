//! The code of a program that only reads.
//!
//! ```text
//!   rdi rsi rdx   the packet, its length, the context
//!   r9 r10 r11    for an instruction or two
//!   the rest      registers of the program, as many as it has; r0 in rax
//!   below rsp     its stack, and the budget of a program with loops, which came in rcx
//! ```

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{Extend, Insn, Operand, Pc, Program, Reg, RegSet, Size, Width};

use super::admit::Admitted;
use super::chains::{self, Chain, Chains, Item};
use super::{lengths, ranges};
use crate::Options;
use crate::x86_64::{Emitter, RAX, alu, branch, muldiv};

const RDX: u8 = 2;
const RSP: u8 = 4;
/// Registers of the host that are free in such a function: the first three need not be kept for the caller.
const FREE: [u8; 9] = [RAX, 1, 8, 3, 5, 12, 13, 14, 15];
/// Those that the caller wants to find again.
const KEPT: [u8; 6] = [3, 5, 12, 13, 14, 15];
/// What a function may use below its stack pointer (System V ABI, 3.2.2).
const RED_ZONE: u32 = 128;

/// The bytes of the code.
pub(crate) fn emit(program: &Program, admitted: &Admitted, options: Options) -> Vec<u8> {
    let (map, kept) = assign(program, admitted, options);
    let words = admitted.frame.div_ceil(8) + u32::from(admitted.loops());
    let stack = 8 * words;
    let mut out = Out {
        e: Emitter::with_map(program, options, map),
        admitted,
        tests: lengths::tests(program, admitted),
        ceilings: ranges::of_indices(program, admitted),
        chains: chains::find(program, admitted),
        kept,
        below: if stack > RED_ZONE { stack.next_multiple_of(16) } else { 0 },
        budget: -(stack as i32),
        declines: false,
    };
    out.declines = admitted.loops() || (0..program.len()).any(|index| out.may_decline(index));
    out.enter();
    for index in 0..program.len() {
        if admitted.reached[index] && !out.chains.absorbed[index] {
            out.instruction(Pc(index as u32));
        }
    }
    out.ends();
    out.e.finish()
}

/// Which of the host's registers hold which of the program's, and which of those must be kept for the caller.
fn assign(program: &Program, admitted: &Admitted, options: Options) -> ([u8; Reg::COUNT], Vec<u8>) {
    let insns = program.insns().iter().zip(&admitted.reached).filter(|&(_, &reached)| reached);
    let used = insns.fold(RegSet::RESULT, |used, (insn, _)| used.union(insn.writes()).union(insn.reads()));
    let live = admitted.live[0];
    let used = used.union(live).without(admitted.pointers).without(RegSet::of(Reg::R10));
    let mut map = [RSP; Reg::COUNT];
    for pointer in admitted.pointers.iter() {
        map[pointer.index()] = RDX;
    }
    let rotation = usize::from(options.rotation);
    for (number, reg) in used.iter().enumerate() {
        map[reg.index()] = FREE[(number + rotation) % FREE.len()];
    }
    let kept = KEPT.into_iter().filter(|host| used.iter().any(|reg| map[reg.index()] == *host)).collect();
    (map, kept)
}

struct Out<'p> {
    e: Emitter<'p>,
    admitted: &'p Admitted,
    tests: Vec<Option<u64>>,
    ceilings: Vec<u64>,
    chains: Chains,
    kept: Vec<u8>,
    /// How far the stack pointer is moved for the program's stack.
    below: u32,
    /// Where, from there, a program with loops keeps what is left of its budget.
    budget: i32,
    /// Whether it may have to say that it cannot answer.
    declines: bool,
}

impl Out<'_> {
    fn enter(&mut self) {
        for &host in &self.kept {
            dynasm!(self.e.asm ; .arch x64 ; push Rq(host));
        }
        if self.below != 0 {
            dynasm!(self.e.asm ; .arch x64 ; sub rsp, self.below as i32);
        }
        if self.admitted.loops() {
            let at = self.below as i32 + self.budget;
            dynasm!(self.e.asm ; .arch x64 ; mov [rsp + at], rcx);
        }
        for at in (1..=self.admitted.frame.div_ceil(8)).map(|word| self.below as i32 - 8 * word as i32) {
            dynasm!(self.e.asm ; .arch x64 ; mov QWORD [rsp + at], 0);
        }
        for reg in self.admitted.live[0].without(self.admitted.pointers).iter().filter(|&reg| reg != Reg::R10)
        {
            let host = self.e.host(reg);
            dynasm!(self.e.asm ; .arch x64 ; xor Rd(host), Rd(host));
        }
    }

    /// Gives back what was taken, and returns.
    fn leave(&mut self) {
        if self.below != 0 {
            dynasm!(self.e.asm ; .arch x64 ; add rsp, self.below as i32);
        }
        for &host in self.kept.iter().rev() {
            dynasm!(self.e.asm ; .arch x64 ; pop Rq(host));
        }
        dynasm!(self.e.asm ; .arch x64 ; ret);
    }

    fn answer(&mut self) {
        let r0 = self.e.host(Reg::R0);
        if r0 != RAX {
            dynasm!(self.e.asm ; .arch x64 ; mov rax, Rq(r0));
        }
        // Where it never declines, nobody looks at rdx; but it must not say that it does.
        dynasm!(self.e.asm ; .arch x64 ; xor edx, edx);
        self.leave();
    }

    fn ends(&mut self) {
        dynasm!(self.e.asm ; .arch x64 ; ->zero: ; xor eax, eax ; xor edx, edx);
        self.leave();
        if self.declines {
            dynasm!(self.e.asm ; .arch x64 ; ->decline: ; mov edx, 1);
            self.leave();
        }
    }

    fn instruction(&mut self, pc: Pc) {
        self.e.place(pc);
        if let Some(chain) = self.chains.at[pc.index()].take() {
            return self.chain(pc, &chain);
        }
        match self.e.program.insns()[pc.index()] {
            // The context's address stays where it came.
            Insn::Alu { dst, .. } if self.admitted.pointers.contains(dst) => {}
            Insn::Alu { op, width, dst, src } if muldiv::is(op) => {
                muldiv::emit(&mut self.e, op, width, dst, src)
            }
            Insn::Alu { op, width, dst, src } => alu::emit(&mut self.e, op, width, dst, src),
            Insn::Unary { op, dst } => alu::unary(&mut self.e, op, dst),
            Insn::LoadImm { dst, value } => alu::load_imm(&mut self.e, pc, dst, value),
            Insn::Load { size, extend, dst, base, off } => self.load(size, extend, dst, base, off),
            Insn::Store { size, off, src, .. } => self.store(size, off, src),
            Insn::LoadPacket { size, index: None, off } => self.packet(pc, size, off),
            Insn::LoadPacket { size, index: Some(index), off } => self.indexed(pc, size, index, off),
            Insn::Jump { to, .. } => self.go(pc, to),
            Insn::Branch { cond, width, lhs, rhs, to } if to > pc => {
                branch::branch(&mut self.e, pc, cond, width, lhs, rhs, to);
                self.go(pc, Pc(pc.0 + 1));
            }
            Insn::Branch { cond, width, lhs, rhs, to } => {
                let (taken, over) = (self.e.asm.new_dynamic_label(), self.e.asm.new_dynamic_label());
                branch::compare(&mut self.e, cond, width, lhs, rhs);
                branch::jump_if(&mut self.e, cond, taken);
                dynasm!(self.e.asm ; .arch x64 ; jmp =>over ; =>taken);
                self.go(pc, to);
                dynasm!(self.e.asm ; .arch x64 ; =>over);
                self.go(pc, Pc(pc.0 + 1));
            }
            Insn::Exit => self.answer(),
            Insn::Cast { .. } | Insn::Atomic { .. } | Insn::MayGoto { .. } | Insn::Call { .. } => {
                unreachable!("`admit` takes none of these")
            }
        }
    }

    /// Goes to another instruction, unless it comes next. Who goes back pays.
    fn go(&mut self, from: Pc, to: Pc) {
        if to <= from {
            let (target, at) = (self.e.label(to), self.below as i32 + self.budget);
            let cost = (from.0 - to.0 + 1) as i32;
            dynasm!(self.e.asm ; .arch x64 ; sub QWORD [rsp + at], cost ; jb ->decline ; jmp =>target);
            return;
        }
        let skipped = |index: usize| !self.admitted.reached[index] || self.chains.absorbed[index];
        if !(from.index() + 1..to.index()).all(skipped) {
            let target = self.e.label(to);
            dynasm!(self.e.asm ; .arch x64 ; jmp =>target);
        }
    }

    fn load(&mut self, size: Size, extend: Extend, dst: Reg, base: Reg, off: i16) {
        let dst = self.e.host(dst);
        let (base, at) = match base {
            Reg::R10 => (RSP, self.below as i32 + i32::from(off)),
            _ => (RDX, i32::from(off)),
        };
        match (size, extend) {
            (Size::B, Extend::Zero) => dynasm!(self.e.asm ; .arch x64 ; movzx Rd(dst), BYTE [Rq(base) + at]),
            (Size::H, Extend::Zero) => dynasm!(self.e.asm ; .arch x64 ; movzx Rd(dst), WORD [Rq(base) + at]),
            (Size::W, Extend::Zero) => dynasm!(self.e.asm ; .arch x64 ; mov Rd(dst), DWORD [Rq(base) + at]),
            (Size::B, Extend::Sign) => dynasm!(self.e.asm ; .arch x64 ; movsx Rq(dst), BYTE [Rq(base) + at]),
            (Size::H, Extend::Sign) => dynasm!(self.e.asm ; .arch x64 ; movsx Rq(dst), WORD [Rq(base) + at]),
            (Size::W, Extend::Sign) => {
                dynasm!(self.e.asm ; .arch x64 ; movsxd Rq(dst), DWORD [Rq(base) + at])
            }
            (Size::DW, _) => dynasm!(self.e.asm ; .arch x64 ; mov Rq(dst), QWORD [Rq(base) + at]),
        }
    }

    fn store(&mut self, size: Size, off: i16, src: Operand) {
        let at = self.below as i32 + i32::from(off);
        match src {
            Operand::Reg(src) => {
                let src = self.e.host(src);
                match size {
                    Size::B => dynasm!(self.e.asm ; .arch x64 ; mov BYTE [rsp + at], Rb(src)),
                    Size::H => dynasm!(self.e.asm ; .arch x64 ; mov WORD [rsp + at], Rw(src)),
                    Size::W => dynasm!(self.e.asm ; .arch x64 ; mov DWORD [rsp + at], Rd(src)),
                    Size::DW => dynasm!(self.e.asm ; .arch x64 ; mov QWORD [rsp + at], Rq(src)),
                }
            }
            Operand::Imm(imm) => match size {
                Size::B => dynasm!(self.e.asm ; .arch x64 ; mov BYTE [rsp + at], imm as i8),
                Size::H => dynasm!(self.e.asm ; .arch x64 ; mov WORD [rsp + at], imm as i16),
                Size::W => dynasm!(self.e.asm ; .arch x64 ; mov DWORD [rsp + at], imm),
                Size::DW => dynasm!(self.e.asm ; .arch x64 ; mov QWORD [rsp + at], imm),
            },
        }
    }

    /// `r0 = ntoh(packet[off : size])`, after asking for all that is needed from here on.
    fn packet(&mut self, pc: Pc, size: Size, off: i32) {
        if off < 0 {
            dynasm!(self.e.asm ; .arch x64 ; jmp ->decline);
            return;
        }
        match self.tests[pc.index()].map(i32::try_from) {
            None => {}
            Some(Ok(length)) => dynasm!(self.e.asm ; .arch x64 ; cmp rsi, length ; jb ->zero),
            // No packet is that long.
            Some(Err(_)) => {
                dynasm!(self.e.asm ; .arch x64 ; jmp ->zero);
                return;
            }
        }
        let r0 = self.e.host(Reg::R0);
        match size {
            Size::B => dynasm!(self.e.asm ; .arch x64 ; movzx Rd(r0), BYTE [rdi + off]),
            Size::H => dynasm!(self.e.asm ; .arch x64 ; movzx Rd(r0), WORD [rdi + off]),
            Size::W => dynasm!(self.e.asm ; .arch x64 ; mov Rd(r0), DWORD [rdi + off]),
            Size::DW => dynasm!(self.e.asm ; .arch x64 ; mov Rq(r0), QWORD [rdi + off]),
        }
        self.swap(size);
    }

    /// Whether the sum of an index and an offset can be anything but a number from 0 on.
    fn may_decline(&self, index: usize) -> bool {
        match self.e.program.insns()[index] {
            Insn::LoadPacket { size, index: Some(_), off } if self.admitted.reached[index] => {
                let end = |off: u64| self.ceilings[index].saturating_add(off + u64::from(size.bytes()));
                !u64::try_from(off).is_ok_and(|off| end(off) <= i32::MAX as u64)
            }
            Insn::LoadPacket { index: None, off, .. } => off < 0,
            _ => false,
        }
    }

    /// `r0 = ntoh(packet[index + off : size])`
    fn indexed(&mut self, pc: Pc, size: Size, index: Reg, off: i32) {
        let (index, r0, bytes) = (self.e.host(index), self.e.host(Reg::R0), i32::from(size.bytes()));
        if self.may_decline(pc.index()) {
            dynasm!(self.e.asm
                ; .arch x64
                ; mov r9d, Rd(index)
                ; add r9d, off
                ; js ->decline
                ; lea r10, [r9 + bytes]
            );
        } else {
            dynasm!(self.e.asm ; .arch x64 ; lea r9, [Rq(index) + off] ; lea r10, [Rq(index) + off + bytes]);
        }
        dynasm!(self.e.asm ; .arch x64 ; cmp r10, rsi ; ja ->zero);
        match size {
            Size::B => dynasm!(self.e.asm ; .arch x64 ; movzx Rd(r0), BYTE [rdi + r9]),
            Size::H => dynasm!(self.e.asm ; .arch x64 ; movzx Rd(r0), WORD [rdi + r9]),
            Size::W => dynasm!(self.e.asm ; .arch x64 ; mov Rd(r0), DWORD [rdi + r9]),
            Size::DW => dynasm!(self.e.asm ; .arch x64 ; mov Rq(r0), QWORD [rdi + r9]),
        }
        self.swap(size);
    }

    /// From network order.
    fn swap(&mut self, size: Size) {
        let r0 = self.e.host(Reg::R0);
        match size {
            Size::B => {}
            Size::H => dynasm!(self.e.asm ; .arch x64 ; rol Rw(r0), 8),
            Size::W => dynasm!(self.e.asm ; .arch x64 ; bswap Rd(r0)),
            Size::DW => dynasm!(self.e.asm ; .arch x64 ; bswap Rq(r0)),
        }
    }

    fn chain(&mut self, pc: Pc, chain: &Chain) {
        self.search(chain, &chain.items);
        self.go(pc, chain.otherwise);
    }

    /// Looks for the number among these items; ends behind itself if it is not there.
    fn search(&mut self, chain: &Chain, items: &[Item]) {
        if items.len() <= 2 {
            for item in items {
                self.item(chain, item);
            }
            return;
        }
        let (low, high) = items.split_at(items.len() / 2);
        let (above, otherwise) = (self.e.asm.new_dynamic_label(), self.e.label(chain.otherwise));
        self.compare(chain, high[0].first);
        dynasm!(self.e.asm ; .arch x64 ; jae =>above);
        self.search(chain, low);
        dynasm!(self.e.asm ; .arch x64 ; jmp =>otherwise ; =>above);
        self.search(chain, high);
    }

    /// Compares with a number that the program has as an immediate: so it has the form of one.
    fn compare(&mut self, chain: &Chain, number: u64) {
        let (reg, imm) = (self.e.host(chain.reg), number as i32);
        match chain.width {
            Width::W32 => dynasm!(self.e.asm ; .arch x64 ; cmp Rd(reg), imm),
            Width::W64 => dynasm!(self.e.asm ; .arch x64 ; cmp Rq(reg), imm),
        }
    }

    fn item(&mut self, chain: &Chain, item: &Item) {
        let to = self.e.label(item.to);
        if item.first == item.last {
            self.compare(chain, item.first);
            dynasm!(self.e.asm ; .arch x64 ; je =>to);
            return;
        }
        let over = self.distance(chain, item);
        match item.bits {
            None => dynasm!(self.e.asm ; .arch x64 ; jbe =>to),
            Some(bits) => dynasm!(self.e.asm
                ; .arch x64
                ; ja =>over
                ; mov r10, QWORD bits as i64
                ; bt r10, r9
                ; jc =>to
            ),
        }
        dynasm!(self.e.asm ; .arch x64 ; =>over);
    }

    /// How far from the item's first number, in r9, compared with how far its last is; and a label for behind the item.
    fn distance(&mut self, chain: &Chain, item: &Item) -> DynamicLabel {
        let (reg, first, far) = (self.e.host(chain.reg), item.first as i32, (item.last - item.first) as i32);
        match chain.width {
            Width::W32 => dynasm!(self.e.asm ; .arch x64 ; mov r9d, Rd(reg) ; sub r9d, first ; cmp r9d, far),
            Width::W64 => dynasm!(self.e.asm ; .arch x64 ; mov r9, Rq(reg) ; sub r9, first ; cmp r9, far),
        }
        self.e.asm.new_dynamic_label()
    }
}
