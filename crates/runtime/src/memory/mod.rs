//! Guest memory: four regions of host bytes behind guest addresses.
//!
//! Every access is checked against the region it names. There is no unsafe code here: a region is a
//! borrowed slice, and an access is slice indexing. Machine code reads the same regions through a
//! [`View`](view::View).

pub mod view;

pub use sandbpf_maps::shared;

use sandbpf_isa::{AtomicOp, FRAME_SIZE, MAX_FRAMES, Size, StackUse};

use crate::address::{self, REGION_BITS, REGION_SIZE};
use crate::trap::Fault;
use shared::SharedBytes;

/// The bytes of one region.
#[derive(Debug, Default)]
pub enum Region<'run> {
    /// No bytes: every access faults.
    #[default]
    Absent,
    /// Bytes that the program may read.
    Read(&'run [u8]),
    /// Bytes that the program may read and write.
    Write(&'run mut [u8]),
    /// Bytes that other threads may access at the same time.
    Shared(&'run SharedBytes),
}

impl Region<'_> {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        match self {
            Region::Absent => 0,
            Region::Read(bytes) => bytes.len(),
            Region::Write(bytes) => bytes.len(),
            Region::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        match self {
            Region::Absent => None,
            Region::Read(bytes) => chunk(bytes, at),
            Region::Write(bytes) => chunk(bytes, at),
            Region::Shared(bytes) => {
                let value = bytes.load(at, N)?;
                value.to_le_bytes().first_chunk().copied()
            }
        }
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, at: usize, value: [u8; N]) -> Option<()> {
        match self {
            Region::Absent | Region::Read(_) => None,
            Region::Write(bytes) => {
                *chunk_mut(bytes, at)? = value;
                Some(())
            }
            Region::Shared(bytes) => {
                let mut wide = [0; 8];
                wide[..N].copy_from_slice(&value);
                bytes.store(at, N, u64::from_le_bytes(wide))
            }
        }
    }
}

#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[inline(always)]
fn chunk_mut<const N: usize>(bytes: &mut [u8], at: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}

/// The bytes of all frames a run can have, aligned as programs expect.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Stack([u8; FRAME_SIZE * MAX_FRAMES]);

impl Default for Stack {
    fn default() -> Self {
        Stack([0; FRAME_SIZE * MAX_FRAMES])
    }
}

/// What a program can address.
#[derive(Debug)]
pub struct Memory<'run> {
    context: Region<'run>,
    packet: Region<'run>,
    buffer: Region<'run>,
    stack: &'run mut Stack,
    /// How many bytes of the stack belong to active frames.
    active: usize,
}

/// A region has more bytes than [`REGION_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit a region of {REGION_SIZE}")]
pub struct TooLarge(pub usize);

impl<'run> Memory<'run> {
    /// Memory with nothing but a stack, of which no frame is active.
    pub fn new(stack: &'run mut Stack) -> Self {
        Memory { context: Region::Absent, packet: Region::Absent, buffer: Region::Absent, stack, active: 0 }
    }

    /// Puts `region` at [`address::CONTEXT`].
    pub fn set_context(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.context = checked(region)?;
        Ok(())
    }

    /// Puts `region` at [`address::PACKET`].
    pub fn set_packet(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.packet = checked(region)?;
        Ok(())
    }

    /// Puts `region` at [`address::BUFFER`].
    pub fn set_buffer(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.buffer = checked(region)?;
        Ok(())
    }

    /// Makes the first frame active, all zero as far as a program with this use of its stack can see.
    pub fn enter_first(&mut self, stack_use: StackUse) {
        let clear = match stack_use {
            StackUse::None => {
                self.active = 0;
                return;
            }
            StackUse::Top(bytes) => usize::from(bytes).min(FRAME_SIZE),
            StackUse::Whole => FRAME_SIZE,
        };
        self.active = FRAME_SIZE;
        self.stack.0[FRAME_SIZE - clear..FRAME_SIZE].fill(0);
    }

    /// Makes one more frame active, all zero. A program without a stack gets none.
    pub fn enter(&mut self) {
        if self.active == 0 {
            return;
        }
        let end = self.active + FRAME_SIZE;
        self.stack.0[self.active..end].fill(0);
        self.active = end;
    }

    /// Makes the last frame inactive.
    pub fn leave(&mut self) {
        self.active = self.active.saturating_sub(FRAME_SIZE);
    }

    /// How many bytes of the stack belong to active frames.
    pub fn active_stack(&self) -> usize {
        self.active
    }

    /// Declares the first `bytes` of the stack active: machine code keeps count itself and says so
    /// here before anything else looks at memory.
    pub fn set_active_stack(&mut self, bytes: usize) {
        self.active = bytes.min(self.stack.0.len());
    }

    /// Reads `N` bytes, little-endian.
    #[inline(always)]
    pub fn read<const N: usize>(&self, address: u64) -> Result<u64, Fault> {
        let at = (address & (REGION_SIZE - 1)) as usize;
        let bytes: Option<[u8; N]> = match address >> REGION_BITS {
            REGION_OF_STACK => chunk(&self.stack.0[..self.active], at),
            REGION_OF_CONTEXT => self.context.load(at),
            REGION_OF_PACKET => self.packet.load(at),
            REGION_OF_BUFFER => self.buffer.load(at),
            _ => None,
        };
        match bytes {
            Some(bytes) => Ok(widen(bytes)),
            None => Err(Fault { address, size: N as u32, write: false }),
        }
    }

    /// Writes the low `N` bytes of `value`, little-endian.
    #[inline(always)]
    pub fn write<const N: usize>(&mut self, address: u64, value: u64) -> Result<(), Fault> {
        let at = (address & (REGION_SIZE - 1)) as usize;
        let value = narrow(value);
        let done = match address >> REGION_BITS {
            REGION_OF_STACK => {
                chunk_mut::<N>(&mut self.stack.0[..self.active], at).map(|bytes| *bytes = value)
            }
            REGION_OF_CONTEXT => self.context.store(at, value),
            REGION_OF_PACKET => self.packet.store(at, value),
            REGION_OF_BUFFER => self.buffer.store(at, value),
            _ => None,
        };
        done.ok_or(Fault { address, size: N as u32, write: true })
    }

    /// [`Memory::read`] with the size as a value.
    pub fn load(&self, size: Size, address: u64) -> Result<u64, Fault> {
        match size {
            Size::B => self.read::<1>(address),
            Size::H => self.read::<2>(address),
            Size::W => self.read::<4>(address),
            Size::DW => self.read::<8>(address),
        }
    }

    /// [`Memory::write`] with the size as a value.
    pub fn store(&mut self, size: Size, address: u64, value: u64) -> Result<(), Fault> {
        match size {
            Size::B => self.write::<1>(address, value),
            Size::H => self.write::<2>(address, value),
            Size::W => self.write::<4>(address, value),
            Size::DW => self.write::<8>(address, value),
        }
    }

    /// Does an atomic operation and returns what memory held, zero-extended.
    ///
    /// On bytes that are shared between threads it is one step, provided that its address is a
    /// multiple of its size, as Linux demands of verified programs.
    pub fn atomic(
        &mut self,
        op: AtomicOp,
        size: Size,
        address: u64,
        operand: u64,
        r0: u64,
    ) -> Result<u64, Fault> {
        if op == AtomicOp::LoadAcquire {
            return self.load(size, address);
        }
        let fault = Fault { address, size: size.bytes().into(), write: true };
        let (operand, r0) = (size.truncate(operand), size.truncate(r0));
        if let Some(shared) = self.shared(address) {
            let at = (address & (REGION_SIZE - 1)) as usize;
            return shared.update(at, size.bytes().into(), |m| op.eval(m, operand, r0)).ok_or(fault);
        }
        let old = self.load(size, address).map_err(|_| fault)?;
        self.store(size, address, op.eval(old, operand, r0))?;
        Ok(old)
    }

    fn shared(&self, address: u64) -> Option<&SharedBytes> {
        let region = match address >> REGION_BITS {
            REGION_OF_CONTEXT => &self.context,
            REGION_OF_PACKET => &self.packet,
            REGION_OF_BUFFER => &self.buffer,
            _ => return None,
        };
        match region {
            Region::Shared(shared) => Some(shared),
            Region::Absent | Region::Read(_) | Region::Write(_) => None,
        }
    }

    /// Copies guest bytes out, for helpers that take a pointer and a length.
    pub fn copy_out(&self, address: u64, to: &mut [u8]) -> Result<(), Fault> {
        let fault = Fault { address, size: to.len() as u32, write: false };
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.read::<1>(address.wrapping_add(i as u64)).map_err(|_| fault)? as u8;
        }
        Ok(())
    }

    /// Copies bytes into guest memory, for helpers that fill a buffer. Either all bytes are written
    /// or none.
    pub fn copy_in(&mut self, address: u64, from: &[u8]) -> Result<(), Fault> {
        let fault = Fault { address, size: from.len() as u32, write: true };
        for i in 0..from.len() as u64 {
            let byte = self.read::<1>(address.wrapping_add(i)).map_err(|_| fault)?;
            self.write::<1>(address.wrapping_add(i), byte).map_err(|_| fault)?;
        }
        for (i, &byte) in from.iter().enumerate() {
            self.write::<1>(address.wrapping_add(i as u64), byte.into())?;
        }
        Ok(())
    }

    /// The packet's bytes, if they are not shared.
    pub fn packet_bytes(&self) -> &[u8] {
        match &self.packet {
            Region::Read(bytes) => bytes,
            Region::Write(bytes) => bytes,
            Region::Absent | Region::Shared(_) => &[],
        }
    }
}

const REGION_OF_CONTEXT: u64 = address::CONTEXT >> REGION_BITS;
const REGION_OF_STACK: u64 = address::STACK >> REGION_BITS;
const REGION_OF_PACKET: u64 = address::PACKET >> REGION_BITS;
const REGION_OF_BUFFER: u64 = address::BUFFER >> REGION_BITS;

fn checked(region: Region<'_>) -> Result<Region<'_>, TooLarge> {
    if region.len() as u64 > REGION_SIZE { Err(TooLarge(region.len())) } else { Ok(region) }
}

#[inline(always)]
fn widen<const N: usize>(bytes: [u8; N]) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes);
    u64::from_le_bytes(wide)
}

#[inline(always)]
fn narrow<const N: usize>(value: u64) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&value.to_le_bytes()[..N]);
    bytes
}
