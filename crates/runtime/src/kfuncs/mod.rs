//! Kernel functions: what programs call by the numbers of the [table](sandbpf_abi::kfuncs).
//!
//! Arguments are registers, as the kernel's functions find them after the verifier: what it fills in itself (the
//! parameters whose names end in `__ign` or `__prog`) is not looked at. A function without a body here means nothing
//! outside of a kernel: calling it is a trap that says so.

mod arenas;
mod control;
mod cpumasks;
mod dynptrs;
mod groups;
mod iterators;
mod lists;
mod network;
mod objects;
mod reference;
mod strings;
mod tasks;
mod tree;
mod work;

use std::sync::LazyLock;

use sandbpf_abi::kfuncs::{FIRST, all, numbered};
use sandbpf_isa::Pc;

use crate::Trap;
use crate::helpers::Body;

pub use reference::bodies;

/// The body of one function, by its name.
type Row = (&'static str, Body);

/// Declares bodies: a row is the function's name, the machine, names for the registers from `r1` on, and a body that
/// gives a [`HelperResult`](crate::HelperResult).
macro_rules! kfuncs {
    ($vis:vis static $table:ident; $( fn $name:ident($machine:ident $(, $arg:ident)*) $body:block )*) => {
        $vis static $table: &[super::Row] = &[$(
            (stringify!($name), {
                fn $name($machine: &mut $crate::Machine<'_>, raw: [u64; 5]) -> $crate::HelperResult {
                    let mut _raw = raw.into_iter();
                    $( let $arg = _raw.next().unwrap_or_default(); )*
                    $body
                }
                $name
            }),
        )*];
    };
}
use kfuncs;

/// All bodies.
fn rows() -> impl Iterator<Item = &'static Row> {
    let tables = [
        arenas::KFUNCS,
        control::KFUNCS,
        cpumasks::KFUNCS,
        dynptrs::KFUNCS,
        groups::KFUNCS,
        iterators::KFUNCS,
        lists::KFUNCS,
        network::KFUNCS,
        objects::KFUNCS,
        strings::KFUNCS,
        tasks::KFUNCS,
        tree::KFUNCS,
        work::KFUNCS,
    ];
    tables.into_iter().flatten()
}

/// How much of `r0` a function writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    /// All of it.
    Whole,
    /// The lower half, as C's `int` is returned: a negative number of 32 bits is a positive one of 64. Helpers are
    /// different, for they return `u64`.
    Half,
}

impl Returns {
    fn of(c_type: &str) -> Returns {
        match c_type {
            "int" | "u32" | "__u32" | "bool" => Returns::Half,
            _ => Returns::Whole,
        }
    }
}

/// Why a function is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It means nothing outside of a kernel.
    Meaningless(&'static str),
    /// No function has the number.
    Unknown,
}

impl Refused {
    pub(crate) fn at(self, pc: Pc) -> Trap {
        match self {
            Refused::Meaningless(name) => Trap::NoKfunc { pc, name },
            Refused::Unknown => Trap::Unresolved { pc },
        }
    }
}

/// The body of the function with this number.
pub(crate) fn body(number: i32) -> Result<(Body, Returns), Refused> {
    static BODIES: LazyLock<Vec<Option<(Body, Returns)>>> = LazyLock::new(|| {
        let body = |name| rows().find(|row| row.0 == name).map(|row| row.1);
        all().map(|(_, kfunc)| Some((body(kfunc.name)?, Returns::of(kfunc.ret)))).collect()
    });
    let place = number.checked_sub(FIRST).and_then(|place| usize::try_from(place).ok());
    match place.and_then(|place| BODIES.get(place)) {
        Some(&Some(body)) => Ok(body),
        Some(None) => Err(Refused::Meaningless(numbered(number).map_or("", |kfunc| kfunc.name))),
        None => Err(Refused::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn bodies_belong_to_rows_of_the_table() {
        let mut seen = BTreeSet::new();
        for (name, _) in super::rows() {
            assert!(sandbpf_abi::kfuncs::named(name).is_some(), "{name}");
            assert!(seen.insert(name), "{name} twice");
        }
    }
}
