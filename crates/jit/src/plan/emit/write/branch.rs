//! Branches, and the moves on the way.
//!
//! ```text
//! cmp … ; jcc target                     mov ecx, 1 ; jcc target        ; nobody else misses what was in ecx
//! jncc over ; moves ; jmp target ; over:
//! ```

use std::ops::Range;

use super::super::allocate::moves::{Home, Move};
use super::super::inst::{Inst, Op, Var, Way};
use super::super::machine::{Flag, reg};
use super::cold::Cold;
use super::{When, Writer};

/// How many moves are made before a branch that may not need them.
const AHEAD: usize = 3;

impl Writer<'_> {
    /// Goes on with a segment, where it is not the next anyway.
    pub(super) fn on(&mut self, number: usize, way: Way) {
        if !self.is_next(number, way.to) {
            self.go(way);
        }
    }

    /// Goes to a segment, or does there what it does.
    pub(super) fn go(&mut self, way: Way) {
        match self.returning(way) {
            Some(answer) => {
                if answer != Home::Register(reg::RAX) {
                    self.transfer(answer, Home::Register(reg::RAX));
                }
                self.answer();
            }
            None => {
                let label = self.segment_label(way.to);
                self.jump(None, label);
            }
        }
    }

    /// Where the answer is, if a way leads to the end of the run and nothing else, and an end of its own is hardly longer than
    /// a jump.
    fn returning(&self, way: Way) -> Option<Home> {
        let to = self.shortcuts[way.to as usize];
        // Where everything stays where it is, it is known here what is where. What only one comes to may begin with moves.
        let known = self.allocation.is_fixed() && self.body.sources(to as usize).len() > 1;
        if !self.frame.is_none() || !known {
            return None;
        }
        let segment = self.body.segments[to as usize];
        match self.body.insts.get(segment.first as usize..segment.end as usize)? {
            [Inst { op: Op::Block, .. }, answer, Inst { op: Op::Return, .. }]
                if answer.op == Op::Copy && answer.dst == Var::real(reg::RAX) =>
            {
                Some(self.allocation.of_var(answer.a))
            }
            _ => None,
        }
    }

    pub(super) fn branch(&mut self, number: usize, flag: Flag, ways: [Way; 2]) {
        let [yes, no] = ways;
        let mut moves = [self.on_edge(number as u32, false), self.on_edge(number as u32, true)];
        let returns = [0, 1].map(|way: usize| !moves[way].is_empty() && self.returning(ways[way]).is_some());
        let ahead =
            [0, 1].into_iter().find(|&way| !returns[way] && self.goes_ahead(number, &moves[way], ways[way]));
        if let Some(way) = ahead {
            self.ahead(std::mem::take(&mut moves[way]));
        }
        let moving = [0, 1].map(|way: usize| !moves[way].is_empty());
        if let [false, false] = moving {
            let (yes_label, no_label) = (self.segment_label(yes.to), self.segment_label(no.to));
            if yes_label == no_label {
                self.on(number, yes);
            } else if self.is_next(number, yes.to) {
                self.jump(Some(flag.inverse()), no_label);
            } else {
                self.jump(Some(flag), yes_label);
                self.on(number, no);
            }
            return;
        }
        // What ends the run goes out of the way. Otherwise the way without moves goes at once; if both have some, the one that is
        // next goes last.
        let yes_last = match returns {
            [true, false] => false,
            [false, true] => true,
            _ => !moving[1] || moving[0] && self.is_next(number, yes.to),
        };
        let (flag, first, last) = if yes_last { (flag.inverse(), 1, 0) } else { (flag, 0, 1) };
        if !moving[first] {
            let label = self.segment_label(ways[first].to);
            self.jump(Some(flag), label);
        } else if returns[first] {
            let here = self.jumps.label();
            self.jump(Some(flag), here);
            self.cold.push(Cold::Edge { here, from: number, number: first as u8, way: ways[first] });
        } else {
            let over = self.jumps.label();
            self.jump(Some(flag.inverse()), over);
            self.edge(number, moves[first].clone(), ways[first]);
            self.go(ways[first]);
            self.jumps.put(over, &self.code.bytes);
        }
        self.edge(number, moves[last].clone(), ways[last]);
        self.on(number, ways[last]);
    }

    /// The moves on an edge.
    pub(super) fn on_edge(&self, segment: u32, second: bool) -> Range<usize> {
        let key = (segment, u8::from(second));
        let edges = &self.allocation.edges;
        let first = edges.partition_point(|&(segment, way, _)| (segment, way) < key);
        let last = edges.partition_point(|&(segment, way, _)| (segment, way) <= key);
        first..last
    }

    /// Whether the moves on an edge may be made before it is known that it is taken: nobody misses what they overwrite, they cost
    /// next to nothing, and a jump is saved.
    fn goes_ahead(&self, number: usize, moves: &Range<usize>, way: Way) -> bool {
        let (from, to) = (&self.body.segments[number], &self.body.segments[way.to as usize]);
        let free = |step: &Move| match (step.from, step.to) {
            (Home::Register(_) | Home::Number(_), Home::Register(register)) => {
                !self.allocation.is_taken(register, 2 * from.end - 1)
            }
            _ => false,
        };
        (1..=AHEAD).contains(&moves.len())
            && !self.is_next(number, way.to)
            && to.depth >= from.depth
            && !to.cold
            && self.allocation.edges[moves.clone()].iter().all(|(.., step)| free(step))
    }

    /// Moves before a branch. Flags stay.
    fn ahead(&mut self, moves: Range<usize>) {
        self.group.extend(self.allocation.edges[moves].iter().map(|&(.., step)| step));
        self.at_once(When { flags: true, depth: 0, at: [0, 0] });
    }

    /// Moves on an edge.
    pub(super) fn edge(&mut self, number: usize, moves: Range<usize>, way: Way) {
        let steps = self.allocation.edges[moves].iter().map(|&(.., step)| step);
        self.group.extend(steps);
        let segment = self.body.segments[number];
        let at = [2 * segment.end - 1, 2 * self.body.segments[way.to as usize].first];
        self.at_once(When { flags: false, depth: segment.depth, at });
    }
}
