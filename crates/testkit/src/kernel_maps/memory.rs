//! Memory of maps of the kernel that this process shares.
//!
//! # Contract
//!
//! A mapping is as long as it says and stays until it is dropped. Programs change it meanwhile, so its bytes are read and
//! written one by one and never borrowed.

use std::io;
use std::ptr::NonNull;

use sandbpf_maps::Errno;

use super::KernelMap;

/// Memory of a map that this process sees.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl KernelMap {
    /// `mmap(2)` of so many bytes from the start, to read and to write.
    pub fn share(&self, len: usize) -> Result<Mapping, Errno> {
        self.share_at(0, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// The same from byte `at` on.
    pub fn share_from(&self, at: usize, len: usize) -> Result<Mapping, Errno> {
        self.share_at(at, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// `mmap(2)` of so many bytes from the start, to read only.
    pub fn share_to_read(&self, len: usize) -> Result<Mapping, Errno> {
        self.share_at(0, len, libc::PROT_READ)
    }

    fn share_at(&self, at: usize, len: usize, rights: i32) -> Result<Mapping, Errno> {
        let (anywhere, at) = (std::ptr::null_mut(), at as libc::off_t);
        // SAFETY: nothing is mapped there yet; the kernel finds a place.
        let start = unsafe { libc::mmap(anywhere, len, rights, libc::MAP_SHARED, self.descriptor(), at) };
        let failed = Errno(io::Error::last_os_error().raw_os_error().unwrap_or_default());
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Mapping { start, len }),
            _ => Err(failed),
        }
    }
}

impl Mapping {
    /// Where it starts.
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    fn place(&self, at: usize) -> *mut u8 {
        assert!(at < self.len, "inside the mapping");
        self.start.as_ptr().wrapping_add(at)
    }

    /// Reads a byte, which must not be one that the map forbids to touch.
    pub fn read(&self, at: usize) -> u8 {
        // SAFETY: the byte is inside the mapping; nobody borrows it.
        unsafe { self.place(at).read_volatile() }
    }

    /// Writes a byte, which must not be one that the map forbids to touch.
    pub fn write(&self, at: usize, byte: u8) {
        // SAFETY: the byte is inside the mapping; nobody borrows it.
        unsafe { self.place(at).write_volatile(byte) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and ends here.
        let _ = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
