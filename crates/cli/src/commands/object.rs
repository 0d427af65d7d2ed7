//! `sandbpf object`: what an object file holds.

use std::collections::BTreeSet;
use std::io::Write;

use sandbpf::isa::{self, Callee, Imm64, Insn, MapRef};
use sandbpf::object::{MapDef, Object, ProgramEntry};
use serde::Serialize;

use crate::args::{Format, ObjectFile};
use crate::failure::Failure;
use crate::source::read_file;
use crate::{Answer, object, output};

/// What an object file holds.
#[derive(Debug, Serialize)]
struct Contents {
    license: String,
    programs: Vec<Program>,
    maps: Vec<Map>,
    /// Numbers by which instructions name maps that the object does not define; its loader knows them.
    undefined_maps: Vec<i32>,
    core_relocations: usize,
    /// What the object needs of a kernel and nobody gave.
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Program {
    name: String,
    section: String,
    program_type: String,
    /// In slots of 8 bytes, with the functions it calls; nothing if it cannot be linked.
    instructions: Option<usize>,
    functions: Vec<String>,
    helpers: Vec<String>,
    kernel_functions: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Map {
    name: String,
    map_type: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner: Option<Box<Map>>,
}

pub(crate) fn run(args: &ObjectFile, out: &mut impl Write) -> Result<Answer, Failure> {
    let bytes = read_file(&args.object)?;
    let object = object::parse(&args.object, &bytes, args.btf.as_deref())?;
    let contents = Contents {
        license: object.license().into(),
        programs: object.entries().iter().map(|entry| program(&object, entry)).collect(),
        maps: object.maps().iter().map(map).collect(),
        undefined_maps: undefined_maps(&object),
        core_relocations: object.core_relocations(),
        missing: object.missing().map(ToString::to_string).collect(),
    };
    match args.format {
        Format::Json => output::json(out, &contents)?,
        Format::Text => contents.show(out)?,
    }
    Ok(Answer::Yes)
}

/// The numbers of maps in instructions that the object says nothing about, as bpftrace leaves them.
fn undefined_maps(object: &Object) -> Vec<i32> {
    let mut numbers = BTreeSet::new();
    for linked in object.programs().flatten() {
        let Ok(program) = isa::decode(&linked.insns) else { continue };
        for (at, insn) in program.insns().iter().enumerate() {
            if let Insn::LoadImm { value: Imm64::Map(MapRef::Fd(number)), .. } = *insn
                && !linked.fixups.iter().any(|fixup| fixup.insn == program.slot(isa::Pc(at as u32)) as usize)
            {
                numbers.insert(number);
            }
        }
    }
    numbers.into_iter().collect()
}

fn program(object: &Object, entry: &ProgramEntry) -> Program {
    let linked = object.link(entry);
    let insns = linked.as_ref().ok().and_then(|linked| isa::decode(&linked.insns).ok());
    let calls = insns.iter().flat_map(|program| program.insns().iter());
    let mut helpers: Vec<String> = calls
        .filter_map(|insn| match *insn {
            Insn::Call { callee: Callee::Helper(id) } => {
                let known = sandbpf::abi::helpers::numbered(id).next();
                Some(known.map_or_else(|| format!("#{id}"), |spec| spec.name.to_string()))
            }
            _ => None,
        })
        .collect();
    helpers.sort();
    helpers.dedup();
    let mut kernel_functions = Vec::new();
    for fixup in linked.iter().flat_map(|linked| &linked.fixups) {
        if let sandbpf::object::FixupKind::Kfunc { name, .. } = &fixup.kind
            && !kernel_functions.contains(name)
        {
            kernel_functions.push(name.clone());
        }
    }
    Program {
        name: entry.name.clone(),
        section: entry.section.clone(),
        program_type: entry.program_type().to_string(),
        instructions: linked.as_ref().ok().map(|linked| linked.insns.len() / 8),
        functions: linked
            .iter()
            .flat_map(|linked| linked.functions.iter().skip(1))
            .map(|f| f.name.clone())
            .collect(),
        helpers,
        kernel_functions,
        error: linked.err().map(|error| error.to_string()),
    }
}

fn map(def: &MapDef) -> Map {
    Map {
        name: def.name.clone(),
        map_type: def.map_type.to_string(),
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries: def.max_entries,
        flags: def.flags,
        inner: def.inner.as_deref().map(|inner| Box::new(map(inner))),
    }
}

impl Contents {
    fn show(&self, out: &mut impl Write) -> Result<(), Failure> {
        writeln!(out, "license: {}", if self.license.is_empty() { "none" } else { &self.license })?;
        for program in &self.programs {
            let Program { name, section, program_type, .. } = program;
            match (program.instructions, &program.error) {
                (Some(count), _) => {
                    writeln!(out, "program {name} ({section}): {program_type}, {count} instructions")?
                }
                (None, error) => {
                    let error = error.as_deref().unwrap_or_default();
                    writeln!(out, "program {name} ({section}): {program_type}, cannot be linked: {error}")?;
                }
            }
            for (what, names) in [
                ("functions", &program.functions),
                ("helpers", &program.helpers),
                ("kernel functions", &program.kernel_functions),
            ] {
                if !names.is_empty() {
                    writeln!(out, "    {what}: {}", names.join(", "))?;
                }
            }
        }
        for Map { name, map_type, key_size, value_size, max_entries, flags, .. } in &self.maps {
            write!(out, "map {name}: {map_type}, {key_size} -> {value_size} bytes, {max_entries} entries")?;
            writeln!(out, "{}", if *flags == 0 { String::new() } else { format!(", flags {flags:#x}") })?;
        }
        if !self.undefined_maps.is_empty() {
            let numbers: Vec<String> = self.undefined_maps.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "maps without a definition: {}; run --define-maps says what they are",
                numbers.join(", ")
            )?;
        }
        if self.core_relocations > 0 {
            writeln!(out, "{} relocations to a kernel's types", self.core_relocations)?;
        }
        for missing in &self.missing {
            writeln!(out, "missing: {missing}")?;
        }
        Ok(())
    }
}
