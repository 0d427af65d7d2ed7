//! Choices: conditional moves, or jumps around a copy where it is better guessed what is chosen.

use sandbpf_isa::{Size, Width};

use super::super::machine::{Flag, Rm, Widen};
use super::{Operands, Writer};

impl Writer<'_> {
    pub(super) fn cmov(&mut self, flag: Flag, guessed: bool, operands: &Operands) {
        if operands.b == operands.dst && operands.a != operands.dst {
            let other = self.rm(operands.a);
            return self.choose(flag.inverse(), guessed, self.reg(operands.dst), other);
        }
        let dst = self.replace(Width::W64, operands);
        if operands.a != operands.b {
            let other = self.rm(operands.b);
            self.choose(flag, guessed, dst, other);
        }
    }

    /// ```text
    /// cmovb dst, other                   ; jae over ; mov dst, other ; over:
    /// ```
    pub(super) fn choose(&mut self, flag: Flag, guessed: bool, dst: u8, other: Rm) {
        if !guessed {
            return self.code.cmov(flag, Width::W64, dst, other);
        }
        let over = self.jumps.label();
        self.jump(Some(flag.inverse()), over);
        match other {
            Rm::Reg(other) => self.code.mov(Width::W64, dst, other),
            mem => self.code.widen(Widen::Zero(Size::DW), dst, mem),
        }
        self.jumps.put(over, &self.code.bytes);
    }
}
