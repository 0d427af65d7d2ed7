//! Two operations, one after the other.

use sandbpf_isa::{AluOp, Extend, Insn, Operand, Size, Width};

use super::Found;
use super::part::{Fixed, Load, Set, Store, two};
use crate::meaning::{Wide, alu};
use crate::op::{ByPair, ByRegister, Handler, each_register};

/// A pair that begins with a load.
struct AfterLoad<const N: usize>;

impl<const N: usize> AfterLoad<N> {
    const LOAD: [Handler; 4] =
        [two::<Load<N>, Load<1>>, two::<Load<N>, Load<2>>, two::<Load<N>, Load<4>>, two::<Load<N>, Load<8>>];
    const STORE: Handler = two::<Load<N>, Store<N>>;
}

/// A pair that begins with a store.
struct AfterStore<const N: usize>;

impl<const N: usize> AfterStore<N> {
    const STORE: Handler = two::<Store<N>, Store<N>>;
    const ADD: ByRegister = each_register!(D => two::<Store<N>, Fixed<Wide<alu::Add>, D>> as Handler);
}

/// Two additions of constants.
const ADDITIONS: ByPair = each_register!(D => each_register!(E =>
    two::<Fixed<Wide<alu::Add>, D>, Fixed<Wide<alu::Add>, E>> as Handler));

/// A constant, and an addition of one.
const SET_AND_ADD: ByRegister = each_register!(D => two::<Set, Fixed<Wide<alu::Add>, D>> as Handler);

macro_rules! by_size {
    ($size:expr, $Of:ident::$WHAT:ident) => {
        match $size {
            Size::B => $Of::<1>::$WHAT,
            Size::H => $Of::<2>::$WHAT,
            Size::W => $Of::<4>::$WHAT,
            Size::DW => $Of::<8>::$WHAT,
        }
    };
}

/// The register to which a constant is added.
fn adds(insn: Insn) -> Option<usize> {
    match insn {
        Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(_) } => Some(dst.index()),
        _ => None,
    }
}

fn sets(insn: Insn) -> bool {
    matches!(insn, Insn::Alu { op: AluOp::Mov, width: Width::W64, src: Operand::Imm(_), .. })
}

pub(super) fn find(insns: &[Insn], found: &mut Found) {
    let [first, second, ..] = *insns else { return };
    let pair = match (first, second) {
        (
            Insn::Load { size, extend: Extend::Zero, .. },
            Insn::Load { size: then, extend: Extend::Zero, .. },
        ) => by_size!(size, AfterLoad::LOAD)[then as usize],
        (
            Insn::Load { size, extend: Extend::Zero, .. },
            Insn::Store { size: then, src: Operand::Reg(_), .. },
        ) if then == size => by_size!(size, AfterLoad::STORE),
        (
            Insn::Store { size, src: Operand::Reg(_), .. },
            Insn::Store { size: then, src: Operand::Reg(_), .. },
        ) if then == size => by_size!(size, AfterStore::STORE),
        (Insn::Store { size, src: Operand::Reg(_), .. }, then) => match adds(then) {
            Some(to) => by_size!(size, AfterStore::ADD)[to],
            None => return,
        },
        (first, then) => match (adds(first), adds(then)) {
            (Some(first), Some(then)) => ADDITIONS[first][then],
            (None, Some(then)) if sets(first) => SET_AND_ADD[then],
            (None, None) if sets(first) && sets(then) => two::<Set, Set>,
            _ => return,
        },
    };
    found.add(2, pair);
}
