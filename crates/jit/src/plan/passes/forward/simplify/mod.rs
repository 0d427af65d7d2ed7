//! Says the same with less: folds constants, drops operations that change nothing, and gives what is left one form, so that
//! others find it.
//!
//! Rules look a step or two down from an operation: those of [`binary`], [`unary`] and [`compare`]. They know which bits
//! operands may have ([`Possible`](super::super::bits::Possible)).

mod binary;
mod compare;
mod rotate;
mod subtract;
mod unary;

use sandbpf_isa::Width;

use super::super::bits::ones;
use super::Walk;
use crate::plan::graph::{BinOp, End, Op, Test, UnOp, Value};
use compare::Answer as Tested;

/// What is to become of an operation.
enum Answer {
    /// It stays.
    Same,
    /// That value is the same.
    Is(Value),
    /// That operation is the same, and simpler or more usual.
    Now(Op),
}

/// How often an operation may change its form: rules that ran in a circle would not hold up the host.
const STEPS: u32 = 24;

impl Walk<'_> {
    /// Applies rules to an operation until none applies: a value that is the same already, if there is one.
    pub(super) fn settle(&mut self, value: Value) -> Option<Value> {
        for _ in 0..STEPS {
            let answer = match *self.graph.op(value) {
                Op::Bin { op, width, a, b } => self.binary(op, width, a, b),
                Op::Un { op, a } => self.unary(op, a),
                Op::Compare(test) => self.comparison(&test),
                Op::Select { test, yes, no } => self.selection(&test, yes, no),
                _ => return None,
            };
            match answer {
                Answer::Same => break,
                Answer::Is(value) => return Some(value),
                Answer::Now(new) => self.graph.values[value.index()] = new,
            }
        }
        None
    }

    /// Simplifies how the block ends: with a branch by this test.
    pub(super) fn branch(&mut self, mut test: Test) {
        let before = test;
        let mut swap = false;
        for _ in 0..STEPS {
            match self.test(&test) {
                Tested::Same => break,
                Tested::Known(so) => {
                    let end = &mut self.graph.blocks[self.block.index()].end;
                    if let End::Branch { yes, no, .. } = end {
                        let edge = if so != swap { yes.clone() } else { no.clone() };
                        *end = End::Jump(edge);
                    }
                    return;
                }
                Tested::Now(new) => test = new,
                Tested::Not(new) => (test, swap) = (new, !swap),
            }
        }
        if test != before {
            if let End::Branch { test: old, yes, no } = &mut self.graph.blocks[self.block.index()].end {
                *old = test;
                if swap {
                    std::mem::swap(yes, no);
                }
            }
        }
    }

    fn is(&mut self, number: u64) -> Answer {
        Answer::Is(self.number(number))
    }

    /// An operation with a constant on the right.
    pub(super) fn with(&mut self, op: BinOp, width: Width, a: Value, number: u64) -> Op {
        let b = self.number(number);
        Op::Bin { op, width, a, b }
    }

    fn as_binary(&self, value: Value) -> Option<(BinOp, Width, Value, Value)> {
        match *self.graph.op(value) {
            Op::Bin { op, width, a, b } => Some((op, width, a, b)),
            _ => None,
        }
    }

    /// An operation whose right side is a constant.
    fn as_with(&self, value: Value) -> Option<(BinOp, Width, Value, u64)> {
        let (op, width, a, b) = self.as_binary(value)?;
        Some((op, width, a, self.constant(b)? & ones(width)))
    }

    fn as_unary(&self, value: Value) -> Option<(UnOp, Value)> {
        match *self.graph.op(value) {
            Op::Un { op, a } => Some((op, a)),
            _ => None,
        }
    }

    /// What a value is without operations that leave its low bits, so many, as they are.
    fn low(&self, value: Value, bits: u32) -> Value {
        let mask = u64::MAX >> (64 - bits);
        let mut value = value;
        loop {
            value = match *self.graph.op(value) {
                Op::Un { op, a } if op.kept().is_some_and(|kept| kept & mask == mask) => a,
                Op::Bin { op: BinOp::And, a, b, .. } => match self.constant(b) {
                    Some(kept) if kept & mask == mask => a,
                    _ => return value,
                },
                _ => return value,
            }
        }
    }
}

impl UnOp {
    /// Of an extension, the bits that it leaves as they are.
    pub(crate) fn kept(self) -> Option<u64> {
        match self {
            UnOp::Zext8 | UnOp::Sext8 => Some(0xff),
            UnOp::Zext16 | UnOp::Sext16 => Some(0xffff),
            UnOp::Zext32 | UnOp::Sext32 => Some(0xffff_ffff),
            UnOp::Neg64 | UnOp::Neg32 | UnOp::Swap16 | UnOp::Swap32 | UnOp::Swap64 => None,
        }
    }

    /// Whether it is an extension with zeros.
    pub(crate) fn is_zext(self) -> bool {
        matches!(self, UnOp::Zext8 | UnOp::Zext16 | UnOp::Zext32)
    }

    /// Whether it is an extension with signs.
    pub(crate) fn is_sext(self) -> bool {
        matches!(self, UnOp::Sext8 | UnOp::Sext16 | UnOp::Sext32)
    }
}
