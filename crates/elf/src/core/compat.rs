//! When two types, the object's and the kernel's, count as the same.
//!
//! Three questions of different strictness, as `tools/lib/bpf/relo_core.c` defines them: may a field of one type be
//! read as the other (`fields`), does the type exist (`types`), does it match member for member (`matches`).

use std::cell::Cell;

use crate::btf::{Btf, Kind, TypeId, essential_name};

/// As deep as libbpf follows pointers and arrays.
const MAX_DEPTH: u32 = 32;

/// How many comparisons one program's relocations may cost. The kernel's types need some thousands; types that
/// contain themselves in many ways need any number.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    /// For so many relocations.
    pub(super) fn new(relocations: usize) -> Self {
        let steps = relocations.saturating_mul(5_000).saturating_add(200_000);
        Self(Cell::new(steps.min(20_000_000) as u64))
    }

    pub(super) fn spend(&self, steps: usize) -> Result<(), String> {
        let left = self.0.get().checked_sub(steps as u64 + 1);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| "comparing the types takes too many steps".into())
    }
}

/// The object's types and the kernel's.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) local: &'a Btf,
    pub(super) target: &'a Btf,
    pub(super) budget: &'a Budget,
}

/// Kinds that may stand for each other: equal ones, and both kinds of enumeration.
pub(super) fn same_kind(one: &Kind, other: &Kind) -> bool {
    one.number() == other.number() || (one.enumeration().is_some() && other.enumeration().is_some())
}

fn strip(btf: &Btf, id: TypeId) -> Result<(TypeId, &Kind), String> {
    btf.strip(id).ok_or_else(|| format!("type {id} leads nowhere"))
}

fn name(btf: &Btf, id: TypeId) -> &[u8] {
    btf.get(id).and_then(|ty| btf.bytes_at(ty.name)).unwrap_or_default()
}

impl<'a> Sides<'a> {
    /// A field of the local type can be read where the target type is.
    pub(super) fn fields(self, local: TypeId, target: TypeId) -> Result<bool, String> {
        let (mut local, mut target) = (local, target);
        for _ in 0..MAX_DEPTH {
            self.budget.spend(1)?;
            let (local_id, local_kind) = strip(self.local, local)?;
            let (target_id, target_kind) = strip(self.target, target)?;
            if local_kind.composite().is_some() && target_kind.composite().is_some() {
                return Ok(true);
            }
            if !same_kind(local_kind, target_kind) {
                return Ok(false);
            }
            match (local_kind, target_kind) {
                (Kind::Ptr(_) | Kind::Float(_), _) => return Ok(true),
                (Kind::Fwd { .. } | Kind::Enum(_) | Kind::Enum64(_), _) => {
                    let local = essential_name(name(self.local, local_id));
                    let target = essential_name(name(self.target, target_id));
                    return Ok(local.is_empty() || target.is_empty() || local == target);
                }
                (Kind::Int(local), Kind::Int(target)) => {
                    return Ok(local.bit_offset == 0 && target.bit_offset == 0);
                }
                (Kind::Array(of), Kind::Array(target_of)) => {
                    local = of.element;
                    target = target_of.element;
                }
                _ => return Ok(false),
            }
        }
        Err("arrays are nested too deeply".into())
    }

    /// The local type exists in the kernel, names below the first level left aside.
    pub(super) fn types(self, local: TypeId, target: TypeId) -> Result<bool, String> {
        self.types_within(local, target, MAX_DEPTH)
    }

    fn types_within(self, local: TypeId, target: TypeId, level: u32) -> Result<bool, String> {
        let (mut local, mut target) = (local, target);
        let kinds = self.local.kind(local).zip(self.target.kind(target));
        if !kinds.is_some_and(|(local, target)| same_kind(local, target)) {
            return Ok(false);
        }
        for _ in 0..MAX_DEPTH {
            self.budget.spend(1)?;
            let (_, local_kind) = strip(self.local, local)?;
            let (_, target_kind) = strip(self.target, target)?;
            if !same_kind(local_kind, target_kind) {
                return Ok(false);
            }
            match (local_kind, target_kind) {
                (
                    Kind::Void
                    | Kind::Struct(_)
                    | Kind::Union(_)
                    | Kind::Enum(_)
                    | Kind::Enum64(_)
                    | Kind::Fwd { .. },
                    _,
                ) => return Ok(true),
                (Kind::Int(local), Kind::Int(target)) => {
                    return Ok(local.bit_offset == 0 && target.bit_offset == 0);
                }
                (&Kind::Ptr(to), &Kind::Ptr(target_to)) => {
                    local = to;
                    target = target_to;
                }
                (Kind::Array(of), Kind::Array(target_of)) => {
                    local = of.element;
                    target = target_of.element;
                }
                (
                    Kind::FuncProto { returns, params },
                    Kind::FuncProto { returns: target_returns, params: target_params },
                ) => {
                    if params.len() != target_params.len() {
                        return Ok(false);
                    }
                    for (param, target_param) in params.iter().zip(target_params) {
                        let Some(level) = level.checked_sub(1) else {
                            return Err("prototypes are nested too deeply".into());
                        };
                        let (param, _) = strip(self.local, param.ty)?;
                        let (target_param, _) = strip(self.target, target_param.ty)?;
                        if !self.types_within(param, target_param, level)? {
                            return Ok(false);
                        }
                    }
                    local = *returns;
                    target = *target_returns;
                }
                _ => return Ok(false),
            }
        }
        Err("types are nested too deeply".into())
    }

    /// The local type is the kernel's, names and members compared.
    pub(super) fn matches(self, local: TypeId, target: TypeId) -> Result<bool, String> {
        self.matches_within(local, target, false, MAX_DEPTH)
    }

    fn matches_within(self, local: TypeId, target: TypeId, behind: bool, level: u32) -> Result<bool, String> {
        let (mut local, mut target, mut behind) = (local, target, behind);
        if level == 0 {
            return Err("types are nested too deeply".into());
        }
        for _ in 0..MAX_DEPTH {
            self.budget.spend(1)?;
            let (local_id, local_kind) = strip(self.local, local)?;
            let (target_id, target_kind) = strip(self.target, target)?;
            if !same_name(name(self.local, local_id), name(self.target, target_id)) {
                return Ok(false);
            }
            match (local_kind, target_kind) {
                (Kind::Void, Kind::Void) => return Ok(true),
                (Kind::Fwd { union }, Kind::Fwd { union: target_union }) => return Ok(union == target_union),
                (Kind::Fwd { union }, Kind::Struct(_)) => return Ok(behind && !union),
                (Kind::Fwd { union }, Kind::Union(_)) => return Ok(behind && *union),
                (Kind::Enum(values) | Kind::Enum64(values), _) => {
                    let Some(target_values) = target_kind.enumeration() else { return Ok(false) };
                    if values.size != target_values.size || values.values.len() > target_values.values.len() {
                        return Ok(false);
                    }
                    for value in &values.values {
                        self.budget.spend(target_values.values.len())?;
                        let local = self.local.bytes_at(value.name).unwrap_or_default();
                        let found = target_values.values.iter().any(|target| {
                            same_name(local, self.target.bytes_at(target.name).unwrap_or_default())
                        });
                        if !found {
                            return Ok(false);
                        }
                    }
                    return Ok(true);
                }
                (Kind::Struct(_), Kind::Struct(_)) | (Kind::Union(_), Kind::Union(_)) if behind => {
                    return Ok(true);
                }
                (Kind::Struct(_), Kind::Fwd { union }) => return Ok(behind && !union),
                (Kind::Union(_), Kind::Fwd { union }) => return Ok(behind && *union),
                (Kind::Struct(one), Kind::Struct(other)) | (Kind::Union(one), Kind::Union(other)) => {
                    if one.members.len() > other.members.len() {
                        return Ok(false);
                    }
                    for member in &one.members {
                        let local = self.local.bytes_at(member.name).unwrap_or_default();
                        let mut found = false;
                        for target in &other.members {
                            self.budget.spend(1)?;
                            if same_name(local, self.target.bytes_at(target.name).unwrap_or_default())
                                && self.matches_within(member.ty, target.ty, behind, level - 1)?
                            {
                                found = true;
                                break;
                            }
                        }
                        if !found {
                            return Ok(false);
                        }
                    }
                    return Ok(true);
                }
                (Kind::Int(local), Kind::Int(target)) => {
                    return Ok(local.size == target.size && local.signed() == target.signed());
                }
                (&Kind::Ptr(to), &Kind::Ptr(target_to)) => {
                    behind = true;
                    local = to;
                    target = target_to;
                }
                (Kind::Array(of), Kind::Array(target_of)) => {
                    if of.count != target_of.count {
                        return Ok(false);
                    }
                    local = of.element;
                    target = target_of.element;
                }
                (
                    Kind::FuncProto { returns, params },
                    Kind::FuncProto { returns: target_returns, params: target_params },
                ) => {
                    if params.len() != target_params.len() {
                        return Ok(false);
                    }
                    for (param, target_param) in params.iter().zip(target_params) {
                        if !self.matches_within(param.ty, target_param.ty, behind, level - 1)? {
                            return Ok(false);
                        }
                    }
                    local = *returns;
                    target = *target_returns;
                }
                _ => return Ok(false),
            }
        }
        Err("types are nested too deeply".into())
    }
}

/// Names without their flavour are equal; an unnamed thing matches an unnamed one.
fn same_name(local: &[u8], target: &[u8]) -> bool {
    if target.is_empty() {
        return local.is_empty();
    }
    essential_name(local) == essential_name(target)
}
