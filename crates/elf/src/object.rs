//! [`Object`]: an object file, taken apart; programs are linked one by one when they are asked for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::btf::ext::{BtfExt, CoreRelo, FuncInfo, LineInfo, PerSection};
use crate::btf::{Btf, Kind, TypeId};
use crate::externs::{self, Extern};
use crate::file::{File, Relocation, Symbol};
use crate::functions::Functions;
use crate::maps::arena;
use crate::maps::{self, MapDef, MapKind, data, declared, legacy};
use crate::options::Options;
use crate::program::{ObjectProgram, ProgramEntry};
use crate::{ObjectError, SectionKind, link};

/// A BPF object file.
///
/// ```
/// use sandbpf_elf::{FixupKind, MapType, Object, ProgramType};
/// # let file = include_bytes!("../tests/data/counter.o");
/// let object = Object::parse(file)?;
/// assert_eq!(object.license(), "GPL");
/// assert_eq!(object.maps()[0].map_type, MapType::Hash);
/// for program in object.programs() {
///     let program = program?;
///     assert_eq!(program.entry.program_type(), ProgramType::Xdp);
///     let maps = program.fixups.iter().filter(|fixup| matches!(fixup.kind, FixupKind::Map { .. }));
///     assert_eq!(maps.count(), 2);
/// }
/// # Ok::<(), sandbpf_elf::ObjectError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Object {
    pub(crate) options: Options,
    pub(crate) license: String,
    version: u32,
    pub(crate) sections: Vec<SectionCode>,
    pub(crate) symbols: Vec<OwnSymbol>,
    pub(crate) functions: Functions,
    entries: Vec<ProgramEntry>,
    maps: Vec<MapDef>,
    /// Maps by their place, and maps of data (an arena, too) by their section.
    pub(crate) map_at: HashMap<(usize, u64), usize>,
    pub(crate) data_at: HashMap<usize, usize>,
    pub(crate) jump_tables: Option<usize>,
    pub(crate) externs: Vec<Extern>,
    /// The extern of each symbol that is one.
    pub(crate) extern_of: HashMap<usize, usize>,
    pub(crate) btf: Option<Arc<Btf>>,
    pub(crate) lines: HashMap<usize, Vec<LineInfo>>,
    pub(crate) func_info: HashMap<usize, Vec<FuncInfo>>,
    /// CO-RE records in the order of the file: function, instruction in it, record.
    pub(crate) core: Vec<(usize, usize, CoreRelo)>,
}

/// A section's name, and for one with instructions their bytes and relocations.
#[derive(Debug, Clone, Default)]
pub(crate) struct SectionCode {
    pub(crate) name: String,
    pub(crate) executable: bool,
    pub(crate) code: Vec<u8>,
    pub(crate) relocations: Vec<Relocation>,
}

/// What of a symbol outlives the file.
#[derive(Debug, Clone)]
pub(crate) struct OwnSymbol {
    pub(crate) name: String,
    pub(crate) section: usize,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) is_section: bool,
}

const JUMP_TABLES_SECTION: &str = ".jumptables";

impl Object {
    /// Reads an object file for no kernel in particular; [`Options`] says for which.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        Self::with_options(bytes, Options::new())
    }

    pub(crate) fn with_options(bytes: &[u8], options: Options) -> Result<Self, ObjectError> {
        let file = File::parse(bytes)?;
        let mut btf = match file.section(".BTF") {
            Some((_, section)) => Some(Btf::parse(section.data)?),
            None => None,
        };
        if let Some(btf) = &mut btf {
            fix_sections(&file, btf);
        }
        // Source lines and adaptations are lost with a damaged table, the program is not.
        let ext = file.section(".BTF.ext").filter(|_| btf.is_some());
        let ext = ext.and_then(|(_, section)| BtfExt::parse(section.data).ok()).unwrap_or_default();
        let functions = Functions::collect(&file)?;
        let (externs, kconfig) = externs::collect(&file, btf.as_mut(), &options)?;
        let target = options.target.as_deref();
        let mut maps = declared::collect(&file, btf.as_ref())?;
        maps.extend(legacy::collect(&file)?);
        let arena_data = arena::place(&file, &mut maps)?;
        maps.extend(data::collect(&file, btf.as_ref(), &options.name, kconfig.as_deref())?);
        maps.extend(maps::struct_ops::collect(&file, btf.as_ref(), target, &functions)?);
        declared::fill_slots(&file, &functions, &mut maps)?;
        for map in &mut maps {
            map.adjust(options.processors);
        }
        let jump_tables = file.section(JUMP_TABLES_SECTION).map(|(index, _)| index);
        let mut sections = Vec::with_capacity(file.sections.len());
        for (index, section) in file.sections.iter().enumerate() {
            let mut own = SectionCode { name: section.name.to_owned(), ..SectionCode::default() };
            if section.executable() {
                own.executable = true;
                own.code = section.data.to_vec();
                own.relocations = file.relocations(index)?;
                own.relocations.sort_by_key(|relocation| relocation.offset);
            }
            sections.push(own);
        }
        let by_name = |offset: u32| {
            let name = btf.as_ref().map_or("", |btf| btf.str_at(offset));
            file.section(name).map(|(index, _)| index).filter(|_| !name.is_empty())
        };
        let (mut map_at, mut data_at) = (HashMap::new(), HashMap::new());
        for (index, map) in maps.iter().enumerate() {
            if map.kind == MapKind::Declared {
                map_at.entry((map.place.section, map.place.offset)).or_insert(index);
            } else if map.kind.is_internal() && map.place.section != 0 {
                data_at.entry(map.place.section).or_insert(index);
            }
        }
        data_at.extend(arena_data);
        let core = core_records(&ext.core, &functions, by_name);
        Ok(Self {
            license: text(&file, "license"),
            version: number(&file, "version"),
            entries: entries(&file, &functions),
            symbols: file.symbols.iter().map(|symbol| own_symbol(symbol)).collect(),
            extern_of: externs.iter().enumerate().map(|(n, entry)| (entry.symbol, n)).collect(),
            lines: by_section(ext.lines, by_name, |line| line.offset),
            func_info: by_section(ext.functions, by_name, |info| info.offset),
            btf: btf.map(Arc::new),
            options,
            sections,
            functions,
            maps,
            map_at,
            data_at,
            jump_tables,
            externs,
            core,
        })
    }

    /// The license that the object states, empty if none.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The kernel version that the object states, zero if none; kernels before 5.0 looked at it.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The object's types.
    pub fn btf(&self) -> Option<&Btf> {
        self.btf.as_deref()
    }

    /// The same, to share.
    pub fn shared_btf(&self) -> Option<&Arc<Btf>> {
        self.btf.as_ref()
    }

    /// The types of the kernel that it is loaded for, if they were given.
    pub fn target(&self) -> Option<&Arc<Btf>> {
        self.options.target.as_ref()
    }

    /// The maps, in the order in which a loader makes them; fixups name them by index.
    pub fn maps(&self) -> &[MapDef] {
        &self.maps
    }

    /// The map of this name, to be changed before it is made: loaders decide some sizes, and what is in a map of maps.
    ///
    /// ```
    /// use sandbpf_elf::Object;
    /// # let file = include_bytes!("../tests/data/counter.o");
    /// let mut object = Object::parse(file)?;
    /// object.map_mut("events").expect("a map").max_entries = 4096;
    /// assert_eq!(object.map("events").unwrap().max_entries, 4096);
    /// # Ok::<(), sandbpf_elf::ObjectError>(())
    /// ```
    pub fn map_mut(&mut self, name: &str) -> Option<&mut MapDef> {
        self.maps.iter_mut().find(|map| map.name == name)
    }

    pub(crate) fn maps_mut(&mut self) -> &mut [MapDef] {
        &mut self.maps
    }

    /// The map of this name.
    pub fn map(&self, name: &str) -> Option<&MapDef> {
        self.maps.iter().find(|map| map.name == name)
    }

    /// The programs by name and section; nothing is linked for this.
    pub fn entries(&self) -> &[ProgramEntry] {
        &self.entries
    }

    /// All programs, each linked as it is asked for; one that cannot be linked does not hide the others.
    pub fn programs(&self) -> impl Iterator<Item = Result<ObjectProgram, ObjectError>> + '_ {
        self.entries.iter().map(|entry| self.link(entry))
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Result<ObjectProgram, ObjectError> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        self.link(entry.ok_or_else(|| ObjectError::program(name, "the object has no program of this name"))?)
    }

    /// Links and relocates a program.
    pub fn link(&self, entry: &ProgramEntry) -> Result<ObjectProgram, ObjectError> {
        link::link(self, entry)
    }

    /// How many places in its instructions depend on the kernel's types (CO-RE).
    pub fn core_relocations(&self) -> usize {
        self.core.len()
    }

    /// The types of the object that stand for types of the kernel: those that such places name.
    pub fn core_types(&self) -> impl Iterator<Item = TypeId> + '_ {
        self.core.iter().map(|(_, _, record)| record.ty)
    }

    /// What the object expects from the kernel and did not get; loaders refuse an object for any of these.
    pub fn missing(&self) -> impl Iterator<Item = &ObjectError> {
        self.externs.iter().filter_map(Extern::error)
    }
}

fn entries(file: &File<'_>, functions: &Functions) -> Vec<ProgramEntry> {
    let all = functions.all().iter().enumerate().filter(|(_, function)| function.entry);
    all.map(|(n, function)| {
        let section = file.section_name(function.section);
        let (optional, section) = match section.strip_prefix('?') {
            Some(section) => (true, section),
            None => (false, section),
        };
        ProgramEntry {
            name: function.name.clone(),
            section: section.to_owned(),
            optional,
            kind: SectionKind::of(section),
            function: n,
        }
    })
    .collect()
}

fn own_symbol(symbol: &Symbol<'_>) -> OwnSymbol {
    OwnSymbol {
        name: symbol.name.to_owned(),
        section: symbol.section,
        value: symbol.value,
        size: symbol.size,
        is_section: symbol.is_section(),
    }
}

/// A section's text up to its NUL.
fn text(file: &File<'_>, section: &str) -> String {
    let data = file.section(section).map_or(&[][..], |(_, section)| section.data);
    let len = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    // libbpf keeps 63 characters.
    String::from_utf8_lossy(&data[..len.min(63)]).into_owned()
}

fn number(file: &File<'_>, section: &str) -> u32 {
    let data = file.section(section).and_then(|(_, section)| section.data.first_chunk::<4>());
    data.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Compilers leave sizes of sections and places of variables to the loader, and the linker's visibility too.
fn fix_sections(file: &File<'_>, btf: &mut Btf) {
    let is_variable = |symbol: &&Symbol<'_>| {
        symbol.is_global() && symbol.kind == object::elf::STT_OBJECT && symbol.section != 0
    };
    let symbols: HashMap<&str, &Symbol<'_>> =
        file.symbols.iter().filter(is_variable).map(|symbol| (symbol.name, symbol)).collect();
    for id in 1..btf.len() as TypeId {
        let Some(Kind::DataSec { size, vars }) = btf.kind(id) else { continue };
        let name = btf.name(id);
        if name == externs::KCONFIG || name == ".ksyms" {
            continue;
        }
        let section_size = file.section(name).map_or(0, |(_, section)| section.size);
        let unplaced = *size == 0;
        let found: Vec<_> = vars
            .iter()
            .map(|var| {
                let linkage = match btf.kind(var.var) {
                    Some(Kind::Var { linkage, .. }) => *linkage,
                    _ => 0,
                };
                let symbol = symbols.get(btf.name(var.var)).filter(|_| linkage == 1);
                (var.var, symbol.map(|symbol| (symbol.value, symbol.hidden)))
            })
            .collect();
        if let Some(Kind::DataSec { size, vars }) = btf.kind_mut(id) {
            if unplaced {
                *size = u32::try_from(section_size).unwrap_or(0);
                for (var, (_, symbol)) in vars.iter_mut().zip(&found) {
                    if let Some((value, _)) = symbol {
                        var.offset = u32::try_from(*value).unwrap_or(u32::MAX);
                    }
                }
            }
            vars.sort_by_key(|var| var.offset);
        }
        for (var, symbol) in found {
            if let (Some(Kind::Var { linkage, .. }), Some((_, true))) = (btf.kind_mut(var), symbol) {
                *linkage = 0;
            }
        }
    }
}

fn by_section<T>(
    tables: Vec<PerSection<T>>,
    index: impl Fn(u32) -> Option<usize>,
    offset: impl Fn(&T) -> u32,
) -> HashMap<usize, Vec<T>> {
    let mut all: HashMap<usize, Vec<T>> = HashMap::new();
    for table in tables {
        if let Some(section) = index(table.section) {
            all.entry(section).or_default().extend(table.records);
        }
    }
    for records in all.values_mut() {
        records.sort_by_key(&offset);
    }
    all
}

fn core_records(
    tables: &[PerSection<CoreRelo>],
    functions: &Functions,
    index: impl Fn(u32) -> Option<usize>,
) -> Vec<(usize, usize, CoreRelo)> {
    let mut all = Vec::new();
    for table in tables {
        let Some(section) = index(table.section) else { continue };
        for record in &table.records {
            let slot = record.offset as usize / crate::slot::SIZE;
            // A record outside of all functions belonged to one that the linker dropped.
            if let Some(function) = functions.at(section, slot) {
                all.push((function, slot - functions.all()[function].start, *record));
            }
        }
    }
    all
}
