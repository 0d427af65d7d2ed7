//! Vector registers: for zeros, and for moves from memory to memory.

use sandbpf_isa::Width;

use super::super::machine::{Mem, Rm};
use super::Encoder;
use super::buffer::Head;

impl Encoder {
    /// `xorps xmm0, xmm0`
    pub(crate) fn vector_zero(&mut self) {
        self.bytes.extend_from_slice(&[0x0f, 0x57, 0xc0]);
    }

    /// `movups [mem], xmm0`
    pub(crate) fn vector_store(&mut self, mem: Mem) {
        self.second(Width::W32, 0x11, 0, Rm::Mem(mem));
    }

    /// `movq xmm, [mem]`
    pub(crate) fn vector_load8(&mut self, vector: u8, mem: Mem) {
        let head =
            Head { prefix: 0xf3, map: 0x0f, opcode: 0x7e, wide: false, byte: false, byte_operand: false };
        let out = Encoder::start(head, vector, Rm::Mem(mem));
        self.finish(out);
    }

    /// `movq [mem], xmm`
    pub(crate) fn vector_store8(&mut self, vector: u8, mem: Mem) {
        let head =
            Head { prefix: 0x66, map: 0x0f, opcode: 0xd6, wide: false, byte: false, byte_operand: false };
        let out = Encoder::start(head, vector, Rm::Mem(mem));
        self.finish(out);
    }

    /// `movq xmm, reg`
    pub(crate) fn vector_from(&mut self, vector: u8, from: u8) {
        let head =
            Head { prefix: 0x66, map: 0x0f, opcode: 0x6e, wide: true, byte: false, byte_operand: false };
        let out = Encoder::start(head, vector, Rm::Reg(from));
        self.finish(out);
    }

    /// `movq reg, xmm`
    pub(crate) fn vector_to(&mut self, vector: u8, to: u8) {
        let head =
            Head { prefix: 0x66, map: 0x0f, opcode: 0x7e, wide: true, byte: false, byte_operand: false };
        let out = Encoder::start(head, vector, Rm::Reg(to));
        self.finish(out);
    }
}
