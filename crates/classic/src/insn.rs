//! The classic instruction as encoded: `struct sock_filter`, `struct bpf_insn` of libpcap.
//!
//! Eight bytes: what to do, two short jump distances, a constant. What an opcode means is in
//! [`shape`](crate::shape).

use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};

use crate::shape::{Operand, Row, is_conditional};

/// One instruction as encoded.
///
/// ```
/// use sandbpf_classic::ClassicInsn;
/// let load = ClassicInsn { code: 0x28, jt: 0, jf: 0, k: 12 };
/// assert_eq!(load.to_bytes(), [0x28, 0, 0, 0, 12, 0, 0, 0]);
/// assert_eq!(ClassicInsn::from_bytes(load.to_bytes()), load);
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassicInsn {
    /// What to do.
    pub code: u16,
    /// How many instructions a branch skips when its condition holds.
    pub jt: u8,
    /// How many it skips when its condition does not hold.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

impl ClassicInsn {
    /// Its eight bytes, little-endian.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0, 0, self.jt, self.jf, 0, 0, 0, 0];
        LittleEndian::write_u16(&mut bytes[..2], self.code);
        LittleEndian::write_u32(&mut bytes[4..], self.k);
        bytes
    }

    /// The same instruction with zero in the fields that it does not use: all that a text with
    /// mnemonics can tell.
    ///
    /// An opcode without meaning uses no constant; among those, jumps have targets in `tcpdump -d`.
    ///
    /// ```
    /// use sandbpf_classic::ClassicInsn;
    /// let copy = ClassicInsn { code: 0x87, jt: 1, jf: 2, k: 3 };
    /// assert_eq!(copy.normalized(), ClassicInsn { code: 0x87, jt: 0, jf: 0, k: 0 });
    /// ```
    pub fn normalized(self) -> Self {
        let ClassicInsn { code, jt, jf, k } = self;
        let (jt, jf) = if is_conditional(code) { (jt, jf) } else { (0, 0) };
        let k = match Row::of(code).map(|row| row.operand) {
            None | Some(Operand::Nothing | Operand::Length | Operand::A | Operand::X) => 0,
            Some(
                Operand::Decimal
                | Operand::Hex
                | Operand::Absolute
                | Operand::Indirect
                | Operand::HeaderLength
                | Operand::Memory
                | Operand::Target,
            ) => k,
        };
        ClassicInsn { code, jt, jf, k }
    }

    /// The instruction in these eight bytes, little-endian.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        ClassicInsn {
            code: LittleEndian::read_u16(&bytes[..2]),
            jt: bytes[2],
            jf: bytes[3],
            k: LittleEndian::read_u32(&bytes[4..]),
        }
    }
}

/// The bytes of a program, little-endian: what `seccomp_export_bpf` writes.
///
/// ```
/// use sandbpf_classic::{ClassicInsn, from_bytes, to_bytes};
/// let program = [ClassicInsn { code: 6, jt: 0, jf: 0, k: 1 }];
/// assert_eq!(from_bytes(&to_bytes(&program)).as_deref(), Ok(&program[..]));
/// ```
pub fn to_bytes(insns: &[ClassicInsn]) -> Vec<u8> {
    insns.iter().flat_map(|insn| insn.to_bytes()).collect()
}

/// The program in these bytes, little-endian.
///
/// ```
/// let error = sandbpf_classic::from_bytes(&[6, 0, 0]).unwrap_err();
/// assert_eq!(error.to_string(), "3 bytes after instruction 0; an instruction has 8");
/// ```
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<ClassicInsn>, BytesError> {
    let (insns, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(BytesError { insns: insns.len(), rest: rest.len() });
    }
    Ok(insns.iter().map(|&insn| ClassicInsn::from_bytes(insn)).collect())
}

/// Why bytes are no instructions: their number is no multiple of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rest} byte{} after instruction {insns}; an instruction has 8", if *.rest == 1 { "" } else { "s" })]
pub struct BytesError {
    insns: usize,
    rest: usize,
}
