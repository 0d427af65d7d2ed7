//! Relocation: maps, variables and what the kernel provides put into the instructions of a linked program, or noted
//! where only a loader knows the number.

use crate::ObjectError;
use crate::externs::{ExternKind, Ksym};
use crate::link::{Linker, Placed};
use crate::maps::MapKind;
use crate::object::OwnSymbol;
use crate::program::{Fixup, FixupKind};
use crate::slot::{SIZE, Slot};
use sandbpf_isa::pseudo;

/// An instruction that loads a map which is not made.
const POISON_MAP: i32 = 2_001_000_000;
/// An instruction that calls a function which the kernel lacks.
const POISON_KFUNC: i32 = 2_002_000_000;

impl Linker<'_> {
    /// Puts maps, variables and the kernel's things into a function's instructions.
    pub(crate) fn relocate(&mut self, placed: Placed) -> Result<(), ObjectError> {
        let object = self.object;
        let function = &object.functions.all()[placed.function];
        let relocations = &object.sections[function.section].relocations;
        let (start, end) = ((function.start * SIZE) as u64, ((function.start + function.len) * SIZE) as u64);
        let first = relocations.partition_point(|relocation| relocation.offset < start);
        for relocation in relocations[first..].iter().take_while(|relocation| relocation.offset < end) {
            let insn = (relocation.offset - start) as usize / SIZE;
            let fail = |what: String| ObjectError::relocation(&*function.name, insn, what);
            if !relocation.offset.is_multiple_of(SIZE as u64) {
                return Err(fail("a relocation is in the middle of the instruction".into()));
            }
            let at = placed.at + insn;
            let Some(slot) = Slot::read(&self.code, at) else { continue };
            let symbol = &object.symbols[relocation.symbol];
            if slot == Slot::poison(crate::core::POISON) {
                // CO-RE has made a call of it that must not be reached.
                continue;
            }
            if slot.is_call() {
                if let Some(&external) = object.extern_of.get(&relocation.symbol) {
                    self.call_extern(at, slot, external)?;
                } else if slot.src != pseudo::CALL {
                    return Err(fail("a helper's call has a relocation".into()));
                }
                continue;
            }
            if !slot.is_load_imm64() {
                return Err(fail(format!("expected a call or a 64-bit load, found code {:#x}", slot.code)));
            }
            if let Some(&external) = object.extern_of.get(&relocation.symbol) {
                self.load_extern(at, slot, external)?;
            } else if !object.sections.get(symbol.section).is_some_and(|section| section.executable) {
                self.load_data(at, slot, symbol).map_err(fail)?;
            }
        }
        Ok(())
    }

    fn second(&self, at: usize) -> Result<Slot, String> {
        Slot::read(&self.code, at + 1).ok_or_else(|| "a 64-bit load lacks its second half".to_string())
    }

    /// A reference to a map or into a section of data.
    fn load_data(&mut self, at: usize, mut slot: Slot, symbol: &OwnSymbol) -> Result<(), String> {
        let object = self.object;
        let mut second = self.second(at)?;
        let offset = |addend: i32| (addend as u32).wrapping_add(symbol.value as u32);
        if object.jump_tables == Some(symbol.section) {
            return Err("it jumps through a table of addresses, which Linux 6.18 does not know (6.19 does); compile with \
                        -mcpu=v3, or with -fno-jump-tables"
                .into());
        }
        let (map, kind) = if let Some(&map) = object.data_at.get(&symbol.section) {
            let offset = offset(slot.imm);
            second.imm = offset as i32;
            slot.src = pseudo::MAP_VALUE;
            (map, FixupKind::MapValue { map, offset })
        } else {
            // The place of a map in its section; a section's own symbol leaves it to the addend.
            let place = if symbol.is_section { u64::from(offset(slot.imm)) } else { symbol.value };
            let map = object.map_at.get(&(symbol.section, place)).copied();
            let map = map.ok_or_else(|| {
                let section = object.sections.get(symbol.section).map_or("?", |section| &section.name);
                format!("it refers to {:?} in section {section}, where no map or variable is", symbol.name)
            })?;
            slot.src = pseudo::MAP_FD;
            (map, FixupKind::Map { map })
        };
        if !object.maps()[map].autocreate {
            let poison = Slot::poison(POISON_MAP.wrapping_add(map as i32));
            poison.write(&mut self.code, at);
            poison.write(&mut self.code, at + 1);
            return Ok(());
        }
        slot.imm = 0;
        slot.write(&mut self.code, at);
        second.write(&mut self.code, at + 1);
        self.fixups.push(Fixup { insn: at, kind });
        Ok(())
    }

    fn call_extern(&mut self, at: usize, mut slot: Slot, external: usize) -> Result<(), ObjectError> {
        let entry = &self.object.externs[external];
        let name = entry.kernel_name().to_owned();
        let kind = match &entry.kind {
            ExternKind::Unknown => FixupKind::Unresolved { name },
            ExternKind::Kconfig { .. } => {
                return Err(ObjectError::external(name, "a configuration value is called"));
            }
            ExternKind::Ksym { outcome, .. } => match outcome.clone()? {
                Ksym::Absent => {
                    Slot::poison(POISON_KFUNC.wrapping_add(external as i32)).write(&mut self.code, at);
                    return Ok(());
                }
                found => {
                    let id = match found {
                        Ksym::Type(id) => Some(id),
                        _ => None,
                    };
                    slot.src = pseudo::KFUNC_CALL;
                    slot.off = 0;
                    slot.imm = id.unwrap_or(0) as i32;
                    slot.write(&mut self.code, at);
                    FixupKind::Kfunc { name, id }
                }
            },
        };
        self.fixups.push(Fixup { insn: at, kind });
        Ok(())
    }

    fn load_extern(&mut self, at: usize, mut slot: Slot, external: usize) -> Result<(), ObjectError> {
        let entry = &self.object.externs[external];
        let name = entry.kernel_name().to_owned();
        let mut second = self.second(at).map_err(|what| ObjectError::external(&*name, what))?;
        let kind = match &entry.kind {
            ExternKind::Unknown => FixupKind::Unresolved { name },
            ExternKind::Kconfig { offset, outcome, .. } => {
                outcome.clone()?;
                let map = self.object.maps().iter().position(|map| map.kind == MapKind::Kconfig);
                let map =
                    map.ok_or_else(|| ObjectError::external(name, "the object has no configuration values"))?;
                slot.src = pseudo::MAP_VALUE;
                slot.imm = 0;
                second.imm = *offset as i32;
                FixupKind::MapValue { map, offset: *offset }
            }
            ExternKind::Ksym { typed, outcome, .. } => match outcome.clone()? {
                Ksym::Type(id) => {
                    slot.src = pseudo::BTF_ID;
                    slot.imm = id as i32;
                    second.imm = 0;
                    FixupKind::KernelType { name, id: Some(id) }
                }
                Ksym::Unasked if *typed => {
                    slot.src = pseudo::BTF_ID;
                    slot.imm = 0;
                    second.imm = 0;
                    FixupKind::KernelType { name, id: None }
                }
                found => {
                    let address = match found {
                        Ksym::Address(address) => Some(address),
                        // What is not there is at address zero.
                        Ksym::Absent => Some(0),
                        _ => None,
                    };
                    slot.imm = address.unwrap_or(0) as i32;
                    second.imm = (address.unwrap_or(0) >> 32) as i32;
                    FixupKind::KernelAddress { name, address }
                }
            },
        };
        slot.write(&mut self.code, at);
        second.write(&mut self.code, at + 1);
        self.fixups.push(Fixup { insn: at, kind });
        Ok(())
    }
}
