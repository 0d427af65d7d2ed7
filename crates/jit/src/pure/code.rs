//! Code of a program that only reads, in memory, and the call into it.
//!
//! # Contract
//!
//! The bytes come from [`emit`](super::emit) and nowhere else. They are copied into memory that is then made executable
//! and is never writable again. They follow the `sysv64` convention with the arguments of the type that stands beside the
//! [`Form`] they were made in; they read the packet's bytes after comparing with its length, the first `context` bytes of the
//! context if they are given its address, tables of their own, and words of their own stack that they wrote; they write
//! nothing but that stack.

use std::fmt;
use std::mem::transmute;

use dynasmrt::AssemblyOffset;
use dynasmrt::mmap::{ExecutableBuffer, MutableBuffer};
use sandbpf_isa::Program;
use sandbpf_runtime::address::REGION_SIZE;

use super::{admit, emit};
use crate::{Form, Options};

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
    /// Where the code starts, in the form of those that look at the packet only.
    entry: OfPacket,
    /// Packets below this length, and a word, are all that it takes to know the answer: none, if it takes more.
    quick: u64,
    form: Form,
    context: usize,
    len: usize,
    /// Keeps the code where it is.
    memory: ExecutableBuffer,
}

type OfPacket = unsafe extern "sysv64" fn(packet: *const u8, len: usize) -> u64;
type OfWord = unsafe extern "sysv64" fn(packet: *const u8, len: usize, word: u64) -> u64;
type OfUnsure = unsafe extern "sysv64" fn(packet: *const u8, len: usize, word: u64, budget: u64) -> Answer;
type OfContext =
    unsafe extern "sysv64" fn(packet: *const u8, len: usize, context: *const u8, budget: u64) -> Answer;

/// What code answers that may not know.
#[repr(C)]
struct Answer {
    r0: u64,
    /// Not 0 if it declined.
    declined: u64,
}

impl Pure {
    /// Compiles a program if it only reads, and memory for the code can be had. Takes time in proportion to its length, but
    /// for sorting what it compares with.
    pub fn compile(program: &Program, options: Options) -> Option<Pure> {
        let admitted = admit::admit(program)?;
        let (bytes, form) = emit::emit(program, &admitted, options);
        let mut buffer = MutableBuffer::new(bytes.len()).ok()?;
        buffer.set_len(bytes.len());
        buffer.copy_from_slice(&bytes);
        let memory = buffer.make_exec().ok()?;
        // SAFETY: the buffer is not empty, and starts with the entry; whoever calls it looks at the form (the contract
        // above).
        let entry = unsafe { transmute::<*const u8, OfPacket>(memory.ptr(AssemblyOffset(0))) };
        let quick = if matches!(form, Form::Packet | Form::Word) { REGION_SIZE + 1 } else { 0 };
        Some(Pure { entry, quick, form, context: admitted.context as usize, len: bytes.len(), memory })
    }

    /// What it wants to know.
    #[inline]
    pub fn form(&self) -> Form {
        self.form
    }

    /// How many bytes of the context it reads.
    #[inline]
    pub fn context(&self) -> usize {
        self.context
    }

    /// The answer on this packet, and with this first word of the context if it wants to know it; `None` if the form is neither
    /// [`Form::Packet`] nor [`Form::Word`], or the packet longer than a region.
    #[inline(always)]
    pub fn at_once(&self, packet: &[u8], word: u32) -> Option<u64> {
        if packet.len() as u64 >= self.quick {
            return None;
        }
        // SAFETY: code of these forms has this type, or looks at the first two arguments only: one more in a register is
        // nothing that it would notice.
        let entry = unsafe { transmute::<OfPacket, OfWord>(self.entry) };
        // SAFETY: it reads the packet up to its length.
        Some(unsafe { entry(packet.as_ptr(), packet.len(), word.into()) })
    }

    /// The answer on this packet; `None` if the form is not [`Form::Packet`].
    #[inline]
    pub fn of_packet(&self, packet: &[u8]) -> Option<u64> {
        if self.form != Form::Packet {
            return None;
        }
        // SAFETY: this form takes a packet and its length, and reads the packet up to it.
        Some(unsafe { (self.entry)(packet.as_ptr(), packet.len()) })
    }

    /// The answer on this packet, with this first word of the context; `None` if the form is not [`Form::Word`].
    #[inline]
    pub fn of_word(&self, packet: &[u8], word: u32) -> Option<u64> {
        if self.form != Form::Word {
            return None;
        }
        // SAFETY: code of this form has this type.
        let entry = unsafe { transmute::<OfPacket, OfWord>(self.entry) };
        // SAFETY: it reads the packet up to its length.
        Some(unsafe { entry(packet.as_ptr(), packet.len(), word.into()) })
    }

    /// The answer on this packet, with this first word of the context and this budget; `None` if it cannot tell, or the form is
    /// not [`Form::Unsure`].
    #[inline]
    pub fn of_unsure(&self, packet: &[u8], word: u32, budget: u64) -> Option<u64> {
        if self.form != Form::Unsure {
            return None;
        }
        // SAFETY: code of this form has this type.
        let entry = unsafe { transmute::<OfPacket, OfUnsure>(self.entry) };
        // SAFETY: it reads the packet up to its length.
        let answer = unsafe { entry(packet.as_ptr(), packet.len(), word.into(), budget) };
        (answer.declined == 0).then_some(answer.r0)
    }

    /// The answer on this packet, with this context and this budget; `None` if it cannot tell, the context is too short, or the
    /// form is not [`Form::Context`].
    #[inline]
    pub fn of_context(&self, packet: &[u8], context: &[u8], budget: u64) -> Option<u64> {
        if self.form != Form::Context || context.len() < self.context {
            return None;
        }
        // SAFETY: code of this form has this type.
        let entry = unsafe { transmute::<OfPacket, OfContext>(self.entry) };
        // SAFETY: the code reads the packet up to its length and as much of the context as was looked for above.
        let answer = unsafe { entry(packet.as_ptr(), packet.len(), context.as_ptr(), budget) };
        (answer.declined == 0).then_some(answer.r0)
    }

    /// What the program answers on this packet and context; `None` if it cannot tell by itself (the context is shorter than
    /// [`Pure::context`], a load addresses a header, or jumps back use up the budget of instructions), and must be run in another
    /// way.
    #[inline]
    pub fn run(&self, packet: &[u8], context: &[u8], budget: u64) -> Option<u64> {
        if context.len() < self.context {
            return None;
        }
        // Nobody looks at it where it is not there.
        let word = || context.first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk));
        match self.form {
            Form::Packet => self.of_packet(packet),
            Form::Word => self.of_word(packet, word()),
            Form::Unsure => self.of_unsure(packet, word(), budget),
            Form::Context => self.of_context(packet, context, budget),
        }
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl fmt::Debug for Pure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pure")
            .field("bytes", &self.len)
            .field("form", &self.form)
            .field("context", &self.context)
            .finish()
    }
}
