//! One instruction as the kernel's verifier log shows it: `(7b) *(u64 *)(r10 -8) = r0`.
//!
//! [`parse`](crate::parse) reads such lines back; what the log knows beside the instruction (names of functions, of
//! maps) comes from [`Names`].

use alloc::{format, string::String, vec::Vec};

use crate::{AddressSpace, AluOp, AtomicOp, Callee, Extend, Imm64, Insn, Operand, Pc, Program, Reach, Size};
use crate::{UnaryOp, Width};

/// What a listing calls things that instructions have numbers for.
pub trait Names {
    /// The name of a helper or of a function of the kernel.
    fn function(&self, callee: Callee) -> Option<String>;
    /// What an immediate that stands for something (a map, a variable) shows as.
    fn immediate(&self, value: Imm64) -> Option<String>;
}

/// No names: numbers are shown.
impl Names for () {
    fn function(&self, _: Callee) -> Option<String> {
        None
    }

    fn immediate(&self, _: Imm64) -> Option<String> {
        None
    }
}

/// One instruction in the kernel's notation; empty if `pc` is outside the program.
///
/// ```
/// use sandbpf_isa::{Pc, print_kernel};
/// let program = sandbpf_isa::parse("*(u64 *)(r10 - 8) = r0\nif r0 == 16 goto +1\nr0 = 1\nexit")?;
/// assert_eq!(print_kernel(&program, Pc(0), &()), "(7b) *(u64 *)(r10 -8) = r0");
/// assert_eq!(print_kernel(&program, Pc(1), &()), "(15) if r0 == 0x10 goto pc+1");
/// # Ok::<(), sandbpf_isa::TextError>(())
/// ```
pub fn print_kernel(program: &Program, pc: Pc, names: &dyn Names) -> String {
    let Some(insn) = program.get(pc) else { return String::new() };
    let mut bytes = Vec::with_capacity(16);
    program.encode(pc, insn, &mut bytes);
    let opcode = bytes.first().copied().unwrap_or_default();
    format!("({opcode:02x}) {}", body(program, pc, insn, names))
}

fn body(program: &Program, pc: Pc, insn: &Insn, names: &dyn Names) -> String {
    let goto = |to: Pc| format!("goto pc{:+}", program.distance(pc, to));
    match *insn {
        Insn::Alu { op, width, dst, src } => {
            let letter = width.letter();
            let dst = format!("{letter}{}", dst.number());
            let src = match src {
                Operand::Reg(reg) => format!("{letter}{}", reg.number()),
                Operand::Imm(imm) => format!("{imm}"),
            };
            let gap = if matches!(op, AluOp::Movs8 | AluOp::Movs16 | AluOp::Movs32) { "" } else { " " };
            format!("{dst} {}{gap}{src}", op.symbol())
        }
        Insn::Unary { op: UnaryOp::Neg64, dst } => format!("{dst} = -{dst}"),
        Insn::Unary { op: UnaryOp::Neg32, dst } => format!("w{0} = -w{0}", dst.number()),
        Insn::Unary { op, dst } => format!("{dst} = {} {dst}", op.symbol()),
        Insn::Cast { dst, src, to } => {
            let (from, to) = if to == AddressSpace::Kernel { (0, 1) } else { (1, 0) };
            format!("{dst} = addr_space_cast({src}, {from}, {to})")
        }
        Insn::LoadImm { dst, value } => {
            let shown = names.immediate(value).unwrap_or_else(|| match value {
                Imm64::Number(number) => format!("{number:#x}"),
                Imm64::Variable { id, .. } => format!("{id:#x}"),
                Imm64::Function(to) => format!("{:#x}", program.distance(pc, to) as u32),
                Imm64::Map(map) | Imm64::MapValue(map, _) => {
                    let (crate::MapRef::Fd(number) | crate::MapRef::Index(number)) = map;
                    format!("{number:#x}")
                }
            });
            format!("{dst} = {shown}")
        }
        Insn::Load { size, extend, dst, base, off } => {
            let sign = if extend == Extend::Sign { 's' } else { 'u' };
            format!("{dst} = *({sign}{} *)({base} {off:+})", size.bits())
        }
        Insn::Store { size, base, off, src } => {
            let src = match src {
                Operand::Reg(reg) => format!("{reg}"),
                Operand::Imm(imm) => format!("{imm}"),
            };
            format!("*(u{} *)({base} {off:+}) = {src}", size.bits())
        }
        Insn::Atomic { op, size, base, off, reg } => {
            let place = format!("(u{} *)({base} {off:+})", size.bits());
            let wide = if size == Size::DW { "64" } else { "" };
            let fetch = |name: &str| format!("{reg} = atomic{wide}_{name}({place}, {reg})");
            match op {
                AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => {
                    format!("lock *{place} {} {reg}", op.symbol())
                }
                AtomicOp::FetchAdd => fetch("fetch_add"),
                AtomicOp::FetchOr => fetch("fetch_or"),
                AtomicOp::FetchAnd => fetch("fetch_and"),
                AtomicOp::FetchXor => fetch("fetch_xor"),
                AtomicOp::Xchg => fetch("xchg"),
                AtomicOp::Cmpxchg => format!("r0 = atomic{wide}_cmpxchg({place}, r0, {reg})"),
                AtomicOp::LoadAcquire => format!("{reg} = load_acquire({place})"),
                AtomicOp::StoreRelease => format!("store_release({place}, {reg})"),
            }
        }
        Insn::LoadPacket { size, index: None, off } => format!("r0 = *(u{} *)skb[{off}]", size.bits()),
        Insn::LoadPacket { size, index: Some(index), off } => {
            format!("r0 = *(u{} *)skb[{index} + {off}]", size.bits())
        }
        Insn::Jump { to, reach: Reach::Near } => goto(to),
        Insn::Jump { to, reach: Reach::Far } => format!("gotol pc{:+}", program.distance(pc, to)),
        Insn::MayGoto { to } => format!("may_{}", goto(to)),
        Insn::Branch { cond, width, lhs, rhs, to } => {
            let letter = if width == Width::W32 { 'w' } else { 'r' };
            let rhs = match rhs {
                Operand::Reg(reg) => format!("{letter}{}", reg.number()),
                Operand::Imm(imm) => format!("{imm:#x}"),
            };
            format!("if {letter}{} {} {rhs} {}", lhs.number(), cond.symbol(), goto(to))
        }
        Insn::Call { callee: Callee::Local(to) } => format!("call pc{:+}", program.distance(pc, to)),
        Insn::Call { callee: callee @ (Callee::Helper(id) | Callee::Kfunc { id, .. }) } => {
            let name = names.function(callee);
            let unknown = if matches!(callee, Callee::Helper(_)) { "unknown" } else { "kernel-function" };
            format!("call {}#{id}", name.as_deref().unwrap_or(unknown))
        }
        Insn::Call { callee: Callee::Register(reg) } => format!("callx {reg}"),
        Insn::Exit => String::from("exit"),
    }
}
