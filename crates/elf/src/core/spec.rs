//! Which field, type or value a relocation speaks of: found in the object's types by the numbers that the compiler
//! recorded, then in the kernel's types by names.

use super::compat::{Sides, same_kind};
use super::{ReloKind, kind_at};
use crate::btf::{Array, Btf, Kind, TypeId, essential_name};

/// As many steps as an access may have.
const MAX_LEN: usize = 64;

/// One named step of an access, or one index into an array.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accessor<'a> {
    pub(super) ty: TypeId,
    pub(super) index: u32,
    pub(super) name: Option<&'a [u8]>,
}

/// An access in one side's types.
#[derive(Clone)]
pub(super) struct Spec<'a> {
    pub(super) btf: &'a Btf,
    pub(super) root: TypeId,
    pub(super) accessors: Vec<Accessor<'a>>,
    pub(super) bit_offset: u32,
    /// Steps, unnamed members counted.
    raw_len: usize,
}

impl<'a> Spec<'a> {
    fn new(btf: &'a Btf, root: TypeId) -> Self {
        Self { btf, root, accessors: Vec::new(), bit_offset: 0, raw_len: 0 }
    }

    fn step(&mut self) -> Result<(), String> {
        if self.raw_len == MAX_LEN {
            return Err(format!("the access has more than {MAX_LEN} steps"));
        }
        self.raw_len += 1;
        Ok(())
    }

    fn advance(&mut self, index: u32, size: u64) {
        self.bit_offset = self.bit_offset.wrapping_add(index.wrapping_mul(size as u32).wrapping_mul(8));
    }

    /// The array is the last member of its structure and has no length: any index may be right.
    fn ends_in(&self, array: &Array) -> bool {
        let Some(last) = self.accessors.last().filter(|last| last.name.is_some() && array.count == 0) else {
            return false;
        };
        let members = kind_at(self.btf, last.ty).and_then(Kind::composite).map_or(0, |all| all.members.len());
        last.index as usize + 1 == members
    }

    /// The access that the compiler recorded, `text` being numbers with colons between.
    pub(super) fn parse(btf: &'a Btf, kind: ReloKind, root: TypeId, text: &str) -> Result<Self, String> {
        let mut spec = Self::new(btf, root);
        if kind.is_type() {
            return if text == "0" {
                Ok(spec)
            } else {
                Err(format!("expected the access \"0\", found {text:?}"))
            };
        }
        let mut numbers = Vec::new();
        for part in text.split(':') {
            let number = part.parse::<u32>().ok().filter(|&number| number <= i32::MAX as u32);
            let number = number.ok_or_else(|| format!("expected numbers and colons, found {text:?}"))?;
            if numbers.len() == MAX_LEN {
                return Err(format!("the access has more than {MAX_LEN} steps"));
            }
            numbers.push(number);
        }
        let Some((&first, rest)) = numbers.split_first() else { return Err("expected an access".into()) };
        let (id, stripped) = btf.strip(root).ok_or_else(|| format!("type {root} leads nowhere"))?;
        spec.step()?;
        if kind.is_value() {
            let value = stripped.enumeration().and_then(|values| values.values.get(first as usize));
            let Some(value) = value.filter(|_| rest.is_empty()) else {
                return Err(format!(
                    "expected a value of an enumeration, found {text:?} of {}",
                    stripped.word()
                ));
            };
            spec.accessors.push(Accessor { ty: id, index: first, name: btf.bytes_at(value.name) });
            return Ok(spec);
        }
        spec.accessors.push(Accessor { ty: id, index: first, name: None });
        spec.advance(first, size(btf, id)?);
        let mut id = id;
        for &index in rest {
            let (at, stripped) = btf.strip(id).ok_or_else(|| format!("type {id} leads nowhere"))?;
            spec.step()?;
            if let Some(composite) = stripped.composite() {
                let member = composite.members.get(index as usize);
                let member = member.ok_or_else(|| format!("member {index} is not there"))?;
                spec.bit_offset = spec.bit_offset.wrapping_add(member.bit_offset);
                if member.name != 0 {
                    let name = btf.bytes_at(member.name).filter(|name| !name.is_empty());
                    let name = name.ok_or_else(|| format!("member {index} has a damaged name"))?;
                    spec.accessors.push(Accessor { ty: at, index, name: Some(name) });
                }
                id = member.ty;
            } else if let Kind::Array(array) = stripped {
                let (element, _) = btf.strip(array.element).ok_or("the element's type leads nowhere")?;
                if !spec.ends_in(array) && index >= array.count {
                    return Err(format!("element {index} of {} is not there", array.count));
                }
                spec.accessors.push(Accessor { ty: element, index, name: None });
                spec.advance(index, size(btf, element)?);
                id = element;
            } else {
                return Err(format!("expected a structure or an array, found {}", stripped.word()));
            }
        }
        Ok(spec)
    }

    /// The same access in a type of the kernel; none if that type does not have it.
    pub(super) fn find(
        &self,
        kind: ReloKind,
        sides: Sides<'a>,
        target: TypeId,
    ) -> Result<Option<Self>, String> {
        let mut spec = Self::new(sides.target, target);
        if kind.is_type() {
            let same = match kind {
                ReloKind::TypeMatches => sides.matches(self.root, target)?,
                _ => sides.types(self.root, target)?,
            };
            return Ok(same.then_some(spec));
        }
        if kind.is_value() {
            return Ok(self.find_value(sides, target)?.map(|accessor| {
                spec.accessors.push(accessor);
                spec
            }));
        }
        let mut id = target;
        for (n, accessor) in self.accessors.iter().enumerate() {
            let (at, stripped) = sides.target.strip(id).ok_or_else(|| format!("type {id} leads nowhere"))?;
            id = at;
            if accessor.name.is_some() {
                match spec.find_member(*accessor, sides, id)? {
                    Some(next) => id = next,
                    None => return Ok(None),
                }
                continue;
            }
            if n > 0 {
                let Kind::Array(array) = stripped else { return Ok(None) };
                if !spec.ends_in(array) && accessor.index >= array.count {
                    return Ok(None);
                }
                id = sides.target.strip(array.element).ok_or("the element's type leads nowhere")?.0;
            }
            spec.step()?;
            spec.accessors.push(Accessor { ty: id, index: accessor.index, name: None });
            spec.advance(accessor.index, size(sides.target, id)?);
        }
        Ok(Some(spec))
    }

    fn find_value(&self, sides: Sides<'a>, target: TypeId) -> Result<Option<Accessor<'a>>, String> {
        let (id, stripped) =
            sides.target.strip(target).ok_or_else(|| format!("type {target} leads nowhere"))?;
        let Some(values) = stripped.enumeration() else { return Ok(None) };
        let wanted = essential_name(self.accessors.first().and_then(|first| first.name).unwrap_or_default());
        sides.budget.spend(values.values.len())?;
        for (index, value) in (0..).zip(&values.values) {
            let name = sides.target.bytes_at(value.name).unwrap_or_default();
            if essential_name(name) == wanted {
                return Ok(Some(Accessor { ty: id, index, name: Some(name) }));
            }
        }
        Ok(None)
    }

    /// Searches a member of this name, through unnamed members; leaves its place in the access and gives its type.
    fn find_member(
        &mut self,
        wanted: Accessor<'a>,
        sides: Sides<'a>,
        id: TypeId,
    ) -> Result<Option<TypeId>, String> {
        let (id, stripped) = sides.target.strip(id).ok_or_else(|| format!("type {id} leads nowhere"))?;
        let Some(composite) = stripped.composite() else { return Ok(None) };
        let local = kind_at(sides.local, wanted.ty).and_then(Kind::composite);
        let Some(local) = local.and_then(|local| local.members.get(wanted.index as usize)) else {
            return Err("the access names no member".into());
        };
        for (index, member) in (0..).zip(&composite.members) {
            sides.budget.spend(1)?;
            self.step()?;
            self.bit_offset = self.bit_offset.wrapping_add(member.bit_offset);
            let name = sides.target.bytes_at(member.name).unwrap_or_default();
            if name.is_empty() {
                if let Some(found) = self.find_member(wanted, sides, member.ty)? {
                    return Ok(Some(found));
                }
            } else if Some(name) == wanted.name {
                if !sides.fields(local.ty, member.ty)? {
                    return Ok(None);
                }
                self.accessors.push(Accessor { ty: id, index, name: Some(name) });
                return Ok(Some(member.ty));
            }
            self.bit_offset = self.bit_offset.wrapping_sub(member.bit_offset);
            self.raw_len -= 1;
        }
        Ok(None)
    }
}

pub(super) fn size(btf: &Btf, id: TypeId) -> Result<u64, String> {
    btf.size_of(id).ok_or_else(|| format!("type {id} has no size"))
}

/// The types of the kernel that an access may be looked for in: of the same kind and essential name.
pub(super) fn candidates(local: &Btf, target: &Btf, id: TypeId) -> Result<Vec<TypeId>, String> {
    let ty = local.get(id).ok_or_else(|| format!("type {id} is not there"))?;
    let name = local.bytes_at(ty.name).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("type {id} has no name to look for in the kernel"))?;
    let same = |&candidate: &TypeId| target.kind(candidate).is_some_and(|kind| same_kind(kind, &ty.kind));
    Ok(target.named(essential_name(name)).filter(same).collect())
}
