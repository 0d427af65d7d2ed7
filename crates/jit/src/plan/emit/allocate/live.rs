//! Where variables live.
//!
//! Instruction `i` reads its operands at position `2i` and has its result from `2i + 1` on; a variable lives in ranges of
//! positions, as long as somebody reads it later.

use super::super::inst::{Body, Given, Inst, Op, Var};
use super::super::nest::NONE;
use super::flow::{Flow, Set, computes, params};

/// Positions from the first on and before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A part of a list that is shared by many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Slice {
    pub(crate) fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.first as usize..(self.first + self.count) as usize]
    }
}

/// Why two variables would best be in the same register, the best reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// An edge back to the head of a loop gives the one to the other.
    Back,
    /// An edge does.
    Edge,
    /// An instruction computes the one in the place of the other.
    Inst,
}

/// Loops deeper than so many are all the same.
const DEEPEST: u8 = 5;

/// Where all variables live.
#[derive(Debug)]
pub(crate) struct Lives {
    pub(crate) ranges: Vec<Range>,
    /// For every variable, its ranges in order.
    pub(crate) of: Vec<Slice>,
    /// Pairs of variables that would best be in the same register, by how much that matters, the least first; of those that
    /// matter as much, the last first.
    pub(crate) friends: Vec<Vec<(u32, u32)>>,
    /// For every variable, the register that it is copied from or to.
    pub(crate) wishes: Vec<Option<u8>>,
    /// For every variable, how often it is read and computed, loops counted many times.
    pub(crate) weights: Vec<f32>,
}

/// A range, and the next of the same variable.
#[derive(Clone, Copy)]
struct Link {
    range: Range,
    next: u32,
}

/// As they are found.
struct Finder<'b> {
    body: &'b Body,
    flow: &'b Flow,
    /// What lives at the place at hand …
    set: Set,
    /// … and how far.
    until: Vec<u32>,
    links: Vec<Link>,
    /// For every variable, its first range so far.
    first: Vec<u32>,
    lives: Lives,
}

/// How much more an instruction in a loop counts.
pub(crate) fn weight(depth: u8) -> f32 {
    [1.0, 8.0, 64.0, 512.0, 4096.0, 32768.0][usize::from(depth.min(DEEPEST))]
}

pub(crate) fn find(body: &Body, flow: &Flow) -> Lives {
    let count = body.kinds.len();
    let lives = Lives {
        ranges: Vec::with_capacity(count + count / 2),
        of: vec![Slice::default(); count],
        friends: vec![Vec::new(); 3 * (usize::from(DEEPEST) + 1)],
        wishes: vec![None; count],
        weights: vec![0.0; count],
    };
    let mut finder = Finder {
        body,
        flow,
        set: Set::new(count),
        until: vec![0; count],
        links: Vec::with_capacity(count + count / 2),
        first: vec![NONE; count],
        lives,
    };
    for segment in (0..body.segments.len() as u32).rev() {
        finder.segment(segment);
    }
    finder.finish()
}

impl Finder<'_> {
    /// A segment, from its end to its beginning.
    fn segment(&mut self, number: u32) {
        let segment = self.body.segments[number as usize];
        let depth = if segment.cold { 0 } else { segment.depth };
        let weight = if segment.cold { 0.1 } else { weight(depth) };
        let (begin, end) = (2 * segment.first, 2 * segment.end);
        self.set.clear();
        let until = &mut self.until;
        self.flow.leaving(self.body, number, &mut self.set, |var| until[var as usize] = end);
        for way in segment.ways.into_iter().flatten().rev() {
            let tie = if way.to <= number { Tie::Back } else { Tie::Edge };
            for &(param, given) in self.body.given(way).iter().rev() {
                if let Given::Var(var) = given {
                    self.count(var, weight);
                    self.befriend(param, var, tie, depth);
                }
            }
        }
        for index in (segment.first..segment.end).rev() {
            let inst = &self.body.insts[index as usize];
            self.inst(inst, 2 * index, depth, weight);
        }
        for param in params(self.body, number) {
            let to = if self.set.remove(param) { self.until[param as usize] } else { begin + 1 };
            self.live(param, begin, to);
        }
        for place in 0..self.set.members().len() {
            let var = self.set.members()[place];
            self.live(var, begin, self.until[var as usize]);
        }
    }

    #[inline]
    fn inst(&mut self, inst: &Inst, at: u32, depth: u8, weight: f32) {
        if let Some(var) = computes(inst) {
            let to = if self.set.remove(var) { self.until[var as usize] } else { at + 2 };
            self.live(var, at + 1, to);
            self.lives.weights[var as usize] += weight;
        } else {
            // It goes on, and is not read before it is there.
            self.read(inst.dst, at + 2, weight);
        }
        inst.uses(|used| self.read(used.var, at + 1 + u32::from(used.late), weight));
        if inst.op == Op::Copy || inst.tied() {
            if inst.commutes() {
                self.befriend(inst.dst, inst.b, Tie::Inst, depth);
            }
            self.befriend(inst.dst, inst.a, Tie::Inst, depth);
        }
    }

    #[inline]
    fn count(&mut self, var: Var, weight: f32) {
        if let Some(var) = var.index() {
            self.lives.weights[var] += weight;
        }
    }

    /// A variable is read until a position.
    #[inline]
    fn read(&mut self, var: Var, to: u32, weight: f32) {
        let Some(var) = var.index() else { return };
        self.lives.weights[var] += weight;
        let until = &mut self.until[var];
        *until = if self.set.add(var as u32) { to } else { (*until).max(to) };
    }

    /// A variable lives in these positions, which are before all that were found.
    #[inline]
    fn live(&mut self, var: u32, from: u32, to: u32) {
        let first = &mut self.first[var as usize];
        if *first != NONE {
            let link = &mut self.links[*first as usize];
            if link.range.from == to {
                link.range.from = from;
                return;
            }
        }
        let next = std::mem::replace(first, self.links.len() as u32);
        self.links.push(Link { range: Range { from, to }, next });
    }

    fn befriend(&mut self, a: Var, b: Var, tie: Tie, depth: u8) {
        match (a.index(), b.index(), a.as_real(), b.as_real()) {
            (Some(a), Some(b), ..) => {
                let worth = 3 * usize::from(depth.min(DEEPEST)) + 2 - tie as usize;
                self.lives.friends[worth].push((a as u32, b as u32));
            }
            (Some(var), None, _, Some(register)) | (None, Some(var), Some(register), _) => {
                self.lives.wishes[var] = Some(register);
            }
            _ => {}
        }
    }

    /// Puts ranges in order.
    fn finish(mut self) -> Lives {
        for (var, &first) in self.first.iter().enumerate() {
            let start = self.lives.ranges.len() as u32;
            let mut at = first;
            while at != NONE {
                let Link { range, next } = self.links[at as usize];
                self.lives.ranges.push(range);
                at = next;
            }
            let count = self.lives.ranges.len() as u32 - start;
            self.lives.of[var] = Slice { first: start, count };
        }
        self.lives
    }
}
