//! Registers for variables.
//!
//! [`flow`] and [`live`] say where variables live, [`bundle`] which of them are to be in the same register, [`scan`] which register that is,
//! where there are enough, and here moves are found that are needed where a bundle changes its place.
//!
//! A bundle that is in the frame somewhere is put there wherever it is computed: its word is always right, and leaving a register
//! costs nothing.

pub(crate) mod bundle;
mod fixed;
pub(crate) mod flow;
pub(crate) mod live;
pub(crate) mod moves;
mod resolve;
pub(crate) mod scan;
mod uses;

use super::inst::{Body, Kind, Var};
use super::machine::reg;
use super::nest::NONE;
use bundle::Bundles;
use flow::Flow;
use moves::{Home, Move};
use scan::{Calendar, FRAME, Piece, Scan};

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Allocation {
    /// For every variable, its bundle.
    bundles: Vec<u32>,
    /// For every bundle, where it is, at first.
    homes: Vec<Home>,
    /// Where bundles are later, in order: from this position on.
    changes: Vec<(u32, u32, Home)>,
    next_change: usize,
    /// For every bundle, the word of the frame that it is in sometimes.
    slots: Vec<u32>,
    /// How many words of the frame there are.
    pub(crate) words: u32,
    /// Moves between instructions, in order: see [`before`] and [`after`].
    pub(crate) moves: Vec<(u64, Move)>,
    /// Moves on edges that no block has for itself: by segment and way.
    pub(crate) edges: Vec<(u32, u8, Move)>,
    /// The registers that are used.
    pub(crate) used: u16,
    /// The registers that may be.
    registers: u16,
    /// When each is.
    calendars: [Calendar; 16],
}

/// The time of moves before an instruction.
pub(crate) fn before(index: u32) -> u64 {
    u64::from(index) << 2
}

/// The time of moves behind those before it.
pub(crate) fn right_before(index: u32) -> u64 {
    u64::from(index) << 2 | 1
}

/// The time of moves after it.
pub(crate) fn after(index: u32) -> u64 {
    u64::from(index) << 2 | 2
}

/// Finds places for all variables; only these registers are used.
pub(crate) fn allocate(body: &Body, registers: u16) -> Allocation {
    let flow = Flow::of(body);
    let bundles = Bundles::of(body, live::find(body, &flow));
    let mut scan = Scan::new(body, &bundles, fixed::find(body), registers);
    scan.run();
    let (pieces, calendars) = (std::mem::take(&mut scan.pieces), std::mem::take(&mut scan.calendars));
    drop(scan);
    let mut allocation = Allocation::of(body, &bundles, &pieces);
    (allocation.calendars, allocation.registers) = (calendars, registers);
    resolve::resolve(body, &bundles, &flow, &pieces, &mut allocation);
    allocation
}

impl Allocation {
    fn of(body: &Body, bundles: &Bundles, pieces: &[Piece]) -> Allocation {
        let count = body.kinds.len();
        let mut allocation = Allocation {
            bundles: bundles.of.clone(),
            homes: vec![Home::Number(0); count],
            changes: Vec::new(),
            next_change: 0,
            slots: vec![NONE; count],
            words: 0,
            moves: Vec::new(),
            edges: Vec::new(),
            used: 0,
            registers: 0,
            calendars: Default::default(),
        };
        allocation.slots(body, bundles, pieces);
        // The first of every bundle, and the others.
        let mut first = vec![NONE; count];
        for (number, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.from < piece.to) {
            if piece.register != FRAME {
                allocation.used |= 1 << piece.register;
            }
            let known = &mut first[piece.bundle as usize];
            if *known == NONE {
                *known = number as u32;
                continue;
            }
            // Which is the first is known only when all are seen.
            let (later, earlier) = match pieces[*known as usize].from > piece.from {
                true => (pieces[*known as usize], number as u32),
                false => (*piece, *known),
            };
            *known = earlier;
            allocation.changes.push((later.from, later.bundle, allocation.home(body, &later)));
        }
        for (bundle, &number) in first.iter().enumerate() {
            if number != NONE {
                allocation.homes[bundle] = allocation.home(body, &pieces[number as usize]);
            }
        }
        allocation.changes.sort_unstable_by_key(|&(from, bundle, _)| (from, bundle));
        allocation
    }

    /// Words of the frame, for bundles that are in it somewhere; those that never live at the same time share one.
    fn slots(&mut self, body: &Body, bundles: &Bundles, pieces: &[Piece]) {
        let spilled = |piece: &&Piece| piece.register == FRAME && piece.from < piece.to;
        let mut wanted: Vec<u32> = pieces.iter().filter(spilled).map(|piece| piece.bundle).collect();
        let number = |bundle: u32| matches!(body.kinds[bundle as usize], Kind::Number(_));
        wanted.retain(|&bundle| !number(bundle));
        let hull = |bundle: u32| {
            let ranges = bundles.spans[bundle as usize].of(&bundles.ranges);
            (ranges[0].from, ranges[ranges.len() - 1].to)
        };
        wanted.sort_unstable_by_key(|&bundle| (hull(bundle).0, bundle));
        wanted.dedup();
        // Words that are free again, by the end of what was in them.
        let mut busy = std::collections::BinaryHeap::new();
        for bundle in wanted {
            let (from, to) = hull(bundle);
            let word = match busy.peek() {
                Some(&std::cmp::Reverse((end, word))) if end <= from => {
                    busy.pop();
                    word
                }
                _ => {
                    self.words += 1;
                    self.words - 1
                }
            };
            busy.push(std::cmp::Reverse((to, word)));
            self.slots[bundle as usize] = word;
        }
    }

    fn home(&self, body: &Body, piece: &Piece) -> Home {
        match body.kinds[piece.bundle as usize] {
            _ if piece.register != FRAME => Home::Register(piece.register),
            Kind::Number(number) => Home::Number(number),
            _ => Home::Slot(self.slots[piece.bundle as usize]),
        }
    }

    /// Places are those of this position from now on. Positions only grow.
    #[inline]
    pub(crate) fn go_to(&mut self, at: u32) {
        while let Some(&(from, bundle, home)) = self.changes.get(self.next_change)
            && from <= at
        {
            self.homes[bundle as usize] = home;
            self.next_change += 1;
        }
    }

    /// Whether nothing ever changes its place.
    pub(crate) fn is_fixed(&self) -> bool {
        self.changes.is_empty()
    }

    /// Where a variable is.
    #[inline]
    pub(crate) fn of_var(&self, var: Var) -> Home {
        match (var.as_real(), var.index()) {
            (Some(register), _) => Home::Register(register),
            (None, Some(var)) => self.homes[self.bundles[var] as usize],
            (None, None) => unreachable!("no operand has no place"),
        }
    }

    /// A register that holds nothing at these positions, and that costs nothing to use.
    pub(crate) fn idle(&self, at: [u32; 2]) -> Option<u8> {
        self.idle_but(at, 0)
    }

    /// The same, but none of these.
    pub(crate) fn idle_but(&self, at: [u32; 2], others: u16) -> Option<u8> {
        let kept = reg::KEPT.iter().fold(0, |kept, register| kept | 1 << register);
        let free = self.registers & (self.used | !kept) & !others;
        let idle = |register: u8| !at.iter().any(|&at| self.is_taken(register, at));
        (0..16).find(|&register| free >> register & 1 == 1 && idle(register))
    }

    /// Whether a variable is in one place all the time.
    pub(crate) fn is_whole(&self, var: Var) -> bool {
        let Some(var) = var.index() else { return true };
        let bundle = self.bundles[var];
        !self.changes.iter().any(|&(_, other, _)| other == bundle)
    }

    /// Whether there are moves at instructions from this one on, up to that one.
    pub(crate) fn moves_within(&self, first: u32, end: u32) -> bool {
        let from = self.moves.partition_point(|&(time, _)| time >> 2 < u64::from(first));
        self.moves.get(from).is_some_and(|&(time, _)| time >> 2 < u64::from(end))
    }

    /// Whether a register holds something at a position.
    pub(crate) fn is_taken(&self, register: u8, at: u32) -> bool {
        self.calendars[usize::from(register)].is_taken(at)
    }

    /// The word of the frame to which a variable is put when it is computed.
    #[inline]
    pub(crate) fn slot(&self, var: Var) -> Option<u32> {
        let slot = self.slots[self.bundles[var.index()?] as usize];
        (slot != NONE).then_some(slot)
    }
}
