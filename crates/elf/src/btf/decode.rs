//! From the bytes of a `.BTF` section to [`Type`]s, every length checked.

use super::types::{Array, Composite, Enum, EnumValue, Int, Kind, Member, Param, SectionVar, Type};
use crate::ObjectError;

/// A cursor over the type records; all of BTF is 32-bit words.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Result<u32, ObjectError> {
        let word = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<4>());
        let Some(word) = word else {
            return Err(fail(self.at, "a type goes on behind the end of the types"));
        };
        self.at += 4;
        Ok(u32::from_le_bytes(*word))
    }

    /// Refuses a count whose records cannot be there, before anything is allocated for them.
    fn fits(&self, count: usize, words: usize) -> Result<(), ObjectError> {
        if count * words * 4 > self.bytes.len() - self.at {
            return Err(fail(self.at, format!("a type announces {count} records, which do not fit")));
        }
        Ok(())
    }
}

pub(super) fn fail(offset: usize, what: impl Into<String>) -> ObjectError {
    ObjectError::Btf { offset, what: what.into() }
}

/// Where types and strings are, by the header.
pub(super) struct Layout {
    pub(super) types: std::ops::Range<usize>,
    pub(super) strings: std::ops::Range<usize>,
}

/// Reads the header of a `.BTF` section.
pub(super) fn layout(bytes: &[u8]) -> Result<Layout, ObjectError> {
    let mut words = Words { bytes, at: 0 };
    let first = words.next()?;
    if first & 0xffff == 0x9feb {
        return Err(fail(0, "the types are big-endian, expected little-endian"));
    }
    if first & 0xffff != 0xeb9f {
        return Err(fail(0, format!("expected the magic number 0xeb9f, found {:#x}", first & 0xffff)));
    }
    if (first >> 16) & 0xff != 1 {
        return Err(fail(2, format!("expected version 1, found {}", (first >> 16) & 0xff)));
    }
    let header = words.next()? as usize;
    let range = |offset: u32, len: u32| {
        let start = header.checked_add(offset as usize)?;
        let end = start.checked_add(len as usize)?;
        (end <= bytes.len()).then_some(start..end)
    };
    let (type_off, type_len) = (words.next()?, words.next()?);
    let (str_off, str_len) = (words.next()?, words.next()?);
    let types = range(type_off, type_len).ok_or_else(|| fail(8, "the types lie outside the section"))?;
    let strings = range(str_off, str_len).ok_or_else(|| fail(16, "the strings lie outside the section"))?;
    if types.start % 4 != 0 {
        return Err(fail(8, "the types are not aligned"));
    }
    Ok(Layout { types, strings })
}

/// Decodes every record.
pub(super) fn types(bytes: &[u8]) -> Result<Vec<Type>, ObjectError> {
    let mut words = Words { bytes, at: 0 };
    let mut types = Vec::with_capacity(bytes.len() / 24 + 1);
    types.push(Type { name: 0, kind: Kind::Void });
    while words.at < bytes.len() {
        types.push(one(&mut words)?);
    }
    Ok(types)
}

fn one(words: &mut Words<'_>) -> Result<Type, ObjectError> {
    let start = words.at;
    let name = words.next()?;
    let info = words.next()?;
    let third = words.next()?;
    let count = (info & 0xffff) as usize;
    let flag = info >> 31 != 0;
    let kind = match (info >> 24) & 0x1f {
        1 => {
            let data = words.next()?;
            let [bits, _, bit_offset, encoding] = data.to_le_bytes();
            Kind::Int(Int { size: third, bits, bit_offset, encoding: encoding & 0xf })
        }
        2 => Kind::Ptr(third),
        3 => Kind::Array(Array { element: words.next()?, index: words.next()?, count: words.next()? }),
        number @ (4 | 5) => {
            let composite = Composite { size: third, members: members(words, count, flag)? };
            if number == 4 { Kind::Struct(composite) } else { Kind::Union(composite) }
        }
        6 => {
            words.fits(count, 2)?;
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                let name = words.next()?;
                let value = words.next()?;
                // The compiler's consumers read the value as a signed number whatever the flag says.
                values.push(EnumValue { name, value: i64::from(value as i32) as u64 });
            }
            Kind::Enum(Enum { size: third, signed: flag, values: values.into() })
        }
        7 => Kind::Fwd { union: flag },
        8 => Kind::Typedef(third),
        9 => Kind::Volatile(third),
        10 => Kind::Const(third),
        11 => Kind::Restrict(third),
        12 => Kind::Func { proto: third, linkage: count as u32 },
        13 => {
            words.fits(count, 2)?;
            let mut params = Vec::with_capacity(count);
            for _ in 0..count {
                params.push(Param { name: words.next()?, ty: words.next()? });
            }
            Kind::FuncProto { returns: third, params: params.into() }
        }
        14 => Kind::Var { ty: third, linkage: words.next()? },
        15 => {
            words.fits(count, 3)?;
            let mut vars = Vec::with_capacity(count);
            for _ in 0..count {
                vars.push(SectionVar { var: words.next()?, offset: words.next()?, size: words.next()? });
            }
            Kind::DataSec { size: third, vars: vars.into() }
        }
        16 => Kind::Float(third),
        17 => Kind::DeclTag { ty: third, component: words.next()? as i32 },
        18 => Kind::TypeTag(third),
        19 => {
            words.fits(count, 3)?;
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                let name = words.next()?;
                let low = words.next()?;
                let high = words.next()?;
                values.push(EnumValue { name, value: u64::from(high) << 32 | u64::from(low) });
            }
            Kind::Enum64(Enum { size: third, signed: flag, values: values.into() })
        }
        number => return Err(fail(start, format!("expected a kind from 1 to 19, found {number}"))),
    };
    Ok(Type { name, kind })
}

fn members(words: &mut Words<'_>, count: usize, flag: bool) -> Result<Box<[Member]>, ObjectError> {
    words.fits(count, 3)?;
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let name = words.next()?;
        let ty = words.next()?;
        let offset = words.next()?;
        // With the flag the upper byte is the width of a bit field.
        let (bit_offset, bits) =
            if flag { (offset & 0x00ff_ffff, (offset >> 24) as u8) } else { (offset, 0) };
        members.push(Member { name, ty, bit_offset, bits });
    }
    Ok(members.into())
}

/// Refuses references to types and names that are not there, as libbpf and the kernel do.
pub(super) fn check(types: &[Type], strings: usize) -> Result<(), ObjectError> {
    for (id, ty) in types.iter().enumerate().skip(1) {
        let wrong = |what: String| Err(fail(0, format!("type {id}: {what}")));
        let (mut referred, mut names) = (Vec::new(), vec![ty.name]);
        match &ty.kind {
            Kind::Ptr(to) | Kind::Typedef(to) | Kind::Volatile(to) | Kind::Const(to) => referred.push(*to),
            Kind::Restrict(to) | Kind::TypeTag(to) => referred.push(*to),
            Kind::Func { proto: to, .. } | Kind::Var { ty: to, .. } | Kind::DeclTag { ty: to, .. } => {
                referred.push(*to)
            }
            Kind::Array(array) => referred.extend([array.element, array.index]),
            Kind::Struct(composite) | Kind::Union(composite) => {
                referred.extend(composite.members.iter().map(|member| member.ty));
                names.extend(composite.members.iter().map(|member| member.name));
            }
            Kind::Enum(values) | Kind::Enum64(values) => {
                names.extend(values.values.iter().map(|value| value.name))
            }
            // What a prototype returns is not looked at, neither there.
            Kind::FuncProto { params, .. } => {
                referred.extend(params.iter().map(|param| param.ty));
                names.extend(params.iter().map(|param| param.name));
            }
            Kind::DataSec { vars, .. } => referred.extend(vars.iter().map(|var| var.var)),
            Kind::Void | Kind::Int(_) | Kind::Fwd { .. } | Kind::Float(_) => {}
        }
        if let Some(missing) = referred.into_iter().find(|to| *to as usize >= types.len()) {
            return wrong(format!("it refers to type {missing} of {}", types.len()));
        }
        if let Kind::Func { proto, .. } = ty.kind
            && !matches!(types[proto as usize].kind, Kind::FuncProto { .. })
        {
            return wrong(format!("it is a function, and type {proto} is no prototype"));
        }
        if let Some(name) = names.into_iter().find(|name| *name as usize >= strings.max(1)) {
            return wrong(format!("its name is at byte {name} of {strings}"));
        }
    }
    Ok(())
}
