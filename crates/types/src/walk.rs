//! What lies at an offset of a struct (`btf_struct_walk`).

use sandbpf_elf::{Btf, Kind};
use sandbpf_verifier::{Member, PointerTag, TypeRef};

use crate::safe;

/// Structs nest no deeper.
const DEEPEST: u32 = 32;

/// One step: to a struct inside, or to what is read.
enum Found<'b> {
    Inside {
        id: u32,
        offset: u32,
    },
    Scalar,
    /// A pointer to this type, and the name of the member.
    Pointer {
        to: u32,
        field: &'b str,
    },
}

/// What a read of so many bytes gives.
pub(crate) fn member(btf: &Btf, of: TypeRef, offset: u32, size: u32) -> Result<Member, String> {
    let (mut id, mut offset) = (of.id, offset);
    // Which member of a union holds something nobody knows.
    let mut ambiguous = false;
    for _ in 0..DEEPEST {
        let union = matches!(btf.strip(id), Some((_, Kind::Union(union))) if union.members.len() != 1);
        ambiguous |= union;
        match step(btf, id, offset, size, ambiguous)? {
            Found::Scalar => return Ok(Member::Scalar),
            Found::Pointer { to, field } => return Ok(pointer(btf, of, field, to, ambiguous)),
            Found::Inside { id: inner, offset: rest } => (id, offset) = (inner, rest),
        }
    }
    Err("structs nest too deeply".into())
}

/// Whether the part lies at this offset of the whole.
pub(crate) fn embeds(btf: &Btf, whole: u32, offset: u32, part: u32) -> bool {
    let same = |id: u32| btf.strip(id).map(|(id, _)| id) == btf.strip(part).map(|(id, _)| id);
    let (mut id, mut offset) = (whole, offset);
    for _ in 0..DEEPEST {
        if offset == 0 && same(id) {
            return true;
        }
        match step(btf, id, offset, 1, false) {
            Ok(Found::Inside { id: inner, offset: rest }) => (id, offset) = (inner, rest),
            _ => return false,
        }
    }
    false
}

fn step(btf: &Btf, of: u32, offset: u32, size: u32, ambiguous: bool) -> Result<Found<'_>, String> {
    let Some((id, kind)) = btf.strip(of) else { return Err("not a type".into()) };
    let Some(composite) = kind.composite() else {
        return Err(format!("Type '{}' is not a struct", btf.name(id)));
    };
    let name = named(btf, id);
    if u64::from(offset) + u64::from(size) > u64::from(composite.size) {
        return past_the_end(btf, of, offset, size);
    }
    for member in &composite.members {
        let start = member.bit_offset / 8;
        if offset + size <= start {
            break;
        }
        if member.bits != 0 {
            let end = (member.bit_offset + u32::from(member.bits)).div_ceil(8);
            if offset <= start && end <= offset + size {
                return Ok(Found::Scalar);
            }
            continue;
        }
        // In a hole.
        if offset < start {
            break;
        }
        let Some((mut target, mut kind)) = btf.strip(member.ty) else { continue };
        let length = btf.size_of(target).unwrap_or(0) as u32;
        let end = start + length;
        if offset >= end {
            continue;
        }
        let (mut start, mut width) = (start, length);
        while let Kind::Array(array) = kind {
            let Some((element, inner)) = btf.strip(array.element) else { break };
            let each = btf.size_of(element).unwrap_or(0) as u32;
            if each == 0 {
                break;
            }
            start += offset.saturating_sub(start) / each * each;
            width = each;
            (target, kind) = (element, inner);
        }
        if kind.composite().is_some() {
            let rest = offset.saturating_sub(start);
            return Ok(Found::Inside { id: target, offset: rest });
        }
        if let Kind::Ptr(to) = kind {
            let field = btf.member_name(member);
            if width != size || offset != start {
                return Err(format!(
                    "cannot access ptr member {field} with moff {start} in struct {name} with off {offset} size {size}"
                ));
            }
            return Ok(Found::Pointer { to: *to, field });
        }
        if offset + size > end && !ambiguous {
            let field = btf.member_name(member);
            return Err(format!(
                "access beyond the end of member {field} (mend:{end}) in struct {name} with off {offset} size {size}"
            ));
        }
        return Ok(Found::Scalar);
    }
    Err(format!("struct {name} doesn't have field at offset {offset}"))
}

/// What the kernel calls a type in messages.
fn named(btf: &Btf, id: u32) -> &str {
    match btf.name(id) {
        "" => "(anon)",
        name => name,
    }
}

/// An array without a length at the end of a struct may be read beyond it.
fn past_the_end(btf: &Btf, of: u32, offset: u32, size: u32) -> Result<Found<'_>, String> {
    let Some((id, kind)) = btf.strip(of) else { return Err("not a type".into()) };
    let error = || Err(format!("access beyond struct {} at off {offset} size {size}", named(btf, id)));
    let Some(last) = kind.composite().and_then(|composite| composite.members.last()) else { return error() };
    let Some((_, Kind::Array(array))) = btf.strip(last.ty) else { return error() };
    let start = last.bit_offset / 8;
    if array.count != 0 || offset < start {
        return error();
    }
    let Some((element, kind)) = btf.strip(array.element) else { return error() };
    let each = btf.size_of(element).unwrap_or(0) as u32;
    if each == 0 {
        return error();
    }
    match kind {
        Kind::Int(_) => Ok(Found::Scalar),
        _ if kind.composite().is_some() => Ok(Found::Inside { id: element, offset: (offset - start) % each }),
        _ => error(),
    }
}

/// A pointer that is read from a member: of the struct that was asked for, however deep in it.
fn pointer(btf: &Btf, of: TypeRef, field: &str, to: u32, ambiguous: bool) -> Member {
    let tag = match btf.kind(to) {
        Some(Kind::TypeTag(_)) => match btf.name(to) {
            "user" => PointerTag::User,
            "percpu" => PointerTag::Percpu,
            "rcu" => PointerTag::Rcu,
            _ => PointerTag::None,
        },
        _ => PointerTag::None,
    };
    let Some((target, kind)) = btf.strip(to) else { return Member::Scalar };
    if kind.composite().is_none() {
        return Member::Memory;
    }
    let (trusted, rcu, or_null) = safe::member(btf, of.id, field, target);
    Member::Pointer { target: TypeRef { id: target, ..of }, tag, ambiguous, trusted, rcu, or_null }
}

/// Whether a struct holds nothing but numbers.
pub(crate) fn is_scalar_struct(btf: &Btf, id: u32, depth: u32) -> bool {
    let Some((_, kind)) = btf.strip(id) else { return false };
    let Some(composite) = kind.composite() else { return false };
    if depth >= 4 {
        return false;
    }
    composite.members.iter().all(|member| {
        let Some((id, kind)) = btf.strip(member.ty) else { return false };
        match kind {
            Kind::Int(_) | Kind::Enum(_) | Kind::Enum64(_) => true,
            Kind::Array(array) => {
                array.count != 0
                    && btf.strip(array.element).is_some_and(|(_, kind)| {
                        matches!(kind, Kind::Int(_) | Kind::Enum(_) | Kind::Enum64(_))
                    })
            }
            _ if kind.composite().is_some() => is_scalar_struct(btf, id, depth + 1),
            _ => false,
        }
    })
}
