//! The flat code of the fast interpreter: one operation code for every row × width × operand.
//!
//! Generated from the operation tables, so that the loop has one arm for each code and no decisions
//! inside. Codes count up: arithmetic first, then conditions, then the rest.

use sandbpf_isa::{
    AddressSpace, AluOp, AtomicOp, Callee, Cond, Extend, Imm64, Insn, Operand, Pc, Program, Reg, Size,
    UnaryOp, Width, for_each_alu_op, for_each_cond, for_each_unary_op,
};
use sandbpf_runtime::{address, arena};

use crate::fused;

/// One flat operation.
///
/// What the fields mean depends on the code; `to` is a target, an offset, or the upper half of a
/// wide immediate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) code: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) imm: i32,
    pub(crate) to: u32,
}

/// The registers of the loop: sixteen, so that four bits index without a check.
pub(crate) type File = [u64; 16];

impl Op {
    #[inline(always)]
    pub(crate) fn dst(self) -> usize {
        (self.dst & 15) as usize
    }

    #[inline(always)]
    pub(crate) fn src(self) -> usize {
        (self.src & 15) as usize
    }

    /// The immediate, sign-extended.
    #[inline(always)]
    pub(crate) fn imm(self) -> u64 {
        self.imm as u64
    }

    /// The address `base + off`, where `base` is a register and the offset is in `to`.
    #[inline(always)]
    pub(crate) fn address(self, base: u64) -> u64 {
        base.wrapping_add(self.to as i32 as u64)
    }
}

const ALU_ROWS: u8 = AluOp::ALL.len() as u8;
const COND_ROWS: u8 = Cond::ALL.len() as u8;
const UNARY_ROWS: u8 = UnaryOp::ALL.len() as u8;

/// Where each block of codes starts.
const CONDS: u8 = 4 * ALU_ROWS;
const UNARIES: u8 = CONDS + 4 * COND_ROWS;
const REST: u8 = UNARIES + UNARY_ROWS;

/// Codes that stand alone.
pub(crate) mod codes {
    use super::REST;

    /// Loads by size: B, H, W, DW.
    pub(crate) const LOAD: [u8; 4] = [REST, REST + 1, REST + 2, REST + 3];
    pub(crate) const LOAD_B: u8 = LOAD[0];
    pub(crate) const LOAD_H: u8 = LOAD[1];
    pub(crate) const LOAD_W: u8 = LOAD[2];
    pub(crate) const LOAD_DW: u8 = LOAD[3];
    /// Sign-extending loads by size: B, H, W.
    pub(crate) const LOAD_SIGNED: [u8; 3] = [REST + 4, REST + 5, REST + 6];
    pub(crate) const LOAD_SB: u8 = LOAD_SIGNED[0];
    pub(crate) const LOAD_SH: u8 = LOAD_SIGNED[1];
    pub(crate) const LOAD_SW: u8 = LOAD_SIGNED[2];
    /// Stores of a register by size.
    pub(crate) const STORE: [u8; 4] = [REST + 7, REST + 8, REST + 9, REST + 10];
    pub(crate) const STORE_B: u8 = STORE[0];
    pub(crate) const STORE_H: u8 = STORE[1];
    pub(crate) const STORE_W: u8 = STORE[2];
    pub(crate) const STORE_DW: u8 = STORE[3];
    /// Stores of an immediate by size.
    pub(crate) const STORE_IMM: [u8; 4] = [REST + 11, REST + 12, REST + 13, REST + 14];
    pub(crate) const STORE_IMM_B: u8 = STORE_IMM[0];
    pub(crate) const STORE_IMM_H: u8 = STORE_IMM[1];
    pub(crate) const STORE_IMM_W: u8 = STORE_IMM[2];
    pub(crate) const STORE_IMM_DW: u8 = STORE_IMM[3];
    /// Packet loads at a constant offset by size: B, H, W.
    pub(crate) const PACKET: [u8; 3] = [REST + 15, REST + 16, REST + 17];
    pub(crate) const PACKET_B: u8 = PACKET[0];
    pub(crate) const PACKET_H: u8 = PACKET[1];
    pub(crate) const PACKET_W: u8 = PACKET[2];
    /// Packet loads at a register's offset by size: B, H, W.
    pub(crate) const PACKET_INDEX: [u8; 3] = [REST + 18, REST + 19, REST + 20];
    pub(crate) const PACKET_INDEX_B: u8 = PACKET_INDEX[0];
    pub(crate) const PACKET_INDEX_H: u8 = PACKET_INDEX[1];
    pub(crate) const PACKET_INDEX_W: u8 = PACKET_INDEX[2];
    pub(crate) const ATOMIC: u8 = REST + 21;
    pub(crate) const LOAD_IMM: u8 = REST + 22;
    pub(crate) const LOW_HALF: u8 = REST + 23;
    pub(crate) const JUMP: u8 = REST + 24;
    pub(crate) const MAY_GOTO: u8 = REST + 25;
    pub(crate) const CALL_HELPER: u8 = REST + 26;
    pub(crate) const CALL_LOCAL: u8 = REST + 27;
    pub(crate) const CALL_REGISTER: u8 = REST + 28;
    pub(crate) const UNRESOLVED: u8 = REST + 29;
    pub(crate) const EXIT: u8 = REST + 30;
    /// Stands after the last instruction.
    pub(crate) const FELL_OFF: u8 = REST + 31;
    /// Would write the frame pointer.
    pub(crate) const FRAME_POINTER: u8 = REST + 32;
    pub(crate) const CALL_KFUNC: u8 = REST + 33;
    pub(crate) const CAST_KERNEL: u8 = REST + 34;
    pub(crate) const CAST_USER: u8 = REST + 35;
    /// The first of the [sequences](crate::fused).
    pub(crate) const FIRST_FUSED: u8 = REST + 36;
}

/// The position of `value` in a table.
macro_rules! row {
    ($Enum:ident :: $Row:ident) => {{
        let (mut i, rows) = (0, $Enum::ALL);
        loop {
            if matches!(rows[i], $Enum::$Row) {
                break i as u8;
            }
            i += 1;
        }
    }};
}

macro_rules! define_alu {
    ($( $(#[doc = $doc:literal])* $Op:ident ($c:literal, $o:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
        #[allow(non_snake_case)]
        pub(crate) mod alu_codes { $( pub(crate) mod $Op {
            use super::super::*;
            pub(crate) const R64: u8 = row!(AluOp::$Op);
            pub(crate) const I64: u8 = ALU_ROWS + R64;
            pub(crate) const R32: u8 = 2 * ALU_ROWS + R64;
            pub(crate) const I32: u8 = 3 * ALU_ROWS + R64;
        } )* }

        fn alu_code(op: AluOp, width: Width, register: bool) -> u8 {
            match (op, width, register) { $(
                (AluOp::$Op, Width::W64, true) => alu_codes::$Op::R64,
                (AluOp::$Op, Width::W64, false) => alu_codes::$Op::I64,
                (AluOp::$Op, Width::W32, true) => alu_codes::$Op::R32,
                (AluOp::$Op, Width::W32, false) => alu_codes::$Op::I32,
            )* }
        }

        /// Does an arithmetic operation; `false` if it is another.
        #[inline(always)]
        pub(crate) fn alu(op: Op, r: &mut File) -> bool {
            // No work before the `match`, so that it follows on the loop's without any in between.
            match op.code { $(
                alu_codes::$Op::R64 => r[op.dst()] = AluOp::$Op.eval64(r[op.dst()], r[op.src()]),
                alu_codes::$Op::I64 => r[op.dst()] = AluOp::$Op.eval64(r[op.dst()], op.imm()),
                alu_codes::$Op::R32 => r[op.dst()] = AluOp::$Op.eval32(r[op.dst()] as u32, r[op.src()] as u32).into(),
                alu_codes::$Op::I32 => r[op.dst()] = AluOp::$Op.eval32(r[op.dst()] as u32, op.imm as u32).into(),
            )* _ => return false }
            true
        }

        /// What an arithmetic operation makes of its destination and its source register.
        #[inline(always)]
        pub(crate) fn alu_value(op: Op, [to, from]: [u64; 2]) -> u64 {
            match op.code { $(
                alu_codes::$Op::R64 => AluOp::$Op.eval64(to, from),
                alu_codes::$Op::I64 => AluOp::$Op.eval64(to, op.imm()),
                alu_codes::$Op::R32 => AluOp::$Op.eval32(to as u32, from as u32).into(),
                alu_codes::$Op::I32 => AluOp::$Op.eval32(to as u32, op.imm as u32).into(),
            )* _ => to }
        }
    };
}
for_each_alu_op!(define_alu);

macro_rules! define_cond {
    ($( $(#[doc = $doc:literal])* $Cond:ident ($c:literal) $s:literal |$a:ident, $b:ident| $m:expr; )*) => {
        #[allow(non_snake_case)]
        pub(crate) mod cond_codes { $( pub(crate) mod $Cond {
            use super::super::*;
            pub(crate) const R64: u8 = CONDS + row!(Cond::$Cond);
            pub(crate) const I64: u8 = COND_ROWS + R64;
            pub(crate) const R32: u8 = 2 * COND_ROWS + R64;
            pub(crate) const I32: u8 = 3 * COND_ROWS + R64;
        } )* }

        fn cond_code(cond: Cond, width: Width, register: bool) -> u8 {
            match (cond, width, register) { $(
                (Cond::$Cond, Width::W64, true) => cond_codes::$Cond::R64,
                (Cond::$Cond, Width::W64, false) => cond_codes::$Cond::I64,
                (Cond::$Cond, Width::W32, true) => cond_codes::$Cond::R32,
                (Cond::$Cond, Width::W32, false) => cond_codes::$Cond::I32,
            )* }
        }

        /// Decides a branch; `None` if the operation is none.
        #[inline(always)]
        pub(crate) fn branch(op: Op, r: &File) -> Option<bool> {
            Some(match op.code { $(
                cond_codes::$Cond::R64 => Cond::$Cond.eval64(r[op.dst()], r[op.src()]),
                cond_codes::$Cond::I64 => Cond::$Cond.eval64(r[op.dst()], op.imm()),
                cond_codes::$Cond::R32 => Cond::$Cond.eval32(r[op.dst()] as u32, r[op.src()] as u32),
                cond_codes::$Cond::I32 => Cond::$Cond.eval32(r[op.dst()] as u32, op.imm as u32),
            )* _ => return None })
        }
    };
}
for_each_cond!(define_cond);

macro_rules! define_unary {
    ($( $(#[doc = $doc:literal])* $Op:ident ($class:ident, $src:ident, $c:literal, $imm:literal) $s:literal |$a:ident| $m:expr; )*) => {
        #[allow(non_upper_case_globals)]
        mod unary_codes { $( pub(super) const $Op: u8 = super::UNARIES + { use super::*; row!(UnaryOp::$Op) }; )* }

        fn unary_code(op: UnaryOp) -> u8 {
            match op { $(UnaryOp::$Op => unary_codes::$Op),* }
        }

        /// Does a one-operand operation; `false` if it is another.
        #[inline(always)]
        pub(crate) fn unary(op: Op, r: &mut File) -> bool {
            match op.code { $(
                unary_codes::$Op => r[op.dst()] = UnaryOp::$Op.eval(r[op.dst()]),
            )* _ => return false }
            true
        }
    };
}
for_each_unary_op!(define_unary);

/// The flat code of a program, with what stands after the last instruction.
pub(crate) fn flatten(program: &Program) -> Box<[Op]> {
    let end = Op { code: codes::FELL_OFF, dst: 0, src: 0, imm: 0, to: 0 };
    let ops = program.insns().iter().map(|insn| flat(program, insn));
    let mut ops: Box<[Op]> = ops.chain([end]).collect();
    fused::fuse(&mut ops);
    ops
}

fn flat(program: &Program, insn: &Insn) -> Op {
    let number = Reg::number;
    let op = |code, dst: Reg, src: Operand, to: u32| match src {
        Operand::Reg(src) => Op { code, dst: number(dst), src: number(src), imm: 0, to },
        Operand::Imm(imm) => Op { code, dst: number(dst), src: 0, imm, to },
    };
    let none = Operand::Imm(0);
    if insn.writes().contains(Reg::R10) {
        return op(codes::FRAME_POINTER, Reg::R0, none, 0);
    }
    match *insn {
        Insn::Alu { op: alu, width, dst, src } => op(alu_code(alu, width, src.reg().is_some()), dst, src, 0),
        Insn::Unary { op: unary, dst } => op(unary_code(unary), dst, none, 0),
        Insn::Cast { dst, src, to } => match (program.arena(), to) {
            (Some(_), AddressSpace::Kernel) => op(codes::CAST_KERNEL, dst, src.into(), 0),
            (Some(arena), AddressSpace::User) if arena.converts => {
                op(codes::CAST_USER, dst, src.into(), (arena::upper(arena) >> 32) as u32)
            }
            _ => op(codes::LOW_HALF, dst, src.into(), 0),
        },
        Insn::LoadImm { dst, value } => {
            let wide =
                |value: u64| op(codes::LOAD_IMM, dst, Operand::Imm(value as i32), (value >> 32) as u32);
            match value {
                Imm64::Number(value) => wide(value),
                Imm64::Function(entry) => wide(address::function(entry)),
                Imm64::Map(_) | Imm64::MapValue(..) | Imm64::Variable { .. } => {
                    op(codes::UNRESOLVED, dst, none, 0)
                }
            }
        }
        Insn::Load { size, extend: Extend::Zero, dst, base, off } => {
            op(codes::LOAD[size as usize], dst, base.into(), off as u32)
        }
        Insn::Load { size, extend: Extend::Sign, dst, base, off } => {
            op(codes::LOAD_SIGNED[size as usize], dst, base.into(), off as u32)
        }
        Insn::Store { size, base, off, src } => {
            let codes = if src.reg().is_some() { codes::STORE } else { codes::STORE_IMM };
            op(codes[size as usize], base, src, off as u32)
        }
        Insn::Atomic { op: atomic, size, base, off, reg } => {
            let mut flat = op(codes::ATOMIC, base, reg.into(), off as u32);
            flat.imm = i32::from(size.bytes()) << 16 | atomic.encoding();
            flat
        }
        Insn::LoadPacket { size, index, off } => {
            let codes = if index.is_some() { codes::PACKET_INDEX } else { codes::PACKET };
            let mut flat = op(codes[size as usize], Reg::R0, index.unwrap_or(Reg::R0).into(), 0);
            flat.imm = off;
            flat
        }
        Insn::Jump { to, reach: _ } => op(codes::JUMP, Reg::R0, none, to.0),
        Insn::MayGoto { to } => op(codes::MAY_GOTO, Reg::R0, none, to.0),
        Insn::Branch { cond, width, lhs, rhs, to } => {
            op(cond_code(cond, width, rhs.reg().is_some()), lhs, rhs, to.0)
        }
        Insn::Call { callee } => match callee {
            Callee::Helper(id) => op(codes::CALL_HELPER, Reg::R0, Operand::Imm(id), 0),
            Callee::Local(entry) => {
                let cost = program.function_of(entry).cost;
                op(codes::CALL_LOCAL, Reg::R0, Operand::Imm(cost as i32), entry.0)
            }
            Callee::Register(reg) => op(codes::CALL_REGISTER, Reg::R0, reg.into(), 0),
            Callee::Kfunc { id, module: 0 } => op(codes::CALL_KFUNC, Reg::R0, Operand::Imm(id), 0),
            Callee::Kfunc { .. } => op(codes::UNRESOLVED, Reg::R0, none, 0),
        },
        Insn::Exit => op(codes::EXIT, Reg::R0, none, 0),
    }
}

/// The operation and size of a flat atomic operation.
pub(crate) fn atomic(op: Op) -> Option<(AtomicOp, Size)> {
    Some((AtomicOp::decode(op.imm & 0xffff)?, Size::of_bytes((op.imm >> 16) as u64)?))
}

/// The function that a register points to, for a call through it.
pub(crate) fn function(program: &Program, address: u64) -> Option<(Pc, u32)> {
    let function = program.function_at(address::as_function(address)?)?;
    Some((function.entry, function.cost))
}
