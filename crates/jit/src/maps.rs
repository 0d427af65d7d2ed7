//! Maps that a program names, as far as machine code goes to them without asking who they are.
//!
//! Whoever loads a program knows the world that it will run in, and so which map each number means. Machine code holds the
//! addresses of what it needs of them: they are true as long as the [`Maps`] are, which the code keeps. It runs in that world
//! only, with Linux's own helpers for maps; where a run has others ([`Maps::fit`]), code that asks runs instead.

use std::sync::Arc;

use sandbpf_isa::{Imm64, Insn, Program};
use sandbpf_runtime::maps::flags::{RDONLY_PROG, WRONLY_PROG};
use sandbpf_runtime::maps::{Flat, Homes, Map, MapType};
use sandbpf_runtime::{Machine, World, address, helpers::HelperSet};

/// The helpers that machine code knows, by their numbers.
pub(crate) const LOOKUP: i32 = 1;
pub(crate) const UPDATE: i32 = 2;
pub(crate) const DELETE: i32 = 3;

/// The longest key that machine code compares, in bytes.
const LONGEST: u32 = 64;

/// The maps of one program.
#[derive(Clone, Debug)]
pub struct Maps {
    /// The world whose maps they are.
    world: u64,
    known: Arc<[Known]>,
    /// For each map of the verifier's, which of the known ones it is.
    of_facts: Vec<Option<usize>>,
    /// Whether that relies on all helpers to be Linux's: values and pointers to them come from some, and go through others.
    relies: bool,
}

/// A map.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) map: Arc<Map>,
    /// Its number in the world.
    number: u32,
    /// The address of offset 0 of its values.
    pub(crate) values: u64,
    /// Where its values are, if they lie in one piece.
    pub(crate) flat: Option<Flat>,
    /// Where its elements are, if machine code can find them.
    pub(crate) homes: Option<Homes>,
    /// What code of plans that looks keys up loads.
    pub(crate) table: Table,
}

/// Numbers of a hash table, where machine code finds them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Table {
    /// What keys are hashed with.
    pub(crate) secrets: [u64; 2],
    /// The host's addresses of the groups, …
    pub(crate) groups: u64,
    /// … of their links, …
    pub(crate) links: u64,
    /// … and of the first record.
    pub(crate) records: u64,
}

impl Maps {
    /// The maps that a program names, in this world. `of_facts` says which of the world's maps each of the verifier's is: only
    /// those of which everything is as the verifier took it to be.
    ///
    /// Nothing where the helpers for maps are not Linux's: what machine code does by itself is what those do.
    pub fn new(
        program: &Program,
        world: &World,
        helpers: &HelperSet,
        of_facts: &[Option<u32>],
    ) -> Option<Maps> {
        if !helpers.are_for_maps() {
            return None;
        }
        let relies = !of_facts.is_empty() && helpers.are_all_linux();
        let named = program.insns().iter().filter_map(|insn| match *insn {
            Insn::LoadImm { value: Imm64::Number(number), .. } => {
                address::as_map(number).or(address::as_map_value(number).map(|(map, _)| map))
            }
            _ => None,
        });
        let mut numbers: Vec<u32> = named.chain(of_facts.iter().copied().flatten()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let known: Arc<[Known]> =
            numbers.into_iter().filter_map(|number| Some(Known::new(number, world.map(number)?))).collect();
        let place = |number: u32| known.binary_search_by_key(&number, |known| known.number).ok();
        let of_facts = of_facts.iter().filter(|_| relies).map(|number| number.and_then(place)).collect();
        (!known.is_empty()).then_some(Maps { world: world.id(), known, of_facts, relies })
    }

    /// Whether this is the world, and these are the helpers.
    #[inline]
    pub(crate) fn fit(&self, machine: &Machine<'_>) -> bool {
        let helpers = machine.helpers();
        machine.world().is_some_and(|world| world.id() == self.world)
            && helpers.are_for_maps()
            && (!self.relies || helpers.are_all_linux())
    }

    /// Whether facts about values are relied upon.
    pub(crate) fn rely_on_facts(&self) -> bool {
        self.relies
    }

    /// Whether the values of each that has some lie in one piece: what is elsewhere has to be looked for at each access.
    pub(crate) fn are_near(&self) -> bool {
        self.known.iter().all(|known| !known.has_values() || known.flat.is_some())
    }

    /// The map that a pointer points to.
    pub(crate) fn at(&self, pointer: u64) -> Option<usize> {
        let number = address::as_map(pointer)?;
        self.known.binary_search_by_key(&number, |known| known.number).ok()
    }

    /// The map that has this number in facts.
    pub(crate) fn of_fact(&self, number: u16) -> Option<usize> {
        self.of_facts.get(usize::from(number)).copied().flatten()
    }

    pub(crate) fn get(&self, at: usize) -> &Known {
        &self.known[at]
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Known] {
        &self.known
    }
}

impl Known {
    fn new(number: u32, map: &Arc<Map>) -> Known {
        let (flat, homes) = (map.flat(), map.homes());
        let table = match (flat, homes) {
            (Some(flat), Some(Homes { secrets, groups, links, .. })) => {
                Table { secrets, groups, links, records: flat.start }
            }
            _ => Table::default(),
        };
        let values = address::map_value(number, 0);
        Known { map: Arc::clone(map), number, values, flat, homes, table }
    }

    /// What programs have as a pointer to it.
    pub(crate) fn pointer(&self) -> u64 {
        address::map(self.number)
    }

    /// Bytes of a key.
    pub(crate) fn key_size(&self) -> u32 {
        self.map.spec().key_size
    }

    /// Bytes of a value.
    pub(crate) fn value_size(&self) -> u32 {
        self.map.spec().value_size
    }

    /// Whether a lookup finds a value of this map, whichever way.
    pub(crate) fn has_values(&self) -> bool {
        use MapType::*;
        matches!(
            self.map.map_type(),
            Array | PercpuArray | Hash | PercpuHash | LruHash | LruPercpuHash | LpmTrie
        )
    }

    /// Whether there is a value for each processor.
    pub(crate) fn is_per_cpu(&self) -> bool {
        self.map.map_type().is_per_cpu()
    }

    /// How many entries it has and where they are, if it is an array and a multiplication tells where.
    pub(crate) fn array(&self) -> Option<(u32, Flat)> {
        let flat = self.near()?;
        let is_array = matches!(self.map.map_type(), MapType::Array | MapType::PercpuArray);
        is_array.then_some((self.map.spec().max_entries, flat))
    }

    /// Where elements and values are, if it is a hash table and machine code can find them.
    pub(crate) fn hash(&self) -> Option<(Homes, Flat)> {
        let (homes, near) = (self.homes?, self.near()?);
        // The first places of all groups have to fit an instruction, four times.
        let row = near.stride.checked_mul(homes.count.into())?;
        (row < 1 << 28).then_some((homes, near))
    }

    /// Whether machine code looks keys up by itself, and asks only where that tells nothing.
    pub(crate) fn is_looked_up(&self) -> bool {
        self.hash().is_some() && self.key_size() <= LONGEST
    }

    /// Where values are, if distances between them fit an instruction.
    fn near(&self) -> Option<Flat> {
        self.flat.filter(|flat| i32::try_from(flat.stride).is_ok() && i32::try_from(flat.copy).is_ok())
    }

    /// What is to be added to the address of a value to have it for the host, if all values lie in one piece.
    pub(crate) fn bias(&self) -> Option<u64> {
        Some(self.flat?.start.wrapping_sub(self.values))
    }

    /// How many bytes of a value programs may read, and how many they may write.
    pub(crate) fn rights(&self) -> (u32, u32) {
        let flags = self.map.spec().map_flags;
        let bytes = |refused: u32| if flags & refused == 0 { self.value_size() } else { 0 };
        (bytes(WRONLY_PROG), bytes(RDONLY_PROG))
    }
}
