//! Assembly that `bpf_asm` reads, in the style of `bpf_dbg`: a label where a jump goes.
//!
//! An opcode without a name is written as in a listing; `bpf_asm` has no word for it.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt::{Result, Write};

use crate::shape::{Operand, Row, is_conditional};
use crate::{ClassicInsn, ancillary};

pub(super) fn print(insns: &[ClassicInsn], out: &mut String) -> Result {
    let targets: BTreeSet<u32> =
        insns.iter().zip(1..).flat_map(|(insn, next)| targets(insn, next)).flatten().collect();
    for (index, insn) in insns.iter().enumerate() {
        let index = index as u32;
        if targets.contains(&index) {
            write!(out, "l{index}:")?;
        }
        out.push('\t');
        statement(insn, index + 1, out)?;
        out.push('\n');
    }
    Ok(())
}

/// Where an instruction can jump.
fn targets(insn: &ClassicInsn, next: u32) -> [Option<u32>; 2] {
    match Row::of(insn.code).map(|row| row.operand) {
        Some(Operand::Target) => [Some(next.wrapping_add(insn.k)), None],
        Some(_) if is_conditional(insn.code) => {
            [Some(next + u32::from(insn.jt)), Some(next + u32::from(insn.jf))]
        }
        _ => [None, None],
    }
}

fn statement(insn: &ClassicInsn, next: u32, out: &mut String) -> Result {
    let k = insn.k;
    let Some(row) = Row::of(insn.code) else {
        write!(out, "unimp {:#x}", insn.code)?;
        if is_conditional(insn.code) {
            write!(out, " jt {} jf {}", next + u32::from(insn.jt), next + u32::from(insn.jf))?;
        }
        return Ok(());
    };
    out.push_str(row.name);
    match row.operand {
        Operand::Nothing => Ok(()),
        Operand::Decimal | Operand::Hex if k == 0 => write!(out, " #0"),
        Operand::Decimal | Operand::Hex => write!(out, " #{k:#x}"),
        Operand::Absolute => match ancillary::Row::of(k).and_then(|row| row.bpf_asm.first()) {
            Some(name) => write!(out, " {name}"),
            None => write!(out, " [{}]", k as i32),
        },
        // Without blanks the sign would belong to the number.
        Operand::Indirect => write!(out, " [x + {}]", k as i32),
        Operand::HeaderLength => write!(out, " 4*([{}]&0xf)", k as i32),
        Operand::Memory => write!(out, " M[{k}]"),
        Operand::Length => write!(out, " #len"),
        Operand::Target => Ok(()),
        Operand::A => write!(out, " a"),
        Operand::X => write!(out, " x"),
    }?;
    for (position, target) in targets(insn, next).into_iter().flatten().enumerate() {
        let first = position == 0 && row.operand == Operand::Target;
        write!(out, "{} l{target}", if first { "" } else { "," })?;
    }
    Ok(())
}
