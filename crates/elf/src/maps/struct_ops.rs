//! Structures of functions that the kernel calls: each variable of `.struct_ops` is a map whose value is the kernel's
//! structure, with programs where the object's structure has functions.

use super::{MapDef, MapKind, Place, StructOps};
use crate::btf::{Btf, Kind, TypeId, essential_name};
use crate::file::File;
use crate::functions::Functions;
use crate::{MapType, ObjectError};

/// `BPF_F_LINK`: attached by a link, not by an update.
const F_LINK: u32 = 1 << 13;

fn is_section(name: &str) -> bool {
    matches!(name, ".struct_ops" | ".struct_ops.link" | "?.struct_ops" | "?.struct_ops.link")
}

/// The maps of all such sections.
pub(crate) fn collect(
    file: &File<'_>,
    btf: Option<&Btf>,
    target: Option<&Btf>,
    functions: &Functions,
) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    for (index, section) in file.sections.iter().enumerate().filter(|(_, section)| is_section(section.name)) {
        if section.data.is_empty() {
            continue;
        }
        let wrong = |what: &str| ObjectError::section(section.name, what);
        let btf = btf.ok_or_else(|| wrong("structures of functions need types, and the object has none"))?;
        let id = btf.find(section.name, |kind| matches!(kind, Kind::DataSec { .. }));
        let Some(Kind::DataSec { vars, .. }) = id.and_then(|id| btf.kind(id)) else {
            return Err(wrong("the types do not describe it"));
        };
        let first = maps.len();
        for var in vars {
            let place = Place::new(index, var.offset.into());
            let name = btf.name(var.var);
            let fail = |what: &str| ObjectError::map(name, what);
            let Some(&Kind::Var { ty, .. }) = btf.kind(var.var) else {
                return Err(fail("expected a variable"));
            };
            let Some((ty, Kind::Struct(composite))) = btf.strip(ty) else {
                return Err(fail("expected a structure"));
            };
            let full = btf.name(ty);
            if full.is_empty() {
                return Err(fail("expected a structure with a name"));
            }
            let start = var.offset as usize;
            let data =
                start.checked_add(composite.size as usize).and_then(|end| section.data.get(start..end));
            let data = data.ok_or_else(|| fail("it lies outside its section"))?;
            let essential = std::str::from_utf8(essential_name(full.as_bytes())).unwrap_or(full);
            let mut ops = StructOps {
                name: essential.to_owned(),
                ty,
                kernel_type: None,
                programs: Vec::new(),
                data: data.to_vec(),
            };
            let mut map = MapDef::new(name, section.name, place, MapKind::Declared);
            map.map_type = MapType::StructOps.into();
            map.key_size = 4;
            map.value_size = composite.size;
            map.max_entries = 1;
            map.value_type = ty;
            map.flags = if section.name.ends_with(".link") { F_LINK } else { 0 };
            // libbpf forgets the question mark after the section's first variable, and so the rest is made.
            map.autocreate = !(section.name.starts_with('?') && maps.len() == first);
            if map.autocreate
                && let Some((kernel_type, size)) = target.and_then(|target| kernel_value(target, essential))
            {
                ops.kernel_type = Some(kernel_type);
                map.value_size = size;
            }
            map.kind = MapKind::StructOps(ops);
            maps.push(map);
        }
        for relocation in file.relocations(index)? {
            let symbol = &file.symbols[relocation.symbol];
            let wrong = |what: &str| wrong(&format!("at byte {}: {what}", relocation.offset));
            let map = maps[first..].iter_mut().find_map(|map| {
                let MapKind::StructOps(ops) = &mut map.kind else { return None };
                let within = relocation.offset.checked_sub(map.place.offset)?;
                (within < ops.data.len() as u64).then_some((ops, within))
            });
            let (ops, within) = map.ok_or_else(|| wrong("no structure is there"))?;
            let composite = btf.kind(ops.ty).and_then(Kind::composite);
            let member = composite.and_then(|composite| {
                composite.members.iter().find(|member| u64::from(member.bit_offset) == within * 8)
            });
            let member = member.ok_or_else(|| wrong("no member begins there"))?;
            let program = functions.entry_at(symbol.section, symbol.value);
            let program = program.ok_or_else(|| wrong("expected a program"))?;
            ops.programs.push((btf.member_name(member).to_owned(), program.name.clone()));
        }
    }
    Ok(maps)
}

/// The kernel wraps the structure into one of its own; that is the map's value.
fn kernel_value(target: &Btf, name: &str) -> Option<(TypeId, u32)> {
    let structure = |kind: &Kind| matches!(kind, Kind::Struct(_));
    let value = target.find(&format!("bpf_struct_ops_{name}"), structure)?;
    let own = target.find(name, structure)?;
    let composite = target.kind(value)?.composite()?;
    composite.members.iter().any(|member| member.ty == own).then_some((own, composite.size))
}
