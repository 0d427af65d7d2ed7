//! A program as the kernel gets it: linked with the functions it calls, relocated, and with the way back to its
//! source.

use std::sync::Arc;

use crate::btf::{Btf, TypeId};
use crate::{ProgramType, SectionKind};

/// A program of an object, before it is linked: what its symbol and section say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEntry {
    /// Its name.
    pub name: String,
    /// Its section, without a question mark.
    pub section: String,
    /// The section began with `?`: loaders load it only when they are asked to.
    pub optional: bool,
    /// What libbpf takes from the section's name.
    pub kind: Option<SectionKind>,
    pub(crate) function: usize,
}

impl ProgramEntry {
    /// Its type by the section's name, libbpf's or bpftrace's; [`ProgramType::Unspec`] if the name says nothing.
    pub fn program_type(&self) -> ProgramType {
        let known = self.kind.map(|kind| kind.program_type);
        known.or_else(|| SectionKind::bpftrace(&self.section)).unwrap_or(ProgramType::Unspec)
    }
}

/// A program, linked and relocated.
#[derive(Debug, Clone)]
pub struct ObjectProgram {
    /// What its symbol and section say.
    pub entry: ProgramEntry,
    /// The object's license, empty if it states none.
    pub license: String,
    /// The instructions, eight bytes each.
    pub insns: Vec<u8>,
    /// What must still be put into instructions, in their order.
    pub fixups: Vec<Fixup>,
    /// The functions in the code: first the program itself, then those it calls, in the order of their places.
    pub functions: Vec<LinkedFunction>,
    /// The first instruction of the function that catches what the program throws, in slots.
    pub exception_callback: Option<usize>,
    pub(crate) lines: Vec<Line>,
    pub(crate) btf: Option<Arc<Btf>>,
}

/// An instruction whose immediate only a loader knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixup {
    /// Which instruction, in slots.
    pub insn: usize,
    /// What it refers to.
    pub kind: FixupKind,
}

/// What an instruction refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FixupKind {
    /// A map: the immediate becomes its file descriptor.
    Map {
        /// Its index among the object's maps.
        map: usize,
    },
    /// An address in a map's only value: the immediate becomes the map's file descriptor, the next one is the offset.
    MapValue {
        /// Its index among the object's maps.
        map: usize,
        /// The byte in the value.
        offset: u32,
    },
    /// A variable or function of the kernel by its type: the immediate is that type's number.
    KernelType {
        /// Its name.
        name: String,
        /// The number, if the kernel's types were given.
        id: Option<TypeId>,
    },
    /// The number of a type in the kernel's types, adapted by CO-RE; it is in the instruction.
    TypeId {
        /// The type's name.
        name: String,
        /// The number.
        id: TypeId,
    },
    /// A symbol of the kernel by its address: the two immediates are that address.
    KernelAddress {
        /// Its name.
        name: String,
        /// The address, if the kernel's symbols were given.
        address: Option<u64>,
    },
    /// A call of a function of the kernel: the immediate is its type's number.
    Kfunc {
        /// Its name.
        name: String,
        /// The number, if the kernel's types were given.
        id: Option<TypeId>,
    },
    /// The address of a function of this program; the immediate says how far it is.
    Function {
        /// Its first instruction.
        insn: usize,
    },
    /// A call of a function that neither object nor kernel has; the instruction is as the compiler wrote it.
    Unresolved {
        /// Its name.
        name: String,
    },
}

/// A function in a linked program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedFunction {
    /// Its name.
    pub name: String,
    /// Its first instruction.
    pub insn: usize,
    /// How many slots it has.
    pub len: usize,
    /// The verifier checks it by itself (not static, not hidden).
    pub global: bool,
    /// Its type in the object, if the object tells.
    pub ty: Option<TypeId>,
}

/// Where a line begins in the code; names are offsets of strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) insn: usize,
    pub(crate) file: u32,
    pub(crate) text: u32,
    pub(crate) place: u32,
}

/// A place in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The file as the compiler was given it.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; zero if unknown.
    pub column: u32,
    /// The line's text.
    pub text: &'a str,
}

impl std::fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{} {}", self.file, self.line, self.column, self.text.trim())
    }
}

impl ObjectProgram {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Where in the source an instruction comes from.
    ///
    /// ```
    /// use sandbpf_elf::Object;
    /// # let file = include_bytes!("../tests/data/counter.o");
    /// let object = Object::parse(file)?;
    /// let program = object.program("count")?;
    /// let place = program.location(0).expect("compiled with -g");
    /// assert!(place.file.ends_with("counter.c"));
    /// assert_eq!(program.function(0).unwrap().name, "count");
    /// # Ok::<(), sandbpf_elf::ObjectError>(())
    /// ```
    pub fn location(&self, insn: usize) -> Option<Location<'_>> {
        let function = self.function(insn)?;
        let behind = self.lines.partition_point(|line| line.insn <= insn);
        let line = self.lines.get(behind.checked_sub(1)?).filter(|line| line.insn >= function.insn)?;
        let btf = self.btf.as_deref()?;
        Some(Location {
            file: btf.line_at(line.file),
            line: line.place >> 10,
            column: line.place & 0x3ff,
            text: btf.line_at(line.text),
        })
    }

    /// The instructions at which a line of the source begins, in their order.
    pub fn line_starts(&self) -> impl Iterator<Item = usize> + '_ {
        self.lines.iter().map(|line| line.insn)
    }

    /// The function that an instruction belongs to.
    pub fn function(&self, insn: usize) -> Option<&LinkedFunction> {
        let behind = self.functions.partition_point(|function| function.insn <= insn);
        self.functions.get(behind.checked_sub(1)?).filter(|function| insn < function.insn + function.len)
    }

    /// What must be put into an instruction.
    pub fn fixup(&self, insn: usize) -> Option<&Fixup> {
        let at = self.fixups.binary_search_by_key(&insn, |fixup| fixup.insn).ok()?;
        self.fixups.get(at)
    }
}
