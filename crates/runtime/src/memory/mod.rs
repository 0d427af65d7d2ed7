//! Guest memory: regions of host bytes behind guest addresses.
//!
//! Every access is checked against the region it names. There is no unsafe code here: a region is a
//! borrowed slice, and an access is slice indexing. Machine code reads the same regions through a
//! [`View`](view::View). What lives longer than a run (the values of maps) or is not the guest's at all
//! (memory that the host describes) lies [far](far::Far) behind them.

mod arena;
mod copy;
pub mod far;
pub mod frame;
pub mod view;

pub use sandbpf_maps::shared;

use sandbpf_isa::{AtomicOp, FRAME_SIZE, MAX_FRAMES, Size, StackUse};

use crate::address::{self, REGION_BITS, REGION_SIZE};
use crate::host::{Host, Space};
use crate::trap::Fault;
use far::{Far, Piece};
use frame::Frame;
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
    /// A packet whose ends may move: what is between them.
    Frame(&'run mut Frame),
}

impl Region<'_> {
    /// How many bytes it has.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Region::Absent => 0,
            Region::Read(bytes) => bytes.len(),
            Region::Write(bytes) => bytes.len(),
            Region::Shared(bytes) => bytes.len(),
            Region::Frame(frame) => frame.visible().len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        // One path for all that is a slice: what differs is where the slice comes from.
        let bytes: &[u8] = match self {
            Region::Read(bytes) => bytes,
            Region::Write(bytes) => bytes,
            Region::Absent => &[],
            Region::Frame(frame) => frame.visible(),
            Region::Shared(bytes) => return shared_load(bytes, at),
        };
        chunk(bytes, at)
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, at: usize, value: [u8; N]) -> Option<()> {
        match self {
            Region::Absent | Region::Read(_) => None,
            Region::Write(bytes) => {
                *chunk_mut(bytes, at)? = value;
                Some(())
            }
            Region::Shared(bytes) => shared_store(bytes, at, value),
            Region::Frame(frame) => {
                *chunk_mut(frame.visible_mut(), at)? = value;
                Some(())
            }
        }
    }
}

/// Out of line: an access to bytes that threads share is long, and rare.
#[inline(never)]
fn shared_load<const N: usize>(bytes: &SharedBytes, at: usize) -> Option<[u8; N]> {
    bytes.load(at, N)?.to_le_bytes().first_chunk().copied()
}

#[inline(never)]
fn shared_store<const N: usize>(bytes: &SharedBytes, at: usize, value: [u8; N]) -> Option<()> {
    bytes.store(at, N, widen(value))
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
    /// Structures that helpers handed out in this run, where they may.
    objects: Option<&'run mut Vec<u8>>,
    stack: &'run mut Stack,
    frames: ActiveFrames,
    far: Option<&'run dyn Far>,
    /// Who describes the kernel's memory, to programs that follow its pointers.
    kernel: Option<KernelMemory<'run>>,
    /// Which arena the program that runs addresses.
    arena: Option<sandbpf_isa::Arena>,
    copies: arena::Copies,
    /// Whether a region moved since somebody asked.
    moved: bool,
}

/// The kernel's memory, as a host describes it.
#[derive(Clone, Copy)]
struct KernelMemory<'run>(&'run dyn Host);

impl std::fmt::Debug for KernelMemory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KernelMemory")
    }
}

impl KernelMemory<'_> {
    /// Reads what is there, and zeros where nothing is.
    fn read(self, address: u64, to: &mut [u8]) -> bool {
        let is_kernel = address >> 63 == 1;
        if is_kernel && !self.0.read(Space::Kernel, address, to) {
            to.fill(0);
        }
        is_kernel
    }
}

/// Which frames are active.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ActiveFrames {
    /// How many bytes of the stack belong to them.
    bytes: usize,
    /// Whether the program that runs has a stack.
    used: bool,
}

/// A region has more bytes than [`REGION_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit a region of {REGION_SIZE}")]
pub struct TooLarge(pub usize);

impl<'run> Memory<'run> {
    /// Memory with nothing but a stack, of which no frame is active.
    #[inline]
    pub fn new(stack: &'run mut Stack) -> Self {
        Memory {
            context: Region::Absent,
            packet: Region::Absent,
            buffer: Region::Absent,
            objects: None,
            stack,
            frames: ActiveFrames::default(),
            far: None,
            kernel: None,
            arena: None,
            copies: arena::Copies::default(),
            moved: false,
        }
    }

    /// Puts `region` at [`address::CONTEXT`].
    #[inline(always)]
    pub fn set_context(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.context = checked(region)?;
        Ok(())
    }

    /// Puts `region` at [`address::PACKET`].
    #[inline(always)]
    pub fn set_packet(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.packet = checked(region)?;
        Ok(())
    }

    /// Puts `region` at [`address::BUFFER`].
    #[inline(always)]
    pub fn set_buffer(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.buffer = checked(region)?;
        Ok(())
    }

    /// Puts what lies behind the regions where it is.
    pub fn set_far(&mut self, far: &'run dyn Far) {
        self.far = Some(far);
    }

    /// Lets the program follow pointers into the kernel's memory, as the host describes it. Where there is nothing, loads
    /// give 0, as Linux has it for such programs.
    pub fn set_kernel(&mut self, host: &'run dyn Host) {
        self.kernel = Some(KernelMemory(host));
    }

    /// Makes frame `frame` active, the lowest of a program, all zero as far as a program with this use of its
    /// stack can see. The frames below belong to whoever called the program.
    pub(crate) fn enter_lowest(&mut self, frame: usize, stack_use: StackUse) {
        let below = FRAME_SIZE * frame;
        let clear = match stack_use {
            StackUse::None => {
                self.frames = ActiveFrames { bytes: below, used: false };
                return;
            }
            StackUse::Top(bytes) => usize::from(bytes).min(FRAME_SIZE),
            StackUse::Whole => FRAME_SIZE,
        };
        let end = below + FRAME_SIZE;
        self.frames = ActiveFrames { bytes: end, used: true };
        self.stack.0[end - clear..end].fill(0);
    }

    /// Makes one more frame active, all zero. A program without a stack gets none.
    pub fn enter(&mut self) {
        if !self.frames.used {
            return;
        }
        let end = self.frames.bytes + FRAME_SIZE;
        self.stack.0[self.frames.bytes..end].fill(0);
        self.frames.bytes = end;
    }

    /// Makes the last frame inactive.
    pub fn leave(&mut self) {
        if self.frames.used {
            self.frames.bytes = self.frames.bytes.saturating_sub(FRAME_SIZE);
        }
    }

    /// Which frames are active, to come back to.
    pub(crate) fn frames(&self) -> ActiveFrames {
        self.frames
    }

    /// Makes the frames active that were so.
    pub(crate) fn set_frames(&mut self, frames: ActiveFrames) {
        self.frames = frames;
    }

    /// How many bytes of the stack belong to active frames.
    #[inline]
    pub fn active_stack(&self) -> usize {
        self.frames.bytes
    }

    /// Declares the first `bytes` of the stack active: machine code keeps count itself and says so
    /// here before anything else looks at memory.
    #[inline]
    pub fn set_active_stack(&mut self, bytes: usize) {
        self.frames.bytes = bytes.min(self.stack.0.len());
    }

    /// Whether a region moved since this was asked last: then what a [`View`](view::View) says is no longer true.
    #[inline]
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// The same, to ask again.
    #[inline]
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// Reads `N` bytes, little-endian.
    #[inline(always)]
    pub fn read<const N: usize>(&self, address: u64) -> Result<u64, Fault> {
        let at = (address & (REGION_SIZE - 1)) as usize;
        // The three regions share one path: what differs is where the region is.
        let region = address >> REGION_BITS;
        let bytes: Option<[u8; N]> = if region == REGION_OF_STACK {
            chunk(self.stack.0.get(..self.frames.bytes).unwrap_or_default(), at)
        } else {
            let region = if region == REGION_OF_BUFFER {
                &self.buffer
            } else if region == REGION_OF_PACKET {
                &self.packet
            } else if region == REGION_OF_CONTEXT {
                &self.context
            } else {
                return self.read_far(address, N);
            };
            region.load(at)
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
        let word = value;
        let value = narrow(value);
        let region = address >> REGION_BITS;
        let done = if region == REGION_OF_STACK {
            let stack = self.stack.0.get_mut(..self.frames.bytes).unwrap_or_default();
            chunk_mut::<N>(stack, at).map(|bytes| *bytes = value)
        } else {
            let region = if region == REGION_OF_BUFFER {
                &mut self.buffer
            } else if region == REGION_OF_PACKET {
                &mut self.packet
            } else if region == REGION_OF_CONTEXT {
                &mut self.context
            } else {
                return self.write_far(address, N, word);
            };
            region.store(at, value)
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
        if let Some(place) = self.arena_place(address) {
            return Ok(self.arena_atomic(op, place, size, operand, r0));
        }
        if op == AtomicOp::LoadAcquire {
            return self.load(size, address);
        }
        let fault = Fault { address, size: size.bytes().into(), write: true };
        let (operand, r0) = (size.truncate(operand), size.truncate(r0));
        if let Some(piece) = self.shared(address, size.bytes().into()) {
            let updated = piece.bytes.update(piece.at, size.bytes().into(), |m| op.eval(m, operand, r0));
            return updated.ok_or(fault);
        }
        let old = self.load(size, address).map_err(|_| fault)?;
        self.store(size, address, op.eval(old, operand, r0))?;
        Ok(old)
    }

    /// Shared bytes that a program may write.
    fn shared(&self, address: u64, size: usize) -> Option<Piece<'_>> {
        let region = match address >> REGION_BITS {
            REGION_OF_CONTEXT => &self.context,
            REGION_OF_PACKET => &self.packet,
            REGION_OF_BUFFER => &self.buffer,
            REGION_OF_STACK | REGION_OF_OBJECTS => return None,
            _ => return self.far?.piece(address).filter(|piece| piece.writable && piece.holds(size)),
        };
        match region {
            Region::Shared(bytes) => {
                let at = (address & (REGION_SIZE - 1)) as usize;
                Some(Piece { bytes, at, end: bytes.len(), readable: true, writable: true })
            }
            Region::Absent | Region::Read(_) | Region::Write(_) | Region::Frame(_) => None,
        }
    }

    /// The packet's bytes, if they are not shared.
    pub fn packet_bytes(&self) -> &[u8] {
        match &self.packet {
            Region::Read(bytes) => bytes,
            Region::Write(bytes) => bytes,
            Region::Frame(frame) => frame.visible(),
            Region::Absent | Region::Shared(_) => &[],
        }
    }

    /// The packet, if its ends may move.
    pub fn frame(&self) -> Option<&Frame> {
        match &self.packet {
            Region::Frame(frame) => Some(frame),
            Region::Absent | Region::Read(_) | Region::Write(_) | Region::Shared(_) => None,
        }
    }

    /// The packet, to move its ends.
    pub fn frame_mut(&mut self) -> Option<&mut Frame> {
        match &mut self.packet {
            Region::Frame(frame) => {
                self.moved = true;
                Some(frame)
            }
            Region::Absent | Region::Read(_) | Region::Write(_) | Region::Shared(_) => None,
        }
    }

    /// Lets helpers hand out structures, and keeps them there.
    pub fn set_objects(&mut self, objects: &'run mut Vec<u8>) {
        objects.clear();
        self.objects = Some(objects);
    }

    /// Hands out a structure that the program may read, and gives its address; `None` when there is no room.
    pub fn add_object(&mut self, bytes: &[u8]) -> Option<u64> {
        let objects = self.objects.as_deref_mut()?;
        let at = objects.len().next_multiple_of(16);
        if (at + bytes.len()) as u64 > REGION_SIZE {
            return None;
        }
        objects.resize(at, 0);
        objects.extend_from_slice(bytes);
        self.moved = true;
        Some(address::OBJECTS + at as u64)
    }

    /// Takes back what [`Memory::add_object`] handed out last.
    pub fn drop_object(&mut self, address: u64) {
        if let (Some(objects), Some(at)) =
            (self.objects.as_deref_mut(), address.checked_sub(address::OBJECTS))
        {
            objects.truncate(at as usize);
            self.moved = true;
        }
    }

    /// The bytes from an address of [`Memory::add_object`] on, to change them.
    pub fn object_mut(&mut self, address: u64) -> Option<&mut [u8]> {
        self.objects.as_deref_mut()?.get_mut(address.checked_sub(address::OBJECTS)? as usize..)
    }

    /// What lies behind the regions.
    pub fn far(&self) -> Option<&'run dyn Far> {
        self.far
    }
}

const REGION_OF_CONTEXT: u64 = address::CONTEXT >> REGION_BITS;
const REGION_OF_STACK: u64 = address::STACK >> REGION_BITS;
const REGION_OF_PACKET: u64 = address::PACKET >> REGION_BITS;
const REGION_OF_BUFFER: u64 = address::BUFFER >> REGION_BITS;
const REGION_OF_OBJECTS: u64 = address::OBJECTS >> REGION_BITS;

#[inline(always)]
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
