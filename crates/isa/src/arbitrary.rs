//! Arbitrary programs, for property tests here and in every crate that takes a program.
//!
//! Every shape, operation, size and kind of target occurs; small numbers and the edges of their
//! ranges more often than others. The programs are sound as [`Program`] is: they exist in text and
//! bytes. Whether they end, or touch only memory that is theirs, is for others to find out.
//!
//! ```
//! use proptest::prelude::*;
//! use sandbpf_isa::arbitrary;
//! proptest!(|(program in arbitrary::program())| {
//!     prop_assert_eq!(sandbpf_isa::decode(&program.to_bytes()), Ok(program));
//! });
//! ```

use alloc::{vec, vec::Vec};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    AddressSpace, AluOp, AtomicOp, Callee, Cond, Extend, Imm64, Insn, MapRef, Operand, Pc, Program, Reach,
    Reg, Size, UnaryOp, Width,
};

/// A program of 1 to 64 instructions.
pub fn program() -> impl Strategy<Value = Program> {
    programs(64)
}

/// A program of 1 to `longest` instructions. Every jump fits its encoding while that is below
/// 2¹⁴.
pub fn programs(longest: usize) -> impl Strategy<Value = Program> {
    vec(insn(), 1..=longest).prop_map(sound)
}

/// The program of these instructions, with every target brought inside it.
///
/// # Panics
///
/// If there is none, or one of them can be in no program; those of [`insn`] all can.
pub fn sound(mut insns: Vec<Insn>) -> Program {
    let len = insns.len() as u32;
    insns.iter_mut().for_each(|insn| bring_inside(insn, len));
    Program::new(insns).expect("each instruction is sound and its target brought inside")
}

/// One instruction that some program can have; its target is any number.
pub fn insn() -> impl Strategy<Value = Insn> {
    prop_oneof![
        6 => alu(),
        1 => (select(UnaryOp::ALL), destination()).prop_map(|(op, dst)| Insn::Unary { op, dst }),
        1 => (destination(), reg(), select(&[AddressSpace::Kernel, AddressSpace::User][..]))
            .prop_map(|(dst, src, to)| Insn::Cast { dst, src, to }),
        2 => (destination(), imm64()).prop_map(|(dst, value)| Insn::LoadImm { dst, value }),
        3 => load(),
        3 => (select(Size::ALL), reg(), off16(), operand())
            .prop_map(|(size, base, off, src)| Insn::Store { size, base, off, src }),
        2 => atomic(),
        1 => (select(&[Size::B, Size::H, Size::W][..]), proptest::option::of(reg()), imm32())
            .prop_map(|(size, index, off)| Insn::LoadPacket { size, index, off }),
        1 => (pc(), select(&[Reach::Near, Reach::Far][..])).prop_map(|(to, reach)| Insn::Jump { to, reach }),
        1 => pc().prop_map(|to| Insn::MayGoto { to }),
        3 => (select(Cond::ALL), width(), reg(), operand(), pc())
            .prop_map(|(cond, width, lhs, rhs, to)| Insn::Branch { cond, width, lhs, rhs, to }),
        2 => callee().prop_map(|callee| Insn::Call { callee }),
        1 => Just(Insn::Exit),
    ]
}

/// Any register.
pub fn reg() -> impl Strategy<Value = Reg> + Clone {
    select(Reg::all().collect::<Vec<_>>())
}

/// A register that may be written: not `r10`.
pub fn destination() -> impl Strategy<Value = Reg> + Clone {
    select(Reg::all().filter(|&reg| reg != Reg::R10).collect::<Vec<_>>())
}

/// A register or a number.
pub fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![reg().prop_map(Operand::Reg), imm32().prop_map(Operand::Imm)]
}

/// An immediate, often at an edge.
pub fn imm32() -> impl Strategy<Value = i32> + Clone {
    prop_oneof![-4..=4i32, -512..=512i32, select(&[i32::MIN, i32::MAX, 0xffff, 0x1_0000][..]), any::<i32>()]
}

fn off16() -> impl Strategy<Value = i16> + Clone {
    prop_oneof![-16..=16i16, -520..=520i16, select(&[i16::MIN, i16::MAX][..]), any::<i16>()]
}

fn width() -> impl Strategy<Value = Width> {
    select(&[Width::W32, Width::W64][..])
}

fn pc() -> impl Strategy<Value = Pc> {
    any::<u16>().prop_map(|pc| Pc(pc.into()))
}

fn alu() -> impl Strategy<Value = Insn> {
    (select(AluOp::ALL), width(), destination(), operand(), reg()).prop_map(|(op, width, dst, src, other)| {
        let src = if op.register_only() { Operand::Reg(src.reg().unwrap_or(other)) } else { src };
        let width = if op.has_width(width) { width } else { Width::W64 };
        Insn::Alu { op, width, dst, src }
    })
}

fn load() -> impl Strategy<Value = Insn> {
    let form = select(
        Size::ALL
            .iter()
            .flat_map(|&size| [(size, Extend::Zero), (size, Extend::Sign)])
            .filter(|&form| form != (Size::DW, Extend::Sign))
            .collect::<Vec<_>>(),
    );
    (form, destination(), reg(), off16()).prop_map(|((size, extend), dst, base, off)| Insn::Load {
        size,
        extend,
        dst,
        base,
        off,
    })
}

fn atomic() -> impl Strategy<Value = Insn> {
    (select(AtomicOp::ALL), select(Size::ALL), reg(), off16(), reg(), destination()).prop_map(
        |(op, size, base, off, reg, other)| {
            let size = if op.has_size(size) { size } else { Size::DW };
            let reg = if op.fetches(reg) == Some(Reg::R10) { other } else { reg };
            Insn::Atomic { op, size, base, off, reg }
        },
    )
}

fn imm64() -> impl Strategy<Value = Imm64> {
    let map = prop_oneof![any::<i32>().prop_map(MapRef::Fd), any::<i32>().prop_map(MapRef::Index)];
    prop_oneof![
        3 => prop_oneof![0..=16u64, any::<u64>(), Just(u64::MAX)].prop_map(Imm64::Number),
        1 => map.clone().prop_map(Imm64::Map),
        1 => (map, any::<u32>()).prop_map(|(map, off)| Imm64::MapValue(map, off)),
        1 => (any::<i32>(), imm32()).prop_map(|(id, module)| Imm64::Variable { id, module }),
        1 => pc().prop_map(Imm64::Function),
    ]
}

fn callee() -> impl Strategy<Value = Callee> {
    prop_oneof![
        2 => imm32().prop_map(Callee::Helper),
        2 => pc().prop_map(Callee::Local),
        1 => (imm32(), off16()).prop_map(|(id, module)| Callee::Kfunc { id, module }),
        1 => reg().prop_map(Callee::Register),
    ]
}

/// Points an instruction at one of `len`.
fn bring_inside(insn: &mut Insn, len: u32) {
    if let Insn::Jump { to, .. }
    | Insn::MayGoto { to }
    | Insn::Branch { to, .. }
    | Insn::Call { callee: Callee::Local(to) }
    | Insn::LoadImm { value: Imm64::Function(to), .. } = insn
    {
        to.0 %= len;
    }
}
