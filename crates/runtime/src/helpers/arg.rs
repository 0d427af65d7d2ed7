//! Argument types: what must be true of the registers, and what the body receives.

use std::borrow::Cow;

use sandbpf_abi::ArgSpec;

use crate::{Fault, Machine};

/// One argument of a helper, in one register or two.
pub trait Arg: Sized {
    /// What must be true of the registers it takes.
    const SPECS: &'static [ArgSpec];

    /// Takes its registers off the arguments.
    fn take(raw: &mut impl Iterator<Item = u64>) -> Self;
}

/// Any number.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(pub u64);

impl Arg for Scalar {
    const SPECS: &'static [ArgSpec] = &[ArgSpec::Scalar];

    fn take(raw: &mut impl Iterator<Item = u64>) -> Self {
        Scalar(raw.next().unwrap_or_default())
    }
}

/// The program's context.
#[derive(Clone, Copy, Debug)]
pub struct Context(pub u64);

impl Arg for Context {
    const SPECS: &'static [ArgSpec] = &[ArgSpec::Context];

    fn take(raw: &mut impl Iterator<Item = u64>) -> Self {
        Context(raw.next().unwrap_or_default())
    }
}

/// Bytes that the helper reads: a pointer, and their number in the next register.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The guest address of the first.
    pub address: u64,
    /// How many.
    pub len: u64,
}

/// The longest buffer a helper takes: what a 32-bit size argument with sign can say.
const MAX_LEN: u64 = i32::MAX as u64;

impl Bytes {
    /// The bytes, copied only if they are not the run's alone; a fault if they are not all the program's.
    #[inline(always)]
    pub fn look<'m>(self, machine: &'m Machine<'_>) -> Result<Cow<'m, [u8]>, Fault> {
        match machine.memory.slice(self.address, self.len) {
            Some(bytes) => Ok(bytes.into()),
            None => self.read(machine).map(Cow::Owned),
        }
    }

    /// The bytes; a fault if they are not all the program's.
    #[inline(never)]
    pub fn read(self, machine: &Machine<'_>) -> Result<Vec<u8>, Fault> {
        let fault = Fault { address: self.address, size: self.len.min(MAX_LEN) as u32, write: false };
        // Before anything is allocated, the last byte must be there.
        if self.len > MAX_LEN {
            return Err(fault);
        }
        if let Some(last) = self.len.checked_sub(1) {
            machine.memory.read::<1>(self.address.wrapping_add(last)).map_err(|_| fault)?;
        }
        let mut bytes = vec![0; self.len as usize];
        machine.memory.copy_out(self.address, &mut bytes)?;
        Ok(bytes)
    }
}

impl Arg for Bytes {
    const SPECS: &'static [ArgSpec] = &[ArgSpec::ReadMem, ArgSpec::MemLen];

    fn take(raw: &mut impl Iterator<Item = u64>) -> Self {
        Bytes { address: raw.next().unwrap_or_default(), len: raw.next().unwrap_or_default() }
    }
}

/// Bytes that the helper writes: a pointer, and their number in the next register.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// The guest address of the first.
    pub address: u64,
    /// How many.
    pub len: u64,
}

impl Out {
    /// Makes them zero.
    pub fn clear(self, machine: &mut Machine<'_>) -> Result<(), Fault> {
        let zeros = Bytes { address: self.address, len: self.len }.read(machine)?.len();
        machine.memory.copy_in(self.address, &vec![0; zeros])
    }
}

impl Arg for Out {
    const SPECS: &'static [ArgSpec] = &[ArgSpec::WriteMem, ArgSpec::MemLen];

    fn take(raw: &mut impl Iterator<Item = u64>) -> Self {
        Out { address: raw.next().unwrap_or_default(), len: raw.next().unwrap_or_default() }
    }
}
