//! Global variables by name: read before loading, and set, as a loader does with what it opened.

use crate::ObjectError;
use crate::btf::{Kind, TypeId};
use crate::maps::MapKind;
use crate::object::{Object, OwnSymbol};

/// Largest section of zeros that is written out because a variable in it is set.
const MAX_BYTES: usize = 64 << 20;

/// A global variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global {
    /// The index of its map.
    pub map: usize,
    /// Where in the map's value it begins.
    pub offset: usize,
    /// Its bytes.
    pub size: usize,
    /// Its type, if the object tells.
    pub ty: Option<TypeId>,
}

impl Object {
    /// Where a global variable is: by the types if they list it, by its symbol if not.
    pub fn global(&self, name: &str) -> Option<Global> {
        let typed = self.btf().and_then(|btf| {
            let id = btf.find(name, |kind| matches!(kind, Kind::Var { linkage: 0 | 1, .. }))?;
            match btf.kind(id) {
                Some(&Kind::Var { ty, .. }) => Some((id, ty, usize::try_from(btf.size_of(ty)?).ok()?)),
                _ => None,
            }
        });
        let is_variable = |symbol: &&OwnSymbol| {
            self.data_at.contains_key(&symbol.section) && !symbol.is_section && symbol.name == name
        };
        let symbol = self.symbols.iter().find(is_variable);
        let (map, offset, size) = match symbol {
            Some(symbol) => {
                let map = *self.data_at.get(&symbol.section)?;
                let size = typed.map(|(_, _, size)| size).or(usize::try_from(symbol.size).ok())?;
                (map, usize::try_from(symbol.value).ok()?, size)
            }
            // Configuration values have no symbol in a section.
            None => {
                let (id, _, size) = typed?;
                let map = self.maps().iter().position(|map| map.kind == MapKind::Kconfig)?;
                match self.btf()?.kind(self.maps()[map].value_type)? {
                    Kind::DataSec { vars, .. } => {
                        (map, vars.iter().find(|var| var.var == id)?.offset as usize, size)
                    }
                    _ => return None,
                }
            }
        };
        let end = offset.checked_add(size)?;
        let inside = end <= self.maps()[map].data_size();
        inside.then_some(Global { map, offset, size, ty: typed.map(|(_, ty, _)| ty) })
    }

    /// The bytes that a global variable has when its program is loaded; none if there is no such variable.
    pub fn global_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let global = self.global(name)?;
        match &self.maps()[global.map].initial {
            Some(bytes) => bytes.get(global.offset..global.offset + global.size).map(<[u8]>::to_vec),
            None => Some(vec![0; global.size]),
        }
    }

    /// Sets a global variable, a constant too: what its program finds when it is loaded.
    ///
    /// ```
    /// use sandbpf_elf::Object;
    /// # let file = include_bytes!("../tests/data/counter.o");
    /// let mut object = Object::parse(file)?;
    /// object.set_global("limit", &7u32.to_le_bytes())?;
    /// assert_eq!(object.global_bytes("limit").unwrap(), [7, 0, 0, 0]);
    /// # Ok::<(), sandbpf_elf::ObjectError>(())
    /// ```
    pub fn set_global(&mut self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let fail = |what: String| Err(ObjectError::global(name, what));
        let Some(global) = self.global(name) else { return fail("the object has no such variable".into()) };
        if bytes.len() != global.size {
            return fail(format!("expected {} bytes, found {}", global.size, bytes.len()));
        }
        let map = &mut self.maps_mut()[global.map];
        let size = map.data_size();
        if map.initial.is_none() && size > MAX_BYTES {
            return fail(format!("its section has {size} bytes, more than {MAX_BYTES}"));
        }
        let value = map.initial.get_or_insert_with(|| vec![0; size]);
        match value.get_mut(global.offset..global.offset + global.size) {
            Some(place) => place.copy_from_slice(bytes),
            None => return fail("it lies outside its section".into()),
        }
        Ok(())
    }
}
