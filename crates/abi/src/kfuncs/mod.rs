//! The kernel functions of Linux 6.18 that programs may call, one row each, one file a family.
//!
//! Prototypes and names of parameters are those of the kernel's own types; flags and sets are those that it registers
//! the functions with (`BTF_ID_FLAGS`, `register_btf_kfunc_id_set`).

mod control;
mod cpumasks;
mod dynptrs;
mod iterators;
mod network;
mod objects;
mod strings;
mod tasks;

use crate::KfuncSpec;

/// The number of the first row. No kernel has so many types, so no number of a kernel's type is one of ours.
pub const FIRST: i32 = 0x0100_0000;

/// All rows with their numbers; those of one family stand together.
///
/// ```
/// use sandbpf_abi::{KfuncFlag, kfuncs};
/// let iterators = kfuncs::all().filter(|(_, kfunc)| kfunc.has(KfuncFlag::IterNew)).count();
/// assert_eq!(iterators, 8);
/// ```
pub fn all() -> impl Iterator<Item = (i32, &'static KfuncSpec)> {
    let rows = [
        objects::ROWS,
        control::ROWS,
        iterators::ROWS,
        dynptrs::ROWS,
        strings::ROWS,
        cpumasks::ROWS,
        tasks::ROWS,
        network::ROWS,
    ];
    (FIRST..).zip(rows.into_iter().flatten())
}

/// The row with this number.
///
/// ```
/// use sandbpf_abi::kfuncs;
/// let (number, throw) = kfuncs::named("bpf_throw").unwrap();
/// assert_eq!(kfuncs::numbered(number), Some(throw));
/// assert_eq!(kfuncs::numbered(1234), None);
/// ```
pub fn numbered(number: i32) -> Option<&'static KfuncSpec> {
    let place = usize::try_from(number.checked_sub(FIRST)?).ok()?;
    all().nth(place).map(|(_, kfunc)| kfunc)
}

/// The row with this name, and its number.
pub fn named(name: &str) -> Option<(i32, &'static KfuncSpec)> {
    all().find(|(_, kfunc)| kfunc.name == name)
}
