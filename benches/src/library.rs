//! A shared library of functions that compute what programs do, called as `u64 f(u8 *memory, u64 length)`.
//!
//! The library is trusted: it is loaded into this process and its functions may do as they please.

use std::ffi::{CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::path::Path;
use std::ptr::NonNull;

use crate::rounds::Subject;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// All names are looked up when the library is opened (`RTLD_NOW`).
const NOW: c_int = 2;

/// A function of a library.
pub type Function = unsafe extern "C" fn(*mut u8, u64) -> u64;

/// A library that stays loaded until the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    handle: NonNull<c_void>,
}

impl Library {
    /// Loads a library; `None` if that fails.
    pub fn open(path: &Path) -> Option<Library> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        // SAFETY: the path is a string that ends in 0; who names a library here trusts what it does as it is loaded.
        let handle = unsafe { dlopen(path.as_ptr(), NOW) };
        NonNull::new(handle).map(|handle| Library { handle })
    }

    /// A function by its name.
    pub fn function(&self, name: &str) -> Option<Function> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is that of a library that is never closed; the name is a string that ends in 0.
        let address = unsafe { dlsym(self.handle.as_ptr(), name.as_ptr()) };
        let address = NonNull::new(address)?;
        // SAFETY: an address that is not null; who names a function here knows its type.
        Some(unsafe { std::mem::transmute::<NonNull<c_void>, Function>(address) })
    }
}

/// A function on its memory.
#[derive(Debug)]
pub struct Foreign {
    function: Function,
    memory: Vec<u8>,
}

impl Foreign {
    /// The function, and what it may read and write.
    pub fn new(function: Function, memory: Vec<u8>) -> Self {
        Foreign { function, memory }
    }
}

impl Subject for Foreign {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        let length = self.memory.len() as u64;
        for _ in 0..count {
            let (function, memory) = (black_box(self.function), black_box(self.memory.as_mut_ptr()));
            // SAFETY: the function is called with memory of this length, which is lent to nobody else.
            result = black_box(unsafe { function(memory, black_box(length)) });
        }
        result
    }
}
