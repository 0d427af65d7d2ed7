//! Which variables live where segments begin.
//!
//! A walk from the last segment to the first, each after those that it leads to, sees all ways but those back to heads of
//! loops; what lives at a head lives in all of its loop (Boissinot and others: fast liveness in loops). Where loops have
//! several entries the walk is repeated until nothing changes.

use super::super::inst::{Body, Given, Inst};
use super::super::nest::NONE;
use super::live::Slice;

/// The variables that live where segments begin, parameters not included.
#[derive(Debug)]
pub(crate) struct Flow {
    list: Vec<u32>,
    of: Vec<Slice>,
}

/// A set of variables that is filled, emptied and gone through many times.
#[derive(Debug)]
pub(crate) struct Set {
    members: Vec<u32>,
    /// For every variable, its place among them.
    place: Vec<u32>,
}

impl Set {
    pub(crate) fn new(variables: usize) -> Set {
        Set { members: Vec::new(), place: vec![NONE; variables] }
    }

    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Adds a variable; says whether it is new.
    #[inline]
    pub(crate) fn add(&mut self, var: u32) -> bool {
        let place = &mut self.place[var as usize];
        let new = *place == NONE;
        if new {
            *place = self.members.len() as u32;
            self.members.push(var);
        }
        new
    }

    /// Takes a variable away; says whether it was there.
    #[inline]
    pub(crate) fn remove(&mut self, var: u32) -> bool {
        let place = std::mem::replace(&mut self.place[var as usize], NONE);
        if place == NONE {
            return false;
        }
        self.members.swap_remove(place as usize);
        if let Some(&moved) = self.members.get(place as usize) {
            self.place[moved as usize] = place;
        }
        true
    }

    pub(crate) fn clear(&mut self) {
        for &var in &self.members {
            self.place[var as usize] = NONE;
        }
        self.members.clear();
    }
}

impl Flow {
    pub(crate) fn of(body: &Body) -> Flow {
        let segments = body.segments.len();
        let mut flow = Flow { list: Vec::with_capacity(4 * segments), of: vec![Slice::default(); segments] };
        let mut set = Set::new(body.kinds.len());
        let one_way = body.loops.iter().all(|span| span.one_way);
        while flow.walk(body, &mut set) && !one_way {}
        if one_way {
            flow.loops(body, &mut set);
        }
        flow
    }

    /// The variables that live where a segment begins.
    pub(crate) fn entering(&self, segment: u32) -> &[u32] {
        self.of[segment as usize].of(&self.list)
    }

    /// Puts into the set what lives where a segment ends: what the others need, and what it gives them.
    pub(crate) fn leaving(&self, body: &Body, segment: u32, set: &mut Set, mut each: impl FnMut(u32)) {
        for way in body.segments[segment as usize].ways.into_iter().flatten() {
            for &var in self.entering(way.to) {
                if set.add(var) {
                    each(var);
                }
            }
            for (_, given) in body.given(way) {
                if let Given::Var(var) = given
                    && let Some(var) = var.index()
                    && set.add(var as u32)
                {
                    each(var as u32);
                }
            }
        }
    }

    /// Goes through all segments once; says whether something changed.
    fn walk(&mut self, body: &Body, set: &mut Set) -> bool {
        let mut changed = false;
        for &segment in body.order.iter().rev() {
            set.clear();
            self.leaving(body, segment, set, |_| {});
            let range = body.segments[segment as usize].first..body.segments[segment as usize].end;
            for inst in body.insts[range.start as usize..range.end as usize].iter().rev() {
                if let Some(var) = computes(inst) {
                    set.remove(var);
                }
                inst.uses(|used| {
                    if let Some(var) = used.var.index() {
                        set.add(var as u32);
                    }
                });
            }
            for param in params(body, segment) {
                set.remove(param);
            }
            let count = set.members.len() as u32;
            if count == self.of[segment as usize].count {
                continue;
            }
            changed = true;
            self.of[segment as usize] = Slice { first: self.list.len() as u32, count };
            self.list.extend_from_slice(&set.members);
        }
        changed
    }

    /// What lives at heads of loops lives in all of their loops: outer ones first, whose heads tell those of inner ones.
    fn loops(&mut self, body: &Body, set: &mut Set) {
        for span in body.loops.iter().rev() {
            if let Some(outer) = body.loops.get(span.parent as usize) {
                self.add(body, span.head, outer.head, set);
            }
        }
        for (number, segment) in body.segments.iter().enumerate() {
            if let Some(span) = body.loops.get(segment.inside as usize)
                && span.head != number as u32
            {
                self.add(body, number as u32, span.head, set);
            }
        }
    }

    /// Adds to a segment what lives at another.
    fn add(&mut self, body: &Body, to: u32, from: u32, set: &mut Set) {
        set.clear();
        self.entering(to).iter().for_each(|&var| {
            set.add(var);
        });
        let before = set.members.len();
        self.entering(from).iter().for_each(|&var| {
            set.add(var);
        });
        for param in params(body, to) {
            set.remove(param);
        }
        if set.members.len() > before {
            let count = set.members.len() as u32;
            self.of[to as usize] = Slice { first: self.list.len() as u32, count };
            self.list.extend_from_slice(&set.members);
        }
    }
}

/// The variable whose life begins at an instruction. What replaces itself, as the budget does, only goes on.
#[inline]
pub(crate) fn computes(inst: &Inst) -> Option<u32> {
    if inst.dst == inst.a { None } else { inst.dst.index().map(|var| var as u32) }
}

/// The parameters of a segment: what the first that leads to it gives.
pub(crate) fn params(body: &Body, segment: u32) -> impl Iterator<Item = u32> + '_ {
    let source = body.sources(segment as usize).first();
    let ways = source.map(|&source| body.segments[source as usize].ways);
    let way = ways.into_iter().flatten().flatten().find(|way| way.to == segment);
    let given = way.map_or(&[][..], |way| body.given(way));
    given.iter().filter_map(|(param, _)| param.index().map(|var| var as u32))
}
