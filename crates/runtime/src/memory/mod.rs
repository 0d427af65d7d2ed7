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
mod near;
pub mod view;

pub use sandbpf_maps::shared;

use near::*;
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

    /// Its bytes, if they are the run's alone.
    #[inline(always)]
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Region::Read(bytes) => Some(bytes),
            Region::Write(bytes) => Some(bytes),
            Region::Frame(frame) => Some(frame.visible()),
            Region::Absent | Region::Shared(_) => None,
        }
    }

    /// Its bytes, if they are the run's alone and may be written.
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Region::Write(bytes) => Some(bytes),
            Region::Frame(frame) => Some(frame.visible_mut()),
            Region::Absent | Region::Read(_) | Region::Shared(_) => None,
        }
    }
}

/// The frames that a run can have: their bytes, aligned as programs expect, and what their functions find again.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Stack {
    bytes: [u8; FRAME_SIZE * MAX_FRAMES],
    kept: Kept,
}

/// What a run needs a place for that need not be made anew for every run.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// By number of the frame; of those that wait for a callee.
    callers: [Caller; MAX_FRAMES],
    copies: arena::Copies,
    /// Whether a region moved since somebody asked, who asks before a run, too.
    moved: bool,
}

/// What a caller finds again when its callee returns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    /// Where to go on.
    pub return_to: u32,
    /// `r6`…`r9`.
    pub preserved: [u64; 4],
    /// How many `may_goto`s the caller has left.
    pub may_goto: u64,
}

impl Default for Stack {
    fn default() -> Self {
        Stack { bytes: [0; FRAME_SIZE * MAX_FRAMES], kept: Kept::default() }
    }
}

/// What a program can address.
#[derive(Debug)]
pub struct Memory<'run> {
    /// The regions by number.
    near: [Near<'run>; NEAR],
    /// Structures that helpers handed out in this run, where they may.
    objects: Option<&'run mut Vec<u8>>,
    kept: &'run mut Kept,
    /// How many bytes of a frame the program that runs can see; none if it has no stack.
    seen: usize,
    far: Option<&'run dyn Far>,
    /// Who describes the kernel's memory, to programs that follow its pointers.
    kernel: Option<KernelMemory<'run>>,
    /// Which arena the program that runs addresses.
    arena: Option<sandbpf_isa::Arena>,
}

/// How many regions have bytes of their own: those with numbers below.
const NEAR: usize = REGION_OF_BUFFER + 1;

/// Which frames are active.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ActiveFrames {
    /// How many bytes of the stack belong to them.
    bytes: usize,
    /// How many bytes of a frame the program that runs can see; none if it has no stack.
    seen: usize,
}

/// A region has more bytes than [`REGION_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit a region of {REGION_SIZE}")]
pub struct TooLarge(pub usize);

impl<'run> Memory<'run> {
    /// Memory with nothing but a stack, of which no frame is active.
    #[inline]
    pub fn new(stack: &'run mut Stack) -> Self {
        let Stack { bytes, kept } = stack;
        kept.copies.forget();
        // Each by itself: a constant would be copied whole, with what nobody looks at.
        let absent = || Near { end: 0, region: Region::Absent };
        let stack = Near { end: 0, region: Region::Write(bytes) };
        let near = [absent(), absent(), stack, absent(), absent()];
        Memory { near, objects: None, kept, seen: 0, far: None, kernel: None, arena: None }
    }

    /// Puts `region` at [`address::CONTEXT`].
    #[inline(always)]
    pub fn set_context(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.near[REGION_OF_CONTEXT] = checked(region)?;
        Ok(())
    }

    /// Puts `region` at [`address::PACKET`].
    #[inline(always)]
    pub fn set_packet(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.near[REGION_OF_PACKET] = checked(region)?;
        Ok(())
    }

    /// Puts `region` at [`address::BUFFER`].
    #[inline(always)]
    pub fn set_buffer(&mut self, region: Region<'run>) -> Result<(), TooLarge> {
        self.near[REGION_OF_BUFFER] = checked(region)?;
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
    #[inline]
    pub(crate) fn enter_lowest(&mut self, frame: usize, stack_use: StackUse) {
        let seen = match stack_use {
            StackUse::None => 0,
            StackUse::Top(bytes) => usize::from(bytes).min(FRAME_SIZE),
            StackUse::Whole => FRAME_SIZE,
        };
        self.near[REGION_OF_STACK].end = FRAME_SIZE * frame;
        self.seen = seen;
        self.enter();
    }

    /// Makes one more frame active, all zero as far as the program can see. A program without a stack gets none.
    #[inline]
    pub fn enter(&mut self) {
        if self.seen > 0 {
            self.enter_zeroed();
        }
    }

    fn enter_zeroed(&mut self) {
        let Near { end, region: Region::Write(bytes) } = &mut self.near[REGION_OF_STACK] else { return };
        *end += FRAME_SIZE;
        bytes[*end - self.seen..*end].fill(0);
    }

    /// Makes the last frame inactive.
    #[inline]
    pub fn leave(&mut self) {
        if self.seen > 0 {
            let end = &mut self.near[REGION_OF_STACK].end;
            *end = end.saturating_sub(FRAME_SIZE);
        }
    }

    /// What the function of a frame finds again.
    #[inline(always)]
    pub(crate) fn caller(&mut self, frame: usize) -> Option<&mut Caller> {
        self.kept.callers.get_mut(frame)
    }

    /// Which frames are active, to come back to.
    pub(crate) fn frames(&self) -> ActiveFrames {
        ActiveFrames { bytes: self.active_stack(), seen: self.seen }
    }

    /// Makes the frames active that were so.
    pub(crate) fn set_frames(&mut self, frames: ActiveFrames) {
        self.near[REGION_OF_STACK].end = frames.bytes;
        self.seen = frames.seen;
    }

    /// How many bytes of the stack belong to active frames.
    #[inline]
    pub fn active_stack(&self) -> usize {
        self.near[REGION_OF_STACK].end
    }

    /// Declares the first `bytes` of the stack active: machine code keeps count itself and says so
    /// here before anything else looks at memory.
    #[inline]
    pub fn set_active_stack(&mut self, bytes: usize) {
        self.near[REGION_OF_STACK].end = bytes.min(FRAME_SIZE * MAX_FRAMES);
    }

    /// Whether a region moved since this was asked last: then what a [`View`](view::View) says is no longer true.
    #[inline]
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.kept.moved)
    }

    /// The same, to ask again.
    #[inline]
    pub fn has_moved(&self) -> bool {
        self.kept.moved
    }

    /// Reads `N` bytes, little-endian.
    #[inline(always)]
    pub fn read<const N: usize>(&self, address: u64) -> Result<u64, Fault> {
        match self.read_near::<N>(address) {
            Some(value) => Ok(value),
            None => self.read_elsewhere::<N>(address),
        }
    }

    /// Writes the low `N` bytes of `value`, little-endian.
    #[inline(always)]
    pub fn write<const N: usize>(&mut self, address: u64, value: u64) -> Result<(), Fault> {
        match self.write_near::<N>(address, value) {
            Some(()) => Ok(()),
            None => self.write_elsewhere::<N>(address, value),
        }
    }

    /// [`Memory::read`] where that is an index into a slice: `None` says nothing about other places, nor whether the
    /// access is allowed.
    #[inline(always)]
    pub fn read_near<const N: usize>(&self, address: u64) -> Option<u64> {
        self.near.get((address >> REGION_BITS) as usize)?.load::<N>(offset(address))
    }

    /// [`Memory::write`] where that is an index into a slice: `None` says nothing about other places, nor whether the
    /// access is allowed.
    #[inline(always)]
    pub fn write_near<const N: usize>(&mut self, address: u64, value: u64) -> Option<()> {
        self.near.get_mut((address >> REGION_BITS) as usize)?.store::<N>(offset(address), value)
    }

    #[inline(never)]
    fn read_elsewhere<const N: usize>(&self, address: u64) -> Result<u64, Fault> {
        let fault = Fault { address, size: N as u32, write: false };
        let at = offset(address);
        let bytes: Option<[u8; N]> = match (address >> REGION_BITS) as usize {
            REGION_OF_STACK => None,
            region @ (REGION_OF_CONTEXT | REGION_OF_PACKET | REGION_OF_BUFFER) => {
                match &self.near[region].region {
                    Region::Absent | Region::Read(_) | Region::Write(_) => None,
                    Region::Frame(frame) => chunk(frame.visible(), at),
                    Region::Shared(bytes) => shared_load(bytes, at),
                }
            }
            _ => return self.read_far(address, N),
        };
        bytes.map(widen::<N>).ok_or(fault)
    }

    #[inline(never)]
    fn write_elsewhere<const N: usize>(&mut self, address: u64, value: u64) -> Result<(), Fault> {
        let at = offset(address);
        let done = match (address >> REGION_BITS) as usize {
            REGION_OF_STACK => None,
            region @ (REGION_OF_CONTEXT | REGION_OF_PACKET | REGION_OF_BUFFER) => {
                match &mut self.near[region].region {
                    Region::Absent | Region::Read(_) | Region::Write(_) => None,
                    Region::Frame(frame) => {
                        chunk_mut(frame.visible_mut(), at).map(|bytes| *bytes = narrow::<N>(value))
                    }
                    Region::Shared(bytes) => shared_store(bytes, at, narrow::<N>(value)),
                }
            }
            _ => return self.write_far(address, N, value),
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
        let region = match (address >> REGION_BITS) as usize {
            region @ (REGION_OF_CONTEXT | REGION_OF_PACKET | REGION_OF_BUFFER) => &self.near[region].region,
            REGION_OF_STACK | REGION_OF_OBJECTS => return None,
            _ => return self.far?.piece(address).filter(|piece| piece.writable && piece.holds(size)),
        };
        match region {
            Region::Shared(bytes) => {
                let at = offset(address);
                Some(Piece { bytes, at, end: bytes.len(), readable: true, writable: true })
            }
            Region::Absent | Region::Read(_) | Region::Write(_) | Region::Frame(_) => None,
        }
    }

    /// The packet's bytes, if they are not shared.
    pub fn packet_bytes(&self) -> &[u8] {
        match &self.near[REGION_OF_PACKET].region {
            Region::Read(bytes) => bytes,
            Region::Write(bytes) => bytes,
            Region::Frame(frame) => frame.visible(),
            Region::Absent | Region::Shared(_) => &[],
        }
    }

    /// The packet, if its ends may move.
    pub fn frame(&self) -> Option<&Frame> {
        match &self.near[REGION_OF_PACKET].region {
            Region::Frame(frame) => Some(frame),
            Region::Absent | Region::Read(_) | Region::Write(_) | Region::Shared(_) => None,
        }
    }

    /// The packet, to move its ends.
    pub fn frame_mut(&mut self) -> Option<&mut Frame> {
        match &mut self.near[REGION_OF_PACKET].region {
            Region::Frame(frame) => {
                self.kept.moved = true;
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
        self.kept.moved = true;
        Some(address::OBJECTS + at as u64)
    }

    /// Takes back what [`Memory::add_object`] handed out last.
    pub fn drop_object(&mut self, address: u64) {
        if let (Some(objects), Some(at)) =
            (self.objects.as_deref_mut(), address.checked_sub(address::OBJECTS))
        {
            objects.truncate(at as usize);
            self.kept.moved = true;
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

const REGION_OF_CONTEXT: usize = (address::CONTEXT >> REGION_BITS) as usize;
const REGION_OF_STACK: usize = (address::STACK >> REGION_BITS) as usize;
const REGION_OF_PACKET: usize = (address::PACKET >> REGION_BITS) as usize;
const REGION_OF_BUFFER: usize = (address::BUFFER >> REGION_BITS) as usize;
const REGION_OF_OBJECTS: usize = (address::OBJECTS >> REGION_BITS) as usize;

/// Where in its region an address is.
#[inline(always)]
fn offset(address: u64) -> usize {
    (address & (REGION_SIZE - 1)) as usize
}

#[inline(always)]
fn checked(region: Region<'_>) -> Result<Near<'_>, TooLarge> {
    let len = region.len();
    if len as u64 > REGION_SIZE {
        return Err(TooLarge(len));
    }
    let is_slice = matches!(region, Region::Read(_) | Region::Write(_));
    Ok(Near { end: if is_slice { len } else { 0 }, region })
}
