//! What an opcode means: one row for each of the 49 opcodes of classic BPF.
//!
//! A row holds the opcode, its mnemonic, the form of its operand in text and its [`Shape`]: a formula
//! over the accumulator `A`, the index register `X` and sixteen words `M[]`. The check, the lowering,
//! the reference, the printers and the parsers read the rows; nobody else spells an opcode.
//!
//! ```
//! use sandbpf_classic::shape::{Register, Shape};
//! assert_eq!(Shape::of(0x80), Some(Shape::LoadLength(Register::A)));
//! assert_eq!(Shape::of(0x0e), None, "returning X was never implemented");
//! ```

use sandbpf_isa::{AluOp, Cond, Size};

/// How many words `M[]` has.
pub const MEMORY_WORDS: u32 = 16;

/// The meaning of an opcode. `k` is the constant of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `A = ntoh(packet[k : size])`, or what Linux keeps beside the packet.
    LoadAbsolute(Size),
    /// `A = ntoh(packet[X + k : size])`.
    LoadIndirect(Size),
    /// `X = 4 * (packet[k] & 0xf)`: the length of an IPv4 header.
    LoadHeaderLength,
    /// `A = k` or `X = k`.
    LoadConstant(Register),
    /// `A = M[k]` or `X = M[k]`.
    LoadMemory(Register),
    /// `A = length` or `X = length`.
    LoadLength(Register),
    /// `M[k] = A` or `M[k] = X`.
    Store(Register),
    /// `A = A op k` or `A = A op X`.
    Alu(AluOp, Source),
    /// `A = -A`.
    Negate,
    /// `goto k`, counted from the next instruction.
    Jump,
    /// `if A cond k` or `if A cond X`: skip `jt` instructions, otherwise `jf`.
    Branch(Cond, Source),
    /// `return k` or `return A`.
    Return(Answer),
    /// `X = A`.
    CopyToX,
    /// `A = X`.
    CopyToA,
}

/// A register of the classic machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The accumulator.
    A,
    /// The index register.
    X,
}

/// The right-hand side of arithmetic and comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The constant.
    K,
    /// The index register.
    X,
}

/// What a filter returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The constant.
    K,
    /// The accumulator.
    A,
}

/// The form of an operand in text. Which numbers are hexadecimal is libpcap's choice, opcode by opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operand {
    /// None at all.
    Nothing,
    /// `#10`
    Decimal,
    /// `#0xa`
    Hex,
    /// `[10]`, or a name of what Linux keeps beside the packet
    Absolute,
    /// `[x + 10]`
    Indirect,
    /// `4*([10]&0xf)`
    HeaderLength,
    /// `M[10]`
    Memory,
    /// `#pktlen`
    Length,
    /// Where an unconditional jump goes
    Target,
    /// `a`
    A,
    /// `x`
    X,
}

/// Everything about one opcode.
pub(crate) struct Row {
    pub(crate) code: u16,
    pub(crate) name: &'static str,
    pub(crate) operand: Operand,
    pub(crate) shape: Shape,
}

macro_rules! rows {
    ($( $code:literal $name:literal $operand:ident $shape:expr; )*) => {
        /// The opcodes, by number.
        pub(crate) static ROWS: &[Row] = {
            use sandbpf_isa::{AluOp::*, Cond::*, Size::*};
            use Register::A;
            use Shape::{
                Alu, Branch, CopyToA, CopyToX, Jump, LoadAbsolute, LoadConstant, LoadHeaderLength, LoadIndirect,
                LoadLength, LoadMemory, Negate, Return, Store,
            };
            use Source::{K, X};
            &[$( Row { code: $code, name: $name, operand: Operand::$operand, shape: $shape } ),*]
        };
    };
}

rows! {
    0x00 "ld"   Hex          LoadConstant(A);
    0x01 "ldx"  Hex          LoadConstant(Register::X);
    0x02 "st"   Memory       Store(A);
    0x03 "stx"  Memory       Store(Register::X);
    0x04 "add"  Decimal      Alu(Add, K);
    0x05 "ja"   Target       Jump;
    0x06 "ret"  Decimal      Return(Answer::K);
    0x07 "tax"  Nothing      CopyToX;
    0x0c "add"  X            Alu(Add, X);
    0x14 "sub"  Decimal      Alu(Sub, K);
    0x15 "jeq"  Hex          Branch(Eq, K);
    0x16 "ret"  A            Return(Answer::A);
    0x1c "sub"  X            Alu(Sub, X);
    0x1d "jeq"  X            Branch(Eq, X);
    0x20 "ld"   Absolute     LoadAbsolute(W);
    0x24 "mul"  Decimal      Alu(Mul, K);
    0x25 "jgt"  Hex          Branch(Gt, K);
    0x28 "ldh"  Absolute     LoadAbsolute(H);
    0x2c "mul"  X            Alu(Mul, X);
    0x2d "jgt"  X            Branch(Gt, X);
    0x30 "ldb"  Absolute     LoadAbsolute(B);
    0x34 "div"  Decimal      Alu(Div, K);
    0x35 "jge"  Hex          Branch(Ge, K);
    0x3c "div"  X            Alu(Div, X);
    0x3d "jge"  X            Branch(Ge, X);
    0x40 "ld"   Indirect     LoadIndirect(W);
    0x44 "or"   Hex          Alu(Or, K);
    0x45 "jset" Hex          Branch(Set, K);
    0x48 "ldh"  Indirect     LoadIndirect(H);
    0x4c "or"   X            Alu(Or, X);
    0x4d "jset" X            Branch(Set, X);
    0x50 "ldb"  Indirect     LoadIndirect(B);
    0x54 "and"  Hex          Alu(And, K);
    0x5c "and"  X            Alu(And, X);
    0x60 "ld"   Memory       LoadMemory(A);
    0x61 "ldx"  Memory       LoadMemory(Register::X);
    0x64 "lsh"  Decimal      Alu(Lsh, K);
    0x6c "lsh"  X            Alu(Lsh, X);
    0x74 "rsh"  Decimal      Alu(Rsh, K);
    0x7c "rsh"  X            Alu(Rsh, X);
    0x80 "ld"   Length       LoadLength(A);
    0x81 "ldx"  Length       LoadLength(Register::X);
    0x84 "neg"  Nothing      Negate;
    0x87 "txa"  Nothing      CopyToA;
    0x94 "mod"  Decimal      Alu(Mod, K);
    0x9c "mod"  X            Alu(Mod, X);
    0xa4 "xor"  Hex          Alu(Xor, K);
    0xac "xor"  X            Alu(Xor, X);
    0xb1 "ldxb" HeaderLength LoadHeaderLength;
}

/// For every byte, its row.
static INDEX: [Option<&Row>; 256] = {
    let mut index = [None; 256];
    let mut i = 0;
    while i < ROWS.len() {
        index[ROWS[i].code as usize] = Some(&ROWS[i]);
        i += 1;
    }
    index
};

impl Row {
    /// The row of this opcode.
    pub(crate) fn of(code: u16) -> Option<&'static Row> {
        *INDEX.get(usize::from(code))?
    }
}

impl Shape {
    /// What this opcode means, if it means something.
    pub fn of(code: u16) -> Option<Shape> {
        Row::of(code).map(|row| row.shape)
    }
}

/// What `bpf_asm` makes of `ret x`. Nothing accepts it.
pub(crate) const RETURN_X: u16 = 0x0e;

/// Whether the opcode is a jump with two targets, or would be if it existed.
pub(crate) const fn is_conditional(code: u16) -> bool {
    field::class(code) == field::JMP && field::operation(code) != field::JA
}

/// The fields of an opcode, for rules that look at classes of opcodes whether they exist or not.
pub(crate) mod field {
    /// Class: loads into `A`.
    pub(crate) const LD: u16 = 0;
    /// Class: loads into `X`.
    pub(crate) const LDX: u16 = 1;
    /// Class: stores of `A`.
    pub(crate) const ST: u16 = 2;
    /// Class: stores of `X`.
    pub(crate) const STX: u16 = 3;
    /// Class: arithmetic.
    pub(crate) const ALU: u16 = 4;
    /// Class: jumps.
    pub(crate) const JMP: u16 = 5;
    /// Class: returns.
    pub(crate) const RET: u16 = 6;

    /// Mode: `M[]`.
    pub(crate) const MEM: u16 = 0x60;
    /// The last mode there is, `MSH`.
    pub(crate) const LAST_MODE: u16 = 0xa0;

    /// Operation: division.
    pub(crate) const DIV: u16 = 0x30;
    /// Operation: remainder.
    pub(crate) const MOD: u16 = 0x90;
    /// The last operation of arithmetic, `XOR`.
    pub(crate) const LAST_ALU: u16 = 0xa0;
    /// Operation: the unconditional jump.
    pub(crate) const JA: u16 = 0x00;
    /// The last operation of jumps, `JSET`.
    pub(crate) const LAST_JMP: u16 = 0x40;

    /// What to do in general.
    pub(crate) const fn class(code: u16) -> u16 {
        code & 0x07
    }

    /// Where a load loads from.
    pub(crate) const fn mode(code: u16) -> u16 {
        code & 0xe0
    }

    /// What arithmetic or a jump does.
    pub(crate) const fn operation(code: u16) -> u16 {
        code & 0xf0
    }

    /// Whether the right-hand side is the constant.
    pub(crate) const fn is_constant(code: u16) -> bool {
        code & 0x08 == 0
    }
}
