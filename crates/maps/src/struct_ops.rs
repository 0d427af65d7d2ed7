//! The only value of a `struct_ops` map: a structure behind a word that says what became of it
//! (`kernel/bpf/bpf_struct_ops.c`).
//!
//! Nobody calls the functions of the structure here: registering it is only remembered.

use crate::errno::Errno;
use crate::values::Values;

/// Where the state is in `struct bpf_struct_ops_common_value`, which the structure follows.
const STATE: usize = 4;
const COMMON: usize = 8;

const INIT: u64 = 0;
const IN_USE: u64 = 1;
/// A link will register it.
const READY: u64 = 3;

/// The structure and its state.
#[derive(Debug)]
pub(crate) struct StructOps {
    pub(crate) values: Values,
    /// Whether links register it (`BPF_F_LINK`).
    linked: bool,
}

impl StructOps {
    pub(crate) fn new(values: Values, linked: bool) -> Self {
        StructOps { values, linked }
    }

    /// Puts the structure in, once; what stands before it must be zero.
    pub(crate) fn update(&self, index: u32, value: &[u8], flags: u64) -> Result<(), Errno> {
        match () {
            () if flags != 0 => return Err(Errno::EINVAL),
            () if index != 0 => return Err(Errno::E2BIG),
            () if value.iter().take(COMMON).any(|&byte| byte != 0) => return Err(Errno::EINVAL),
            () => {}
        }
        let state = if self.linked { READY } else { IN_USE };
        let claim = |old: u64| if old == INIT { state } else { old };
        if self.values.touch(0)?.update(STATE, 4, claim) != Some(INIT) {
            return Err(Errno::EBUSY);
        }
        let mut value = value.to_vec();
        if let Some(word) = value.get_mut(STATE..STATE + 4) {
            word.copy_from_slice(&(state as u32).to_ne_bytes());
        }
        self.values.write(0, 0, &value)
    }

    /// Takes the structure out of use; a link does that to its own.
    pub(crate) fn delete(&self) -> Result<(), Errno> {
        if self.linked {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.values.touch(0)?.load(STATE, 4) {
            Some(IN_USE) => self.values.clear(0, 0),
            _ => Err(Errno::ENOENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags;
    use crate::{Environment, Map, MapSpec, MapType};

    #[test]
    fn a_structure_comes_once_and_goes() {
        for linked in [false, true] {
            let bits = if linked { flags::LINK } else { 0 };
            let mut spec = MapSpec::new(MapType::StructOps, 4, 24, 1).with_flags(bits);
            spec.struct_value = Some(24);
            let map = Map::create(spec, &Environment::default()).unwrap();
            let (user, key) = (map.user(), [0; 4]);
            let value = [[0; 8], [7; 8], [9; 8]].concat();
            assert_eq!(user.update(&key, &[1; 24], 0), Err(Errno::EINVAL));
            assert_eq!(user.lookup(&key, 0), Ok(vec![0; 24]));
            assert_eq!(user.update(&key, &value, 0), Ok(()));
            assert_eq!(user.update(&key, &value, 0), Err(Errno::EBUSY));
            let state = if linked { READY } else { IN_USE } as u8;
            assert_eq!(user.lookup(&key, 0).unwrap()[..9], [0, 0, 0, 0, state, 0, 0, 0, 7]);
            let gone = if linked { Err(Errno::EOPNOTSUPP) } else { Ok(()) };
            assert_eq!(user.delete(&key), gone);
        }
    }
}
