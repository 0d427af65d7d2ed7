//! Classic to extended: each instruction becomes a few, in order, with the same meaning.
//!
//! | classic | extended |
//! |---|---|
//! | `A` | `r0` |
//! | `X` | `r7` |
//! | `M[i]` | the word at `r10 - 4 * (i + 1)`; a frame is zero when entered |
//! | packet | `LoadPacket` |
//! | what Linux keeps beside it | fields of `__sk_buff` at `r6`, helpers |
//! | `struct seccomp_data` | words at `r6` |
//!
//! `r8` keeps `A` during a load that must not change it, and `r2`, `r3` carry arguments. `r0` and `r7`
//! are zero when a run starts, as `A` and `X` are, and their upper halves stay zero.

use alloc::{boxed::Box, vec::Vec};

use sandbpf_abi::{SeccompData, SkBuff, helper};
use sandbpf_isa::{
    AluOp, Callee, Cond, Extend, Insn, Operand, Pc, Program, Reach, Reg, Size, UnaryOp, Width,
};

use crate::ancillary::{self, Ancillary};
use crate::dialect::{Loads, Rules};
use crate::shape::{Answer, Register, Shape, Source};
use crate::{ClassicInsn, Filter, flow};

/// A filter as a program, and the way back.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The program.
    pub program: Program,
    /// Whether it reads its context, so that the context must be filled.
    pub needs_context: bool,
    /// For every instruction of the program, the classic instruction it comes from.
    pub origin: Box<[u32]>,
}

const A: Reg = Reg::R0;
const X: Reg = Reg::R7;
const CONTEXT: Reg = Reg::R6;
const KEPT: Reg = Reg::R8;

/// The largest offset of a load in the dialect where offsets have no sign.
const MAX_OFFSET: u32 = i32::MAX as u32;

/// Turns a filter into a program with the same verdicts, in time linear in its length.
///
/// ```
/// use sandbpf_classic::{Dialect, Filter, lower, parse};
/// let filter = Filter::check(&parse("ld #len\n ret a")?, Dialect::Linux)?;
/// let lowered = lower(&filter);
/// assert!(lowered.needs_context);
/// assert_eq!(lowered.program.len(), 3, "save the context; load the length; return");
/// assert_eq!(*lowered.origin, [0, 0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lower(filter: &Filter) -> Lowered {
    let insns = filter.insns();
    let rules = filter.dialect().rules();
    let needs_context = insns.iter().any(|insn| reads_context(insn, rules.loads));
    let mut lowering = Lowering {
        rules,
        out: Vec::with_capacity(2 * insns.len()),
        origin: Vec::with_capacity(2 * insns.len()),
        current: 0,
        pending: Vec::new(),
    };
    if needs_context {
        lowering.copy64(CONTEXT, Reg::R1);
    }
    // Most filters have no instruction that asks.
    let any = |is: fn(Shape) -> bool| insns.iter().filter_map(|insn| Shape::of(insn.code)).any(is);
    let indirect = rules.loads == Loads::Bounded && any(|shape| matches!(shape, Shape::LoadIndirect(_)));
    let facts = Facts {
        ceilings: if indirect { flow::index_ceilings(insns) } else { Vec::new() },
        needed: match any(|shape| shape == Shape::LoadHeaderLength) {
            true => flow::accumulator_needed(insns),
            false => Vec::new(),
        },
    };
    let mut starts = Vec::with_capacity(insns.len());
    for (index, insn) in insns.iter().enumerate() {
        lowering.current = index as u32;
        starts.push(lowering.here());
        lowering.insn(insn, &facts);
    }
    lowering.finish(&starts, needs_context)
}

/// What is known before lowering, per classic instruction.
struct Facts {
    /// How large `X` can be before it, if there is a load behind `X` in the dialect where that matters.
    ceilings: Vec<u32>,
    /// Whether `A` matters after it, if there is a load that would change it on the way.
    needed: Vec<bool>,
}

fn reads_context(insn: &ClassicInsn, loads: Loads) -> bool {
    match (Shape::of(insn.code), loads) {
        (Some(Shape::LoadAbsolute(_)), Loads::SystemCall) => true,
        (Some(Shape::LoadAbsolute(_)), Loads::Wrapping) => match ancillary::Row::of(insn.k) {
            Some(row) => !matches!(row.what, Ancillary::XorX | Ancillary::Cpu | Ancillary::Random),
            None => false,
        },
        (Some(Shape::LoadLength(_)), loads) => loads != Loads::SystemCall,
        _ => false,
    }
}

struct Lowering {
    rules: Rules,
    out: Vec<Insn>,
    origin: Vec<u32>,
    /// The classic instruction being lowered.
    current: u32,
    /// Jumps in `out`, and the classic instructions that they go to.
    pending: Vec<(usize, u32)>,
}

impl Lowering {
    fn insn(&mut self, insn: &ClassicInsn, facts: &Facts) {
        let ClassicInsn { code, jt, jf, k } = *insn;
        let next = self.current + 1;
        let Some(shape) = Shape::of(code) else {
            self.call(helper::UNDEFINED);
            return self.push(Insn::Exit);
        };
        match shape {
            Shape::LoadAbsolute(size) => self.absolute(size, k),
            Shape::LoadIndirect(size) => self.indirect(size, k, facts),
            Shape::LoadHeaderLength => self.header_length(k, facts),
            Shape::LoadConstant(to) => self.alu(AluOp::Mov, register(to), k as i32),
            Shape::LoadMemory(to) => {
                let (size, extend) = (Size::W, Extend::Zero);
                self.push(Insn::Load { size, extend, dst: register(to), base: Reg::R10, off: word(k) });
            }
            Shape::LoadLength(to) => match self.rules.loads {
                Loads::SystemCall => self.alu(AluOp::Mov, register(to), SeccompData::SIZE as i32),
                Loads::Bounded | Loads::Wrapping => self.field(register(to), SkBuff::LEN),
            },
            Shape::Store(from) => {
                let src = register(from).into();
                self.push(Insn::Store { size: Size::W, base: Reg::R10, off: word(k), src });
            }
            Shape::Alu(op, Source::K) => self.alu(op, A, k as i32),
            Shape::Alu(op, Source::X) => self.alu_x(op),
            Shape::Negate => self.push(Insn::Unary { op: UnaryOp::Neg32, dst: A }),
            Shape::Jump => self.jump(next.wrapping_add(k)),
            Shape::Branch(cond, source) => {
                let rhs = match source {
                    Source::K => Operand::Imm(k as i32),
                    Source::X => X.into(),
                };
                self.branch(cond, rhs, next + u32::from(jt), next + u32::from(jf));
            }
            Shape::Return(Answer::K) => {
                self.alu(AluOp::Mov, A, k as i32);
                self.push(Insn::Exit);
            }
            Shape::Return(Answer::A) => self.push(Insn::Exit),
            Shape::CopyToX => self.alu(AluOp::Mov, X, A),
            Shape::CopyToA => self.alu(AluOp::Mov, A, X),
        }
    }

    fn absolute(&mut self, size: Size, k: u32) {
        match (self.rules.loads, ancillary::Row::of(k)) {
            (Loads::SystemCall, _) => self.field(A, k as usize),
            (Loads::Wrapping, Some(row)) => self.ancillary(row.what),
            (Loads::Wrapping, None) => self.load(size, None, k),
            (Loads::Bounded, _) if k > MAX_OFFSET => self.give_up(),
            (Loads::Bounded, _) => self.load(size, None, k),
        }
    }

    fn indirect(&mut self, size: Size, k: u32, facts: &Facts) {
        if self.rules.loads == Loads::Bounded {
            let Some(room) = MAX_OFFSET.checked_sub(k) else { return self.give_up() };
            if facts.ceilings[self.current as usize] > room {
                self.unless(Cond::Le, room as i32);
            }
        }
        self.load(size, Some(X), k);
    }

    fn header_length(&mut self, k: u32, facts: &Facts) {
        if self.rules.loads == Loads::Bounded && k > MAX_OFFSET {
            return self.give_up();
        }
        let keep = facts.needed[self.current as usize];
        if keep {
            self.alu(AluOp::Mov, KEPT, A);
        }
        self.load(Size::B, None, k);
        self.alu(AluOp::And, A, 0xf);
        self.alu(AluOp::Lsh, A, 2);
        self.alu(AluOp::Mov, X, A);
        if keep {
            self.alu(AluOp::Mov, A, KEPT);
        }
    }

    fn alu_x(&mut self, op: AluOp) {
        match op {
            AluOp::Div | AluOp::Mod => self.unless(Cond::Ne, 0),
            AluOp::Lsh | AluOp::Rsh if self.rules.shifts_out => {
                // Zero stays zero, however far it is shifted.
                let to = Pc(self.here() + 2);
                self.push(Insn::Branch { cond: Cond::Lt, width: Width::W32, lhs: X, rhs: 32.into(), to });
                self.alu(AluOp::Mov, A, 0);
            }
            _ => {}
        }
        self.alu(op, A, X);
    }

    fn branch(&mut self, cond: Cond, rhs: Operand, taken: u32, otherwise: u32) {
        let next = self.current + 1;
        if taken == otherwise {
            return self.jump(taken);
        }
        match opposite(cond) {
            Some(opposite) if taken == next => self.branch_to(opposite, rhs, otherwise),
            _ => {
                self.branch_to(cond, rhs, taken);
                self.jump(otherwise);
            }
        }
    }

    fn branch_to(&mut self, cond: Cond, rhs: Operand, target: u32) {
        self.pending.push((self.out.len(), target));
        self.push(Insn::Branch { cond, width: Width::W32, lhs: A, rhs, to: Pc(0) });
    }

    fn jump(&mut self, target: u32) {
        if target != self.current + 1 {
            self.pending.push((self.out.len(), target));
            self.push(Insn::Jump { to: Pc(0), reach: Reach::Near });
        }
    }

    fn ancillary(&mut self, what: Ancillary) {
        match what {
            Ancillary::Protocol => self.network_order(SkBuff::PROTOCOL),
            Ancillary::PacketType => self.field(A, SkBuff::PKT_TYPE),
            Ancillary::Ifindex => self.of_device(SkBuff::IFINDEX),
            Ancillary::Nlattr => self.attribute(helper::NLATTR),
            Ancillary::NlattrNest => self.attribute(helper::NLATTR_NEST),
            Ancillary::Mark => self.field(A, SkBuff::MARK),
            Ancillary::Queue => self.field(A, SkBuff::QUEUE_MAPPING),
            Ancillary::Hatype => self.of_device(SkBuff::HATYPE),
            Ancillary::Hash => self.field(A, SkBuff::HASH),
            Ancillary::Cpu => self.call(helper::GET_SMP_PROCESSOR_ID),
            Ancillary::XorX => self.alu(AluOp::Xor, A, X),
            Ancillary::VlanTci => self.field(A, SkBuff::VLAN_TCI),
            Ancillary::VlanPresent => self.field(A, SkBuff::VLAN_PRESENT),
            Ancillary::PayloadOffset => {
                self.copy64(Reg::R1, CONTEXT);
                self.call(helper::PAYLOAD_OFFSET);
            }
            Ancillary::Random => self.call(helper::GET_PRANDOM_U32),
            Ancillary::VlanProtocol => self.network_order(SkBuff::VLAN_PROTO),
        }
    }

    /// A field that is big-endian in the context.
    fn network_order(&mut self, off: usize) {
        self.field(A, off);
        self.push(Insn::Unary { op: UnaryOp::Be16, dst: A });
    }

    /// A field of the device. A packet without one ends the program, and `A` is the verdict.
    fn of_device(&mut self, off: usize) {
        self.field(Reg::R2, SkBuff::IFINDEX);
        let to = Pc(self.here() + 2);
        self.push(Insn::Branch { cond: Cond::Ne, width: Width::W32, lhs: Reg::R2, rhs: 0.into(), to });
        self.push(Insn::Exit);
        self.field(A, off);
    }

    fn attribute(&mut self, helper: i32) {
        self.copy64(Reg::R1, CONTEXT);
        self.alu(AluOp::Mov, Reg::R2, A);
        self.alu(AluOp::Mov, Reg::R3, X);
        self.call(helper);
    }

    /// Returns 0 unless `X` compares so.
    fn unless(&mut self, cond: Cond, imm: i32) {
        let to = Pc(self.here() + 3);
        self.push(Insn::Branch { cond, width: Width::W32, lhs: X, rhs: imm.into(), to });
        self.give_up();
    }

    /// Returns 0.
    fn give_up(&mut self) {
        self.alu(AluOp::Mov, A, 0);
        self.push(Insn::Exit);
    }

    fn load(&mut self, size: Size, index: Option<Reg>, k: u32) {
        self.push(Insn::LoadPacket { size, index, off: k as i32 });
    }

    fn field(&mut self, dst: Reg, off: usize) {
        let (size, extend) = (Size::W, Extend::Zero);
        self.push(Insn::Load { size, extend, dst, base: CONTEXT, off: off as i16 });
    }

    fn call(&mut self, helper: i32) {
        self.push(Insn::Call { callee: Callee::Helper(helper) });
    }

    fn alu(&mut self, op: AluOp, dst: Reg, src: impl Into<Operand>) {
        self.push(Insn::Alu { op, width: Width::W32, dst, src: src.into() });
    }

    fn copy64(&mut self, dst: Reg, src: Reg) {
        self.push(Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src: src.into() });
    }

    fn push(&mut self, insn: Insn) {
        self.out.push(insn);
        self.origin.push(self.current);
    }

    fn here(&self) -> u32 {
        self.out.len() as u32
    }

    /// Points the jumps to where their targets start.
    fn finish(mut self, starts: &[u32], needs_context: bool) -> Lowered {
        for (at, target) in self.pending {
            let found = Pc(starts[target as usize]);
            match &mut self.out[at] {
                Insn::Branch { to, .. } => *to = found,
                Insn::Jump { to, reach } => {
                    // Every instruction made here has one slot.
                    let distance = i64::from(found.0) - at as i64 - 1;
                    let near = i16::try_from(distance).is_ok();
                    (*to, *reach) = (found, if near { Reach::Near } else { Reach::Far });
                }
                _ => unreachable!("only jumps are pending"),
            }
        }
        let program = Program::new(self.out).expect("a checked filter lowers to a sound program");
        Lowered { program, needs_context, origin: self.origin.into() }
    }
}

fn register(register: Register) -> Reg {
    match register {
        Register::A => A,
        Register::X => X,
    }
}

/// Where `M[k]` is, from `r10`; the check bounds `k`.
fn word(k: u32) -> i16 {
    -4 * (k as i16 + 1)
}

/// The condition that holds when this one does not, where there is one.
fn opposite(cond: Cond) -> Option<Cond> {
    match cond {
        Cond::Eq => Some(Cond::Ne),
        Cond::Gt => Some(Cond::Le),
        Cond::Ge => Some(Cond::Lt),
        _ => None,
    }
}
