//! Bytes that are no instructions, refused in the verifier's words.

use sandbpf_isa::{DecodeError, DecodeErrorKind as Kind, ProgramErrorKind};

use crate::error::{Errno, Rejection};
use crate::explore::Statistics;
use crate::Rejected;

/// The rejection of a program that cannot be decoded.
///
/// ```
/// use sandbpf_verifier::undecodable;
/// let error = sandbpf_isa::decode(&[0xff, 0, 0, 0, 0, 0, 0, 0]).unwrap_err();
/// assert_eq!(undecodable(&error).rejection.message, "unknown opcode ff");
/// ```
pub fn undecodable(error: &DecodeError) -> Rejected {
    let slot = error.slot();
    let message = match error.kind() {
        Kind::Opcode(opcode) => format!("unknown opcode {opcode:02x}"),
        Kind::Register { number, .. } => format!("R{number} is invalid"),
        Kind::Reserved { opcode, .. } => format!("{} uses reserved fields", class(*opcode)),
        Kind::Variant { opcode, value, .. } if class(*opcode) == "BPF_ATOMIC" => {
            format!("BPF_ATOMIC uses invalid atomic opcode {:02x}", *value as i32)
        }
        Kind::Variant { opcode, .. } => format!("{} uses reserved fields", class(*opcode)),
        Kind::AtomicSize { .. } => "invalid atomic operand size".to_string(),
        Kind::WideImmediate => "invalid bpf_ld_imm64 insn".to_string(),
        Kind::JumpOutside(to) => format!("jump out of range from insn {slot} to {to}"),
        Kind::JumpInside(to) => format!("jump into the middle of ldimm64 insn {to}"),
        Kind::Program(ProgramErrorKind::TargetOutside { to }) => {
            format!("jump out of range from insn {slot} to {to}")
        }
        other => other.to_string(),
    };
    let errno = match error.kind() {
        Kind::Program(ProgramErrorKind::TooLong) => Errno::TooBig,
        _ => Errno::Inval,
    };
    let rejection = Rejection { errno, pc: None, message, path: Vec::new() };
    Rejected { rejection, statistics: Statistics::default(), ..Rejected::default() }
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
