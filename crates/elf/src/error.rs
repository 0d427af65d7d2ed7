//! What can be wrong with an object file, and where.

/// Why an object file, or one of its programs, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The bytes are no object file for BPF.
    #[error("not an ELF object file for BPF: {0}")]
    Elf(String),
    /// A section is not what it should be.
    #[error("section {section}: {what}")]
    Section {
        /// Its name.
        section: String,
        /// What was expected, and what was found.
        what: String,
    },
    /// The types are damaged.
    #[error("types (BTF) at byte {offset}: {what}")]
    Btf {
        /// Where in the section or file of types.
        offset: usize,
        /// What was expected, and what was found.
        what: String,
    },
    /// A map cannot be made from its definition.
    #[error("map {map}: {what}")]
    Map {
        /// Its name.
        map: String,
        /// What was expected, and what was found.
        what: String,
    },
    /// A program cannot be linked.
    #[error("program {program}: {what}")]
    Program {
        /// Its name.
        program: String,
        /// What was expected, and what was found.
        what: String,
    },
    /// An instruction cannot be relocated.
    #[error("function {function}, instruction {insn}: {what}")]
    Relocation {
        /// The function in whose code the instruction is.
        function: String,
        /// Which instruction of that function, in slots of eight bytes.
        insn: usize,
        /// What was expected, and what was found.
        what: String,
    },
    /// Something that the kernel should provide is not there.
    #[error("extern {name}: {what}")]
    Extern {
        /// Its name.
        name: String,
        /// What was expected, and what was found.
        what: String,
    },
    /// A global variable cannot be set.
    #[error("global {name}: {what}")]
    Global {
        /// Its name.
        name: String,
        /// What was expected, and what was found.
        what: String,
    },
}

impl ObjectError {
    pub(crate) fn section(section: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Section { section: section.into(), what: what.into() }
    }

    pub(crate) fn map(map: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Map { map: map.into(), what: what.into() }
    }

    pub(crate) fn program(program: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Program { program: program.into(), what: what.into() }
    }

    pub(crate) fn relocation(function: impl Into<String>, insn: usize, what: impl Into<String>) -> Self {
        Self::Relocation { function: function.into(), insn, what: what.into() }
    }

    pub(crate) fn external(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Extern { name: name.into(), what: what.into() }
    }

    pub(crate) fn global(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Global { name: name.into(), what: what.into() }
    }
}
