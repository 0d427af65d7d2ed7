//! Instructions of x86-64 as bytes: the few forms that code of plans is made of.
//!
//! Which registers, and how far away, is known only when code is written, and the shortest form depends on it; so operands are
//! numbers here, and forms are chosen where they are encoded. Tests compare with the assembler that the rest of the
//! crate uses.

mod atomic;
mod buffer;
mod extensions;
#[cfg(test)]
mod tests;
mod vector;

use sandbpf_isa::{Size, Width};

use super::machine::{Alu, Flag, Mem, Rm, Shift, Unary, Widen, reg};
use buffer::{Buffer, Head};

/// Bytes of code.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

fn wide(width: Width) -> bool {
    width == Width::W64
}

impl Encoder {
    #[inline]
    fn start(head: Head, reg: u8, rm: Rm) -> Buffer {
        let rm = rm.tidy();
        let mut out = Buffer { bytes: [0; 24], len: 0 };
        if head.prefix != 0 {
            out.push(head.prefix);
        }
        let (base, index) = rm.upper();
        let rex = u8::from(head.wide) << 3 | (reg >> 3) << 2 | index << 1 | base;
        let odd = head.byte && (4..8).contains(&reg) || head.byte_operand && matches!(rm, Rm::Reg(4..8));
        if rex != 0 || odd {
            out.push(0x40 | rex);
        }
        match head.map {
            0 => {}
            0x38 => {
                out.push(0x0f);
                out.push(0x38);
            }
            map => out.push(map),
        }
        out.push(head.opcode);
        out.operand(reg, rm);
        out
    }

    #[inline]
    fn finish(&mut self, out: Buffer) {
        self.bytes.extend_from_slice(&out.bytes[..out.len]);
    }

    #[inline]
    fn plain(&mut self, width: Width, opcode: u8, reg: u8, rm: Rm) {
        let head = Head { prefix: 0, map: 0, opcode, wide: wide(width), byte: false, byte_operand: false };
        let out = Encoder::start(head, reg, rm);
        self.finish(out);
    }

    #[inline]
    fn second(&mut self, width: Width, opcode: u8, reg: u8, rm: Rm) {
        let head = Head { prefix: 0, map: 0x0f, opcode, wide: wide(width), byte: false, byte_operand: false };
        let out = Encoder::start(head, reg, rm);
        self.finish(out);
    }

    /// The prefix and the width of an access of a size.
    fn sized(size: Size, opcode: u8) -> Head {
        Head {
            prefix: if size == Size::H { 0x66 } else { 0 },
            map: 0,
            // Opcodes for bytes are one less.
            opcode: if size == Size::B { opcode - 1 } else { opcode },
            wide: size == Size::DW,
            byte: size == Size::B,
            byte_operand: false,
        }
    }

    /// The same of an operation without a register.
    fn sized_operand(size: Size, opcode: u8) -> Head {
        Head { byte: false, byte_operand: size == Size::B, ..Encoder::sized(size, opcode) }
    }

    /// `op reg, rm`
    pub(crate) fn alu(&mut self, op: Alu, width: Width, reg: u8, rm: Rm) {
        match rm {
            // Assemblers write it so.
            Rm::Reg(other) if op != Alu::Cmp => self.plain(width, (op as u8) << 3 | 1, other, Rm::Reg(reg)),
            rm => self.plain(width, (op as u8) << 3 | 3, reg, rm),
        }
    }

    /// `op [mem], reg`
    pub(crate) fn alu_to(&mut self, op: Alu, size: Size, mem: Mem, reg: u8) {
        let out = Encoder::start(Encoder::sized(size, (op as u8) << 3 | 1), reg, Rm::Mem(mem));
        self.finish(out);
    }

    /// `op rm, imm`, on as many bytes.
    pub(crate) fn alu_imm(&mut self, op: Alu, size: Size, rm: Rm, imm: i32) {
        let short = size != Size::B && i8::try_from(imm).is_ok();
        if rm == Rm::Reg(reg::RAX) && !short && matches!(size, Size::W | Size::DW) {
            // Of eax and rax without an operand.
            let mut out = Buffer { bytes: [0; 24], len: 0 };
            if size == Size::DW {
                out.push(0x48);
            }
            out.push((op as u8) << 3 | 5);
            out.imm32(imm);
            return self.finish(out);
        }
        let opcode = if short { 0x83 } else { 0x81 };
        let mut out = Encoder::start(Encoder::sized_operand(size, opcode), op as u8, rm);
        out.immediate(size, short, imm);
        self.finish(out);
    }

    /// `test rm, reg`
    pub(crate) fn test(&mut self, width: Width, rm: Rm, reg: u8) {
        self.plain(width, 0x85, reg, rm);
    }

    /// `test rm, imm`, on as many bytes.
    pub(crate) fn test_imm(&mut self, size: Size, rm: Rm, imm: i32) {
        if rm == Rm::Reg(reg::RAX) && size != Size::H {
            let mut out = Buffer { bytes: [0; 24], len: 0 };
            match size {
                Size::B => out.push(0xa8),
                Size::DW => {
                    out.push(0x48);
                    out.push(0xa9);
                }
                _ => out.push(0xa9),
            }
            out.immediate(size, false, imm);
            return self.finish(out);
        }
        let mut out = Encoder::start(Encoder::sized_operand(size, 0xf7), 0, rm);
        out.immediate(size, false, imm);
        self.finish(out);
    }

    /// `mov reg, reg`
    pub(crate) fn mov(&mut self, width: Width, to: u8, from: u8) {
        self.plain(width, 0x89, from, Rm::Reg(to));
    }

    /// `mov reg, imm` in its shortest form; flags stay.
    pub(crate) fn mov_imm(&mut self, to: u8, number: u64) {
        let mut out = Buffer { bytes: [0; 24], len: 0 };
        if let Ok(low) = u32::try_from(number) {
            if to >= 8 {
                out.push(0x41);
            }
            out.push(0xb8 | to & 7);
            out.imm32(low as i32);
        } else if let Ok(low) = i32::try_from(number as i64) {
            out = Encoder::start(
                Head { prefix: 0, map: 0, opcode: 0xc7, wide: true, byte: false, byte_operand: false },
                0,
                Rm::Reg(to),
            );
            out.imm32(low);
        } else {
            out.push(0x48 | to >> 3);
            out.push(0xb8 | to & 7);
            out.imm32(number as i32);
            out.imm32((number >> 32) as i32);
        }
        self.finish(out);
    }

    /// `xor reg, reg`: zero, but flags change.
    pub(crate) fn zero(&mut self, to: u8) {
        self.alu(Alu::Xor, Width::W32, to, Rm::Reg(to));
    }

    /// `mov`, `movzx`, `movsx` or `movsxd`: to 64 bits.
    pub(crate) fn widen(&mut self, how: Widen, to: u8, rm: Rm) {
        if let (Widen::Zero(Size::W | Size::DW), Rm::Reg(from)) = (how, rm) {
            let width = if how == Widen::Zero(Size::W) { Width::W32 } else { Width::W64 };
            return self.mov(width, to, from);
        }
        let (map, opcode, wide) = match how {
            Widen::Zero(Size::B) => (0x0f, 0xb6, false),
            Widen::Zero(Size::H) => (0x0f, 0xb7, false),
            Widen::Zero(Size::W) => (0, 0x8b, false),
            Widen::Sign(Size::B) => (0x0f, 0xbe, true),
            Widen::Sign(Size::H) => (0x0f, 0xbf, true),
            Widen::Sign(Size::W) => (0, 0x63, true),
            Widen::Zero(Size::DW) | Widen::Sign(Size::DW) => (0, 0x8b, true),
        };
        let byte_operand = matches!(how, Widen::Zero(Size::B) | Widen::Sign(Size::B));
        let out = Encoder::start(Head { prefix: 0, map, opcode, wide, byte: false, byte_operand }, to, rm);
        self.finish(out);
    }

    /// `mov [mem], reg`
    pub(crate) fn store(&mut self, size: Size, mem: Mem, from: u8) {
        let out = Encoder::start(Encoder::sized(size, 0x89), from, Rm::Mem(mem));
        self.finish(out);
    }

    /// `mov [mem], imm`; of 64 bits the upper half is copies of the sign.
    pub(crate) fn store_imm(&mut self, size: Size, mem: Mem, imm: i32) {
        let mut out = Encoder::start(Encoder::sized_operand(size, 0xc7), 0, Rm::Mem(mem));
        out.immediate(size, false, imm);
        self.finish(out);
    }

    /// `lea reg, [mem]`
    pub(crate) fn lea(&mut self, width: Width, to: u8, mem: Mem) {
        self.plain(width, 0x8d, to, Rm::Mem(mem));
    }

    /// `imul reg, rm`
    pub(crate) fn imul(&mut self, width: Width, reg: u8, rm: Rm) {
        self.second(width, 0xaf, reg, rm);
    }

    /// `imul reg, rm, imm`
    pub(crate) fn imul_imm(&mut self, width: Width, reg: u8, rm: Rm, imm: i32) {
        let short = i8::try_from(imm).is_ok();
        let opcode = if short { 0x6b } else { 0x69 };
        let head = Head { prefix: 0, map: 0, opcode, wide: wide(width), byte: false, byte_operand: false };
        let mut out = Encoder::start(head, reg, rm);
        out.immediate(Size::W, short, imm);
        self.finish(out);
    }

    /// `not`, `neg`, `mul`, `div`, `idiv`
    pub(crate) fn unary(&mut self, op: Unary, width: Width, rm: Rm) {
        self.plain(width, 0xf7, op as u8, rm);
    }

    /// `shift rm, imm`
    pub(crate) fn shift_imm(&mut self, op: Shift, width: Width, rm: Rm, count: u8) {
        if count == 1 {
            return self.plain(width, 0xd1, op as u8, rm);
        }
        let head =
            Head { prefix: 0, map: 0, opcode: 0xc1, wide: wide(width), byte: false, byte_operand: false };
        let mut out = Encoder::start(head, op as u8, rm);
        out.push(count);
        self.finish(out);
    }

    /// `rol word reg, 8`: the two low bytes change places.
    pub(crate) fn rotate_word(&mut self, reg: u8) {
        let head = Head { prefix: 0x66, map: 0, opcode: 0xc1, wide: false, byte: false, byte_operand: false };
        let mut out = Encoder::start(head, Shift::Rol as u8, Rm::Reg(reg));
        out.push(8);
        self.finish(out);
    }

    /// `shift rm, cl`
    pub(crate) fn shift_cl(&mut self, op: Shift, width: Width, rm: Rm) {
        self.plain(width, 0xd3, op as u8, rm);
    }

    /// `bswap reg`
    pub(crate) fn bswap(&mut self, width: Width, reg: u8) {
        let rex = u8::from(wide(width)) << 3 | reg >> 3;
        if rex != 0 {
            self.bytes.push(0x40 | rex);
        }
        self.bytes.extend_from_slice(&[0x0f, 0xc8 | reg & 7]);
    }

    /// `cdq` or `cqo`: the sign of rax in rdx.
    pub(crate) fn sign_to_rdx(&mut self, width: Width) {
        if wide(width) {
            self.bytes.push(0x48);
        }
        self.bytes.push(0x99);
    }

    /// `setcc reg`: its low byte.
    pub(crate) fn set(&mut self, flag: Flag, reg: u8) {
        let head = Head {
            prefix: 0,
            map: 0x0f,
            opcode: 0x90 | flag as u8,
            wide: false,
            byte: false,
            byte_operand: true,
        };
        let out = Encoder::start(head, 0, Rm::Reg(reg));
        self.finish(out);
    }

    /// `cmovcc reg, rm`
    pub(crate) fn cmov(&mut self, flag: Flag, width: Width, reg: u8, rm: Rm) {
        self.second(width, 0x40 | flag as u8, reg, rm);
    }

    /// `bt rm, reg`; the operand is a register, for in memory it would reach beyond.
    pub(crate) fn bt(&mut self, width: Width, a: u8, bit: u8) {
        self.second(width, 0xa3, bit, Rm::Reg(a));
    }

    /// `bt rm, imm`
    pub(crate) fn bt_imm(&mut self, width: Width, a: u8, bit: u8) {
        let head =
            Head { prefix: 0, map: 0x0f, opcode: 0xba, wide: wide(width), byte: false, byte_operand: false };
        let mut out = Encoder::start(head, 4, Rm::Reg(a));
        out.push(bit);
        self.finish(out);
    }

    /// `xchg reg, reg`
    pub(crate) fn swap(&mut self, a: u8, b: u8) {
        let (a, b) = if b == reg::RAX { (b, a) } else { (a, b) };
        if a == reg::RAX {
            return self.bytes.extend_from_slice(&[0x48 | b >> 3, 0x90 | b & 7]);
        }
        self.plain(Width::W64, 0x87, a, Rm::Reg(b));
    }

    pub(crate) fn push(&mut self, reg: u8) {
        if reg >= 8 {
            self.bytes.push(0x41);
        }
        self.bytes.push(0x50 | reg & 7);
    }

    /// `push imm`
    pub(crate) fn push_imm(&mut self, imm: i32) {
        match i8::try_from(imm) {
            Ok(imm) => self.bytes.extend_from_slice(&[0x6a, imm as u8]),
            Err(_) => {
                self.bytes.push(0x68);
                self.bytes.extend_from_slice(&imm.to_le_bytes());
            }
        }
    }

    /// `push [mem]`
    pub(crate) fn push_mem(&mut self, mem: Mem) {
        self.plain(Width::W32, 0xff, 6, Rm::Mem(mem));
    }

    pub(crate) fn pop(&mut self, reg: u8) {
        if reg >= 8 {
            self.bytes.push(0x41);
        }
        self.bytes.push(0x58 | reg & 7);
    }

    pub(crate) fn ret(&mut self) {
        self.bytes.push(0xc3);
    }

    /// `jmp reg`
    pub(crate) fn jump_to(&mut self, reg: u8) {
        self.plain(Width::W32, 0xff, 4, Rm::Reg(reg));
    }

    /// `call rm`
    pub(crate) fn call(&mut self, rm: Rm) {
        self.plain(Width::W32, 0xff, 2, rm);
    }

    /// `rep stosq`: rcx words of rax to rdi.
    pub(crate) fn fill(&mut self) {
        self.bytes.extend_from_slice(&[0xf3, 0x48, 0xab]);
    }
}
