//! What a loop does to memory, if it is the same for every element.

use sandbpf_isa::{Extend, Size, Width};

use crate::plan::graph::{Address, BinOp, Block, Bulk, Edge, End, Graph, Lane, Op, Region, UnOp, Value};
use crate::plan::passes::loops::{Counter, Exit, Flow, Loop, step_from, trips};

/// How many values a loop may have for us to look at it.
const LARGEST: usize = 48;

/// A loop that goes straight through its blocks.
#[derive(Debug)]
pub(super) struct Idiom {
    pub(super) head: Block,
    /// All that is computed in it.
    values: Vec<Value>,
    /// Parameters of blocks behind the head, and what they are.
    renames: Vec<(Value, Value)>,
    pub(super) counters: Vec<Counter>,
    /// The only way out.
    pub(super) exit: Exit,
    /// How often its test is made, if that is known.
    pub(super) trips: Option<u64>,
    /// What a round costs that does not leave the loop.
    pub(super) cost: u32,
    pub(super) sums: Vec<Sum>,
    pub(super) ramps: Vec<Ramp>,
    pub(super) write: Option<Write>,
    /// The least size of an element.
    pub(super) element: Size,
    /// Whether some range is gone through downwards.
    pub(super) down: bool,
    /// Whether addresses are computed from counters of 32 bits that may go around, as far as is known.
    pub(super) narrow: bool,
}

/// A parameter that adds up elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    pub(super) place: usize,
    pub(super) width: Width,
    load: Value,
    pub(super) from: Address,
    pub(super) element: Size,
    pub(super) swap: bool,
    pub(super) down: bool,
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

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) what: Bulk,
    pub(super) element: Size,
    pub(super) down: bool,
}

impl Idiom {
    /// What a loop does, if that can be done at once.
    pub(super) fn of(graph: &Graph, flow: &Flow, inside: &Loop) -> Option<Idiom> {
        let mut idiom = Idiom {
            head: inside.head,
            values: Vec::new(),
            renames: Vec::new(),
            counters: Vec::new(),
            exit: Exit { block: inside.head, yes: true },
            trips: None,
            cost: 0,
            sums: Vec::new(),
            ramps: Vec::new(),
            write: None,
            element: Size::DW,
            down: false,
            narrow: false,
        };
        let path = idiom.path(graph, flow, inside)?;
        idiom.counters = flow.counters(graph, inside);
        idiom.trips = trips(graph, flow, inside, idiom.exit);
        let back = graph.code(*path.last()?).end.edges().find(|edge| edge.to == inside.head)?;
        idiom.accumulate(graph, back)?;
        let body = || path.iter().flat_map(|&block| &graph.code(block).body).copied();
        let mut stored = None;
        for value in body() {
            match graph.op(value) {
                Op::Bin { .. } | Op::Un { .. } | Op::Compare(_) | Op::Select { .. } | Op::Load { .. } => {}
                Op::Charge { cost, .. } => idiom.cost = idiom.cost.checked_add(*cost)?,
                Op::Store { .. } if stored.is_none() => stored = Some(value),
                _ => return None,
            }
        }
        if let Some(stored) = stored {
            idiom.write = Some(idiom.written(graph, stored)?);
            // What is added up must not be what was written before, nor what will have been when sums come first.
            let (to, element) = idiom.write.and_then(|write| Some((write.what.to()?, write.element)))?;
            for sum in idiom.sums.iter().filter(|sum| sum.from.region == to.region) {
                let first = body().find(|&value| value == stored || value == sum.load);
                if first == Some(stored) || !idiom.same(&sum.from, &to) || sum.element != element {
                    return None;
                }
            }
        }
        idiom.narrow =
            idiom.trips.is_none() && idiom.counters.iter().any(|counter| counter.width == Width::W32);
        if idiom.sums.is_empty() && idiom.write.is_none() || idiom.down && idiom.trips.is_none() {
            return None;
        }
        Some(idiom)
    }

    /// The blocks from the head on, if there is but one way round and one way out.
    fn path(&mut self, graph: &Graph, flow: &Flow, inside: &Loop) -> Option<Vec<Block>> {
        let mut path = vec![inside.head];
        let mut exit = None;
        self.values.extend(&graph.code(inside.head).params);
        loop {
            let block = *path.last()?;
            let code = graph.code(block);
            self.values.extend(&code.body);
            if self.values.len() > LARGEST || path.len() > inside.blocks.len() {
                return None;
            }
            let edge = match &code.end {
                End::Jump(edge) => edge,
                End::Branch { yes, no, .. } => {
                    let (stays, yes) = match (flow.is_in(yes.to, inside), flow.is_in(no.to, inside)) {
                        (true, false) => (yes, false),
                        (false, true) => (no, true),
                        _ => return None,
                    };
                    if exit.replace(Exit { block, yes }).is_some() {
                        return None;
                    }
                    stays
                }
                End::Return(_) | End::Unreachable => return None,
            };
            if edge.to == inside.head {
                break;
            }
            let params = &graph.code(edge.to).params;
            self.values.extend(params);
            for (&param, &argument) in params.iter().zip(&edge.arguments) {
                let argument = self.resolve(argument);
                self.renames.push((param, argument));
            }
            path.push(edge.to);
        }
        self.exit = exit?;
        (path.len() == inside.blocks.len()).then_some(path)
    }

    /// What a value is: arguments for parameters behind the head.
    pub(super) fn resolve(&self, value: Value) -> Value {
        self.renames.iter().find(|(param, _)| *param == value).map_or(value, |&(_, argument)| argument)
    }

    /// Whether a value is computed in the loop.
    pub(super) fn is_inside(&self, value: Value) -> bool {
        self.values.contains(&value)
    }

    /// By how much a value grows each time round.
    pub(super) fn stride(&self, graph: &Graph, value: Value) -> Option<i64> {
        self.grows(graph, value, 0)
    }

    fn grows(&self, graph: &Graph, value: Value, depth: u32) -> Option<i64> {
        let value = self.resolve(value);
        if !self.is_inside(value) {
            return Some(0);
        }
        if let Some(counter) = self.counters.iter().find(|counter| counter.param == value) {
            return self.is_low(graph, counter).then_some(counter.step);
        }
        if depth == 6 {
            return None;
        }
        let grows = |value: Value| self.grows(graph, value, depth + 1);
        match *graph.op(value) {
            Op::Bin { op: BinOp::Add, width: Width::W64, a, b } => grows(a)?.checked_add(grows(b)?),
            Op::Bin { op: BinOp::Sub, width: Width::W64, a, b } => grows(a)?.checked_sub(grows(b)?),
            Op::Bin { op: BinOp::Lsh, width: Width::W64, a, b } => {
                let by = graph.constant(b).filter(|&by| by < 32)?;
                grows(a)?.checked_mul(1 << by)
            }
            Op::Bin { op: BinOp::Mul, width: Width::W64, a, b } => {
                grows(a)?.checked_mul(i64::try_from(graph.constant(b)?).ok()?)
            }
            // The next of a counter of 32 bits, where that does not go around.
            Op::Bin { op: BinOp::Add, width: Width::W32, .. } => {
                let next = |counter: &&Counter| self.resolve(counter.next) == value;
                let counter = self.counters.iter().find(next)?;
                self.is_low(graph, counter).then_some(counter.step)
            }
            // Where the counter itself has 32 bits.
            Op::Un { op: UnOp::Zext32, a } => {
                let a = self.resolve(a);
                let counter = self.counters.iter().find(|counter| counter.param == a || counter.next == a)?;
                (counter.width == Width::W32 && self.is_low(graph, counter)).then_some(counter.step)
            }
            _ => None,
        }
    }

    /// Whether a counter does not go around, or that can be seen to before the loop.
    fn is_low(&self, graph: &Graph, counter: &Counter) -> bool {
        if counter.width == Width::W64 {
            return true;
        }
        let Some(trips) = self.trips else { return is_narrow(graph, counter.start) };
        let ends = || {
            let start = i64::try_from(graph.constant(counter.start)?).ok()?;
            let rounds = i64::try_from(trips).ok()?;
            Some((start, start.checked_add(counter.step.checked_mul(rounds)?)?))
        };
        let low = |number: i64| u32::try_from(number).is_ok();
        ends().is_some_and(|(first, last)| low(first) && low(last))
    }

    /// By how much an address grows.
    fn walks(&self, graph: &Graph, at: &Address) -> Option<i64> {
        let index = match at.index {
            Some((index, scale)) => self.stride(graph, index)?.checked_mul(1 << scale)?,
            None => 0,
        };
        self.stride(graph, at.base)?.checked_add(index)
    }

    /// Whether an address goes from one element to the next, and whether downwards.
    fn range(&mut self, graph: &Graph, at: &Address, size: Size) -> Option<bool> {
        // Memory of others may change between elements.
        if !matches!(at.region, Some(Region::Stack | Region::Context | Region::Packet)) {
            return None;
        }
        let (step, bytes) = (self.walks(graph, at)?, i64::from(size.bytes()));
        if step != bytes && step != -bytes {
            return None;
        }
        let down = step < 0;
        // Downwards the range starts so many bytes before its first element.
        let near = self.trips.is_some_and(|trips| trips < 1 << 24) && at.disp.checked_sub(1 << 27).is_some();
        if down && !near {
            return None;
        }
        self.down |= down;
        if size.bytes() < self.element.bytes() {
            self.element = size;
        }
        Some(down)
    }

    /// Whether two addresses are the same each time round.
    fn same(&self, a: &Address, b: &Address) -> bool {
        let index = |at: &Address| at.index.map(|(index, scale)| (self.resolve(index), scale));
        self.resolve(a.base) == self.resolve(b.base) && index(a) == index(b) && a.disp == b.disp
    }

    /// The load that a value is the low bytes of, so many at least.
    fn loaded(&self, graph: &Graph, value: Value, bytes: u8) -> Option<(Address, Size, bool)> {
        let value = self.resolve(value);
        if !self.is_inside(value) {
            return None;
        }
        match *graph.op(value) {
            Op::Load { at, size, swap, .. } if size.bytes() == bytes => Some((at, size, swap)),
            Op::Un { op: UnOp::Zext32 | UnOp::Sext32, a } if bytes <= 4 => self.loaded(graph, a, bytes),
            Op::Un { op: UnOp::Zext16 | UnOp::Sext16, a } if bytes <= 2 => self.loaded(graph, a, bytes),
            Op::Un { op: UnOp::Zext8 | UnOp::Sext8, a } if bytes == 1 => self.loaded(graph, a, bytes),
            _ => None,
        }
    }

    /// What a store does to all elements.
    fn written(&mut self, graph: &Graph, store: Value) -> Option<Write> {
        let Op::Store { at: to, size, value, swap } = *graph.op(store) else { return None };
        let down = self.range(graph, &to, size)?;
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
            if self.range(graph, &from, size)? != down || down && !beside {
                return None;
            }
        }
        Some(Write { what, element, down })
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

    /// Finds the parameters of the head that add up elements, or sums of bytes; all others have to count, or to stay.
    fn accumulate(&mut self, graph: &Graph, back: &Edge) -> Option<()> {
        let params = &graph.code(self.head).params;
        let mut later = Vec::new();
        for (place, &param) in params.iter().enumerate() {
            let next = self.resolve(back.arguments[place]);
            if next == param || self.counters.iter().any(|counter| counter.param == param) {
                continue;
            }
            let Op::Bin { op: BinOp::Add, width, a, b } = *graph.op(next) else { return None };
            if !self.is_inside(next) {
                return None;
            }
            let (a, b) = (self.resolve(a), self.resolve(b));
            let more = match (a == param, b == param) {
                (true, false) => b,
                (false, true) => a,
                _ => return None,
            };
            match self.added(graph, place, width, more) {
                Some(sum) => self.sums.push(sum),
                None => later.push((place, width, more)),
            }
        }
        for (place, width, more) in later {
            let found = self.sums.iter().enumerate().find_map(|(number, sum)| {
                let (param, next) = (params[sum.place], self.resolve(back.arguments[sum.place]));
                // What is added up must not go around before it is.
                let fits =
                    sum.element == Size::B && !sum.down && (sum.width == Width::W64 || width == Width::W32);
                ((more == param || more == next) && fits).then_some((number, more == param))
            });
            let (sum, before) = found?;
            self.ramps.push(Ramp { place, width, sum, before });
        }
        Some(())
    }

    fn added(&mut self, graph: &Graph, place: usize, width: Width, value: Value) -> Option<Sum> {
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
        let down = self.range(graph, &at, size)?;
        Some(Sum { place, width, load, from: at, element: size, swap: swap != reversed, down })
    }

    /// By how much the tested value grows, and what it is tested against, both sides as the test has them.
    pub(super) fn tested(&self, graph: &Graph) -> Option<(i64, i64)> {
        let End::Branch { test, .. } = &graph.code(self.exit.block).end else { return None };
        let step = |value: Value| match (test.width, self.narrow_step(graph, value)) {
            (Width::W32, Some(step)) => Some(step),
            _ => self.stride(graph, value),
        };
        Some((step(test.lhs)?, step(test.rhs)?))
    }

    /// By how much the low half of a value grows.
    fn narrow_step(&self, graph: &Graph, value: Value) -> Option<i64> {
        let value = self.resolve(value);
        let of = |counter: &Counter| {
            let (param, next) = (counter.param, self.resolve(counter.next));
            value == param || value == next || step_from(graph, value, param).is_some()
        };
        self.counters.iter().find(|counter| of(counter)).map(|counter| counter.step)
    }
}

/// Whether a value has 32 bits, as far as one can see.
fn is_narrow(graph: &Graph, value: Value) -> bool {
    match graph.op(value) {
        Op::Const(number) => *number <= u64::from(u32::MAX),
        Op::Bin { width: Width::W32, .. } | Op::Un { op: UnOp::Zext32 | UnOp::Zext16 | UnOp::Zext8, .. } => {
            true
        }
        Op::Load { size, extend: Extend::Zero, .. } => size.bytes() <= 4,
        _ => false,
    }
}
