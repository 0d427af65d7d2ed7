//! Registers for bundles, by a walk through the positions at which they begin (Poletto, Sarkar; splitting as of Wimmer,
//! Mössenböck).
//!
//! A bundle gets a register that is free as long as it lives, gaps included, if there is one. If not, whoever needs one the least
//! from there on goes to the frame until it is used again: what is used in inner loops stays.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::inst::{Body, Kind};
use super::super::machine::reg;
use super::super::nest::NONE;
use super::bundle::Bundles;
use super::live::Range;
use super::uses::Uses;

/// A bundle has no register there.
pub(crate) const FRAME: u8 = u8::MAX;

/// No position.
const NEVER: u32 = u32::MAX;

/// In which order registers are taken: first those that nobody has to keep and whose encodings are short.
const ORDER: [u8; 15] = [
    reg::RAX,
    reg::RCX,
    reg::RDX,
    reg::RSI,
    reg::RDI,
    reg::R8,
    reg::R9,
    10,
    11,
    reg::RBX,
    reg::RBP,
    14,
    15,
    12,
    13,
];

/// A bundle for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) bundle: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Its register, or [`FRAME`].
    pub(crate) register: u8,
}

/// When a register is taken, and by which piece.
#[derive(Clone, Copy, Debug)]
struct Taken {
    from: u32,
    to: u32,
    piece: u32,
}

/// What is taken of a register, in order.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    reserved: Vec<Range>,
    next_reserved: usize,
    taken: Vec<Taken>,
    next_taken: usize,
    /// Where bundles begin that wish for the register.
    wished: Vec<u32>,
    next_wished: usize,
}

pub(super) struct Scan<'b> {
    body: &'b Body,
    bundles: &'b Bundles,
    pub(super) calendars: [Calendar; 16],
    /// The registers that may be used.
    registers: u16,
    pub(super) pieces: Vec<Piece>,
    /// Pieces that begin later, by where.
    queue: BinaryHeap<Reverse<(u32, u32)>>,
    uses: Option<Uses>,
}

impl<'b> Scan<'b> {
    pub(super) fn new(
        body: &'b Body,
        bundles: &'b Bundles,
        reserved: [Vec<Range>; 16],
        registers: u16,
    ) -> Scan<'b> {
        let calendar = |reserved| Calendar { reserved, ..Calendar::default() };
        Scan {
            body,
            bundles,
            calendars: reserved.map(calendar),
            registers,
            pieces: Vec::with_capacity(body.kinds.len()),
            queue: BinaryHeap::new(),
            uses: None,
        }
    }

    /// Finds registers for all bundles.
    pub(super) fn run(&mut self) {
        // Bundles by the instruction at which they begin.
        let mut first = vec![NONE; self.body.insts.len() + 1];
        let mut next = vec![NONE; self.body.kinds.len()];
        for bundle in (0..self.body.kinds.len()).rev() {
            let ranges = self.ranges(bundle as u32);
            if self.bundles.of[bundle] == bundle as u32
                && let Some(range) = ranges.first()
            {
                let at = range.from as usize / 2;
                next[bundle] = first[at];
                first[at] = bundle as u32;
                if let Some(register) = self.bundles.wishes[bundle] {
                    self.calendars[usize::from(register)].wished.push(range.from);
                }
            }
        }
        self.calendars.iter_mut().for_each(|calendar| calendar.wished.sort_unstable());
        for (at, &begins) in first.iter().enumerate() {
            let mut bundle = begins;
            while bundle != NONE {
                let ranges = self.ranges(bundle);
                let (from, to) = (ranges[0].from, ranges[ranges.len() - 1].to);
                self.pieces_before(from);
                let piece = self.add(bundle, from, to, FRAME);
                self.place(piece);
                bundle = next[bundle as usize];
            }
            self.pieces_before(2 * at as u32 + 2);
        }
        self.pieces_before(NEVER);
    }

    /// Places pieces of the queue that begin before a position.
    fn pieces_before(&mut self, at: u32) {
        while let Some(&Reverse((from, piece))) = self.queue.peek() {
            if from >= at {
                return;
            }
            self.queue.pop();
            self.place(piece);
        }
    }

    fn add(&mut self, bundle: u32, from: u32, to: u32, register: u8) -> u32 {
        self.pieces.push(Piece { bundle, from, to, register });
        self.pieces.len() as u32 - 1
    }

    fn ranges(&self, bundle: u32) -> &'b [Range] {
        self.bundles.spans[bundle as usize].of(&self.bundles.ranges)
    }

    /// Where the bundle of a piece lives within it.
    fn within(&self, piece: u32) -> impl Iterator<Item = Range> + 'b {
        let Piece { bundle, from, to, .. } = self.pieces[piece as usize];
        let ranges = self.ranges(bundle);
        let ranges = &ranges[ranges.partition_point(|range| range.to <= from)..];
        ranges
            .iter()
            .take_while(move |range| range.from < to)
            .map(move |range| Range { from: range.from.max(from), to: range.to.min(to) })
    }

    /// Finds a register for a piece.
    fn place(&mut self, piece: u32) {
        let Piece { bundle, from, to, .. } = self.pieces[piece as usize];
        let mut latest = (0, FRAME);
        let wish = self.bundles.wishes[bundle as usize];
        // One that somebody wishes for who comes later is taken if others cost more.
        let mut second = FRAME;
        for register in wish.into_iter().chain(ORDER) {
            if self.registers >> register & 1 == 0 {
                continue;
            }
            if second != FRAME && reg::KEPT.contains(&register) {
                break;
            }
            let calendar = &mut self.calendars[usize::from(register)];
            calendar.advance(from);
            let wished = calendar.wished.get(calendar.next_wished).is_some_and(|&at| at < to);
            match self.conflict(register, piece, to) {
                NEVER if wished && wish != Some(register) => {
                    if second == FRAME {
                        second = register;
                    }
                }
                NEVER => return self.take(piece, register),
                conflict if conflict > latest.0 => latest = (conflict, register),
                _ => {}
            }
        }
        if second != FRAME {
            return self.take(piece, second);
        }
        self.contend(piece, latest);
    }

    /// The first position at which a register is taken while a piece lives.
    fn conflict(&self, register: u8, piece: u32, to: u32) -> u32 {
        let calendar = &self.calendars[usize::from(register)];
        let reserved = &calendar.reserved[calendar.next_reserved..];
        let taken = &calendar.taken[calendar.next_taken..];
        let far = |next: Option<u32>| next.is_none_or(|next| next >= to);
        if far(reserved.first().map(|range| range.from)) && far(taken.first().map(|taken| taken.from)) {
            return NEVER;
        }
        let reserved = meet(self.within(piece), reserved.iter().map(|range| (range.from, range.to)));
        let taken = meet(self.within(piece), taken.iter().map(|taken| (taken.from, taken.to)));
        reserved.min(taken)
    }

    /// Gives a register to a piece.
    fn take(&mut self, piece: u32, register: u8) {
        self.pieces[piece as usize].register = register;
        let ranges = self.within(piece);
        let calendar = &mut self.calendars[usize::from(register)];
        for range in ranges {
            let taken = Taken { from: range.from, to: range.to, piece };
            let mut place = calendar.taken.len();
            while place > calendar.next_taken && calendar.taken[place - 1].from > taken.from {
                place -= 1;
            }
            calendar.taken.insert(place, taken);
        }
    }

    /// No register is free as long as a piece lives: somebody goes to the frame.
    fn contend(&mut self, piece: u32, (until, longest): (u32, u8)) {
        let Piece { bundle, from, to, .. } = self.pieces[piece as usize];
        let own = self.need(bundle, from, to);
        let (need, register) = self.cheapest(piece);
        // It is worth more than whoever has a register.
        if need < own {
            return self.evict(piece, register);
        }
        let now = self.uses().now(bundle, from);
        // A register for some time, if it is used in that time. Registers change before instructions only.
        let until = until & !1;
        let next = self.uses().next(bundle, from);
        if let Some(next) = next
            && next < to
            && until > (next | 1)
            && until > from
        {
            let last = self.uses().before(bundle, until).last().map_or(next, |used| used.at.max(next));
            let end = self.calm((last | 1) + 1, until.max((last | 1) + 1)).min(until);
            if end > from {
                self.pieces[piece as usize].to = end;
                self.take(piece, longest);
                let rest = self.add(bundle, end, to, FRAME);
                self.queue.push(Reverse((end, rest)));
                return;
            }
        }
        if !now {
            self.pieces[piece as usize].to = from;
            return self.rest(bundle, from, (from | 1) + 1, to);
        }
        // It has to be in a register now, and may go afterwards.
        let end = ((from | 1) + 1).min(to);
        self.pieces[piece as usize].to = end;
        if end < to {
            self.rest(bundle, end, end, to);
        }
        for register in ORDER {
            if self.registers >> register & 1 == 1 && self.conflict(register, piece, end) == NEVER {
                return self.take(piece, register);
            }
        }
        let (_, register) = self.cheapest(piece);
        assert!(register != FRAME, "an instruction wants more registers than there are");
        self.evict(piece, register);
    }

    /// The register that a piece gets most easily from those who have it, and how much they need it.
    fn cheapest(&mut self, piece: u32) -> (f32, u8) {
        let mut best: (f32, u8) = (f32::INFINITY, FRAME);
        for register in ORDER {
            if self.registers >> register & 1 == 1
                && let Some(need) = self.eviction(register, piece)
                && need < best.0
            {
                best = (need, register);
            }
        }
        best
    }

    fn uses(&mut self) -> &Uses {
        self.uses.get_or_insert_with(|| Uses::of(self.body, self.bundles))
    }

    /// How much a bundle needs a register from a position on, in relation to how long it lives.
    fn need(&mut self, bundle: u32, from: u32, to: u32) -> f32 {
        let around = self.around(from);
        let uses = self.uses();
        let mut need: f32 = uses.from(bundle, from).iter().take(64).map(|used| used.weight).sum();
        // In a loop what came before comes again.
        if let Some(start) = around {
            let again = uses.before(bundle, from).iter().rev().take(64);
            need += again.take_while(|used| used.at >= start).map(|used| used.weight).sum::<f32>();
        }
        let number = matches!(self.body.kinds[bundle as usize], Kind::Number(_));
        let worth = if number { 0.5 } else { 1.0 };
        need * worth / (to - from + 4) as f32
    }

    /// Where the innermost loop around a position begins.
    fn around(&self, at: u32) -> Option<u32> {
        let inside = self.body.segments[self.segment(at)].inside;
        let span = self.body.loops.get(inside as usize)?;
        Some(2 * self.body.segments.get(span.first as usize)?.first)
    }

    /// How much those need a register that would have to leave it for a piece; nothing if somebody cannot.
    fn eviction(&mut self, register: u8, piece: u32) -> Option<f32> {
        let from = self.pieces[piece as usize].from;
        let reserved = &self.calendars[usize::from(register)];
        let reserved = &reserved.reserved[reserved.next_reserved..];
        let fixed = meet(self.within(piece), reserved.iter().map(|range| (range.from, range.to)));
        if fixed != NEVER {
            return None;
        }
        let mut need = 0.0;
        for other in self.rivals(register, piece)? {
            let Piece { bundle, to, from: begin, .. } = self.pieces[other as usize];
            if self.uses().now(bundle, from) && begin <= from {
                return None;
            }
            need += self.need(bundle, from.max(begin), to);
        }
        Some(need)
    }

    /// The pieces that have a register while a piece lives, if they are few.
    fn rivals(&self, register: u8, piece: u32) -> Option<Vec<u32>> {
        let calendar = &self.calendars[usize::from(register)];
        let mut taken = calendar.taken[calendar.next_taken..].iter().peekable();
        let mut rivals: Vec<u32> = Vec::new();
        for range in self.within(piece) {
            while let Some(next) = taken.peek()
                && next.from < range.to
            {
                if range.from < next.to && !rivals.contains(&next.piece) {
                    rivals.push(next.piece);
                }
                if next.to > range.to {
                    break;
                }
                taken.next();
            }
            if rivals.len() > 4 {
                return None;
            }
        }
        Some(rivals)
    }

    /// Gives a register to a piece that others have.
    fn evict(&mut self, piece: u32, register: u8) {
        let from = self.pieces[piece as usize].from;
        for other in self.rivals(register, piece).unwrap_or_default() {
            let Piece { bundle, from: begin, to, .. } = self.pieces[other as usize];
            // Nobody uses it between its last use and here; it may go before the loops around here.
            let at = from.max(begin);
            let last = self.uses().before(bundle, at).last().map_or(0, |used| used.at + 1);
            let cut = self.calm(last.max(begin), at).max(begin);
            self.calendars[usize::from(register)].cut(other, cut);
            self.pieces[other as usize].to = cut;
            self.rest(bundle, cut, (at | 1) + 1, to);
        }
        self.take(piece, register);
    }

    /// A bundle is in the frame from a position on, and may have a register again from `now` on.
    fn rest(&mut self, bundle: u32, from: u32, now: u32, to: u32) {
        let next = self.uses().next(bundle, now).filter(|&next| next < to);
        let Some(next) = next else {
            self.add(bundle, from, to, FRAME);
            return;
        };
        // What it is computed for begins at its result, other uses before their instruction.
        let computed = next & 1 == 1 && !self.lives_before(bundle, next);
        let wanted = if computed { next } else { next & !1 };
        let again = self.calm(now, wanted.max(now));
        if from < again {
            self.add(bundle, from, again, FRAME);
        }
        let piece = self.add(bundle, again, to, FRAME);
        self.queue.push(Reverse((again, piece)));
    }

    /// Whether a bundle lives right before a position.
    fn lives_before(&self, bundle: u32, at: u32) -> bool {
        let ranges = self.ranges(bundle);
        let place = ranges.partition_point(|range| range.to < at);
        ranges.get(place).is_some_and(|range| range.from < at)
    }

    /// A position from `low` to `high`, the last that is in as few loops as possible.
    fn calm(&self, low: u32, high: u32) -> u32 {
        let (first, last) = (self.segment(low), self.segment(high));
        let mut calm = high;
        if first == last {
            return calm;
        }
        let mut inside = self.body.segments[last].inside;
        while inside != NONE {
            let span = self.body.loops[inside as usize];
            let Some(begin) = self.body.segments.get(span.first as usize) else { break };
            if 2 * begin.first <= low {
                break;
            }
            calm = calm.min(2 * begin.first);
            inside = span.parent;
        }
        calm
    }

    /// The segment of a position.
    fn segment(&self, at: u32) -> usize {
        let behind = self.body.segments.partition_point(|segment| 2 * segment.first <= at);
        behind.saturating_sub(1)
    }
}

impl Calendar {
    /// Nobody asks about what is before this position any more.
    #[inline]
    fn advance(&mut self, at: u32) {
        while self.reserved.get(self.next_reserved).is_some_and(|range| range.to <= at) {
            self.next_reserved += 1;
        }
        while self.taken.get(self.next_taken).is_some_and(|taken| taken.to <= at) {
            self.next_taken += 1;
        }
        while self.wished.get(self.next_wished).is_some_and(|&wished| wished <= at) {
            self.next_wished += 1;
        }
    }
}

impl Calendar {
    /// Whether the register holds something at a position.
    pub(super) fn is_taken(&self, at: u32) -> bool {
        let reserved = self.reserved.partition_point(|range| range.to <= at);
        let taken = self.taken.partition_point(|taken| taken.to <= at);
        self.reserved.get(reserved).is_some_and(|range| range.from <= at)
            || self.taken.get(taken).is_some_and(|taken| taken.from <= at)
    }

    /// A piece has the register no more from a position on.
    fn cut(&mut self, piece: u32, at: u32) {
        let mut kept = self.next_taken;
        for place in self.next_taken..self.taken.len() {
            let mut taken = self.taken[place];
            if taken.piece == piece {
                taken.to = taken.to.min(at);
            }
            if taken.from < taken.to {
                self.taken[kept] = taken;
                kept += 1;
            }
        }
        self.taken.truncate(kept);
    }
}

/// The first position that is in both.
fn meet(mut a: impl Iterator<Item = Range>, mut b: impl Iterator<Item = (u32, u32)>) -> u32 {
    let (mut first, mut second) = (a.next(), b.next());
    while let (Some(range), Some((from, to))) = (first, second) {
        if range.from < to && from < range.to {
            return range.from.max(from);
        }
        if range.to <= to {
            first = a.next();
        } else {
            second = b.next();
        }
    }
    NEVER
}
