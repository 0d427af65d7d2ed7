//! The maps of a program or an object, by name and by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::MapType;
use crate::errno::Errno;
use crate::map::{Environment, Map};
use crate::spec::MapSpec;
use crate::typed::View;

/// Why a map cannot be had as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// There is none of this name.
    #[error("there is no map `{0}`")]
    Absent(String),
    /// It has another type.
    #[error("map `{name}` is of type {found}, not {expected}")]
    Type {
        /// The map.
        name: String,
        /// What was asked for.
        expected: &'static str,
        /// What it is.
        found: MapType,
    },
    /// Its keys or values have another size.
    #[error("the {what} of map `{name}` has {found} bytes, not {expected}")]
    Size {
        /// The map.
        name: String,
        /// Key or value.
        what: &'static str,
        /// The bytes of the Rust type.
        expected: usize,
        /// What the map has.
        found: usize,
    },
    /// A map of this name is there already.
    #[error("there is a map `{0}` already")]
    Exists(String),
    /// Linux would not make it.
    #[error("map `{name}` of type {map_type} is refused: {errno}")]
    Refused {
        /// The map.
        name: String,
        /// Its type.
        map_type: MapType,
        /// What creating it answers.
        errno: Errno,
    },
}

/// Maps by name and by id.
#[derive(Clone, Debug, Default)]
pub struct MapTable {
    environment: Environment,
    names: BTreeMap<String, Arc<Map>>,
    ids: BTreeMap<u32, Arc<Map>>,
}

impl MapTable {
    /// No maps yet; what [`MapTable::create`] makes is made in this environment.
    pub fn new(environment: Environment) -> Self {
        MapTable { environment, ..MapTable::default() }
    }

    /// Makes a map and keeps it under its name.
    pub fn create(&mut self, spec: MapSpec) -> Result<Arc<Map>, MapError> {
        let (name, map_type) = (spec.name.clone(), spec.map_type);
        if self.names.contains_key(&name) {
            return Err(MapError::Exists(name));
        }
        let refused = |errno| MapError::Refused { name: name.clone(), map_type, errno };
        let map = Map::create(spec, &self.environment).map_err(refused)?;
        self.insert(&name, map.clone());
        Ok(map)
    }

    /// Keeps a map under a name, in place of what was there.
    pub fn insert(&mut self, name: &str, map: Arc<Map>) -> Option<Arc<Map>> {
        self.ids.insert(map.id(), map.clone());
        let old = self.names.insert(name.into(), map);
        if let Some(old) = old.as_ref().filter(|old| !self.names.values().any(|map| map.id() == old.id())) {
            self.ids.remove(&old.id());
        }
        old
    }

    /// The map of this name.
    pub fn map(&self, name: &str) -> Option<&Arc<Map>> {
        self.names.get(name)
    }

    /// The map with this id.
    pub fn by_id(&self, id: u32) -> Option<&Arc<Map>> {
        self.ids.get(&id)
    }

    /// A typed view of the map of this name.
    pub fn get<V: View>(&self, name: &str) -> Result<V, MapError> {
        let map = self.map(name).ok_or_else(|| MapError::Absent(name.into()))?;
        V::of(map.clone(), name)
    }

    /// All maps with their names, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Map>)> {
        self.names.iter().map(|(name, map)| (name.as_str(), map))
    }

    /// What maps are made in.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}
