//! What ends in a branch, and the jump if it is not taken.

use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Size, Width, for_each_cond};

use super::Found;
use super::part::{
    Both, Decide, EqualRegisters, Equality, Fixed, Load, OnImmediate, OnRegisters, Part, Set, branch_jump,
    then_branch, then_branch_jump, two_branches,
};
use crate::meaning::{Binary, Narrow, Wide, alu, cond};
use crate::op::{ByPair, ByRegister, Handler, each_register};

/// What ends in a branch that decides like this.
struct Ending<T>(std::marker::PhantomData<T>);

impl<T: Decide> Ending<T> {
    const ALL: Endings = Endings {
        jump: branch_jump::<T>,
        set: of::<Set, T>(),
        load: [
            then_branch::<Load<1>, T>,
            then_branch::<Load<2>, T>,
            then_branch::<Load<4>, T>,
            then_branch::<Load<8>, T>,
        ],
    };
}

/// A part before a branch, and before a branch with a jump behind.
type Two = [Handler; 2];

const fn of<P: Part, T: Decide>() -> Two {
    [then_branch::<P, T>, then_branch_jump::<P, T>]
}

struct Endings {
    jump: Handler,
    set: Two,
    load: [Handler; 4],
}

fn endings(cond: Cond, width: Width, register: bool) -> &'static Endings {
    macro_rules! find {
        ($( $(#[doc = $doc:literal])* $Cond:ident ($c:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
            match (cond, width, register) {
                $(
                    (Cond::$Cond, Width::W64, true) => &Ending::<OnRegisters<Wide<cond::$Cond>>>::ALL,
                    (Cond::$Cond, Width::W64, false) => &Ending::<OnImmediate<Wide<cond::$Cond>>>::ALL,
                    (Cond::$Cond, Width::W32, true) => &Ending::<OnRegisters<Narrow<cond::$Cond>>>::ALL,
                    (Cond::$Cond, Width::W32, false) => &Ending::<OnImmediate<Narrow<cond::$Cond>>>::ALL,
                )*
            }
        };
    }
    for_each_cond!(find)
}

/// A copy before a test for equality, and before one with a jump behind.
struct Copying<B>(std::marker::PhantomData<B>);

impl<B: Binary> Copying<B> {
    const ALONE: ByPair =
        each_register!(D => each_register!(S => then_branch::<Both<B, D, S>, Equality> as Handler));
    const JUMP: ByPair =
        each_register!(D => each_register!(S => then_branch_jump::<Both<B, D, S>, Equality> as Handler));

    fn before(dst: usize, src: usize) -> Option<Two> {
        Some([*Self::ALONE[dst].get(src)?, *Self::JUMP[dst].get(src)?])
    }
}

/// Arithmetic with a constant before a test for equality, with a constant or a register, and before one with a jump behind.
struct Constant<B>(std::marker::PhantomData<B>);

impl<B: Binary> Constant<B> {
    const ALONE: ByRegister = each_register!(D => then_branch::<Fixed<B, D>, Equality> as Handler);
    const JUMP: ByRegister = each_register!(D => then_branch_jump::<Fixed<B, D>, Equality> as Handler);
    const ALONE_REGISTERS: ByRegister =
        each_register!(D => then_branch::<Fixed<B, D>, EqualRegisters> as Handler);
    const JUMP_REGISTERS: ByRegister =
        each_register!(D => then_branch_jump::<Fixed<B, D>, EqualRegisters> as Handler);

    fn before(dst: usize, registers: bool) -> Two {
        match registers {
            false => [Self::ALONE[dst], Self::JUMP[dst]],
            true => [Self::ALONE_REGISTERS[dst], Self::JUMP_REGISTERS[dst]],
        }
    }
}

/// What does arithmetic before a test for equality.
fn before_equality(insn: Insn, registers: bool) -> Option<Two> {
    let Insn::Alu { op, width, dst, src } = insn else { return None };
    let dst = dst.index();
    Some(match (op, width, src) {
        (AluOp::Mov, Width::W64, Operand::Reg(src)) if !registers => {
            return Copying::<Wide<alu::Mov>>::before(dst, src.index());
        }
        (AluOp::Mov, Width::W32, Operand::Reg(src)) if !registers => {
            return Copying::<Narrow<alu::Mov>>::before(dst, src.index());
        }
        (AluOp::Add, Width::W64, Operand::Imm(_)) => Constant::<Wide<alu::Add>>::before(dst, registers),
        (AluOp::Add, Width::W32, Operand::Imm(_)) => Constant::<Narrow<alu::Add>>::before(dst, registers),
        (AluOp::And, Width::W64, Operand::Imm(_)) => Constant::<Wide<alu::And>>::before(dst, registers),
        (AluOp::And, Width::W32, Operand::Imm(_)) => Constant::<Narrow<alu::And>>::before(dst, registers),
        _ => return None,
    })
}

pub(super) fn find(insns: &[Insn], found: &mut Found) {
    let [first, ref rest @ ..] = *insns else { return };
    if let Insn::Branch { cond, width, rhs, .. } = first {
        match rest {
            [Insn::Jump { .. }, ..] => found.add(2, endings(cond, width, rhs.reg().is_some()).jump),
            [second @ Insn::Branch { .. }, ..] => {
                if let Some(run) = equalities(first, *second) {
                    found.add(2, run);
                }
            }
            _ => {}
        }
        return;
    }
    let [Insn::Branch { cond, width, rhs, .. }, ref rest @ ..] = *rest else { return };
    let has_jump = matches!(rest, [Insn::Jump { .. }, ..]);
    let mut add = |[alone, jump]: Two| {
        found.add(2, alone);
        if has_jump {
            found.add(3, jump);
        }
    };
    if matches!(cond, Cond::Eq | Cond::Ne)
        && let Some(both) = before_equality(first, rhs.reg().is_some())
    {
        return add(both);
    }
    let endings = endings(cond, width, rhs.reg().is_some());
    match first {
        Insn::Alu { op: AluOp::Mov, width: Width::W64, src: Operand::Imm(_), .. } => add(endings.set),
        Insn::Load { size, extend: Extend::Zero, .. } => found.add(2, endings.load[size as usize]),
        _ => {}
    }
}

/// Two tests for equality with constants.
fn equalities(first: Insn, second: Insn) -> Option<Handler> {
    type W<C> = OnImmediate<Wide<C>>;
    type N<C> = OnImmediate<Narrow<C>>;
    use cond::{Eq, Ne};
    let kind = |insn| match insn {
        Insn::Branch { cond: Cond::Eq, width, rhs: Operand::Imm(_), .. } => Some((true, width)),
        Insn::Branch { cond: Cond::Ne, width, rhs: Operand::Imm(_), .. } => Some((false, width)),
        _ => None,
    };
    let (first, second) = (kind(first)?, kind(second)?);
    if first.1 != second.1 {
        return None;
    }
    Some(match (first.0, second.0, first.1) {
        (true, true, Width::W64) => two_branches::<W<Eq>, W<Eq>>,
        (true, false, Width::W64) => two_branches::<W<Eq>, W<Ne>>,
        (false, true, Width::W64) => two_branches::<W<Ne>, W<Eq>>,
        (false, false, Width::W64) => two_branches::<W<Ne>, W<Ne>>,
        (true, true, Width::W32) => two_branches::<N<Eq>, N<Eq>>,
        (true, false, Width::W32) => two_branches::<N<Eq>, N<Ne>>,
        (false, true, Width::W32) => two_branches::<N<Ne>, N<Eq>>,
        (false, false, Width::W32) => two_branches::<N<Ne>, N<Ne>>,
    })
}

/// The sizes of loads, in order.
const _: () = assert!(Size::B as usize == 0 && Size::DW as usize == 3);
