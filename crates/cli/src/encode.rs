//! Values that JSON describes, as bytes: the way back from what [`types`](crate::types) shows.
//!
//! Structures are given by the names of their fields; a field that is not named is zero, a name that nothing has is a
//! mistake. Wherever a value may stand, its bytes may, as `hex:…`; for all but text the `hex:` can be left out.

use sandbpf::object::elf::{Btf, Composite, Kind, Member, TypeId};
use serde_json::Value;

use crate::types;

/// How deep types are followed; BTF may be anything.
const DEEPEST: u32 = 32;

/// The bytes of a value that has so many.
pub(crate) fn value(types: Option<&Btf>, of: TypeId, size: usize, value: &Value) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; size];
    match types.filter(|types| of != 0 && types.size_of(of) == Some(size as u64)) {
        Some(types) => put(types, of, &mut bytes, value, 0)?,
        None => plain(&mut bytes, value)?,
    }
    Ok(bytes)
}

/// A value of no known type: a number, or its bytes.
pub(crate) fn plain(to: &mut [u8], value: &Value) -> Result<(), String> {
    match value {
        Value::Number(_) => put_number(to, value),
        Value::Bool(flag) => put_number(to, &Value::from(u8::from(*flag))),
        Value::String(digits) => put_bytes(to, digits),
        Value::Null if to.is_empty() => Ok(()),
        Value::Null => Err("is not given".into()),
        _ => Err(format!("expected a number or bytes in hexadecimal, found {value}")),
    }
}

/// Text that a NUL ends.
pub(crate) fn put_text(to: &mut [u8], text: &str) -> Result<(), String> {
    if let Some(digits) = text.strip_prefix("hex:") {
        return put_bytes(to, digits);
    }
    let size = to.len();
    let place = to.get_mut(..text.len()).filter(|place| place.len() < size);
    let place = place.ok_or_else(|| format!("`{text}` and its NUL do not fit {size} bytes"))?;
    place.copy_from_slice(text.as_bytes());
    Ok(())
}

fn put(types: &Btf, of: TypeId, to: &mut [u8], value: &Value, depth: u32) -> Result<(), String> {
    let (of, kind) =
        types.strip(of).filter(|_| depth <= DEEPEST).ok_or("its type is not one that has values")?;
    match (kind, value) {
        (Kind::Array(array), Value::String(text)) if types::is_text(types, array.element) => {
            put_text(to, text)
        }
        (Kind::Array(array), Value::Array(values)) => {
            let size = types.size_of(array.element).unwrap_or_default() as usize;
            if size == 0 || values.len() > to.len() / size {
                return Err(format!("expected at most {} elements, found {}", array.count, values.len()));
            }
            for (at, value) in values.iter().enumerate() {
                let place = &mut to[at * size..(at + 1) * size];
                put(types, array.element, place, value, depth + 1)
                    .map_err(|what| format!("[{at}]: {what}"))?;
            }
            Ok(())
        }
        (Kind::Struct(composite) | Kind::Union(composite), Value::Object(fields)) => {
            for (name, value) in fields {
                let (offset, member) = types.member(of, name).ok_or_else(|| {
                    format!("`{name}` is no field; there are {}", names(types, composite, 0).join(", "))
                })?;
                put_field(types, offset, member, to, value, depth)
                    .map_err(|what| format!("{name}: {what}"))?;
            }
            Ok(())
        }
        (Kind::Enum(entry) | Kind::Enum64(entry), Value::String(name)) => {
            let named = entry.values.iter().find(|value| types.value_name(value) == name);
            match named {
                Some(named) => {
                    let size = to.len().min(8);
                    to[..size].copy_from_slice(&named.value.to_le_bytes()[..size]);
                    Ok(())
                }
                None => put_bytes(to, name).map_err(|_| {
                    let names: Vec<&str> = entry.values.iter().map(|value| types.value_name(value)).collect();
                    format!("`{name}` is no value of it; there are {}", names.join(", "))
                }),
            }
        }
        (Kind::Ptr(_), Value::String(text)) if text.starts_with("0x") => {
            let address =
                u64::from_str_radix(&text[2..], 16).map_err(|_| format!("`{text}` is no address"))?;
            put_number(to, &Value::from(address))
        }
        (Kind::Float(4), Value::Number(number)) => {
            to.copy_from_slice(&(number.as_f64().unwrap_or_default() as f32).to_le_bytes());
            Ok(())
        }
        (Kind::Float(8), Value::Number(number)) => {
            to.copy_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
            Ok(())
        }
        (_, value) => plain(to, value),
    }
}

fn put_field(
    types: &Btf,
    offset: u32,
    member: &Member,
    to: &mut [u8],
    value: &Value,
    depth: u32,
) -> Result<(), String> {
    let outside = || "it lies outside its structure".to_string();
    let start = offset as usize / 8;
    if member.bits == 0 {
        let size = types.size_of(member.ty).and_then(|size| usize::try_from(size).ok());
        let place = size.and_then(|size| to.get_mut(start..)?.get_mut(..size)).ok_or_else(outside)?;
        return put(types, member.ty, place, value, depth + 1);
    }
    // A field of bits, which may begin anywhere.
    let number = whole(value).filter(|_| member.bits <= 64).ok_or("expected a number")?;
    if !fits(number, u32::from(member.bits)) {
        return Err(format!("{number} does not fit {} bits", member.bits));
    }
    for bit in 0..usize::from(member.bits) {
        let at = offset as usize + bit;
        let byte = to.get_mut(at / 8).ok_or_else(outside)?;
        *byte = *byte & !(1 << (at % 8)) | ((number >> bit & 1) as u8) << (at % 8);
    }
    Ok(())
}

/// The names of the fields, those of unnamed parts with them.
fn names<'t>(types: &'t Btf, composite: &'t Composite, depth: u32) -> Vec<&'t str> {
    let mut all = Vec::new();
    for member in composite.members.iter().take(64) {
        match (types.member_name(member), types.strip(member.ty)) {
            ("", Some((_, Kind::Struct(inner) | Kind::Union(inner)))) if depth < 3 => {
                all.extend(names(types, inner, depth + 1));
            }
            (name, _) => all.push(name),
        }
    }
    all
}

fn put_number(to: &mut [u8], value: &Value) -> Result<(), String> {
    let number = whole(value).ok_or_else(|| format!("expected a whole number, found {value}"))?;
    if !fits(number, 8 * to.len().min(16) as u32) {
        return Err(format!("{number} does not fit {} bytes", to.len()));
    }
    to.fill(if number < 0 { 0xff } else { 0 });
    let size = to.len().min(16);
    to[..size].copy_from_slice(&number.to_le_bytes()[..size]);
    Ok(())
}

fn put_bytes(to: &mut [u8], digits: &str) -> Result<(), String> {
    let digits = digits.strip_prefix("hex:").unwrap_or(digits);
    let bytes = crate::bytes::parse(digits).map_err(|error| error.to_string())?;
    if bytes.len() != to.len() {
        return Err(format!("expected {} bytes, found {}", to.len(), bytes.len()));
    }
    to.copy_from_slice(&bytes);
    Ok(())
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(flag) => Some(i128::from(*flag)),
        value => value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from)),
    }
}

/// Whether a number has so many bits, with a sign or without.
fn fits(number: i128, bits: u32) -> bool {
    match bits {
        0 => false,
        1..=126 => number < 1 << bits && number >= -(1 << (bits - 1)),
        _ => true,
    }
}
