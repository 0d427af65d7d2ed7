//! Bulk: loops that do the same to every element of a range of memory do many at once.
//!
//! Such a loop is not replaced but led on: before it, all rounds but the last are done at once and paid for, if the budget has
//! enough for them; then it is entered as if it had gone round as often. The last round leaves it, with all that others
//! see of it. So the loop's own end, its traps, and what it computes besides need no thought.
//!
//! ```text
//! b1:                                       b1:
//!     b2(0, 0)                                  v20 = budget
//! b2(v5, v6):                                   if ge64 v20, 2618 then b7() else b2(0, 0)
//!     v9 = load u32 [packet + v6]           b7:
//!     v10 = add64 v5, v9                        spend 2618
//!     v12 = add64 v6, 4                         v21 = sum 1496 from [packet] by 4
//!     if eq64 v6, 1496 then b6 else b5          b2(v21, 1496)
//! b5:                                       …
//!     charge 7
//!     b2(v10, v12)
//! ```

mod idiom;
mod rounds;
mod sums;
#[cfg(test)]
mod tests;
mod writes;

use sandbpf_isa::{Cond, Size, Width};

use self::idiom::Idiom;
use self::rounds::Rounds;
use super::loops::{Flow, entrance};
use crate::plan::graph::{Address, BinOp, Block, Bulk, Edge, End, Graph, Op, Test, Value};

/// Does what loops do to ranges of memory at once.
pub(crate) fn bulk(graph: &mut Graph) {
    let Some(flow) = Flow::of_loops(graph) else { return };
    for inside in flow.loops.iter().filter(|inside| inside.inner.is_empty()) {
        if graph.code(inside.head).cold {
            continue;
        }
        let Some(idiom) = Idiom::of(graph, &flow, inside) else { continue };
        let Some(rounds) = Rounds::of(graph, &idiom) else { continue };
        let before = entrance(graph, &flow, inside);
        if let End::Jump(enter) = graph.code(before).end.clone() {
            lead(graph, &idiom, rounds, before, enter);
        }
    }
}

/// Puts the way around the loop's rounds at the end of the block before it.
fn lead(graph: &mut Graph, idiom: &Idiom, rounds: Rounds, before: Block, enter: Edge) {
    let mut at = Ahead { graph, idiom, enter: enter.arguments.clone(), block: before, made: Vec::new() };
    let count = rounds.count(&mut at, &enter);
    if idiom.cost > 0 {
        let cost = at.times(count, idiom.cost.into());
        let left = at.put(Op::Budget);
        at.go_on_if(Cond::Ge, left, cost, &enter);
        at.put(Op::Spend { amount: cost });
    }
    let element = |size: Size| u64::from(size.bytes());
    // What is written may be what is added up before: sums come first.
    let sums: Vec<Value> = (idiom.sums.iter())
        .map(|sum| {
            let from = at.first(&sum.from, sum.down.then_some((count, element(sum.element))));
            let bytes = at.times(count, element(sum.element) * sum.several);
            let what = Bulk::Sum { from, element: sum.element, swap: sum.swap };
            at.put(Op::Bulk { what, count: bytes })
        })
        .collect();
    let ramps: Vec<Value> = (idiom.ramps.iter())
        .map(|ramp| {
            let sum = &idiom.sums[ramp.sum];
            let from = at.first(&sum.from, None);
            let mut all = at.put(Op::Bulk { what: Bulk::Ramp { from }, count });
            if ramp.before {
                all = at.binary(BinOp::Sub, Width::W64, all, sums[ramp.sum]);
            }
            // What there was at the start counts every time.
            let start = at.enter[sum.place];
            let start = at.binary(BinOp::Mul, Width::W64, start, count);
            at.binary(BinOp::Add, Width::W64, all, start)
        })
        .collect();
    if let Some(write) = idiom.write {
        let (mut what, size, down) = (write.what, write.element, write.down);
        let mut made = Vec::new();
        for address in what.addresses_mut() {
            made.push(at.first(address, down.then_some((count, element(size)))));
        }
        what.addresses_mut().zip(made).for_each(|(address, made)| *address = made);
        let bytes = at.times(count, element(size) * write.several);
        at.put(Op::Bulk { what, count: bytes });
    }
    let mut arguments = at.enter.clone();
    for counter in &idiom.counters {
        let way = at.times(count, counter.step as u64);
        arguments[counter.place] = at.binary(BinOp::Add, counter.width, counter.start, way);
    }
    for (ramp, value) in idiom.ramps.iter().zip(ramps) {
        arguments[ramp.place] = at.binary(BinOp::Add, ramp.width, at.enter[ramp.place], value);
    }
    for (sum, value) in idiom.sums.iter().zip(sums) {
        arguments[sum.place] = at.binary(BinOp::Add, sum.width, at.enter[sum.place], value);
    }
    let block = at.block;
    graph.blocks[block.index()].end = End::Jump(Edge { to: enter.to, arguments });
}

/// Where the way around is made.
struct Ahead<'a> {
    graph: &'a mut Graph,
    idiom: &'a Idiom,
    /// What the loop's head is entered with.
    enter: Vec<Value>,
    block: Block,
    /// Values of the loop, and what they are in the first round.
    made: Vec<(Value, Value)>,
}

impl Ahead<'_> {
    fn put(&mut self, op: Op) -> Value {
        self.graph.append(self.block, op)
    }

    fn number(&mut self, number: u64) -> Value {
        self.graph.add(Op::Const(number))
    }

    fn binary(&mut self, op: BinOp, width: Width, a: Value, b: Value) -> Value {
        match (self.graph.constant(a), self.graph.constant(b)) {
            (Some(a), Some(b)) => self.number(op.eval(width, a, b)),
            _ => self.put(Op::Bin { op, width, a, b }),
        }
    }

    fn with(&mut self, op: BinOp, width: Width, a: Value, b: u64) -> Value {
        let b = self.number(b);
        self.binary(op, width, a, b)
    }

    /// The less of two numbers.
    fn less(&mut self, a: Value, b: Value) -> Value {
        match (self.graph.constant(a), self.graph.constant(b)) {
            (Some(a), Some(b)) => self.number(a.min(b)),
            _ => {
                let test = Test { cond: Cond::Lt, width: Width::W64, lhs: a, rhs: b };
                self.put(Op::Select { test, yes: a, no: b })
            }
        }
    }

    fn times(&mut self, value: Value, by: u64) -> Value {
        match by {
            1 => value,
            _ if by.is_power_of_two() => self.with(BinOp::Lsh, Width::W64, value, by.trailing_zeros().into()),
            _ => self.with(BinOp::Mul, Width::W64, value, by),
        }
    }

    /// Goes on in another block if it is so, or enters the loop if not.
    fn go_on_if(&mut self, cond: Cond, lhs: Value, rhs: Value, enter: &Edge) {
        if let (Some(a), Some(b)) = (self.graph.constant(lhs), self.graph.constant(rhs))
            && cond.eval64(a, b)
        {
            return;
        }
        let next = self.graph.block();
        let test = Test { cond, width: Width::W64, lhs, rhs };
        let yes = Edge { to: next, arguments: Vec::new() };
        self.graph.blocks[self.block.index()].end = End::Branch { test, yes, no: enter.clone() };
        self.block = next;
    }

    /// A value of the loop as it is in the first round.
    fn value(&mut self, value: Value) -> Value {
        let value = self.idiom.resolve(value);
        if !self.idiom.is_inside(value) {
            return value;
        }
        if let Some(&(_, made)) = self.made.iter().find(|(known, _)| *known == value) {
            return made;
        }
        let params = &self.graph.code(self.idiom.head).params;
        let made = match params.iter().position(|&param| param == value) {
            Some(place) => self.enter[place],
            None => {
                let mut op = self.graph.op(value).clone();
                let mut used = Vec::new();
                op.uses(|value| used.push(value));
                let mut used: Vec<Value> = used.into_iter().map(|value| self.value(value)).collect();
                used.reverse();
                op.uses_mut(|value| *value = used.pop().unwrap_or(*value));
                match op {
                    Op::Bin { op, width, a, b } => self.binary(op, width, a, b),
                    op => self.put(op),
                }
            }
        };
        self.made.push((value, made));
        made
    }

    /// An address of the loop as it is in the first round; or, of one that goes down, that of so many elements further down.
    fn first(&mut self, address: &Address, down: Option<(Value, u64)>) -> Address {
        let mut address = *address;
        address.base = self.value(address.base);
        address.index = address.index.map(|(index, scale)| (self.value(index), scale));
        if let Some((index, scale)) = address.index
            && let Some(number) = self.graph.constant(index)
            && let Ok(disp) = i32::try_from((number << scale).wrapping_add(address.disp as u64) as i64)
        {
            (address.index, address.disp) = (None, disp);
        }
        if let Some((count, size)) = down {
            // Only constant counts go down: `Idiom` sees to it.
            let count = self.graph.constant(count).unwrap_or(1);
            address.disp -= ((count - 1) * size) as i32;
        }
        address
    }
}
