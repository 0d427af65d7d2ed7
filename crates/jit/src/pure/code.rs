//! Code of a program that only reads, in memory, and the call into it.
//!
//! # Contract
//!
//! The bytes come from [`emit`](super::emit) and nowhere else. They are copied into memory that is then made executable
//! and is never writable again. They follow the `sysv64` convention with the four arguments of [`Entry`]; they read
//! the packet's bytes after comparing with its length, the first `context` bytes of the context, and words of their own
//! stack that they wrote; they write nothing but that stack.

use std::fmt;
use std::mem::transmute;

use dynasmrt::AssemblyOffset;
use dynasmrt::mmap::{ExecutableBuffer, MutableBuffer};
use sandbpf_isa::Program;

use super::{admit, emit};
use crate::Options;

/// A program that only reads, as machine code: a function of a packet and a context.
///
/// ```
/// # if !sandbpf_jit::SUPPORTED { return Ok(()) }
/// // The EtherType, or 0 of what is too short to have one.
/// let program = sandbpf_isa::parse("r0 = *(u16 *)skb[12]\nexit")?;
/// let code = sandbpf_jit::Pure::compile(&program, Default::default()).expect("it only reads");
/// let frame = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
/// assert_eq!(code.run(&frame, &[], 0), Some(0x0800));
/// assert_eq!(code.run(&frame[..13], &[], 0), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pure {
    memory: ExecutableBuffer,
    len: usize,
    context: usize,
}

/// What code answers.
#[repr(C)]
struct Answer {
    r0: u64,
    /// Not 0 if it declined.
    declined: u64,
}

type Entry =
    unsafe extern "sysv64" fn(packet: *const u8, len: usize, context: *const u8, budget: u64) -> Answer;

impl Pure {
    /// Compiles a program if it only reads, and memory for the code can be had. Takes time in proportion to its length, but
    /// for sorting what it compares with.
    pub fn compile(program: &Program, options: Options) -> Option<Pure> {
        let admitted = admit::admit(program)?;
        let bytes = emit::emit(program, &admitted, options);
        let mut buffer = MutableBuffer::new(bytes.len()).ok()?;
        buffer.set_len(bytes.len());
        buffer.copy_from_slice(&bytes);
        let memory = buffer.make_exec().ok()?;
        Some(Pure { memory, len: bytes.len(), context: admitted.context as usize })
    }

    /// How many bytes of the context it reads.
    #[inline]
    pub fn context(&self) -> usize {
        self.context
    }

    /// What the program answers on this packet and context; `None` if it cannot tell by itself (the context is shorter than
    /// [`Pure::context`], a load addresses a header, or jumps back use up the budget of instructions), and must be run in another
    /// way.
    #[inline]
    pub fn run(&self, packet: &[u8], context: &[u8], budget: u64) -> Option<u64> {
        if context.len() < self.context {
            return None;
        }
        // SAFETY: the buffer starts with the entry, which has this type (the contract above).
        let entry = unsafe { transmute::<*const u8, Entry>(self.memory.ptr(AssemblyOffset(0))) };
        // SAFETY: the code reads the packet up to its length and as much of the context as was just looked for.
        let answer = unsafe { entry(packet.as_ptr(), packet.len(), context.as_ptr(), budget) };
        (answer.declined == 0).then_some(answer.r0)
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl fmt::Debug for Pure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pure").field("bytes", &self.len).field("context", &self.context).finish()
    }
}
