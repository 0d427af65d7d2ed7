//! Variables that get the same register: what is copied to what, when the one is not needed any more.
//!
//! Parameters of blocks and their arguments, results that replace an operand: where they never live at the same time they
//! become one bundle, those in the innermost loops first, and no move is needed between them.

use super::super::inst::{Body, Kind};
use super::live::{Lives, Range, Slice};

/// A bundle of more ranges takes in no other.
const MOST: u32 = 48;

/// All bundles.
#[derive(Debug)]
pub(crate) struct Bundles {
    /// For every variable, its bundle, by the number of one of its variables.
    pub(crate) of: Vec<u32>,
    pub(crate) ranges: Vec<Range>,
    /// For every bundle, its ranges in order.
    pub(crate) spans: Vec<Slice>,
    /// For every variable, the next in its bundle, in a circle.
    pub(crate) next: Vec<u32>,
    /// For every bundle, the register that some variable of it is copied from or to.
    pub(crate) wishes: Vec<Option<u8>>,
    pub(crate) weights: Vec<f32>,
}

impl Bundles {
    pub(crate) fn of(body: &Body, lives: Lives) -> Bundles {
        let count = body.kinds.len() as u32;
        let mut bundles = Bundles {
            of: (0..count).collect(),
            ranges: lives.ranges,
            spans: lives.of,
            next: (0..count).collect(),
            wishes: lives.wishes,
            weights: lives.weights,
        };
        for &(a, b) in lives.friends.iter().rev().flat_map(|friends| friends.iter().rev()) {
            bundles.join(body, a, b);
        }
        for var in 0..count {
            bundles.of[var as usize] = bundles.find(var);
        }
        bundles
    }

    fn find(&mut self, var: u32) -> u32 {
        let mut at = var;
        while self.of[at as usize] != at {
            let above = self.of[at as usize];
            self.of[at as usize] = self.of[above as usize];
            at = above;
        }
        at
    }

    fn join(&mut self, body: &Body, a: u32, b: u32) {
        // Numbers are made again, not kept: they have no place of their own.
        let number = |var: u32| matches!(body.kinds[var as usize], Kind::Number(_));
        if number(a) || number(b) {
            return;
        }
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return;
        }
        let (first, second) = (self.spans[a as usize], self.spans[b as usize]);
        if first.count + second.count > MOST || first.count == 0 || second.count == 0 {
            return;
        }
        if meet(first.of(&self.ranges), second.of(&self.ranges)) {
            return;
        }
        self.spans[a as usize] = self.merge(first, second);
        self.of[b as usize] = a;
        self.next.swap(a as usize, b as usize);
        self.weights[a as usize] += self.weights[b as usize];
        let wish = self.wishes[b as usize];
        let own = &mut self.wishes[a as usize];
        *own = own.or(wish);
    }

    /// The ranges of both, in order, those that touch made one.
    fn merge(&mut self, a: Slice, b: Slice) -> Slice {
        // Very often the one is right behind the other.
        let start = self.ranges.len() as u32;
        let (mut at_a, mut at_b) = (a.first, b.first);
        let (end_a, end_b) = (a.first + a.count, b.first + b.count);
        while at_a < end_a || at_b < end_b {
            let from_a = at_b >= end_b
                || at_a < end_a && self.ranges[at_a as usize].from < self.ranges[at_b as usize].from;
            let range = if from_a { &mut at_a } else { &mut at_b };
            let next = self.ranges[*range as usize];
            *range += 1;
            if self.ranges.len() as u32 > start
                && let Some(last) = self.ranges.last_mut()
                && last.to == next.from
            {
                last.to = next.to;
                continue;
            }
            self.ranges.push(next);
        }
        Slice { first: start, count: self.ranges.len() as u32 - start }
    }
}

/// Whether some position is in both.
fn meet(a: &[Range], b: &[Range]) -> bool {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(first), Some(second)) = (a.peek(), b.peek()) {
        if first.from < second.to && second.from < first.to {
            return true;
        }
        if first.to <= second.to {
            a.next();
        } else {
            b.next();
        }
    }
    false
}
