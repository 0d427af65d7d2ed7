//! The operation tables: one row per operation, and everything about it on its row.
//!
//! A row holds the documentation, the name, the encoding, the symbol of the text form and the
//! meaning. The decoder, the encoder, the printer, the parser, both interpreters, the tests of
//! the JIT and `docs/isa.md` read the rows; nobody else spells an opcode. The meaning is written
//! once, over `U` (the unsigned word), `I` (the signed word) and `BITS`, and is expanded for 32
//! and for 64 bits.
//!
//! ```
//! use sandbpf_isa::{AluOp, Cond};
//! assert_eq!(AluOp::Div.eval64(7, 0), 0);
//! assert_eq!(AluOp::Arsh.eval32(0x8000_0000, 33), 0xc000_0000);
//! assert_eq!(AluOp::Mod.symbol(), "%=");
//! assert!(Cond::Slt.eval64(u64::MAX, 0));
//! ```

use crate::Reg;

/// Calls `$then!` with every two-operand arithmetic operation.
///
/// `Div (0x3, 0) "/=" |a, b| …;` reads: operation code 3 in the upper half of the opcode byte,
/// offset field 0, printed as `dst /= src`, and leaves the value on the right in `dst`.
#[macro_export]
macro_rules! for_each_alu_op {
    ($then:ident) => {
        $then! {
            /// Wrapping addition.
            Add    (0x0, 0)  "+="   |a, b| a.wrapping_add(b);
            /// Wrapping subtraction.
            Sub    (0x1, 0)  "-="   |a, b| a.wrapping_sub(b);
            /// Wrapping multiplication.
            Mul    (0x2, 0)  "*="   |a, b| a.wrapping_mul(b);
            /// Unsigned division; dividing by zero gives zero.
            Div    (0x3, 0)  "/="   |a, b| a.checked_div(b).unwrap_or(0);
            /// Signed division; dividing by zero gives zero, `MIN / -1` gives `MIN`.
            Sdiv   (0x3, 1)  "s/="  |a, b| if b == 0 { 0 } else { (a as I).wrapping_div(b as I) as U };
            /// Bitwise or.
            Or     (0x4, 0)  "|="   |a, b| a | b;
            /// Bitwise and.
            And    (0x5, 0)  "&="   |a, b| a & b;
            /// Left shift by `b` modulo the width.
            Lsh    (0x6, 0)  "<<="  |a, b| a << (b & (BITS - 1));
            /// Logical right shift by `b` modulo the width.
            Rsh    (0x7, 0)  ">>="  |a, b| a >> (b & (BITS - 1));
            /// Unsigned remainder; modulo zero leaves `a`.
            Mod    (0x9, 0)  "%="   |a, b| a.checked_rem(b).unwrap_or(a);
            /// Signed remainder; modulo zero leaves `a`, `MIN % -1` gives zero.
            Smod   (0x9, 1)  "s%="  |a, b| if b == 0 { a } else { (a as I).wrapping_rem(b as I) as U };
            /// Bitwise exclusive or.
            Xor    (0xa, 0)  "^="   |a, b| a ^ b;
            /// Copy.
            Mov    (0xb, 0)  "="    |_a, b| b;
            /// Copy of the low 8 bits, sign extended; the source is a register.
            Movs8  (0xb, 8)  "= (s8)"  |_a, b| b as i8 as I as U;
            /// Copy of the low 16 bits, sign extended; the source is a register.
            Movs16 (0xb, 16) "= (s16)" |_a, b| b as i16 as I as U;
            /// Copy of the low 32 bits, sign extended; 64 bits wide only, the source is a register.
            Movs32 (0xb, 32) "= (s32)" |_a, b| b as i32 as I as U;
            /// Arithmetic right shift by `b` modulo the width.
            Arsh   (0xc, 0)  "s>>=" |a, b| ((a as I) >> (b & (BITS - 1))) as U;
        }
    };
}

/// Calls `$then!` with every condition of a branch: name, operation code, symbol, meaning.
#[macro_export]
macro_rules! for_each_cond {
    ($then:ident) => {
        $then! {
            /// Equal.
            Eq  (0x1) "=="  |a, b| a == b;
            /// Unsigned greater.
            Gt  (0x2) ">"   |a, b| a > b;
            /// Unsigned greater or equal.
            Ge  (0x3) ">="  |a, b| a >= b;
            /// Some bit of `b` is set in `a`.
            Set (0x4) "&"   |a, b| a & b != 0;
            /// Not equal.
            Ne  (0x5) "!="  |a, b| a != b;
            /// Signed greater.
            Sgt (0x6) "s>"  |a, b| a as I > b as I;
            /// Signed greater or equal.
            Sge (0x7) "s>=" |a, b| a as I >= b as I;
            /// Unsigned less.
            Lt  (0xa) "<"   |a, b| a < b;
            /// Unsigned less or equal.
            Le  (0xb) "<="  |a, b| a <= b;
            /// Signed less.
            Slt (0xc) "s<"  |a, b| (a as I) < b as I;
            /// Signed less or equal.
            Sle (0xd) "s<=" |a, b| a as I <= b as I;
        }
    };
}

/// Calls `$then!` with every one-operand operation.
///
/// `Be16 (Alu, Reg, 0xd, 16) "be16" |a| …;` reads: class ALU (32 bits), source bit set, operation
/// code 13, immediate 16. The value replaces all 64 bits of the register.
#[macro_export]
macro_rules! for_each_unary_op {
    ($then:ident) => {
        $then! {
            /// Two's complement negation.
            Neg64  (Alu64, Imm, 0x8, 0)  "-"      |a| a.wrapping_neg();
            /// Two's complement negation of the low 32 bits; the upper 32 become zero.
            Neg32  (Alu,   Imm, 0x8, 0)  "-"      |a| (a as u32).wrapping_neg() as u64;
            /// The low 16 bits, as little-endian; the rest becomes zero.
            Le16   (Alu,   Imm, 0xd, 16) "le16"   |a| a as u16 as u64;
            /// The low 32 bits, as little-endian; the rest becomes zero.
            Le32   (Alu,   Imm, 0xd, 32) "le32"   |a| a as u32 as u64;
            /// All 64 bits, as little-endian: no change.
            Le64   (Alu,   Imm, 0xd, 64) "le64"   |a| a;
            /// The low 16 bits, as big-endian; the rest becomes zero.
            Be16   (Alu,   Reg, 0xd, 16) "be16"   |a| (a as u16).swap_bytes() as u64;
            /// The low 32 bits, as big-endian; the rest becomes zero.
            Be32   (Alu,   Reg, 0xd, 32) "be32"   |a| (a as u32).swap_bytes() as u64;
            /// All 64 bits, as big-endian.
            Be64   (Alu,   Reg, 0xd, 64) "be64"   |a| a.swap_bytes();
            /// The low 16 bits with their bytes reversed; the rest becomes zero.
            Swap16 (Alu64, Imm, 0xd, 16) "bswap16" |a| (a as u16).swap_bytes() as u64;
            /// The low 32 bits with their bytes reversed; the rest becomes zero.
            Swap32 (Alu64, Imm, 0xd, 32) "bswap32" |a| (a as u32).swap_bytes() as u64;
            /// All 64 bits with their bytes reversed.
            Swap64 (Alu64, Imm, 0xd, 64) "bswap64" |a| a.swap_bytes();
        }
    };
}

/// Calls `$then!` with every atomic operation.
///
/// `FetchAdd (0x01) "atomic_fetch_add" |m, r| …;` reads: immediate 1, and memory that holds `m`
/// holds the value on the right afterwards. What happens to registers follows from the group:
/// see [`AtomicOp::fetches`].
#[macro_export]
macro_rules! for_each_atomic_op {
    ($then:ident) => {
        $then! {
            /// Adds the register to memory.
            Add          (0x00)  "+="               |m, r, _r0| m.wrapping_add(r);
            /// Adds the register to memory; the register gets what memory held.
            FetchAdd     (0x01)  "atomic_fetch_add" |m, r, _r0| m.wrapping_add(r);
            /// Ors the register into memory.
            Or           (0x40)  "|="               |m, r, _r0| m | r;
            /// Ors the register into memory; the register gets what memory held.
            FetchOr      (0x41)  "atomic_fetch_or"  |m, r, _r0| m | r;
            /// Ands the register into memory.
            And          (0x50)  "&="               |m, r, _r0| m & r;
            /// Ands the register into memory; the register gets what memory held.
            FetchAnd     (0x51)  "atomic_fetch_and" |m, r, _r0| m & r;
            /// Xors the register into memory.
            Xor          (0xa0)  "^="               |m, r, _r0| m ^ r;
            /// Xors the register into memory; the register gets what memory held.
            FetchXor     (0xa1)  "atomic_fetch_xor" |m, r, _r0| m ^ r;
            /// Exchanges the register with memory.
            Xchg         (0xe1)  "xchg"             |_m, r, _r0| r;
            /// Stores the register if memory equals `r0`; `r0` gets what memory held.
            Cmpxchg      (0xf1)  "cmpxchg"          |m, r, r0| if m == r0 { r } else { m };
            /// Loads the register from memory; later accesses stay later. Any size.
            LoadAcquire  (0x100) "load_acquire"     |m, _r, _r0| m;
            /// Stores the register to memory; earlier accesses stay earlier. Any size.
            StoreRelease (0x110) "store_release"    |_m, r, _r0| r;
        }
    };
}

macro_rules! define_alu_op {
    ($( $(#[doc = $doc:literal])* $Op:ident ($code:literal, $off:literal) $sym:literal |$a:ident, $b:ident| $meaning:expr; )*) => {
        /// A two-operand arithmetic operation (RFC 9669 §4.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AluOp { $( $(#[doc = $doc])* $Op, )* }
        impl AluOp {
            /// Every operation, in table order.
            pub const ALL: &'static [AluOp] = &[$(AluOp::$Op),*];
            /// The operation code (upper four bits of the opcode byte) and the offset field.
            pub const fn encoding(self) -> (u8, i16) { match self { $(AluOp::$Op => ($code, $off)),* } }
            /// The operation with this operation code and offset field.
            pub const fn decode(code: u8, off: i16) -> Option<AluOp> {
                match (code, off) { $(($code, $off) => Some(AluOp::$Op),)* _ => None }
            }
            /// How it stands between destination and source in text.
            pub const fn symbol(self) -> &'static str { match self { $(AluOp::$Op => $sym),* } }
            /// What it does, in a sentence.
            pub const fn doc(self) -> &'static str { match self { $(AluOp::$Op => concat!($($doc),*)),* } }
            /// The meaning as written in the table.
            pub const fn formula(self) -> &'static str { match self { $(AluOp::$Op => stringify!($meaning)),* } }
            /// The result on 64 bits.
            #[inline(always)]
            pub fn eval64(self, a: u64, b: u64) -> u64 {
                type U = u64; type I = i64; const BITS: U = 64;
                let _ = (0 as I, BITS);
                match self { $(AluOp::$Op => { let ($a, $b): (U, U) = (a, b); $meaning }),* }
            }
            /// The result on 32 bits; writing it to a register clears the upper 32.
            #[inline(always)]
            pub fn eval32(self, a: u32, b: u32) -> u32 {
                type U = u32; type I = i32; const BITS: U = 32;
                let _ = (0 as I, BITS);
                match self { $(AluOp::$Op => { let ($a, $b): (U, U) = (a, b); $meaning }),* }
            }
        }
    };
}

for_each_alu_op!(define_alu_op);

impl AluOp {
    /// Whether the source must be a register: the sign-extending copies have no immediate form.
    pub const fn register_only(self) -> bool {
        matches!(self, AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32)
    }

    /// Whether the operation exists at this width.
    pub const fn has_width(self, width: Width) -> bool {
        !matches!((self, width), (AluOp::Movs32, Width::W32))
    }

    /// Whether the old value of the destination matters.
    pub const fn reads_dst(self) -> bool {
        !matches!(self, AluOp::Mov | AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32)
    }

    /// The result on a register of `width`: 32-bit results are zero-extended.
    #[inline(always)]
    pub fn eval(self, width: Width, a: u64, b: u64) -> u64 {
        match width {
            Width::W64 => self.eval64(a, b),
            Width::W32 => u64::from(self.eval32(a as u32, b as u32)),
        }
    }
}

macro_rules! define_cond {
    ($( $(#[doc = $doc:literal])* $Cond:ident ($code:literal) $sym:literal |$a:ident, $b:ident| $meaning:expr; )*) => {
        /// The condition of a branch (RFC 9669 §4.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cond { $( $(#[doc = $doc])* $Cond, )* }
        impl Cond {
            /// Every condition, in table order.
            pub const ALL: &'static [Cond] = &[$(Cond::$Cond),*];
            /// The operation code: the upper four bits of the opcode byte.
            pub const fn encoding(self) -> u8 { match self { $(Cond::$Cond => $code),* } }
            /// The condition with this operation code.
            pub const fn decode(code: u8) -> Option<Cond> { match code { $($code => Some(Cond::$Cond),)* _ => None } }
            /// How it stands between its operands in text.
            pub const fn symbol(self) -> &'static str { match self { $(Cond::$Cond => $sym),* } }
            /// What it tests, in a few words.
            pub const fn doc(self) -> &'static str { match self { $(Cond::$Cond => concat!($($doc),*)),* } }
            /// The meaning as written in the table.
            pub const fn formula(self) -> &'static str { match self { $(Cond::$Cond => stringify!($meaning)),* } }
            /// Whether it holds of 64-bit operands.
            #[inline(always)]
            pub fn eval64(self, a: u64, b: u64) -> bool {
                type I = i64;
                let _ = 0 as I;
                match self { $(Cond::$Cond => { let ($a, $b): (u64, u64) = (a, b); $meaning }),* }
            }
            /// Whether it holds of 32-bit operands.
            #[inline(always)]
            pub fn eval32(self, a: u32, b: u32) -> bool {
                type I = i32;
                let _ = 0 as I;
                match self { $(Cond::$Cond => { let ($a, $b): (u32, u32) = (a, b); $meaning }),* }
            }
        }
    };
}
for_each_cond!(define_cond);

impl Cond {
    /// Whether it holds of the low `width` bits of two registers.
    #[inline(always)]
    pub fn eval(self, width: Width, a: u64, b: u64) -> bool {
        match width {
            Width::W64 => self.eval64(a, b),
            Width::W32 => self.eval32(a as u32, b as u32),
        }
    }

    /// The condition that holds where this one does not; there is none for [`Cond::Set`].
    ///
    /// ```
    /// use sandbpf_isa::Cond;
    /// let holds = |cond: Cond| cond.eval64(3, u64::MAX);
    /// assert!(Cond::ALL.iter().all(|cond| cond.opposite().is_none_or(|other| holds(other) != holds(*cond))));
    /// ```
    pub const fn opposite(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Gt => Cond::Le,
            Cond::Le => Cond::Gt,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Sgt => Cond::Sle,
            Cond::Sle => Cond::Sgt,
            Cond::Sge => Cond::Slt,
            Cond::Slt => Cond::Sge,
            Cond::Set => return None,
        })
    }
}

macro_rules! define_unary_op {
    ($( $(#[doc = $doc:literal])* $Op:ident ($class:ident, $src:ident, $code:literal, $imm:literal) $sym:literal |$a:ident| $meaning:expr; )*) => {
        /// A one-operand operation: negation and byte order (RFC 9669 §4.1, §4.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum UnaryOp { $( $(#[doc = $doc])* $Op, )* }
        impl UnaryOp {
            /// Every operation, in table order.
            pub const ALL: &'static [UnaryOp] = &[$(UnaryOp::$Op),*];
            /// Class, source bit, operation code and immediate.
            pub const fn encoding(self) -> (Class, Source, u8, i32) {
                match self { $(UnaryOp::$Op => (Class::$class, Source::$src, $code, $imm)),* }
            }
            /// How it stands before its operand in text.
            pub const fn symbol(self) -> &'static str { match self { $(UnaryOp::$Op => $sym),* } }
            /// What it does, in a sentence.
            pub const fn doc(self) -> &'static str { match self { $(UnaryOp::$Op => concat!($($doc),*)),* } }
            /// The meaning as written in the table.
            pub const fn formula(self) -> &'static str { match self { $(UnaryOp::$Op => stringify!($meaning)),* } }
            /// The value that replaces `a`.
            #[inline(always)]
            pub fn eval(self, a: u64) -> u64 { match self { $(UnaryOp::$Op => { let $a = a; $meaning }),* } }
        }
    };
}
for_each_unary_op!(define_unary_op);

impl UnaryOp {
    /// The operation with this class, source bit, operation code and immediate.
    pub fn decode(class: Class, source: Source, code: u8, imm: i32) -> Option<UnaryOp> {
        Self::ALL.iter().copied().find(|op| op.encoding() == (class, source, code, imm))
    }
}

macro_rules! define_atomic_op {
    ($( $(#[doc = $doc:literal])* $Op:ident ($imm:literal) $sym:literal |$m:ident, $r:ident, $r0:ident| $meaning:expr; )*) => {
        /// An atomic operation on memory (RFC 9669 §5.3, and acquire and release as in Linux 6.15).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AtomicOp { $( $(#[doc = $doc])* $Op, )* }
        impl AtomicOp {
            /// Every operation, in table order.
            pub const ALL: &'static [AtomicOp] = &[$(AtomicOp::$Op),*];
            /// The immediate that selects it.
            pub const fn encoding(self) -> i32 { match self { $(AtomicOp::$Op => $imm),* } }
            /// The operation with this immediate.
            pub const fn decode(imm: i32) -> Option<AtomicOp> { match imm { $($imm => Some(AtomicOp::$Op),)* _ => None } }
            /// Its name in text, or the symbol between memory and register.
            pub const fn symbol(self) -> &'static str { match self { $(AtomicOp::$Op => $sym),* } }
            /// What it does, in a sentence.
            pub const fn doc(self) -> &'static str { match self { $(AtomicOp::$Op => concat!($($doc),*)),* } }
            /// The meaning as written in the table.
            pub const fn formula(self) -> &'static str { match self { $(AtomicOp::$Op => stringify!($meaning)),* } }
            /// What memory that holds `m` holds afterwards; the caller cuts to the size of the access.
            #[inline(always)]
            pub fn eval(self, m: u64, r: u64, r0: u64) -> u64 {
                match self { $(AtomicOp::$Op => { let ($m, $r, $r0): (u64, u64, u64) = (m, r, r0); $meaning }),* }
            }
        }
    };
}
for_each_atomic_op!(define_atomic_op);

impl AtomicOp {
    /// The register that gets what memory held: `r0` for [`AtomicOp::Cmpxchg`], the operand for
    /// the others that fetch.
    pub const fn fetches(self, operand: Reg) -> Option<Reg> {
        match self {
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::StoreRelease => None,
            AtomicOp::Cmpxchg => Some(Reg::R0),
            AtomicOp::FetchAdd
            | AtomicOp::FetchOr
            | AtomicOp::FetchAnd
            | AtomicOp::FetchXor
            | AtomicOp::Xchg
            | AtomicOp::LoadAcquire => Some(operand),
        }
    }

    /// Whether the operation exists at this size: loads and stores at every size, the rest at 4
    /// and 8 bytes.
    pub const fn has_size(self, size: Size) -> bool {
        matches!(self, AtomicOp::LoadAcquire | AtomicOp::StoreRelease) || matches!(size, Size::W | Size::DW)
    }

    /// Whether memory may be changed.
    pub const fn writes(self) -> bool {
        !matches!(self, AtomicOp::LoadAcquire)
    }
}

/// The width of an operation, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The low 32 bits; a written register has zeros above.
    W32,
    /// All 64 bits.
    W64,
}

impl Width {
    /// 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Width::W32 => 32,
            Width::W64 => 64,
        }
    }

    /// What registers of this width are called in text: `w3` is the low half of `r3`.
    pub const fn letter(self) -> &'static str {
        match self {
            Width::W32 => "w",
            Width::W64 => "r",
        }
    }
}

/// The size of an access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// One byte.
    B,
    /// Two bytes.
    H,
    /// Four bytes.
    W,
    /// Eight bytes.
    DW,
}

impl Size {
    /// Every size, smallest first.
    pub const ALL: &'static [Size] = &[Size::B, Size::H, Size::W, Size::DW];

    /// 1, 2, 4 or 8.
    pub const fn bytes(self) -> u8 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::DW => 8,
        }
    }

    /// 8, 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }

    /// The size of this many bytes.
    pub const fn of_bytes(bytes: u64) -> Option<Size> {
        match bytes {
            1 => Some(Size::B),
            2 => Some(Size::H),
            4 => Some(Size::W),
            8 => Some(Size::DW),
            _ => None,
        }
    }

    /// The size bits of the opcode byte (RFC 9669 §5).
    pub const fn encoding(self) -> u8 {
        match self {
            Size::W => 0x00,
            Size::H => 0x08,
            Size::B => 0x10,
            Size::DW => 0x18,
        }
    }

    /// The size that the size bits of this opcode byte select.
    pub const fn decode(opcode: u8) -> Size {
        match opcode & 0x18 {
            0x00 => Size::W,
            0x08 => Size::H,
            0x10 => Size::B,
            _ => Size::DW,
        }
    }

    /// The low bytes of `value`, zero-extended.
    #[inline(always)]
    pub const fn truncate(self, value: u64) -> u64 {
        match self {
            Size::B => value as u8 as u64,
            Size::H => value as u16 as u64,
            Size::W => value as u32 as u64,
            Size::DW => value,
        }
    }

    /// The low bytes of `value`, sign-extended.
    #[inline(always)]
    pub const fn sign_extend(self, value: u64) -> u64 {
        match self {
            Size::B => value as i8 as u64,
            Size::H => value as i16 as u64,
            Size::W => value as i32 as u64,
            Size::DW => value,
        }
    }
}

/// The instruction class: the low three bits of the opcode byte (RFC 9669 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Wide immediates and packet loads.
    Ld = 0,
    /// Loads.
    Ldx = 1,
    /// Stores of immediates.
    St = 2,
    /// Stores of registers, and atomics.
    Stx = 3,
    /// 32-bit arithmetic.
    Alu = 4,
    /// 64-bit branches, calls and exit.
    Jmp = 5,
    /// 32-bit branches.
    Jmp32 = 6,
    /// 64-bit arithmetic.
    Alu64 = 7,
}

impl Class {
    /// The class of this opcode byte.
    pub const fn decode(opcode: u8) -> Class {
        match opcode & 7 {
            0 => Class::Ld,
            1 => Class::Ldx,
            2 => Class::St,
            3 => Class::Stx,
            4 => Class::Alu,
            5 => Class::Jmp,
            6 => Class::Jmp32,
            _ => Class::Alu64,
        }
    }
}

/// The source bit of arithmetic and branches (RFC 9669 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    /// The immediate.
    Imm = 0x0,
    /// The source register.
    Reg = 0x8,
}

impl Source {
    /// The source that this opcode byte selects.
    pub const fn decode(opcode: u8) -> Source {
        if opcode & 8 == 0 { Source::Imm } else { Source::Reg }
    }
}

/// Operation codes and modes that stand alone rather than in a family.
pub mod opcode {
    use super::{Class, Size};

    /// Jump always (`JMP`: offset field; `JMP32`: immediate).
    pub const JA: u8 = 0x00;
    /// Call.
    pub const CALL: u8 = 0x80;
    /// Return.
    pub const EXIT: u8 = 0x90;
    /// May-goto, Linux's bounded jump.
    pub const JCOND: u8 = 0xe0;
    /// Negation.
    pub const NEG: u8 = 0x80;
    /// Byte order.
    pub const END: u8 = 0xd0;
    /// Mode: 64-bit immediate.
    pub const IMM: u8 = 0x00;
    /// Mode: packet load at a fixed offset.
    pub const ABS: u8 = 0x20;
    /// Mode: packet load at a register's offset.
    pub const IND: u8 = 0x40;
    /// Mode: memory.
    pub const MEM: u8 = 0x60;
    /// Mode: memory, sign-extending load.
    pub const MEMSX: u8 = 0x80;
    /// Mode: atomic.
    pub const ATOMIC: u8 = 0xc0;
    /// The whole byte of a load of 64 bits, which takes two slots.
    pub const LOAD_IMM64: u8 = Class::Ld as u8 | IMM | Size::DW.encoding();
    /// The whole byte of a call of a helper, a function of the program or one of the kernel.
    pub const CALL_IMM: u8 = Class::Jmp as u8 | CALL;
    /// The whole byte of a return.
    pub const RETURN: u8 = Class::Jmp as u8 | EXIT;
    /// Offset field of a `mov` that casts between address spaces.
    pub const ADDR_SPACE_CAST: i16 = 1;
}

/// What the source register of a call or of a load of 64 bits says about its immediate (`BPF_PSEUDO_…`, RFC 9669 §5.4).
pub mod pseudo {
    /// A load of a map, by its descriptor.
    pub const MAP_FD: u8 = 1;
    /// A load of an address in a map's only value.
    pub const MAP_VALUE: u8 = 2;
    /// A load of the address of a kernel variable.
    pub const BTF_ID: u8 = 3;
    /// A load of the address of a function of the program.
    pub const FUNC: u8 = 4;
    /// A load of a map, by its place in the loader's list.
    pub const MAP_INDEX: u8 = 5;
    /// A load of an address in such a map's only value.
    pub const MAP_INDEX_VALUE: u8 = 6;
    /// A call of a function of the program.
    pub const CALL: u8 = 1;
    /// A call of a function of the kernel.
    pub const KFUNC_CALL: u8 = 2;
}
