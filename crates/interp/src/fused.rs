//! Sequences of operations that the loop does in one go, without a jump between them.
//!
//! Which ones: what compilers write often, by counting which instructions follow each other in runs. A sequence stands
//! at its first operation and needs no room of its own: every operation stays where it is, as it is, but for the code of
//! the first. So a jump into a sequence lands on what was always there, and a fault inside has its own program counter.

use crate::code::{Op, alu_codes, codes, cond_codes};

/// Calls a macro with every sequence, longer ones before what they start with.
///
/// `chain` is arithmetic on the destination of the operation before it, whose value never leaves the processor's
/// registers; nothing there reads that destination but as such.
macro_rules! for_each_fused {
    ($then:ident) => {
        $then! {
            Rotate64   { alu Mov R64, alu Rsh I64, alu Lsh I64, alu Or R64 }
            Rotate64L  { alu Mov R64, alu Lsh I64, alu Rsh I64, alu Or R64 }
            Rotate32   { alu Mov R32, alu Rsh I32, alu Lsh I32, alu Or R32 }
            Rotate32L  { alu Mov R32, alu Lsh I32, alu Rsh I32, alu Or R32 }
            MovShlAdd  { chain Mov R64, chain Lsh I64, chain Add R64 }
            MovAddLdDw { alu Mov R64, alu Add R64, load LOAD_DW 8 }
            MovAddLdW  { alu Mov R64, alu Add R64, load LOAD_W 4 }
            MovAddLdH  { alu Mov R64, alu Add R64, load LOAD_H 2 }
            MovAddLdB  { alu Mov R64, alu Add R64, load LOAD_B 1 }
            ShlSar     { chain Lsh I64, chain Arsh I64 }
            ShlShr     { chain Lsh I64, chain Rsh I64 }
            MovAdd     { chain Mov R64, chain Add R64 }
            MovXor     { chain Mov R64, chain Xor R64 }
            MovAnd     { chain Mov R64, chain And R64 }
            MovAddI    { chain Mov R64, chain Add I64 }
            MovAndI    { chain Mov R64, chain And I64 }
            MovShr     { chain Mov R64, chain Rsh I64 }
            MovShl     { chain Mov R64, chain Lsh I64 }
            MovMul     { chain Mov R64, chain Mul R64 }
            MovShr32   { chain Mov R32, chain Rsh I32 }
            MovShl32   { chain Mov R32, chain Lsh I32 }
            ShlOr      { alu Lsh I64, alu Or R64 }
            ShlOr32    { alu Lsh I32, alu Or R32 }
            AddXor     { alu Add R64, alu Xor R64 }
            XorMov     { alu Xor R64, alu Mov R64 }
            AddMov     { alu Add R64, alu Mov R64 }
            AddIEqJump { alu Add I64, branch Eq I64, jump JUMP }
            AddIEqRJump { alu Add I64, branch Eq R64, jump JUMP }
            AddIEq     { alu Add I64, branch Eq I64 }
            AddINe     { alu Add I64, branch Ne I64 }
            AddIEqR    { alu Add I64, branch Eq R64 }
            AddINeR    { alu Add I64, branch Ne R64 }
            AddIAddI   { alu Add I64, alu Add I64 }
            AddILt     { alu Add I64, branch Lt R64 }
            AddLdDw    { alu Add R64, load LOAD_DW 8 }
            AddLdW     { alu Add R64, load LOAD_W 4 }
            AddLdH     { alu Add R64, load LOAD_H 2 }
            AddLdB     { alu Add R64, load LOAD_B 1 }
            LdDwAdd    { load LOAD_DW 8, alu Add R64 }
            LdWAdd     { load LOAD_W 4, alu Add R64 }
            LdBAdd     { load LOAD_B 1, alu Add R64 }
            LdDwLdDw   { load LOAD_DW 8, load LOAD_DW 8 }
            LdBLdB     { load LOAD_B 1, load LOAD_B 1 }
            LdBShl     { load LOAD_B 1, alu Lsh I64 }
            EqJump     { branch Eq I64, jump JUMP }
            EqRJump    { branch Eq R64, jump JUMP }
            NeJump     { branch Ne I64, jump JUMP }
            Eq32Jump   { branch Eq I32, jump JUMP }
            Ne32Mov    { branch Ne I32, alu Mov R64 }
            AndIMov    { alu And I64, alu Mov R64 }
            AndIEq     { alu And I64, branch Eq I64 }
            AndINe     { alu And I64, branch Ne I64 }
            MovIMovI   { alu Mov I64, alu Mov I64 }
            MovMov     { alu Mov R64, alu Mov R64 }
            MovJump    { alu Mov R64, jump JUMP }
        }
    };
}
pub(crate) use for_each_fused;

macro_rules! step_code {
    (alu $Op:ident $Form:ident) => {
        alu_codes::$Op::$Form
    };
    (chain $Op:ident $Form:ident) => {
        alu_codes::$Op::$Form
    };
    (branch $Cond:ident $Form:ident) => {
        cond_codes::$Cond::$Form
    };
    (load $CODE:ident $N:literal) => {
        codes::$CODE
    };
    (jump $CODE:ident) => {
        codes::$CODE
    };
}

macro_rules! is_chain {
    (chain) => {
        true
    };
    ($other:ident) => {
        false
    };
}

macro_rules! define_fused {
    ($( $Name:ident { $($kind:ident $what:ident $($how:tt)?),* } )*) => {
        #[repr(u8)]
        enum Row { $($Name),* }

        /// The code of each sequence.
        #[allow(non_upper_case_globals)]
        pub(crate) mod sequences {
            $( pub(crate) const $Name: u8 = crate::code::codes::FIRST_FUSED + super::Row::$Name as u8; )*
        }

        /// Each sequence: its code, the codes it is of, whether it is a chain.
        const FUSED: &[(u8, &[u8], bool)] = &[$(
            (sequences::$Name, &[$(step_code!($kind $what $($how)?)),*], $(is_chain!($kind))&&*)
        ),*];
    };
}
for_each_fused!(define_fused);

/// Marks where sequences start.
pub(crate) fn fuse(ops: &mut [Op]) {
    for at in 0..ops.len() {
        // What follows is not marked yet: the codes are what they were.
        let rest = &ops[at..];
        let fits = |&&(_, codes, chain): &&(u8, &[u8], bool)| {
            rest.len() >= codes.len()
                && codes.iter().zip(rest).all(|(code, op)| *code == op.code)
                && (!chain || is_chain(&rest[..codes.len()]))
        };
        if let Some(&(code, ..)) = FUSED.iter().find(fits) {
            ops[at].code = code;
        }
    }
}

/// Whether all write one register, and none but the first may read it as its operand.
///
/// An operand that is an immediate leaves `src` zero: `r0` is then given up for nothing, which is rare and harmless.
fn is_chain(ops: &[Op]) -> bool {
    let to = ops[0].dst;
    ops.iter().all(|op| op.dst == to) && ops[1..].iter().all(|op| op.src != to || op.imm != 0)
}
