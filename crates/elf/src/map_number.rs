//! The type of a map as an object says it: a number, which may be newer than the table of types.

use std::fmt;

use sandbpf_abi::MapType;

/// The number of a map's type (`enum bpf_map_type`).
///
/// ```
/// use sandbpf_abi::MapType;
/// use sandbpf_elf::MapNumber;
/// let number = MapNumber(1);
/// assert_eq!((number.known(), number.to_string()), (Some(MapType::Hash), "hash".into()));
/// assert!(number == MapType::Hash);
/// // Linux 6.18 knows 33 types.
/// assert_eq!((MapNumber(34).known(), MapNumber(34).to_string()), (None, "34".into()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MapNumber(pub u32);

impl MapNumber {
    /// The type, if Linux 6.18 has it.
    pub fn known(self) -> Option<MapType> {
        MapType::from_number(self.0)
    }
}

impl From<MapType> for MapNumber {
    fn from(map_type: MapType) -> Self {
        MapNumber(map_type.number())
    }
}

impl PartialEq<MapType> for MapNumber {
    fn eq(&self, other: &MapType) -> bool {
        self.known() == Some(*other)
    }
}

impl fmt::Display for MapNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(map_type) => map_type.fmt(f),
            None => self.0.fmt(f),
        }
    }
}
