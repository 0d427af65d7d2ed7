//! The answer put into the instruction: an immediate, an offset, 64 bits of a load.

use super::Answer;
use crate::slot::Slot;

/// What libbpf puts into an instruction without an answer; the verifier's message about it is known by this number.
pub(crate) const POISON: i32 = 195_896_080;

/// Instruction classes and sizes, the lower three bits and the two above.
mod class {
    pub(super) const LD: u8 = 0;
    pub(super) const LDX: u8 = 1;
    pub(super) const ST: u8 = 2;
    pub(super) const STX: u8 = 3;
    pub(super) const ALU: u8 = 4;
    pub(super) const ALU64: u8 = 7;
}

/// Changes one instruction of a function's code.
pub(crate) fn patch(code: &mut [u8], at: usize, answer: &Answer) -> Result<(), String> {
    let mut slot = Slot::read(code, at).ok_or("the instruction is not there")?;
    if answer.poison {
        poison(code, at, slot);
        return Ok(());
    }
    let differs = |found: i64| {
        Err(format!("expected the value {} that the compiler recorded, found {found}", answer.original))
    };
    match slot.code & 7 {
        class::ALU | class::ALU64 => {
            if slot.code & 8 != 0 {
                return Err("an operation between registers has no value to relocate".into());
            }
            if answer.validate && i64::from(slot.imm) as u64 != answer.original {
                return differs(slot.imm.into());
            }
            slot.imm = answer.new as i32;
            slot.write(code, at);
        }
        class::LDX | class::ST | class::STX => {
            if answer.validate && i64::from(slot.off) as u64 != answer.original {
                return differs(slot.off.into());
            }
            if answer.new > i16::MAX as u64 {
                return Err(format!("offset {} does not fit into an instruction", answer.new));
            }
            if answer.wrong_size {
                poison(code, at, slot);
                return Ok(());
            }
            slot.off = answer.new as i16;
            if answer.new_size != answer.original_size {
                let size = match slot.code & 0x18 {
                    0x18 => 8,
                    0x10 => 1,
                    0x08 => 2,
                    _ => 4,
                };
                if size != answer.original_size {
                    return Err(format!(
                        "expected an access of {} bytes, found {size}",
                        answer.original_size
                    ));
                }
                let bits = match answer.new_size {
                    8 => 0x18,
                    4 => 0x00,
                    2 => 0x08,
                    1 => 0x10,
                    other => return Err(format!("the field has {other} bytes, which no instruction reads")),
                };
                slot.code = slot.code & !0x18 | bits;
            }
            slot.write(code, at);
        }
        class::LD => {
            let second = Slot::read(code, at + 1);
            let plain = |slot: &Slot| slot.src == 0 && slot.off == 0;
            let Some(mut second) = second.filter(|second| {
                slot.is_load_imm64() && plain(&slot) && second.code == 0 && second.dst == 0 && plain(second)
            }) else {
                return Err("expected a plain 64-bit load".into());
            };
            let value = u64::from(slot.imm as u32) | (second.imm as u64) << 32;
            if answer.validate && value != answer.original {
                return differs(value as i64);
            }
            slot.imm = answer.new as i32;
            second.imm = (answer.new >> 32) as i32;
            slot.write(code, at);
            second.write(code, at + 1);
        }
        _ => return Err(format!("an instruction of code {:#x} has nothing to relocate", slot.code)),
    }
    Ok(())
}

fn poison(code: &mut [u8], at: usize, slot: Slot) {
    if slot.is_load_imm64() {
        Slot::poison(POISON).write(code, at + 1);
    }
    Slot::poison(POISON).write(code, at);
}
