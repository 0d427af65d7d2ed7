//! Instructions to text.

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
};
use core::fmt;

use crate::{
    AddressSpace, AluOp, AtomicOp, Callee, Extend, Imm64, Insn, MapRef, Operand, Pc, Program, Reach, Reg,
    Size, UnaryOp, Width,
};

/// The listing of a program, which [`parse`](crate::parse) reads back to the same program.
///
/// Labels stand where something goes: `f7` in front of instruction 7 if it starts a function, `L7`
/// if it does not.
///
/// ```
/// let program = sandbpf_isa::parse("r1 = 3\ncall pc+1\nexit\nw0 = w1\nw0 = -w0\nexit")?;
/// assert_eq!(
///     sandbpf_isa::print(&program),
///     "    r1 = 3\n    call f3\n    exit\nf3:\n    w0 = w1\n    w0 = -w0\n    exit\n"
/// );
/// # Ok::<(), sandbpf_isa::TextError>(())
/// ```
pub fn print(program: &Program) -> String {
    program.to_string()
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |insn: &Insn| insn.target().or(insn.function());
        let targets: BTreeSet<Pc> = self.insns().iter().filter_map(named).collect();
        let mut targets = targets.into_iter().peekable();
        for index in 0..self.len() {
            let pc = Pc(index as u32);
            if targets.next_if_eq(&pc).is_some() {
                writeln!(f, "{}:", Label { program: self, pc })?;
            }
            writeln!(f, "    {}", print_insn(self, pc))?;
        }
        Ok(())
    }
}

/// One instruction as its line in the listing; nothing if `pc` is outside the program.
///
/// ```
/// use sandbpf_isa::Pc;
/// let program = sandbpf_isa::parse("r0 = *(u32 *)(r1 + 4)\nif r0 == 0 goto +1\nr0 = 1\nexit")?;
/// assert_eq!(sandbpf_isa::print_insn(&program, Pc(0)).to_string(), "r0 = *(u32 *)(r1 + 4)");
/// assert_eq!(sandbpf_isa::print_insn(&program, Pc(1)).to_string(), "if r0 == 0 goto L3");
/// # Ok::<(), sandbpf_isa::TextError>(())
/// ```
pub fn print_insn(program: &Program, pc: Pc) -> impl fmt::Display {
    Listed { program, pc }
}

struct Listed<'a> {
    program: &'a Program,
    pc: Pc,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.program.get(self.pc).map_or(Ok(()), |insn| write_insn(f, self.program, insn))
    }
}

fn write_insn(f: &mut fmt::Formatter<'_>, program: &Program, insn: &Insn) -> fmt::Result {
    let label = |pc| Label { program, pc };
    match *insn {
        Insn::Alu { op: op @ (AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32), width, dst, src } => {
            write!(f, "{} {}{}", In(width, dst), op.symbol(), Source(width, src))
        }
        Insn::Alu { op, width, dst, src } => {
            write!(f, "{} {} {}", In(width, dst), op.symbol(), Source(width, src))
        }
        Insn::Unary { op: UnaryOp::Neg64, dst } => write!(f, "{dst} = -{dst}"),
        Insn::Unary { op: UnaryOp::Neg32, dst } => write!(f, "{0} = -{0}", In(Width::W32, dst)),
        Insn::Unary { op, dst } => write!(f, "{dst} = {} {dst}", op.symbol()),
        Insn::Cast { dst, src, to: AddressSpace::Kernel } => {
            write!(f, "{dst} = addr_space_cast({src}, 0, 1)")
        }
        Insn::Cast { dst, src, to: AddressSpace::User } => write!(f, "{dst} = addr_space_cast({src}, 1, 0)"),
        Insn::LoadImm { dst, value } => match value {
            Imm64::Number(number) => write!(f, "{dst} = {number:#x} ll"),
            Imm64::Map(map) => write!(f, "{dst} = {}", Map(map)),
            Imm64::MapValue(map, off) => write!(f, "{dst} = {}[0]+{off}", Map(map)),
            Imm64::Variable { id, module: 0 } => write!(f, "{dst} = variable[id:{id}]"),
            Imm64::Variable { id, module } => write!(f, "{dst} = variable[id:{id}, module:{module}]"),
            Imm64::Function(to) => write!(f, "{dst} = subprog[{}]", label(to)),
        },
        Insn::Load { size, extend, dst, base, off } => {
            let letter = if extend == Extend::Sign { 's' } else { 'u' };
            write!(f, "{dst} = *({letter}{} *)({base} {})", size.bits(), Offset(off.into()))
        }
        Insn::Store { size, base, off, src } => {
            let (bits, src) = (size.bits(), Source(Width::W64, src));
            write!(f, "*(u{bits} *)({base} {}) = {src}", Offset(off.into()))
        }
        Insn::Atomic { op, size, base, off, reg } => write_atomic(f, op, size, base, off, reg),
        Insn::LoadPacket { size, index, off } => {
            write!(f, "r0 = *(u{} *)skb[", size.bits())?;
            match index {
                None => write!(f, "{off}]"),
                Some(index) => write!(f, "{index} {}]", Offset(off)),
            }
        }
        Insn::Jump { to, reach: Reach::Near } => write!(f, "goto {}", label(to)),
        Insn::Jump { to, reach: Reach::Far } => write!(f, "gotol {}", label(to)),
        Insn::MayGoto { to } => write!(f, "may_goto {}", label(to)),
        Insn::Branch { cond, width, lhs, rhs, to } => {
            let (lhs, rhs) = (In(width, lhs), Source(width, rhs));
            write!(f, "if {lhs} {} {rhs} goto {}", cond.symbol(), label(to))
        }
        Insn::Call { callee: Callee::Helper(id) } => write!(f, "call {id}"),
        Insn::Call { callee: Callee::Local(to) } => write!(f, "call {}", label(to)),
        Insn::Call { callee: Callee::Kfunc { id, module: 0 } } => write!(f, "call kfunc#{id}"),
        Insn::Call { callee: Callee::Kfunc { id, module } } => write!(f, "call kfunc#{id}@{module}"),
        Insn::Call { callee: Callee::Register(reg) } => write!(f, "callx {reg}"),
        Insn::Exit => write!(f, "exit"),
    }
}

/// As llvm-objdump: operations of 32 bits have `w` registers, plain loads and stores `r` registers.
fn write_atomic(
    f: &mut fmt::Formatter<'_>,
    op: AtomicOp,
    size: Size,
    base: Reg,
    off: i16,
    reg: Reg,
) -> fmt::Result {
    let (bits, off) = (size.bits(), Offset(off.into()));
    let width = if size == Size::DW { Width::W64 } else { Width::W32 };
    let (result, suffix) = (In(width, reg), if size == Size::DW { "_64" } else { "32_32" });
    match op {
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => {
            write!(f, "lock *(u{bits} *)({base} {off}) {} {result}", op.symbol())
        }
        AtomicOp::FetchAdd | AtomicOp::FetchOr | AtomicOp::FetchAnd | AtomicOp::FetchXor => {
            write!(f, "{result} = {}((u{bits} *)({base} {off}), {result})", op.symbol())
        }
        AtomicOp::Xchg => write!(f, "{result} = {}{suffix}({base} {off}, {result})", op.symbol()),
        AtomicOp::Cmpxchg => {
            let r0 = In(width, Reg::R0);
            write!(f, "{r0} = {}{suffix}({base} {off}, {r0}, {result})", op.symbol())
        }
        AtomicOp::LoadAcquire => write!(f, "{reg} = {}((u{bits} *)({base} {off}))", op.symbol()),
        AtomicOp::StoreRelease => write!(f, "{}((u{bits} *)({base} {off}), {reg})", op.symbol()),
    }
}

/// The name of the place before an instruction.
struct Label<'a> {
    program: &'a Program,
    pc: Pc,
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.program.function_at(self.pc).is_some() { 'f' } else { 'L' };
        write!(f, "{letter}{}", self.pc)
    }
}

/// A register as `r3` or `w3`.
#[derive(Clone, Copy)]
struct In(Width, Reg);

impl fmt::Display for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.letter(), self.1.number())
    }
}

/// An operand of an operation of this width.
struct Source(Width, Operand);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Reg(reg) => In(self.0, reg).fmt(f),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

/// `+ 4` or `- 4`.
#[derive(Clone, Copy)]
struct Offset(i32);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign} {}", self.0.unsigned_abs())
    }
}

/// `map[fd:3]` or `map[idx:3]`.
struct Map(MapRef);

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MapRef::Fd(fd) => write!(f, "map[fd:{fd}]"),
            MapRef::Index(index) => write!(f, "map[idx:{index}]"),
        }
    }
}
