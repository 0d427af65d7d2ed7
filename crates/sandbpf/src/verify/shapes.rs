//! Maps as the verifier sees them: sizes, frozen contents, and what values hold beside plain bytes.

use sandbpf_maps::{Map, MapSpec, MapType};
use sandbpf_verifier::{FieldKind, KptrKind, MapShape, SpecialField, TypeRef};

/// `BPF_F_RDONLY_PROG`.
const RDONLY_PROG: u32 = 1 << 7;

/// Adds the shape of a map that exists, and says where.
pub(super) fn of_map(map: &Map, shapes: &mut Vec<MapShape>) -> usize {
    let spec = map.spec();
    let at = of_spec(spec, shapes);
    if map.is_frozen() {
        shapes[at].frozen = true;
        if spec.map_flags & RDONLY_PROG != 0 && spec.map_type == MapType::Array {
            shapes[at].contents = map.user().lookup(&0u32.to_ne_bytes(), 0).ok();
        }
    }
    at
}

fn of_spec(spec: &MapSpec, shapes: &mut Vec<MapShape>) -> usize {
    let inner = spec.inner.as_deref().map(|inner| of_spec(inner, shapes));
    shapes.push(MapShape {
        name: spec.name.clone(),
        map_type: spec.map_type as u32,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.map_flags,
        inner,
        fields: spec.fields.iter().map(field).collect(),
        has_btf: spec.btf.is_some(),
        extra: spec.map_extra,
        ..MapShape::default()
    });
    shapes.len() - 1
}

/// A field of a map that was made without type information: what it points to is not known.
fn field(field: &sandbpf_maps::SpecialField) -> SpecialField {
    use sandbpf_maps::FieldKind as Known;
    let unknown = TypeRef::program(0);
    let kind = match field.kind {
        Known::SpinLock => FieldKind::SpinLock,
        Known::ResSpinLock => FieldKind::ResSpinLock,
        Known::Timer => FieldKind::Timer,
        Known::Workqueue => FieldKind::Workqueue,
        Known::Kptr => FieldKind::Kptr { kind: KptrKind::Untrusted, target: unknown },
        Known::ListHead => FieldKind::ListHead { target: unknown, node: 0 },
        Known::RbRoot => FieldKind::RbRoot { target: unknown, node: 0 },
        Known::Refcount => FieldKind::Refcount,
    };
    SpecialField { kind, offset: field.offset, size: field.size }
}

#[cfg(feature = "object")]
mod typed {
    use sandbpf_elf::{Btf, Kind, TypeId};

    use super::*;

    /// How deep structs in structs are looked into.
    const DEEPEST: u32 = 8;

    /// What a type of the program holds beside plain bytes, by the names of its members' types.
    ///
    /// ```
    /// use sandbpf::object::Object;
    /// # let file = include_bytes!("../../../elf/tests/data/counter.o");
    /// let object = Object::parse(file)?;
    /// let (btf, map) = (object.btf().unwrap(), &object.maps()[0]);
    /// assert!(sandbpf::special_fields(btf, map.value_type).is_empty());
    /// # Ok::<(), sandbpf::object::ObjectError>(())
    /// ```
    pub fn special_fields(btf: &Btf, id: TypeId) -> Vec<SpecialField> {
        let mut fields = Vec::new();
        collect(btf, id, 0, DEEPEST, &mut fields);
        fields.sort_by_key(|field| field.offset);
        fields
    }

    fn collect(btf: &Btf, id: TypeId, base: u32, depth: u32, out: &mut Vec<SpecialField>) {
        let Some((id, Kind::Struct(composite) | Kind::Union(composite))) = btf.strip(id) else {
            // Global variables: a section's members are its variables.
            if let Some((_, Kind::DataSec { vars, .. })) = btf.strip(id) {
                for var in vars {
                    if let Some(Kind::Var { ty, .. }) = btf.kind(var.var) {
                        member(btf, var.var, None, *ty, base.saturating_add(var.offset), depth, out);
                    }
                }
            }
            return;
        };
        for (index, at) in composite.members.iter().enumerate() {
            let offset = base.saturating_add(at.bit_offset / 8);
            member(btf, id, Some(index as i32), at.ty, offset, depth, out);
        }
    }

    fn member(
        btf: &Btf,
        owner: TypeId,
        component: Option<i32>,
        ty: TypeId,
        offset: u32,
        depth: u32,
        out: &mut Vec<SpecialField>,
    ) {
        let Some((target, kind)) = btf.strip(ty) else { return };
        let tagged = || contains(btf, owner, component.unwrap_or(-1));
        let plain = match (kind, btf.name(target)) {
            (Kind::Struct(_), "bpf_spin_lock") => Some((FieldKind::SpinLock, 4)),
            (Kind::Struct(_), "bpf_res_spin_lock") => Some((FieldKind::ResSpinLock, 8)),
            (Kind::Struct(_), "bpf_timer") => Some((FieldKind::Timer, 16)),
            (Kind::Struct(_), "bpf_wq") => Some((FieldKind::Workqueue, 16)),
            (Kind::Struct(_), "bpf_task_work") => Some((FieldKind::TaskWork, 8)),
            (Kind::Struct(_), "bpf_list_node") => Some((FieldKind::ListNode, 24)),
            (Kind::Struct(_), "bpf_rb_node") => Some((FieldKind::RbNode, 32)),
            (Kind::Struct(_), "bpf_refcount") => Some((FieldKind::Refcount, 4)),
            (Kind::Struct(_), "bpf_list_head") => {
                tagged().map(|(target, node)| (FieldKind::ListHead { target, node }, 16))
            }
            (Kind::Struct(_), "bpf_rb_root") => {
                tagged().map(|(target, node)| (FieldKind::RbRoot { target, node }, 16))
            }
            _ => None,
        };
        if let Some((kind, size)) = plain {
            out.push(SpecialField { kind, offset, size });
            return;
        }
        match kind {
            Kind::Ptr(to) => out.extend(pointer(btf, *to).map(|kind| SpecialField { kind, offset, size: 8 })),
            Kind::Array(array) if depth > 0 => {
                let Some(size) = btf.size_of(array.element).and_then(|size| u32::try_from(size).ok()) else {
                    return;
                };
                // Only arrays of pointers and structs can hold any; plain ones are not walked.
                let before = out.len();
                member(btf, owner, component, array.element, offset, depth - 1, out);
                let first: Vec<SpecialField> = out[before..].to_vec();
                for number in 1..array.count.min(MOST) {
                    if first.is_empty() {
                        break;
                    }
                    let shift = number.saturating_mul(size);
                    out.extend(
                        first.iter().map(|f| SpecialField { offset: f.offset.saturating_add(shift), ..*f }),
                    );
                }
            }
            Kind::Struct(_) if depth > 0 => collect(btf, target, offset, depth - 1, out),
            _ => {}
        }
    }

    /// No value has more fields (`BTF_FIELDS_MAX`).
    const MOST: u32 = 11;

    fn pointer(btf: &Btf, to: TypeId) -> Option<FieldKind> {
        let Some(Kind::TypeTag(inner)) = btf.kind(to) else { return None };
        let (target, _) = btf.strip(*inner)?;
        let target = TypeRef::program(target);
        let kind = match btf.name(to) {
            "kptr_untrusted" => KptrKind::Untrusted,
            "kptr" => KptrKind::Referenced,
            "percpu_kptr" => KptrKind::Percpu,
            "uptr" => return Some(FieldKind::Uptr { target }),
            _ => return None,
        };
        Some(FieldKind::Kptr { kind, target })
    }

    /// What a list or tree holds: `__contains(type, node)` is a tag of the declaration.
    fn contains(btf: &Btf, owner: TypeId, component: i32) -> Option<(TypeRef, u32)> {
        let (tag, _) = btf.iter().find(|(id, of)| match of.kind {
            Kind::DeclTag { ty, component: at } => {
                ty == owner && at == component && btf.name(*id).starts_with("contains:")
            }
            _ => false,
        })?;
        let (name, node) = btf.name(tag).strip_prefix("contains:")?.split_once(':')?;
        let target = btf.find(name, |kind| matches!(kind, Kind::Struct(_)))?;
        let (bits, _) = btf.member(target, node)?;
        Some((TypeRef::program(target), bits / 8))
    }
}

#[cfg(feature = "object")]
pub use typed::special_fields;
