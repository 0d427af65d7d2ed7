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
        // Whoever holds a map sees its pages.
        mapped: true,
        ..MapShape::default()
    });
    shapes.len() - 1
}

/// Whether maps of this specification are of this shape, as far as accesses go.
pub(super) fn is_of(shape: &MapShape, spec: &MapSpec) -> bool {
    let sizes = |key: u32, value: u32, entries: u32, flags: u32| [key, value, entries, flags];
    shape.map_type == spec.map_type as u32
        && sizes(shape.key_size, shape.value_size, shape.max_entries, shape.flags)
            == sizes(spec.key_size, spec.value_size, spec.max_entries, spec.map_flags)
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
        Known::TaskWork => FieldKind::TaskWork,
        Known::Uptr => FieldKind::Uptr { target: unknown },
    };
    SpecialField { kind, offset: field.offset, size: field.size }
}

/// The same field for a map to make; none if it is one of objects and not of maps.
#[cfg(feature = "object")]
pub(crate) fn known_field(field: &SpecialField) -> Option<sandbpf_maps::SpecialField> {
    use sandbpf_maps::FieldKind as Known;
    let kind = match field.kind {
        FieldKind::SpinLock => Known::SpinLock,
        FieldKind::ResSpinLock => Known::ResSpinLock,
        FieldKind::Timer => Known::Timer,
        FieldKind::Workqueue => Known::Workqueue,
        FieldKind::TaskWork => Known::TaskWork,
        FieldKind::Kptr { .. } => Known::Kptr,
        FieldKind::Uptr { .. } => Known::Uptr,
        FieldKind::ListHead { .. } => Known::ListHead,
        FieldKind::RbRoot { .. } => Known::RbRoot,
        FieldKind::Refcount => Known::Refcount,
        _ => return None,
    };
    Some(sandbpf_maps::SpecialField { kind, offset: field.offset, size: field.size })
}
