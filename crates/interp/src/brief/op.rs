//! Operations of short programs, and how one leads to the next.
//!
//! As in [`code`](crate::code), an operation is a function that ends with a call of the following one's. There are
//! few, and none leads back, so that no stack is too short for these calls where they are no jumps.

use sandbpf_isa::{
    AluOp, Cond, Extend, Imm64, Insn, Operand, Pc, Reg, Size, UnaryOp, Width, for_each_alu_op, for_each_cond,
    for_each_unary_op,
};
use sandbpf_runtime::{Fault, Trap};

use super::Reach;
use crate::meaning::{Binary, Narrow, Test, Unary, Wide, alu, cond, unary};

/// One operation.
#[derive(Clone, Copy)]
pub(super) struct Op {
    run: Handler,
    /// What is added to `src`.
    imm: u64,
    /// Where a jump leads.
    to: u8,
    dst: u8,
    src: u8,
}

/// Does the first of these operations and those after it.
type Handler = fn(&mut Live<'_>, &[Op]) -> Next;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Exit,
    /// There is no operation after the last.
    Fell,
    /// An access failed.
    Fault,
}

/// A run. Its registers lie so that zeros are written to whole lines of the cache.
#[repr(C, align(64))]
pub(super) struct Live<'m> {
    pub(super) registers: [u64; REGISTERS],
    ops: &'m [Op],
    reach: Reach<'m>,
    /// Which operation failed, and where it reached.
    fault: Option<(u32, Fault)>,
}

/// So many that every number of a few bits is one's.
const REGISTERS: usize = 16;
const MASK: u8 = REGISTERS as u8 - 1;
/// A register that no program has: it is always zero.
const ZERO: u8 = Reg::COUNT as u8;

impl<'m> Live<'m> {
    #[inline(always)]
    pub(super) fn new(ops: &'m [Op], reach: Reach<'m>) -> Live<'m> {
        Live { registers: [0; REGISTERS], ops, reach, fault: None }
    }

    /// Does these operations.
    #[inline(always)]
    pub(super) fn go(&mut self, ops: &[Op]) -> Next {
        match ops {
            [op, ..] => (op.run)(self, ops),
            [] => Next::Fell,
        }
    }

    #[inline(always)]
    fn get(&self, register: u8) -> u64 {
        self.registers[usize::from(register & MASK)]
    }

    #[inline(always)]
    fn set(&mut self, register: u8, value: u64) {
        self.registers[usize::from(register & MASK)] = value;
    }

    /// `src + imm`: a number, a register, or an address, as one of them is zero or not.
    #[inline(always)]
    fn operand(&self, op: &Op) -> u64 {
        self.get(op.src).wrapping_add(op.imm)
    }

    #[cold]
    #[inline(never)]
    fn fail(&mut self, ops: &[Op], address: u64, size: u32, write: bool) -> Next {
        self.fault = Some(((self.ops.len() - ops.len()) as u32, Fault { address, size, write }));
        Next::Fault
    }

    /// Why the run stopped, if an access failed.
    #[cold]
    pub(super) fn trap(&self) -> Trap {
        match self.fault {
            Some((at, fault)) => fault.at(Pc(at)),
            None => Trap::FellOff { pc: Pc(0) },
        }
    }
}

/// The first operation, and those after it. There are some after each but the last, which stands behind the program.
#[inline(always)]
fn take(ops: &[Op]) -> Option<(&Op, &[Op])> {
    if ops.len() > 1 { ops.split_first() } else { None }
}

fn two<B: Binary>(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, rest)) = take(ops) else { return Next::Fell };
    live.set(op.dst, B::eval(live.get(op.dst), live.operand(op)));
    live.go(rest)
}

fn one<U: Unary>(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, rest)) = take(ops) else { return Next::Fell };
    live.set(op.dst, U::eval(live.get(op.dst)));
    live.go(rest)
}

fn load<const N: usize, const SIGNED: bool>(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, rest)) = take(ops) else { return Next::Fell };
    let address = live.operand(op);
    let Some(bytes) = live.reach.load::<N>(address) else {
        return live.fail(ops, address, N as u32, false);
    };
    let value = match *bytes.as_slice() {
        [a] if SIGNED => a as i8 as u64,
        [a, b] if SIGNED => i16::from_le_bytes([a, b]) as u64,
        [a, b, c, d] if SIGNED => i32::from_le_bytes([a, b, c, d]) as u64,
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    };
    live.set(op.dst, value);
    live.go(rest)
}

/// `*dst = src`, where the offset is in the immediate.
fn store<const N: usize>(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, rest)) = take(ops) else { return Next::Fell };
    put::<N>(live, ops, rest, live.get(op.dst).wrapping_add(op.imm), live.get(op.src))
}

/// `*dst = imm`, where `dst` has the offset added.
fn store_immediate<const N: usize>(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, rest)) = take(ops) else { return Next::Fell };
    // Both halves are sign-extended.
    let (off, value) = ((op.imm >> 32) as i32 as u64, op.imm as i32 as u64);
    put::<N>(live, ops, rest, live.get(op.dst).wrapping_add(off), value)
}

#[inline(always)]
fn put<const N: usize>(live: &mut Live<'_>, ops: &[Op], rest: &[Op], address: u64, value: u64) -> Next {
    match (live.reach.place::<N>(address), value.to_le_bytes().first_chunk()) {
        (Some(place), Some(bytes)) => *place = *bytes,
        _ => return live.fail(ops, address, N as u32, true),
    }
    live.go(rest)
}

fn branch<T: Test>(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, rest)) = take(ops) else { return Next::Fell };
    if T::holds(live.get(op.dst), live.operand(op)) { jump(live, ops) } else { live.go(rest) }
}

fn jump(live: &mut Live<'_>, ops: &[Op]) -> Next {
    let Some((op, _)) = take(ops) else { return Next::Fell };
    match live.ops.get(usize::from(op.to)..) {
        Some(ops) => live.go(ops),
        None => Next::Fell,
    }
}

fn exit(_: &mut Live<'_>, _: &[Op]) -> Next {
    Next::Exit
}

fn fell(_: &mut Live<'_>, _: &[Op]) -> Next {
    Next::Fell
}

impl Op {
    /// What stands behind the last operation.
    pub(super) const FELL: Op = Op { run: fell, imm: 0, to: 0, dst: 0, src: ZERO };

    /// The instruction that stands at `at`, if short programs may have it.
    pub(super) fn of(at: usize, insn: &Insn) -> Option<Op> {
        let op = |run: Handler, dst: Reg, operand: Operand| {
            let dst = dst.number();
            match operand {
                Operand::Reg(src) => Op { run, dst, src: src.number(), imm: 0, to: 0 },
                Operand::Imm(imm) => Op { run, dst, src: ZERO, imm: imm as u64, to: 0 },
            }
        };
        let goes_on = |to: Pc| u8::try_from(to.0).ok().filter(|_| to.index() > at);
        if insn.writes().contains(Reg::R10) {
            return None;
        }
        Some(match *insn {
            Insn::Alu { op: alu, width, dst, src } => op(alu_handler(alu, width), dst, src),
            Insn::Unary { op: unary, dst } => op(unary_handler(unary), dst, Operand::Imm(0)),
            Insn::LoadImm { dst, value: Imm64::Number(imm) } => {
                Op { run: two::<Wide<alu::Mov>>, dst: dst.number(), src: ZERO, imm, to: 0 }
            }
            Insn::Load { size, extend, dst, base, off } => {
                Op { imm: off as u64, ..op(load_handler(size, extend), dst, base.into()) }
            }
            Insn::Store { size, base, off, src: Operand::Reg(src) } => {
                Op { imm: off as u64, ..op(store_handler(size, true), base, src.into()) }
            }
            Insn::Store { size, base, off, src: Operand::Imm(imm) } => {
                let both = u64::from(off as i32 as u32) << 32 | u64::from(imm as u32);
                Op { imm: both, ..op(store_handler(size, false), base, Operand::Imm(0)) }
            }
            Insn::Jump { to, .. } => Op { run: jump, to: goes_on(to)?, ..Op::FELL },
            Insn::Branch { cond, width, lhs, rhs, to } => {
                Op { to: goes_on(to)?, ..op(branch_handler(cond, width), lhs, rhs) }
            }
            Insn::Exit => Op { run: exit, ..Op::FELL },
            Insn::LoadImm { .. } | Insn::Cast { .. } | Insn::Atomic { .. } | Insn::LoadPacket { .. } => {
                return None;
            }
            Insn::MayGoto { .. } | Insn::Call { .. } => return None,
        })
    }
}

fn alu_handler(op: AluOp, width: Width) -> Handler {
    macro_rules! find {
        ($( $(#[doc = $doc:literal])* $Op:ident ($c:literal, $o:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
            match (op, width) {
                $(
                    (AluOp::$Op, Width::W64) => two::<Wide<alu::$Op>>,
                    (AluOp::$Op, Width::W32) => two::<Narrow<alu::$Op>>,
                )*
            }
        };
    }
    for_each_alu_op!(find)
}

fn unary_handler(op: UnaryOp) -> Handler {
    macro_rules! find {
        ($( $(#[doc = $doc:literal])* $Op:ident ($class:ident, $src:ident, $c:literal, $imm:literal) $s:literal |$a:ident| $m:expr; )*) => {
            match op {
                $( UnaryOp::$Op => one::<unary::$Op>, )*
            }
        };
    }
    for_each_unary_op!(find)
}

fn branch_handler(cond: Cond, width: Width) -> Handler {
    macro_rules! find {
        ($( $(#[doc = $doc:literal])* $Cond:ident ($c:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
            match (cond, width) {
                $(
                    (Cond::$Cond, Width::W64) => branch::<Wide<cond::$Cond>>,
                    (Cond::$Cond, Width::W32) => branch::<Narrow<cond::$Cond>>,
                )*
            }
        };
    }
    for_each_cond!(find)
}

fn load_handler(size: Size, extend: Extend) -> Handler {
    match (size, extend) {
        (Size::B, Extend::Zero) => load::<1, false>,
        (Size::H, Extend::Zero) => load::<2, false>,
        (Size::W, Extend::Zero) => load::<4, false>,
        (Size::B, Extend::Sign) => load::<1, true>,
        (Size::H, Extend::Sign) => load::<2, true>,
        (Size::W, Extend::Sign) => load::<4, true>,
        (Size::DW, _) => load::<8, false>,
    }
}

fn store_handler(size: Size, register: bool) -> Handler {
    match (size, register) {
        (Size::B, true) => store::<1>,
        (Size::H, true) => store::<2>,
        (Size::W, true) => store::<4>,
        (Size::DW, true) => store::<8>,
        (Size::B, false) => store_immediate::<1>,
        (Size::H, false) => store_immediate::<2>,
        (Size::W, false) => store_immediate::<4>,
        (Size::DW, false) => store_immediate::<8>,
    }
}
