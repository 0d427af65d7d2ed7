//! The memory of a short program.

use sandbpf_runtime::address::{self, REGION_SIZE};

/// What a run reaches.
#[derive(Debug)]
pub struct Reach<'m> {
    /// The address of the bytes, where a region starts that is not the context's.
    pub at: u64,
    /// They, not more than a region has.
    pub bytes: Lent<'m>,
    /// What is at [`address::CONTEXT`]; may be empty.
    pub context: &'m mut [u8],
}

/// Bytes of one run.
#[derive(Debug)]
pub enum Lent<'m> {
    /// To read.
    Read(&'m [u8]),
    /// To read and write.
    Write(&'m mut [u8]),
}

impl Reach<'_> {
    /// The `N` bytes at an address.
    #[inline(always)]
    pub(super) fn load<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let bytes = match address.wrapping_sub(self.at) {
            at if at < REGION_SIZE => match &self.bytes {
                Lent::Read(bytes) => bytes.get(at as usize..),
                Lent::Write(bytes) => bytes.get(at as usize..),
            },
            _ => self.context.get(address.wrapping_sub(address::CONTEXT) as usize..),
        };
        bytes?.first_chunk().copied()
    }

    /// The same, to change them.
    #[inline(always)]
    pub(super) fn place<const N: usize>(&mut self, address: u64) -> Option<&mut [u8; N]> {
        let bytes = match (address.wrapping_sub(self.at), &mut self.bytes) {
            (at @ ..REGION_SIZE, Lent::Write(bytes)) => bytes.get_mut(at as usize..),
            (..REGION_SIZE, Lent::Read(_)) => None,
            _ => self.context.get_mut(address.wrapping_sub(address::CONTEXT) as usize..),
        };
        bytes?.first_chunk_mut()
    }
}
