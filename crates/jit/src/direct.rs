//! Code of a plan, in memory, and the call into it.
//!
//! # Contract
//!
//! The bytes come from [`emit`](crate::plan::emit::emit) and nowhere else. They are copied into memory that is then made
//! executable and is never writable again. They follow the `sysv64` convention with the five arguments of [`Entry`]; they
//! touch the packet within its length, the context within the length that they were emitted for, the stack, as
//! much of it as they were emitted for, and the [`Env`]; and nothing else.

use std::io;
use std::mem::transmute;

use dynasmrt::AssemblyOffset;
use dynasmrt::mmap::{ExecutableBuffer, MutableBuffer};

use crate::plan::emit::env::{Answer, Env};

/// A plan as machine code.
#[derive(Debug)]
pub(crate) struct Direct {
    memory: ExecutableBuffer,
    len: usize,
    /// Where the memory starts.
    entry: Entry,
}

type Entry = unsafe extern "sysv64" fn(
    packet: *mut u8,
    length: u64,
    context: *mut u8,
    budget: u64,
    env: *mut Env,
) -> Answer;

impl Direct {
    /// Puts code where it can run.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Direct> {
        let mut buffer = MutableBuffer::new(bytes.len())?;
        buffer.set_len(bytes.len());
        buffer.copy_from_slice(bytes);
        let memory = buffer.make_exec()?;
        // SAFETY: the buffer starts with the entry, which has this type (the contract above). It does not move with its owner.
        let entry = unsafe { transmute::<*const u8, Entry>(memory.ptr(AssemblyOffset(0))) };
        Ok(Direct { memory, len: bytes.len(), entry })
    }

    /// The code.
    pub(crate) fn machine_code(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// Runs code without calls, on a packet and a context that is not shorter than the code was emitted for.
    #[inline]
    pub(crate) fn on(&self, packet: &mut [u8], context: &mut [u8], budget: u64) -> Answer {
        let (start, length, context) = (packet.as_mut_ptr(), packet.len() as u64, context.as_mut_ptr());
        // SAFETY: the memory is borrowed as long as the code runs; `Plan` looked at the context's length, and has code
        // without calls, which does not look at the environment.
        unsafe { self.run(start, length, context, budget, std::ptr::null_mut()) }
    }

    /// The same with code that does not write to its packet.
    #[inline]
    pub(crate) fn reading(&self, packet: &[u8], context: &mut [u8], budget: u64) -> Answer {
        let (start, length, context) =
            (packet.as_ptr().cast_mut(), packet.len() as u64, context.as_mut_ptr());
        // SAFETY: as above, and nothing is written to the packet: `Plan` looked for operations that could.
        unsafe { self.run(start, length, context, budget, std::ptr::null_mut()) }
    }

    /// Runs the code.
    ///
    /// # Safety
    ///
    /// The bytes are a plan's. `packet` has `length` bytes that may be written, `context` as many as the plan was emitted
    /// for. Code with calls, or that settles its budget, is given an environment, whose pointers hold until this
    /// function returns; nobody else uses any of this memory meanwhile.
    #[inline]
    pub(crate) unsafe fn run(
        &self,
        packet: *mut u8,
        length: u64,
        context: *mut u8,
        budget: u64,
        env: *mut Env,
    ) -> Answer {
        // SAFETY: the caller gives what the code may touch, and the memory lives as long as `self`.
        unsafe { (self.entry)(packet, length, context, budget, env) }
    }
}

/// Emits a graph and runs its code on memory of a test's own, which has to be as much as the graph says.
#[cfg(test)]
pub(crate) fn trial(
    graph: &crate::plan::graph::Graph,
    options: &crate::plan::emit::EmitOptions,
    packet: &mut [u8],
    context: &mut [u8],
    budget: u64,
    env: Option<&mut Env>,
) -> Answer {
    assert_eq!(context.len(), graph.context as usize);
    assert_eq!(env.is_some(), graph.machine);
    let code = Direct::new(&crate::plan::emit::emit(graph, options).bytes).expect("there is memory");
    let env = env.map_or(std::ptr::null_mut(), |env| env as *mut Env);
    let length = packet.len() as u64;
    // SAFETY: the bytes are the graph's, packet and context are borrowed and as long as it thinks.
    unsafe { code.run(packet.as_mut_ptr(), length, context.as_mut_ptr(), budget, env) }
}
