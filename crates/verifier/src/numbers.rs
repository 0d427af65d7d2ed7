//! What the text of a program says of its numbers on all runs: which are not zero, and which fit 32 bits.
//!
//! A forward analysis of its own, over every way that control can go, whatever the verifier walked: so it may be
//! used where the ranges that the verifier saw may not ([`facts`](crate::facts)).

use sandbpf_isa::{AluOp, Cond, Extend, Imm64, Insn, Operand, Pc, Reg as R, RegSet, Size, UnaryOp, Width};

use crate::cfg::successors;

/// What is known before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// The upper half is zero.
    upper: RegSet,
    /// The low half is not zero.
    low: RegSet,
    /// It is not zero.
    whole: RegSet,
}

/// What is known before every instruction; `None` of those that no way leads to.
#[derive(Debug)]
pub(crate) struct Numbers {
    before: Vec<Option<Known>>,
}

const NOTHING: Known = Known { upper: RegSet::EMPTY, low: RegSet::EMPTY, whole: RegSet::EMPTY };

fn common(a: RegSet, b: RegSet) -> RegSet {
    a.without(a.without(b))
}

fn put(set: &mut RegSet, reg: R, member: bool) {
    let of = RegSet::of(reg);
    *set = if member { set.union(of) } else { set.without(of) };
}

impl Known {
    fn meet(self, other: Known) -> Known {
        Known {
            upper: common(self.upper, other.upper),
            low: common(self.low, other.low),
            whole: common(self.whole, other.whole),
        }
    }

    fn forget(&mut self, regs: RegSet) {
        self.upper = self.upper.without(regs);
        self.low = self.low.without(regs);
        self.whole = self.whole.without(regs);
    }

    fn set(&mut self, reg: R, upper: bool, low: bool, whole: bool) {
        put(&mut self.upper, reg, upper);
        put(&mut self.low, reg, low);
        put(&mut self.whole, reg, whole || low);
    }

    /// A constant.
    fn number(&mut self, reg: R, value: u64) {
        self.set(reg, value >> 32 == 0, value as u32 != 0, value != 0);
    }

    fn after(mut self, insn: &Insn) -> Known {
        match *insn {
            Insn::Alu { op: AluOp::Mov, width, dst, src } => match (src, width) {
                (Operand::Imm(imm), Width::W64) => self.number(dst, imm as i64 as u64),
                (Operand::Imm(imm), Width::W32) => self.number(dst, u64::from(imm as u32)),
                (Operand::Reg(src), Width::W64) => {
                    self.set(dst, self.upper.contains(src), self.low.contains(src), self.whole.contains(src));
                }
                (Operand::Reg(src), Width::W32) => self.set(dst, true, self.low.contains(src), false),
            },
            Insn::Alu { op: AluOp::Or, width, dst, src: Operand::Imm(imm) } => {
                let (low, was) = (imm != 0 || self.low.contains(dst), self.whole.contains(dst));
                let upper = width == Width::W32 || imm >= 0 && self.upper.contains(dst);
                self.set(dst, upper, low, width == Width::W64 && was);
            }
            Insn::Alu { op: AluOp::And, width: Width::W64, dst, src: Operand::Imm(imm) } => {
                let upper = imm >= 0 || self.upper.contains(dst);
                self.set(dst, upper, false, false);
            }
            Insn::Alu { width: Width::W32, dst, .. } => self.set(dst, true, false, false),
            Insn::Unary { op, dst } => {
                let upper = matches!(
                    op,
                    UnaryOp::Neg32
                        | UnaryOp::Le16
                        | UnaryOp::Le32
                        | UnaryOp::Be16
                        | UnaryOp::Be32
                        | UnaryOp::Swap16
                        | UnaryOp::Swap32
                );
                self.set(dst, upper, false, false);
            }
            Insn::LoadImm { dst, value: Imm64::Number(value) } => self.number(dst, value),
            Insn::Load { size, extend: Extend::Zero, dst, .. } => {
                self.set(dst, size != Size::DW, false, false)
            }
            Insn::LoadPacket { size, .. } => {
                self.forget(RegSet::RESULT.union(RegSet::ARGUMENTS));
                put(&mut self.upper, R::R0, size != Size::DW);
            }
            Insn::Call { .. } => self.forget(RegSet::RESULT.union(RegSet::ARGUMENTS)),
            _ => self.forget(insn.writes()),
        }
        self
    }

    /// What a comparison with zero says on one of its ways.
    fn refined(mut self, insn: &Insn, taken: bool) -> Known {
        let Insn::Branch { cond, width, lhs, rhs: Operand::Imm(imm), .. } = *insn else { return self };
        let nonzero = match (cond, taken) {
            (Cond::Eq, false) | (Cond::Ne, true) | (Cond::Le, false) => imm == 0,
            // Above something unsigned, or with a bit in common.
            (Cond::Gt | Cond::Set, true) => true,
            (Cond::Ge, true) | (Cond::Lt, false) | (Cond::Eq, true) | (Cond::Ne, false) => imm != 0,
            _ => false,
        };
        if nonzero {
            put(&mut self.whole, lhs, true);
            if width == Width::W32 || self.upper.contains(lhs) {
                put(&mut self.low, lhs, true);
            }
        }
        self
    }
}

impl Numbers {
    /// Those of a program whose functions begin there.
    pub(crate) fn of(insns: &[Insn], entries: &[Pc]) -> Numbers {
        let mut before: Vec<Option<Known>> = vec![None; insns.len()];
        let mut waiting: Vec<usize> = Vec::new();
        for entry in entries {
            before[entry.index()] = Some(NOTHING);
            waiting.push(entry.index());
        }
        while let Some(index) = waiting.pop() {
            let Some(known) = before[index] else { continue };
            let (insn, pc) = (&insns[index], Pc(index as u32));
            let after = known.after(insn);
            for to in successors(insn, pc).into_iter().flatten() {
                let Some(place) = before.get_mut(to.index()) else { continue };
                // Where both ways lead to one place, neither says anything.
                let both = insn.target() == Some(Pc(pc.0 + 1));
                let there = if both { after } else { after.refined(insn, insn.target() == Some(to)) };
                let met = place.map_or(there, |old| old.meet(there));
                if *place != Some(met) {
                    *place = Some(met);
                    waiting.push(to.index());
                }
            }
        }
        Numbers { before }
    }

    /// The registers whose upper half is zero.
    pub(crate) fn upper_zero(&self, pc: Pc) -> RegSet {
        self.before[pc.index()].map_or(RegSet::EMPTY, |known| known.upper)
    }

    /// Whether this division's divisor is not zero.
    pub(crate) fn divisor_nonzero(&self, insns: &[Insn], pc: Pc) -> bool {
        let Insn::Alu { op: AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod, width, src, .. } =
            insns[pc.index()]
        else {
            return false;
        };
        match (src, width, self.before[pc.index()]) {
            (Operand::Imm(imm), ..) => imm != 0,
            (Operand::Reg(src), Width::W32, Some(known)) => known.low.contains(src),
            (Operand::Reg(src), Width::W64, Some(known)) => known.whole.contains(src),
            (_, _, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divides(text: &str) -> bool {
        let program = sandbpf_isa::parse(text).expect("the text is a program");
        let division = |insn: &Insn| matches!(insn, Insn::Alu { op: AluOp::Div, .. });
        let at = program.insns().iter().position(division).expect("it divides");
        Numbers::of(program.insns(), &[Pc(0)]).divisor_nonzero(program.insns(), Pc(at as u32))
    }

    #[test]
    fn divisors_that_cannot_be_zero() {
        for (text, nonzero) in [
            ("r1 = 5\nr0 /= r1\nexit", true),
            ("r0 /= r1\nexit", false),
            ("if r1 == 0 goto +1\nr0 /= r1\nexit", true),
            ("if r1 != 0 goto +1\nr0 /= r1\nexit", false),
            ("if r1 > 9 goto +1\nexit\nr0 /= r1\nexit", true),
            // Not zero as a whole says nothing of the low half.
            ("if r1 == 0 goto +1\nw0 /= w1\nexit", false),
            ("if w1 == 0 goto +1\nw0 /= w1\nexit", true),
            ("if w1 == 0 goto +1\nr0 /= r1\nexit", true),
            ("r1 &= 7\nr1 |= 8\nr0 /= r1\nexit", true),
            ("r1 |= 8\nr1 &= 7\nr0 /= r1\nexit", false),
            ("r1 = 5\nif r0 == 0 goto +1\nr1 = 0\nr0 /= r1\nexit", false),
            ("r1 = 5\nr1 += -1\nif r1 != 0 goto -2\nr0 /= r1\nexit", false),
            ("r6 = 1\ncall 7\nr0 /= r6\nexit", true),
            ("r1 = 1\ncall 7\nr0 /= r1\nexit", false),
            ("r1 = 0x100000000 ll\nw0 /= w1\nexit", false),
        ] {
            assert_eq!(divides(text), nonzero, "{text}");
        }
    }

    #[test]
    fn numbers_that_fit_32_bits() {
        let program =
            sandbpf_isa::parse("w1 += 1\nr2 = r1\nr2 += 1\nr3 = *(u8 *)(r10 - 1)\nexit").expect("a program");
        let numbers = Numbers::of(program.insns(), &[Pc(0)]);
        let upper: Vec<u8> = numbers.upper_zero(Pc(4)).iter().map(R::number).collect();
        assert_eq!(upper, [1, 3]);
    }
}
