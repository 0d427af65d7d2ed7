//! Tables: where one number is told apart by many tests, the first of them becomes a jump to where the number leads.
//!
//! ```text
//! lea r8d, [rcx - 3] ; cmp r8d, 20 ; ja …       ; numbers that are not in the table
//! lea r9, [rip + table] ; movsxd r8, [r9 + r8*4] ; add r8, r9 ; jmp r8
//! ```
//!
//! Segments of nothing but one test of the same variable, one leading to the other, are a tree. All that lie in it are left out.
//! Tests of a few numbers, or of numbers that lie far apart, stay: they are guessed as well, and take no more room.

use sandbpf_isa::{Size, Width};

use super::super::allocate::moves::Home;
use super::super::inst::{Op, Var, Way};
use super::super::machine::{Alu, Flag, Mem, Rm, Widen};
use super::super::relax::Label;
use super::Writer;

/// A jump by a table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The segment that it ends.
    pub(super) root: u32,
    width: Width,
    /// Where the number is, and two registers to work with.
    register: u8,
    free: [u8; 2],
    /// The number that comes first in the table.
    first: u64,
    /// Where the numbers from there on lead: to edges of the tree, which are in `edges`.
    places: Vec<u8>,
    edges: Vec<Leaf>,
    /// Where all others lead.
    outside: u8,
}

/// An edge out of a tree: the segment, and which of its ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    from: u32,
    second: bool,
}

/// What a segment asks at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    var: Var,
    width: Width,
    number: u64,
    flag: Flag,
}

impl Question {
    /// Whether it is so of a number.
    fn holds(&self, number: u64) -> bool {
        match self.flag {
            Flag::Equal => number == self.number,
            Flag::NotEqual => number != self.number,
            Flag::Below => number < self.number,
            Flag::BelowEqual => number <= self.number,
            Flag::Above => number > self.number,
            _ => number >= self.number,
        }
    }
}

/// Fewer tests, or fewer places to go to, are no table.
const TESTS: usize = 5;
const PLACES: usize = 4;
/// The most numbers that a table has, and the most for every test.
const NUMBERS: u64 = 1024;
const APART: u64 = 10;
/// Numbers from 0 on are in a table that begins before this.
const LOW: u64 = 16;

impl Writer<'_> {
    /// All tables, in the order of their segments, and the segments that they take the place of.
    pub(super) fn tables(&self) -> (Vec<Table>, Vec<bool>) {
        let (mut tables, mut gone) = (Vec::new(), Vec::new());
        for root in 0..self.body.segments.len() as u32 {
            // Within a tree, what leads here is looked at, and so is this.
            if self.body.segments[root as usize].cold || self.is_inner(root) {
                continue;
            }
            if let Some((table, inner)) = self.table(root) {
                gone.resize(self.body.segments.len(), false);
                inner.iter().for_each(|&segment| gone[segment as usize] = true);
                tables.push(table);
            }
        }
        (tables, gone)
    }

    fn question(&self, segment: u32) -> Option<Question> {
        let segment = &self.body.segments[segment as usize];
        let [.., asks, branch] = &self.body.insts[segment.first as usize..segment.end as usize] else {
            return None;
        };
        let Op::Branch(flag) = branch.op else { return None };
        let number = match asks.op {
            Op::CmpImm if asks.width == Width::W32 => u64::from(asks.imm as u32),
            Op::CmpImm => u64::try_from(asks.imm).ok()?,
            Op::Test if asks.a == asks.b => 0,
            _ => return None,
        };
        let plain = matches!(
            flag,
            Flag::Equal | Flag::NotEqual | Flag::Below | Flag::BelowEqual | Flag::Above | Flag::AboveEqual
        );
        (plain && asks.a.index().is_some()).then_some(Question {
            var: asks.a,
            width: asks.width,
            number,
            flag,
        })
    }

    /// Whether a segment is nothing but a question that one other asks first.
    fn is_inner(&self, segment: u32) -> bool {
        let [from] = self.body.sources(segment as usize) else { return false };
        self.asks_more(*from, segment)
    }

    /// Whether one segment leads to another that asks the same variable, and does nothing besides.
    fn asks_more(&self, from: u32, to: u32) -> bool {
        let (Some(first), Some(second)) = (self.question(from), self.question(to)) else { return false };
        let (source, target) = (&self.body.segments[from as usize], &self.body.segments[to as usize]);
        let is_short = target.end - target.first == 3 && self.body.sources(to as usize).len() == 1;
        let Some(way) = source.ways.iter().position(|way| way.is_some_and(|way| way.to == to)) else {
            return false;
        };
        is_short
            && (first.var, first.width) == (second.var, second.width)
            && self.on_edge(from, way == 1).is_empty()
            && !self.allocation.moves_within(target.first, target.end)
    }

    /// The table of a tree, and the segments in it but for the first.
    fn table(&self, root: u32) -> Option<(Table, Vec<u32>)> {
        let question = self.question(root)?;
        let mut tree = vec![root];
        let (mut low, mut high) = (u64::MAX, 0);
        let mut at = 0;
        while let Some(&segment) = tree.get(at) {
            at += 1;
            let number = self.question(segment)?.number;
            (low, high) = (low.min(number), high.max(number));
            for way in self.body.segments[segment as usize].ways.into_iter().flatten() {
                if way.to != segment && self.asks_more(segment, way.to) {
                    tree.push(way.to);
                }
            }
        }
        // What is less or more than all numbers of the tests leads where its neighbour does.
        let low = if low < LOW { 0 } else { low - 1 };
        let high = high.checked_add(1)?;
        let count = (high - low).checked_add(1)?;
        if tree.len() < TESTS || count > NUMBERS || count > APART * tree.len() as u64 {
            return None;
        }
        let root_segment = &self.body.segments[root as usize];
        let still = !self.allocation.moves_within(root_segment.end - 1, root_segment.end);
        let Home::Register(register) = self.allocation.of_var(question.var) else { return None };
        if !still || !self.allocation.is_whole(question.var) {
            return None;
        }
        let at = [2 * root_segment.end - 4, 2 * root_segment.end - 1];
        let one = self.allocation.idle_but(at, 1 << register)?;
        let other = self.allocation.idle_but(at, 1 << register | 1 << one)?;
        let mut edges: Vec<Leaf> = Vec::new();
        let mut places = Vec::with_capacity(count as usize);
        for number in low..=high {
            let leaf = self.leaf(root, number)?;
            let place = edges.iter().position(|&edge| self.same(edge, leaf)).unwrap_or_else(|| {
                edges.push(leaf);
                edges.len() - 1
            });
            places.push(u8::try_from(place).ok()?);
        }
        // Where it begins with 0, there is nothing before.
        let outside = *places.last()?;
        if edges.len() < PLACES || low > 0 && places[0] != outside {
            return None;
        }
        places.pop();
        let (width, free) = (question.width, [one, other]);
        let table = Table { root, width, register, free, first: low, places, edges, outside };
        Some((table, tree.split_off(1)))
    }

    /// The edge by which a number leaves a tree.
    fn leaf(&self, root: u32, number: u64) -> Option<Leaf> {
        let mut from = root;
        loop {
            let second = !self.question(from)?.holds(number);
            let way = self.way(Leaf { from, second })?;
            if way.to == from || !self.asks_more(from, way.to) {
                return Some(Leaf { from, second });
            }
            from = way.to;
        }
    }

    fn way(&self, leaf: Leaf) -> Option<Way> {
        self.body.segments[leaf.from as usize].ways[usize::from(leaf.second)]
    }

    /// Whether edges lead to one place, and nothing moves on the way.
    fn same(&self, a: Leaf, b: Leaf) -> bool {
        let to = |leaf: Leaf| self.way(leaf).map(|way| self.shortcuts[way.to as usize]);
        let still = |leaf: Leaf| self.on_edge(leaf.from, leaf.second).is_empty();
        a == b || to(a) == to(b) && still(a) && still(b)
    }

    /// Writes a jump by a table.
    pub(super) fn jump_by(&mut self, table: &Table) {
        let (register, [number, base]) = (table.register, table.free);
        let mut place = number;
        match (table.first, table.width) {
            (0, Width::W64) => place = register,
            (0, Width::W32) => self.code.mov(Width::W32, number, register),
            (first, width) => {
                let disp = (first as i32).wrapping_neg();
                self.code.lea(width, number, Mem { base: Some(register), index: None, disp });
            }
        }
        let last = table.places.len() as i32 - 1;
        let size = if table.width == Width::W32 { Size::W } else { Size::DW };
        self.code.alu_imm(Alu::Cmp, size, Rm::Reg(place), last);
        let labels: Vec<Label> = table.edges.iter().map(|&leaf| self.leaf_label(leaf)).collect();
        self.jump(Some(Flag::Above), labels[usize::from(table.outside)]);
        let entries = self.jumps.label();
        self.jumps.lea(base, entries, &self.code.bytes);
        let entry = Mem { base: Some(base), index: Some((place, 2)), disp: 0 };
        self.code.widen(Widen::Sign(Size::W), number, Rm::Mem(entry));
        self.code.alu(Alu::Add, Width::W64, number, Rm::Reg(base));
        self.code.jump_to(number);
        for (&leaf, &label) in table.edges.iter().zip(&labels) {
            self.leave_by(leaf, label);
        }
        let places = table.places.iter().map(|&place| labels[usize::from(place)]).collect();
        self.entries.push((entries, places));
    }

    /// Where an edge begins: at its target, if nothing moves.
    fn leaf_label(&mut self, leaf: Leaf) -> Label {
        match self.way(leaf) {
            Some(way) if self.on_edge(leaf.from, leaf.second).is_empty() => self.segment_label(way.to),
            _ => self.jumps.label(),
        }
    }

    /// The moves of an edge, and a jump, if there are moves.
    fn leave_by(&mut self, leaf: Leaf, label: Label) {
        let moves = self.on_edge(leaf.from, leaf.second);
        let Some(way) = self.way(leaf).filter(|_| !moves.is_empty()) else { return };
        self.jumps.put(label, &self.code.bytes);
        self.edge(leaf.from as usize, moves, way);
        let to = self.segment_label(way.to);
        self.jump(None, to);
    }

    /// The tables themselves, behind all code.
    pub(super) fn put_entries(&mut self) {
        for (table, places) in std::mem::take(&mut self.entries) {
            self.jumps.align(4, &self.code.bytes);
            self.jumps.put(table, &self.code.bytes);
            for place in places {
                self.jumps.entry(place, table, &self.code.bytes);
            }
        }
    }
}
