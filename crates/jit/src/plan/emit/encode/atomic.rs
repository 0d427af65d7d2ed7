//! Operations on memory that others share.

use sandbpf_isa::Size;

use super::super::machine::{Mem, Rm};
use super::Encoder;
use super::buffer::Head;

impl Encoder {
    /// `lock`, before an instruction.
    pub(crate) fn lock(&mut self) {
        self.bytes.push(0xf0);
    }

    /// `xadd [mem], reg`
    pub(crate) fn exchange_add(&mut self, size: Size, mem: Mem, reg: u8) {
        let head = Head { map: 0x0f, ..Encoder::sized(size, 0xc1) };
        let out = Encoder::start(head, reg, Rm::Mem(mem));
        self.finish(out);
    }

    /// `cmpxchg [mem], reg`
    pub(crate) fn compare_exchange(&mut self, size: Size, mem: Mem, reg: u8) {
        let head = Head { map: 0x0f, ..Encoder::sized(size, 0xb1) };
        let out = Encoder::start(head, reg, Rm::Mem(mem));
        self.finish(out);
    }

    /// `xchg [mem], reg`
    pub(crate) fn exchange(&mut self, size: Size, mem: Mem, reg: u8) {
        let out = Encoder::start(Encoder::sized(size, 0x87), reg, Rm::Mem(mem));
        self.finish(out);
    }
}
