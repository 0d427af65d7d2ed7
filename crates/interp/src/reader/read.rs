//! The nodes of a program.
//!
//! Every place of the program that something leads to becomes a node, which takes with it as many of the instructions that
//! follow as it can do. Instructions that are led to from elsewhere as well become part of several nodes.

use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Pc, Program, Reg, Size, UnaryOp, Width};

use super::node::{Kind, Node, Source, Test, Way};
use super::{Reader, WORDS};

const A: Reg = Reg::R0;
const X: Reg = Reg::R7;
const CONTEXT: Reg = Reg::R6;
const KEPT: Reg = Reg::R8;

/// Fewer comparisons than this are made one after the other.
const SEARCHED: usize = 6;

pub(super) fn read(program: &Program) -> Option<Reader> {
    let insns = program.insns();
    let goes_back = |(at, insn): (usize, &Insn)| insn.target().is_some_and(|to| to.index() <= at);
    if program.functions().len() != 1 || insns.iter().enumerate().any(goes_back) {
        return None;
    }
    let context_pointer = insns[0] == copy(Width::W64, CONTEXT, Reg::R1);
    let mut reading = Reading {
        insns,
        context_pointer,
        nodes: Vec::new(),
        landings: landings(insns),
        places: vec![None; insns.len()],
        waiting: Vec::new(),
        answers: Vec::new(),
        searches: Vec::new(),
        looked: 0,
        context: 0,
    };
    // A filter may be nothing but an answer: the first node leads to wherever it starts.
    reading.nodes.push(Node::plain(Kind::Keep, Way::to(0)));
    let start = reading.way(usize::from(context_pointer))?;
    reading.nodes[0].yes = start;
    while let Some((node, at)) = reading.waiting.pop() {
        reading.nodes[node] = reading.node(at)?;
    }
    if let Ok(first) = start.split() {
        reading.nodes[0] = reading.nodes[first];
    }
    Some(Reader {
        nodes: reading.nodes.into(),
        answers: reading.answers.into(),
        searches: reading.searches.into(),
        context: reading.context,
    })
}

struct Reading<'p> {
    insns: &'p [Insn],
    /// Whether `r6` is the context.
    context_pointer: bool,
    nodes: Vec<Node>,
    /// Where jumps end that go on jumping: for each instruction, the first that does something.
    landings: Vec<u32>,
    /// Where each instruction leads to that something leads to.
    places: Vec<Option<Way>>,
    /// Nodes that are not made yet, and where they start.
    waiting: Vec<(usize, usize)>,
    answers: Vec<u32>,
    searches: Vec<(u32, Way)>,
    /// How many comparisons were looked at to find [cases](Reading::cases).
    looked: usize,
    context: usize,
}

/// `dst = src`.
fn copy(width: Width, dst: Reg, src: Reg) -> Insn {
    Insn::Alu { op: AluOp::Mov, width, dst, src: src.into() }
}

/// `dst = dst op imm`.
fn constant(insn: Insn, op: AluOp, dst: Reg) -> Option<u32> {
    match insn {
        Insn::Alu { op: found, width: Width::W32, dst: to, src: Operand::Imm(imm) }
            if found == op && to == dst =>
        {
            Some(imm as u32)
        }
        _ => None,
    }
}

impl Reading<'_> {
    fn insn(&self, at: usize) -> Option<Insn> {
        self.insns.get(at).copied()
    }

    /// The first instruction from `at` on that does something.
    fn landing(&self, at: usize) -> Option<usize> {
        self.landings.get(at).map(|&at| at as usize)
    }

    /// The way to the instruction at `at`.
    fn way(&mut self, at: usize) -> Option<Way> {
        let at = self.landing(at)?;
        if let Some(way) = self.places[at] {
            return Some(way);
        }
        let answer = constant(self.insn(at)?, AluOp::Mov, A);
        let way = match answer.filter(|_| self.insn(at + 1) == Some(Insn::Exit)) {
            Some(answer) => {
                self.answers.push(answer);
                Way::answer(self.answers.len() - 1)
            }
            None => {
                let node = self.nodes.len();
                self.nodes.push(Node::plain(Kind::Return, Way::to(node)));
                self.waiting.push((node, at));
                Way::to(node)
            }
        };
        self.places[at] = Some(way);
        Some(way)
    }

    /// What the instruction at `at` does, and some of those that follow; `None` if it is not for readers.
    fn node(&mut self, at: usize) -> Option<Node> {
        if let Some(node) = self.header_length(at) {
            return node;
        }
        if let Some((source, off)) = self.source(at) {
            return self.load(source, off, at);
        }
        if let Some(cases) = self.cases(at) {
            return self.search(cases);
        }
        let simple = |kind| Node::plain(kind, Way::to(0));
        let node = match self.insn(at)? {
            Insn::Branch { .. } => return self.branch(at),
            Insn::Exit => return Some(simple(Kind::Return)),
            Insn::Alu { op: AluOp::Mov, width: Width::W32, dst, src } => match (dst, src) {
                (A, Operand::Reg(X)) => simple(Kind::FromX),
                (A, Operand::Reg(KEPT)) => simple(Kind::Restore),
                (X, Operand::Reg(A)) => simple(Kind::ToX),
                (KEPT, Operand::Reg(A)) => simple(Kind::Keep),
                (X, Operand::Imm(imm)) => Node { value: imm as u32, ..simple(Kind::SetXTo) },
                (A, Operand::Imm(imm)) => Node { op: AluOp::Mov, value: imm as u32, ..simple(Kind::Alu) },
                _ => return None,
            },
            Insn::Alu { op, width: Width::W32, dst: A, src: Operand::Imm(imm) } => {
                Node { op, value: imm as u32, ..simple(Kind::Alu) }
            }
            Insn::Alu { op, width: Width::W32, dst: A, src: Operand::Reg(X) } => {
                Node { op, ..simple(Kind::AluX) }
            }
            Insn::Unary { op: UnaryOp::Neg32, dst: A } => simple(Kind::Negate),
            Insn::Unary { op: UnaryOp::Be16, dst: A } => simple(Kind::NetworkOrder),
            Insn::Load { size: Size::W, extend: Extend::Zero, dst, base: Reg::R10, off } => {
                let kind = match dst {
                    A => Kind::WordToA,
                    X => Kind::WordToX,
                    _ => return None,
                };
                Node { off: word(off)?, ..simple(kind) }
            }
            Insn::Store { size: Size::W, base: Reg::R10, off, src: Operand::Reg(src) } => {
                let kind = match src {
                    A => Kind::AToWord,
                    X => Kind::XToWord,
                    _ => return None,
                };
                Node { off: word(off)?, ..simple(kind) }
            }
            Insn::Load { dst: X, .. } => {
                Node { off: self.context_word(self.insn(at)?)?, ..simple(Kind::ContextToX) }
            }
            _ => return None,
        };
        Some(Node { yes: self.way(at + 1)?, ..node })
    }

    /// A load into `a`: from where.
    fn source(&mut self, at: usize) -> Option<(Source, u32)> {
        match self.insn(at)? {
            Insn::LoadPacket { size, index: None, off } if off >= 0 => {
                let source = match size {
                    Size::B => Source::Byte,
                    Size::H => Source::Half,
                    Size::W => Source::Word,
                    Size::DW => return None,
                };
                Some((source, off as u32))
            }
            Insn::LoadPacket { size, index: Some(X), off } => {
                let source = match size {
                    Size::B => Source::ByteAt,
                    Size::H => Source::HalfAt,
                    Size::W => Source::WordAt,
                    Size::DW => return None,
                };
                Some((source, off as u32))
            }
            insn @ Insn::Load { dst: A, .. } => Some((Source::Context, self.context_word(insn)?)),
            _ => None,
        }
    }

    /// Where in the context a load loads a word from.
    fn context_word(&mut self, insn: Insn) -> Option<u32> {
        let Insn::Load { size: Size::W, extend: Extend::Zero, base: CONTEXT, off, .. } = insn else {
            return None;
        };
        let off = u32::try_from(off).ok().filter(|_| self.context_pointer)?;
        self.context = self.context.max(off as usize + 4);
        Some(off)
    }

    /// A load, bits of it that are kept, and a comparison.
    fn load(&mut self, source: Source, off: u32, at: usize) -> Option<Node> {
        let mut next = at + 1;
        let mut mask = u32::MAX;
        if let Some(kept) = self.insn(next).and_then(|insn| constant(insn, AluOp::And, A)) {
            (mask, next) = (kept, next + 1);
        }
        if self.cases(next).is_none()
            && let Some((test, Compared::Value(value), yes, no)) = self.test(next)
        {
            let kind = Kind::load_and(source, test);
            let (yes, no) = (self.way(yes)?, self.way(no)?);
            return Some(Node { off, mask, value, no, ..Node::plain(kind, yes) });
        }
        let yes = self.way(next)?;
        Some(Node { off, mask, ..Node::plain(Kind::load(source), yes) })
    }

    /// `x` becomes the length of a header, as `4 * (p[k] & 0xf)`.
    fn header_length(&mut self, at: usize) -> Option<Option<Node>> {
        let keeps = self.insn(at)? == copy(Width::W32, KEPT, A);
        let at = at + usize::from(keeps);
        let Insn::LoadPacket { size: Size::B, index: None, off } = self.insn(at)? else { return None };
        let mask = constant(self.insn(at + 1)?, AluOp::And, A)?;
        let shift = constant(self.insn(at + 2)?, AluOp::Lsh, A)?;
        let to_x = self.insn(at + 3)? == copy(Width::W32, X, A);
        let restores = self.insn(at + 4)? == copy(Width::W32, A, KEPT);
        if off < 0 || shift != 2 || !to_x || keeps && !restores {
            return None;
        }
        let (kind, next) = match keeps {
            true => (Kind::HeaderLengthKeeping, at + 5),
            false => (Kind::HeaderLength, at + 4),
        };
        let yes = self.way(next);
        Some(yes.map(|yes| Node { off: off as u32, mask, ..Node::plain(kind, yes) }))
    }

    /// A comparison of `a`: how, with what, and where it leads. Of every two conditions that are opposites there is one.
    fn test(&self, at: usize) -> Option<(Test, Compared, usize, usize)> {
        match self.compared(at)? {
            (A, test, compared, yes, no) => Some((test, compared, yes, no)),
            _ => None,
        }
    }

    fn compared(&self, at: usize) -> Option<(Reg, Test, Compared, usize, usize)> {
        let Insn::Branch { cond, width: Width::W32, lhs, rhs, to: Pc(to) } = self.insn(at)? else {
            return None;
        };
        let (taken, next) = (to as usize, at + 1);
        let (test, yes, no) = match cond {
            Cond::Eq => (Test::Eq, taken, next),
            Cond::Ne => (Test::Eq, next, taken),
            Cond::Gt => (Test::Gt, taken, next),
            Cond::Le => (Test::Gt, next, taken),
            Cond::Ge => (Test::Ge, taken, next),
            Cond::Lt => (Test::Ge, next, taken),
            Cond::Set => (Test::Set, taken, next),
            Cond::Sgt | Cond::Sge | Cond::Slt | Cond::Sle => return None,
        };
        let compared = match rhs {
            Operand::Imm(imm) => Compared::Value(imm as u32),
            Operand::Reg(X) => Compared::X,
            Operand::Reg(_) => return None,
        };
        Some((lhs, test, compared, yes, no))
    }

    fn branch(&mut self, at: usize) -> Option<Node> {
        let (reg, test, compared, yes, no) = self.compared(at)?;
        let kind = match (reg, test, compared) {
            (A, Test::Eq, Compared::Value(_)) => Kind::IsEq,
            (A, Test::Gt, Compared::Value(_)) => Kind::IsGt,
            (A, Test::Ge, Compared::Value(_)) => Kind::IsGe,
            (A, Test::Set, Compared::Value(_)) => Kind::IsSet,
            (A, Test::Eq, Compared::X) => Kind::EqX,
            (A, Test::Gt, Compared::X) => Kind::GtX,
            (A, Test::Ge, Compared::X) => Kind::GeX,
            (A, Test::Set, Compared::X) => Kind::SetX,
            (X, Test::Eq, Compared::Value(_)) => Kind::XIsEq,
            (X, Test::Gt, Compared::Value(_)) => Kind::XIsGt,
            (X, Test::Ge, Compared::Value(_)) => Kind::XIsGe,
            _ => return None,
        };
        let value = match compared {
            Compared::Value(value) => value,
            Compared::X => 0,
        };
        let (yes, no) = (self.way(yes)?, self.way(no)?);
        Some(Node { value, no, ..Node::plain(kind, yes) })
    }

    /// Comparisons of `a` for equality, one after the other, if they are many; and where the last leads.
    fn cases(&mut self, at: usize) -> Option<(Vec<(u32, usize)>, usize)> {
        // A place in the middle of comparisons may be led to as well. Then they are searched from there, too, as long as
        // that does not get out of hand.
        let allowed = 8 * self.insns.len();
        let (mut cases, mut at) = (Vec::new(), self.landing(at)?);
        while let Some((Test::Eq, Compared::Value(value), yes, no)) = self.test(at) {
            self.looked += 1;
            if self.looked > allowed {
                return None;
            }
            cases.push((value, yes));
            at = self.landing(no)?;
        }
        (cases.len() >= SEARCHED).then_some((cases, at))
    }

    fn search(&mut self, (mut cases, otherwise): (Vec<(u32, usize)>, usize)) -> Option<Node> {
        // The first of several that are the same is meant.
        cases.sort_by_key(|&(value, _)| value);
        cases.dedup_by_key(|&mut (value, _)| value);
        let no = self.way(otherwise)?;
        let start = self.searches.len();
        let mut ways = Vec::with_capacity(cases.len());
        for (value, to) in cases {
            ways.push((value, self.way(to)?));
        }
        self.searches.extend(ways);
        let node = Node::plain(Kind::Search, no);
        Some(Node { off: start as u32, value: self.searches.len() as u32, ..node })
    }
}

/// For each instruction, the first that is no jump, from there on.
fn landings(insns: &[Insn]) -> Vec<u32> {
    let mut landings: Vec<u32> = (0..insns.len() as u32).collect();
    // Jumps go forward: where they lead to is known before them.
    for (at, insn) in insns.iter().enumerate().rev() {
        if let Insn::Jump { to, .. } = insn {
            landings[at] = landings[to.index()];
        }
    }
    landings
}

/// What a number is compared with.
#[derive(Clone, Copy)]
enum Compared {
    Value(u32),
    X,
}

/// Which word of the stack is at `r10 + off`.
fn word(off: i16) -> Option<u32> {
    let word = u32::try_from(-i32::from(off) - 4).ok()?;
    (word % 4 == 0 && (word as usize) < 4 * WORDS).then_some(word / 4)
}
