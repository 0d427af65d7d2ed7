//! Values of maps by their types: structures with the names of their fields.

use sandbpf::object::elf::{Btf, Kind, SectionVar, TypeId};
use serde_json::{Map, Value, json};

/// How deep types are followed; BTF may be anything.
const DEEPEST: u32 = 32;

/// The longest array that is shown whole.
const LONGEST: usize = 4096;

/// The value that these bytes are, of this type; hexadecimal where the type does not tell.
pub(crate) fn value(types: Option<&Btf>, of: TypeId, bytes: &[u8]) -> Value {
    let known = types.filter(|_| of != 0).and_then(|types| typed(types, of, bytes, 0));
    known.unwrap_or_else(|| Value::String(hex::encode(bytes)))
}

fn typed(types: &Btf, of: TypeId, bytes: &[u8], depth: u32) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    if let Some(Kind::DataSec { vars, .. }) = types.kind(of) {
        // A section of variables, by name.
        let variable = |var: &SectionVar| {
            let Some(&Kind::Var { ty, .. }) = types.kind(var.var) else { return None };
            let bytes = bytes.get(var.offset as usize..)?.get(..var.size as usize)?;
            Some((types.name(var.var).to_string(), typed(types, ty, bytes, depth + 1)?))
        };
        return vars.iter().map(variable).collect::<Option<Map<_, _>>>().map(Value::Object);
    }
    let (of, kind) = types.strip(of)?;
    let size = usize::try_from(types.size_of(of)?).ok()?;
    let bytes = bytes.get(..size)?;
    Some(match kind {
        Kind::Int(int) if size <= 8 => number(bytes, int.signed()),
        Kind::Enum(entry) | Kind::Enum64(entry) => {
            let number = unsigned(bytes);
            let named = entry.values.iter().find(|value| value.value == number);
            named.map_or_else(|| json!(number), |value| json!(types.value_name(value)))
        }
        Kind::Ptr(_) => json!(format!("{:#x}", unsigned(bytes))),
        Kind::Array(array) => {
            let element = usize::try_from(types.size_of(array.element)?).ok()?;
            if is_text(types, array.element) {
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                if let Ok(text) = std::str::from_utf8(&bytes[..end]) {
                    return Some(json!(text));
                }
            }
            if element == 0 || bytes.len() / element > LONGEST {
                return None;
            }
            let elements = bytes.chunks_exact(element);
            elements
                .map(|chunk| typed(types, array.element, chunk, depth + 1))
                .collect::<Option<Vec<_>>>()?
                .into()
        }
        Kind::Struct(composite) | Kind::Union(composite) => {
            let mut fields = Map::new();
            for member in &composite.members {
                let name = types.member_name(member);
                let field = field(types, member, bytes, depth)?;
                match field {
                    // What has no name is part of what it is in.
                    Value::Object(inner) if name.is_empty() => fields.extend(inner),
                    field => drop(fields.insert(name.into(), field)),
                }
            }
            Value::Object(fields)
        }
        _ => return None,
    })
}

fn field(types: &Btf, member: &sandbpf::object::elf::Member, bytes: &[u8], depth: u32) -> Option<Value> {
    let (at, bits) = (member.bit_offset as usize, u32::from(member.bits));
    if bits == 0 {
        return typed(types, member.ty, bytes.get(at / 8..)?, depth + 1);
    }
    // A field of bits, which may begin anywhere.
    let word =
        bytes.get(at / 8..)?.iter().take(8).rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    let value = word >> (at % 8) & (u64::MAX >> (64 - bits.min(64)));
    Some(json!(value))
}

fn is_text(types: &Btf, element: TypeId) -> bool {
    match types.strip(element) {
        Some((id, Kind::Int(int))) => {
            types.size_of(id) == Some(1) && (int.character() || types.name(id) == "char")
        }
        _ => false,
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn number(bytes: &[u8], signed: bool) -> Value {
    let word = unsigned(bytes);
    if !signed || bytes.is_empty() {
        return json!(word);
    }
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    json!((word << unused) as i64 >> unused)
}
