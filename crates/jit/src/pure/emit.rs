//! The code of a program that only reads.
//!
//! ```text
//!   rdi rsi       the packet, its length
//!   rdx           the context, or its first word; free if neither is looked at
//!   r9 r10 r11    for an instruction or two
//!   the rest      registers of the program, as many as it has; r0 in rax
//!   below rsp     its stack, and the budget of a program with loops, which came in rcx
//! ```

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Pc, Program, Reg, Size, Width};

use super::admit::Admitted;
use super::assign::{self, Homes};
use super::blocks::{BlockId, Blocks, Check, Edge, End, Flow, Step, Test};
use super::build;
use super::fuse;
use super::live::Live;
use super::passes::{self, Passed};
use crate::Options;
use crate::pure_pass::{Form, PurePass};
use crate::x86_64::{Emitter, RAX, alu, branch, muldiv};

const RDX: u8 = 2;
const RSP: u8 = 4;
/// What a function may use below its stack pointer (System V ABI, 3.2.2).
const RED_ZONE: u32 = 128;

/// The bytes of the code, and how it is to be called.
pub(crate) fn emit(program: &Program, admitted: &Admitted, options: Options) -> (Vec<u8>, Form) {
    let mut blocks = build::build(program, admitted);
    let cheap = assign::cheap(admitted.context);
    let Passed { flow, frame } = passes::run(&mut blocks, admitted, options.without_pure, cheap);
    let live = Live::of(&blocks, &flow);
    let Homes { map, kept } = assign::assign(&blocks, &flow, &live, admitted.context, options.rotation);
    let stack = 8 * (frame.div_ceil(8) + u32::from(flow.loops));
    let form = form(&blocks, &flow, admitted);
    let mut e = Emitter::with_map(program, options, map);
    let mut label = || e.asm.new_dynamic_label();
    let mut out = Out {
        more: blocks.blocks.iter().skip(program.len()).map(|_| label()).collect(),
        zero: label(),
        decline: label(),
        e,
        next: None,
        fuses: !options.without_pure.has(PurePass::Fusion),
        chooses: !options.without_pure.has(PurePass::Choices),
        blocks: &blocks,
        live: &live,
        form,
        kept,
        frame,
        below: if stack > RED_ZONE { stack.next_multiple_of(16) } else { 0 },
        budget: -(stack as i32),
        tables: Vec::new(),
    };
    out.enter(flow.loops);
    for (at, &id) in flow.order.iter().enumerate() {
        out.next = flow.order.get(at + 1).copied();
        out.block(id);
    }
    out.ends();
    (out.e.finish(), form)
}

/// What the code must be given.
fn form(blocks: &Blocks, flow: &Flow, admitted: &Admitted) -> Form {
    let sum = |step: &Step| matches!(step, Step::Packet { check: Check::Sum, .. });
    let declines = flow.loops || flow.order.iter().any(|&id| blocks.steps(id).iter().any(sum));
    match (admitted.context, declines) {
        (0, false) => Form::Packet,
        (0, true) => Form::Unsure,
        (_, false) if admitted.word => Form::Word,
        (_, true) if admitted.word => Form::Unsure,
        (_, false) => Form::Context,
        (_, true) => Form::Everything,
    }
}

pub(super) struct Out<'p> {
    pub(super) e: Emitter<'p>,
    pub(super) blocks: &'p Blocks,
    live: &'p Live,
    /// The labels of blocks that are more than the program's instructions.
    more: Vec<DynamicLabel>,
    /// Where the answer is 0, for the packet has ended.
    pub(super) zero: DynamicLabel,
    /// Where nobody knows the answer.
    pub(super) decline: DynamicLabel,
    /// The block that comes next.
    pub(super) next: Option<BlockId>,
    /// Whether bytes are compared where they lie.
    fuses: bool,
    /// Whether one of two answers is given without a jump.
    pub(super) chooses: bool,
    pub(super) form: Form,
    /// Registers of the host that the caller wants to find again.
    kept: Vec<u8>,
    /// How many bytes of the stack the program uses.
    frame: u32,
    /// How far the stack pointer is moved for them.
    pub(super) below: u32,
    /// Where, from there, a program with loops keeps what is left of its budget.
    pub(super) budget: i32,
    /// Tables that stand behind the code.
    pub(super) tables: Vec<(DynamicLabel, Vec<u8>)>,
}

impl Out<'_> {
    fn enter(&mut self, loops: bool) {
        for &host in &self.kept {
            dynasm!(self.e.asm ; .arch x64 ; push Rq(host));
        }
        if self.below != 0 {
            dynasm!(self.e.asm ; .arch x64 ; sub rsp, self.below as i32);
        }
        if loops {
            let at = self.below as i32 + self.budget;
            dynasm!(self.e.asm ; .arch x64 ; mov [rsp + at], rcx);
        }
        for at in (1..=self.frame.div_ceil(8)).map(|word| self.below as i32 - 8 * word as i32) {
            dynasm!(self.e.asm ; .arch x64 ; mov QWORD [rsp + at], 0);
        }
        for reg in self.live.before(BlockId(0)).iter() {
            let host = self.e.host(reg);
            dynasm!(self.e.asm ; .arch x64 ; xor Rd(host), Rd(host));
        }
    }

    /// Gives back what was taken, and returns.
    pub(super) fn leave(&mut self) {
        if self.below != 0 {
            dynasm!(self.e.asm ; .arch x64 ; add rsp, self.below as i32);
        }
        for &host in self.kept.iter().rev() {
            dynasm!(self.e.asm ; .arch x64 ; pop Rq(host));
        }
        dynasm!(self.e.asm ; .arch x64 ; ret);
    }

    /// Says that the answer is known, to those who ask.
    pub(super) fn known(&mut self) {
        if matches!(self.form, Form::Unsure | Form::Everything) {
            dynasm!(self.e.asm ; .arch x64 ; xor edx, edx);
        }
    }

    pub(super) fn answer(&mut self, answer: u64) {
        match (u32::try_from(answer), answer as i64) {
            (Ok(0), _) => dynasm!(self.e.asm ; .arch x64 ; xor eax, eax),
            (Ok(small), _) => dynasm!(self.e.asm ; .arch x64 ; mov eax, DWORD small as i32),
            (Err(_), large) => dynasm!(self.e.asm ; .arch x64 ; mov rax, QWORD large),
        }
        self.known();
        self.leave();
    }

    fn exit(&mut self) {
        let r0 = self.e.host(Reg::R0);
        if r0 != RAX {
            dynasm!(self.e.asm ; .arch x64 ; mov rax, Rq(r0));
        }
        self.known();
        self.leave();
    }

    fn ends(&mut self) {
        let (zero, decline) = (self.zero, self.decline);
        dynasm!(self.e.asm ; .arch x64 ; =>zero);
        self.answer(0);
        dynasm!(self.e.asm ; .arch x64 ; =>decline);
        if matches!(self.form, Form::Unsure | Form::Everything) {
            dynasm!(self.e.asm ; .arch x64 ; mov edx, 1);
            self.leave();
        }
        for (label, bytes) in std::mem::take(&mut self.tables) {
            dynasm!(self.e.asm ; .arch x64 ; .align 16 ; =>label ; .bytes bytes);
        }
    }

    fn block(&mut self, id: BlockId) {
        let label = self.label(id);
        dynasm!(self.e.asm ; .arch x64 ; =>label);
        let fused = if self.fuses { fuse::end(self.blocks, self.live, id) } else { None };
        let end = *self.blocks.end(id);
        if let End::Switch(number) = end {
            return self.switch(id, &self.blocks.switches[number as usize], fused);
        }
        self.steps(id, fused.map_or(0, |fused| fused.steps));
        match end {
            End::Exit => self.exit(),
            End::Answer(answer) => self.answer(answer),
            End::Goto(edge) => self.go(edge),
            End::Branch { test, taken, otherwise } => {
                match fused {
                    Some(fused) => self.compare_bytes(&fused),
                    None => self.compare(&test),
                }
                self.branch(test.cond, taken, otherwise);
            }
            End::Enough { index, bytes, taken, otherwise } => {
                self.compare_length(index, bytes);
                let cond = if index.is_some() { Cond::Le } else { Cond::Ge };
                self.branch(cond, Edge::to(taken), Edge::to(otherwise));
            }
            End::Switch(_) => unreachable!("they were taken out above"),
        }
    }

    /// All steps of a block but so many at its end.
    pub(super) fn steps(&mut self, id: BlockId, left: usize) {
        let steps = self.blocks.steps(id);
        steps[..steps.len() - left].iter().for_each(|&step| self.step(step));
    }

    pub(super) fn label(&self, id: BlockId) -> DynamicLabel {
        match id.index().checked_sub(self.e.program.len()) {
            None => self.e.label(Pc(id.0)),
            Some(number) => self.more[number],
        }
    }

    fn compare(&mut self, test: &Test) {
        let Test { cond, width, lhs, rhs } = *test;
        let host = self.e.host(lhs);
        match (rhs, width) {
            (Operand::Imm(0), Width::W32) if matches!(cond, Cond::Eq | Cond::Ne) => {
                dynasm!(self.e.asm ; .arch x64 ; test Rd(host), Rd(host));
            }
            (Operand::Imm(imm), Width::W32) if cond != Cond::Set => self.compare_number(host, imm),
            _ => branch::compare(&mut self.e, cond, width, lhs, rhs),
        }
    }

    /// `cmp host, imm` on 32 bits.
    pub(super) fn compare_number(&mut self, host: u8, imm: i32) {
        dynasm!(self.e.asm ; .arch x64 ; cmp Rd(host), DWORD imm);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Packet { dst, place, check } => {
                let (bytes, dst) = (self.bytes(place, check), self.e.host(dst));
                self.load(dst, place.size, bytes);
                match place.size {
                    Size::B => {}
                    Size::H => dynasm!(self.e.asm ; .arch x64 ; rol Rw(dst), 8),
                    Size::W => dynasm!(self.e.asm ; .arch x64 ; bswap Rd(dst)),
                    Size::DW => dynasm!(self.e.asm ; .arch x64 ; bswap Rq(dst)),
                }
            }
            Step::Insn(insn) => self.insn(insn),
        }
    }

    fn insn(&mut self, insn: Insn) {
        match insn {
            Insn::Alu { op, width, dst, src } if muldiv::is(op) => {
                muldiv::emit(&mut self.e, op, width, dst, src);
            }
            // A shift by an immediate, but for one by nothing, clears the upper half.
            Insn::Alu { op: AluOp::Lsh, width: Width::W32, dst, src: Operand::Imm(imm) } if imm & 31 != 0 => {
                let dst = self.e.host(dst);
                dynasm!(self.e.asm ; .arch x64 ; shl Rd(dst), (imm & 31) as i8);
            }
            Insn::Alu { op: AluOp::Rsh, width: Width::W32, dst, src: Operand::Imm(imm) } if imm & 31 != 0 => {
                let dst = self.e.host(dst);
                dynasm!(self.e.asm ; .arch x64 ; shr Rd(dst), (imm & 31) as i8);
            }
            Insn::Alu { op, width, dst, src } => alu::emit(&mut self.e, op, width, dst, src),
            Insn::Unary { op, dst } => alu::unary(&mut self.e, op, dst),
            Insn::LoadImm { dst, value } => alu::load_imm(&mut self.e, Pc(0), dst, value),
            Insn::Load { size, extend, dst, base, off } => self.load_insn(size, extend, dst, base, off),
            Insn::Store { size, off, src, .. } => self.store(size, off, src),
            Insn::LoadPacket { .. }
            | Insn::Jump { .. }
            | Insn::Branch { .. }
            | Insn::Exit
            | Insn::Cast { .. }
            | Insn::Atomic { .. }
            | Insn::MayGoto { .. }
            | Insn::Call { .. } => unreachable!("blocks have none of these among their steps"),
        }
    }

    fn load_insn(&mut self, size: Size, extend: Extend, dst: Reg, base: Reg, off: i16) {
        let dst = self.e.host(dst);
        let (base, at) = match base {
            Reg::R10 => (RSP, self.below as i32 + i32::from(off)),
            // It came itself.
            _ if matches!(self.form, Form::Word | Form::Unsure) => {
                dynasm!(self.e.asm ; .arch x64 ; mov Rd(dst), edx);
                return;
            }
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
}
