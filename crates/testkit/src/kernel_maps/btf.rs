//! Type information for maps of the kernel: as much as storages, spin locks and timers need; and for functions of programs,
//! as much as callbacks need.

use std::os::fd::{AsRawFd, OwnedFd};

use sandbpf_maps::{Errno, FieldKind, MapSpec};

use super::{Attribute, own};

pub(super) const BTF_LOAD: i32 = 18;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;

/// The types of a map's keys and values, loaded.
#[derive(Debug)]
pub(super) struct Types {
    pub(super) descriptor: OwnedFd,
    pub(super) key: u32,
    pub(super) value: u32,
}

/// Types and names under construction.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    names: Vec<u8>,
    count: u32,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend(name.as_bytes());
        self.names.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn start(&mut self, name: &str, kind: u32, parts: usize, size: u32) -> u32 {
        let name = if name.is_empty() { 0 } else { self.name(name) };
        self.words(&[name, kind << 24 | parts as u32, size]);
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, size: u32) -> u32 {
        let id = self.start(name, KIND_INT, 0, size);
        self.words(&[8 * size]);
        id
    }

    fn array(&mut self, of: u32, index: u32, len: u32) -> u32 {
        let id = self.start("", KIND_ARRAY, 0, 0);
        self.words(&[of, index, len]);
        id
    }

    /// Members with their names, types, and where they start in bytes.
    fn structure(&mut self, name: &str, size: u32, members: &[(String, u32, u32)]) -> u32 {
        let id = self.start(name, KIND_STRUCT, members.len(), size);
        for (name, member, at) in members {
            let name = self.name(name);
            self.words(&[name, *member, 8 * at]);
        }
        id
    }

    fn load(self) -> Result<OwnedFd, Errno> {
        let (types, names) = (self.types.len() as u32, self.names.len() as u32);
        let mut bytes = 0xeb9fu16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend([24, 0, types, types, names].iter().flat_map(|word: &u32| word.to_ne_bytes()));
        bytes.extend(self.types);
        bytes.extend(self.names);
        let attribute = Attribute::new().input(0, &bytes);
        attribute.u32(16, bytes.len() as u32).call(BTF_LOAD).map(own)
    }
}

impl Types {
    /// Types of the sizes that a specification says, with its special fields where it has them.
    pub(super) fn load(spec: &MapSpec) -> Result<Types, Errno> {
        let mut builder = Builder { names: vec![0], ..Builder::default() };
        let (word, byte) = (builder.int("int", 4), builder.int("char", 1));
        let key = if spec.key_size == 4 { word } else { builder.array(byte, word, spec.key_size) };
        let (mut members, mut at) = (Vec::new(), 0);
        let mut fields = spec.fields.clone();
        fields.sort_by_key(|field| field.offset);
        for field in &fields {
            if field.offset > at {
                members.push((format!("at{at}"), builder.array(byte, word, field.offset - at), at));
            }
            let name = match field.kind {
                FieldKind::SpinLock => "bpf_spin_lock",
                FieldKind::Timer => "bpf_timer",
                FieldKind::Workqueue => "bpf_wq",
                _ => return Err(Errno::EINVAL),
            };
            let inside = builder.array(word, word, field.size / 4);
            let inside = builder.structure(name, field.size, &[("inside".into(), inside, 0)]);
            members.push((format!("field{at}"), inside, field.offset));
            at = field.offset + field.size;
        }
        if spec.value_size > at {
            members.push((format!("at{at}"), builder.array(byte, word, spec.value_size - at), at));
        }
        let value = builder.structure("value", spec.value_size, &members);
        Ok(Types { descriptor: builder.load()?, key, value })
    }

    /// The same, in the attribute of `BPF_MAP_CREATE`.
    pub(super) fn add_to(&self, attribute: Attribute) -> Attribute {
        attribute.u32(48, self.descriptor.as_raw_fd() as u32).u32(52, self.key).u32(56, self.value)
    }
}

/// The types of a program's functions, loaded: all of them static, and `int` what they return.
#[derive(Debug)]
pub(super) struct Functions {
    pub(super) descriptor: OwnedFd,
    /// `struct bpf_func_info` of each.
    pub(super) infos: Vec<u8>,
}

impl Functions {
    /// Bytes of a `struct bpf_func_info`.
    pub(super) const INFO: u32 = 8;

    /// Functions that start at these slots.
    pub(super) fn load(starts: &[u32]) -> Result<Functions, Errno> {
        let mut builder = Builder { names: vec![0], ..Builder::default() };
        let int = builder.int("int", 4);
        let proto = builder.start("", KIND_FUNC_PROTO, 0, int);
        let mut infos = Vec::new();
        for start in starts {
            let function = builder.start(&format!("at{start}"), KIND_FUNC, 0, proto);
            infos.extend([*start, function].iter().flat_map(|word| word.to_ne_bytes()));
        }
        Ok(Functions { descriptor: builder.load()?, infos })
    }
}
