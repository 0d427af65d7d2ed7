//! From values to machine instructions that have no registers yet.
//!
//! Blocks are walked from the last to the first and each from its end: a use is seen before what it uses, so that an
//! instruction can take in what only it wants (a load, a shift, a constant) and nothing is computed that nobody wants.
//! Everything is collected in that order and turned around at the end.

mod alu;
mod budget;
mod calls;
mod entry;
mod memory;
mod multiply;
mod shared;
mod test;

use sandbpf_isa::Width;

use super::super::graph::{Block, Edge, End, Graph, Op as GraphOp, Region, Value};
use super::Target;
use super::guess::guessed;
use super::inst::{Body, Given, Inst, Kind, Locate, Op, Segment, Span, Var, Way};
use super::layout::Layout;
use super::machine::reg;
use super::nest::{NONE, Nest};
use shared::Pool;

/// A graph as it is lowered.
pub(crate) struct Lower<'g> {
    pub(crate) graph: &'g Graph,
    target: &'g Target,
    nest: &'g Nest,
    layout: &'g Layout,
    body: Body,
    /// How often every value is used.
    counts: Vec<u32>,
    /// The variable of every value, once somebody asked for it.
    vars: Vec<Var>,
    /// For every value, the place of its block.
    home: Vec<u32>,
    /// For every load, how many writes to where it looks come before it in its block.
    writes: Vec<u32>,
    /// Values that an instruction took in.
    taken: Vec<bool>,
    /// Choices that are guessed, if there are any.
    guessed: Vec<bool>,
    pool: Pool,
    /// Instructions that come before those of the value at hand, the last first.
    before: Vec<Inst>,
    /// What the run begins with.
    entry: entry::Entry,
    /// Whether the value that is lowered next must leave its flags.
    keep: bool,
    /// The place of the block at hand.
    here: u32,
    /// How many writes come before the instruction at hand: to each region, and anywhere.
    written: [u32; 4],
}

/// Lowers a graph.
pub(crate) fn lower(graph: &Graph, target: &Target, nest: &Nest, layout: &Layout) -> Body {
    let values = graph.values.len();
    let mut lower = Lower {
        graph,
        target,
        nest,
        layout,
        body: Body::default(),
        counts: count(graph, layout),
        vars: vec![Var::NONE; values],
        home: vec![NONE; values],
        writes: vec![0; values],
        taken: vec![false; values],
        guessed: guessed(graph, nest),
        pool: Pool::of(graph, nest, layout),
        before: Vec::new(),
        entry: entry::Entry::of(graph, nest),
        keep: false,
        here: 0,
        written: [0; 4],
    };
    lower.body.insts.reserve(values + values / 2);
    for place in (0..layout.order.len()).rev() {
        lower.block(place as u32);
    }
    lower.start();
    lower.finish()
}

/// How often every value is used by what is laid out.
fn count(graph: &Graph, layout: &Layout) -> Vec<u32> {
    let mut counts = vec![0u32; graph.values.len()];
    for &block in &layout.order {
        let code = graph.code(block);
        for &value in &code.body {
            graph.op(value).uses(|used| counts[used.index()] += 1);
        }
        code.end.uses(|used| counts[used.index()] += 1);
    }
    counts
}

impl Lower<'_> {
    /// A new variable.
    fn fresh(&mut self, kind: Kind) -> Var {
        self.body.kinds.push(kind);
        Var(Var::FIRST + self.body.kinds.len() as u32 - 1)
    }

    /// A new variable that is computed once.
    fn temporary(&mut self) -> Var {
        self.fresh(Kind::Plain)
    }

    /// Puts an instruction before all others.
    fn push(&mut self, inst: Inst) {
        self.body.insts.push(inst);
    }

    /// The variable that holds a value.
    fn var(&mut self, value: Value) -> Var {
        match self.graph.op(value) {
            GraphOp::Const(number) => return self.constant(*number),
            GraphOp::Entry(entry) => return self.entered(*entry),
            GraphOp::Base(region) => return self.base(*region),
            _ => {}
        }
        let value = self.same(value);
        let at = value.index();
        if self.vars[at] == Var::NONE {
            let kind =
                if matches!(self.graph.op(value), GraphOp::Param(_)) { Kind::Param } else { Kind::Plain };
            self.vars[at] = self.fresh(kind);
        }
        self.vars[at]
    }

    /// The value that this one is a copy of, if no code is needed to compute it.
    fn same(&self, mut value: Value) -> Value {
        use super::super::graph::UnOp;
        while let GraphOp::Un { op: UnOp::Zext32, a } = self.graph.op(value) {
            if !self.is_narrow(*a) {
                break;
            }
            value = *a;
        }
        value
    }

    /// Whether the upper half of a value is zero because of how it is computed.
    fn is_narrow(&self, value: Value) -> bool {
        use super::super::graph::UnOp;
        use sandbpf_isa::{Extend, Size};
        match self.graph.op(value) {
            GraphOp::Bin { width, .. } => *width == Width::W32,
            GraphOp::Un { op, .. } => {
                use UnOp::*;
                matches!(op, Neg32 | Swap16 | Swap32 | Zext8 | Zext16 | Zext32)
            }
            GraphOp::Compare(_) => true,
            GraphOp::Load { size, extend, .. } => *extend == Extend::Zero && *size != Size::DW,
            _ => false,
        }
    }

    /// Whether a value is computed in the block at hand, for one use only, which may compute it itself.
    fn is_ours(&self, value: Value) -> bool {
        self.counts[value.index()] == 1 && self.home[value.index()] == self.here && !self.taken[value.index()]
    }

    /// The block at a place, from its end to its beginning.
    fn block(&mut self, place: u32) {
        let block = self.layout.order[place as usize];
        let code = self.graph.code(block);
        self.here = place;
        self.look(block);
        let end = self.body.insts.len() as u32;
        let ways = self.end(block);
        self.settled();
        self.gate(place + 1);
        let mut left = &code.body[..];
        while let Some((&value, others)) = left.split_last() {
            let alike = self.alike(left);
            if alike > 0 {
                let (before, values) = left.split_at(left.len() - alike);
                self.decide(values);
                self.settled();
                left = before;
                continue;
            }
            left = others;
            if self.taken[value.index()] {
                continue;
            }
            let first = self.body.insts.len();
            self.value(value);
            if std::mem::take(&mut self.keep) {
                self.body.insts[first].flags = true;
            }
            self.settled();
        }
        self.make_local(end as usize);
        self.push(Inst::new(Op::Block, Width::W64));
        self.segment(end, ways, Some(block));
    }

    /// All that a value needs comes before what is there.
    fn settled(&mut self) {
        self.body.insts.append(&mut self.before);
        self.pool.settle(self.body.insts.len());
    }

    /// Notes where the values of a block are, and how many writes come before its loads.
    fn look(&mut self, block: Block) {
        self.written = [0; 4];
        for &value in &self.graph.code(block).body {
            self.home[value.index()] = self.here;
            match self.graph.op(value) {
                GraphOp::Load { at, .. } => self.writes[value.index()] = self.written[region(at.region)],
                op => {
                    if let Some(to) = writes(op) {
                        self.note(to, 1);
                    }
                }
            }
        }
    }

    /// Counts a write, forwards or backwards.
    fn note(&mut self, to: Option<Region>, step: i32) {
        let count = |at: &mut u32| *at = at.wrapping_add_signed(step);
        match to {
            // What is of no known region looks everywhere, and is looked at from everywhere.
            Some(Region::Stack | Region::Context | Region::Packet) => {
                count(&mut self.written[region(to)]);
                count(&mut self.written[3]);
            }
            Some(Region::Far(_)) | None => self.written.iter_mut().for_each(count),
        }
    }

    /// Whether no code is needed for a value.
    fn is_idle(&self, value: Value) -> bool {
        use super::super::graph::Effect;
        let pure = matches!(self.graph.op(value).effect(), Effect::None | Effect::Read);
        self.taken[value.index()] || pure && (self.counts[value.index()] == 0 || self.same(value) != value)
    }

    /// A value, or what an operation does.
    fn value(&mut self, value: Value) {
        let op = self.graph.op(value);
        if let Some(to) = writes(op) {
            self.note(to, -1);
        }
        if self.is_idle(value) {
            return;
        }
        match op {
            GraphOp::Gone | GraphOp::Const(_) | GraphOp::Param(_) => {}
            GraphOp::Entry(_) | GraphOp::Base(_) => {}
            GraphOp::Bin { op, width, a, b } => self.binary(value, *op, *width, *a, *b),
            GraphOp::Un { op, a } => self.unary(value, *op, *a),
            GraphOp::Compare(_) | GraphOp::Select { .. } => self.decide(&[value]),
            GraphOp::Load { at, size, extend, swap } => self.load(value, at, *size, *extend, *swap),
            GraphOp::Store { at, size, value, swap } => self.store(at, *size, *value, *swap),
            GraphOp::Host { at, off, size, likely, stack, site } => {
                let (size, likely, stack, site) = (*size, *likely, *stack, *site);
                self.host(value, Locate { size, likely, start: 0, stack, site }, *at, *off);
            }
            GraphOp::Clear { from, bytes } => self.clear(*from, *bytes),
            GraphOp::Budget => {
                let dst = self.var(value);
                self.left(dst);
            }
            GraphOp::Charge { cost, site } => self.charge(*cost, *site),
            GraphOp::Spend { amount } => self.spend(*amount),
            GraphOp::Call { arguments, site } => self.call(value, arguments, *site),
            GraphOp::Plain { function, arguments } => self.plain_call(value, *function, arguments),
            GraphOp::Atomic { op, size, at, value: operand, expected } => {
                self.atomic(value, *op, *size, at, *operand, *expected);
            }
            GraphOp::Bulk { what, count } => self.bulk(value, what, *count),
            GraphOp::Lookup { map, key, .. } => self.lookup(value, *map, key),
        }
    }

    /// How a block ends.
    fn end(&mut self, block: Block) -> [Option<Way>; 2] {
        match &self.graph.code(block).end {
            End::Jump(edge) => {
                self.push(Inst::new(Op::Jump, Width::W64));
                [Some(self.way(edge)), None]
            }
            End::Branch { test, yes, no } => {
                let (yes, no) = (self.way(yes), self.way(no));
                let place = self.body.insts.len();
                self.push(Inst::new(Op::Unreachable, Width::W64));
                let flag = self.flags(test, Some(block));
                self.body.insts[place] = Inst::new(Op::Branch(flag), Width::W64);
                [Some(yes), Some(no)]
            }
            End::Return(value) => {
                self.push(Inst::new(Op::Return, Width::W64).a(Var::real(reg::RAX)));
                self.settle();
                match self.graph.constant(*value) {
                    Some(number) => self.push(Inst::number(Var::real(reg::RAX), number, true)),
                    None => {
                        let answer = self.var(*value);
                        self.push(Inst::new(Op::Copy, Width::W64).dst(Var::real(reg::RAX)).a(answer));
                    }
                }
                [None, None]
            }
            End::Unreachable => {
                self.push(Inst::new(Op::Unreachable, Width::W64));
                [None, None]
            }
        }
    }

    fn way(&mut self, edge: &Edge) -> Way {
        let first = self.body.given.len() as u32;
        let params = &self.graph.code(edge.to).params;
        for (&param, &argument) in params.iter().zip(&edge.arguments) {
            if self.counts[param.index()] == 0 {
                continue;
            }
            let given = match self.graph.op(argument) {
                GraphOp::Const(number) => Given::Number(*number),
                _ => Given::Var(self.var(argument)),
            };
            let param = self.var(param);
            self.body.given.push((param, given));
        }
        let to = self.layout.place[edge.to.index()] + 1;
        Way { to, first, count: self.body.given.len() as u32 - first }
    }

    /// A segment is complete: its instructions from `end` on.
    fn segment(&mut self, end: u32, ways: [Option<Way>; 2], block: Option<Block>) {
        let code = block.map(|block| self.graph.code(block));
        self.body.segments.push(Segment {
            first: self.body.insts.len() as u32,
            end,
            ways,
            depth: block.map_or(0, |block| self.nest.depth(block)),
            cold: block != Some(Block::ENTRY)
                && code.is_some_and(|code| code.cold || code.end == End::Unreachable),
            inside: block.map_or(NONE, |block| self.nest.inside[block.index()]),
        });
    }

    /// Turns everything around.
    fn finish(mut self) -> Body {
        let body = &mut self.body;
        body.insts.reverse();
        body.segments.reverse();
        let count = body.insts.len() as u32;
        for segment in &mut body.segments {
            (segment.first, segment.end) = (count - segment.first, count - segment.end);
        }
        let mut first = vec![0u32; body.segments.len() + 1];
        let ways = |segment: &Segment| segment.ways.into_iter().flatten();
        for way in body.segments.iter().flat_map(ways) {
            first[way.to as usize + 1] += 1;
        }
        for at in 1..first.len() {
            first[at] += first[at - 1];
        }
        let mut free = first.clone();
        let mut sources = vec![0; first[first.len() - 1] as usize];
        for (from, segment) in body.segments.iter().enumerate() {
            for way in ways(segment) {
                sources[free[way.to as usize] as usize] = from as u32;
                free[way.to as usize] += 1;
            }
        }
        (body.first_source, body.sources) = (first, sources);
        let spans = self.nest.loops.iter().zip(&self.layout.spans);
        let span = |(found, &(first, last)): (&super::nest::Loop, &(u32, u32))| Span {
            // One of nothing but cold blocks is nowhere.
            first: first.saturating_add(1),
            last: last + 1,
            parent: found.parent,
            head: self.layout.place[found.head.index()] + 1,
            one_way: found.one_way,
        };
        body.loops = spans.map(span).collect();
        let segment = |block: &Block| self.layout.place[block.index()] + 1;
        body.order = std::iter::once(0).chain(self.nest.order.iter().map(segment)).collect();
        self.body
    }
}

/// The count of writes that loads of a region look at.
fn region(region: Option<Region>) -> usize {
    match region {
        Some(Region::Stack) => 0,
        Some(Region::Context) => 1,
        Some(Region::Packet) => 2,
        // What is shared may change at any time; as far as this run goes, it is anywhere.
        Some(Region::Far(_)) | None => 3,
    }
}

/// The region that an operation writes to, if it writes.
fn writes(op: &GraphOp) -> Option<Option<Region>> {
    match op {
        GraphOp::Store { at, .. } => Some(at.region),
        GraphOp::Clear { .. } => Some(Some(Region::Stack)),
        GraphOp::Call { .. } | GraphOp::Atomic { .. } => Some(None),
        GraphOp::Bulk { what, .. } => what.to().map(|to| to.region),
        _ => None,
    }
}
