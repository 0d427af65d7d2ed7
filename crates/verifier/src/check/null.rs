//! Pointers that may be null, and what comparing one with zero says of all its copies.

use sandbpf_isa::Reg as R;

use crate::environment::{Environment, FieldKind, map_type};
use crate::state::{Flags, Kind, Reg, State};

/// What a pointer that may be null is when it is not (`mark_ptr_not_null_reg`).
pub(crate) fn mark_not_null(env: &Environment<'_>, reg: &mut Reg) {
    reg.flags = reg.flags.without(Flags::MAYBE_NULL);
    let Kind::MapValue(map) = reg.kind else { return };
    let shape = &env.maps[usize::from(map)];
    if let Some(inner) = shape.inner {
        reg.kind = Kind::Map(inner as u16);
        let timed = |field: &crate::environment::SpecialField| {
            matches!(field.kind, FieldKind::Timer | FieldKind::Workqueue | FieldKind::TaskWork)
        };
        if env.maps[inner].fields.iter().any(timed) {
            // Which of the inner maps it is.
            reg.range = reg.id as i32;
        }
    } else if shape.map_type == map_type::XSKMAP {
        reg.kind = Kind::XdpSock;
    } else if matches!(shape.map_type, map_type::SOCKMAP | map_type::SOCKHASH) {
        reg.kind = Kind::Socket;
    }
}

/// Whether its value holds a lock, which is known by the id of the lookup.
fn may_lock(env: &Environment<'_>, reg: &Reg) -> bool {
    let is_lock = |field: &crate::environment::SpecialField| {
        matches!(field.kind, FieldKind::SpinLock | FieldKind::ResSpinLock)
    };
    match reg.kind {
        Kind::MapValue(map) => env.maps[usize::from(map)].fields.iter().any(is_lock),
        Kind::Btf(target) => env.types.is_some_and(|types| types.special_fields(target).iter().any(is_lock)),
        _ => false,
    }
}

/// The register was compared with zero: all that came from the same place are null, or none is
/// (`mark_ptr_or_null_regs`).
pub(crate) fn split(env: &Environment<'_>, state: &mut State, reg: R, is_null: bool) {
    let of = state.current().regs[reg.index()];
    let (id, ref_id) = (of.id, of.ref_id);
    if ref_id != 0 && ref_id == id && is_null {
        // There is nothing to give back.
        state.refs.change(|refs| refs.retain(|held| held.id != id || held.kind.is_lock()));
    }
    state.each_reg(
        |reg| reg.may_be_null() && reg.id == id,
        |reg| {
            if is_null {
                reg.kind = Kind::Scalar;
                reg.flags = Flags::NONE;
                reg.id = 0;
                reg.ref_id = 0;
                return;
            }
            mark_not_null(env, reg);
            if !may_lock(env, reg) {
                reg.id = 0;
            }
        },
    );
}
