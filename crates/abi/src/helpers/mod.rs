//! The helpers: every function of Linux 6.18 that programs call by number, one row each.
//!
//! A number that means different signatures to different types of program has several rows: the plain
//! name for the commonest, a longer one for the others. Which of them a program has, [`Program`] says.
//!
//! [`Program`]: crate::Program

mod maps;
mod packets;
mod sockets;
mod system;
mod tracing;

pub use maps::*;
pub use packets::*;
pub use sockets::*;
pub use system::*;
pub use tracing::*;

use crate::HelperSpec;

/// Declares helpers: a row is documentation, the constant, number, name, arguments, result, and in
/// brackets the effects. Words for arguments, results and effects are those of [`crate::ArgSpec`],
/// [`crate::RetSpec`] and [`crate::Effect`].
macro_rules! table {
    ($( #[doc = $doc:literal] $NAME:ident = $id:literal $name:ident($($param:ident: $arg:expr),*) -> $ret:expr, [$($effect:ident),*]; )*) => {
        $(
            #[doc = $doc]
            pub static $NAME: &crate::HelperSpec = &{
                #[allow(unused_imports)]
                use crate::{ArgSpec::*, RetSpec};
                crate::HelperSpec {
                    id: $id,
                    name: crate::context::plain(stringify!($name)),
                    doc: $doc.trim_ascii(),
                    params: &[$( crate::context::plain(stringify!($param)) ),*],
                    args: &[$( $arg ),*],
                    ret: { use RetSpec::*; $ret },
                    effects: &[$( crate::Effect::$effect ),*],
                }
            };
        )*

        /// The rows of this file.
        pub(super) static ROWS: &[&crate::HelperSpec] = &[$( $NAME ),*];
    };
}
use table;

/// All rows; those of one family stand together, in the order of their numbers.
///
/// ```
/// let most = sandbpf_abi::helpers::all().map(|helper| helper.id).max();
/// assert_eq!(most, Some(sandbpf_abi::helpers::LAST));
/// ```
pub fn all() -> impl Iterator<Item = &'static HelperSpec> {
    [maps::ROWS, packets::ROWS, sockets::ROWS, system::ROWS, tracing::ROWS].into_iter().flatten().copied()
}

/// The rows with this number: none, one, or one for each signature.
///
/// ```
/// use sandbpf_abi::helpers;
/// assert_eq!(helpers::numbered(1).count(), 1);
/// assert_eq!(helpers::numbered(212).count(), 0);
/// ```
pub fn numbered(id: i32) -> impl Iterator<Item = &'static HelperSpec> {
    all().filter(move |helper| helper.id == id)
}

/// The highest number.
pub const LAST: i32 = 211;
