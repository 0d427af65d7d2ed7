//! Linking: a program, and behind it every function that it calls, in the order in which libbpf appends them.
//!
//! A function is appended at its first call, and its own calls are followed before the caller's next one. Calls are
//! then relative to the new places, and every reference to a map, a variable or the kernel is put in or noted.

use std::collections::HashMap;

use crate::btf::{Btf, Kind};
use crate::core::{Answer, Core, CoreBudget, patch};
use crate::externs::{ExternKind, Ksym};
use crate::functions::Function;
use crate::maps::MapKind;
use crate::object::{Object, OwnSymbol};
use crate::program::{Fixup, FixupKind, Line, LinkedFunction, ObjectProgram, ProgramEntry};
use crate::slot::{SIZE, Slot, pseudo};
use crate::{MapType, ObjectError};

/// The kernel's limit on a program, in instructions.
const MAX_SLOTS: usize = 1_000_000;

/// An instruction that loads a map which is not made.
const POISON_MAP: i32 = 2_001_000_000;
/// An instruction that calls a function which the kernel lacks.
const POISON_KFUNC: i32 = 2_002_000_000;

/// A function in the code.
#[derive(Debug, Clone, Copy)]
struct Placed {
    function: usize,
    at: usize,
}

struct Linker<'a> {
    object: &'a Object,
    entry: &'a ProgramEntry,
    code: Vec<u8>,
    placed: Vec<Placed>,
    place_of: HashMap<usize, usize>,
    /// Answers to CO-RE records by function: instruction in it, and what becomes of it.
    answers: HashMap<usize, Vec<(usize, Result<Answer, String>)>>,
    fixups: Vec<Fixup>,
}

pub(crate) fn link(object: &Object, entry: &ProgramEntry) -> Result<ObjectProgram, ObjectError> {
    let budget = CoreBudget::new();
    let answers = adapt(object, entry, &budget);
    let mut linker = Linker {
        object,
        entry,
        code: Vec::new(),
        placed: Vec::new(),
        place_of: HashMap::new(),
        answers,
        fixups: Vec::new(),
    };
    linker.append(entry.function)?;
    linker.follow_calls()?;
    if let Some(callback) = linker.exception_callback()?
        && !linker.place_of.contains_key(&callback)
    {
        linker.append(callback)?;
        linker.follow_calls()?;
    }
    for n in 0..linker.placed.len() {
        linker.relocate(linker.placed[n])?;
    }
    let mut fixups = linker.fixups;
    fixups.sort_by_key(|fixup| fixup.insn);
    fixups.dedup_by_key(|fixup| fixup.insn);
    let (mut functions, mut lines) = (Vec::new(), Vec::new());
    for &placed in &linker.placed {
        describe(object, placed, &mut functions, &mut lines);
    }
    Ok(ObjectProgram {
        entry: entry.clone(),
        license: object.license.clone(),
        insns: linker.code,
        fixups,
        functions,
        lines,
        btf: object.btf.clone(),
    })
}

/// Answers all CO-RE records of a program and of the functions that programs share, in the order of the file: a type
/// that lacks a field is out of the question for the records behind.
fn adapt(
    object: &Object,
    entry: &ProgramEntry,
    budget: &CoreBudget,
) -> HashMap<usize, Vec<(usize, Result<Answer, String>)>> {
    let mut answers: HashMap<usize, Vec<_>> = HashMap::new();
    let options = &object.options;
    let target = options.core_target.as_deref().or(options.target.as_deref());
    let (Some(local), Some(target)) = (object.btf.as_deref(), target) else {
        return answers;
    };
    let mut core = Core::new(local, target, budget);
    for (function, insn, record) in &object.core {
        let own = *function == entry.function || !object.functions.all()[*function].entry;
        if own {
            answers.entry(*function).or_default().push((*insn, core.resolve(record)));
        }
    }
    answers
}

impl Linker<'_> {
    fn function(&self, index: usize) -> &Function {
        &self.object.functions.all()[index]
    }

    /// Puts a function's instructions behind the code, adapted to the kernel's types.
    fn append(&mut self, index: usize) -> Result<(), ObjectError> {
        let function = &self.object.functions.all()[index];
        let at = self.code.len() / SIZE;
        if at + function.len > MAX_SLOTS {
            let what = format!("with the functions it calls it has more than {MAX_SLOTS} instructions");
            return Err(ObjectError::program(&*self.entry.name, what));
        }
        let section = &self.object.sections[function.section];
        let start = function.start * SIZE;
        let bytes = section.code.get(start..start + function.len * SIZE);
        let bytes =
            bytes.ok_or_else(|| ObjectError::program(&*function.name, "it lies outside its section"))?;
        let mut code = bytes.to_vec();
        for (insn, answer) in self.answers.get(&index).into_iter().flatten() {
            let patched = answer.clone().and_then(|answer| patch(&mut code, *insn, &answer));
            patched.map_err(|what| ObjectError::relocation(&*function.name, *insn, what))?;
            if let Ok(Answer { target: Some(id), .. }) = answer {
                let target =
                    self.object.options.core_target.as_deref().or(self.object.options.target.as_deref());
                let name = target.map_or("", |target| target.name(*id)).to_owned();
                self.fixups.push(Fixup { insn: at + insn, kind: FixupKind::TypeId { name, id: *id } });
            }
        }
        self.code.extend_from_slice(&code);
        self.placed.push(Placed { function: index, at });
        self.place_of.insert(index, at);
        Ok(())
    }

    /// Walks the last function's instructions and those of every function appended meanwhile, callee before the
    /// caller's next instruction.
    fn follow_calls(&mut self) -> Result<(), ObjectError> {
        let Some(&last) = self.placed.last() else { return Ok(()) };
        let mut open = vec![(last, 0)];
        while let Some((placed, next)) = open.last_mut() {
            let (placed, insn) = (*placed, *next);
            if insn >= self.function(placed.function).len {
                open.pop();
                continue;
            }
            let at = placed.at + insn;
            let Some(callee) = self.callee(placed, insn)? else {
                *next += 1;
                continue;
            };
            let Some(&target) = self.place_of.get(&callee) else {
                // Back to this instruction when the callee is done.
                self.append(callee)?;
                if let Some(&appended) = self.placed.last() {
                    open.push((appended, 0));
                }
                continue;
            };
            *next += 1;
            let Some(mut slot) = Slot::read(&self.code, at) else { continue };
            if slot.is_load_imm64() {
                slot.src = pseudo::FUNC;
                self.fixups.push(Fixup { insn: at, kind: FixupKind::Function { insn: target } });
            }
            // Both fit: a program has a million instructions at most.
            slot.imm = target as i32 - at as i32 - 1;
            slot.write(&mut self.code, at);
        }
        Ok(())
    }

    /// The symbol that the relocation of an instruction names.
    fn relocation(&self, function: &Function, insn: usize) -> Option<usize> {
        let offset = ((function.start + insn) * SIZE) as u64;
        let relocations = &self.object.sections[function.section].relocations;
        let first = relocations.partition_point(|relocation| relocation.offset < offset);
        relocations
            .get(first)
            .filter(|relocation| relocation.offset == offset)
            .map(|relocation| relocation.symbol)
    }

    /// The function of this object that an instruction calls or takes the address of.
    fn callee(&self, placed: Placed, insn: usize) -> Result<Option<usize>, ObjectError> {
        let function = self.function(placed.function);
        let Some(slot) = Slot::read(&self.code, placed.at + insn) else { return Ok(None) };
        let call = slot.is_local_call() && slot.dst == 0 && slot.off == 0;
        if !call && !slot.is_load_imm64() {
            return Ok(None);
        }
        let fail = |what: String| Err(ObjectError::relocation(&*function.name, insn, what));
        let (section, target) = match self.relocation(function, insn) {
            Some(symbol) => {
                let symbol = &self.object.symbols[symbol];
                let executable =
                    self.object.sections.get(symbol.section).is_some_and(|section| section.executable);
                if symbol.section == 0 || (!call && !executable) {
                    return Ok(None);
                }
                if !executable {
                    return fail(format!("it calls {:?}, which is no function", symbol.name));
                }
                if symbol.value % SIZE as u64 != 0 || (!call && slot.imm % SIZE as i32 != 0) {
                    return fail(format!("it refers into the middle of an instruction of {:?}", symbol.name));
                }
                let base = symbol.value as i64;
                let imm = i64::from(slot.imm);
                // A call counts instructions from the next one, an address counts bytes.
                let target = if call { base / SIZE as i64 + imm + 1 } else { (base + imm) / SIZE as i64 };
                (symbol.section, target)
            }
            None if call => (function.section, (function.start + insn) as i64 + i64::from(slot.imm) + 1),
            None => return Ok(None),
        };
        let callee = usize::try_from(target).ok().and_then(|slot| self.object.functions.at(section, slot));
        match callee {
            Some(callee) => Ok(Some(callee)),
            None => fail(format!("it calls instruction {target} of its section, where no function is")),
        }
    }

    /// Puts maps, variables and the kernel's things into a function's instructions.
    fn relocate(&mut self, placed: Placed) -> Result<(), ObjectError> {
        let object = self.object;
        let function = &object.functions.all()[placed.function];
        let relocations = &object.sections[function.section].relocations;
        let (start, end) = ((function.start * SIZE) as u64, ((function.start + function.len) * SIZE) as u64);
        let first = relocations.partition_point(|relocation| relocation.offset < start);
        for relocation in relocations[first..].iter().take_while(|relocation| relocation.offset < end) {
            let insn = (relocation.offset - start) as usize / SIZE;
            let fail = |what: String| ObjectError::relocation(&*function.name, insn, what);
            if relocation.offset % SIZE as u64 != 0 {
                return Err(fail("a relocation is in the middle of the instruction".into()));
            }
            let at = placed.at + insn;
            let Some(slot) = Slot::read(&self.code, at) else { continue };
            let symbol = &object.symbols[relocation.symbol];
            if slot == Slot::poison(slot.imm) && slot.imm > 0 && !is_call_of(object, relocation.symbol) {
                // CO-RE has made a call of it that must not be reached.
                continue;
            }
            if slot.code == crate::slot::CALL {
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
                self.load_data(at, slot, symbol, placed).map_err(fail)?;
            }
        }
        Ok(())
    }

    fn second(&self, at: usize) -> Result<Slot, String> {
        Slot::read(&self.code, at + 1).ok_or_else(|| "a 64-bit load lacks its second half".to_string())
    }

    /// A reference to a map or into a section of data.
    fn load_data(
        &mut self,
        at: usize,
        mut slot: Slot,
        symbol: &OwnSymbol,
        placed: Placed,
    ) -> Result<(), String> {
        let object = self.object;
        let mut second = self.second(at)?;
        let offset = |addend: i32| (addend as u32).wrapping_add(symbol.value as u32);
        if object.jump_tables.as_ref().is_some_and(|(section, _)| *section == symbol.section) {
            let targets = self.jump_table(symbol, placed)?;
            slot.src = pseudo::MAP_VALUE;
            slot.off = 0;
            slot.imm = 0;
            slot.write(&mut self.code, at);
            self.fixups.push(Fixup { insn: at, kind: FixupKind::JumpTable { targets } });
            return Ok(());
        }
        let arena = object.arena.filter(|arena| arena.section == symbol.section).map(|arena| arena.map);
        let data = object.maps().iter().position(|map| {
            map.place.section == symbol.section && map.place.section != 0 && map.kind.is_internal()
        });
        let (map, kind) = if let Some(map) = arena.or(data) {
            let offset = offset(slot.imm);
            second.imm = offset as i32;
            slot.src = pseudo::MAP_VALUE;
            (map, FixupKind::MapValue { map, offset })
        } else {
            // The place of a map in its section; a section's own symbol leaves it to the addend.
            let place = if symbol.is_section { u64::from(offset(slot.imm)) } else { symbol.value };
            let map = object.maps().iter().position(|map| {
                map.place.section == symbol.section
                    && map.place.offset == place
                    && map.kind == MapKind::Declared
                    && map.map_type != MapType::STRUCT_OPS
            });
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

    /// The instructions that a jump table leads to, counted from the program's beginning.
    fn jump_table(&self, symbol: &OwnSymbol, placed: Placed) -> Result<Vec<u32>, String> {
        let bytes = self.object.jump_tables.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let range = usize::try_from(symbol.value).ok().zip(usize::try_from(symbol.size).ok());
        let range = range.and_then(|(start, size)| Some(start..start.checked_add(size)?));
        let table = range.and_then(|range| bytes.get(range)).filter(|table| table.len() % 8 == 0);
        let table = table.ok_or("its jump table lies outside of the tables")?;
        let start = self.function(placed.function).start as i64;
        let targets = table.chunks_exact(8).map(|entry| {
            let slot = entry.first_chunk::<8>().map_or(0, |entry| u64::from_le_bytes(*entry)) / SIZE as u64;
            let target = i64::try_from(slot).ok().map(|slot| slot - start + placed.at as i64);
            target.and_then(|target| u32::try_from(target).ok())
        });
        targets
            .collect::<Option<Vec<u32>>>()
            .ok_or_else(|| "its jump table leads out of the program".to_string())
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

    /// The function that catches the program's exceptions, named by an annotation.
    fn exception_callback(&self) -> Result<Option<usize>, ObjectError> {
        let Some(btf) = self.object.btf.as_deref() else { return Ok(None) };
        let fail = |what: String| Err(ObjectError::program(&*self.entry.name, what));
        let mut found = None;
        for name in annotations(btf, &self.entry.name, "exception_callback:") {
            // Two are one too many, and the verifier says so.
            if found.is_some() {
                return Ok(None);
            }
            let all = self.object.functions.all().iter().enumerate();
            let callback =
                all.filter(|(_, function)| !function.entry).find(|(_, function)| function.name == name);
            match callback {
                Some((_, function)) if !function.global || function.hidden => {
                    return fail(format!("its exception callback {name} is static or hidden"));
                }
                Some((index, _)) => found = Some(index),
                None => return fail(format!("its exception callback {name:?} is not there")),
            }
        }
        Ok(found)
    }
}

fn is_call_of(object: &Object, symbol: usize) -> bool {
    object.extern_of.contains_key(&symbol)
}

/// The texts behind a prefix in the annotations of a global function.
fn annotations<'a>(btf: &'a Btf, function: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    btf.iter().filter_map(move |(id, ty)| {
        let Kind::DeclTag { ty, component: -1 } = ty.kind else { return None };
        let text = btf.name(id).strip_prefix(prefix)?;
        let of_function =
            matches!(btf.kind(ty), Some(Kind::Func { linkage: 1, .. })) && btf.name(ty) == function;
        of_function.then_some(text)
    })
}

/// A function's name, type and lines at its new place.
fn describe(object: &Object, placed: Placed, functions: &mut Vec<LinkedFunction>, lines: &mut Vec<Line>) {
    let function = &object.functions.all()[placed.function];
    let (start, end) = (function.start * SIZE, (function.start + function.len) * SIZE);
    let info = object.func_info.get(&function.section).map_or(&[][..], Vec::as_slice);
    let first = info.partition_point(|info| (info.offset as usize) < start);
    let info = info.get(first).filter(|info| info.offset as usize == start);
    functions.push(LinkedFunction {
        name: function.name.clone(),
        insn: placed.at,
        len: function.len,
        global: function.global && !function.hidden,
        ty: info.map(|info| info.ty),
    });
    let records = object.lines.get(&function.section).map_or(&[][..], Vec::as_slice);
    let first = records.partition_point(|line| (line.offset as usize) < start);
    for line in records[first..].iter().take_while(|line| (line.offset as usize) < end) {
        lines.push(Line {
            insn: (line.offset as usize - start) / SIZE + placed.at,
            file: line.file,
            text: line.text,
            place: line.place,
        });
    }
}
