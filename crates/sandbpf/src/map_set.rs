//! Maps: what programs keep between runs, and share with each other and with the embedder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use sandbpf_isa::{self as isa, Imm64, MapRef};
use sandbpf_maps::flags::NO_USER_CONV;
use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, Object, typed};
use sandbpf_runtime::later::CodeId;
use sandbpf_runtime::{World, address};

use crate::image::Image;
use crate::{AnyProgram, Kind, Program};

/// Maps by name and by number. Clones are the same maps.
///
/// ```
/// use sandbpf::maps::{MapSpec, MapType};
/// use sandbpf::{Buffer, Loader, Maps, Program};
/// let maps = Maps::new();
/// let counts = maps.create(MapSpec::new(MapType::Array, 4, 8, 1).with_name("counts"))?;
/// let program: Program<Buffer> = Loader::new().maps(&maps).load(
///     "*(u32 *)(r10 - 4) = 0
///      r1 = map[fd:0]
///      r2 = r10
///      r2 += -4
///      call 1
///      if r0 == 0 goto end
///      r1 = 1
///      lock *(u64 *)(r0 + 0) += r1
///      r0 = 0
///      end: exit",
/// )?;
/// program.run(&[])?;
/// program.run(&[])?;
/// let place = counts.lookup(&0u32.to_ne_bytes(), 0).unwrap();
/// let (bytes, at, _) = counts.bytes(place).unwrap();
/// assert_eq!(bytes.load(at, 8), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Maps {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    world: World,
    names: RwLock<HashMap<String, u32>>,
    /// The maps that programs name by a number of their loader's, such as a file descriptor.
    descriptors: RwLock<HashMap<i32, u32>>,
    environment: Environment,
    /// Programs whose callbacks may run later.
    images: Mutex<Vec<Weak<Image>>>,
}

/// Why there is no such map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// Linux would not create it.
    #[error("map `{name}` ({map_type}): {errno}")]
    Create {
        /// Its name.
        name: String,
        /// Its type.
        map_type: &'static str,
        /// What `bpf(2)` would answer.
        errno: Errno,
    },
    /// There are too many.
    #[error(transparent)]
    TooMany(#[from] sandbpf_runtime::TooManyMaps),
    /// It is not what the view is of.
    #[error(transparent)]
    View(#[from] sandbpf_maps::MapError),
    /// None has this name.
    #[error("there is no map `{0}`")]
    Unknown(String),
    /// The map does not take it.
    #[error("map `{name}`: {errno}")]
    Set {
        /// Its name.
        name: String,
        /// What `bpf(2)` would answer.
        errno: Errno,
    },
}

impl Default for Maps {
    fn default() -> Self {
        Maps::new()
    }
}

impl Maps {
    /// None yet; one CPU.
    pub fn new() -> Maps {
        Maps::with_environment(Environment::default())
    }

    /// None yet, for so many CPUs, with so much memory for each.
    pub fn with_environment(environment: Environment) -> Maps {
        let world = World::new(environment.cpus);
        Maps { inner: Arc::new(Inner { environment, world, ..Inner::default() }) }
    }

    /// How many CPUs there are.
    pub fn processors(&self) -> u32 {
        self.inner.environment.cpus
    }

    /// Creates a map, if Linux would. Programs name it by the number of maps that were there before.
    pub fn create(&self, spec: MapSpec) -> Result<Arc<Map>, MapError> {
        let (name, map_type) = (spec.name.clone(), spec.map_type.name());
        let mut spec = spec.with_name(&kernel_name(&name));
        if let Some(inner) = &mut spec.inner {
            inner.name = kernel_name(&inner.name);
        }
        let map = Map::create(spec, &self.inner.environment).map_err(|errno| MapError::Create {
            name: name.clone(),
            map_type,
            errno,
        })?;
        let number = self.inner.world.add_map(Arc::clone(&map))?;
        if !name.is_empty() {
            let mut names = self.inner.names.write().unwrap_or_else(PoisonError::into_inner);
            names.entry(name).or_insert(number);
        }
        Ok(map)
    }

    /// Creates a map that programs name by this number, whatever maps there are: for code that a loader left its own
    /// numbers in, such as file descriptors.
    ///
    /// ```
    /// use sandbpf::maps::{MapSpec, MapType};
    /// use sandbpf::{Buffer, Loader, Maps, Program};
    /// let maps = Maps::new();
    /// maps.create_as(17, MapSpec::new(MapType::Hash, 4, 8, 16))?;
    /// let lookup = "*(u32 *)(r10 - 4) = 0\nr1 = map[fd:17]\nr2 = r10\nr2 += -4\ncall 1\nexit";
    /// let program: Program<Buffer> = Loader::new().maps(&maps).load(lookup)?;
    /// assert_eq!(program.run(&[])?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_as(&self, descriptor: i32, spec: MapSpec) -> Result<Arc<Map>, MapError> {
        let map = self.create(spec)?;
        let number = (0..self.inner.world.maps())
            .rev()
            .find(|&number| self.at(number).is_some_and(|other| Arc::ptr_eq(other, &map)));
        let mut descriptors = self.inner.descriptors.write().unwrap_or_else(PoisonError::into_inner);
        descriptors.extend(number.map(|number| (descriptor, number)));
        Ok(map)
    }

    /// Whether programs name maps by numbers of their loader's.
    #[cfg(feature = "object")]
    pub(crate) fn has_descriptors(&self) -> bool {
        !self.inner.descriptors.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The map with this number.
    pub fn at(&self, number: u32) -> Option<&Arc<Map>> {
        self.inner.world.map(number)
    }

    /// The map with this name.
    pub fn named(&self, name: &str) -> Result<&Arc<Map>, MapError> {
        let names = self.inner.names.read().unwrap_or_else(PoisonError::into_inner);
        let number = names.get(name).copied();
        number.and_then(|number| self.at(number)).ok_or_else(|| MapError::Unknown(name.into()))
    }

    /// The map with this name, as a typed view.
    ///
    /// ```
    /// use sandbpf::Maps;
    /// use sandbpf::maps::{MapSpec, MapType, typed};
    /// let maps = Maps::new();
    /// maps.create(MapSpec::new(MapType::Hash, 4, 8, 16).with_name("opens"))?;
    /// let opens = maps.get::<typed::HashMap<u32, u64>>("opens")?;
    /// opens.insert(7, 1)?;
    /// assert_eq!(opens.get(7)?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get<V: typed::View>(&self, name: &str) -> Result<V, MapError> {
        Ok(V::of(Arc::clone(self.named(name)?), name)?)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Map>> {
        (0..self.inner.world.maps()).filter_map(|number| self.at(number))
    }

    /// Puts a program into an array of programs, for tail calls.
    pub fn set_program<K: Kind>(&self, map: &Map, index: u32, program: &Program<K>) -> Result<(), MapError> {
        self.set_code(map, index, Arc::clone(&program.image.code))
    }

    /// [`Maps::set_program`], for a program whose kind is known only at run time.
    pub fn set_any(&self, map: &Map, index: u32, program: &AnyProgram) -> Result<(), MapError> {
        self.set_code(map, index, Arc::clone(&program.image.code))
    }

    pub(crate) fn set_code(
        &self,
        map: &Map,
        index: u32,
        code: Arc<dyn sandbpf_runtime::Execute>,
    ) -> Result<(), MapError> {
        let number = self.inner.world.add_program(code);
        map.set_object(&index.to_ne_bytes(), Object::Program(number), 0)
            .map_err(|errno| MapError::Set { name: map.spec().name.clone(), errno })
    }

    /// Says how long objects of a type of the program are, for `bpf_obj_new`: by the number of the type, as the program
    /// names it.
    pub fn set_object_type(&self, number: u32, size: u32) {
        self.inner.world.heap().set_type(number.into(), size);
    }

    /// Keeps in mind that a program uses these maps.
    pub(crate) fn register(&self, image: &Arc<Image>) {
        let mut images = self.inner.images.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone are forgotten before the list grows.
        if images.len() == images.capacity() {
            images.retain(|image| image.strong_count() > 0);
        }
        images.push(Arc::downgrade(image));
    }

    /// The program that this code belongs to, if somebody still has it.
    pub(crate) fn image(&self, code: CodeId) -> Option<Arc<Image>> {
        let images = self.inner.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.iter().filter_map(Weak::upgrade).find(|image| CodeId::of(&*image.code) == code)
    }

    pub(crate) fn world(&self) -> &World {
        &self.inner.world
    }

    /// The map that an instruction of a program names.
    pub fn named_by(&self, reference: MapRef) -> Option<&Arc<Map>> {
        self.at(self.number_of(reference)?)
    }

    pub(crate) fn number_of(&self, reference: MapRef) -> Option<u32> {
        let descriptors = self.inner.descriptors.read().unwrap_or_else(PoisonError::into_inner);
        match reference {
            MapRef::Fd(number) if !descriptors.is_empty() => descriptors.get(&number).copied(),
            MapRef::Fd(number) | MapRef::Index(number) => u32::try_from(number).ok(),
        }
    }

    /// The arena that a program's pointers are into: the first that it names, and a verified program names only one.
    pub(crate) fn arena_of(&self, program: &isa::Program) -> Option<isa::Arena> {
        program.insns().iter().find_map(|insn| {
            let isa::Insn::LoadImm { value: Imm64::Map(map) | Imm64::MapValue(map, _), .. } = *insn else {
                return None;
            };
            let number = self.number_of(map)?;
            let map = self.at(number).filter(|map| map.map_type() == MapType::Arena)?;
            let converts = map.spec().map_flags & NO_USER_CONV == 0;
            Some(isa::Arena { map: number, start: map.arena_start(), converts })
        })
    }

    /// What a program loads where it names a map or a place in one.
    pub(crate) fn number(&self, value: Imm64) -> Option<u64> {
        let number = |map| self.number_of(map);
        match value {
            Imm64::Map(map) => number(map).filter(|&number| self.at(number).is_some()).map(address::map),
            Imm64::MapValue(map, at) => {
                let number = number(map)?;
                if let Some(arena) = self.at(number).filter(|map| map.map_type() == MapType::Arena) {
                    // A number to the program, who casts it before it goes there (`arena_map_direct_value_addr`).
                    let inside = u64::from(at) <= arena.arena_bytes() && at < MAX_VALUE_OFFSET;
                    return inside.then(|| arena.arena_start().wrapping_add(at.into()));
                }
                let place = self.at(number)?.direct(at).ok()?;
                Some(address::map_value(number, place))
            }
            Imm64::Number(_) | Imm64::Variable { .. } | Imm64::Function(_) => None,
        }
    }
}

/// Offsets into values are smaller (`BPF_MAX_VAR_OFF`).
const MAX_VALUE_OFFSET: u32 = 1 << 29;

/// The name as loaders give it to the kernel: 15 bytes, letters, digits, `_` and `.`.
fn kernel_name(name: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
    name.chars().take(15).map(known).collect()
}
