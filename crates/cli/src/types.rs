//! Values of maps and records of programs, by their types: structures with the names of their fields.
//!
//! Types come from the object and may be anything, so what is shown has a bound in depth and in number.

use std::cell::Cell;

use sandbpf::object::elf::{Array, Btf, Composite, Kind, Member, SectionVar, TypeId};
use serde_json::{Map, Value, json};

/// How deep types are followed.
const DEEPEST: u32 = 32;

/// The longest array that is shown whole.
const LONGEST: usize = 4096;

/// How many values one value is made of, at most.
const MOST: usize = 1 << 16;

/// The value that these bytes are, of this type; hexadecimal where the type does not tell.
pub(crate) fn value(types: Option<&Btf>, of: TypeId, bytes: &[u8]) -> Value {
    let known = types.filter(|_| of != 0).and_then(|types| Reader::new(types).typed(of, bytes, 0));
    known.unwrap_or_else(|| Value::String(hex::encode(bytes)))
}

/// The fields of a record of this type. Programs send less than the whole of a structure that ends with a buffer, and
/// more than one that ends with an array without a length: the last field has what there is, and what was not sent is
/// not shown.
pub(crate) fn record(types: &Btf, of: TypeId, bytes: &[u8]) -> Option<Value> {
    let (_, kind) = types.strip(of)?;
    let reader = Reader::new(types);
    match kind {
        Kind::Struct(composite) if ends_open(types, composite) || bytes.len() < composite.size as usize => {
            reader.cut(composite, bytes)
        }
        _ => reader.typed(of, bytes, 0),
    }
}

/// Whether a structure's last field is an array without a length.
pub(crate) fn ends_open(types: &Btf, composite: &Composite) -> bool {
    let last = composite.members.last().and_then(|member| types.strip(member.ty));
    matches!(last, Some((_, Kind::Array(Array { count: 0, .. }))))
}

/// Whether a type is an array of `char`.
pub(crate) fn is_text(types: &Btf, element: TypeId) -> bool {
    match types.strip(element) {
        Some((id, Kind::Int(int))) => {
            types.size_of(id) == Some(1) && (int.character() || types.name(id) == "char")
        }
        _ => false,
    }
}

/// Reads bytes by types.
struct Reader<'t> {
    types: &'t Btf,
    /// How many values may still be read: unions in unions would read the same bytes again and again.
    left: Cell<usize>,
}

impl<'t> Reader<'t> {
    fn new(types: &'t Btf) -> Self {
        Reader { types, left: Cell::new(MOST) }
    }

    fn typed(&self, of: TypeId, bytes: &[u8], depth: u32) -> Option<Value> {
        let types = self.types;
        self.left.set(self.left.get().checked_sub(1)?);
        if depth > DEEPEST {
            return None;
        }
        if let Some(Kind::DataSec { vars, .. }) = types.kind(of) {
            // A section of variables, by name.
            let variable = |var: &SectionVar| {
                let Some(&Kind::Var { ty, .. }) = types.kind(var.var) else { return None };
                let bytes = bytes.get(var.offset as usize..)?.get(..var.size as usize)?;
                Some((types.name(var.var).to_string(), self.typed(ty, bytes, depth + 1)?))
            };
            return vars.iter().map(variable).collect::<Option<Map<_, _>>>().map(Value::Object);
        }
        let (of, kind) = types.strip(of)?;
        let size = usize::try_from(types.size_of(of)?).ok()?;
        let bytes = bytes.get(..size)?;
        Some(match kind {
            Kind::Int(int) if int.boolean() && size == 1 && bytes[0] < 2 => json!(bytes[0] != 0),
            Kind::Int(int) if size <= 8 => number(bytes, int.signed()),
            Kind::Enum(entry) | Kind::Enum64(entry) => {
                // Not every compiler says that an enumeration with negative values is signed.
                let unused = 64 - 8 * size.clamp(1, 8) as u32;
                let word = unsigned(bytes) << unused;
                let named = entry.values.iter().find(|value| value.value << unused == word);
                named.map_or_else(|| number(bytes, entry.signed), |value| json!(types.value_name(value)))
            }
            Kind::Float(4) => json!(f32::from_bits(unsigned(bytes) as u32)),
            Kind::Float(8) => json!(f64::from_bits(unsigned(bytes))),
            Kind::Ptr(_) => json!(format!("{:#x}", unsigned(bytes))),
            Kind::Array(array) => self.array(array.element, bytes, depth, false)?,
            Kind::Struct(composite) | Kind::Union(composite) => {
                let mut fields = Map::new();
                for member in &composite.members {
                    self.field(&mut fields, member, bytes, depth)?;
                }
                Value::Object(fields)
            }
            // Wider numbers than anybody counts with.
            Kind::Int(_) | Kind::Float(_) => json!(hex::encode(bytes)),
            _ => return None,
        })
    }

    /// The elements that these bytes are. Characters are text if they end with a NUL, or if `whole` says that the bytes
    /// are all there is.
    fn array(&self, element: TypeId, bytes: &[u8], depth: u32, whole: bool) -> Option<Value> {
        if is_text(self.types, element)
            && let Some(text) = text(bytes, whole)
        {
            return Some(json!(text));
        }
        let size = usize::try_from(self.types.size_of(element)?).ok()?;
        if bytes.is_empty() {
            return Some(json!([]));
        }
        if size == 0 || bytes.len() / size > LONGEST {
            return Some(json!(hex::encode(bytes)));
        }
        let elements = bytes.chunks_exact(size).map(|chunk| self.typed(element, chunk, depth + 1));
        elements.collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn field(
        &self,
        fields: &mut Map<String, Value>,
        member: &Member,
        bytes: &[u8],
        depth: u32,
    ) -> Option<()> {
        let (at, bits) = (member.bit_offset as usize, u32::from(member.bits));
        let name = self.types.member_name(member);
        let value = match bits {
            0 => self.typed(member.ty, bytes.get(at / 8..)?, depth + 1)?,
            // A field of bits, which may begin anywhere.
            bits => {
                let bits = bits.min(64);
                let near = bytes.get(at / 8..)?.iter().take(9).rev();
                let word = near.fold(0u128, |word, &byte| word << 8 | u128::from(byte)) >> (at % 8);
                let unused = 64 - bits;
                let word = (word as u64) << unused;
                match self.types.strip(member.ty) {
                    Some((_, Kind::Int(int))) if int.signed() => json!(word as i64 >> unused),
                    Some((_, Kind::Int(int))) if int.boolean() && bits == 1 => json!(word >> unused != 0),
                    _ => json!(word >> unused),
                }
            }
        };
        match value {
            // What has no name is part of what it is in.
            Value::Object(inner) if name.is_empty() => fields.extend(inner),
            value => drop(fields.insert(name.into(), value)),
        }
        Some(())
    }

    /// The fields of which there are bytes; an array that is cut off has the elements that are whole.
    fn cut(&self, composite: &Composite, bytes: &[u8]) -> Option<Value> {
        let mut fields = Map::new();
        let last = composite.members.len().saturating_sub(1);
        for (at, member) in composite.members.iter().enumerate() {
            let start = member.bit_offset as usize / 8;
            let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) else { continue };
            let size = match member.bits {
                0 => usize::try_from(self.types.size_of(member.ty)?).ok()?,
                bits => (member.bit_offset as usize % 8 + usize::from(bits)).div_ceil(8),
            };
            match self.types.strip(member.ty)? {
                (_, Kind::Array(array)) if rest.len() < size || (at == last && array.count == 0) => {
                    let element = usize::try_from(self.types.size_of(array.element)?).ok()?;
                    let whole = rest.len() - rest.len().checked_rem(element)?;
                    let elements = self.array(array.element, &rest[..whole], 0, true)?;
                    fields.insert(self.types.member_name(member).into(), elements);
                }
                _ if rest.len() < size => {}
                _ => self.field(&mut fields, member, bytes, 0)?,
            }
        }
        Some(Value::Object(fields))
    }
}

/// The text before a NUL, if there is one or none is needed, and nothing in it would steer a terminal.
pub(crate) fn text(bytes: &[u8], whole: bool) -> Option<&str> {
    let end = bytes.iter().position(|&byte| byte == 0).or(whole.then_some(bytes.len()))?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    (!text.contains(is_odd)).then_some(text)
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The number that these bytes are, the first of them the lowest.
pub(crate) fn number(bytes: &[u8], signed: bool) -> Value {
    let word = unsigned(bytes);
    if !signed || bytes.is_empty() {
        return json!(word);
    }
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    json!((word << unused) as i64 >> unused)
}
