//! The ELF file, as far as loaders of BPF look at it: sections with their bytes, symbols, relocations without
//! addends. What is here has been checked: ranges lie in the file, indices name something.

use std::collections::HashMap;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, Rel as _, SectionHeader as _, Sym as _};

use crate::ObjectError;

/// A section.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) info: u32,
    /// Bytes when loaded; more than `data` has for `.bss`.
    pub(crate) size: u64,
    pub(crate) data: &'a [u8],
}

impl Section<'_> {
    /// Holds instructions.
    pub(crate) fn executable(&self) -> bool {
        self.kind == elf::SHT_PROGBITS && self.flags & u64::from(elf::SHF_EXECINSTR) != 0
    }
}

/// A symbol.
#[derive(Debug, Clone)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: u8,
    pub(crate) bind: u8,
    /// Hidden or internal: known to this object only.
    pub(crate) hidden: bool,
    /// The section it is in; special numbers lie at 0xff00 and above.
    pub(crate) section: usize,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

impl Symbol<'_> {
    /// Something that another object or the kernel provides.
    pub(crate) fn is_extern(&self) -> bool {
        self.section == 0 && self.is_global() && self.kind == elf::STT_NOTYPE
    }

    /// Known outside of its object.
    pub(crate) fn is_global(&self) -> bool {
        self.bind == elf::STB_GLOBAL || self.bind == elf::STB_WEAK
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.bind == elf::STB_WEAK
    }

    pub(crate) fn is_function(&self) -> bool {
        self.kind == elf::STT_FUNC
    }

    pub(crate) fn is_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }
}

/// A relocation: what is at `offset` refers to the symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) symbol: usize,
}

/// The file.
pub(crate) struct File<'a> {
    pub(crate) sections: Vec<Section<'a>>,
    pub(crate) symbols: Vec<Symbol<'a>>,
    by_name: HashMap<&'a str, usize>,
}

/// Longer names are read as empty: thousands of symbols may share one endless name.
const MAX_NAME: usize = 1024;
/// How many times over the sections may cover the file; honest ones do not overlap.
const MAX_COVER: usize = 8;

fn name_at(strings: &[u8], offset: u32) -> &str {
    let Some(rest) = strings.get(offset as usize..) else { return "" };
    let rest = &rest[..rest.len().min(MAX_NAME)];
    let len = rest.iter().position(|&byte| byte == 0);
    len.and_then(|len| std::str::from_utf8(&rest[..len]).ok()).unwrap_or("")
}

impl<'a> File<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let wrong = |error: object::read::Error| ObjectError::Elf(error.to_string().to_lowercase());
        let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(wrong)?;
        let endian = header.endian().map_err(wrong)?;
        if endian != Endianness::Little {
            return Err(ObjectError::Elf("expected a little-endian file, found a big-endian one".into()));
        }
        let machine = header.e_machine(endian);
        // Objects older than the number for BPF carry none.
        if machine != elf::EM_BPF && machine != elf::EM_NONE {
            return Err(ObjectError::Elf(format!("expected machine 247 (BPF), found {machine}")));
        }
        if header.e_type(endian) != elf::ET_REL {
            return Err(ObjectError::Elf(format!(
                "expected a relocatable file (type 1), found type {}",
                header.e_type(endian)
            )));
        }
        let table = header.sections(endian, bytes).map_err(wrong)?;
        let names = header.shstrndx(endian, bytes).map_err(wrong)?;
        let names = table.section(object::SectionIndex(names as usize)).map_err(wrong)?;
        let names = names.data(endian, bytes).map_err(wrong)?;
        let mut sections = Vec::with_capacity(table.len());
        let mut covered = 0usize;
        for header in table.iter() {
            let kind = header.sh_type(endian);
            // A section outside the file is an error only where somebody needs it.
            let data = header.data(endian, bytes).unwrap_or_default();
            covered = covered.saturating_add(data.len());
            sections.push(Section {
                name: name_at(names, header.sh_name(endian)),
                kind,
                flags: header.sh_flags(endian),
                info: header.sh_info(endian),
                size: if kind == elf::SHT_NOBITS { header.sh_size(endian) } else { data.len() as u64 },
                data,
            });
        }
        if covered > MAX_COVER * bytes.len() {
            return Err(ObjectError::Elf(format!("sections overlap more than {MAX_COVER} times")));
        }
        let mut by_name = HashMap::new();
        for (index, section) in sections.iter().enumerate().skip(1) {
            by_name.entry(section.name).or_insert(index);
        }
        let symbols = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(wrong)?;
        if symbols.is_empty() {
            return Err(ObjectError::Elf("no symbols, expected a file that is not stripped".into()));
        }
        let strings = sections.get(symbols.string_section().0).map_or(&[][..], |section| section.data);
        let symbols = symbols
            .iter()
            .map(|symbol| Symbol {
                name: name_at(strings, symbol.st_name(endian)),
                kind: symbol.st_type(),
                bind: symbol.st_bind(),
                hidden: matches!(symbol.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
                section: symbol.st_shndx(endian).into(),
                value: symbol.st_value(endian),
                size: symbol.st_size(endian),
            })
            .collect();
        Ok(Self { sections, symbols, by_name })
    }

    /// The first section of this name.
    pub(crate) fn section(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        let index = *self.by_name.get(name)?;
        Some((index, &self.sections[index]))
    }

    pub(crate) fn section_name(&self, index: usize) -> &'a str {
        self.sections.get(index).map_or("?", |section| section.name)
    }

    /// All relocations of a section's bytes, in the order of the file.
    pub(crate) fn relocations(&self, target: usize) -> Result<Vec<Relocation>, ObjectError> {
        let mut relocations = Vec::new();
        for section in &self.sections {
            if section.kind != elf::SHT_REL || section.info as usize != target {
                continue;
            }
            let records = object::slice_from_all_bytes::<elf::Rel64<Endianness>>(section.data)
                .map_err(|()| ObjectError::section(section.name, "expected records of 16 bytes"))?;
            for record in records {
                let symbol = record.r_sym(Endianness::Little) as usize;
                if symbol >= self.symbols.len() {
                    return Err(ObjectError::section(
                        section.name,
                        format!("a relocation names symbol {symbol} of {}", self.symbols.len()),
                    ));
                }
                relocations.push(Relocation { offset: record.r_offset(Endianness::Little), symbol });
            }
        }
        Ok(relocations)
    }
}
