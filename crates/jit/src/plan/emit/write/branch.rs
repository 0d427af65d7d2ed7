//! Branches, and the moves on the way.
//!
//! ```text
//! cmp … ; jcc target                     mov ecx, 1 ; jcc target        ; nobody else misses what was in ecx
//! jncc over ; moves ; jmp target ; over:
//! ```

use std::ops::Range;

use super::super::allocate::moves::{Home, Move};
use super::super::inst::Way;
use super::super::machine::Flag;
use super::{When, Writer};

/// How many moves are made before a branch that may not need them.
const AHEAD: usize = 3;

impl Writer<'_> {
    pub(super) fn branch(&mut self, number: usize, flag: Flag, yes: Way, no: Way) {
        let (yes_label, no_label) = (self.segment_label(yes.to), self.segment_label(no.to));
        let (mut on_yes, mut on_no) = (self.on_edge(number as u32, false), self.on_edge(number as u32, true));
        if self.goes_ahead(number, &on_yes, yes) {
            self.ahead(std::mem::take(&mut on_yes));
        } else if self.goes_ahead(number, &on_no, no) {
            self.ahead(std::mem::take(&mut on_no));
        }
        if on_yes.is_empty() && on_no.is_empty() {
            if yes_label == no_label {
                if !self.is_next(number, yes.to) {
                    self.jump(None, yes_label);
                }
            } else if self.is_next(number, yes.to) {
                self.jump(Some(flag.inverse()), no_label);
            } else {
                self.jump(Some(flag), yes_label);
                if !self.is_next(number, no.to) {
                    self.jump(None, no_label);
                }
            }
            return;
        }
        // The way without moves goes at once; if both have some, the one that is next goes last.
        let yes_last = on_no.is_empty() || (!on_yes.is_empty() && self.is_next(number, yes.to));
        let (flag, first, on_first, last, on_last) = match yes_last {
            true => (flag.inverse(), no, on_no, yes, on_yes),
            false => (flag, yes, on_yes, no, on_no),
        };
        let first_label = self.segment_label(first.to);
        if on_first.is_empty() {
            self.jump(Some(flag), first_label);
        } else {
            let over = self.jumps.label();
            self.jump(Some(flag.inverse()), over);
            self.edge(number, on_first, first);
            self.jump(None, first_label);
            self.jumps.put(over, &self.code.bytes);
        }
        self.edge(number, on_last, last);
        if !self.is_next(number, last.to) {
            let label = self.segment_label(last.to);
            self.jump(None, label);
        }
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
