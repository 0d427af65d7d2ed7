//! One instruction as text: from the first word to the instruction and where it goes.

use super::{
    cursor::{self, Cursor, Read},
    error::Place,
    lex::Token,
    line::Hint,
};
use crate::{
    AddressSpace, AluOp, AtomicOp, Callee, Cond, Extend, Imm64, Insn, MapRef, Operand, Pc, Reach, Reg, Size,
    UnaryOp, Width, decode,
};

/// An instruction whose target is still a name or a distance; until it is known it is instruction 0.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) insn: Insn,
    pub(super) target: Option<Target<'a>>,
}

/// Where an instruction goes.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) to: To<'a>,
    pub(super) place: Place<'a>,
}

/// How a text says where.
#[derive(Debug)]
pub(super) enum To<'a> {
    /// By label.
    Label(&'a str),
    /// By a number of slots from the next instruction.
    Slots(i64),
}

/// Where every target points before labels are known.
const UNKNOWN: Pc = Pc(0);

impl<'a> Statement<'a> {
    fn to(insn: Insn, target: Target<'a>) -> Self {
        Statement { insn, target: Some(target) }
    }

    /// Points the instruction at its target.
    pub(super) fn resolve(&mut self, pc: Pc) {
        match &mut self.insn {
            Insn::Jump { to, .. }
            | Insn::MayGoto { to }
            | Insn::Branch { to, .. }
            | Insn::Call { callee: Callee::Local(to) }
            | Insn::LoadImm { value: Imm64::Function(to), .. } => *to = pc,
            Insn::Alu { .. }
            | Insn::Unary { .. }
            | Insn::Cast { .. }
            | Insn::LoadImm { .. }
            | Insn::Load { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadPacket { .. }
            | Insn::Call { .. }
            | Insn::Exit => {}
        }
    }
}

impl From<Insn> for Statement<'_> {
    fn from(insn: Insn) -> Self {
        Statement { insn, target: None }
    }
}

/// Reads one instruction, to the end of its line.
pub(super) fn statement<'a>(c: &mut Cursor<'a>, hint: Hint) -> Read<Statement<'a>> {
    let statement = match c.peek() {
        Token::Symbol("*") => store(c)?.into(),
        Token::Name(name) => match name {
            "exit" | "return" => {
                c.next();
                Insn::Exit.into()
            }
            "goto" => jump(c, Reach::Near)?,
            "gotol" => jump(c, Reach::Far)?,
            "may_goto" => {
                c.next();
                Statement::to(Insn::MayGoto { to: UNKNOWN }, target(c, Reach::Near)?)
            }
            "if" => branch(c)?,
            "call" => call(c, hint)?,
            "callx" => {
                c.next();
                Insn::Call { callee: Callee::Register(c.reg(Width::W64)?) }.into()
            }
            "lock" => lock(c)?.into(),
            "store_release" => store_release(c)?.into(),
            _ => compute(c, hint)?,
        },
        _ => return c.expected("an instruction"),
    };
    c.end()?;
    Ok(statement)
}

/// `goto label`, `goto +3`, `goto pc+3`.
fn jump<'a>(c: &mut Cursor<'a>, reach: Reach) -> Read<Statement<'a>> {
    c.next();
    Ok(Statement::to(Insn::Jump { to: UNKNOWN, reach }, target(c, reach)?))
}

fn target<'a>(c: &mut Cursor<'a>, reach: Reach) -> Read<Target<'a>> {
    let place = c.place();
    if c.peek() == Token::Name("pc") && matches!(c.peek_second(), Token::Symbol("+" | "-")) {
        c.next();
    }
    let to = match c.peek() {
        Token::Name(name) if cursor::reg(c.peek()).is_none() => {
            c.next();
            To::Label(name)
        }
        Token::Symbol("+" | "-") => To::Slots(match reach {
            Reach::Near => c.off16()?.into(),
            Reach::Far => c.imm32_signed()?.into(),
        }),
        _ => return c.expected("a label or a distance with its sign, like +3"),
    };
    Ok(Target { to, place: c.since(place) })
}

/// `if r1 s< 5 goto label`.
fn branch<'a>(c: &mut Cursor<'a>) -> Read<Statement<'a>> {
    c.next();
    let (lhs, width) = c.any_reg()?;
    let cond = match c.peek() {
        Token::Symbol(symbol) => Cond::ALL.iter().copied().find(|cond| cond.symbol() == symbol),
        _ => None,
    };
    let Some(cond) = cond else {
        return c.expected("a comparison: ==, !=, <, <=, >, >=, s<, s<=, s>, s>= or &");
    };
    c.next();
    let rhs = c.operand(width)?;
    c.keyword("goto")?;
    Ok(Statement::to(Insn::Branch { cond, width, lhs, rhs, to: UNKNOWN }, target(c, Reach::Near)?))
}

/// `call 7`, `call bpf_ktime_get_ns#5`, `call pc+2`, `call label`, `call kfunc#1234@2`.
fn call<'a>(c: &mut Cursor<'a>, hint: Hint) -> Read<Statement<'a>> {
    c.next();
    let local = Insn::Call { callee: Callee::Local(UNKNOWN) };
    let numbered = |id| match hint.src {
        Some(2) => Callee::Kfunc { id, module: 0 },
        _ => Callee::Helper(id),
    };
    match (c.peek(), c.peek_second()) {
        (Token::Name(name), Token::Symbol("#")) => {
            c.next();
            c.next();
            let id = c.imm32()?;
            let callee = match name {
                "kfunc" => Callee::Kfunc { id, module: if c.take("@") { c.off16()? } else { 0 } },
                _ => numbered(id),
            };
            Ok(Insn::Call { callee }.into())
        }
        (Token::Name(_), _) => Ok(Statement::to(local, target(c, Reach::Far)?)),
        // The bytes of a disassembly know that this is no helper.
        (Token::Number(_) | Token::Symbol("-"), _) if hint.src == Some(1) => {
            let place = c.place();
            let to = To::Slots(c.imm32_signed()?.into());
            Ok(Statement::to(local, Target { to, place }))
        }
        (Token::Number(_) | Token::Symbol("-"), _) => Ok(Insn::Call { callee: numbered(c.imm32()?) }.into()),
        _ => c.expected("a helper's number, name#number, a label or pc and a distance, like pc+3"),
    }
}

/// `*(u32 *)(r1 + 4) = r2`.
fn store(c: &mut Cursor<'_>) -> Read<Insn> {
    c.next();
    let size = c.unsigned_pointer()?;
    let (base, off) = c.address_in_parentheses()?;
    c.symbol("=")?;
    let src = match cursor::reg(c.peek()) {
        Some(_) => Operand::Reg(value_reg(c, size)?),
        None => c.operand(Width::W64)?,
    };
    Ok(Insn::Store { size, base, off, src })
}

/// `lock *(u64 *)(r1 + 0) += r2`.
fn lock(c: &mut Cursor<'_>) -> Read<Insn> {
    c.next();
    c.symbol("*")?;
    let size = atomic_size(c)?;
    let (base, off) = c.address_in_parentheses()?;
    let op = match c.peek() {
        Token::Symbol(symbol) => AtomicOp::ALL.iter().copied().find(|op| op.symbol() == symbol),
        _ => None,
    };
    let Some(op) = op else { return c.expected("`+=`, `|=`, `&=` or `^=`") };
    c.next();
    Ok(Insn::Atomic { op, size, base, off, reg: value_reg(c, size)? })
}

/// `store_release((u64 *)(r1 + 0), r2)`.
fn store_release(c: &mut Cursor<'_>) -> Read<Insn> {
    c.next();
    c.symbol("(")?;
    let size = c.unsigned_pointer()?;
    let (base, off) = c.address_in_parentheses()?;
    c.symbol(",")?;
    let reg = value_reg(c, size)?;
    c.symbol(")")?;
    Ok(Insn::Atomic { op: AtomicOp::StoreRelease, size, base, off, reg })
}

/// What starts with a register: `r1 = …`, `r1 += …`.
fn compute<'a>(c: &mut Cursor<'a>, hint: Hint) -> Read<Statement<'a>> {
    let Some((dst, width)) = cursor::reg(c.peek()) else { return c.expected("an instruction") };
    c.next();
    if c.take("=") {
        return assign(c, dst, width, hint);
    }
    let op = match c.peek() {
        Token::Symbol(symbol) => AluOp::ALL.iter().copied().find(|op| op.symbol() == symbol),
        _ => None,
    };
    let Some(op) = op else { return c.expected("`=` or an operator and `=`, like `+=`") };
    c.next();
    Ok(Insn::Alu { op, width, dst, src: c.operand(width)? }.into())
}

fn assign<'a>(c: &mut Cursor<'a>, dst: Reg, width: Width, hint: Hint) -> Read<Statement<'a>> {
    match (c.peek(), c.peek_second()) {
        (Token::Symbol("("), _) => Ok(sign_extend(c, dst, width)?.into()),
        (Token::Symbol("*"), _) => Ok(load(c, dst, width)?.into()),
        (Token::Symbol("-"), Token::Name(_)) => {
            c.next();
            c.same_reg(dst, width)?;
            let op = if width == Width::W64 { UnaryOp::Neg64 } else { UnaryOp::Neg32 };
            Ok(Insn::Unary { op, dst }.into())
        }
        (Token::Number(_) | Token::Symbol("+" | "-"), _) => number(c, dst, width, hint),
        (Token::Name(name), second) if cursor::reg(c.peek()).is_none() => {
            let swap = UnaryOp::ALL.iter().copied().find(|op| op.symbol() == name);
            if let Some(op) = swap {
                if width == Width::W32 {
                    return c.expected("a number or a w register; byte order is of r registers");
                }
                c.next();
                c.same_reg(dst, width)?;
                return Ok(Insn::Unary { op, dst }.into());
            }
            if let Some((op, size)) = fetch(name) {
                return Ok(atomic(c, op, size, dst, width)?.into());
            }
            match (name, second) {
                ("addr_space_cast", _) if width == Width::W64 => Ok(cast(c, dst)?.into()),
                ("map" | "variable" | "subprog", Token::Symbol("[")) if width == Width::W64 => {
                    symbolic(c, dst)
                }
                _ => c.expected("a register, a number, a load or an operation"),
            }
        }
        _ => Ok(Insn::Alu { op: AluOp::Mov, width, dst, src: c.operand(width)? }.into()),
    }
}

/// `r1 = (s8)r2`.
fn sign_extend(c: &mut Cursor<'_>, dst: Reg, width: Width) -> Read<Insn> {
    c.next();
    let op = match c.peek() {
        Token::Name("s8") => Some(AluOp::Movs8),
        Token::Name("s16") => Some(AluOp::Movs16),
        Token::Name("s32") => Some(AluOp::Movs32),
        _ => None,
    };
    let Some(op) = op.filter(|op| op.has_width(width)) else {
        return c.expected(if width == Width::W64 { "s8, s16 or s32" } else { "s8 or s16" });
    };
    c.next();
    c.symbol(")")?;
    Ok(Insn::Alu { op, width, dst, src: Operand::Reg(c.reg(width)?) })
}

/// `r0 = *(u32 *)(r1 + 4)` and `r0 = *(u16 *)skb[r7 + 2]`.
fn load(c: &mut Cursor<'_>, dst: Reg, width: Width) -> Read<Insn> {
    c.next();
    let pointer = c.place();
    let (size, signed) = c.pointer()?;
    if c.peek() == Token::Name("skb") {
        if signed || size == Size::DW || dst != Reg::R0 || width != Width::W64 {
            return Err(
                pointer.expected("`r0 = *(u8 *)`, `r0 = *(u16 *)` or `r0 = *(u32 *)` before a packet load")
            );
        }
        c.next();
        return load_packet(c, size);
    }
    if width == Width::W32 && (signed || size == Size::DW) {
        return Err(pointer.expected("`(u8 *)`, `(u16 *)` or `(u32 *)` for a w register"));
    }
    let (base, off) = c.address_in_parentheses()?;
    let extend = if signed { Extend::Sign } else { Extend::Zero };
    Ok(Insn::Load { size, extend, dst, base, off })
}

/// `[12]`, `[r7]`, `[r7 + 2]`.
fn load_packet(c: &mut Cursor<'_>, size: Size) -> Read<Insn> {
    c.symbol("[")?;
    let index = match cursor::reg(c.peek()) {
        Some(_) => Some(c.reg(Width::W64)?),
        None => None,
    };
    let off = if index.is_some() && c.peek() == Token::Symbol("]") { 0 } else { c.imm32()? };
    c.symbol("]")?;
    Ok(Insn::LoadPacket { size, index, off })
}

/// `r1 = 7` and `r1 = 7 ll`; opcode 0x18 in a column says `ll` too.
fn number<'a>(c: &mut Cursor<'a>, dst: Reg, width: Width, hint: Hint) -> Read<Statement<'a>> {
    let place = c.place();
    let sign = usize::from(matches!(c.peek(), Token::Symbol(_)));
    let wide = c.nth_is_name(1 + sign, "ll") || hint.opcode == Some(crate::opcode::LOAD_IMM64);
    if !wide {
        return Ok(Insn::Alu { op: AluOp::Mov, width, dst, src: c.operand(width)? }.into());
    }
    if width == Width::W32 {
        return c.expected("a 32-bit number; 64 bits need an r register");
    }
    let number = c.imm64()?;
    c.take_name("ll");
    let (low, high) = (number as i32, (number >> 32) as i32);
    let Some(value) = decode::wide(hint.src.unwrap_or(0), low, high, UNKNOWN) else {
        return Err(place.expected("a kind of 64-bit immediate from 0 to 6 in the bytes before it"));
    };
    let insn = Insn::LoadImm { dst, value };
    Ok(match value {
        Imm64::Function(_) => Statement::to(insn, Target { to: To::Slots(low.into()), place }),
        _ => insn.into(),
    })
}

/// `map[fd:3]`, `map[idx:3][0]+16`, `variable[id:5, module:2]`, `subprog[label]`.
fn symbolic<'a>(c: &mut Cursor<'a>, dst: Reg) -> Read<Statement<'a>> {
    let kind = c.next();
    c.symbol("[")?;
    let value = match kind {
        Token::Name("map") => {
            let indexed = c.take_name("idx");
            if !indexed && !c.take_name("fd") {
                return c.expected("`fd` or `idx`");
            }
            c.symbol(":")?;
            let id = c.imm32()?;
            let map = if indexed { MapRef::Index(id) } else { MapRef::Fd(id) };
            c.symbol("]")?;
            if c.take("[") {
                c.number(0..=0, "`0`, the only entry whose address can be named")?;
                c.symbol("]")?;
            } else if c.peek() == Token::End {
                return Ok(Insn::LoadImm { dst, value: Imm64::Map(map) }.into());
            }
            c.symbol("+")?;
            let off = c.number(0..=u32::MAX.into(), "an offset from 0 to 4294967295")?;
            return Ok(Insn::LoadImm { dst, value: Imm64::MapValue(map, off as u32) }.into());
        }
        Token::Name("variable") => {
            c.keyword("id")?;
            c.symbol(":")?;
            let id = c.imm32()?;
            let mut module = 0;
            if c.take(",") {
                c.keyword("module")?;
                c.symbol(":")?;
                module = c.imm32()?;
            }
            Statement::from(Insn::LoadImm { dst, value: Imm64::Variable { id, module } })
        }
        _ => Statement::to(Insn::LoadImm { dst, value: Imm64::Function(UNKNOWN) }, target(c, Reach::Far)?),
    };
    c.symbol("]")?;
    Ok(value)
}

/// `addr_space_cast(r2, 0, 1)`: to the space of the first number from that of the second.
fn cast(c: &mut Cursor<'_>, dst: Reg) -> Read<Insn> {
    c.next();
    c.symbol("(")?;
    let src = c.reg(Width::W64)?;
    c.symbol(",")?;
    let place = c.place();
    let into = c.imm32()?;
    c.symbol(",")?;
    let from = c.imm32()?;
    c.symbol(")")?;
    let to = match (into, from) {
        (0, 1) => AddressSpace::Kernel,
        (1, 0) => AddressSpace::User,
        _ => return Err(place.expected("`0, 1` or `1, 0`, the two address spaces")),
    };
    Ok(Insn::Cast { dst, src, to })
}

/// The fetching operation of this name, and its size where the name says it.
fn fetch(name: &str) -> Option<(AtomicOp, Option<Size>)> {
    let spelt = match name {
        // llvm-objdump
        "xchg_64" => (AtomicOp::Xchg, Some(Size::DW)),
        "xchg32_32" => (AtomicOp::Xchg, Some(Size::W)),
        "cmpxchg_64" => (AtomicOp::Cmpxchg, Some(Size::DW)),
        "cmpxchg32_32" => (AtomicOp::Cmpxchg, Some(Size::W)),
        // The kernel; the pointer's type says the size, `64` repeats it.
        "atomic_xchg" | "atomic64_xchg" => (AtomicOp::Xchg, None),
        "atomic_cmpxchg" | "atomic64_cmpxchg" => (AtomicOp::Cmpxchg, None),
        "atomic64_fetch_add" => (AtomicOp::FetchAdd, None),
        "atomic64_fetch_or" => (AtomicOp::FetchOr, None),
        "atomic64_fetch_and" => (AtomicOp::FetchAnd, None),
        "atomic64_fetch_xor" => (AtomicOp::FetchXor, None),
        "atomic_fetch_add" | "atomic_fetch_or" | "atomic_fetch_and" | "atomic_fetch_xor" | "load_acquire" => {
            (AtomicOp::ALL.iter().copied().find(|op| op.symbol() == name)?, None)
        }
        _ => return None,
    };
    Some(spelt)
}

/// `r3 = atomic_fetch_add((u64 *)(r1 + 0), r3)` and its relatives.
fn atomic(c: &mut Cursor<'_>, op: AtomicOp, size: Option<Size>, dst: Reg, width: Width) -> Read<Insn> {
    c.next();
    c.symbol("(")?;
    let pointer = c.place();
    let (size, (base, off)) = match size {
        Some(size) => (size, c.address()?),
        None if op == AtomicOp::LoadAcquire => (c.unsigned_pointer()?, c.address_in_parentheses()?),
        None => (atomic_size(c)?, c.address_in_parentheses()?),
    };
    if width == Width::W32 && size == Size::DW {
        return Err(pointer.expected("an access of 4 bytes or less for a w register"));
    }
    let reg = match op {
        AtomicOp::LoadAcquire => dst,
        AtomicOp::Cmpxchg => {
            c.symbol(",")?;
            if dst != Reg::R0 {
                return c.expected("an exchange into r0, the only register that compares");
            }
            c.same_reg(Reg::R0, width)?;
            c.symbol(",")?;
            value_reg(c, size)?
        }
        _ => {
            c.symbol(",")?;
            c.same_reg(dst, width)?;
            dst
        }
    };
    c.symbol(")")?;
    Ok(Insn::Atomic { op, size, base, off, reg })
}

/// Takes `(u32 *)` or `(u64 *)`.
fn atomic_size(c: &mut Cursor<'_>) -> Read<Size> {
    let place = c.place();
    let size = c.unsigned_pointer()?;
    match size {
        Size::W | Size::DW => Ok(size),
        Size::B | Size::H => Err(place.expected("`(u32 *)` or `(u64 *)`")),
    }
}

/// Takes the register whose low `size` bytes go to memory: `r2`, or `w2` where 32 bits hold them.
fn value_reg(c: &mut Cursor<'_>, size: Size) -> Read<Reg> {
    match c.peek() {
        token if size != Size::DW && cursor::reg(token).is_some() => Ok(c.any_reg()?.0),
        _ => c.reg(Width::W64),
    }
}
