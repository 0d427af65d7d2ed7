//! Records that programs write for their readers: ring buffers and perf event arrays, a line of JSON each.
//!
//! A record is bytes; its type is the author's secret unless something in the object gives it away. What the user says
//! counts first (`--event-type`), then what the map's definition says, then what the object's types allow: a structure
//! of the record's length that is exported by a variable (`struct event *unused`, which generators of Go types ask
//! for), that is called an event, or that is the only one of this length and not the kernel's. With more than one
//! answer there is none: the record stays bytes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sandbpf::maps::MapType;
use sandbpf::object::Object;
use sandbpf::object::elf::{Btf, Kind, TypeId};
use serde_json::{Map, Value, json};

use crate::held::Held;
use crate::types;

/// The types of the records of an object's maps.
#[derive(Debug, Default)]
pub(crate) struct EventTypes<'o> {
    types: Option<&'o Btf>,
    /// By the name of the map.
    declared: HashMap<&'o str, TypeId>,
    /// For all other maps.
    chosen: Option<TypeId>,
    candidates: Vec<Candidate<'o>>,
}

/// A structure that a record may be.
#[derive(Debug)]
struct Candidate<'o> {
    name: &'o str,
    id: TypeId,
    size: u64,
    /// A variable of the object points to it.
    exported: bool,
}

impl<'o> EventTypes<'o> {
    /// What the object tells, and what the user says: `MAP=STRUCT`, or `STRUCT` for all maps.
    pub(crate) fn new(object: Option<&'o Object>, said: &'o [String]) -> Result<EventTypes<'o>, String> {
        let Some(object) = object else {
            return match said.is_empty() {
                true => Ok(EventTypes::default()),
                false => Err("types are those of an object file".into()),
            };
        };
        let candidates = object.btf().map(|types| candidates(object, types)).unwrap_or_default();
        let mut known =
            EventTypes { types: object.btf(), declared: HashMap::new(), chosen: None, candidates };
        for map in object.maps() {
            let composite = known.types.and_then(|types| types.strip(map.value_type));
            if let Some((_, Kind::Struct(_) | Kind::Union(_))) = composite {
                known.declared.insert(&map.name, map.value_type);
            }
        }
        for said in said {
            match said.split_once('=') {
                None => known.chosen = Some(known.named(said)?),
                Some((map, name)) => {
                    let map = event_map(object, map)?;
                    let id = known.named(name)?;
                    known.declared.insert(map, id);
                }
            }
        }
        // What is said for all maps counts more than what one declares, and less than what is said for that one.
        if let Some(chosen) = known.chosen {
            let said: BTreeSet<&str> =
                said.iter().filter_map(|said| said.split_once('=')).map(|said| said.0).collect();
            known.declared.retain(|map, _| said.contains(map));
            known.chosen = Some(chosen);
        }
        Ok(known)
    }

    /// The structure, union or type definition of this name.
    fn named(&self, name: &str) -> Result<TypeId, String> {
        let types = self.types.ok_or("the object has no types (BTF); compile it with -g")?;
        let plain = name.trim_start_matches("struct ").trim_start_matches("union ").trim();
        let is_fit = |kind: &Kind| matches!(kind, Kind::Struct(_) | Kind::Union(_) | Kind::Typedef(_));
        types.find(plain, is_fit).filter(|&id| types.size_of(id).is_some()).ok_or_else(|| {
            let mut names: Vec<&str> = self.candidates.iter().map(|candidate| candidate.name).collect();
            names.truncate(20);
            match names.is_empty() {
                true => format!(
                    "the object has no struct `{plain}`; a compiler keeps the types of variables, such as \
                     `struct {plain} *unused`"
                ),
                false => format!("the object has no struct `{plain}`; there are {}", names.join(", ")),
            }
        })
    }

    /// A record by its type: the map it was in, the type's name, the fields, and the bytes.
    fn show(&self, map: &str, cpu: Option<u32>, record: &[u8]) -> Value {
        let mut event = Map::from_iter([("map".into(), json!(map))]);
        event.extend(cpu.map(|cpu| ("cpu".into(), json!(cpu))));
        let known = self.types.and_then(|types| {
            let id = self.of(types, map, record.len() as u64)?;
            Some((types.name(id).to_string(), types::record(types, id, record)?))
        });
        if let Some((name, fields)) = known {
            event.insert("type".into(), json!(name));
            event.insert("fields".into(), fields);
        }
        event.insert("hex".into(), json!(hex::encode(record)));
        Value::Object(event)
    }

    /// The type of a record of this length.
    fn of(&self, types: &Btf, map: &str, len: u64) -> Option<TypeId> {
        if let Some(id) = self.declared.get(map).copied().or(self.chosen) {
            return Some(id);
        }
        let fits = |candidate: &&Candidate<'_>| candidate.size == len;
        let sized: Vec<&Candidate<'_>> = self.candidates.iter().filter(fits).collect();
        let is_event = |candidate: &Candidate<'_>| {
            let name = candidate.name.to_ascii_lowercase();
            name.contains("event") || name.contains("data_t")
        };
        // The author's word before a name, a name before mere size; a name decides between equals.
        let only = |all: &[&Candidate<'_>]| match all {
            [one] => Some(one.id),
            _ => None,
        };
        let exported: Vec<_> = sized.iter().copied().filter(|candidate| candidate.exported).collect();
        let pool = if exported.is_empty() { sized } else { exported };
        let events: Vec<_> = pool.iter().copied().filter(|candidate| is_event(candidate)).collect();
        only(&pool).or_else(|| only(&events)).filter(|&id| types.size_of(id).is_some())
    }
}

/// Who reads what programs write, run by run, so that buffers have room for the next.
#[derive(Debug)]
pub(crate) struct Readers<'j> {
    maps: Vec<&'j Held>,
    known: EventTypes<'j>,
    /// Where records are kept, if anybody wants them.
    records: Option<&'j RefCell<Vec<Value>>>,
}

impl<'j> Readers<'j> {
    /// Readers of these maps, as far as they are buffers.
    pub(crate) fn new(
        held: &'j [Held],
        known: EventTypes<'j>,
        records: Option<&'j RefCell<Vec<Value>>>,
    ) -> Readers<'j> {
        let is_read =
            |held: &&Held| matches!(held.map.map_type(), MapType::Ringbuf | MapType::PerfEventArray);
        Readers { maps: held.iter().filter(is_read).collect(), known, records }
    }

    /// Takes the records that were written since the last time.
    pub(crate) fn read(&self) {
        let mut records = self.records.map(RefCell::borrow_mut);
        for Held { name, map, .. } in &self.maps {
            if map.map_type() == MapType::Ringbuf {
                let _ = map.ring_consume(|record| {
                    if let Some(records) = &mut records {
                        records.push(self.known.show(name, None, record));
                    }
                });
                continue;
            }
            let (taken, lost) = map.perf_take().unwrap_or_default();
            if let Some(records) = &mut records {
                records.extend(taken.iter().map(|one| self.known.show(name, Some(one.cpu), &one.data)));
                records.extend((lost > 0).then(|| json!({ "map": name, "lost": lost })));
            }
        }
    }
}

/// The map of this name, which must have readers.
fn event_map<'o>(object: &'o Object, name: &str) -> Result<&'o str, String> {
    let has_readers = |map: &&sandbpf::object::MapDef| {
        matches!(MapType::from_number(map.map_type.0), Some(MapType::Ringbuf | MapType::PerfEventArray))
    };
    let maps: Vec<&str> = object.maps().iter().filter(has_readers).map(|map| map.name.as_str()).collect();
    maps.iter().copied().find(|map| *map == name).ok_or_else(|| match maps.is_empty() {
        true => format!("`{name}` is no ring buffer or perf event array of the object, which has none"),
        false => {
            format!(
                "`{name}` is no ring buffer or perf event array of the object; there are {}",
                maps.join(", ")
            )
        }
    })
}

/// The structures with names that are not the kernel's.
fn candidates<'o>(object: &Object, types: &'o Btf) -> Vec<Candidate<'o>> {
    let kernels = kernels(object, types);
    let exported: BTreeSet<TypeId> = types
        .iter()
        .filter_map(|(_, ty)| match ty.kind {
            Kind::Var { ty, .. } => pointee(types, ty),
            _ => None,
        })
        .collect();
    // One of each name: a structure that is described twice is one structure.
    let mut found = BTreeMap::new();
    for (id, _) in types.iter() {
        let Some((behind, Kind::Struct(composite))) = types.strip(id) else { continue };
        let name = match types.kind(id) {
            Some(Kind::Struct(_)) => types.name(id),
            // What is called by a type definition alone.
            Some(Kind::Typedef(_)) if types.name(behind).is_empty() => types.name(id),
            _ => continue,
        };
        if !name.is_empty() && !kernels.contains(&behind) {
            let exported = exported.contains(&behind);
            let size = u64::from(composite.size);
            let entry = found.entry((name, size)).or_insert(Candidate { name, id, size, exported });
            entry.exported |= exported;
        }
    }
    found.into_values().collect()
}

/// What is surely not the author's: contexts that programs are given, and what is adapted to the kernel's types.
fn kernels(object: &Object, types: &Btf) -> BTreeSet<TypeId> {
    let mut kernels: BTreeSet<TypeId> =
        object.core_types().filter_map(|id| Some(types.strip(id)?.0)).collect();
    for entry in object.entries() {
        let Some(id) = types.find(&entry.name, |kind| matches!(kind, Kind::Func { .. })) else { continue };
        let Some(&Kind::Func { proto, .. }) = types.kind(id) else { continue };
        if let Some(Kind::FuncProto { params, .. }) = types.kind(proto) {
            kernels.extend(params.iter().filter_map(|param| pointee(types, param.ty)));
        }
    }
    kernels
}

/// What a pointer points to.
fn pointee(types: &Btf, pointer: TypeId) -> Option<TypeId> {
    match types.strip(pointer)? {
        (_, &Kind::Ptr(to)) => Some(types.strip(to)?.0),
        _ => None,
    }
}
