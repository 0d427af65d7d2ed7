//! Machine instructions before they have registers: what [`lower`](super::lower) makes and registers are found for.
//!
//! Operands are [`Var`]s. Most are computed once; some instructions want one of the machine's registers, which then
//! is named. An instruction whose result replaces an operand has it in `a`; if registers come out differently, a move is
//! written before it.

use sandbpf_isa::{AtomicOp, Extend, Size, Width};

use super::super::graph::{BinOp, Region, Site};
use super::machine::{Alu, Flag, Shift, Unary, Widen};

/// An operand: one of the machine's registers, or a variable that will get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Var(pub(crate) u32);

impl Var {
    /// No operand.
    pub(crate) const NONE: Var = Var(u32::MAX);
    /// As the base of an address: where the stack region lies in the frame.
    pub(crate) const STACK: Var = Var(u32::MAX - 1);
    /// The number of the first variable.
    pub(crate) const FIRST: u32 = 16;

    /// One of the machine's registers.
    pub(crate) const fn real(number: u8) -> Var {
        Var(number as u32)
    }

    /// The machine's register that it names, if it does.
    pub(crate) fn as_real(self) -> Option<u8> {
        (self.0 < Var::FIRST).then_some(self.0 as u8)
    }

    /// The number of a variable, counted from 0; none of registers and of what is no operand.
    #[inline]
    pub(crate) fn index(self) -> Option<usize> {
        (Var::FIRST..Var::STACK.0).contains(&self.0).then(|| (self.0 - Var::FIRST) as usize)
    }

    pub(crate) fn is_some(self) -> bool {
        self != Var::NONE
    }
}

/// What an instruction does. `mem` is `[base + (index << scale) + disp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A block begins.
    Block,
    /// `dst = a`
    Copy,
    /// `dst = number`; its low half in `imm`, its upper in `disp`. Flags change only if `clobbers`.
    Number { clobbers: bool },
    /// `dst = &mem`
    Lea,
    /// `dst = mem`
    Load(Widen),
    /// `dst = mem`, with its bytes reversed.
    LoadSwapped(Size),
    /// `mem = a`
    Store(Size),
    /// `mem = a`, with its bytes reversed.
    StoreSwapped(Size),
    /// `mem = imm`
    StoreImm(Size),
    /// `dst = a op b`
    Alu(Alu),
    /// `dst = a op imm`
    AluImm(Alu),
    /// `dst = a op mem`
    AluMem(Alu),
    /// `mem = mem op a`
    MemAlu(Alu, Size),
    /// `mem = mem op imm`
    MemAluImm(Alu, Size),
    /// `dst = a * b`
    Mul,
    /// `dst = a * mem`
    MulMem,
    /// `dst = a * imm`
    MulImm,
    /// `dst = mem * imm`
    MulMemImm,
    /// `dst = upper half of rdx * a`
    MulHighFrom,
    /// `rdx = upper half of rax * a`, and `rax` changes.
    MulHigh,
    /// `dst = a op imm`
    ShiftImm(Shift),
    /// `dst = a op cl`
    ShiftCl(Shift),
    /// `dst = a op b`
    ShiftBy(Shift),
    /// `dst = op a`
    Unary(Unary),
    /// `dst = a` with its bytes reversed.
    Swap,
    /// `dst = a` with its two lowest bytes reversed.
    SwapWord,
    /// `dst = a`, of a narrow number.
    Widen(Widen),
    /// `dst = !a & b`
    AndNot,
    /// The flags of `a - b`.
    Cmp,
    /// The flags of `a - imm`.
    CmpImm,
    /// The flags of `a - imm`, of their low bytes.
    CmpByte,
    /// The flags of `a - mem`.
    CmpMem,
    /// The flags of `mem - a`.
    MemCmp,
    /// The flags of `mem - imm`.
    MemCmpImm(Size),
    /// The flags of `a & b`.
    Test,
    /// The flags of `a & imm`, on as many bytes.
    TestImm(Size),
    /// The flags of `a & mem`.
    TestMem,
    /// The flags of `mem & imm`.
    MemTestImm(Size),
    /// Carry is bit `b` of `a`.
    Bit,
    /// Carry is bit `imm` of `a`.
    BitImm,
    /// `dst = a`, but its low byte is 1 if the flag says so, 0 if not.
    Set(Flag),
    /// `dst = b` if the flag says so, `a` if not. If `imm` is not 0, it is guessed what the flag will say.
    Cmov(Flag),
    /// `dst = mem` if the flag says so, `a` if not; `imm` as there.
    CmovMem(Flag),
    /// `rax` or `rdx` is `rax op b`; with `number`, by what is known of `b`.
    Divide { op: BinOp, known: Divisor },
    /// `dst` is the host's address of what lies `index` bytes behind the start of a region, or wherever else it is: `imm` is
    /// its number in [`Body::locates`]. Without a machine `a` is the packet, `b` its length, `base` the context; with one, `a`
    /// is the likely region, `b` the packet's length, `base` the environment, `d` the budget if it
    /// is not there.
    Locate,
    /// `dst = a - imm`, the budget; a trap at site `disp` if that is not there. `base` is the environment, with a machine; without
    /// `a` the budget is there.
    Charge,
    /// Calls what the environment says, with arguments in registers; `base` is the environment. Leaves if it does not come back.
    Call,
    /// Calls the function whose address is its number, with arguments in registers.
    CallPlain,
    /// `mem = mem op a`, at once; `dst` is what memory held, or a register to work with. Of those that compare, `rax` is what they
    /// compare with, and then what memory held.
    Atomic(AtomicOp, Size),
    /// Puts `imm` zero bytes at `mem`.
    Clear,
    /// Puts `rcx` zero words at `rdi`; `rax` is zero.
    Fill,
    /// Many bytes at once: `imm` says what, as a number of a table. Arguments in registers.
    Bulk,
    /// Looks a key up: `imm` says in which map, as a number of a table. The key in registers.
    Lookup,
    /// Goes on in another block.
    Jump,
    /// Goes on in one of two blocks.
    Branch(Flag),
    /// Ends the run; the answer is in `rax`.
    Return,
    /// Nobody comes here.
    Unreachable,
}

/// What is known of a divisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Divisor {
    /// Nothing.
    Any,
    /// It is neither 0 nor -1.
    Plain,
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inst {
    pub(crate) op: Op,
    pub(crate) width: Width,
    pub(crate) scale: u8,
    /// Whether somebody looks at its flags.
    pub(crate) flags: bool,
    pub(crate) dst: Var,
    pub(crate) a: Var,
    pub(crate) b: Var,
    pub(crate) base: Var,
    pub(crate) index: Var,
    pub(crate) d: Var,
    pub(crate) disp: i32,
    pub(crate) imm: i32,
}

/// How an operand is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) var: Var,
    /// Whether it is needed until the result is there.
    pub(crate) late: bool,
    /// Whether it may be in the frame.
    pub(crate) memory: bool,
}

impl Inst {
    pub(crate) const fn new(op: Op, width: Width) -> Inst {
        Inst {
            op,
            width,
            scale: 0,
            flags: false,
            dst: Var::NONE,
            a: Var::NONE,
            b: Var::NONE,
            base: Var::NONE,
            index: Var::NONE,
            d: Var::NONE,
            disp: 0,
            imm: 0,
        }
    }

    pub(crate) const fn dst(self, dst: Var) -> Inst {
        Inst { dst, ..self }
    }

    pub(crate) const fn a(self, a: Var) -> Inst {
        Inst { a, ..self }
    }

    pub(crate) const fn b(self, b: Var) -> Inst {
        Inst { b, ..self }
    }

    pub(crate) const fn d(self, d: Var) -> Inst {
        Inst { d, ..self }
    }

    pub(crate) const fn imm(self, imm: i32) -> Inst {
        Inst { imm, ..self }
    }

    pub(crate) const fn at(self, place: Place) -> Inst {
        let Place { base, index, scale, disp } = place;
        Inst { base, index, scale, disp, ..self }
    }

    /// `dst = number`
    pub(crate) const fn number(dst: Var, number: u64, clobbers: bool) -> Inst {
        Inst {
            imm: number as i32,
            disp: (number >> 32) as i32,
            ..Inst::new(Op::Number { clobbers }, Width::W64).dst(dst)
        }
    }

    /// The number of [`Op::Number`].
    pub(crate) fn as_number(&self) -> u64 {
        u64::from(self.disp as u32) << 32 | u64::from(self.imm as u32)
    }

    /// Whether the result replaces `a`.
    pub(crate) fn tied(&self) -> bool {
        matches!(
            self.op,
            Op::Alu(_)
                | Op::AluImm(_)
                | Op::AluMem(_)
                | Op::Mul
                | Op::MulMem
                | Op::ShiftImm(_)
                | Op::ShiftCl(_)
                | Op::Unary(_)
                | Op::Swap
                | Op::SwapWord
                | Op::Set(_)
                | Op::Cmov(_)
                | Op::CmovMem(_)
                | Op::Charge
                | Op::Atomic(AtomicOp::FetchAdd | AtomicOp::Xchg, _)
        )
    }

    /// Whether `a` and `b` may change places (of [`Op::Cmov`], as the flag becomes its opposite).
    pub(crate) fn commutes(&self) -> bool {
        match self.op {
            Op::Alu(op) => op != Alu::Sub,
            Op::Mul | Op::Cmov(_) => true,
            _ => false,
        }
    }

    /// Calls `each` with every variable or register that is used.
    #[inline]
    pub(crate) fn uses(&self, mut each: impl FnMut(Use)) {
        if self.op == Op::Locate {
            return self.locate_uses(each);
        }
        let tied = self.tied();
        if self.a.is_some() {
            let memory = matches!(self.op, Op::Copy | Op::ShiftBy(_) | Op::MulImm | Op::MulHigh | Op::MulHighFrom)
                || matches!(self.op, Op::Widen(_) | Op::CmpImm | Op::Test)
                // It is loaded to where the result replaces it.
                || tied;
            let late = matches!(self.op, Op::Atomic(..)) && !tied;
            each(Use { var: self.a, late, memory });
        }
        if self.b.is_some() {
            let late = matches!(self.op, Op::Divide { .. }) || tied && !self.commutes();
            let memory = matches!(self.op, Op::Alu(_) | Op::Mul | Op::Cmp | Op::Cmov(_) | Op::AndNot);
            let memory = memory || matches!(self.op, Op::Divide { .. });
            each(Use { var: self.b, late, memory });
        }
        let spare = self.op == Op::Charge && self.a.is_some();
        let late = tied || matches!(self.op, Op::Atomic(..));
        if self.base.is_some() && self.base != Var::STACK {
            each(Use { var: self.base, late, memory: spare });
        }
        if self.index.is_some() {
            each(Use { var: self.index, late, memory: spare });
        }
    }

    /// All are needed until the address is found; those that are seldom may be in the frame.
    fn locate_uses(&self, mut each: impl FnMut(Use)) {
        for var in [self.a, self.b, self.base, self.d] {
            if var.is_some() {
                each(Use { var, late: true, memory: true });
            }
        }
        each(Use { var: self.index, late: true, memory: false });
    }
}

/// What an [`Op::Locate`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locate {
    /// How many bytes.
    pub(crate) size: u32,
    /// The region that they lie in, most likely, …
    pub(crate) likely: Region,
    /// … and where that starts.
    pub(crate) start: u64,
    /// How many bytes the stack has.
    pub(crate) stack: u32,
    pub(crate) site: Site,
}

/// Where something is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) base: Var,
    pub(crate) index: Var,
    pub(crate) scale: u8,
    pub(crate) disp: i32,
}

impl Place {
    /// `[base + disp]`
    pub(crate) const fn off(base: Var, disp: i32) -> Place {
        Place { base, index: Var::NONE, scale: 0, disp }
    }
}

/// How a load of a size becomes 64 bits.
pub(crate) fn widen(size: Size, extend: Extend) -> Widen {
    match extend {
        Extend::Zero => Widen::Zero(size),
        Extend::Sign => Widen::Sign(size),
    }
}

/// A value that an edge gives to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Var(Var),
    Number(u64),
}

/// A way to another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The block, by its place.
    pub(crate) to: u32,
    /// Where its arguments are in [`Body::given`].
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// A block of instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Its first instruction, [`Op::Block`].
    pub(crate) first: u32,
    /// Behind its last.
    pub(crate) end: u32,
    /// Where it leads: `yes` before `no`.
    pub(crate) ways: [Option<Way>; 2],
    /// How many loops are around it.
    pub(crate) depth: u8,
    pub(crate) cold: bool,
    /// The innermost loop around it, or [`NONE`](super::nest::NONE).
    pub(crate) inside: u32,
}

/// What a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Computed once.
    Plain,
    /// Parameter of a block.
    Param,
    /// A number, cheaper to make again than to keep.
    Number(u64),
    /// The budget: every instruction that has it as a result has it as an operand.
    Budget,
}

/// Everything that registers are found for.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) insts: Vec<Inst>,
    pub(crate) segments: Vec<Segment>,
    /// What edges give: parameters and values.
    pub(crate) given: Vec<(Var, Given)>,
    pub(crate) kinds: Vec<Kind>,
    /// What is done many bytes at once.
    pub(crate) bulks: Vec<super::bulk::Kind>,
    /// What each [`Op::Lookup`] does.
    pub(crate) lookups: Vec<super::lookup::Lookup>,
    /// Whether anything is called.
    pub(crate) calls: bool,
    /// Addresses that are looked for.
    pub(crate) locates: Vec<Locate>,
    /// For every segment, those that lead to it: where its own start in `sources`.
    pub(crate) first_source: Vec<u32>,
    pub(crate) sources: Vec<u32>,
    /// The loops, from the inner to the outer ones: their first and last segment, and the loop around each.
    pub(crate) loops: Vec<Span>,
    /// The segments so that each stands before those that it leads to, but for ways back.
    pub(crate) order: Vec<u32>,
}

/// A loop, in places of segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) parent: u32,
    /// The segment by which it is entered …
    pub(crate) head: u32,
    /// … if there is only one.
    pub(crate) one_way: bool,
}

impl Body {
    /// The segments that lead to this one.
    pub(crate) fn sources(&self, segment: usize) -> &[u32] {
        &self.sources[self.first_source[segment] as usize..self.first_source[segment + 1] as usize]
    }

    /// Arguments of a way.
    pub(crate) fn given(&self, way: Way) -> &[(Var, Given)] {
        &self.given[way.first as usize..(way.first + way.count) as usize]
    }
}
