//! An instruction as it grows: prefixes, opcode, operand, immediate.

use sandbpf_isa::Size;

use super::super::machine::{Mem, Rm, reg};

/// An instruction as it grows; none is longer than 15 bytes.
pub(super) struct Buffer {
    pub(super) bytes: [u8; 24],
    pub(super) len: usize,
}

impl Buffer {
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    pub(super) fn imm32(&mut self, number: i32) {
        for byte in number.to_le_bytes() {
            self.push(byte);
        }
    }

    /// The operand, its register field `reg`, and `index` and `base` fields.
    #[inline]
    pub(super) fn operand(&mut self, reg: u8, rm: Rm) {
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(number) => self.push(0xc0 | reg | number & 7),
            Rm::Mem(mem) => self.memory(reg, mem),
        }
    }

    #[inline]
    pub(super) fn memory(&mut self, reg: u8, Mem { base, index, disp }: Mem) {
        let Some(base) = base else {
            // Without a base the displacement has four bytes.
            let (index, scale) = index.unwrap_or((reg::RSP, 0));
            self.push(reg | 4);
            self.push(scale << 6 | (index & 7) << 3 | 5);
            return self.imm32(disp);
        };
        // A base with the bits of rbp has a displacement always.
        let mode = match disp {
            0 if base & 7 != reg::RBP => 0,
            -128..=127 => 0x40,
            _ => 0x80,
        };
        match index {
            Some((index, scale)) => {
                self.push(mode | reg | 4);
                self.push(scale << 6 | (index & 7) << 3 | base & 7);
            }
            None if base & 7 == reg::RSP => {
                self.push(mode | reg | 4);
                self.push(0x24);
            }
            None => self.push(mode | reg | base & 7),
        }
        match mode {
            0x40 => self.push(disp as u8),
            0x80 => self.imm32(disp),
            _ => {}
        }
    }
}

/// The parts of an instruction before its operand.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// `0x66`, `0xf2`, `0xf3`, or 0 for none.
    pub(super) prefix: u8,
    /// Bytes before the opcode: 0 for none, `0x0f`, or `0x38` for `0f 38`.
    pub(super) map: u8,
    pub(super) opcode: u8,
    pub(super) wide: bool,
    /// Whether the register is of one byte: some need a prefix then.
    pub(super) byte: bool,
    /// Whether the operand is.
    pub(super) byte_operand: bool,
}

impl Buffer {
    pub(super) fn immediate(&mut self, size: Size, short: bool, imm: i32) {
        match size {
            Size::B => self.push(imm as u8),
            _ if short => self.push(imm as u8),
            Size::H => {
                for byte in (imm as i16).to_le_bytes() {
                    self.push(byte);
                }
            }
            Size::W | Size::DW => self.imm32(imm),
        }
    }
}
