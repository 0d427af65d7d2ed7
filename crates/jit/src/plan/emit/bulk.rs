//! What is done many bytes at once.
//!
//! Code is told where in registers: `rdi` to, `rsi` from, `rcx` how many bytes (a multiple of the element's size, or 0), `rdx` the
//! number that is combined with elements, or that they become. It may change `rax`, `rcx`, `rdx`, `rsi`, `rdi`, `r8` to `r11`
//! and all vectors; a sum is in `rax` afterwards.
//!
//! ```text
//!         sub rcx, 64 ; jb rest
//! more:   vmovdqu64 zmm0, [rsi] ; vpxorq zmm0, zmm0, zmm4 ; vmovdqu64 [rdi], zmm0
//!         add rsi, 64 ; add rdi, 64 ; sub rcx, 64 ; jae more
//! rest:   add rcx, 64 ; jz done
//!         k1 = (1 << rcx) - 1 ; the same once more of the bytes in the mask
//! done:   vzeroupper
//! ```
//!
//! Without masks the rest is done in halves: 16, 8, 4, 2 bytes and one, each if the count has that bit. Where the range that
//! is written begins within the one that is read, elements depend on those before, and are done one by one.

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler, dynasm};
use sandbpf_isa::Size;

use super::features::Features;
use super::vectors::{self, Code, Shape, Vectors};
use crate::plan::graph::{Bulk, Lane};

/// Where the code goes. Its labels are its own.
pub(crate) type Assembler = VecAssembler<X64Relocation>;

/// What is done, with elements of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Copy(Size),
    Combine(Lane, Size),
    Apply(Lane, Size),
    Fill(Size),
    Sum { element: Size, swap: bool },
    Ramp,
}

impl Kind {
    /// What is done, but for where.
    pub(crate) fn of(what: &Bulk) -> Kind {
        match *what {
            Bulk::Copy { element, .. } => Kind::Copy(element),
            Bulk::Combine { op, element, .. } => Kind::Combine(op, element),
            Bulk::Apply { op, element, .. } => Kind::Apply(op, element),
            Bulk::Fill { element, .. } => Kind::Fill(element),
            Bulk::Sum { element, swap, .. } => Kind::Sum { element, swap },
            Bulk::Ramp { .. } => Kind::Ramp,
        }
    }

    /// The registers that it takes besides the count, by number.
    pub(crate) fn arguments(self) -> &'static [u8] {
        match self {
            Kind::Copy(_) | Kind::Combine(..) => &[TO, FROM],
            Kind::Apply(..) => &[TO, FROM, KEY],
            Kind::Fill(_) => &[TO, KEY],
            Kind::Sum { .. } | Kind::Ramp => &[FROM],
        }
    }

    fn element(self) -> Size {
        match self {
            Kind::Copy(element)
            | Kind::Combine(_, element)
            | Kind::Apply(_, element)
            | Kind::Fill(element) => element,
            Kind::Sum { element, .. } => element,
            Kind::Ramp => Size::B,
        }
    }
}

/// `rdi`, `rsi`, `rdx`, `rax`, `r8`.
const TO: u8 = 7;
const FROM: u8 = 6;
const KEY: u8 = 2;
const RAX: u8 = 0;
const R8: u8 = 8;
const R9: u8 = 9;
const R10: u8 = 10;

/// Vectors: what was read, another one, sums of elements and of their upper halves, the key, zeros.
const READ: u8 = 0;
const OTHER: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 3;
const NUMBER: u8 = 4;
const ZEROS: u8 = 5;
/// Of sums of sums besides: what upper halves add up to, how often bytes count, and the bytes of the second half.
const HALVES: u8 = 6;
const TIMES: [u8; 2] = [7, 8];
const SECOND: u8 = 9;

/// Writes the code.
pub(crate) fn bulk(asm: &mut Assembler, what: Kind, features: Features) {
    let shape = match features {
        Features { avx512: true, .. } => Shape::Wide,
        Features { avx2: true, .. } => Shape::Avx,
        _ => Shape::Sse,
    };
    let mut writer = Writer { vectors: Vectors { asm, shape }, what, element: what.element() };
    match what {
        Kind::Sum { swap, .. } => writer.sum(swap),
        Kind::Ramp => writer.ramp(),
        Kind::Copy(_) | Kind::Combine(..) | Kind::Apply(..) | Kind::Fill(_) => writer.map(),
    }
}

struct Writer<'a> {
    vectors: Vectors<'a>,
    what: Kind,
    element: Size,
}

impl Writer<'_> {
    fn reads(&self) -> bool {
        !matches!(self.what, Kind::Fill(_))
    }

    fn writes(&self) -> bool {
        !matches!(self.what, Kind::Sum { .. } | Kind::Ramp)
    }

    /// Writes to every element.
    fn map(&mut self) {
        if self.reads() {
            // Whether 0 < to - from < count.
            let asm = &mut *self.vectors.asm;
            dynasm!(asm
                ; .arch x64
                ; mov rax, rdi
                ; sub rax, rsi
                ; dec rax
                ; lea r8, [rcx - 1]
                ; cmp rax, r8
                ; jb >slow
            );
        }
        if let Kind::Apply(..) | Kind::Fill(_) = self.what {
            self.repeat();
            self.vectors.broadcast(NUMBER, KEY);
        }
        self.all();
        self.vectors.leave();
        if self.reads() {
            let asm = &mut *self.vectors.asm;
            dynasm!(asm ; .arch x64 ; jmp >end ; slow:);
            self.slow();
        }
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; end:);
    }

    /// Adds up elements.
    fn sum(&mut self, swap: bool) {
        self.vectors.zero(LOWER);
        if let Size::H | Size::W = self.element {
            self.vectors.zero(UPPER);
        }
        if let Size::B | Size::H = self.element {
            self.vectors.zero(ZEROS);
        }
        self.all();
        self.vectors.total(RAX, LOWER, OTHER);
        if let Size::H | Size::W = self.element {
            self.vectors.total(R8, UPPER, OTHER);
        }
        self.vectors.leave();
        let asm = &mut *self.vectors.asm;
        match (self.element, swap) {
            (Size::B | Size::DW, _) => {}
            // All bytes, and 255 times the upper ones more.
            (Size::H, false) => dynasm!(asm ; .arch x64 ; imul r8, r8, 255 ; add rax, r8),
            // 256 times all bytes, less 255 times the upper ones.
            (Size::H, true) => {
                dynasm!(asm ; .arch x64 ; shl rax, 8 ; imul r8, r8, 255 ; sub rax, r8);
            }
            // Both halves, where the upper ones are in the sum as 2³² times what they are.
            (Size::W, _) => {
                dynasm!(asm ; .arch x64 ; add rax, r8 ; shl r8, 32 ; sub rax, r8);
            }
        }
    }

    /// Adds up sums: of every vector, as often as it has bytes what was added up before, the first byte as often, the next once
    /// less, and so on; and of the rest one byte after the other.
    fn ramp(&mut self) {
        let bytes = self.vectors.shape.bytes();
        for vector in [LOWER, UPPER, NUMBER, ZEROS, HALVES] {
            self.vectors.zero(vector);
        }
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; lea rdx, [>times]);
        self.vectors.load(TIMES[0], KEY, 0);
        self.vectors.load(TIMES[1], KEY, bytes);
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; sub rcx, bytes ; jb >rest ; more:);
        self.vectors.load(READ, FROM, 0);
        self.vectors.op(vectors::ADD_DW, UPPER, UPPER, LOWER);
        self.vectors.op(vectors::SUM_BYTES, OTHER, READ, ZEROS);
        self.vectors.op(vectors::ADD_DW, LOWER, LOWER, OTHER);
        self.vectors.op(vectors::HIGH_WORDS, SECOND, READ, ZEROS);
        self.vectors.op(vectors::LOW_WORDS, READ, READ, ZEROS);
        self.vectors.op(vectors::PRODUCTS, READ, READ, TIMES[0]);
        self.vectors.op(vectors::PRODUCTS, SECOND, SECOND, TIMES[1]);
        self.vectors.op(vectors::ADD_W, READ, READ, SECOND);
        self.vectors.shift_quads(OTHER, READ, 32);
        self.vectors.op(vectors::ADD_DW, NUMBER, NUMBER, READ);
        self.vectors.op(vectors::ADD_DW, HALVES, HALVES, OTHER);
        self.advance(bytes);
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; sub rcx, bytes ; jae <more ; rest: ; add rcx, bytes);
        for (general, vector) in [(R8, LOWER), (R9, UPPER), (RAX, NUMBER), (R10, HALVES)] {
            self.vectors.total(general, vector, OTHER);
        }
        self.vectors.leave();
        let asm = &mut *self.vectors.asm;
        dynasm!(asm
            ; .arch x64
            ; add rax, r10
            ; shl r10, 32
            ; sub rax, r10
            ; imul r9, r9, bytes
            ; add rax, r9
            ; test rcx, rcx
            ; jz >end
            ; byte:
            ; movzx edx, BYTE [rsi]
            ; add r8, rdx
            ; add rax, r8
            ; inc rsi
            ; dec rcx
            ; jnz <byte
            ; jmp >end
            ; times:
        );
        for half in [0, 8] {
            for place in 0..bytes / 2 {
                // Words of a half are eight of every sixteen bytes.
                let byte = place / 8 * 16 + half + place % 8;
                asm.push_i16((bytes - byte) as i16);
            }
        }
        dynasm!(asm ; .arch x64 ; end:);
    }

    /// The key, as often as it goes into eight bytes.
    fn repeat(&mut self) {
        let asm = &mut *self.vectors.asm;
        match self.element {
            Size::B => {
                dynasm!(asm ; .arch x64 ; movzx edx, dl ; mov rax, QWORD 0x0101_0101_0101_0101 ; imul rdx, rax);
            }
            Size::H => {
                dynasm!(asm ; .arch x64 ; movzx edx, dx ; mov rax, QWORD 0x0001_0001_0001_0001 ; imul rdx, rax);
            }
            Size::W => dynasm!(asm ; .arch x64 ; mov eax, edx ; shl rdx, 32 ; or rdx, rax),
            Size::DW => {}
        }
    }

    /// All bytes, first in whole vectors.
    fn all(&mut self) {
        let bytes = self.vectors.shape.bytes();
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; sub rcx, bytes ; jb >rest ; more:);
        if self.reads() {
            self.vectors.load(READ, FROM, 0);
        }
        if let Kind::Combine(..) = self.what {
            self.vectors.load(OTHER, TO, 0);
        }
        let value = self.compute();
        if self.writes() {
            self.vectors.store(value, TO, 0);
        }
        self.advance(bytes);
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; sub rcx, bytes ; jae <more ; rest: ; add rcx, bytes);
        match self.vectors.shape {
            Shape::Wide => self.masked(),
            Shape::Avx | Shape::Sse => {
                for part in [16, 8, 4, 2, 1] {
                    if i32::from(part) < bytes && part >= self.element.bytes() {
                        self.part(part);
                    }
                }
            }
        }
    }

    fn advance(&mut self, bytes: i32) {
        let (reads, writes) = (self.reads(), self.writes());
        let asm = &mut *self.vectors.asm;
        if reads {
            dynasm!(asm ; .arch x64 ; add rsi, bytes);
        }
        if writes {
            dynasm!(asm ; .arch x64 ; add rdi, bytes);
        }
    }

    /// Less bytes than a vector has, in one.
    fn masked(&mut self) {
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; jz >done ; mov eax, 1 ; shl rax, cl ; dec rax);
        self.vectors.set_mask(RAX);
        if self.reads() {
            self.vectors.load_masked(READ, FROM);
        }
        if let Kind::Combine(..) = self.what {
            self.vectors.load_masked(OTHER, TO);
        }
        let value = self.compute();
        if self.writes() {
            self.vectors.store_masked(value, TO);
        }
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; done:);
    }

    /// So many bytes, if the count has that bit.
    fn part(&mut self, bytes: u8) {
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; test cl, bytes as i8 ; jz >skip);
        if self.reads() {
            self.load_part(READ, FROM, bytes);
        }
        if let Kind::Combine(..) = self.what {
            self.load_part(OTHER, TO, bytes);
        }
        let value = self.compute();
        if self.writes() {
            self.store_part(value, bytes);
        }
        if bytes > self.element.bytes() {
            self.advance(bytes.into());
        }
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; skip:);
    }

    fn load_part(&mut self, vector: u8, base: u8, bytes: u8) {
        match bytes {
            16 => self.vectors.load_16(vector, base),
            8 | 4 => self.vectors.load_part(vector, base, bytes),
            2 => {
                let asm = &mut *self.vectors.asm;
                dynasm!(asm ; .arch x64 ; movzx eax, WORD [Rq(base)]);
                self.vectors.take(vector, RAX);
            }
            _ => {
                let asm = &mut *self.vectors.asm;
                dynasm!(asm ; .arch x64 ; movzx eax, BYTE [Rq(base)]);
                self.vectors.take(vector, RAX);
            }
        }
    }

    fn store_part(&mut self, vector: u8, bytes: u8) {
        match bytes {
            16 => self.vectors.store_16(vector, TO),
            8 | 4 => self.vectors.store_part(vector, TO, bytes),
            _ => {
                self.vectors.give(RAX, vector);
                let asm = &mut *self.vectors.asm;
                match bytes {
                    2 => dynasm!(asm ; .arch x64 ; mov [rdi], ax),
                    _ => dynasm!(asm ; .arch x64 ; mov [rdi], al),
                }
            }
        }
    }

    /// What becomes of what was read; of a sum, the sum grows.
    fn compute(&mut self) -> u8 {
        match self.what {
            Kind::Copy(_) => {}
            Kind::Ramp => unreachable!("it has its own loop"),
            Kind::Fill(_) => return NUMBER,
            Kind::Combine(lane, element) => self.vectors.op(code(lane, element), READ, READ, OTHER),
            Kind::Apply(lane, element) => self.vectors.op(code(lane, element), READ, READ, NUMBER),
            Kind::Sum { element, .. } => match element {
                Size::B => {
                    self.vectors.op(vectors::SUM_BYTES, READ, READ, ZEROS);
                    self.vectors.op(vectors::ADD_DW, LOWER, LOWER, READ);
                }
                Size::H => {
                    self.vectors.shift_words(OTHER, READ, 8);
                    self.vectors.op(vectors::SUM_BYTES, READ, READ, ZEROS);
                    self.vectors.op(vectors::SUM_BYTES, OTHER, OTHER, ZEROS);
                    self.vectors.op(vectors::ADD_DW, LOWER, LOWER, READ);
                    self.vectors.op(vectors::ADD_DW, UPPER, UPPER, OTHER);
                }
                Size::W => {
                    self.vectors.shift_quads(OTHER, READ, 32);
                    self.vectors.op(vectors::ADD_DW, LOWER, LOWER, READ);
                    self.vectors.op(vectors::ADD_DW, UPPER, UPPER, OTHER);
                }
                Size::DW => self.vectors.op(vectors::ADD_DW, LOWER, LOWER, READ),
            },
        }
        READ
    }

    /// One element after the other.
    fn slow(&mut self) {
        let size = i32::from(self.element.bytes());
        let (element, what) = (self.element, self.what);
        let asm = &mut *self.vectors.asm;
        dynasm!(asm ; .arch x64 ; xor r9d, r9d ; test rcx, rcx ; jz >end ; element:);
        let load = |asm: &mut Assembler, base: u8| match element {
            Size::B => dynasm!(asm ; .arch x64 ; movzx eax, BYTE [Rq(base) + r9]),
            Size::H => dynasm!(asm ; .arch x64 ; movzx eax, WORD [Rq(base) + r9]),
            Size::W => dynasm!(asm ; .arch x64 ; mov eax, [Rq(base) + r9]),
            Size::DW => dynasm!(asm ; .arch x64 ; mov rax, [Rq(base) + r9]),
        };
        let combine = |asm: &mut Assembler, lane: Lane| match lane {
            Lane::Xor => dynasm!(asm ; .arch x64 ; xor rax, rdx),
            Lane::And => dynasm!(asm ; .arch x64 ; and rax, rdx),
            Lane::Or => dynasm!(asm ; .arch x64 ; or rax, rdx),
            Lane::Add => dynasm!(asm ; .arch x64 ; add rax, rdx),
        };
        load(asm, FROM);
        match what {
            Kind::Combine(lane, _) => {
                dynasm!(asm ; .arch x64 ; mov rdx, rax);
                load(asm, TO);
                combine(asm, lane);
            }
            Kind::Apply(lane, _) => combine(asm, lane),
            Kind::Copy(_) | Kind::Fill(_) | Kind::Sum { .. } | Kind::Ramp => {}
        }
        match element {
            Size::B => dynasm!(asm ; .arch x64 ; mov [rdi + r9], al),
            Size::H => dynasm!(asm ; .arch x64 ; mov [rdi + r9], ax),
            Size::W => dynasm!(asm ; .arch x64 ; mov [rdi + r9], eax),
            Size::DW => dynasm!(asm ; .arch x64 ; mov [rdi + r9], rax),
        }
        dynasm!(asm ; .arch x64 ; add r9, size ; cmp r9, rcx ; jb <element);
    }
}

/// An operation on elements of vectors.
fn code(lane: Lane, element: Size) -> Code {
    match (lane, element) {
        (Lane::Xor, _) => vectors::XOR,
        (Lane::And, _) => vectors::AND,
        (Lane::Or, _) => vectors::OR,
        (Lane::Add, Size::B) => vectors::ADD_B,
        (Lane::Add, Size::H) => vectors::ADD_H,
        (Lane::Add, Size::W) => vectors::ADD_W,
        (Lane::Add, Size::DW) => vectors::ADD_DW,
    }
}
