//! What ends in a branch, and the jump if it is not taken.

use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Size, Width, for_each_cond};

use super::Found;
use super::part::{
    Any, Both, Decide, Equality, Load, OnImmediate, OnRegisters, Part, branch_jump, then_branch,
    then_branch_jump, two_branches,
};
use crate::meaning::{Binary, Narrow, Wide, alu, cond};
use crate::op::{ByPair, Handler, each_register};

/// What ends in a branch that decides like this.
struct Ending<T>(std::marker::PhantomData<T>);

impl<T: Decide> Ending<T> {
    const ALL: Endings = Endings {
        jump: branch_jump::<T>,
        add: of::<Any<Wide<alu::Add>>, T>(),
        add_narrow: of::<Any<Narrow<alu::Add>>, T>(),
        set: of::<Any<Wide<alu::Mov>>, T>(),
        and: of::<Any<Wide<alu::And>>, T>(),
        and_narrow: of::<Any<Narrow<alu::And>>, T>(),
        load: [of::<Load<1>, T>(), of::<Load<2>, T>(), of::<Load<4>, T>(), of::<Load<8>, T>()],
    };
}

/// A part before a branch, and before a branch with a jump behind.
type Two = [Handler; 2];

const fn of<P: Part, T: Decide>() -> Two {
    [then_branch::<P, T>, then_branch_jump::<P, T>]
}

struct Endings {
    jump: Handler,
    add: Two,
    add_narrow: Two,
    set: Two,
    and: Two,
    and_narrow: Two,
    load: [Two; 4],
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
}

fn copying(width: Width, dst: usize, src: usize) -> Option<Two> {
    let tables = match width {
        Width::W64 => [&Copying::<Wide<alu::Mov>>::ALONE, &Copying::<Wide<alu::Mov>>::JUMP],
        Width::W32 => [&Copying::<Narrow<alu::Mov>>::ALONE, &Copying::<Narrow<alu::Mov>>::JUMP],
    };
    let [alone, jump] = tables.map(|table| table[dst].get(src).copied());
    Some([alone?, jump?])
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
    let [second @ Insn::Branch { cond, width, rhs, .. }, ref rest @ ..] = *rest else { return };
    let has_jump = matches!(rest, [Insn::Jump { .. }, ..]);
    let mut add = |[alone, jump]: Two| {
        found.add(2, alone);
        if has_jump {
            found.add(3, jump);
        }
    };
    let endings = endings(cond, width, rhs.reg().is_some());
    match first {
        Insn::Alu { op, width, src: Operand::Imm(_), .. } => match (op, width) {
            (AluOp::Add, Width::W64) => add(endings.add),
            (AluOp::Add, Width::W32) => add(endings.add_narrow),
            (AluOp::And, Width::W64) => add(endings.and),
            (AluOp::And, Width::W32) => add(endings.and_narrow),
            (AluOp::Mov, Width::W64) => add(endings.set),
            _ => {}
        },
        Insn::Alu { op: AluOp::Mov, width: copy, dst, src: Operand::Reg(src) } if Equality::is(second) => {
            if let Some(both) = copying(copy, dst.index(), src.index()) {
                add(both);
            }
        }
        Insn::Load { size, extend: Extend::Zero, .. } => add(endings.load[size as usize]),
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
