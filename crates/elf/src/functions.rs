//! The functions of an object: where each begins and ends, and which of them are programs.
//!
//! Symbols divide sections of instructions into functions. Those in `.text` are called by others, those in other
//! sections are programs; an object that has nothing but `.text` has its programs there.

use crate::ObjectError;
use crate::file::File;
use crate::slot::SIZE;

/// The section of functions that are called by others.
pub(crate) const TEXT: &str = ".text";

/// A function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) section: usize,
    /// First instruction in the section, in slots of eight bytes.
    pub(crate) start: usize,
    /// How many slots.
    pub(crate) len: usize,
    /// Known outside of its object.
    pub(crate) global: bool,
    /// Only by the linker: the verifier sees a static function.
    pub(crate) hidden: bool,
    /// A program.
    pub(crate) entry: bool,
}

impl Function {
    pub(crate) fn contains(&self, slot: usize) -> bool {
        slot.checked_sub(self.start).is_some_and(|at| at < self.len)
    }
}

/// All functions, in the order of sections and places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Functions {
    all: Vec<Function>,
}

impl Functions {
    pub(crate) fn collect(file: &File<'_>) -> Result<Self, ObjectError> {
        let mut all = Vec::new();
        let mut text = None;
        for (index, section) in file.sections.iter().enumerate() {
            if !section.executable() || section.data.is_empty() {
                continue;
            }
            if section.name == TEXT {
                text = Some(index);
            }
            collect_section(file, index, &mut all)?;
        }
        // Each byte of instructions may belong to a function and its aliases, not to thousands.
        let declared: usize = all.iter().map(|function: &Function| function.len).sum();
        let bytes: usize =
            file.sections.iter().filter(|section| section.executable()).map(|s| s.data.len()).sum();
        if declared > 16 * (bytes / SIZE) {
            return Err(ObjectError::Elf("functions overlap many times".into()));
        }
        let only_text = all.iter().all(|function| Some(function.section) == text);
        for function in &mut all {
            function.entry = Some(function.section) != text || only_text;
        }
        all.sort_by_key(|function| (function.section, function.start));
        Ok(Self { all })
    }

    pub(crate) fn all(&self) -> &[Function] {
        &self.all
    }

    /// The function that an instruction of a section belongs to.
    pub(crate) fn at(&self, section: usize, slot: usize) -> Option<usize> {
        let behind =
            self.all.partition_point(|function| (function.section, function.start) <= (section, slot));
        let index = behind.checked_sub(1)?;
        let function = &self.all[index];
        (function.section == section && function.contains(slot)).then_some(index)
    }

    /// The program that begins at a byte of a section.
    pub(crate) fn entry_at(&self, section: usize, value: u64) -> Option<&Function> {
        let slot = usize::try_from(value).ok().filter(|value| value % SIZE == 0)? / SIZE;
        let function = &self.all[self.at(section, slot)?];
        (function.entry && function.start == slot).then_some(function)
    }
}

fn collect_section(file: &File<'_>, index: usize, all: &mut Vec<Function>) -> Result<(), ObjectError> {
    let section = &file.sections[index];
    let bytes = section.data.len() as u64;
    let inside = |symbol: &&crate::file::Symbol<'_>| symbol.section == index && !symbol.is_section();
    let mut symbols: Vec<_> =
        file.symbols.iter().filter(inside).filter(|symbol| symbol.is_function()).collect();
    if symbols.is_empty() {
        // Early compilers mark functions as nothing in particular.
        symbols = file.symbols.iter().filter(inside).filter(|symbol| symbol.is_global()).collect();
    }
    let mut starts: Vec<u64> = symbols.iter().map(|symbol| symbol.value).collect();
    starts.sort_unstable();
    for symbol in symbols {
        let fail = |what: &str| Err(ObjectError::program(symbol.name, what));
        let mut size = symbol.size;
        if size == 0 {
            // Without a size it goes on to the next function.
            let next = starts.partition_point(|&start| start <= symbol.value);
            size = starts.get(next).copied().unwrap_or(bytes).saturating_sub(symbol.value);
        }
        let end = symbol.value.checked_add(size);
        if end.is_none_or(|end| end > bytes) {
            return fail("it lies outside its section");
        }
        if size == 0 || size % SIZE as u64 != 0 || symbol.value % SIZE as u64 != 0 {
            return fail("expected whole instructions of eight bytes");
        }
        all.push(Function {
            name: symbol.name.to_owned(),
            section: index,
            start: (symbol.value / SIZE as u64) as usize,
            len: (size / SIZE as u64) as usize,
            global: symbol.is_global(),
            hidden: symbol.hidden,
            entry: false,
        });
    }
    if starts.is_empty() {
        // No symbol at all: the section is the program.
        if !section.data.len().is_multiple_of(SIZE) {
            return Err(ObjectError::section(section.name, "expected whole instructions of eight bytes"));
        }
        all.push(Function {
            name: section.name.to_owned(),
            section: index,
            start: 0,
            len: section.data.len() / SIZE,
            global: true,
            hidden: false,
            entry: false,
        });
    }
    Ok(())
}
