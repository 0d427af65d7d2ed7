//! Instructions that not all processors have: BMI1, BMI2, MOVBE.

use sandbpf_isa::{Size, Width};

use super::super::machine::{Mem, Rm, Shift};
use super::buffer::{Buffer, Head};
use super::{Encoder, wide};

impl Encoder {
    /// `movbe reg, [mem]`: of two bytes the upper bits stay.
    pub(crate) fn load_swapped(&mut self, size: Size, to: u8, mem: Mem) {
        let prefix = if size == Size::H { 0x66 } else { 0 };
        let head = Head {
            prefix,
            map: 0x38,
            opcode: 0xf0,
            wide: size == Size::DW,
            byte: false,
            byte_operand: false,
        };
        let out = Encoder::start(head, to, Rm::Mem(mem));
        self.finish(out);
    }

    /// `movbe [mem], reg`
    pub(crate) fn store_swapped(&mut self, size: Size, mem: Mem, from: u8) {
        let prefix = if size == Size::H { 0x66 } else { 0 };
        let head = Head {
            prefix,
            map: 0x38,
            opcode: 0xf1,
            wide: size == Size::DW,
            byte: false,
            byte_operand: false,
        };
        let out = Encoder::start(head, from, Rm::Mem(mem));
        self.finish(out);
    }

    /// An instruction with three operands: `map` 2 is `0f 38`, 3 is `0f 3a`; `prefix` 0 none, 1 `66`, 2 `f3`, 3 `f2`.
    #[allow(clippy::too_many_arguments, reason = "the encoding has as many fields")]
    fn three(
        &mut self,
        map: u8,
        prefix: u8,
        opcode: u8,
        width: Width,
        reg: u8,
        middle: u8,
        rm: Rm,
    ) -> Buffer {
        let rm = rm.tidy();
        let (base, index) = rm.upper();
        let mut out = Buffer { bytes: [0; 24], len: 0 };
        out.push(0xc4);
        out.push((reg >> 3 ^ 1) << 7 | (index ^ 1) << 6 | (base ^ 1) << 5 | map);
        out.push(u8::from(wide(width)) << 7 | (middle ^ 15) << 3 | prefix);
        out.push(opcode);
        out.operand(reg, rm);
        out
    }

    /// `shlx`, `shrx` or `sarx reg, rm, count`
    pub(crate) fn shift_by(&mut self, op: Shift, width: Width, reg: u8, rm: Rm, count: u8) {
        let prefix = match op {
            Shift::Shl => 1,
            Shift::Sar => 2,
            Shift::Shr => 3,
            Shift::Rol => unreachable!("rotations have no such form"),
        };
        let out = self.three(2, prefix, 0xf7, width, reg, count, rm);
        self.finish(out);
    }

    /// `rorx reg, rm, imm`
    pub(crate) fn rotate_right(&mut self, width: Width, reg: u8, rm: Rm, count: u8) {
        let mut out = self.three(3, 3, 0xf0, width, reg, 0, rm);
        out.push(count);
        self.finish(out);
    }

    /// `andn reg, a, rm`: `!a & rm`
    pub(crate) fn and_not(&mut self, width: Width, reg: u8, a: u8, rm: Rm) {
        let out = self.three(2, 0, 0xf2, width, reg, a, rm);
        self.finish(out);
    }

    /// `mulx reg, reg, rm`: the upper half of `rdx * rm`
    pub(crate) fn mul_high(&mut self, reg: u8, rm: Rm) {
        let out = self.three(2, 3, 0xf6, Width::W64, reg, reg, rm);
        self.finish(out);
    }
}
