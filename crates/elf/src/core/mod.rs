//! CO-RE, "compile once, run everywhere": instructions adapted to the types of the kernel they will run in.
//!
//! The compiler leaves a record where an instruction depends on a type: the offset of a field, whether a type exists,
//! the value of an enumeration. [`Core`] finds the same thing in the kernel's types and computes the new immediate
//! or offset; where there is no answer the instruction becomes a call that no helper answers to, exactly as
//! libbpf's `relo_core.c` does it.

mod compat;
mod patch;
mod spec;

use std::collections::HashMap;

use crate::btf::ext::CoreRelo;
use crate::btf::{Btf, Kind, TypeId};
use compat::{Budget, Sides};
pub(crate) use patch::{POISON, patch};
use spec::{Spec, size};

/// What is asked about a type (`enum bpf_core_relo_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReloKind {
    FieldByteOffset,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldShiftLeft,
    FieldShiftRight,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    ValueExists,
    Value,
    TypeMatches,
}

impl ReloKind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::FieldByteOffset,
            1 => Self::FieldByteSize,
            2 => Self::FieldExists,
            3 => Self::FieldSigned,
            4 => Self::FieldShiftLeft,
            5 => Self::FieldShiftRight,
            6 => Self::TypeIdLocal,
            7 => Self::TypeIdTarget,
            8 => Self::TypeExists,
            9 => Self::TypeSize,
            10 => Self::ValueExists,
            11 => Self::Value,
            12 => Self::TypeMatches,
            _ => return None,
        })
    }

    fn is_type(self) -> bool {
        matches!(
            self,
            Self::TypeIdLocal | Self::TypeIdTarget | Self::TypeExists | Self::TypeSize | Self::TypeMatches
        )
    }

    fn is_value(self) -> bool {
        matches!(self, Self::ValueExists | Self::Value)
    }
}

/// What becomes of an instruction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    original: u64,
    new: u64,
    /// There is no answer: the instruction must not be reached.
    poison: bool,
    /// The instruction must carry `original` before.
    validate: bool,
    /// The field has another size, and its value would be misread.
    wrong_size: bool,
    original_size: u32,
    new_size: u32,
    /// The type of the kernel whose number was asked for.
    pub(crate) target: Option<TypeId>,
}

/// What one side's types say.
#[derive(Default)]
struct Side {
    value: u64,
    size: u32,
    ty: TypeId,
    validate: bool,
}

/// The kinds of failing: no answer (poison), or a damaged object.
enum Failure {
    Absent,
    Broken(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

/// Relocations of one program against a kernel.
pub(crate) struct Core<'a> {
    sides: Sides<'a>,
    /// For each local type the kernel's types that may be meant. One that did not have an earlier relocation's field
    /// is out of the question for the later ones.
    candidates: HashMap<TypeId, Vec<TypeId>>,
}

/// Comparing types has a limit that all relocations of a program share.
pub(crate) struct CoreBudget(Budget);

impl CoreBudget {
    pub(crate) fn new(relocations: usize) -> Self {
        Self(Budget::new(relocations))
    }
}

fn kind_at(btf: &Btf, id: TypeId) -> Option<&Kind> {
    btf.kind(id)
}

/// The object's type exists in the kernel's, as types of externs are compared.
pub(crate) fn types_compatible(
    local: &Btf,
    id: TypeId,
    target: &Btf,
    target_id: TypeId,
) -> Result<bool, String> {
    let budget = Budget::new(0);
    Sides { local, target, budget: &budget }.types(id, target_id)
}

impl<'a> Core<'a> {
    pub(crate) fn new(local: &'a Btf, target: &'a Btf, budget: &'a CoreBudget) -> Self {
        Self { sides: Sides { local, target, budget: &budget.0 }, candidates: HashMap::new() }
    }

    /// Answers one record.
    pub(crate) fn resolve(&mut self, relo: &CoreRelo) -> Result<Answer, String> {
        let Sides { local, target, budget } = self.sides;
        let Some(kind) = ReloKind::from_number(relo.kind) else {
            return Err(format!("expected a kind of relocation from 0 to 12, found {}", relo.kind));
        };
        local.get(relo.ty).ok_or_else(|| format!("type {} is not there", relo.ty))?;
        if kind != ReloKind::TypeIdLocal && !self.candidates.contains_key(&relo.ty) {
            self.candidates.insert(relo.ty, spec::candidates(local, target, relo.ty)?);
        }
        let spec = Spec::parse(local, kind, relo.ty, local.str_at(relo.access))?;
        if kind == ReloKind::TypeIdLocal {
            let id = u64::from(relo.ty);
            return Ok(Answer { original: id, new: id, ..Answer::default() });
        }
        let Some(candidates) = self.candidates.get_mut(&relo.ty) else {
            return Err(format!("type {} has no candidates", relo.ty));
        };
        let mut found: Option<(Answer, u32)> = None;
        let mut kept = Vec::new();
        for &candidate in candidates.iter() {
            budget.spend(1)?;
            let Some(match_) = spec.find(kind, self.sides, candidate)? else { continue };
            let answer = calculate(kind, &spec, Some(&match_))?;
            match found {
                None => found = Some((answer, match_.bit_offset)),
                Some((_, offset)) if offset != match_.bit_offset => {
                    return Err(format!("the field is at bit {offset} and at bit {}", match_.bit_offset));
                }
                Some((first, _)) if first.poison != answer.poison || first.new != answer.new => {
                    return Err(format!("types of this name give {} and {}", first.new, answer.new));
                }
                Some(_) => {}
            }
            kept.push(candidate);
        }
        match found {
            Some((answer, _)) => {
                *candidates = kept;
                Ok(answer)
            }
            None => calculate(kind, &spec, None),
        }
    }
}

fn calculate(kind: ReloKind, local: &Spec<'_>, target: Option<&Spec<'_>>) -> Result<Answer, String> {
    let one = |spec: Option<&Spec<'_>>| match kind {
        ReloKind::ValueExists => Ok(Side { value: spec.is_some().into(), validate: true, ..Side::default() }),
        ReloKind::Value => value(spec.ok_or(Failure::Absent)?),
        _ if kind.is_type() => type_side(kind, spec),
        _ => field(kind, spec),
    };
    let sides = one(Some(local)).and_then(|original| Ok((original, one(target)?)));
    let (original, new) = match sides {
        Ok(sides) => sides,
        Err(Failure::Absent) => return Ok(Answer { poison: true, validate: true, ..Answer::default() }),
        Err(Failure::Broken(what)) => return Err(what),
    };
    // A pointer may have any size, and so may a number without a sign: loading less of it extends it with zeros.
    let free = |spec: &Spec<'_>, ty| match kind_at(spec.btf, ty) {
        Some(Kind::Ptr(_)) => Some(0),
        Some(Kind::Int(int)) if int.encoding != 1 => Some(1),
        _ => None,
    };
    let wrong_size = original.size != new.size
        && target.is_none_or(|target| {
            let (one, other) = (free(local, original.ty), free(target, new.ty));
            one.is_none() || one != other
        });
    Ok(Answer {
        original: original.value,
        new: new.value,
        poison: false,
        validate: original.validate,
        wrong_size,
        original_size: original.size,
        new_size: new.size,
        target: target.filter(|_| kind == ReloKind::TypeIdTarget).map(|target| target.root),
    })
}

fn value(spec: &Spec<'_>) -> Result<Side, Failure> {
    let value = spec.accessors.first().and_then(|accessor| {
        kind_at(spec.btf, accessor.ty)?.enumeration()?.values.get(accessor.index as usize)
    });
    let value = value.ok_or_else(|| "the value is not there".to_string())?;
    Ok(Side { value: value.value, validate: true, ..Side::default() })
}

fn type_side(kind: ReloKind, spec: Option<&Spec<'_>>) -> Result<Side, Failure> {
    let Some(spec) = spec else { return Ok(Side { validate: true, ..Side::default() }) };
    let value = match kind {
        // The number in the kernel may differ, and the compiler may have recorded anything.
        ReloKind::TypeIdTarget => return Ok(Side { value: spec.root.into(), ..Side::default() }),
        ReloKind::TypeSize => size(spec.btf, spec.root)?,
        _ => 1,
    };
    Ok(Side { value, validate: true, ..Side::default() })
}

fn field(kind: ReloKind, spec: Option<&Spec<'_>>) -> Result<Side, Failure> {
    if kind == ReloKind::FieldExists {
        return Ok(Side { value: spec.is_some().into(), validate: true, ..Side::default() });
    }
    let spec = spec.ok_or(Failure::Absent)?;
    let btf = spec.btf;
    let last = spec.accessors.last().ok_or_else(|| "the access is empty".to_string())?;
    if last.name.is_none() {
        return match kind {
            ReloKind::FieldByteOffset => Ok(Side {
                value: u64::from(spec.bit_offset / 8),
                size: size(btf, element(btf, last.ty)?)? as u32,
                ty: last.ty,
                validate: true,
            }),
            ReloKind::FieldByteSize => {
                Ok(Side { value: size(btf, last.ty)?, validate: true, ..Side::default() })
            }
            _ => Err(Failure::Broken("an element of an array is asked for what only fields have".into())),
        };
    }
    let composite = kind_at(btf, last.ty).and_then(Kind::composite);
    let member = composite.and_then(|composite| composite.members.get(last.index as usize));
    let member = member.ok_or_else(|| "the member is not there".to_string())?;
    let (ty, stripped) = btf.strip(member.ty).ok_or_else(|| format!("type {} leads nowhere", member.ty))?;
    let bitfield = member.bits > 0;
    let bit_offset = spec.bit_offset;
    let (byte_offset, byte_size, bits);
    if bitfield {
        bits = u32::from(member.bits);
        let mut size = size(btf, ty)? as u32;
        if size == 0 {
            return Err(Failure::Broken("a bit field lies in a type of no size".into()));
        }
        let start = |size: u32| bit_offset / 8 / size * size;
        // The field may cross the units of its type; a larger unit may hold it.
        while u64::from(bit_offset) + u64::from(bits) - u64::from(start(size)) * 8 > u64::from(size) * 8 {
            if size >= 8 {
                return Err(Failure::Broken("a bit field crosses 64 bits".into()));
            }
            size *= 2;
        }
        (byte_offset, byte_size) = (start(size), size);
    } else {
        byte_size = size(btf, ty)? as u32;
        byte_offset = bit_offset / 8;
        bits = byte_size.wrapping_mul(8);
    }
    let mut side = Side { validate: !bitfield, ..Side::default() };
    match kind {
        ReloKind::FieldByteOffset => {
            side.value = byte_offset.into();
            if !bitfield {
                side.size = size(btf, element(btf, ty)?)? as u32;
                side.ty = ty;
            }
        }
        ReloKind::FieldByteSize => side.value = byte_size.into(),
        ReloKind::FieldSigned => {
            let signed = match stripped {
                Kind::Int(int) => int.signed(),
                kind => kind.enumeration().is_some_and(|values| values.signed),
            };
            side.value = signed.into();
            side.validate = true;
        }
        ReloKind::FieldShiftLeft => {
            let end = bit_offset.wrapping_add(bits).wrapping_sub(byte_offset.wrapping_mul(8));
            side.value = 64u32.wrapping_sub(end).into();
        }
        ReloKind::FieldShiftRight => {
            side.value = 64u32.wrapping_sub(bits).into();
            side.validate = true;
        }
        _ => return Err(Failure::Broken("no question about a field".into())),
    }
    Ok(side)
}

/// What an array, of any number of dimensions, is made of.
fn element(btf: &Btf, id: TypeId) -> Result<TypeId, String> {
    let mut id = id;
    for _ in 0..64 {
        match btf.strip(id) {
            Some((_, Kind::Array(array))) => id = array.element,
            Some((id, _)) => return Ok(id),
            None => break,
        }
    }
    Err(format!("type {id} leads nowhere"))
}
