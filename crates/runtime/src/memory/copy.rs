//! Copies between guest memory and the host's, for helpers: all of the bytes, or none.

use super::far::Piece;
use super::{
    Memory, REGION_OF_BUFFER, REGION_OF_CONTEXT, REGION_OF_OBJECTS, REGION_OF_PACKET, REGION_OF_STACK,
    Region, offset,
};
use crate::address::REGION_BITS;
use crate::trap::Fault;

impl Memory<'_> {
    /// Guest bytes that lie in one piece, and that nobody changes meanwhile.
    #[inline(always)]
    pub fn slice(&self, address: u64, len: u64) -> Option<&[u8]> {
        let region = match (address >> REGION_BITS) as usize {
            REGION_OF_STACK => self.near[REGION_OF_STACK].region.bytes()?.get(..self.active_stack())?,
            region @ (REGION_OF_CONTEXT | REGION_OF_PACKET | REGION_OF_BUFFER) => {
                self.near[region].region.bytes()?
            }
            _ => return None,
        };
        region.get(offset(address)..)?.get(..usize::try_from(len).ok()?)
    }

    fn slice_mut(&mut self, address: u64, len: usize) -> Option<&mut [u8]> {
        let active = self.active_stack();
        let region = match (address >> REGION_BITS) as usize {
            REGION_OF_STACK => self.near[REGION_OF_STACK].region.bytes_mut()?.get_mut(..active)?,
            region @ (REGION_OF_CONTEXT | REGION_OF_PACKET | REGION_OF_BUFFER) => {
                self.near[region].region.bytes_mut()?
            }
            _ => return None,
        };
        region.get_mut(offset(address)..)?.get_mut(..len)
    }

    /// Shared bytes that lie in one piece.
    fn far_piece(&self, address: u64, len: usize) -> Option<Piece<'_>> {
        // The arena has rules of its own.
        self.arena_place(address).is_none().then_some(())?;
        self.far?.piece(address).filter(|piece| piece.holds(len))
    }

    /// Copies guest bytes out, for helpers that take a pointer and a length.
    pub fn copy_out(&self, address: u64, to: &mut [u8]) -> Result<(), Fault> {
        if let Some(bytes) = self.slice(address, to.len() as u64) {
            to.copy_from_slice(bytes);
            return Ok(());
        }
        let fault = Fault { address, size: to.len() as u32, write: false };
        if (address >> REGION_BITS) as usize > REGION_OF_OBJECTS
            && let Some(piece) = self.far_piece(address, to.len()).filter(|piece| piece.readable)
        {
            return piece.bytes.read(piece.at, to).ok_or(fault);
        }
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.read::<1>(address.wrapping_add(i as u64)).map_err(|_| fault)? as u8;
        }
        Ok(())
    }

    /// Copies bytes into guest memory, for helpers that fill a buffer. Either all bytes are written
    /// or none.
    pub fn copy_in(&mut self, address: u64, from: &[u8]) -> Result<(), Fault> {
        if let Some(bytes) = self.slice_mut(address, from.len()) {
            bytes.copy_from_slice(from);
            return Ok(());
        }
        let fault = Fault { address, size: from.len() as u32, write: true };
        if (address >> REGION_BITS) as usize > REGION_OF_OBJECTS
            && let Some(piece) = self.far_piece(address, from.len()).filter(|piece| piece.writable)
        {
            return piece.bytes.write(piece.at, from).ok_or(fault);
        }
        if !self.may_write(address, from.len()) {
            return Err(fault);
        }
        for (i, &byte) in from.iter().enumerate() {
            self.write::<1>(address.wrapping_add(i as u64), byte.into()).map_err(|_| fault)?;
        }
        Ok(())
    }

    /// Whether so many bytes from an address on may be written.
    fn may_write(&self, address: u64, len: usize) -> bool {
        let at = offset(address);
        let region = match (address >> REGION_BITS) as usize {
            _ if len == 0 => return true,
            REGION_OF_STACK => return at.checked_add(len).is_some_and(|end| end <= self.active_stack()),
            region @ (REGION_OF_CONTEXT | REGION_OF_PACKET | REGION_OF_BUFFER) => &self.near[region].region,
            _ => {
                // A record may wrap around the end of its ring: every part is looked at.
                let mut done = 0;
                while done < len {
                    let piece = self.far.and_then(|far| far.piece(address.wrapping_add(done as u64)));
                    match piece.filter(|piece| piece.writable && piece.holds(1)) {
                        Some(piece) => done += piece.end - piece.at,
                        None => return false,
                    }
                }
                return true;
            }
        };
        let is_writable = !matches!(region, Region::Absent | Region::Read(_));
        is_writable && at.checked_add(len).is_some_and(|end| end <= region.len())
    }
}
