//! BPF object files: what a compiler leaves in an ELF file becomes programs, maps and types.
//!
//! [`Object`] reads a file as libbpf 1.8 does, and those that only earlier loaders read: iproute2, Cilium, bcc, the
//! kernel's samples. Each program then has the instructions, byte for byte, that the kernel would get: linked with
//! the functions it calls, adapted to a kernel's types (CO-RE), with maps and variables noted as [`Fixup`]s.
//!
//! ```
//! use sandbpf_elf::{FixupKind, Object};
//! # let file = include_bytes!("../tests/data/counter.o");
//! let object = Object::parse(file)?;
//! let program = object.program("count")?;
//! for fixup in &program.fixups {
//!     if let FixupKind::Map { map } = fixup.kind {
//!         println!("instruction {} loads map {}", fixup.insn, object.maps()[map].name);
//!     }
//! }
//! println!("{}", program.location(0).unwrap());
//! # Ok::<(), sandbpf_elf::ObjectError>(())
//! ```
//!
//! # Trust
//!
//! Nothing in a file is trusted. Memory grows with the bytes of the file, following types has a bound, a linked program
//! has a million instructions at most, and what is damaged is a typed [`ObjectError`].
//!
//! # What is ours
//!
//! The `object` crate takes ELF apart: headers, sections, symbols, relocations, all checked. Its meaning for BPF is
//! here, and BTF too: crates that read it lack inner maps, kernel configuration, CO-RE against another kernel's types
//! or the source lines, and libbpf's way to link, poison and name is what must be met exactly.
//!
//! # Where it differs from libbpf
//!
//! An object is not refused for a program that is not asked for: what the kernel lacks is an error of the programs
//! that use it ([`Object::missing`] tells all). Static programs, functions outside `.text`, calls of functions that
//! nobody defines, and fields of map definitions that other loaders know are accepted.
#![forbid(unsafe_code)]

mod attributes;
mod btf;
mod core;
mod error;
mod externs;
mod file;
mod functions;
mod globals;
mod link;
mod map_number;
mod maps;
mod object;
mod options;
mod program;
mod relocate;
mod sections;
mod slot;

pub use crate::object::Object;
pub use attributes::Attributes;
pub use btf::{Array, Btf, Composite, Enum, EnumValue, Int, Kind, Member, Param, SectionVar, Type, TypeId};
pub use error::ObjectError;
pub use globals::Global;
pub use map_number::MapNumber;
pub use maps::{InitialSlot, MapDef, MapKind, Pinning, StructOps};
pub use options::Options;
pub use program::{Fixup, FixupKind, LinkedFunction, Location, ObjectProgram, ProgramEntry};
pub use sandbpf_abi::{AttachType, MapType, ProgramType};
pub use sections::SectionKind;
