//! What the stores of a round write, if that is the same for every element.

use sandbpf_isa::{Size, Width};

use super::idiom::Idiom;
use crate::plan::graph::{Address, BinOp, Bulk, Graph, Lane, Op, Value};

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) what: Bulk,
    pub(super) element: Size,
    pub(super) down: bool,
    /// How many elements it writes each time round.
    pub(super) several: u64,
}

impl Idiom {
    /// What stores do to all elements: each the same to one of several beside one another.
    pub(super) fn all_written(&mut self, graph: &Graph, stores: &[Value]) -> Option<Write> {
        let several = stores.len();
        let mut all: Vec<Write> = Vec::with_capacity(several);
        for &store in stores.iter() {
            all.push(self.written(graph, store, several)?);
        }
        let place = |write: &Write| write.what.to().map(|to| to.disp);
        all.sort_by_key(place);
        let first = *all.first()?;
        for (write, number) in all.iter().zip(0..) {
            if !self.is_further(&first, write, number * i64::from(first.element.bytes())) {
                return None;
            }
        }
        if several > 1
            && let (Some(from), Some(to)) = (first.what.from(), first.what.to())
            && from.region == to.region
        {
            // What a round writes, it must not read, but in the same place.
            let apart = (i64::from(to.disp) - i64::from(from.disp)).abs();
            let all = i64::from(first.element.bytes()) * several as i64;
            if !self.is_beside(&from, &to) || apart != 0 && apart < all {
                return None;
            }
        }
        Some(first)
    }

    /// Whether a write does the same as another so many bytes further on.
    fn is_further(&self, first: &Write, other: &Write, by: i64) -> bool {
        let (mut back, mut fits) = (other.what, first.element == other.element);
        for at in back.addresses_mut() {
            let disp = i64::from(at.disp) - by;
            match i32::try_from(disp) {
                Ok(disp) => at.disp = disp,
                Err(_) => fits = false,
            }
        }
        let ends = |what: Bulk| [what.to(), what.from()].into_iter().flatten();
        let same = ends(first.what).zip(ends(back)).all(|(one, other)| self.same(&one, &other));
        let alike = match (first.what, back) {
            (Bulk::Copy { .. }, Bulk::Copy { .. }) => true,
            (Bulk::Fill { value: a, .. }, Bulk::Fill { value: b, .. }) => a == b,
            (Bulk::Combine { op: a, .. }, Bulk::Combine { op: b, .. }) => a == b,
            (Bulk::Apply { op: a, key, .. }, Bulk::Apply { op: b, key: other, .. }) => a == b && key == other,
            _ => false,
        };
        fits && same && alike
    }

    /// What a store does to all elements, or to one of several.
    fn written(&mut self, graph: &Graph, store: Value, several: usize) -> Option<Write> {
        let Op::Store { at: to, size, value, swap } = *graph.op(store) else { return None };
        let down = self.range(graph, &to, size, several)?;
        let value = self.resolve(value);
        let element = size;
        let what = if !self.is_inside(value) && !swap {
            Bulk::Fill { to, value, element }
        } else if let Some((from, _, reversed)) = self.loaded(graph, value, size.bytes()) {
            (reversed == swap).then_some(())?;
            Bulk::Copy { to, from, element }
        } else {
            (!swap).then_some(())?;
            self.lanes(graph, to, size, value)?
        };
        if let Some(from) = what.from() {
            let beside = from.region != to.region || self.same(&from, &to);
            // Upwards, what overlaps is as it was; downwards nothing may.
            if self.range(graph, &from, size, several)? != down || down && !beside {
                return None;
            }
        }
        Some(Write { what, element, down, several: several as u64 })
    }

    /// An operation on elements and another range, or a number.
    fn lanes(&self, graph: &Graph, to: Address, element: Size, value: Value) -> Option<Bulk> {
        let Op::Bin { op, width, a, b } = *graph.op(value) else { return None };
        if width == Width::W32 && element == Size::DW {
            return None;
        }
        let lane = match op {
            BinOp::Xor => Lane::Xor,
            BinOp::And => Lane::And,
            BinOp::Or => Lane::Or,
            BinOp::Add => Lane::Add,
            _ => return None,
        };
        let stream = |value: Value| match self.loaded(graph, value, element.bytes()) {
            Some((at, _, false)) => Some(at),
            _ => None,
        };
        let key = |value: Value| Some(self.resolve(value)).filter(|&value| !self.is_inside(value));
        match (stream(a), stream(b)) {
            (Some(one), Some(other)) if self.same(&one, &to) => {
                Some(Bulk::Combine { op: lane, to, from: other, element })
            }
            (Some(other), Some(one)) if self.same(&one, &to) => {
                Some(Bulk::Combine { op: lane, to, from: other, element })
            }
            (Some(from), None) => Some(Bulk::Apply { op: lane, to, from, key: key(b)?, element }),
            (None, Some(from)) => Some(Bulk::Apply { op: lane, to, from, key: key(a)?, element }),
            _ => None,
        }
    }
}
