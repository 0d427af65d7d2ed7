//! What `tcpdump -d` writes: `bpf_image` of libpcap 1.10, to the byte.
//!
//! The mnemonic is padded even where nothing follows; targets are absolute; an opcode without a name is
//! `unimp`. Loading the length into `X` is one of those, though libpcap runs it.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{Result, Write};

use crate::shape::{Operand, Register, Row, Shape, is_conditional};
use crate::{ClassicInsn, ancillary};

/// The name of an opcode that has none; `bpf_dbg` has another.
const UNKNOWN: &str = "unimp";

/// Whether a listing calls an opcode so that has no name.
pub(super) fn is_unknown(word: &str) -> bool {
    [UNKNOWN, "nosup"].iter().any(|name| name.eq_ignore_ascii_case(word))
}

pub(super) fn print(insns: &[ClassicInsn], out: &mut String) -> Result {
    for (index, insn) in insns.iter().enumerate() {
        let next = index as u32 + 1;
        let (name, operand) = image(insn, next);
        if is_conditional(insn.code) {
            let (taken, otherwise) = (next + u32::from(insn.jt), next + u32::from(insn.jf));
            writeln!(out, "({index:03}) {name:<8} {operand:<16} jt {taken}\tjf {otherwise}")?;
        } else {
            writeln!(out, "({index:03}) {name:<8} {operand}")?;
        }
    }
    Ok(())
}

fn image(insn: &ClassicInsn, next: u32) -> (&'static str, String) {
    let k = insn.k;
    // Most numbers are printed as if they had a sign.
    let signed = k as i32;
    let row = match Row::of(insn.code) {
        Some(row) if row.shape != Shape::LoadLength(Register::X) => row,
        _ => return (UNKNOWN, format!("{:#x}", insn.code)),
    };
    let operand = match row.operand {
        // The accumulator needs no naming.
        Operand::Nothing | Operand::A => String::new(),
        Operand::Decimal => format!("#{signed}"),
        Operand::Hex => format!("#{k:#x}"),
        Operand::Absolute => match ancillary::Row::of(k) {
            Some(ancillary) => format!("[{}]", ancillary.libpcap),
            None => format!("[{signed}]"),
        },
        Operand::Indirect => format!("[x + {signed}]"),
        Operand::HeaderLength => format!("4*([{signed}]&0xf)"),
        Operand::Memory => format!("M[{signed}]"),
        Operand::Length => "#pktlen".to_string(),
        Operand::Target => (next.wrapping_add(k) as i32).to_string(),
        Operand::X => "x".to_string(),
    };
    (row.name, operand)
}
