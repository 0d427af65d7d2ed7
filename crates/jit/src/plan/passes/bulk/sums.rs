//! What a loop adds up: elements, and sums of bytes.

use sandbpf_isa::{Extend, Size, Width};

use super::idiom::Idiom;
use crate::plan::graph::{Address, BinOp, Edge, Graph, Op, UnOp, Value};

/// A parameter that adds up elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    pub(super) place: usize,
    pub(super) width: Width,
    pub(super) load: Value,
    pub(super) from: Address,
    pub(super) element: Size,
    pub(super) swap: bool,
    pub(super) down: bool,
    /// How many elements it adds each time round.
    pub(super) several: u64,
}

/// A parameter that adds up another that adds up bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    pub(super) place: usize,
    pub(super) width: Width,
    /// Which of the sums it adds up.
    pub(super) sum: usize,
    /// Whether it adds it up before it grows.
    pub(super) before: bool,
}

impl Idiom {
    /// Finds the parameters of the head that add up elements, or sums of bytes; all others have to count, or to stay.
    pub(super) fn accumulate(&mut self, graph: &Graph, back: &Edge) -> Option<()> {
        let params = &graph.code(self.head).params;
        let mut later = Vec::new();
        for (place, &param) in params.iter().enumerate() {
            let next = self.resolve(back.arguments[place]);
            if next == param || self.counters.iter().any(|counter| counter.param == param) {
                continue;
            }
            let (width, more) = self.terms(graph, back, next, param)?;
            match (self.added(graph, place, width, &more), &more[..]) {
                (Some(sum), _) => self.sums.push(sum),
                (None, &[more]) => later.push((place, width, more)),
                (None, _) => return None,
            }
        }
        for (place, width, more) in later {
            let found = self.sums.iter().enumerate().find_map(|(number, sum)| {
                let (param, next) = (params[sum.place], self.resolve(back.arguments[sum.place]));
                // What is added up must not go around before it is.
                let fits = sum.element == Size::B
                    && !sum.down
                    && sum.several == 1
                    && (sum.width == Width::W64 || width == Width::W32);
                ((more == param || more == next) && fits).then_some((number, more == param))
            });
            let (sum, before) = found?;
            self.ramps.push(Ramp { place, width, sum, before });
        }
        Some(())
    }

    /// What is added to a parameter until it is what it will be next. What another will be next is one thing.
    fn terms(&self, graph: &Graph, back: &Edge, next: Value, param: Value) -> Option<(Width, Vec<Value>)> {
        let (mut of, mut terms) = (None, Vec::new());
        let other = |value: Value| back.arguments.iter().any(|&next| self.resolve(next) == value);
        let mut ahead = vec![next];
        let mut found = false;
        while let Some(value) = ahead.pop().map(|value| self.resolve(value)) {
            match *graph.op(value) {
                _ if value == param && !found => found = true,
                Op::Bin { op: BinOp::Add, width, a, b }
                    if self.is_inside(value)
                        && of.is_none_or(|of| of == width)
                        && (value == next || !other(value)) =>
                {
                    of = Some(width);
                    ahead.extend([a, b]);
                }
                _ => terms.push(value),
            }
            if terms.len() + ahead.len() > 16 {
                return None;
            }
        }
        found.then_some((of?, terms))
    }

    fn added(&mut self, graph: &Graph, place: usize, width: Width, terms: &[Value]) -> Option<Sum> {
        let mut sums = Vec::with_capacity(terms.len());
        for &term in terms {
            sums.push(self.one_added(graph, place, width, term, terms.len())?);
        }
        sums.sort_by_key(|sum| sum.from.disp);
        let first = *sums.first()?;
        for (sum, number) in sums.iter().zip(0..) {
            let by = i64::from(sum.from.disp) - i64::from(first.from.disp);
            let alike = sum.element == first.element && sum.swap == first.swap;
            let beside = self.is_beside(&sum.from, &first.from);
            if !alike || !beside || by != number * i64::from(first.element.bytes()) {
                return None;
            }
        }
        Some(first)
    }

    fn one_added(
        &mut self,
        graph: &Graph,
        place: usize,
        width: Width,
        value: Value,
        several: usize,
    ) -> Option<Sum> {
        if !self.is_inside(value) {
            return None;
        }
        let (load, reversed) = match *graph.op(value) {
            Op::Un { op: UnOp::Swap16, a } => (self.resolve(a), true),
            _ => (value, false),
        };
        let Op::Load { at, size, extend, swap } = *graph.op(load) else { return None };
        if !self.is_inside(load) || extend != Extend::Zero && size.bytes() < 8 && !reversed {
            return None;
        }
        if (reversed || swap) && size != Size::H {
            return None;
        }
        let down = self.range(graph, &at, size, several)?;
        let (element, swap, several) = (size, swap != reversed, several as u64);
        Some(Sum { place, width, load, from: at, element, swap, down, several })
    }
}
