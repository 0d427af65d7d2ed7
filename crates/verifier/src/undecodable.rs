//! Bytes that are no instructions, refused in the verifier's words.
//!
//! Linux looks at opcodes first, then at jumps, and at fields and registers when it walks: which of several faults it names
//! follows from that.

use sandbpf_isa::{DecodeError, DecodeErrorKind as Kind, ProgramErrorKind};

use crate::Rejected;
use crate::error::{Errno, Rejection};

/// The rejection of a program that cannot be decoded.
///
/// ```
/// use sandbpf_verifier::undecodable;
/// let code = [0xff, 0, 0, 0, 0, 0, 0, 0];
/// let error = sandbpf_isa::decode(&code).unwrap_err();
/// assert_eq!(undecodable(&error, &code).rejection.message, "unknown opcode ff");
/// ```
pub fn undecodable(error: &DecodeError, code: &[u8]) -> Rejected {
    let slot = error.slot();
    let at = slot as usize * 8;
    let insn = code.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    let early = insn.and_then(|insn| early(slot, insn, error.kind(), code.len() / 8));
    let message = early.unwrap_or_else(|| message(error.kind(), slot));
    let errno = match error.kind() {
        Kind::Program(ProgramErrorKind::TooLong) => Errno::TooBig,
        _ => Errno::Inval,
    };
    Rejected { rejection: Rejection { errno, pc: None, message, path: Vec::new() }, ..Rejected::default() }
}

/// What is found before the walk, whatever else is wrong with the instruction.
fn early(slot: u32, insn: [u8; 8], kind: &Kind, slots: usize) -> Option<String> {
    let opcode = insn[0];
    let imm = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
    if opcode & 7 == 1 && (!matches!(opcode & 0xe0, 0x60 | 0x80) || imm != 0) {
        return Some("BPF_LDX uses reserved fields".into());
    }
    let is_jump = matches!(opcode & 7, 5 | 6) && !matches!(opcode >> 4, 8 | 9);
    match kind {
        // The register is looked at last: with one that exists, is there something else?
        Kind::Register { field, .. } => {
            let mut other = insn;
            other[1] = if *field == "source" { insn[1] & 0x0f | 0x10 } else { insn[1] & 0xf0 | 1 };
            let alone = sandbpf_isa::decode(&[other, [0x95, 0, 0, 0, 0, 0, 0, 0]].concat());
            let error = alone.err().filter(|error| {
                !matches!(error.kind(), Kind::JumpOutside(_) | Kind::WideImmediate | Kind::Register { .. })
            })?;
            Some(early(slot, other, error.kind(), slots).unwrap_or_else(|| message(error.kind(), slot)))
        }
        Kind::Reserved { .. } if opcode == 0x8d => Some("unknown opcode 8d".into()),
        Kind::Reserved { .. } | Kind::Variant { .. } if is_jump && opcode >> 4 != 14 => {
            let off = match opcode {
                0x06 => i64::from(imm),
                _ => i64::from(i16::from_le_bytes([insn[2], insn[3]])),
            };
            let to = i64::from(slot) + off + 1;
            let outside = to < 0 || to >= slots as i64;
            outside.then(|| format!("jump out of range from insn {slot} to {to}"))
        }
        Kind::Reserved { .. } if opcode == 0xe5 => Some(format!("invalid may_goto imm {imm}")),
        Kind::Reserved { .. } if opcode == 0x18 => Some("invalid bpf_ld_imm64 insn".into()),
        _ => None,
    }
}

fn message(kind: &Kind, slot: u32) -> String {
    match kind {
        Kind::Opcode(opcode) => format!("unknown opcode {opcode:02x}"),
        Kind::Register { number, .. } => format!("R{number} is invalid"),
        Kind::Variant { opcode, value, .. } if class(*opcode) == "BPF_ATOMIC" => {
            format!("BPF_ATOMIC uses invalid atomic opcode {:02x}", *value as i32)
        }
        Kind::Reserved { opcode, .. } | Kind::Variant { opcode, .. } => {
            format!("{} uses reserved fields", class(*opcode))
        }
        Kind::AtomicSize { .. } => "invalid atomic operand size".to_string(),
        Kind::WideImmediate => "invalid bpf_ld_imm64 insn".to_string(),
        Kind::JumpOutside(to) => format!("jump out of range from insn {slot} to {to}"),
        Kind::JumpInside(to) => format!("jump into the middle of ldimm64 insn {to}"),
        Kind::Program(ProgramErrorKind::TargetOutside { to }) => {
            format!("jump out of range from insn {slot} to {to}")
        }
        other => other.to_string(),
    }
}

/// How the verifier names instructions when it speaks of their fields.
fn class(opcode: u8) -> &'static str {
    match (opcode & 7, opcode >> 4) {
        (0, 1) => "BPF_LD_IMM64",
        (0, _) => "BPF_LD_[ABS|IND]",
        (1, _) => "BPF_LDX",
        (2, _) => "BPF_ST",
        (3, 12..) => "BPF_ATOMIC",
        (3, _) => "BPF_STX",
        (4 | 7, 8) => "BPF_NEG",
        (4 | 7, 11) => "BPF_MOV",
        (4 | 7, 13) => "BPF_END",
        (4 | 7, _) => "BPF_ALU",
        (_, 0) => "BPF_JA",
        (_, 8) => "BPF_CALL",
        (_, 9) => "BPF_EXIT",
        _ => "BPF_JMP/JMP32",
    }
}
