//! BTF, the types of a program or of a kernel.
//!
//! [`Btf`] holds the types of one `.BTF` section, decoded; it answers by number and by name, resolves sizes and finds
//! members. The object's own types print the values of its maps, the kernel's types are what an object is relocated
//! against. Numbers in the records may point anywhere, so every question that follows them has a bound.
//!
//! ```
//! use sandbpf_elf::{Btf, Object};
//! # let file = include_bytes!("../../tests/data/counter.o");
//! let object = Object::parse(file)?;
//! let btf: &Btf = object.btf().expect("compiled with -g");
//! let id = btf.find("event", |kind| kind.composite().is_some()).expect("struct event");
//! assert_eq!(btf.size_of(id), Some(16));
//! let (offset, _) = btf.member(id, "port").expect("a member");
//! assert_eq!(offset, 12 * 8);
//! # Ok::<(), sandbpf_elf::ObjectError>(())
//! ```

mod decode;
pub(crate) mod ext;
mod types;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::ObjectError;
pub use types::{Array, Composite, Enum, EnumValue, Int, Kind, Member, Param, SectionVar, Type, TypeId};

/// As many steps as libbpf follows when it resolves a type.
const MAX_DEPTH: usize = 32;

/// The types of one `.BTF` section.
#[derive(Clone)]
pub struct Btf {
    types: Vec<Type>,
    strings: Arc<[u8]>,
    /// Types by the hash of their essential name: the table grows with the types, not with the names.
    names: OnceLock<HashMap<u64, Vec<TypeId>>>,
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btf").field("types", &self.types.len()).finish_non_exhaustive()
    }
}

impl Btf {
    /// Decodes the bytes of a `.BTF` section, or of `/sys/kernel/btf/vmlinux`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        let layout = decode::layout(bytes)?;
        let types = decode::types(&bytes[layout.types.clone()])?;
        decode::check(&types, layout.strings.len())?;
        Ok(Self { types, strings: bytes[layout.strings].into(), names: OnceLock::new() })
    }

    /// How many types there are, `void` counted.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// No types but `void`.
    pub fn is_empty(&self) -> bool {
        self.types.len() <= 1
    }

    /// All types with their numbers, from 1.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        (0..).zip(&self.types).skip(1)
    }

    /// The type of this number; zero is `void`.
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.types.get(id as usize)
    }

    /// What the type of this number is.
    pub fn kind(&self, id: TypeId) -> Option<&Kind> {
        self.get(id).map(|ty| &ty.kind)
    }

    /// The bytes of a name, up to its NUL; an offset outside gives none, and so does a name that has no end.
    pub(crate) fn bytes_at(&self, offset: u32) -> Option<&[u8]> {
        let rest = self.strings.get(offset as usize..)?;
        let rest = &rest[..rest.len().min(MAX_NAME)];
        let len = rest.iter().position(|&byte| byte == 0)?;
        Some(&rest[..len])
    }

    /// A line of text, up to its NUL or to the longest length.
    pub(crate) fn line_at(&self, offset: u32) -> &str {
        let Some(rest) = self.strings.get(offset as usize..) else { return "" };
        let rest = &rest[..rest.len().min(MAX_NAME)];
        let line = &rest[..rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len())];
        match std::str::from_utf8(line) {
            Ok(line) => line,
            Err(error) => std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or(""),
        }
    }

    /// A string; what is no UTF-8 or not there reads as empty.
    pub(crate) fn str_at(&self, offset: u32) -> &str {
        self.bytes_at(offset).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// The name of a type, empty if it has none.
    pub fn name(&self, id: TypeId) -> &str {
        self.get(id).map_or("", |ty| self.str_at(ty.name))
    }

    /// The name of a member, empty if it has none.
    pub fn member_name(&self, member: &Member) -> &str {
        self.str_at(member.name)
    }

    /// The name of a value of an enumeration.
    pub fn value_name(&self, value: &EnumValue) -> &str {
        self.str_at(value.name)
    }

    /// The name of a parameter, empty if it has none.
    pub fn param_name(&self, param: &Param) -> &str {
        self.str_at(param.name)
    }

    /// The numbers of all types whose name, without a `___flavour`, is this.
    pub(crate) fn named<'a>(&'a self, essential: &'a [u8]) -> impl Iterator<Item = TypeId> + 'a {
        let names = self.names.get_or_init(|| {
            let mut names: HashMap<u64, Vec<TypeId>> = HashMap::new();
            for (id, ty) in self.iter() {
                let name = self.bytes_at(ty.name).unwrap_or_default();
                if !name.is_empty() {
                    names.entry(hash(essential_name(name))).or_default().push(id);
                }
            }
            names
        });
        let candidates = names.get(&hash(essential)).map_or(&[][..], Vec::as_slice);
        candidates.iter().copied().filter(move |&id| {
            self.get(id)
                .and_then(|ty| self.bytes_at(ty.name))
                .is_some_and(|name| essential_name(name) == essential)
        })
    }

    /// The types of a kernel that this type may stand for: of the same kind and name, whatever its flavour.
    pub fn candidates_in(&self, kernel: &Btf, id: TypeId) -> Vec<TypeId> {
        let Some(own) = self.get(id) else { return Vec::new() };
        let name = self.bytes_at(own.name).unwrap_or_default();
        let is_same = |&id: &TypeId| kernel.kind(id).is_some_and(|kind| kind.number() == own.kind.number());
        kernel.named(essential_name(name)).filter(is_same).collect()
    }

    /// The first type of this name whose kind satisfies `is`.
    pub fn find(&self, name: &str, is: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        let mut candidates = self.named(essential_name(name.as_bytes()));
        candidates.find(|&id| self.name(id) == name && self.kind(id).is_some_and(&is))
    }

    /// The type behind type definitions, qualifiers and tags, with its number.
    pub fn strip(&self, id: TypeId) -> Option<(TypeId, &Kind)> {
        let mut id = id;
        for _ in 0..=MAX_DEPTH {
            let kind = self.kind(id)?;
            match kind.behind() {
                Some(next) => id = next,
                None => return Some((id, kind)),
            }
        }
        None
    }

    /// How many bytes a value of this type has; none for `void`, functions and what is declared only.
    pub fn size_of(&self, id: TypeId) -> Option<u64> {
        let mut id = id;
        let mut count = 1u64;
        for _ in 0..MAX_DEPTH {
            let size = match *self.kind(id)? {
                Kind::Int(Int { size, .. })
                | Kind::Struct(Composite { size, .. })
                | Kind::Union(Composite { size, .. })
                | Kind::Enum(Enum { size, .. })
                | Kind::Enum64(Enum { size, .. })
                | Kind::DataSec { size, .. }
                | Kind::Float(size) => size,
                Kind::Ptr(_) => 8,
                Kind::Typedef(to)
                | Kind::Volatile(to)
                | Kind::Const(to)
                | Kind::Restrict(to)
                | Kind::TypeTag(to)
                | Kind::DeclTag { ty: to, .. }
                | Kind::Var { ty: to, .. } => {
                    id = to;
                    continue;
                }
                Kind::Array(Array { element, count: n, .. }) => {
                    count = count.checked_mul(u64::from(n)).filter(|&count| count <= u64::from(u32::MAX))?;
                    id = element;
                    continue;
                }
                Kind::Void | Kind::Fwd { .. } | Kind::Func { .. } | Kind::FuncProto { .. } => return None,
            };
            return count.checked_mul(u64::from(size)).filter(|&bytes| bytes <= u64::from(u32::MAX));
        }
        None
    }

    /// To how many bytes a value of this type is aligned.
    pub fn align_of(&self, id: TypeId) -> Option<u32> {
        self.align_within(id, MAX_DEPTH, &mut 4096)
    }

    fn align_within(&self, id: TypeId, depth: usize, budget: &mut usize) -> Option<u32> {
        *budget = budget.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        match self.kind(id)? {
            Kind::Int(Int { size, .. })
            | Kind::Enum(Enum { size, .. })
            | Kind::Enum64(Enum { size, .. })
            | Kind::Float(size) => Some((*size).clamp(1, 8)),
            Kind::Ptr(_) => Some(8),
            Kind::Array(array) => self.align_within(array.element, depth, budget),
            Kind::Struct(composite) | Kind::Union(composite) => {
                let mut align = 1;
                for member in &composite.members {
                    let one = self.align_within(member.ty, depth, budget)?;
                    align = align.max(one);
                    // A member off its alignment makes the structure a packed one.
                    if member.bits == 0 && member.bit_offset % (8 * one) != 0 {
                        return Some(1);
                    }
                }
                Some(if composite.size % align != 0 { 1 } else { align })
            }
            kind => self.align_within(kind.behind()?, depth, budget),
        }
    }

    /// A member by name, through unnamed structures and unions: its offset in bits, and the member.
    pub fn member(&self, id: TypeId, name: &str) -> Option<(u32, &Member)> {
        self.member_within(id, name, MAX_DEPTH, &mut 65536)
    }

    fn member_within(
        &self,
        id: TypeId,
        name: &str,
        depth: usize,
        budget: &mut usize,
    ) -> Option<(u32, &Member)> {
        let depth = depth.checked_sub(1)?;
        let (_, kind) = self.strip(id)?;
        for member in &kind.composite()?.members {
            *budget = budget.checked_sub(1)?;
            let own = self.member_name(member);
            if own == name {
                return Some((member.bit_offset, member));
            }
            if own.is_empty()
                && let Some((offset, found)) = self.member_within(member.ty, name, depth, budget)
            {
                return Some((member.bit_offset.checked_add(offset)?, found));
            }
        }
        None
    }

    pub(crate) fn kind_mut(&mut self, id: TypeId) -> Option<&mut Kind> {
        self.types.get_mut(id as usize).map(|ty| &mut ty.kind)
    }
}

/// The longest name that is read; the kernel's longest symbol has 512 bytes, an annotation may be longer.
const MAX_NAME: usize = 4096;

fn hash(name: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    hasher.finish()
}

/// A name without its flavour: what stands behind the last `___` that has other characters on both sides.
pub(crate) fn essential_name(name: &[u8]) -> &[u8] {
    let len = name.windows(5).rposition(|w| w[0] != b'_' && &w[1..4] == b"___" && w[4] != b'_');
    len.map_or(name, |at| &name[..=at])
}
