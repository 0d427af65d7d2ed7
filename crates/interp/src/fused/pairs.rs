//! Two operations, one after the other.

use sandbpf_isa::{AluOp, Extend, Insn, Operand, Size, Width};

use super::Found;
use super::part::{Any, Both, Load, Part, Store, two};
use crate::meaning::{Narrow, Wide, alu};
use crate::op::{ByPair, Handler, each_register};

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
    const ADD: Handler = two::<Store<N>, Any<Wide<alu::Add>>>;
}

/// A pair that ends with this part.
struct Before<P>(std::marker::PhantomData<P>);

impl<P: Part> Before<P> {
    const ADD: ByPair =
        each_register!(D => each_register!(S => two::<Both<Wide<alu::Add>, D, S>, P> as Handler));
    const ADD_IMMEDIATE: Handler = two::<Any<Wide<alu::Add>>, P>;
    const SET: Handler = two::<Any<Wide<alu::Mov>>, P>;
}

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

/// `dst = dst op imm` or `dst = imm`, of the operations that are common in pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Simple {
    Add(Width),
    Set,
}

fn simple(insn: Insn) -> Option<Simple> {
    match insn {
        Insn::Alu { op: AluOp::Add, width, src: Operand::Imm(_), .. } => Some(Simple::Add(width)),
        Insn::Alu { op: AluOp::Mov, width: Width::W64, src: Operand::Imm(_), .. } => Some(Simple::Set),
        _ => None,
    }
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
        (Insn::Store { size, src: Operand::Reg(_), .. }, then)
            if simple(then) == Some(Simple::Add(Width::W64)) =>
        {
            by_size!(size, AfterStore::ADD)
        }
        (Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Reg(src) }, then) => {
            let table = match simple(then) {
                Some(Simple::Add(Width::W64)) => &Before::<Any<Wide<alu::Add>>>::ADD,
                Some(Simple::Add(Width::W32)) => &Before::<Any<Narrow<alu::Add>>>::ADD,
                Some(Simple::Set) => &Before::<Any<Wide<alu::Mov>>>::ADD,
                None => match then {
                    Insn::Load { size, extend: Extend::Zero, .. } => match size {
                        Size::B => &Before::<Load<1>>::ADD,
                        Size::H => &Before::<Load<2>>::ADD,
                        Size::W => &Before::<Load<4>>::ADD,
                        Size::DW => &Before::<Load<8>>::ADD,
                    },
                    _ => return,
                },
            };
            let Some(&run) = table[dst.index()].get(src.index()) else { return };
            run
        }
        (first, then) => match (simple(first), simple(then)) {
            (Some(Simple::Add(Width::W64)), Some(Simple::Add(Width::W64))) => {
                Before::<Any<Wide<alu::Add>>>::ADD_IMMEDIATE
            }
            (Some(Simple::Set), Some(Simple::Set)) => Before::<Any<Wide<alu::Mov>>>::SET,
            (Some(Simple::Set), Some(Simple::Add(Width::W64))) => Before::<Any<Wide<alu::Add>>>::SET,
            _ => return,
        },
    };
    found.add(2, pair);
}
