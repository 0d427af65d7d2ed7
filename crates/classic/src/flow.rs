//! What is known of `A` and `X` before and after an instruction, whatever the packet.
//!
//! Two facts that let the lowering leave work out: how large `X` can be, so that `X + k` need not be
//! tested for overflow, and whether anyone looks at `A` again, so that it need not be kept. One pass
//! each, because jumps go forward; where one goes back, nothing is assumed.

use alloc::{vec, vec::Vec};

use crate::ClassicInsn;
use crate::ancillary::{self, Ancillary};
use crate::shape::{Answer, Register, Shape};

/// Where control can go after an instruction.
#[derive(Clone, Copy)]
struct Next([Option<u32>; 2]);

impl Next {
    fn of(index: usize, insn: &ClassicInsn) -> Next {
        let after = index as u32 + 1;
        match Shape::of(insn.code) {
            Some(Shape::Jump) => Next([Some(after.wrapping_add(insn.k)), None]),
            Some(Shape::Branch(..)) => {
                Next([Some(after + u32::from(insn.jt)), Some(after + u32::from(insn.jf))])
            }
            Some(Shape::Return(_)) | None => Next([None, None]),
            Some(_) => Next([Some(after), None]),
        }
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().flatten().map(|to| to as usize)
    }
}

/// The largest value that `X` can have before each instruction.
pub(crate) fn index_ceilings(insns: &[ClassicInsn]) -> Vec<u32> {
    // Zero at the start. What is never reached has no value, and zero is as good as any.
    let mut ceilings = vec![0; insns.len()];
    for (index, insn) in insns.iter().enumerate() {
        for to in Next::of(index, insn).iter().filter(|&to| to <= index) {
            ceilings[to] = u32::MAX;
        }
    }
    for (index, insn) in insns.iter().enumerate() {
        let after = match Shape::of(insn.code) {
            Some(Shape::LoadConstant(Register::X)) => insn.k,
            Some(Shape::LoadHeaderLength) => 4 * 0xf,
            Some(Shape::LoadMemory(Register::X) | Shape::LoadLength(Register::X) | Shape::CopyToX) => {
                u32::MAX
            }
            _ => ceilings[index],
        };
        for to in Next::of(index, insn).iter().filter(|&to| to > index && to < insns.len()) {
            ceilings[to] = ceilings[to].max(after);
        }
    }
    ceilings
}

/// Whether `A` as it is after each instruction can matter.
pub(crate) fn accumulator_needed(insns: &[ClassicInsn]) -> Vec<bool> {
    let mut before = vec![false; insns.len()];
    let mut after = vec![false; insns.len()];
    for (index, insn) in insns.iter().enumerate().rev() {
        after[index] =
            Next::of(index, insn).iter().any(|to| to <= index || before.get(to).is_some_and(|&b| b));
        before[index] = match effect(insn) {
            Effect::Reads => true,
            Effect::Replaces => false,
            Effect::Keeps => after[index],
        };
    }
    after
}

/// What an instruction does with `A`.
enum Effect {
    Reads,
    Replaces,
    Keeps,
}

fn effect(insn: &ClassicInsn) -> Effect {
    match Shape::of(insn.code) {
        Some(Shape::LoadAbsolute(_)) => match ancillary::Row::of(insn.k).map(|row| row.what) {
            // A packet without device ends the program with what is in `A`.
            Some(
                Ancillary::Ifindex
                | Ancillary::Hatype
                | Ancillary::Nlattr
                | Ancillary::NlattrNest
                | Ancillary::XorX,
            ) => Effect::Reads,
            _ => Effect::Replaces,
        },
        Some(
            Shape::LoadIndirect(_)
            | Shape::LoadConstant(Register::A)
            | Shape::LoadMemory(Register::A)
            | Shape::LoadLength(Register::A)
            | Shape::CopyToA,
        ) => Effect::Replaces,
        Some(
            Shape::Store(Register::A)
            | Shape::Alu(..)
            | Shape::Negate
            | Shape::Branch(..)
            | Shape::Return(Answer::A)
            | Shape::CopyToX,
        ) => Effect::Reads,
        Some(
            Shape::LoadHeaderLength
            | Shape::LoadConstant(Register::X)
            | Shape::LoadMemory(Register::X)
            | Shape::LoadLength(Register::X)
            | Shape::Store(Register::X)
            | Shape::Jump
            | Shape::Return(Answer::K),
        )
        | None => Effect::Keeps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(insns: &[(u16, u8, u8, u32)]) -> Vec<ClassicInsn> {
        insns.iter().map(|&(code, jt, jf, k)| ClassicInsn { code, jt, jf, k }).collect()
    }

    #[test]
    fn ceilings_meet_at_the_larger() {
        // jeq #1 → 1 | 3; ldx #9; ja 4; ldxb; ret
        let insns =
            program(&[(0x15, 0, 2, 1), (0x01, 0, 0, 9), (0x05, 0, 0, 1), (0xb1, 0, 0, 0), (0x06, 0, 0, 0)]);
        assert_eq!(index_ceilings(&insns), [0, 0, 9, 0, 60]);
    }

    #[test]
    fn a_jump_back_forgets() {
        // ldxb; tax; ja 1; ret
        let insns = program(&[(0xb1, 0, 0, 0), (0x07, 0, 0, 0), (0x05, 0, 0, u32::MAX - 1), (0x06, 0, 0, 0)]);
        assert_eq!(index_ceilings(&insns), [0, u32::MAX, u32::MAX, 0]);
        assert_eq!(accumulator_needed(&insns), [true, true, true, false]);
    }

    #[test]
    fn the_accumulator_is_needed_until_replaced() {
        // ldxb; ldh [x + 2]; st M[0]; ret #1
        let insns = program(&[(0xb1, 0, 0, 14), (0x48, 0, 0, 2), (0x02, 0, 0, 0), (0x06, 0, 0, 1)]);
        assert_eq!(accumulator_needed(&insns), [false, true, false, false]);
        // ldxb; ld [ifidx]; ret #1
        let insns = program(&[(0xb1, 0, 0, 14), (0x20, 0, 0, 0xffff_f008), (0x06, 0, 0, 1)]);
        assert_eq!(accumulator_needed(&insns), [true, false, false]);
    }
}
