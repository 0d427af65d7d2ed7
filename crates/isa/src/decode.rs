//! Slots to instructions.
//!
//! A slot is 8 bytes, little-endian: opcode, registers (destination in the low four bits), offset,
//! immediate (RFC 9669 §3). Two passes: the first finds where instructions start, because jump
//! distances count slots; the second decodes.

use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};

use crate::{
    AddressSpace, AluOp, AtomicOp, Callee, Class, Cond, DecodeError, DecodeErrorKind, Extend, Imm64, Insn,
    MapRef, Operand, Pc, Program, Reach, Reg, Size, Source, UnaryOp, Width, opcode, pseudo,
};

/// How strict to be about fields that an instruction does not use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserved {
    /// As Linux 6.18: zero, except for two that nobody looks at: the offset of `exit`, and the
    /// second immediate of a function's address. Linux looks at fields where its verifier walks,
    /// so it also takes what stands behind a branch that is never taken; here every instruction
    /// counts.
    #[default]
    Linux,
    /// As RFC 9669: every unused field is zero.
    Rfc9669,
    /// As an interpreter without a verifier: unused fields are not looked at. What selects an
    /// operation is, and so is the opcode of the second slot of a 64-bit immediate.
    Ignored,
}

/// Decodes a program as Linux would.
///
/// ```
/// let bytes = [0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// assert_eq!(sandbpf_isa::decode(&bytes)?.len(), 2);
///
/// let error = sandbpf_isa::decode(&[0xb7, 0x0b, 0, 0, 7, 0, 0, 0]).unwrap_err();
/// assert_eq!(error.to_string(), "at slot 0: the destination register is r11; the last one is r10");
/// # Ok::<(), sandbpf_isa::DecodeError>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Program, DecodeError> {
    decode_with(bytes, Reserved::Linux)
}

/// Decodes a program, with a choice of strictness.
pub fn decode_with(bytes: &[u8], reserved: Reserved) -> Result<Program, DecodeError> {
    let slots = bytes.chunks_exact(8);
    let count = slots.len() as u32;
    let rest = slots.remainder().len();
    if rest != 0 {
        return Err(DecodeError { slot: count, kind: DecodeErrorKind::PartialSlot(rest) });
    }
    if slots.len() > 2 * crate::MAX_INSNS {
        return Err(DecodeError { slot: count, kind: crate::ProgramErrorKind::TooLong.into() });
    }
    let slots: Vec<Slot> = slots.map(Slot::read).collect();
    let decoder = Decoder { starts: starts(&slots), slots, reserved };
    let mut insns = Vec::with_capacity(decoder.slots.len());
    let mut slot = 0;
    while slot < decoder.slots.len() {
        let insn = decoder.insn(slot).map_err(|kind| DecodeError { slot: slot as u32, kind })?;
        slot += insn.slots() as usize;
        insns.push(insn);
    }
    Program::new(insns).map_err(|error| {
        let slot = decoder.starts.iter().position(|&pc| pc == Some(error.pc().0)).unwrap_or(0);
        DecodeError { slot: slot as u32, kind: error.kind.into() }
    })
}

/// For every slot, the instruction that starts there.
fn starts(slots: &[Slot]) -> Vec<Option<u32>> {
    let mut starts = Vec::with_capacity(slots.len());
    let mut pc = 0;
    while starts.len() < slots.len() {
        let wide = slots[starts.len()].is_wide();
        starts.push(Some(pc));
        if wide && starts.len() < slots.len() {
            starts.push(None);
        }
        pc += 1;
    }
    starts
}

#[derive(Clone, Copy)]
struct Slot {
    opcode: u8,
    dst: u8,
    src: u8,
    off: i16,
    imm: i32,
}

impl Slot {
    fn read(bytes: &[u8]) -> Slot {
        Slot {
            opcode: bytes[0],
            dst: bytes[1] & 0xf,
            src: bytes[1] >> 4,
            off: LittleEndian::read_i16(&bytes[2..]),
            imm: LittleEndian::read_i32(&bytes[4..]),
        }
    }

    fn is_wide(self) -> bool {
        self.opcode == opcode::LOAD_IMM64
    }
}

struct Decoder {
    slots: Vec<Slot>,
    starts: Vec<Option<u32>>,
    reserved: Reserved,
}

type Decoded<T> = Result<T, DecodeErrorKind>;

impl Decoder {
    fn insn(&self, index: usize) -> Decoded<Insn> {
        let slot = self.slots[index];
        let dst = register("destination", slot.dst);
        let src = register("source", slot.src);
        if self.reserved != Reserved::Ignored {
            // Even where the instruction uses none.
            dst.clone().and(src.clone())?;
        }
        match Class::decode(slot.opcode) {
            Class::Ld => self.ld(index, slot, dst, src),
            Class::Ldx => self.ldx(slot, dst, src),
            Class::St => self.st(slot, dst),
            Class::Stx => self.stx(slot, dst, src),
            Class::Alu => self.alu(slot, Width::W32, dst, src),
            Class::Alu64 => self.alu(slot, Width::W64, dst, src),
            Class::Jmp => self.jmp(index, slot, Width::W64, dst, src),
            Class::Jmp32 => self.jmp(index, slot, Width::W32, dst, src),
        }
    }

    fn alu(&self, slot: Slot, width: Width, dst: Decoded<Reg>, src: Decoded<Reg>) -> Decoded<Insn> {
        let code = slot.opcode >> 4;
        let source = Source::decode(slot.opcode);
        if matches!(slot.opcode & 0xf0, opcode::NEG | opcode::END) {
            return self.unary(slot, source, dst);
        }
        if code == AluOp::Mov.encoding().0
            && slot.off == opcode::ADDR_SPACE_CAST
            && source == Source::Reg
            && width == Width::W64
        {
            match (slot.imm, self.reserved) {
                (1, _) => return Ok(Insn::Cast { dst: dst?, src: src?, to: AddressSpace::Kernel }),
                (0x1_0000, _) => return Ok(Insn::Cast { dst: dst?, src: src?, to: AddressSpace::User }),
                (_, Reserved::Ignored) => {}
                (_, Reserved::Linux | Reserved::Rfc9669) => return Err(slot.variant("immediate", slot.imm)),
            }
        }
        let found = AluOp::decode(code, slot.off);
        let exists = |op: &AluOp| op.has_width(width) && !(op.register_only() && source == Source::Imm);
        let op = match (found.filter(exists), AluOp::decode(code, 0)) {
            (Some(op), _) => op,
            (None, None) => return Err(DecodeErrorKind::Opcode(slot.opcode)),
            (None, Some(op)) if self.reserved == Reserved::Ignored => op,
            (None, Some(_)) if found.is_some() => return Err(slot.variant("offset", slot.off)),
            (None, Some(_)) => return Err(slot.reserved("offset", slot.off)),
        };
        Ok(Insn::Alu { op, width, dst: dst?, src: self.operand(slot, source, src)? })
    }

    fn unary(&self, slot: Slot, source: Source, dst: Decoded<Reg>) -> Decoded<Insn> {
        let class = Class::decode(slot.opcode);
        let negate = slot.opcode & 0xf0 == opcode::NEG;
        let selector = if negate { 0 } else { slot.imm };
        let Some(op) = UnaryOp::decode(class, source, slot.opcode >> 4, selector) else {
            let exists = UnaryOp::ALL.iter().any(|op| {
                let (c, s, code, _) = op.encoding();
                (c, s, code) == (class, source, slot.opcode >> 4)
            });
            return Err(if exists {
                slot.variant("immediate", slot.imm)
            } else {
                DecodeErrorKind::Opcode(slot.opcode)
            });
        };
        if negate {
            self.unused(slot, "immediate", slot.imm)?;
        }
        self.unused(slot, "offset", slot.off)?;
        self.unused(slot, "source register", slot.src)?;
        Ok(Insn::Unary { op, dst: dst? })
    }

    fn ld(&self, index: usize, slot: Slot, dst: Decoded<Reg>, src: Decoded<Reg>) -> Decoded<Insn> {
        if slot.is_wide() {
            return Ok(Insn::LoadImm { dst: dst?, value: self.wide(index, slot)? });
        }
        let size = Size::decode(slot.opcode);
        let index = match slot.opcode & 0xe0 {
            opcode::ABS if size != Size::DW => None,
            opcode::IND if size != Size::DW => Some(src?),
            _ => return Err(DecodeErrorKind::Opcode(slot.opcode)),
        };
        self.unused(slot, "destination register", slot.dst)?;
        self.unused(slot, "offset", slot.off)?;
        if index.is_none() {
            self.unused(slot, "source register", slot.src)?;
        }
        Ok(Insn::LoadPacket { size, index, off: slot.imm })
    }

    fn wide(&self, index: usize, slot: Slot) -> Decoded<Imm64> {
        self.unused(slot, "offset", slot.off)?;
        let Some(&second) = self.slots.get(index + 1) else { return Err(DecodeErrorKind::WideImmediate) };
        let empty = (second.dst, second.src, second.off) == (0, 0, 0);
        if second.opcode != 0 || !(empty || self.reserved == Reserved::Ignored) {
            return Err(DecodeErrorKind::WideImmediate);
        }
        let function =
            if slot.src == pseudo::FUNC { self.target(index, i64::from(slot.imm))? } else { Pc(0) };
        let Some(value) = wide(slot.src, slot.imm, second.imm, function) else {
            return Err(slot.variant("source register", slot.src));
        };
        let lonely = match value {
            Imm64::Map(_) => self.reserved != Reserved::Ignored,
            Imm64::Function(_) => self.reserved == Reserved::Rfc9669,
            Imm64::Number(_) | Imm64::MapValue(..) | Imm64::Variable { .. } => false,
        };
        if lonely && second.imm != 0 {
            return Err(DecodeErrorKind::WideImmediate);
        }
        Ok(value)
    }

    fn ldx(&self, slot: Slot, dst: Decoded<Reg>, base: Decoded<Reg>) -> Decoded<Insn> {
        let size = Size::decode(slot.opcode);
        let extend = match slot.opcode & 0xe0 {
            opcode::MEM => Extend::Zero,
            opcode::MEMSX if size != Size::DW => Extend::Sign,
            _ => return Err(DecodeErrorKind::Opcode(slot.opcode)),
        };
        self.unused(slot, "immediate", slot.imm)?;
        Ok(Insn::Load { size, extend, dst: dst?, base: base?, off: slot.off })
    }

    fn st(&self, slot: Slot, base: Decoded<Reg>) -> Decoded<Insn> {
        if slot.opcode & 0xe0 != opcode::MEM {
            return Err(DecodeErrorKind::Opcode(slot.opcode));
        }
        self.unused(slot, "source register", slot.src)?;
        Ok(Insn::Store {
            size: Size::decode(slot.opcode),
            base: base?,
            off: slot.off,
            src: Operand::Imm(slot.imm),
        })
    }

    fn stx(&self, slot: Slot, base: Decoded<Reg>, src: Decoded<Reg>) -> Decoded<Insn> {
        let size = Size::decode(slot.opcode);
        match slot.opcode & 0xe0 {
            opcode::MEM => {
                self.unused(slot, "immediate", slot.imm)?;
                Ok(Insn::Store { size, base: base?, off: slot.off, src: Operand::Reg(src?) })
            }
            opcode::ATOMIC => {
                let Some(op) = AtomicOp::decode(slot.imm) else {
                    return Err(slot.variant("immediate", slot.imm));
                };
                if !op.has_size(size) {
                    return Err(DecodeErrorKind::AtomicSize { imm: slot.imm, size });
                }
                // The one that loads has its register in the other place.
                let (base, reg) = if op == AtomicOp::LoadAcquire { (src, base) } else { (base, src) };
                Ok(Insn::Atomic { op, size, base: base?, off: slot.off, reg: reg? })
            }
            _ => Err(DecodeErrorKind::Opcode(slot.opcode)),
        }
    }

    fn jmp(
        &self,
        index: usize,
        slot: Slot,
        width: Width,
        dst: Decoded<Reg>,
        src: Decoded<Reg>,
    ) -> Decoded<Insn> {
        let source = Source::decode(slot.opcode);
        let code = slot.opcode & 0xf0;
        match (code, source, width) {
            (opcode::JA, Source::Imm, _) => {
                self.unused(slot, "destination register", slot.dst)?;
                self.unused(slot, "source register", slot.src)?;
                let (reach, distance) = match width {
                    Width::W64 => (Reach::Near, i64::from(slot.off)),
                    Width::W32 => (Reach::Far, i64::from(slot.imm)),
                };
                match reach {
                    Reach::Near => self.unused(slot, "immediate", slot.imm)?,
                    Reach::Far => self.unused(slot, "offset", slot.off)?,
                }
                Ok(Insn::Jump { to: self.target(index, distance)?, reach })
            }
            (opcode::JCOND, Source::Imm, Width::W64) => {
                self.unused(slot, "destination register", slot.dst)?;
                self.unused(slot, "immediate", slot.imm)?;
                if slot.src != 0 {
                    return Err(slot.variant("source register", slot.src));
                }
                Ok(Insn::MayGoto { to: self.target(index, i64::from(slot.off))? })
            }
            (opcode::CALL, _, Width::W64) => self.call(index, slot, source, dst),
            (opcode::EXIT, Source::Imm, Width::W64) => {
                self.unused(slot, "destination register", slot.dst)?;
                self.unused(slot, "source register", slot.src)?;
                self.unused(slot, "immediate", slot.imm)?;
                if self.reserved == Reserved::Rfc9669 {
                    self.unused(slot, "offset", slot.off)?;
                }
                Ok(Insn::Exit)
            }
            _ => {
                let Some(cond) = Cond::decode(code >> 4) else {
                    return Err(DecodeErrorKind::Opcode(slot.opcode));
                };
                let rhs = self.operand(slot, source, src)?;
                let to = self.target(index, i64::from(slot.off))?;
                Ok(Insn::Branch { cond, width, lhs: dst?, rhs, to })
            }
        }
    }

    fn call(&self, index: usize, slot: Slot, source: Source, dst: Decoded<Reg>) -> Decoded<Insn> {
        if source == Source::Reg {
            self.unused(slot, "source register", slot.src)?;
            self.unused(slot, "offset", slot.off)?;
            self.unused(slot, "immediate", slot.imm)?;
            return Ok(Insn::Call { callee: Callee::Register(dst?) });
        }
        self.unused(slot, "destination register", slot.dst)?;
        if slot.src != pseudo::KFUNC_CALL {
            self.unused(slot, "offset", slot.off)?;
        }
        let callee = match slot.src {
            0 => Callee::Helper(slot.imm),
            pseudo::CALL => Callee::Local(self.target(index, i64::from(slot.imm))?),
            pseudo::KFUNC_CALL => Callee::Kfunc { id: slot.imm, module: slot.off },
            _ => return Err(slot.variant("source register", slot.src)),
        };
        Ok(Insn::Call { callee })
    }

    fn operand(&self, slot: Slot, source: Source, src: Decoded<Reg>) -> Decoded<Operand> {
        match source {
            Source::Reg => {
                self.unused(slot, "immediate", slot.imm)?;
                Ok(Operand::Reg(src?))
            }
            Source::Imm => {
                self.unused(slot, "source register", slot.src)?;
                Ok(Operand::Imm(slot.imm))
            }
        }
    }

    /// The instruction `distance` slots after the one that follows slot `index`.
    fn target(&self, index: usize, distance: i64) -> Decoded<Pc> {
        let slot = index as i64 + 1 + distance;
        match usize::try_from(slot).ok().and_then(|slot| self.starts.get(slot)) {
            Some(&Some(pc)) => Ok(Pc(pc)),
            Some(None) => Err(DecodeErrorKind::JumpInside(slot)),
            None => Err(DecodeErrorKind::JumpOutside(slot)),
        }
    }

    fn unused(&self, slot: Slot, field: &'static str, value: impl Into<i64>) -> Decoded<()> {
        match value.into() {
            0 => Ok(()),
            _ if self.reserved == Reserved::Ignored => Ok(()),
            value => Err(slot.reserved(field, value)),
        }
    }
}

impl Slot {
    fn reserved(self, field: &'static str, value: impl Into<i64>) -> DecodeErrorKind {
        DecodeErrorKind::Reserved { opcode: self.opcode, field, value: value.into() }
    }

    fn variant(self, field: &'static str, value: impl Into<i64>) -> DecodeErrorKind {
        DecodeErrorKind::Variant { opcode: self.opcode, field, value: value.into() }
    }
}

fn register(field: &'static str, number: u8) -> Decoded<Reg> {
    Reg::new(number).ok_or(DecodeErrorKind::Register { field, number })
}

/// What a wide immediate of kind `src` loads (RFC 9669 §5.4), `function` being what the distance
/// `low` leads to.
pub(crate) fn wide(src: u8, low: i32, high: i32, function: Pc) -> Option<Imm64> {
    Some(match src {
        0 => Imm64::Number(u64::from(low as u32) | u64::from(high as u32) << 32),
        pseudo::MAP_FD => Imm64::Map(MapRef::Fd(low)),
        pseudo::MAP_VALUE => Imm64::MapValue(MapRef::Fd(low), high as u32),
        pseudo::BTF_ID => Imm64::Variable { id: low, module: high },
        pseudo::FUNC => Imm64::Function(function),
        pseudo::MAP_INDEX => Imm64::Map(MapRef::Index(low)),
        pseudo::MAP_INDEX_VALUE => Imm64::MapValue(MapRef::Index(low), high as u32),
        _ => return None,
    })
}
