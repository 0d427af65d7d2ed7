//! Operations of the tables as types, so that functions can be made for each.

use std::marker::PhantomData;

use sandbpf_isa::{AluOp, Cond, UnaryOp, for_each_alu_op, for_each_cond, for_each_unary_op};

/// Two-operand arithmetic on whole registers.
pub(crate) trait Binary {
    fn eval(a: u64, b: u64) -> u64;
}

/// One-operand arithmetic.
pub(crate) trait Unary {
    fn eval(a: u64) -> u64;
}

/// A condition on two registers.
pub(crate) trait Test {
    fn holds(a: u64, b: u64) -> bool;
}

/// A row of a table, on 64 bits.
pub(crate) struct Wide<Row>(PhantomData<Row>);
/// A row of a table, on the low 32 bits.
pub(crate) struct Narrow<Row>(PhantomData<Row>);

macro_rules! define_alu {
    ($( $(#[doc = $doc:literal])* $Op:ident ($c:literal, $o:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
        /// The rows of the arithmetic table.
        pub(crate) mod alu {
            $( pub(crate) enum $Op {} )*
        }
        $(
            impl Binary for Wide<alu::$Op> {
                #[inline(always)]
                fn eval(a: u64, b: u64) -> u64 {
                    AluOp::$Op.eval64(a, b)
                }
            }
            impl Binary for Narrow<alu::$Op> {
                #[inline(always)]
                fn eval(a: u64, b: u64) -> u64 {
                    AluOp::$Op.eval32(a as u32, b as u32).into()
                }
            }
        )*
    };
}
for_each_alu_op!(define_alu);

macro_rules! define_cond {
    ($( $(#[doc = $doc:literal])* $Cond:ident ($c:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
        /// The rows of the table of conditions.
        pub(crate) mod cond {
            $( pub(crate) enum $Cond {} )*
        }
        $(
            impl Test for Wide<cond::$Cond> {
                #[inline(always)]
                fn holds(a: u64, b: u64) -> bool {
                    Cond::$Cond.eval64(a, b)
                }
            }
            impl Test for Narrow<cond::$Cond> {
                #[inline(always)]
                fn holds(a: u64, b: u64) -> bool {
                    Cond::$Cond.eval32(a as u32, b as u32)
                }
            }
        )*
    };
}
for_each_cond!(define_cond);

macro_rules! define_unary {
    ($( $(#[doc = $doc:literal])* $Op:ident ($class:ident, $src:ident, $c:literal, $imm:literal) $s:literal |$a:ident| $m:expr; )*) => {
        /// The rows of the table of one-operand arithmetic.
        pub(crate) mod unary {
            $( pub(crate) enum $Op {} )*
        }
        $(
            impl Unary for unary::$Op {
                #[inline(always)]
                fn eval(a: u64) -> u64 {
                    UnaryOp::$Op.eval(a)
                }
            }
        )*
    };
}
for_each_unary_op!(define_unary);
