//! The special fields of a struct: locks, timers, kernel pointers, lists and trees (`btf_parse_fields`).

use sandbpf_elf::{Btf, Kind};
use sandbpf_verifier::{FieldKind, KptrKind, SpecialField, TypeRef};

use crate::BtfTypes;

/// So many fields a type may have (`BTF_FIELDS_MAX`).
const MOST: usize = 11;

/// What is found, and whether all of it makes sense.
#[derive(Default)]
struct Found {
    fields: Vec<SpecialField>,
    senseless: bool,
}

/// Those of a type, or of the variables of a data section. Where one makes no sense, or there are too many, the kernel
/// knows of none: a loader makes the map without its types then.
pub(crate) fn special(types: &BtfTypes, btf: &Btf, of: TypeRef) -> Vec<SpecialField> {
    let mut found = Found::default();
    match btf.kind(of.id) {
        Some(Kind::DataSec { vars, .. }) => {
            for var in vars.iter() {
                if let Some(Kind::Var { ty, .. }) = btf.kind(var.var) {
                    one(types, btf, of, *ty, (var.var, -1), var.offset, &mut found, 0);
                }
            }
        }
        _ => inside(types, btf, of, of.id, 0, &mut found, 0),
    }
    if found.senseless || found.fields.len() > MOST {
        return Vec::new();
    }
    found.fields.sort_by_key(|field| field.offset);
    found.fields
}

fn inside(types: &BtfTypes, btf: &Btf, of: TypeRef, id: u32, base: u32, found: &mut Found, depth: u32) {
    let Some((id, kind)) = btf.strip(id) else { return };
    let Kind::Struct(composite) = kind else { return };
    if depth > 4 {
        return;
    }
    for (at, member) in composite.members.iter().enumerate() {
        if member.bits != 0 {
            continue;
        }
        let tagged = (id, at as i32);
        one(types, btf, of, member.ty, tagged, base + member.bit_offset / 8, found, depth);
    }
}

#[allow(clippy::too_many_arguments)]
fn one(
    types: &BtfTypes,
    btf: &Btf,
    of: TypeRef,
    ty: u32,
    tagged: (u32, i32),
    offset: u32,
    found: &mut Found,
    depth: u32,
) {
    let Some((mut id, mut kind)) = btf.strip(ty) else { return };
    let mut count = 1;
    while let Kind::Array(array) = kind {
        let Some((element, inner)) = btf.strip(array.element) else { return };
        count *= array.count.max(1);
        (id, kind) = (element, inner);
        if count > 64 {
            break;
        }
    }
    let each = btf.size_of(id).unwrap_or(0) as u32;
    let named = match btf.name(id) {
        "bpf_spin_lock" => Some(FieldKind::SpinLock),
        "bpf_res_spin_lock" => Some(FieldKind::ResSpinLock),
        "bpf_timer" => Some(FieldKind::Timer),
        "bpf_wq" => Some(FieldKind::Workqueue),
        "bpf_task_work" => Some(FieldKind::TaskWork),
        "bpf_list_head" => {
            graph(btf, tagged, "bpf_list_node").map(|(target, node)| FieldKind::ListHead { target, node })
        }
        "bpf_list_node" => Some(FieldKind::ListNode),
        "bpf_rb_root" => {
            graph(btf, tagged, "bpf_rb_node").map(|(target, node)| FieldKind::RbRoot { target, node })
        }
        "bpf_rb_node" => Some(FieldKind::RbNode),
        "bpf_refcount" => Some(FieldKind::Refcount),
        _ => None,
    };
    found.senseless |= named.is_none() && matches!(btf.name(id), "bpf_list_head" | "bpf_rb_root");
    for at in 0..count.min(64) {
        let offset = offset + at * each;
        match (named, kind) {
            (Some(kind), _) => found.fields.push(SpecialField { kind, offset, size: each }),
            (None, Kind::Ptr(to)) => found.fields.extend(kptr(types, btf, of, *to, offset)),
            (None, Kind::Struct(_)) => inside(types, btf, of, id, offset, found, depth + 1),
            _ => return,
        }
    }
}

/// A pointer that is tagged as one of the kernel's or the program's own.
fn kptr(types: &BtfTypes, btf: &Btf, of: TypeRef, to: u32, offset: u32) -> Option<SpecialField> {
    let Some(Kind::TypeTag(_)) = btf.kind(to) else { return None };
    let tag = btf.name(to);
    let (id, kind) = btf.strip(to)?;
    let name = btf.name(id);
    // The kernel's type of the same name, or else the program's own.
    let kernel = types.kernel().and_then(|kernel| kernel.find(name, |kind| kind.composite().is_some()));
    let target = match kernel {
        Some(id) if kind.composite().is_some() || matches!(kind, Kind::Fwd { .. }) => TypeRef::kernel(id),
        _ => TypeRef { id, ..of },
    };
    let kind = match tag {
        "kptr_untrusted" => FieldKind::Kptr { kind: KptrKind::Untrusted, target },
        "kptr" => FieldKind::Kptr { kind: KptrKind::Referenced, target },
        "percpu_kptr" => FieldKind::Kptr { kind: KptrKind::Percpu, target },
        "uptr" => FieldKind::Uptr { target: TypeRef { id, ..of } },
        _ => return None,
    };
    Some(SpecialField { kind, offset, size: 8 })
}

/// What a list or tree holds, as a tag of its declaration says: `contains:type:member`. The member is a node of its kind.
fn graph(btf: &Btf, tagged: (u32, i32), node: &str) -> Option<(TypeRef, u32)> {
    let text = btf.iter().find_map(|(id, tag)| match tag.kind {
        Kind::DeclTag { ty, component } if (ty, component) == tagged => {
            btf.name(id).strip_prefix("contains:")
        }
        _ => None,
    })?;
    let (name, member) = text.split_once(':')?;
    let id = btf.find(name, |kind| matches!(kind, Kind::Struct(_)))?;
    let (bits, member) = btf.member(id, member)?;
    let is_node = btf.strip(member.ty).is_some_and(|(id, _)| btf.name(id) == node);
    is_node.then_some((TypeRef::program(id), bits / 8))
}
