//! The answer put into the instruction: an immediate, an offset, 64 bits of a load.

use sandbpf_isa::{Class, Size, Source};

use super::Answer;
use crate::slot::Slot;

/// What libbpf puts into an instruction without an answer; the verifier's message about it is known by this number.
pub(crate) const POISON: i32 = 195_896_080;

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
    match Class::decode(slot.code) {
        Class::Alu | Class::Alu64 => {
            if Source::decode(slot.code) == Source::Reg {
                return Err("an operation between registers has no value to relocate".into());
            }
            if answer.validate && i64::from(slot.imm) as u64 != answer.original {
                return differs(slot.imm.into());
            }
            slot.imm = answer.new as i32;
            slot.write(code, at);
        }
        Class::Ldx | Class::St | Class::Stx => {
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
                let size = Size::decode(slot.code);
                if u64::from(size.bytes()) != u64::from(answer.original_size) {
                    return Err(format!(
                        "expected an access of {} bytes, found {}",
                        answer.original_size,
                        size.bytes()
                    ));
                }
                let Some(new) = Size::of_bytes(answer.new_size.into()) else {
                    return Err(format!(
                        "the field has {} bytes, which no instruction reads",
                        answer.new_size
                    ));
                };
                slot.code = slot.code & !size.encoding() | new.encoding();
            }
            slot.write(code, at);
        }
        Class::Ld => {
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
        Class::Jmp | Class::Jmp32 => {
            return Err(format!("an instruction of code {:#x} has nothing to relocate", slot.code));
        }
    }
    Ok(())
}

fn poison(code: &mut [u8], at: usize, slot: Slot) {
    if slot.is_load_imm64() {
        Slot::poison(POISON).write(code, at + 1);
    }
    Slot::poison(POISON).write(code, at);
}
