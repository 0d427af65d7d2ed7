//! Helpers: functions of the host that programs call by number.
//!
//! A helper is declared once. Its Rust signature *is* its prototype: every argument type says what a
//! verifier must prove of it and how the body receives it.
//!
//! ```
//! use sandbpf_runtime::helpers::{Bytes, HelperSet, Scalar};
//!
//! sandbpf_runtime::helpers! {
//!     pub static MINE;
//!     /// Adds the bytes at `data` to `start`.
//!     1000 fn sum_bytes(machine, start: Scalar, data: Bytes) {
//!         let bytes = data.read(machine)?;
//!         Ok(bytes.iter().fold(start.0, |sum, &byte| sum + u64::from(byte)))
//!     }
//! }
//! let helpers = HelperSet::linux().with(MINE);
//! assert_eq!(helpers.get(1000).unwrap().spec().name, "sum_bytes");
//! ```

mod acts;
pub mod ancillary;
mod arg;
mod call;
mod checksum;
pub(crate) mod dynptr;
pub mod errno;
pub(crate) mod format;
mod map;
mod option;
mod output;
mod print;
mod probe;
mod redirect;
mod reference;
mod refused;
mod room;
mod route;
mod set;
mod skb;
mod socket;
mod sockmap;
mod storage;
mod task;
mod trace;
mod tunnel;
mod vlan;
mod walk;
mod world;
mod xdp;

pub use arg::{Arg, Bytes, Context, Out, Scalar};
pub use reference::{Backing, bodies};
pub use set::{Body, Helper, HelperSet, Plain};

/// Declares helpers: a `static` slice of [`Helper`]s.
///
/// A row is documentation, number, name, the machine, typed arguments ([`Arg`]), and a body that
/// gives a [`HelperResult`](crate::HelperResult). A row that does not name the machine gives a plain number instead: such a
/// helper sees nothing of the run but [`Scalar`]s, and machine code calls it as it would a C function.
///
/// ```
/// use sandbpf_runtime::helpers::{HelperSet, Scalar};
///
/// sandbpf_runtime::helpers! {
///     static MINE;
///     /// A number made of two.
///     1001 fn mix(a: Scalar, b: Scalar) -> u64 { a.0.rotate_left(7) ^ b.0 }
/// }
/// assert!(HelperSet::empty().with(MINE).get(1001).unwrap().as_plain().is_some());
/// ```
#[macro_export]
macro_rules! helpers {
    ($vis:vis static $table:ident; $( $(#[doc = $doc:literal])* $id:literal fn $name:ident($($params:tt)*) $(-> $ret:ident)? $body:block )*) => {
        $vis static $table: &[$crate::helpers::Helper] = &[$(
            $crate::helper!($id, $name, concat!($($doc),*), ($($params)*) $(-> $ret)? $body)
        ),*];
    };
}

/// A row of [`helpers!`](crate::helpers!).
#[doc(hidden)]
#[macro_export]
macro_rules! helper {
    ($id:literal, $name:ident, $doc:expr, ($($arg:ident : $Arg:ty),* $(,)?) -> u64 $body:block) => {
        $crate::helpers::Helper::of_numbers($crate::helper!(@spec $id, $name, $doc, $($Arg),*), {
            extern "C" fn $name(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
                let mut _raw = [a, b, c, d, e].into_iter();
                $( let $arg = <$Arg as $crate::helpers::Arg>::take(&mut _raw); )*
                $body
            }
            $name
        })
    };
    ($id:literal, $name:ident, $doc:expr, ($machine:ident $(, $arg:ident : $Arg:ty)* $(,)?) $body:block) => {
        $crate::helpers::Helper::new($crate::helper!(@spec $id, $name, $doc, $($Arg),*), {
            fn $name($machine: &mut $crate::Machine<'_>, raw: [u64; 5]) -> $crate::HelperResult {
                let mut _raw = raw.into_iter();
                $( let $arg = <$Arg as $crate::helpers::Arg>::take(&mut _raw); )*
                $body
            }
            $name
        })
    };
    (@spec $id:literal, $name:ident, $doc:expr, $($Arg:ty),*) => {
        $crate::abi::HelperSpec {
            id: $id,
            name: stringify!($name),
            doc: $doc,
            args: {
                const ARGS: &[$crate::abi::ArgSpec] = &$crate::helpers::concat_specs::<{ 0 $(+ <$Arg as $crate::helpers::Arg>::SPECS.len())* }>(&[$(<$Arg as $crate::helpers::Arg>::SPECS),*]);
                ARGS
            },
            ret: $crate::abi::RetSpec::Scalar,
            ..$crate::abi::HelperSpec::PLAIN
        }
    };
}

/// The specifications of all arguments in a row; for [`helpers!`](crate::helpers!).
#[doc(hidden)]
pub const fn concat_specs<const N: usize>(parts: &[&[sandbpf_abi::ArgSpec]]) -> [sandbpf_abi::ArgSpec; N] {
    let mut all = [sandbpf_abi::ArgSpec::Scalar; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[at] = parts[part][i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    all
}
