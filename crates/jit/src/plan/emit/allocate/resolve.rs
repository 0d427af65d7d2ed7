//! Moves: where a bundle changes its place, between instructions and on edges, and where edges give parameters their values.

use super::super::inst::{Body, Given, Segment};
use super::super::nest::NONE;
use super::bundle::Bundles;
use super::flow::Flow;
use super::moves::{Home, Move};
use super::scan::Piece;
use super::{Allocation, after, before, right_before};

/// Pieces of bundles that have several, in order.
struct Split<'p> {
    body: &'p Body,
    bundles: &'p Bundles,
    pieces: Vec<&'p Piece>,
    /// For every bundle, where its own start, if there are several, …
    first: Vec<u32>,
    /// … and how many they are.
    counts: Vec<u32>,
}

pub(super) fn resolve(
    body: &Body,
    bundles: &Bundles,
    flow: &Flow,
    pieces: &[Piece],
    allocation: &mut Allocation,
) {
    let mut counts = vec![0u32; body.kinds.len()];
    for piece in pieces.iter().filter(|piece| piece.from < piece.to) {
        counts[piece.bundle as usize] += 1;
    }
    let several = |piece: &&Piece| piece.from < piece.to && counts[piece.bundle as usize] > 1;
    let mut list: Vec<&Piece> = pieces.iter().filter(several).collect();
    list.sort_unstable_by_key(|piece| (piece.bundle, piece.from));
    let mut first = vec![NONE; body.kinds.len()];
    for (place, piece) in list.iter().enumerate() {
        let first = &mut first[piece.bundle as usize];
        *first = (*first).min(place as u32);
    }
    let split = Split { body, bundles, pieces: list, first, counts };
    split.between(allocation);
    split.entered(flow, allocation);
    split.given(allocation);
    allocation.moves.sort_by_key(|&(time, _)| time);
    allocation.edges.sort_by_key(|&(segment, way, _)| (segment, way));
}

impl Split<'_> {
    /// Where a bundle is at a position.
    fn home(&self, allocation: &Allocation, bundle: u32, at: u32) -> Home {
        match self.first[bundle as usize] {
            NONE => allocation.homes[bundle as usize],
            first => {
                let own = &self.pieces[first as usize..(first + self.counts[bundle as usize]) as usize];
                // Mostly they are few.
                let behind = match own {
                    [_, second] => 1 + usize::from(second.from <= at),
                    _ => own.partition_point(|piece| piece.from <= at),
                };
                allocation.home(self.body, own[behind.saturating_sub(1)])
            }
        }
    }

    /// Moves where bundles change within blocks.
    fn between(&self, allocation: &mut Allocation) {
        for pair in self.pieces.windows(2) {
            let (earlier, later) = (pair[0], pair[1]);
            if earlier.bundle != later.bundle {
                continue;
            }
            let at = later.from;
            let (from, to) = (allocation.home(self.body, earlier), allocation.home(self.body, later));
            let Home::Register(_) = to else { continue };
            let ranges = self.bundles.spans[later.bundle as usize].of(&self.bundles.ranges);
            let place = ranges.partition_point(|range| range.to <= at);
            let lives = ranges.get(place).is_some_and(|range| range.from < at);
            let begins = self.body.segments.binary_search_by_key(&at, |segment| 2 * segment.first).is_ok();
            if lives && !begins && from != to {
                debug_assert!(at % 2 == 0, "registers change before instructions");
                allocation.moves.push((before(at / 2), Move { from, to }));
            }
        }
    }

    /// Moves on edges, for bundles that are elsewhere at their end.
    fn entered(&self, flow: &Flow, allocation: &mut Allocation) {
        if self.pieces.is_empty() {
            return;
        }
        for (number, segment) in self.body.segments.iter().enumerate() {
            for &var in flow.entering(number as u32) {
                let bundle = self.bundles.of[var as usize];
                if self.first[bundle as usize] == NONE {
                    continue;
                }
                let to = self.home(allocation, bundle, 2 * segment.first);
                let Home::Register(_) = to else { continue };
                let sources = self.body.sources(number);
                for (place, &source) in sources.iter().enumerate() {
                    // Two edges from one block stand side by side.
                    if place > 0 && sources[place - 1] == source {
                        continue;
                    }
                    let end = 2 * self.body.segments[source as usize].end - 1;
                    let from = self.home(allocation, bundle, end);
                    if from != to {
                        self.on_edges(allocation, source, number as u32, Move { from, to });
                    }
                }
            }
        }
    }

    /// A move on all edges from one segment to another.
    fn on_edges(&self, allocation: &mut Allocation, source: u32, target: u32, step: Move) {
        let ways = self.body.segments[source as usize].ways;
        for (number, way) in ways.into_iter().enumerate() {
            if way.is_some_and(|way| way.to == target) {
                self.on_edge(allocation, source, number as u8, step);
            }
        }
    }

    /// A move on an edge: at the end of a block that goes nowhere else, at the beginning of one that nobody else comes to, or on
    /// its own.
    fn on_edge(&self, allocation: &mut Allocation, source: u32, number: u8, step: Move) {
        let Segment { end, ways, .. } = self.body.segments[source as usize];
        let Some(way) = ways[usize::from(number)] else { return };
        if ways[1].is_none() {
            allocation.moves.push((right_before(end - 1), step));
        } else if self.body.sources(way.to as usize).len() == 1 {
            let first = self.body.segments[way.to as usize].first;
            allocation.moves.push((after(first), step));
        } else {
            allocation.edges.push((source, number, step));
        }
    }

    /// Moves of arguments to parameters.
    fn given(&self, allocation: &mut Allocation) {
        for (source, segment) in self.body.segments.iter().enumerate() {
            for (number, way) in segment.ways.into_iter().enumerate() {
                let Some(way) = way else { continue };
                let begin = 2 * self.body.segments[way.to as usize].first;
                for &(param, given) in self.body.given(way) {
                    let Some(param) = param.index() else { continue };
                    let bundle = self.bundles.of[param];
                    let to = self.home(allocation, bundle, begin);
                    let (from, same) = match given {
                        Given::Number(number) => (Home::Number(number), false),
                        Given::Var(var) => {
                            let Some(var) = var.index() else { continue };
                            let own = self.bundles.of[var];
                            (self.home(allocation, own, 2 * segment.end - 1), own == bundle)
                        }
                    };
                    let (source, number) = (source as u32, number as u8);
                    if matches!(to, Home::Register(_)) && from != to {
                        self.on_edge(allocation, source, number, Move { from, to });
                    }
                    // Its word is right already if both are of one bundle.
                    let slot = Home::Slot(allocation.slots[bundle as usize]);
                    if slot != Home::Slot(NONE) && !same && from != slot {
                        self.on_edge(allocation, source, number, Move { from, to: slot });
                    }
                }
            }
        }
    }
}
