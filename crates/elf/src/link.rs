//! Linking: a program, and behind it every function that it calls, in the order in which libbpf appends them.
//!
//! A function is appended at its first call, and its own calls are followed before the caller's next one. Calls are
//! then relative to the new places; references to anything but functions are the business of `relocate`.

use std::collections::HashMap;

use crate::ObjectError;
use crate::btf::{Btf, Kind};
use crate::core::{Answer, Core, CoreBudget, patch};
use crate::functions::Function;
use crate::object::Object;
use crate::program::{Fixup, FixupKind, Line, LinkedFunction, ObjectProgram, ProgramEntry};
use crate::slot::{SIZE, Slot};
use sandbpf_isa::pseudo;

/// The kernel's limit on a program, in instructions.
const MAX_SLOTS: usize = 1_000_000;

/// A function in the code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) function: usize,
    pub(crate) at: usize,
}

/// Answers to CO-RE records by function: instruction in it, and what becomes of it.
type Answers = HashMap<usize, Vec<(usize, Result<Answer, String>)>>;

pub(crate) struct Linker<'a> {
    pub(crate) object: &'a Object,
    entry: &'a ProgramEntry,
    pub(crate) code: Vec<u8>,
    placed: Vec<Placed>,
    place_of: HashMap<usize, usize>,
    answers: Answers,
    pub(crate) fixups: Vec<Fixup>,
}

pub(crate) fn link(object: &Object, entry: &ProgramEntry) -> Result<ObjectProgram, ObjectError> {
    let budget = CoreBudget::new(object.core.len());
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
    let callback = linker.exception_callback()?;
    if let Some(callback) = callback
        && !linker.place_of.contains_key(&callback)
    {
        linker.append(callback)?;
        linker.follow_calls()?;
    }
    let exception_callback = callback.and_then(|callback| linker.place_of.get(&callback).copied());
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
        exception_callback,
        fixups,
        functions,
        lines,
        btf: object.btf.clone(),
    })
}

/// Answers all CO-RE records of a program and of the functions that programs share, in the order of the file: a type
/// that lacks a field is out of the question for the records behind.
fn adapt(object: &Object, entry: &ProgramEntry, budget: &CoreBudget) -> Answers {
    let mut answers = Answers::new();
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
    pub(crate) fn function(&self, index: usize) -> &Function {
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
                if !symbol.value.is_multiple_of(SIZE as u64) || (!call && slot.imm % SIZE as i32 != 0) {
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
