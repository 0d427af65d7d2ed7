//! Where bundles are read and computed, for those that lose their registers: collected when the first of them does.

use super::super::inst::{Body, Given, Kind};
use super::bundle::Bundles;
use super::live::{Slice, weight};

/// How a variable is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It must be in a register.
    Register,
    /// It may be in the frame.
    Operand,
    /// An edge gives it to a parameter, or it is one: wherever it is.
    Anywhere,
}

/// A use.
#[derive(Clone, Copy, Debug)]
pub(super) struct UseAt {
    pub(super) at: u32,
    pub(super) how: How,
    pub(super) weight: f32,
}

/// The uses of all bundles, in order.
#[derive(Debug)]
pub(super) struct Uses {
    list: Vec<UseAt>,
    of: Vec<Slice>,
}

/// Uses that are closer than so many positions are worth a register.
const CLOSE: u32 = 24;

impl Uses {
    pub(super) fn of(body: &Body, bundles: &Bundles) -> Uses {
        let mut found: Vec<(u32, UseAt)> = Vec::with_capacity(2 * body.insts.len());
        for segment in &body.segments {
            let weight = if segment.cold { 0.1 } else { weight(segment.depth) };
            let mut note = |var: usize, at: u32, how: How| {
                let number = matches!(body.kinds[var], Kind::Number(_));
                // There is no memory that numbers are in.
                let how = if number && how == How::Operand { How::Register } else { how };
                found.push((bundles.of[var], UseAt { at, how, weight }));
            };
            for index in segment.first..segment.end {
                let inst = &body.insts[index as usize];
                inst.uses(|used| {
                    if let Some(var) = used.var.index() {
                        let how = if used.memory { How::Operand } else { How::Register };
                        note(var, 2 * index + u32::from(used.late), how);
                    }
                });
                if let Some(var) = inst.dst.index() {
                    let how = match body.kinds[var] {
                        Kind::Number(_) => How::Anywhere,
                        Kind::Budget if inst.op == super::super::inst::Op::Charge => How::Operand,
                        _ => How::Register,
                    };
                    note(var, 2 * index + 1, how);
                }
            }
            for way in segment.ways.into_iter().flatten() {
                for &(param, given) in body.given(way) {
                    if let Given::Var(var) = given
                        && let Some(var) = var.index()
                    {
                        note(var, 2 * segment.end - 1, How::Anywhere);
                    }
                    if let Some(param) = param.index() {
                        note(param, 2 * body.segments[way.to as usize].first, How::Anywhere);
                    }
                }
            }
        }
        let mut of = vec![Slice::default(); body.kinds.len()];
        for &(bundle, _) in &found {
            of[bundle as usize].count += 1;
        }
        let mut first = 0;
        for slice in &mut of {
            slice.first = first;
            first += slice.count;
        }
        let mut free: Vec<u32> = of.iter().map(|slice| slice.first).collect();
        let none = UseAt { at: 0, how: How::Anywhere, weight: 0.0 };
        let mut list = vec![none; found.len()];
        for (bundle, used) in found {
            let place = &mut free[bundle as usize];
            list[*place as usize] = used;
            *place += 1;
        }
        for slice in &of {
            // Nearly in order already: but for parameters.
            let part = &mut list[slice.first as usize..(slice.first + slice.count) as usize];
            if !part.is_sorted_by_key(|used| used.at) {
                part.sort_unstable_by_key(|used| used.at);
            }
        }
        Uses { list, of }
    }

    fn all(&self, bundle: u32) -> &[UseAt] {
        self.of[bundle as usize].of(&self.list)
    }

    /// From a position on.
    pub(super) fn from(&self, bundle: u32, at: u32) -> &[UseAt] {
        let all = self.all(bundle);
        &all[all.partition_point(|used| used.at < at)..]
    }

    /// Before a position.
    pub(super) fn before(&self, bundle: u32, at: u32) -> &[UseAt] {
        let all = self.all(bundle);
        &all[..all.partition_point(|used| used.at < at)]
    }

    /// The next use from a position on for which it should be in a register.
    pub(super) fn next(&self, bundle: u32, at: u32) -> Option<u32> {
        let rest = self.from(bundle, at);
        let wants = |(place, used): (usize, &UseAt)| match used.how {
            How::Register => true,
            How::Anywhere => false,
            How::Operand => rest[place + 1..]
                .iter()
                .take_while(|later| later.at < used.at + CLOSE)
                .any(|later| later.at > used.at + 1 && later.how != How::Anywhere),
        };
        rest.iter().enumerate().find(|&(place, used)| wants((place, used))).map(|(_, used)| used.at)
    }

    /// Whether it must be in a register at the instruction of this position, from the position on. In the middle of an
    /// instruction nothing that it still needs can go.
    pub(super) fn now(&self, bundle: u32, at: u32) -> bool {
        let must = |how: How| how == How::Register || how == How::Operand && at % 2 == 1;
        self.from(bundle, at).iter().take_while(|used| used.at <= at | 1).any(|used| must(used.how))
    }
}
