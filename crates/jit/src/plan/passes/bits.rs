//! Which bits of values may be set: a mask for every value, with zeros where the value always has zeros.

use sandbpf_isa::{Extend, Width};
use sandbpf_runtime::address::REGION_SIZE;

use crate::plan::graph::{BinOp, Block, Entry, Graph, Op, UnOp, Value};

/// The bits of a width.
pub(crate) const fn ones(width: Width) -> u64 {
    match width {
        Width::W32 => 0xffff_ffff,
        Width::W64 => u64::MAX,
    }
}

/// All bits from the highest that is set on down: no number made of these bits is greater.
pub(crate) const fn filled(mask: u64) -> u64 {
    match mask.checked_ilog2() {
        Some(highest) => u64::MAX >> (63 - highest),
        None => 0,
    }
}

/// The low bits that are zero in all numbers made of these bits.
fn low_zeros(mask: u64) -> u64 {
    (mask & mask.wrapping_neg()).wrapping_sub(1)
}

/// The bits that a value may have, by those of its operands.
pub(crate) fn possible(graph: &Graph, op: &Op, of: impl Fn(Value) -> u64) -> u64 {
    match op {
        Op::Const(number) => *number,
        Op::Bin { op, width, a, b } => binary(*op, *width, of(*a), of(*b), graph.constant(*b)),
        Op::Un { op, a } => unary(*op, of(*a)),
        Op::Compare(_) => 1,
        Op::Select { yes, no, .. } => of(*yes) | of(*no),
        Op::Load { size, extend: Extend::Zero, .. } => size.truncate(u64::MAX),
        Op::Load { extend: Extend::Sign, .. } => u64::MAX,
        Op::Bulk { .. } => u64::MAX,
        // No region is larger.
        Op::Entry(Entry::Length) => 2 * REGION_SIZE - 1,
        Op::Entry(Entry::Cpu) => u64::from(u32::MAX),
        Op::Param(_)
        | Op::Base(_)
        | Op::Host { .. }
        | Op::Budget
        | Op::Call { .. }
        | Op::Plain { .. }
        | Op::Lookup { .. }
        | Op::Atomic { .. } => u64::MAX,
        Op::Gone | Op::Store { .. } | Op::Clear { .. } | Op::Charge { .. } | Op::Spend { .. } => 0,
    }
}

/// `a` and `b` are masks; `right` is what `b` is if it is one number.
fn binary(op: BinOp, width: Width, a: u64, b: u64, right: Option<u64>) -> u64 {
    let all = ones(width);
    let (a, b, right) = (a & all, b & all, right.map(|right| right & all));
    let count = right.map(|right| right as u32 & (width.bits() - 1));
    let low = low_zeros(a | b);
    match op {
        BinOp::Add if a & b == 0 => a | b,
        BinOp::Add => filled(a.saturating_add(b)) & all & !low,
        BinOp::Sub => all & !low,
        BinOp::Mul => {
            let zeros = low_zeros(a).count_ones() + low_zeros(b).count_ones();
            filled(a.saturating_mul(b)) & all & u64::MAX.checked_shl(zeros).unwrap_or(0)
        }
        BinOp::MulHigh => filled(((u128::from(a) * u128::from(b)) >> 64) as u64),
        // No sign of either means that it is as without signs.
        BinOp::Sdiv | BinOp::Smod if (a | b) & !(all >> 1) != 0 => all,
        BinOp::Div | BinOp::Sdiv => filled(a / right.unwrap_or(1).max(1)),
        BinOp::Mod | BinOp::Smod => match right {
            Some(right) if right != 0 => filled(a.min(right - 1)),
            _ => filled(a),
        },
        BinOp::And => a & b,
        BinOp::Or | BinOp::Xor => a | b,
        BinOp::Lsh => match count {
            Some(count) => a << count & all,
            None if a == 0 => 0,
            None => all & !low_zeros(a),
        },
        BinOp::Rsh => match count {
            Some(count) => a >> count,
            None => filled(a),
        },
        BinOp::Arsh if a & !(all >> 1) == 0 => match count {
            Some(count) => a >> count,
            None => filled(a),
        },
        BinOp::Arsh => match count {
            Some(count) => BinOp::Arsh.eval(width, a, count.into()),
            None => all,
        },
        BinOp::Rol => match count {
            Some(count) => BinOp::Rol.eval(width, a, count.into()),
            None if a == 0 => 0,
            None => all,
        },
    }
}

fn unary(op: UnOp, a: u64) -> u64 {
    match op {
        UnOp::Neg64 => !low_zeros(a) & if a == 0 { 0 } else { u64::MAX },
        UnOp::Neg32 => !low_zeros(a) & 0xffff_ffff,
        // These move bits, or copy one of them: what they do to a mask they do to every bit that may be set.
        UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 => op.eval(a),
        UnOp::Zext8 | UnOp::Zext16 | UnOp::Zext32 | UnOp::Sext8 | UnOp::Sext16 | UnOp::Sext32 => op.eval(a),
    }
}

/// For every value, the bits that it may have.
#[derive(Debug)]
pub(crate) struct Possible(Vec<u64>);

impl Possible {
    /// Nothing is known yet: every value may have all bits.
    pub(crate) fn new(graph: &Graph) -> Possible {
        let everywhere = |op: &Op| match op {
            Op::Const(_) | Op::Entry(_) => possible(graph, op, |_| u64::MAX),
            _ => u64::MAX,
        };
        Possible(graph.values.iter().map(everywhere).collect())
    }

    /// What is known of a whole graph, around its loops as well.
    pub(crate) fn of(graph: &Graph, order: &[Block]) -> Possible {
        let mut found = Possible::new(graph);
        // Parameters begin with nothing and grow, by larger steps from round to round.
        for &block in order {
            graph.code(block).params.iter().for_each(|param| found.0[param.index()] = 0);
        }
        let mut number = vec![u32::MAX; graph.blocks.len()];
        for (at, block) in order.iter().enumerate() {
            number[block.index()] = at as u32;
        }
        for round in 0.. {
            let mut again = false;
            for (at, &block) in order.iter().enumerate() {
                let code = graph.code(block);
                for &value in &code.body {
                    found.0[value.index()] = possible(graph, graph.op(value), |used| found.get(used));
                }
                for edge in code.end.edges() {
                    let back = number[edge.to.index()] <= at as u32;
                    for (&param, &argument) in graph.code(edge.to).params.iter().zip(&edge.arguments) {
                        let (before, more) = (found.get(param), found.get(argument));
                        if more & !before == 0 {
                            continue;
                        }
                        found.0[param.index()] = match round {
                            0 | 1 => before | more,
                            2 => rounded(before | more),
                            3 => rounded(before | more) | 0xffff_ffff,
                            _ => u64::MAX,
                        };
                        again |= back;
                    }
                }
            }
            if !again {
                break;
            }
        }
        found
    }

    pub(crate) fn get(&self, value: Value) -> u64 {
        self.0[value.index()]
    }

    /// What is known of a value from now on.
    pub(crate) fn set(&mut self, value: Value, mask: u64) {
        if self.0.len() <= value.index() {
            self.0.resize(value.index() + 1, u64::MAX);
        }
        self.0[value.index()] = mask;
    }
}

/// The next mask of 1, 8, 16, 31, 32 or 64 bits.
pub(crate) fn rounded(mask: u64) -> u64 {
    match 64 - mask.leading_zeros() {
        0 | 1 => mask,
        2..=8 => 0xff,
        9..=16 => 0xffff,
        17..=31 => 0x7fff_ffff,
        32 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::random::{Rng, number};

    #[test]
    fn results_have_possible_bits_only() {
        let mut rng = Rng::new(1);
        for _ in 0..200_000 {
            let (ma, mb) = (number(&mut rng), number(&mut rng));
            let (a, b) = (ma & rng.next(), mb & rng.next());
            let op = *rng.pick(BinOp::ALL);
            let width = *rng.pick(&[Width::W32, Width::W64]);
            if op == BinOp::MulHigh && width == Width::W32 {
                continue;
            }
            let exact = rng.chance(1, 2);
            let mask = binary(op, width, ma, if exact { b } else { mb }, exact.then_some(b));
            let result = op.eval(width, a, b);
            assert_eq!(result & !mask, 0, "{op:?}{} {a:#x}, {b:#x} of {ma:#x}, {mb:#x}", width.bits());
            let op = *rng.pick(UnOp::ALL);
            assert_eq!(op.eval(a) & !unary(op, ma), 0, "{op:?} {a:#x} of {ma:#x}");
        }
    }
}
