//! Vector instructions, of 16, 32 or 64 bytes: one way of saying them for three ways of encoding them.
//!
//! ```text
//! Sse     66 0F EF /r             pxor   xmm0, xmm1
//! Avx     C4 .. 66.0F.WIG EF /r   vpxor  ymm0, ymm0, ymm1
//! Wide    62 .. 66.0F.W1  EF /r   vpxorq zmm0, zmm0, zmm1
//! ```
//!
//! Only the first sixteen vectors are named, so that some bits of the long forms are always the same.

use dynasmrt::DynasmApi;

use super::bulk::Assembler;

/// Which vectors there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// 16 bytes; an operation changes its first operand.
    Sse,
    /// 32 bytes.
    Avx,
    /// 64 bytes, with masks.
    Wide,
}

impl Shape {
    pub(super) const fn bytes(self) -> i32 {
        match self {
            Shape::Sse => 16,
            Shape::Avx => 32,
            Shape::Wide => 64,
        }
    }
}

/// An operand: a vector, or memory at a register and a displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Vector(u8),
    Memory(u8, i32),
}

/// How long an instruction's vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Of 16 bytes, in whatever encoding goes with the others.
    Short,
    /// As long as they are here.
    Full,
}

/// An operation's place in the opcode maps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    /// 0: none, 1: `66`, 2: `F3`, 3: `F2`.
    prefix: u8,
    /// 1: `0F`, 2: `0F 38`, 3: `0F 3A`.
    map: u8,
    opcode: u8,
    /// The bit that chooses between operands of 32 and 64 bits, where vectors are wide.
    wide: bool,
}

const fn code(prefix: u8, map: u8, opcode: u8, wide: bool) -> Code {
    Code { prefix, map, opcode, wide }
}

pub(super) const XOR: Code = code(1, 1, 0xef, true);
pub(super) const AND: Code = code(1, 1, 0xdb, true);
pub(super) const OR: Code = code(1, 1, 0xeb, true);
pub(super) const ADD_B: Code = code(1, 1, 0xfc, false);
pub(super) const ADD_H: Code = code(1, 1, 0xfd, false);
pub(super) const ADD_W: Code = code(1, 1, 0xfe, false);
pub(super) const ADD_DW: Code = code(1, 1, 0xd4, true);
/// Bytes become words, with those of another in the upper halves: of the first and the last eight of every sixteen.
pub(super) const LOW_WORDS: Code = code(1, 1, 0x60, false);
pub(super) const HIGH_WORDS: Code = code(1, 1, 0x68, false);
/// Products of words, two of them added up.
pub(super) const PRODUCTS: Code = code(1, 1, 0xf5, false);
/// Sums of eight bytes each.
pub(super) const SUM_BYTES: Code = code(1, 1, 0xf6, false);
const LOAD: Code = code(2, 1, 0x6f, true);
const STORE: Code = code(2, 1, 0x7f, true);
/// The same of bytes, for masks.
const LOAD_BYTES: Code = code(3, 1, 0x6f, false);
const STORE_BYTES: Code = code(3, 1, 0x7f, false);
const COPY: Code = code(1, 1, 0x6f, true);
const FROM_GENERAL: Code = code(1, 1, 0x6e, true);
const TO_GENERAL: Code = code(1, 1, 0x7e, true);
const LOAD_8: Code = code(2, 1, 0x7e, false);
const STORE_8: Code = code(1, 1, 0xd6, true);
const SHIFT_WORDS: Code = code(1, 1, 0x71, false);
const SHIFT_QUADS: Code = code(1, 1, 0x73, true);
const BROADCAST: Code = code(1, 2, 0x59, true);
const DOUBLE: Code = code(1, 1, 0x6c, true);
const SHUFFLE: Code = code(1, 1, 0x70, false);
const UPPER_32: Code = code(1, 3, 0x3b, true);
const UPPER_16: Code = code(1, 3, 0x39, false);

/// Writes vector instructions.
pub(super) struct Vectors<'a> {
    pub(super) asm: &'a mut Assembler,
    pub(super) shape: Shape,
}

impl Vectors<'_> {
    fn push(&mut self, byte: u8) {
        self.asm.push(byte);
    }

    /// An instruction: `reg` and `at` are its operands in the encoding's terms, `first` the one that only long forms name.
    fn instruction(
        &mut self,
        code: Code,
        length: Length,
        reg: u8,
        first: Option<u8>,
        at: At,
        mask: Option<bool>,
    ) {
        let base = match at {
            At::Vector(vector) => vector,
            At::Memory(base, _) => base,
        };
        let (r, b) = (u8::from(reg < 8) << 7, u8::from(base < 8) << 5);
        let v = !first.unwrap_or(0) & 15;
        let full = length == Length::Full;
        match self.shape {
            Shape::Sse => {
                match code.prefix {
                    1 => self.push(0x66),
                    2 => self.push(0xf3),
                    3 => self.push(0xf2),
                    _ => {}
                }
                let w = matches!(code.opcode, 0x6e | 0x7e) && code.prefix == 1 && code.wide;
                let rex = u8::from(w) << 3 | u8::from(reg >= 8) << 2 | u8::from(base >= 8);
                if rex != 0 {
                    self.push(0x40 | rex);
                }
                self.push(0x0f);
                match code.map {
                    2 => self.push(0x38),
                    3 => self.push(0x3a),
                    _ => {}
                }
            }
            Shape::Wide if full => {
                self.push(0x62);
                self.push(r | 1 << 6 | b | 1 << 4 | code.map);
                self.push(u8::from(code.wide) << 7 | v << 3 | 1 << 2 | code.prefix);
                let (zeros, mask) = (mask == Some(true), mask.is_some());
                self.push(u8::from(zeros) << 7 | 2 << 5 | 1 << 3 | u8::from(mask));
            }
            Shape::Avx | Shape::Wide => {
                // The bit for general registers is the only one that matters here.
                let w = u8::from(code.wide && matches!(code.opcode, 0x6e | 0x7e) && code.prefix == 1);
                self.push(0xc4);
                self.push(r | 1 << 6 | b | code.map);
                self.push(w << 7 | v << 3 | u8::from(full) << 2 | code.prefix);
            }
        }
        self.push(code.opcode);
        let reg = (reg & 7) << 3;
        match at {
            At::Vector(vector) => self.push(0xc0 | reg | vector & 7),
            At::Memory(base, disp) => {
                debug_assert!(base & 7 != 4, "which takes another byte");
                // Short displacements of wide vectors count vectors.
                let unit = if self.shape == Shape::Wide && full { 64 } else { 1 };
                match i8::try_from(disp / unit) {
                    Ok(0) if disp == 0 && base & 7 != 5 => self.push(reg | base & 7),
                    Ok(short) if disp % unit == 0 => {
                        self.push(0x40 | reg | base & 7);
                        self.push(short as u8);
                    }
                    _ => {
                        self.push(0x80 | reg | base & 7);
                        disp.to_le_bytes().into_iter().for_each(|byte| self.push(byte));
                    }
                }
            }
        }
    }

    /// `dst = op(a, b)`; where the first operand is changed, `dst` must not be `b`.
    pub(super) fn op(&mut self, code: Code, dst: u8, a: u8, b: u8) {
        if self.shape != Shape::Sse {
            return self.instruction(code, Length::Full, dst, Some(a), At::Vector(b), None);
        }
        if dst != a {
            self.instruction(COPY, Length::Full, dst, None, At::Vector(a), None);
        }
        self.instruction(code, Length::Full, dst, None, At::Vector(b), None);
    }

    pub(super) fn load(&mut self, dst: u8, base: u8, disp: i32) {
        self.instruction(LOAD, Length::Full, dst, None, At::Memory(base, disp), None);
    }

    pub(super) fn store(&mut self, src: u8, base: u8, disp: i32) {
        self.instruction(STORE, Length::Full, src, None, At::Memory(base, disp), None);
    }

    /// Loads the bytes of the mask, and zeros besides.
    pub(super) fn load_masked(&mut self, dst: u8, base: u8) {
        self.instruction(LOAD_BYTES, Length::Full, dst, None, At::Memory(base, 0), Some(true));
    }

    /// Stores the bytes of the mask.
    pub(super) fn store_masked(&mut self, src: u8, base: u8) {
        self.instruction(STORE_BYTES, Length::Full, src, None, At::Memory(base, 0), Some(false));
    }

    /// The mask is the low bits of a general register.
    pub(super) fn set_mask(&mut self, from: u8) {
        // kmovq k1, from
        [0xc4, 0xe1 & !(u8::from(from >= 8) << 5), 0xfb, 0x92, 0xc8 | from & 7]
            .into_iter()
            .for_each(|byte| self.push(byte));
    }

    /// Shifts every two bytes to the right.
    pub(super) fn shift_words(&mut self, dst: u8, src: u8, by: u8) {
        self.shift(SHIFT_WORDS, dst, src, by);
    }

    /// Shifts every eight bytes to the right.
    pub(super) fn shift_quads(&mut self, dst: u8, src: u8, by: u8) {
        self.shift(SHIFT_QUADS, dst, src, by);
    }

    fn shift(&mut self, code: Code, dst: u8, src: u8, by: u8) {
        // The operation is number 2 of its opcode.
        if self.shape == Shape::Sse {
            if dst != src {
                self.instruction(COPY, Length::Full, dst, None, At::Vector(src), None);
            }
            self.instruction(code, Length::Full, 2, None, At::Vector(dst), None);
        } else {
            self.instruction(code, Length::Full, 2, Some(dst), At::Vector(src), None);
        }
        self.push(by);
    }

    pub(super) fn zero(&mut self, dst: u8) {
        self.op(XOR, dst, dst, dst);
    }

    /// Every eight bytes become those of a general register.
    pub(super) fn broadcast(&mut self, dst: u8, from: u8) {
        self.instruction(FROM_GENERAL, Length::Short, dst, None, At::Vector(from), None);
        match self.shape {
            Shape::Sse => self.instruction(DOUBLE, Length::Full, dst, None, At::Vector(dst), None),
            Shape::Avx | Shape::Wide => {
                self.instruction(BROADCAST, Length::Full, dst, None, At::Vector(dst), None)
            }
        }
    }

    /// A general register becomes the sum of all eight bytes of a vector, which it uses up, and another.
    pub(super) fn total(&mut self, to: u8, vector: u8, other: u8) {
        if self.shape == Shape::Wide {
            // vextracti64x4 other, vector, 1
            self.instruction(UPPER_32, Length::Full, vector, None, At::Vector(other), None);
            self.push(1);
        }
        if self.shape == Shape::Wide {
            self.halves(ADD_DW, vector, other, true);
        }
        if self.shape != Shape::Sse {
            // vextracti128 other, vector, 1
            self.half_instruction(UPPER_16, vector, other);
            self.push(1);
            self.halves(ADD_DW, vector, other, false);
        }
        // pshufd other, vector, 0xee
        self.instruction(SHUFFLE, Length::Short, other, None, At::Vector(vector), None);
        self.push(0xee);
        self.halves(ADD_DW, vector, other, false);
        self.instruction(TO_GENERAL, Length::Short, vector, None, At::Vector(to), None);
    }

    /// `vector += other` of 32 or 16 bytes.
    fn halves(&mut self, code: Code, vector: u8, other: u8, double: bool) {
        match (self.shape, double) {
            (Shape::Sse, _) => self.instruction(code, Length::Short, vector, None, At::Vector(other), None),
            (_, false) => {
                self.instruction(code, Length::Short, vector, Some(vector), At::Vector(other), None)
            }
            (_, true) => {
                let shape = std::mem::replace(&mut self.shape, Shape::Avx);
                self.instruction(code, Length::Full, vector, Some(vector), At::Vector(other), None);
                self.shape = shape;
            }
        }
    }

    fn half_instruction(&mut self, code: Code, reg: u8, at: u8) {
        let shape = std::mem::replace(&mut self.shape, Shape::Avx);
        self.instruction(code, Length::Full, reg, None, At::Vector(at), None);
        self.shape = shape;
    }

    /// Loads 8 or 4 bytes, and zeros above.
    pub(super) fn load_part(&mut self, dst: u8, base: u8, bytes: u8) {
        let code = if bytes == 8 { LOAD_8 } else { Code { wide: false, ..FROM_GENERAL } };
        self.instruction(code, Length::Short, dst, None, At::Memory(base, 0), None);
    }

    /// Stores 8 or 4 bytes.
    pub(super) fn store_part(&mut self, src: u8, base: u8, bytes: u8) {
        let code = if bytes == 8 { STORE_8 } else { Code { wide: false, ..TO_GENERAL } };
        self.instruction(code, Length::Short, src, None, At::Memory(base, 0), None);
    }

    /// Loads, or stores, 16 bytes.
    pub(super) fn load_16(&mut self, dst: u8, base: u8) {
        self.instruction(LOAD, Length::Short, dst, None, At::Memory(base, 0), None);
    }

    pub(super) fn store_16(&mut self, src: u8, base: u8) {
        self.instruction(STORE, Length::Short, src, None, At::Memory(base, 0), None);
    }

    /// The low four bytes are those of a general register, above are zeros.
    pub(super) fn take(&mut self, dst: u8, from: u8) {
        self.instruction(
            Code { wide: false, ..FROM_GENERAL },
            Length::Short,
            dst,
            None,
            At::Vector(from),
            None,
        );
    }

    /// A general register becomes the low four bytes.
    pub(super) fn give(&mut self, to: u8, src: u8) {
        self.instruction(Code { wide: false, ..TO_GENERAL }, Length::Short, src, None, At::Vector(to), None);
    }

    /// What is done last, so that what follows does not wait for upper halves.
    pub(super) fn leave(&mut self) {
        if self.shape != Shape::Sse {
            // vzeroupper
            [0xc5, 0xf8, 0x77].into_iter().for_each(|byte| self.push(byte));
        }
    }
}
