//! The instruction set as a page: `docs/isa.md`, written from the tables.
//!
//! A test compares the page with what this writes, so that the page cannot say anything that the
//! decoder, the printer and the interpreters do not.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    AddressSpace, AluOp, AtomicOp, Callee, Cond, Extend, Imm64, Insn, MapRef, Operand, Pc, Program, Reach,
    Reg, Size, UnaryOp, Width, print_insn,
};

/// The instruction set in Markdown: thirteen shapes, then every operation with its encoding, its
/// text and its meaning.
///
/// ```
/// let page = sandbpf_isa::reference();
/// assert!(page.starts_with("# The instruction set\n"));
/// assert!(page.contains("| `Arsh` | `0xc` | 0 | `r1 s>>= r2` |"));
/// ```
pub fn reference() -> String {
    [INTRODUCTION.to_string(), shapes(), alu(), unary(), conditions(), atomics(), sizes(), wide(), calls()]
        .join("\n")
}

const INTRODUCTION: &str = "\
# The instruction set

This page is generated from the tables of `crates/isa`; a test keeps it current (`BLESS=1` rewrites it).

A program is a sequence of 8-byte slots, little-endian:

| byte | bits | field |
|---|---|---|
| 0 | 0–7 | opcode; its low three bits are the class |
| 1 | 0–3 | `dst`, the destination register |
| 1 | 4–7 | `src`, the source register |
| 2–3 | | `off`, signed |
| 4–7 | | `imm`, signed |

A 64-bit immediate takes two slots; the second is zero but for its `imm`, the upper half. There are eleven
registers of 64 bits, `r0` to `r10`; `w3` is the low half of `r3`, and writing it clears the upper half. `r10` is
the end of the stack frame and is never written. Jump distances count slots from the slot after the jump.

What an instruction does not use is zero. RFC 9669 demands that everywhere; Linux 6.18 looks neither at the `off` of
`exit` nor at the second `imm` of a function's address.
";

/// Every shape, with an example or more.
fn shapes() -> String {
    let alu = |op, width, dst, src| Insn::Alu { op, width, dst, src };
    let examples = [
        ("Alu", "`dst = dst op src`", alu(AluOp::Add, Width::W64, Reg::R1, Reg::R2.into())),
        ("", "", alu(AluOp::Sdiv, Width::W32, Reg::R1, Operand::Imm(-7))),
        ("", "", alu(AluOp::Movs8, Width::W64, Reg::R1, Reg::R2.into())),
        ("Unary", "`dst = op dst`", Insn::Unary { op: UnaryOp::Neg32, dst: Reg::R1 }),
        ("", "", Insn::Unary { op: UnaryOp::Be16, dst: Reg::R1 }),
        (
            "Cast",
            "`dst = src` as the other address space of an arena sees it",
            Insn::Cast { dst: Reg::R1, src: Reg::R2, to: AddressSpace::Kernel },
        ),
        ("", "", Insn::Cast { dst: Reg::R1, src: Reg::R2, to: AddressSpace::User }),
        (
            "LoadImm",
            "`dst = value`, 64 bits",
            Insn::LoadImm { dst: Reg::R1, value: Imm64::Number(0x1122_3344_5566_7788) },
        ),
        (
            "Load",
            "`dst = extend(*(size *)(base + off))`",
            Insn::Load { size: Size::W, extend: Extend::Zero, dst: Reg::R0, base: Reg::R1, off: 4 },
        ),
        ("", "", Insn::Load { size: Size::H, extend: Extend::Sign, dst: Reg::R0, base: Reg::R10, off: -2 }),
        (
            "Store",
            "`*(size *)(base + off) = src`",
            Insn::Store { size: Size::DW, base: Reg::R10, off: -8, src: Reg::R1.into() },
        ),
        ("", "", Insn::Store { size: Size::W, base: Reg::R10, off: -8, src: Operand::Imm(7) }),
        (
            "Atomic",
            "`*(size *)(base + off) = op(*(size *)(base + off), reg)` in one step",
            Insn::Atomic { op: AtomicOp::Add, size: Size::DW, base: Reg::R1, off: 0, reg: Reg::R2 },
        ),
        (
            "LoadPacket",
            "`r0 = ntoh(*(size *)(packet + index + off))`, or the function returns 0; `r6` is the context",
            Insn::LoadPacket { size: Size::H, index: None, off: 12 },
        ),
        ("", "", Insn::LoadPacket { size: Size::B, index: Some(Reg::R7), off: 2 }),
        ("Jump", "`goto to`", Insn::Jump { to: HERE, reach: Reach::Near }),
        ("", "", Insn::Jump { to: HERE, reach: Reach::Far }),
        ("MayGoto", "`goto to` when this frame has passed here too often", Insn::MayGoto { to: HERE }),
        (
            "Branch",
            "`if lhs cond rhs goto to`",
            Insn::Branch { cond: Cond::Slt, width: Width::W32, lhs: Reg::R1, rhs: Operand::Imm(5), to: HERE },
        ),
        ("Call", "`r0 = callee(r1, r2, r3, r4, r5)`", Insn::Call { callee: Callee::Helper(7) }),
        ("Exit", "returns `r0`", Insn::Exit),
    ];
    let rows = examples.map(|(name, formula, insn)| {
        let name = if name.is_empty() { String::new() } else { format!("`{name}`") };
        [name, formula.into(), code(&text(insn)), code(&hex(insn))]
    });
    section("Shapes", "", ["shape", "formula", "text", "bytes"], rows)
}

fn alu() -> String {
    let rows = AluOp::ALL.iter().map(|&op| {
        let (code_, off) = op.encoding();
        let insn = Insn::Alu { op, width: Width::W64, dst: Reg::R1, src: Reg::R2.into() };
        let widths = if op.has_width(Width::W32) { "32, 64" } else { "64" };
        [
            code(&format!("{op:?}")),
            code(&format!("{code_:#x}")),
            off.to_string(),
            code(&text(insn)),
            widths.into(),
            meaning(op.formula()),
            op.doc().trim().into(),
        ]
    });
    section(
        "Arithmetic",
        "Class 7 on 64 bits, class 4 on 32; the operation code is the upper half of the opcode, and bit 3 says that \
         the right operand is a register rather than `imm`. `a` is the destination, `b` the right operand, `U` and \
         `I` are the unsigned and signed word and `BITS` is its width.\n",
        ["operation", "code", "`off`", "text", "widths", "meaning", ""],
        rows,
    )
}

fn unary() -> String {
    let rows = UnaryOp::ALL.iter().map(|&op| {
        let (class, source, code_, imm) = op.encoding();
        let opcode = class as u8 | source as u8 | code_ << 4;
        let text = text(Insn::Unary { op, dst: Reg::R1 });
        [
            code(&format!("{op:?}")),
            code(&format!("{opcode:#04x}")),
            imm.to_string(),
            code(&text),
            meaning(op.formula()),
            op.doc().trim().into(),
        ]
    });
    section("Negation and byte order", "", ["operation", "opcode", "`imm`", "text", "meaning", ""], rows)
}

fn conditions() -> String {
    let rows = Cond::ALL.iter().map(|&cond| {
        let insn = Insn::Branch { cond, width: Width::W64, lhs: Reg::R1, rhs: Reg::R2.into(), to: HERE };
        [
            code(&format!("{cond:?}")),
            code(&format!("{:#x}", cond.encoding())),
            code(&text(insn)),
            meaning(cond.formula()),
            cond.doc().trim().into(),
        ]
    });
    section(
        "Conditions",
        "Class 5 compares 64 bits, class 6 the low 32; `off` is the distance. `a` is the left operand, `b` the right.\n",
        ["condition", "code", "text", "holds when", ""],
        rows,
    )
}

fn atomics() -> String {
    let rows = AtomicOp::ALL.iter().map(|&op| {
        let insn = |size| Insn::Atomic { op, size, base: Reg::R1, off: 0, reg: Reg::R2 };
        let sizes: Vec<String> = Size::ALL
            .iter()
            .filter(|&&size| op.has_size(size))
            .map(|size| size.bytes().to_string())
            .collect();
        let fetches =
            op.fetches(Reg::R2).map_or("", |reg| if reg == Reg::R0 { "`r0`" } else { "the operand" });
        [
            code(&format!("{op:?}")),
            code(&format!("{:#x}", op.encoding())),
            code(&text(insn(Size::DW))),
            code(&text(insn(Size::W))),
            sizes.join(", "),
            fetches.into(),
            meaning(op.formula()),
            op.doc().trim().into(),
        ]
    });
    section(
        "Atomic operations",
        "Class 3, mode `0xc0`; `imm` selects. `m` is what memory held, `r` the operand, and the meaning is what memory \
         holds afterwards. `dst` is the address and `src` the operand, but for `LoadAcquire`, where they change places.\n",
        ["operation", "`imm`", "8 bytes", "4 bytes", "sizes", "gets `m`", "meaning", ""],
        rows,
    )
}

fn sizes() -> String {
    let rows = Size::ALL.iter().map(|&size| {
        let load = |extend| Insn::Load { size, extend, dst: Reg::R0, base: Reg::R1, off: 0 };
        let sign = if size == Size::DW { String::new() } else { code(&opcode(load(Extend::Sign))) };
        let packet = |index| match size {
            Size::DW => String::new(),
            _ => code(&opcode(Insn::LoadPacket { size, index, off: 0 })),
        };
        let store = |src| code(&opcode(Insn::Store { size, base: Reg::R1, off: 0, src }));
        [
            size.bytes().to_string(),
            code(&opcode(load(Extend::Zero))),
            sign,
            store(Reg::R2.into()),
            store(Operand::Imm(0)),
            packet(None),
            packet(Some(Reg::R7)),
        ]
    });
    section(
        "Memory",
        "The opcode of every access. Loads of `u…` fill up with zeros, of `s…` with the sign.\n",
        ["bytes", "load", "load, signed", "store", "store `imm`", "packet load", "packet load, indexed"],
        rows,
    )
}

fn wide() -> String {
    let map = MapRef::Fd(3);
    let index = MapRef::Index(3);
    let rows = [
        (Imm64::Number(7), "a number, `imm` its lower half"),
        (Imm64::Map(map), "a map, by file descriptor"),
        (
            Imm64::MapValue(map, 16),
            "an address in the value of a map with one entry; the offset is the second `imm`",
        ),
        (
            Imm64::Variable { id: 5, module: 0 },
            "a kernel variable, by BTF id; the module's BTF is the second `imm`",
        ),
        (Imm64::Function(HERE), "a function of this program; `imm` is the distance"),
        (Imm64::Map(index), "a map, by index into the loader's descriptors"),
        (Imm64::MapValue(index, 16), "an address in its value"),
    ]
    .map(|(value, doc)| {
        let insn = Insn::LoadImm { dst: Reg::R1, value };
        let src = alone(insn).to_bytes()[1] >> 4;
        [src.to_string(), code(&text(insn)), doc.into()]
    });
    section("64-bit immediates", "Opcode `0x18`; `src` selects.\n", ["`src`", "text", "what is loaded"], rows)
}

fn calls() -> String {
    let rows = [
        (Callee::Helper(7), "a helper, by number in `imm`"),
        (Callee::Local(HERE), "a function of this program, by distance in `imm`"),
        (Callee::Kfunc { id: 1234, module: 2 }, "a kernel function, by BTF id in `imm`; the module is `off`"),
        (Callee::Register(Reg::R1), "the function whose address is in `dst`; Linux refuses it"),
    ]
    .map(|(callee, doc)| {
        let insn = Insn::Call { callee };
        [code(&text(insn)), code(&hex(insn)), doc.into()]
    });
    section("Calls", "", ["text", "bytes", "what is called"], rows)
}

/// Where the examples jump: to the instruction itself, which is the only one.
const HERE: Pc = Pc(0);

fn alone(insn: Insn) -> Program {
    Program::new([insn]).expect("the examples are sound")
}

fn text(insn: Insn) -> String {
    print_insn(&alone(insn), HERE).to_string()
}

fn hex(insn: Insn) -> String {
    let hex: Vec<String> = alone(insn).to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ")
}

fn opcode(insn: Insn) -> String {
    format!("{:#04x}", alone(insn).to_bytes()[0])
}

/// A formula as the table writes it, on one line.
fn meaning(formula: &str) -> String {
    code(&formula.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Markdown code in a cell, where `|` would end the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn section<const N: usize>(
    title: &str,
    introduction: &str,
    heads: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut out = format!("## {title}\n\n");
    if !introduction.is_empty() {
        out += introduction;
        out.push('\n');
    }
    out += &format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(N));
    for row in rows {
        out += &format!("| {} |\n", row.join(" | "));
    }
    out
}
