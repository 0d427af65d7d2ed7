//! Divides by constants without dividing: by multiplications and shifts (Granlund and Montgomery, Division by Invariant
//! Integers using Multiplication; Warren, Hacker's Delight, chapter 10).

use sandbpf_isa::{Cond, Width};

use super::bits::{Possible, filled, ones, possible};
use super::renames::Renames;
use crate::plan::graph::{BinOp, Block, Graph, Op, Test, UnOp, Value};

/// Replaces divisions and remainders by constants.
pub(crate) fn divide(graph: &mut Graph) {
    let any = graph.blocks.iter().flat_map(|code| &code.body).any(|&value| is_ours(graph, value).is_some());
    if !any {
        return;
    }
    let order = graph.order();
    let mut bits = Possible::new(graph);
    let mut renames = Renames::new(graph);
    let mut old = Vec::new();
    for &block in &order {
        old.clear();
        old.append(&mut graph.blocks[block.index()].body);
        for &value in &old {
            renames.apply_to(&mut graph.values[value.index()]);
            if let Some((op, width, a, number)) = is_ours(graph, value) {
                let mut dividing = Dividing { graph, bits: &mut bits, block };
                let result = dividing.replaced(op, width, a, number);
                renames.rename(value, result);
                continue;
            }
            let mask = possible(graph, graph.op(value), |used| bits.get(used));
            bits.set(value, mask);
            graph.blocks[block.index()].body.push(value);
        }
        graph.blocks[block.index()].end.uses_mut(|used| *used = renames.of(*used));
    }
    renames.apply_to_edges(graph);
}

/// A division or remainder by a constant that needs more than a shift or nothing.
fn is_ours(graph: &Graph, value: Value) -> Option<(BinOp, Width, Value, u64)> {
    let Op::Bin { op: op @ (BinOp::Div | BinOp::Sdiv | BinOp::Mod | BinOp::Smod), width, a, b } =
        *graph.op(value)
    else {
        return None;
    };
    let number = graph.constant(b)? & ones(width);
    (number > 1 && graph.constant(a).is_none()).then_some((op, width, a, number))
}

struct Dividing<'g> {
    graph: &'g mut Graph,
    bits: &'g mut Possible,
    block: Block,
}

impl Dividing<'_> {
    fn put(&mut self, op: Op) -> Value {
        let mask = possible(self.graph, &op, |used| self.bits.get(used));
        let value = self.graph.append(self.block, op);
        self.bits.set(value, mask);
        value
    }

    fn number(&mut self, number: u64) -> Value {
        let value = self.graph.add(Op::Const(number));
        self.bits.set(value, number);
        value
    }

    fn with(&mut self, op: BinOp, width: Width, a: Value, number: u64) -> Value {
        let b = self.number(number);
        self.put(Op::Bin { op, width, a, b })
    }

    /// What is the same.
    fn replaced(&mut self, op: BinOp, width: Width, x: Value, divisor: u64) -> Value {
        let quotient = match op {
            BinOp::Div | BinOp::Mod => {
                let narrow = width == Width::W64 || self.bits.get(x) <= 0xffff_ffff;
                let x = if narrow { x } else { self.put(Op::Un { op: UnOp::Zext32, a: x }) };
                let most = filled(self.bits.get(x));
                self.quotient(x, most, divisor)
            }
            _ => self.signed_quotient(width, x, divisor),
        };
        if matches!(op, BinOp::Div | BinOp::Sdiv) {
            return match width {
                Width::W32 if self.bits.get(quotient) > 0xffff_ffff => {
                    self.put(Op::Un { op: UnOp::Zext32, a: quotient })
                }
                Width::W32 | Width::W64 => quotient,
            };
        }
        let product = self.with(BinOp::Mul, width, quotient, divisor);
        self.put(Op::Bin { op: BinOp::Sub, width, a: x, b: product })
    }

    /// The quotient, without signs, of a number of 64 bits that is at most `most`, by one that is greater than 1.
    fn quotient(&mut self, x: Value, most: u64, divisor: u64) -> Value {
        if divisor.is_power_of_two() {
            return self.with(BinOp::Rsh, Width::W64, x, divisor.trailing_zeros().into());
        }
        match most / divisor {
            0 => return self.number(0),
            1 => {
                let rhs = self.number(divisor);
                return self.put(Op::Compare(Test { cond: Cond::Ge, width: Width::W64, lhs: x, rhs }));
            }
            _ => {}
        }
        // A product that fits needs no upper half.
        if let Some((factor, shift)) = reciprocal(divisor, most, 0) {
            if u128::from(factor) * u128::from(most) <= u128::from(u64::MAX) {
                let product = self.with(BinOp::Mul, Width::W64, x, factor);
                return self.with(BinOp::Rsh, Width::W64, product, shift.into());
            }
        }
        if let Some((factor, shift)) = reciprocal(divisor, most, 64) {
            let high = self.with(BinOp::MulHigh, Width::W64, x, factor);
            return match shift - 64 {
                0 => high,
                shift => self.with(BinOp::Rsh, Width::W64, high, shift.into()),
            };
        }
        // Shifted before, it has fewer bits.
        let zeros = divisor.trailing_zeros();
        if zeros > 0 {
            let x = self.with(BinOp::Rsh, Width::W64, x, zeros.into());
            return self.quotient(x, most >> zeros, divisor >> zeros);
        }
        // The factor has 65 bits: its highest is added by hand, halved so that nothing is lost.
        let shift = 64 - divisor.leading_zeros();
        let factor = ((1u128 << (64 + shift)) / u128::from(divisor) + 1) as u64;
        let high = self.with(BinOp::MulHigh, Width::W64, x, factor);
        let rest = self.put(Op::Bin { op: BinOp::Sub, width: Width::W64, a: x, b: high });
        let half = self.with(BinOp::Rsh, Width::W64, rest, 1);
        let sum = self.put(Op::Bin { op: BinOp::Add, width: Width::W64, a: half, b: high });
        self.with(BinOp::Rsh, Width::W64, sum, (shift - 1).into())
    }

    /// The quotient with signs. Of 32 bits, what is above them means nothing.
    fn signed_quotient(&mut self, width: Width, x: Value, divisor: u64) -> Value {
        let bits = width.bits();
        let sign = 1u64 << (bits - 1);
        let negative = divisor & sign != 0;
        let size = if negative { divisor.wrapping_neg() & ones(width) } else { divisor };
        let quotient = if size.is_power_of_two() {
            let shift = size.trailing_zeros();
            let biased = self.biased(width, x, shift);
            match shift {
                0 => x,
                shift => self.with(BinOp::Arsh, width, biased, shift.into()),
            }
        } else if width == Width::W32 {
            // 32 bits with a sign times 32 without fit.
            let (factor, shift) = reciprocal(size, sign, 0).unwrap_or((0, 0));
            debug_assert!(factor != 0 && factor <= 0xffff_ffff);
            let long = self.put(Op::Un { op: UnOp::Sext32, a: x });
            let product = self.with(BinOp::Mul, Width::W64, long, factor);
            let floor = self.with(BinOp::Arsh, Width::W64, product, shift.into());
            let below = self.with(BinOp::Rsh, width, x, 31);
            self.put(Op::Bin { op: BinOp::Add, width, a: floor, b: below })
        } else {
            // As without signs, of the number without its sign, which comes back.
            let signs = self.with(BinOp::Arsh, width, x, 63);
            let flipped = self.put(Op::Bin { op: BinOp::Xor, width, a: x, b: signs });
            let positive = self.put(Op::Bin { op: BinOp::Sub, width, a: flipped, b: signs });
            let quotient = self.quotient(positive, sign, size);
            let flipped = self.put(Op::Bin { op: BinOp::Xor, width, a: quotient, b: signs });
            self.put(Op::Bin { op: BinOp::Sub, width, a: flipped, b: signs })
        };
        if !negative {
            return quotient;
        }
        self.put(Op::Un { op: if width == Width::W32 { UnOp::Neg32 } else { UnOp::Neg64 }, a: quotient })
    }

    /// A number that, if it has a sign, is greater by what makes shifts round to zero.
    fn biased(&mut self, width: Width, x: Value, shift: u32) -> Value {
        if shift == 0 {
            return x;
        }
        let bits = u64::from(width.bits());
        let signs = match shift {
            1 => x,
            _ => self.with(BinOp::Arsh, width, x, bits - 1),
        };
        let bias = self.with(BinOp::Rsh, width, signs, bits - u64::from(shift));
        self.put(Op::Bin { op: BinOp::Add, width, a: x, b: bias })
    }
}

/// A factor and a shift of at least `least` so that `x / divisor == x * factor >> shift` for all `x` up to `most`, without
/// loss above 64 bits of the factor; `None` if there is none.
fn reciprocal(divisor: u64, most: u64, least: u32) -> Option<(u64, u32)> {
    (least.max(divisor.ilog2())..least + 64).find_map(|shift| {
        let power = 1u128 << shift;
        let factor = power.div_ceil(u128::from(divisor));
        // By how much the factor is too large, in parts of the power: it must not add up to a part of the divisor.
        let error = factor * u128::from(divisor) - power;
        let exact = error.checked_mul(u128::from(most)).is_some_and(|error| error < power);
        let factor = u64::try_from(factor).ok()?;
        exact.then_some((factor, shift))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::check::check;
    use crate::plan::graph::End;
    use crate::plan::random::{Rng, number};
    use crate::plan::run::{World, run};

    #[test]
    fn quotients_are_what_division_gives() {
        let mut rng = Rng::new(5);
        for _ in 0..20_000 {
            let op = *rng.pick(&[BinOp::Div, BinOp::Mod, BinOp::Sdiv, BinOp::Smod]);
            let width = *rng.pick(&[Width::W32, Width::W64]);
            let (divisor, mask) = (number(&mut rng), number(&mut rng) | number(&mut rng));
            // The dividend comes from memory, so that nobody knows more than which bits it has.
            let x = number(&mut rng);
            let mut graph = Graph::new(0x4000_0000, 0, 0);
            let budget = graph.append(Block::ENTRY, Op::Budget);
            let b = graph.add(Op::Const(mask));
            let a = graph.append(Block::ENTRY, Op::Bin { op: BinOp::And, width: Width::W64, a: budget, b });
            let b = graph.add(Op::Const(divisor));
            let result = graph.append(Block::ENTRY, Op::Bin { op, width, a, b });
            graph.blocks[0].end = End::Return(result);
            divide(&mut graph);
            check(&graph).expect("a graph");
            let simple = divisor & ones(width) <= 1;
            assert!(simple || !graph.to_string().contains(&format!("{op:?}").to_lowercase()), "{graph}");
            for x in [
                x,
                x & 0xffff,
                mask,
                u64::MAX,
                1 << 63,
                1 << 31,
                divisor,
                divisor.wrapping_mul(3),
                divisor.wrapping_sub(1),
            ] {
                let mut world = World { stack: vec![], context: vec![], packet: vec![], budget: x };
                let found = run(&graph, &mut world, |_, _, _| 0);
                assert_eq!(found, Ok(op.eval(width, x & mask, divisor)), "{op:?} {width:?} {x:#x}\n{graph}");
            }
        }
    }
}
