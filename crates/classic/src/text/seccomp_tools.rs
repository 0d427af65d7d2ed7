//! System call policies for people: four columns of numbers, then a sentence, as `seccomp-tools disasm`
//! writes it.
//!
//! System calls stay numbers: their names depend on the architecture and on the kernel. Reading looks at
//! the numbers alone, so listings of `scmp_bpf_disasm` and of `seccomp-tools` with names read as well.

use alloc::string::{String, ToString};
use alloc::{format, vec::Vec};
use core::fmt::{Result as Written, Write};

use sandbpf_abi::SeccompData;
use sandbpf_isa::{AluOp, Cond};

use super::TextError;
use crate::ClassicInsn;
use crate::shape::{Answer, Register, Shape, Source};

const HEADER: &str = " line  CODE  JT   JF      K\n=================================\n";

/// Whether a listing starts with this line.
pub(super) fn is_header(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    words.next() == Some("line") && matches!(words.next(), Some("CODE" | "OP"))
}

pub(super) fn print(insns: &[ClassicInsn], out: &mut String) -> Written {
    out.push_str(HEADER);
    // Comparisons with the architecture show its name.
    let mut is_arch = false;
    for (index, insn) in insns.iter().enumerate() {
        let ClassicInsn { code, jt, jf, k } = *insn;
        let shape = Shape::of(code);
        let sentence =
            shape.map_or("unknown".to_string(), |shape| sentence(shape, insn, index as u32 + 1, is_arch));
        writeln!(out, " {index:04}: 0x{code:02x} 0x{jt:02x} 0x{jf:02x} 0x{k:08x}  {sentence}")?;
        is_arch = match shape {
            Some(Shape::LoadAbsolute(_)) => k as usize == SeccompData::ARCH,
            Some(Shape::Branch(..) | Shape::Jump | Shape::Return(_)) => is_arch,
            _ => false,
        };
    }
    Ok(())
}

fn sentence(shape: Shape, insn: &ClassicInsn, next: u32, is_arch: bool) -> String {
    let k = insn.k;
    match shape {
        Shape::LoadAbsolute(_) => format!("A = {}", data(k)),
        Shape::LoadIndirect(_) => format!("A = data[X + {k:#x}]"),
        Shape::LoadHeaderLength => format!("X = 4 * (data[{k:#x}] & 0xf)"),
        Shape::LoadConstant(to) => format!("{} = {k:#x}", name(to)),
        Shape::LoadMemory(to) => format!("{} = mem[{k}]", name(to)),
        Shape::LoadLength(to) => format!("{} = {}", name(to), SeccompData::SIZE),
        Shape::Store(from) => format!("mem[{k}] = {}", name(from)),
        Shape::Alu(op @ (AluOp::Lsh | AluOp::Rsh), Source::K) => format!("A {} {k}", op.symbol()),
        Shape::Alu(op, source) => format!("A {} {}", op.symbol(), rhs(source, k, false)),
        Shape::Negate => "A = -A".to_string(),
        Shape::Jump => format!("goto {:04}", next.wrapping_add(k)),
        Shape::Branch(cond, source) => {
            let (jt, jf) = (next + u32::from(insn.jt), next + u32::from(insn.jf));
            branch(cond, &rhs(source, k, is_arch), next, jt, jf)
        }
        Shape::Return(Answer::A) => "return A".to_string(),
        Shape::Return(Answer::K) => format!("return {}", action(k)),
        Shape::CopyToX => "X = A".to_string(),
        Shape::CopyToA => "A = X".to_string(),
    }
}

/// The condition is turned round where only its failure goes elsewhere.
fn branch(cond: Cond, rhs: &str, next: u32, jt: u32, jf: u32) -> String {
    let (holds, fails) = match cond {
        Cond::Eq => (format!("A == {rhs}"), format!("A != {rhs}")),
        Cond::Gt => (format!("A > {rhs}"), format!("A <= {rhs}")),
        Cond::Ge => (format!("A >= {rhs}"), format!("A < {rhs}")),
        _ => (format!("A & {rhs}"), format!("!(A & {rhs})")),
    };
    match (jt == next, jf == next) {
        (true, true) => format!("if ({holds}) goto {jt:04}"),
        (false, true) => format!("if ({holds}) goto {jt:04}"),
        (true, false) => format!("if ({fails}) goto {jf:04}"),
        (false, false) => format!("if ({holds}) goto {jt:04} else goto {jf:04}"),
    }
}

fn name(register: Register) -> &'static str {
    match register {
        Register::A => "A",
        Register::X => "X",
    }
}

fn rhs(source: Source, k: u32, is_arch: bool) -> String {
    match (source, ARCHITECTURES.iter().find(|row| is_arch && row.0 == k)) {
        (Source::X, _) => "X".to_string(),
        (Source::K, Some((_, name))) => name.to_string(),
        (Source::K, None) => format!("{k:#x}"),
    }
}

/// A word of `struct seccomp_data`.
fn data(k: u32) -> String {
    let field = |name: &str, upper: bool| format!("{name}{}", if upper { " >> 32" } else { "" });
    match k as usize {
        SeccompData::NR => "sys_number".to_string(),
        SeccompData::ARCH => "arch".to_string(),
        8 | 12 => field("instruction_pointer", k == 12),
        SeccompData::ARGS..SeccompData::SIZE if k.is_multiple_of(4) => {
            field(&format!("args[{}]", (k as usize - SeccompData::ARGS) / 8), !k.is_multiple_of(8))
        }
        _ => format!("data[{k:#x}]"),
    }
}

/// `SECCOMP_RET_*`: the upper half says what happens, the lower goes with it.
fn action(k: u32) -> String {
    let (action, value) = (k & 0xffff_0000, k & 0xffff);
    match (ACTIONS.iter().find(|row| row.0 == action), value) {
        (Some((_, name)), 0) if !matches!(*name, "ERRNO") => name.to_string(),
        (Some((_, name)), value) => format!("{name}({value})"),
        (None, _) => format!("{k:#x}"),
    }
}

/// Actions by number.
const ACTIONS: &[(u32, &str)] = &[
    (0x8000_0000, "KILL_PROCESS"),
    (0x0000_0000, "KILL"),
    (0x0003_0000, "TRAP"),
    (0x0005_0000, "ERRNO"),
    (0x7fc0_0000, "USER_NOTIF"),
    (0x7ff0_0000, "TRACE"),
    (0x7ffc_0000, "LOG"),
    (0x7fff_0000, "ALLOW"),
];

/// `AUDIT_ARCH_*` by number.
const ARCHITECTURES: &[(u32, &str)] = &[
    (0xc000_003e, "ARCH_X86_64"),
    (0x4000_0003, "ARCH_I386"),
    (0xc000_00b7, "ARCH_AARCH64"),
    (0x4000_0028, "ARCH_ARM"),
    (0xc000_00f3, "ARCH_RISCV64"),
    (0x8000_0016, "ARCH_S390X"),
    (0xc000_0015, "ARCH_PPC64LE"),
];

pub(super) fn parse(text: &str) -> Result<Vec<ClassicInsn>, TextError> {
    let mut insns: Vec<ClassicInsn> = Vec::new();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = end;
        end += line.len();
        let content = line.trim();
        if content.is_empty() || is_header(content) || content.bytes().all(|byte| byte == b'=') {
            continue;
        }
        insns.push(row(text, start, line.trim_end(), insns.len())?);
    }
    if insns.is_empty() {
        return Err(TextError::new(text, text.len()..text.len(), "an instruction"));
    }
    Ok(insns)
}

/// ` 0001: 0x15 0x00 0x08 0xc000003e  …`
fn row(text: &str, start: usize, line: &str, index: usize) -> Result<ClassicInsn, TextError> {
    let mut at = 0;
    let mut word = || {
        let rest = &line[at..];
        let from = at + (rest.len() - rest.trim_start().len());
        let to = line[from..].find(char::is_whitespace).map_or(line.len(), |len| from + len);
        at = to;
        (&line[from..to], start + from..start + to)
    };
    let (number, place) = word();
    if number.strip_suffix(':').and_then(|digits| digits.parse().ok()) != Some(index) {
        return Err(TextError::new(text, place, format!("`{index:04}:`")));
    }
    let mut column = |name: &str, max: u32| {
        let (digits, place) = word();
        let value = digits
            .strip_prefix("0x")
            .filter(|hex| !hex.starts_with('+'))
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        value
            .filter(|&value| value <= max)
            .ok_or_else(|| TextError::new(text, place, format!("{name}, hexadecimal, at most {max:#x}")))
    };
    Ok(ClassicInsn {
        code: column("an opcode", u16::MAX.into())? as u16,
        jt: column("jt", u8::MAX.into())? as u8,
        jf: column("jf", u8::MAX.into())? as u8,
        k: column("k", u32::MAX)?,
    })
}
