//! Regions as they are looked at first: slices, and how far they go.

use super::*;

/// A region, and what of it can be had without asking any further.
#[derive(Debug)]
pub(super) struct Near<'run> {
    /// Where the bytes end that are the program's now: no more than a slice has, and of the stack what belongs to active
    /// frames. 0 of what is no slice.
    pub(super) end: usize,
    pub(super) region: Region<'run>,
}

impl Near<'_> {
    #[inline(always)]
    pub(super) fn load<const N: usize>(&self, at: usize) -> Option<u64> {
        if at + N > self.end {
            return None;
        }
        // They share one path: what differs is where the bytes are.
        let bytes: &[u8] = match &self.region {
            Region::Read(bytes) => bytes,
            Region::Write(bytes) => bytes,
            Region::Absent | Region::Frame(_) | Region::Shared(_) => return None,
        };
        chunk(bytes, at).map(widen::<N>)
    }

    #[inline(always)]
    pub(super) fn store<const N: usize>(&mut self, at: usize, value: u64) -> Option<()> {
        if at + N > self.end {
            return None;
        }
        match &mut self.region {
            Region::Write(bytes) => {
                *chunk_mut(bytes, at)? = narrow::<N>(value);
                Some(())
            }
            Region::Absent | Region::Read(_) | Region::Frame(_) | Region::Shared(_) => None,
        }
    }
}

/// The kernel's memory, as a host describes it.
#[derive(Clone, Copy)]
pub(super) struct KernelMemory<'run>(pub(super) &'run dyn Host);

impl std::fmt::Debug for KernelMemory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KernelMemory")
    }
}

impl KernelMemory<'_> {
    /// Reads what is there, and zeros where nothing is.
    pub(super) fn read(self, address: u64, to: &mut [u8]) -> bool {
        let is_kernel = address >> 63 == 1;
        if is_kernel && !self.0.read(Space::Kernel, address, to) {
            to.fill(0);
        }
        is_kernel
    }
}

/// Out of line: an access to bytes that threads share is long, and rare.
#[inline(never)]
pub(super) fn shared_load<const N: usize>(bytes: &SharedBytes, at: usize) -> Option<[u8; N]> {
    bytes.load(at, N)?.to_le_bytes().first_chunk().copied()
}

#[inline(never)]
pub(super) fn shared_store<const N: usize>(bytes: &SharedBytes, at: usize, value: [u8; N]) -> Option<()> {
    bytes.store(at, N, widen(value))
}

#[inline(always)]
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.first_chunk().copied()
}

#[inline(always)]
pub(super) fn chunk_mut<const N: usize>(bytes: &mut [u8], at: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(at..at.checked_add(N)?)?.first_chunk_mut()
}

// Both are spelled out: the library's ways to copy a slice are calls where a program is not optimised as a whole.
#[inline(always)]
pub(super) fn widen<const N: usize>(bytes: [u8; N]) -> u64 {
    match *bytes.as_slice() {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

#[inline(always)]
pub(super) fn narrow<const N: usize>(value: u64) -> [u8; N] {
    value.to_le_bytes().first_chunk().copied().unwrap_or([0; N])
}
