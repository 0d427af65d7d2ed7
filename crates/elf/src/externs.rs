//! What an object expects from the kernel: values of its configuration (`__kconfig`), addresses and types of its
//! variables and functions (`__ksym`).
//!
//! Configuration values are laid out in one map, `.kconfig`, by alignment and size; the other externs become the
//! numbers of types, or addresses, in the instructions that use them.

use std::collections::HashMap;

use crate::ObjectError;
use crate::btf::{Btf, Kind, TypeId, essential_name};
use crate::core::types_compatible;
use crate::file::File;
use crate::options::Options;

/// The most that configuration values may take together; the kernel's longest is a line of text.
const MAX_KCONFIG: u64 = 1 << 20;

/// The name of the map and of the section of types.
pub(crate) const KCONFIG: &str = ".kconfig";

/// One extern.
#[derive(Debug, Clone)]
pub(crate) struct Extern {
    pub(crate) name: String,
    pub(crate) symbol: usize,
    pub(crate) weak: bool,
    pub(crate) kind: ExternKind,
}

/// What it is.
#[derive(Debug, Clone)]
pub(crate) enum ExternKind {
    /// No type says what it is: objects of older compilers refer to functions that no kernel has.
    Unknown,
    /// A configuration value at an offset of the map `.kconfig`.
    Kconfig { ty: TypeId, offset: u32, size: u32, align: u32, outcome: Result<bool, ObjectError> },
    /// A variable or function of the kernel.
    Ksym { local: TypeId, typed: bool, function: bool, outcome: Result<Ksym, ObjectError> },
}

/// What was found of a variable or function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ksym {
    /// Its number in the kernel's types.
    Type(TypeId),
    /// Its address.
    Address(u64),
    /// The kernel does not have it, and it need not.
    Absent,
    /// Nobody said which kernel.
    Unasked,
}

/// Collects and sorts the externs, and lays out `.kconfig`; its bytes are the second answer.
pub(crate) fn collect(
    file: &File<'_>,
    btf: Option<&mut Btf>,
    options: &Options,
) -> Result<(Vec<Extern>, Option<Vec<u8>>), ObjectError> {
    let sections = btf.as_deref().map(sections_of).unwrap_or_default();
    let mut externs = Vec::new();
    let mut known: HashMap<&str, ExternKind> = HashMap::new();
    for (symbol, entry) in file.symbols.iter().enumerate() {
        if !entry.is_extern() || entry.name.is_empty() {
            continue;
        }
        let kind = match (btf.as_deref(), known.get(entry.name)) {
            (_, Some(kind)) => kind.clone(),
            (Some(btf), None) => classify(btf, &sections, entry.name)?,
            (None, None) => ExternKind::Unknown,
        };
        known.insert(entry.name, kind.clone());
        externs.push(Extern { name: entry.name.to_owned(), symbol, weak: entry.is_weak(), kind });
    }
    externs.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)).then_with(|| a.name.cmp(&b.name)));
    let mut bytes = None;
    if let Some(btf) = btf {
        let size = lay_out(btf, &mut externs)?;
        if size > 0 {
            let mut values = vec![0; size as usize];
            fill(btf, &mut externs, options, &mut values);
            bytes = Some(values);
        }
        for entry in &mut externs {
            resolve(btf, entry, options);
        }
    }
    Ok((externs, bytes))
}

fn sort_key(entry: &Extern) -> (u8, u32, u32) {
    match entry.kind {
        ExternKind::Unknown => (0, 0, 0),
        // Greater alignment first, then smaller size.
        ExternKind::Kconfig { align, size, .. } => (1, u32::MAX - align, size),
        ExternKind::Ksym { .. } => (2, 0, 0),
    }
}

/// For each variable and function that a section of the types lists, that section.
fn sections_of(btf: &Btf) -> HashMap<TypeId, TypeId> {
    let mut sections = HashMap::new();
    for (section, ty) in btf.iter() {
        if let Kind::DataSec { vars, .. } = &ty.kind {
            for var in vars {
                sections.entry(var.var).or_insert(section);
            }
        }
    }
    sections
}

fn classify(btf: &Btf, sections: &HashMap<TypeId, TypeId>, name: &str) -> Result<ExternKind, ObjectError> {
    let id = btf.find(name, |kind| matches!(kind, Kind::Var { .. } | Kind::Func { .. }));
    let kind = id.and_then(|id| Some((id, btf.kind(id)?)));
    let (id, ty, function) = match kind {
        Some((id, &Kind::Var { ty, linkage: 2 })) => (id, ty, false),
        Some((id, &Kind::Func { proto, linkage: 2 })) => (id, proto, true),
        _ => return Ok(ExternKind::Unknown),
    };
    let section = sections.get(&id).map(|&section| btf.name(section));
    match section {
        Some(KCONFIG) if !function => {
            let size = btf.size_of(ty).filter(|&size| size > 0 && size <= MAX_KCONFIG);
            let size =
                size.ok_or_else(|| ObjectError::external(name, "its type has no size, or too many bytes"))?;
            let align =
                btf.align_of(ty).ok_or_else(|| ObjectError::external(name, "its type has no alignment"))?;
            if value_kind(btf, ty).is_none() {
                return Err(ObjectError::external(
                    name,
                    "expected a number, character, boolean, tristate or text",
                ));
            }
            Ok(ExternKind::Kconfig { ty, offset: 0, size: size as u32, align, outcome: Ok(false) })
        }
        Some(".ksyms") => {
            let typed = btf.strip(ty).is_some_and(|(id, _)| id != 0);
            // The type of a variable, the prototype of a function.
            let local = if function { ty } else { btf.strip(ty).map_or(ty, |(id, _)| id) };
            Ok(ExternKind::Ksym { local, typed, function, outcome: Ok(Ksym::Unasked) })
        }
        // Nobody provides what is in no section: the programs that use it have to live with that.
        _ => Ok(ExternKind::Unknown),
    }
}

/// Gives every configuration value its place, in the types too; answers the bytes of all.
fn lay_out(btf: &mut Btf, externs: &mut [Extern]) -> Result<u32, ObjectError> {
    let mut end = 0u64;
    let mut places = HashMap::new();
    for entry in externs.iter_mut() {
        let ExternKind::Kconfig { offset, size, align, .. } = &mut entry.kind else { continue };
        let start = end.next_multiple_of(u64::from(*align));
        end = start + u64::from(*size);
        if end > MAX_KCONFIG {
            return Err(ObjectError::external(&*entry.name, "the configuration values take too many bytes"));
        }
        *offset = start as u32;
        places.insert(entry.name.clone(), start as u32);
    }
    if let Some(section) = btf.find(KCONFIG, |kind| matches!(kind, Kind::DataSec { .. })) {
        let names: Vec<(TypeId, Option<u32>)> = match btf.kind(section) {
            Some(Kind::DataSec { vars, .. }) => {
                vars.iter().map(|var| (var.var, places.get(btf.name(var.var)).copied())).collect()
            }
            _ => Vec::new(),
        };
        if let Some(Kind::DataSec { size, vars }) = btf.kind_mut(section) {
            *size = end as u32;
            for (var, (_, offset)) in vars.iter_mut().zip(&names) {
                var.offset = offset.unwrap_or(var.offset);
            }
            vars.sort_by_key(|var| var.offset);
        }
        for (var, offset) in names {
            if let (Some(Kind::Var { linkage, .. }), Some(_)) = (btf.kind_mut(var), offset) {
                *linkage = 1;
            }
        }
    }
    Ok(end as u32)
}

/// The kinds of value that the configuration knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    Bool,
    Tristate,
    Char { signed: bool },
    Int { signed: bool },
    Text,
}

fn value_kind(btf: &Btf, ty: TypeId) -> Option<ValueKind> {
    let (id, kind) = btf.strip(ty)?;
    match kind {
        Kind::Int(int) if int.boolean() => (int.size == 1).then_some(ValueKind::Bool),
        Kind::Int(int) if int.size == 1 => Some(ValueKind::Char { signed: int.signed() }),
        Kind::Int(int) => matches!(int.size, 2 | 4 | 8).then_some(ValueKind::Int { signed: int.signed() }),
        Kind::Enum(values) if values.size != 4 => None,
        Kind::Enum(_) | Kind::Enum64(_) => (btf.name(id) == "libbpf_tristate").then_some(ValueKind::Tristate),
        Kind::Array(array) if array.count > 0 => match value_kind(btf, array.element) {
            Some(ValueKind::Char { .. }) => Some(ValueKind::Text),
            _ => None,
        },
        _ => None,
    }
}

/// Writes the values that are known; every other one stays zero.
fn fill(btf: &Btf, externs: &mut [Extern], options: &Options, bytes: &mut [u8]) {
    let lines = options.kconfig.lines().filter_map(|line| line.split_once('='));
    let lines = lines.filter(|(name, value)| name.starts_with("CONFIG_") && !value.is_empty());
    // The first line of a name counts.
    let config: HashMap<&str, &str> = lines.collect::<Vec<_>>().into_iter().rev().collect();
    for entry in externs.iter_mut() {
        let ExternKind::Kconfig { ty, offset, size, ref mut outcome, .. } = entry.kind else { continue };
        let place = &mut bytes[offset as usize..(offset + size) as usize];
        let Some(kind) = value_kind(btf, ty) else { continue };
        let name = entry.name.as_str();
        if name.starts_with("CONFIG_") {
            let text = config.get(name).copied();
            *outcome = match text {
                Some(text) => write_text(kind, text, place).map(|()| true),
                None if entry.weak => Ok(false),
                None => Err("the kernel's configuration does not have it".into()),
            }
            .map_err(|what: String| ObjectError::external(name, what));
            continue;
        }
        let number = match name {
            "LINUX_KERNEL_VERSION" => Some(u64::from(options.kernel_version)),
            // It is there since 5.15.
            "LINUX_HAS_BPF_COOKIE" => Some(u64::from(options.kernel_version >= 0x05_0f_00)),
            "LINUX_HAS_SYSCALL_WRAPPER" => Some(u64::from(options.syscall_wrapper)),
            _ if name.starts_with("LINUX_") && entry.weak => Some(0),
            _ => None,
        };
        *outcome = match number {
            Some(number) => write_number(kind, number, place).map(|()| true),
            None => Err("expected a name that begins with CONFIG_, or one that loaders know".into()),
        }
        .map_err(|what: String| ObjectError::external(name, what));
    }
}

fn write_text(kind: ValueKind, text: &str, place: &mut [u8]) -> Result<(), String> {
    let mismatch = || Err(format!("the configuration's value {text} does not fit its type"));
    match (text, kind) {
        ("y" | "n", ValueKind::Bool) => place[0] = u8::from(text == "y"),
        ("y" | "n" | "m", ValueKind::Tristate) => {
            let value = match text {
                "y" => 1,
                "m" => 2,
                _ => 0,
            };
            place.fill(0);
            place[0] = value;
        }
        ("y" | "n" | "m", ValueKind::Char { .. }) => place[0] = text.as_bytes()[0],
        (_, ValueKind::Text) => {
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let Some(inner) = inner else { return mismatch() };
            let len = inner.len().min(place.len() - 1);
            place.fill(0);
            place[..len].copy_from_slice(&inner.as_bytes()[..len]);
        }
        (_, ValueKind::Char { .. } | ValueKind::Int { .. }) => match parse_number(text) {
            Some(number) => return write_number(kind, number, place),
            None => return mismatch(),
        },
        _ => return mismatch(),
    }
    Ok(())
}

/// As `strtoull` with base 0 reads it.
fn parse_number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let number = if let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(digits, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(if negative { number.wrapping_neg() } else { number })
}

fn write_number(kind: ValueKind, number: u64, place: &mut [u8]) -> Result<(), String> {
    let signed = match kind {
        ValueKind::Int { signed } | ValueKind::Char { signed } => signed,
        ValueKind::Bool if number <= 1 => false,
        _ => return Err(format!("the number {number} does not fit its type")),
    };
    let bits = place.len() * 8;
    let fits = bits >= 64
        || if signed { number.wrapping_add(1 << (bits - 1)) < 1 << bits } else { number >> bits == 0 };
    if !fits {
        return Err(format!("the number {number} does not fit into {bits} bits"));
    }
    place.copy_from_slice(&number.to_le_bytes()[..place.len()]);
    Ok(())
}

/// Looks a variable or function up in the kernel.
fn resolve(btf: &Btf, entry: &mut Extern, options: &Options) {
    let ExternKind::Ksym { local, typed, function, ref mut outcome } = entry.kind else { return };
    let missing = |what: &str| {
        if entry.weak { Ok(Ksym::Absent) } else { Err(ObjectError::external(&*entry.name, what)) }
    };
    if !typed {
        *outcome = match &options.kernel_symbols {
            None => Ok(Ksym::Unasked),
            Some(symbols) => match symbols(&entry.name) {
                Some(address) => Ok(Ksym::Address(address)),
                None => missing("the kernel has no symbol of this name"),
            },
        };
        return;
    }
    let Some(target) = options.target.as_deref() else { return };
    let name = kernel_name(&entry.name, function);
    let found = target.find(name, |kind| match kind {
        Kind::Func { .. } => function,
        Kind::Var { .. } => !function,
        _ => false,
    });
    let theirs = found.and_then(|id| match target.kind(id) {
        Some(&Kind::Var { ty, .. }) => target.strip(ty).map(|(id, _)| id),
        Some(&Kind::Func { proto, .. }) => Some(proto),
        _ => None,
    });
    *outcome = match (found, theirs) {
        (Some(found), Some(theirs)) => match types_compatible(btf, local, target, theirs) {
            Ok(true) => Ok(Ksym::Type(found)),
            // A function of another prototype is no such function; a variable of another type is a mistake.
            _ if function => missing("the kernel's function has another prototype"),
            _ => Err(ObjectError::external(&*entry.name, "the kernel's variable has another type")),
        },
        _ => missing("the kernel's types do not have it"),
    };
}

/// A function's name in the kernel is the one without flavour.
fn kernel_name(name: &str, function: bool) -> &str {
    let essential = std::str::from_utf8(essential_name(name.as_bytes())).unwrap_or(name);
    if function { essential } else { name }
}

impl Extern {
    /// Its name in the kernel.
    pub(crate) fn kernel_name(&self) -> &str {
        kernel_name(&self.name, matches!(self.kind, ExternKind::Ksym { function: true, .. }))
    }

    /// It must be left out of what the object may use.
    pub(crate) fn error(&self) -> Option<&ObjectError> {
        match &self.kind {
            ExternKind::Unknown => None,
            ExternKind::Kconfig { outcome, .. } => outcome.as_ref().err(),
            ExternKind::Ksym { outcome, .. } => outcome.as_ref().err(),
        }
    }
}
