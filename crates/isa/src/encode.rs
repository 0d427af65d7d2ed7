//! Instructions to slots: the inverse of [`decode`](crate::decode).

use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};

use crate::{
    AddressSpace, AluOp, AtomicOp, Callee, Class, Extend, Imm64, Insn, MapRef, Operand, Pc, Program, Reach,
    Reg, Source, Width, opcode, pseudo,
};

impl Program {
    /// The encoded program, 8 bytes a slot.
    ///
    /// A branch that reaches further than its 16-bit field (only a program built by
    /// [`Program::new`] can have one) is encoded modulo 2¹⁶; [`Program::fits`] tells.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.slot_count() as usize * 8);
        for (index, insn) in self.insns().iter().enumerate() {
            self.encode(Pc(index as u32), insn, &mut bytes);
        }
        bytes
    }

    /// Whether every jump reaches its target in the encoding, so that
    /// `decode(&program.to_bytes())` gives the program again.
    pub fn fits(&self) -> bool {
        self.insns().iter().enumerate().all(|(index, insn)| {
            let near = !matches!(insn, Insn::Jump { reach: Reach::Far, .. });
            insn.target().is_none_or(|to| !near || i16::try_from(self.distance(Pc(index as u32), to)).is_ok())
        })
    }

    /// Slots from the end of the instruction at `pc` to `to`.
    pub fn distance(&self, pc: Pc, to: Pc) -> i32 {
        self.slot(to) as i32 - self.slot(pc) as i32 - 1
    }

    pub(crate) fn encode(&self, pc: Pc, insn: &Insn, out: &mut Vec<u8>) {
        let operand = |src: Operand| match src {
            Operand::Reg(reg) => (Source::Reg, reg.number(), 0),
            Operand::Imm(imm) => (Source::Imm, 0, imm),
        };
        let jump_class = |width| match width {
            Width::W32 => Class::Jmp32,
            Width::W64 => Class::Jmp,
        };
        match *insn {
            Insn::Alu { op, width, dst, src } => {
                let (code, off) = op.encoding();
                let (source, src, imm) = operand(src);
                let class = if width == Width::W32 { Class::Alu } else { Class::Alu64 };
                emit(out, class as u8 | source as u8 | code << 4, dst.number(), src, off, imm);
            }
            Insn::Unary { op, dst } => {
                let (class, source, code, imm) = op.encoding();
                emit(out, class as u8 | source as u8 | code << 4, dst.number(), 0, 0, imm);
            }
            Insn::Cast { dst, src, to } => {
                let imm = if to == AddressSpace::Kernel { 1 } else { 0x1_0000 };
                let op = Class::Alu64 as u8 | Source::Reg as u8 | AluOp::Mov.encoding().0 << 4;
                emit(out, op, dst.number(), src.number(), opcode::ADDR_SPACE_CAST, imm);
            }
            Insn::LoadImm { dst, value } => {
                let (src, low, high) = match value {
                    Imm64::Number(n) => (0, n as i32, (n >> 32) as i32),
                    Imm64::Map(MapRef::Fd(fd)) => (pseudo::MAP_FD, fd, 0),
                    Imm64::MapValue(MapRef::Fd(fd), off) => (pseudo::MAP_VALUE, fd, off as i32),
                    Imm64::Variable { id, module } => (pseudo::BTF_ID, id, module),
                    Imm64::Function(to) => (pseudo::FUNC, self.distance(pc, to), 0),
                    Imm64::Map(MapRef::Index(index)) => (pseudo::MAP_INDEX, index, 0),
                    Imm64::MapValue(MapRef::Index(index), off) => {
                        (pseudo::MAP_INDEX_VALUE, index, off as i32)
                    }
                };
                emit(out, opcode::LOAD_IMM64, dst.number(), src, 0, low);
                emit(out, 0, 0, 0, 0, high);
            }
            Insn::Load { size, extend, dst, base, off } => {
                let mode = if extend == Extend::Sign { opcode::MEMSX } else { opcode::MEM };
                emit(out, Class::Ldx as u8 | mode | size.encoding(), dst.number(), base.number(), off, 0);
            }
            Insn::Store { size, base, off, src } => {
                let (source, src, imm) = operand(src);
                let class = if source == Source::Reg { Class::Stx } else { Class::St };
                emit(out, class as u8 | opcode::MEM | size.encoding(), base.number(), src, off, imm);
            }
            Insn::Atomic { op, size, base, off, reg } => {
                let (dst, src) = if op == AtomicOp::LoadAcquire { (reg, base) } else { (base, reg) };
                let code = Class::Stx as u8 | opcode::ATOMIC | size.encoding();
                emit(out, code, dst.number(), src.number(), off, op.encoding());
            }
            Insn::LoadPacket { size, index, off } => {
                let mode = if index.is_some() { opcode::IND } else { opcode::ABS };
                emit(out, Class::Ld as u8 | mode | size.encoding(), 0, index.map_or(0, Reg::number), 0, off);
            }
            Insn::Jump { to, reach: Reach::Near } => {
                emit(out, Class::Jmp as u8 | opcode::JA, 0, 0, self.distance(pc, to) as i16, 0);
            }
            Insn::Jump { to, reach: Reach::Far } => {
                emit(out, Class::Jmp32 as u8 | opcode::JA, 0, 0, 0, self.distance(pc, to));
            }
            Insn::MayGoto { to } => {
                emit(out, Class::Jmp as u8 | opcode::JCOND, 0, 0, self.distance(pc, to) as i16, 0);
            }
            Insn::Branch { cond, width, lhs, rhs, to } => {
                let (source, src, imm) = operand(rhs);
                let code = jump_class(width) as u8 | source as u8 | cond.encoding() << 4;
                emit(out, code, lhs.number(), src, self.distance(pc, to) as i16, imm);
            }
            Insn::Call { callee } => {
                let code = Class::Jmp as u8 | opcode::CALL;
                match callee {
                    Callee::Helper(id) => emit(out, code, 0, 0, 0, id),
                    Callee::Local(to) => emit(out, code, 0, pseudo::CALL, 0, self.distance(pc, to)),
                    Callee::Kfunc { id, module } => emit(out, code, 0, pseudo::KFUNC_CALL, module, id),
                    Callee::Register(reg) => emit(out, code | Source::Reg as u8, reg.number(), 0, 0, 0),
                }
            }
            Insn::Exit => emit(out, Class::Jmp as u8 | opcode::EXIT, 0, 0, 0, 0),
        }
    }
}

fn emit(out: &mut Vec<u8>, opcode: u8, dst: u8, src: u8, off: i16, imm: i32) {
    let mut slot = [0; 8];
    slot[0] = opcode;
    slot[1] = dst | src << 4;
    LittleEndian::write_i16(&mut slot[2..4], off);
    LittleEndian::write_i32(&mut slot[4..8], imm);
    out.extend_from_slice(&slot);
}
