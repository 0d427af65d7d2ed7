//! Instructions of x86-64 as bytes: the few forms that code of plans is made of.
//!
//! Which registers, and how far away, is known only when code is written, and the shortest form depends on it; so operands are
//! numbers here, and forms are chosen where they are encoded. Tests compare with the assembler that the rest of the
//! crate uses.

use sandbpf_isa::{Size, Width};

use super::machine::{Alu, Flag, Mem, Rm, Shift, Unary, Widen, reg};

/// Bytes of code.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

/// An instruction as it grows; none is longer than 15 bytes.
struct Buffer {
    bytes: [u8; 24],
    len: usize,
}

impl Buffer {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    fn imm32(&mut self, number: i32) {
        for byte in number.to_le_bytes() {
            self.push(byte);
        }
    }

    /// The operand, its register field `reg`, and `index` and `base` fields.
    #[inline]
    fn operand(&mut self, reg: u8, rm: Rm) {
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(number) => self.push(0xc0 | reg | number & 7),
            Rm::Mem(mem) => self.memory(reg, mem),
        }
    }

    #[inline]
    fn memory(&mut self, reg: u8, Mem { base, index, disp }: Mem) {
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
struct Head {
    /// `0x66`, `0xf2`, `0xf3`, or 0 for none.
    prefix: u8,
    /// Bytes before the opcode: 0 for none, `0x0f`, or `0x38` for `0f 38`.
    map: u8,
    opcode: u8,
    wide: bool,
    /// Whether the register is of one byte: some need a prefix then.
    byte: bool,
    /// Whether the operand is.
    byte_operand: bool,
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
        self.plain(width, (op as u8) << 3 | 3, reg, rm);
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
        self.plain(width, 0x8b, to, Rm::Reg(from));
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
        self.plain(Width::W64, 0x87, a, Rm::Reg(b));
    }

    pub(crate) fn push(&mut self, reg: u8) {
        if reg >= 8 {
            self.bytes.push(0x41);
        }
        self.bytes.push(0x50 | reg & 7);
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

    /// `call rm`
    pub(crate) fn call(&mut self, rm: Rm) {
        self.plain(Width::W32, 0xff, 2, rm);
    }

    /// An instruction with three operands: `map` 2 is `0f 38`, 3 is `0f 3a`; `prefix` 0 none, 1 `66`, 2 `f3`, 3 `f2`.
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
            Shift::Rol | Shift::Ror => unreachable!("rotations have no such form"),
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

    /// `rep stosq`: rcx words of rax to rdi.
    pub(crate) fn fill(&mut self) {
        self.bytes.extend_from_slice(&[0xf3, 0x48, 0xab]);
    }
}

impl Buffer {
    fn immediate(&mut self, size: Size, short: bool, imm: i32) {
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
