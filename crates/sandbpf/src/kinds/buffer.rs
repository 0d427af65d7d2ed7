//! Programs over plain memory: `r1` is its address, `r2` its length.

use sandbpf_interp::{Brief, Lent, Reach};
use sandbpf_runtime::memory::Region;
use sandbpf_runtime::memory::shared::SharedBytes;
use sandbpf_runtime::{Machine, Trap, address};

use super::{Enter, Kind};
use crate::KindName;
use crate::compiled::Answer;
use crate::image::{Image, Scratch};

/// Programs that get a piece of memory and answer with a number.
#[derive(Clone, Copy, Debug)]
pub enum Buffer {}

/// The memory of one run.
///
/// What comes from a shared reference cannot be written; a write traps.
#[derive(Debug)]
pub enum BufferInput<'i> {
    /// Bytes to read.
    Read(&'i [u8]),
    /// Bytes to read and write.
    Write(&'i mut [u8]),
    /// Bytes that several runs read and write at once, each access on its own whole.
    Shared(&'i SharedBytes),
}

impl Enter for Buffer {}

impl Kind for Buffer {
    type Input<'i> = BufferInput<'i>;
    type Verdict = u64;
    const NAME: KindName = KindName::Buffer;

    fn verdict(r0: u64) -> u64 {
        r0
    }

    #[inline]
    fn at_once(image: &Image, input: &mut BufferInput<'_>) -> Option<Answer> {
        match input {
            BufferInput::Read(bytes) => image.plan.read_alone(bytes, image.limits.instructions),
            BufferInput::Write(bytes) => image.plan.run_alone(bytes, image.limits.instructions),
            BufferInput::Shared(_) => None,
        }
    }

    #[inline]
    fn brief(brief: &Brief, input: &mut BufferInput<'_>) -> Option<Result<u64, Trap>> {
        let (bytes, len) = match input {
            BufferInput::Read(bytes) => (Lent::Read(bytes), bytes.len()),
            BufferInput::Write(bytes) => {
                let len = bytes.len();
                (Lent::Write(bytes), len)
            }
            BufferInput::Shared(_) => return None,
        };
        if len as u64 > address::REGION_SIZE {
            return None;
        }
        let reach = Reach { at: address::BUFFER, bytes, context: &mut [] };
        Some(brief.run([address::BUFFER, len as u64], reach))
    }

    #[inline]
    fn enter(
        image: &Image,
        scratch: &mut Scratch,
        input: BufferInput<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        let mut machine = image.machine(&mut scratch.stack);
        if image.traits.calls {
            machine.memory.set_objects(&mut scratch.objects);
        }
        let region = match input {
            BufferInput::Read(bytes) => Region::Read(bytes),
            BufferInput::Write(bytes) => Region::Write(bytes),
            BufferInput::Shared(bytes) => Region::Shared(bytes),
        };
        machine.registers[1] = address::BUFFER;
        machine.registers[2] = region.len() as u64;
        // More than a region holds is not there: reaching for it traps.
        let _ = machine.memory.set_buffer(region);
        run(&mut machine)
    }
}

impl<'i> From<&'i [u8]> for BufferInput<'i> {
    fn from(bytes: &'i [u8]) -> Self {
        BufferInput::Read(bytes)
    }
}

impl<'i, const N: usize> From<&'i [u8; N]> for BufferInput<'i> {
    fn from(bytes: &'i [u8; N]) -> Self {
        BufferInput::Read(bytes)
    }
}

impl<'i> From<&'i Vec<u8>> for BufferInput<'i> {
    fn from(bytes: &'i Vec<u8>) -> Self {
        BufferInput::Read(bytes)
    }
}

impl<'i> From<&'i mut [u8]> for BufferInput<'i> {
    fn from(bytes: &'i mut [u8]) -> Self {
        BufferInput::Write(bytes)
    }
}

impl<'i, const N: usize> From<&'i mut [u8; N]> for BufferInput<'i> {
    fn from(bytes: &'i mut [u8; N]) -> Self {
        BufferInput::Write(bytes)
    }
}

impl<'i> From<&'i mut Vec<u8>> for BufferInput<'i> {
    fn from(bytes: &'i mut Vec<u8>) -> Self {
        BufferInput::Write(bytes)
    }
}

impl<'i> From<&'i SharedBytes> for BufferInput<'i> {
    fn from(bytes: &'i SharedBytes) -> Self {
        BufferInput::Shared(bytes)
    }
}
