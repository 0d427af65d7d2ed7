//! The functions beside the programs, from a library that the build compiles without vectors (`build.rs`).

use std::path::Path;

#[cfg(unix)]
use crate::library::{Foreign, Library};
use crate::rounds::Subject;

/// Where the library is, if it could be made.
const LIBRARY: Option<&str> = option_env!("SANDBPF_SCALAR_LIBRARY");

/// A function by its name in [`native`](crate::native).
#[cfg(unix)]
pub(crate) fn function(name: &str, memory: Vec<u8>) -> Option<Box<dyn Subject>> {
    let function = Library::open(Path::new(LIBRARY?))?.function(&format!("scalar_{name}"))?;
    Some(Box::new(Foreign::new(function, memory)))
}

/// A function by its name; there is no library here.
#[cfg(not(unix))]
pub(crate) fn function(_name: &str, _memory: Vec<u8>) -> Option<Box<dyn Subject>> {
    None
}
