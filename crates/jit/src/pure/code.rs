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
use sandbpf_abi::SeccompData;
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
    /// A context of this length is all that it takes, where there is no packet: none is, if it takes more.
    least: usize,
    form: Form,
    context: usize,
    len: usize,
    /// Keeps the code where it is.
    memory: Option<ExecutableBuffer>,
}

type OfPacket = unsafe extern "sysv64" fn(packet: *const u8, len: usize) -> u64;
type OfWord = unsafe extern "sysv64" fn(packet: *const u8, len: usize, word: u64) -> u64;
type OfUnsure = unsafe extern "sysv64" fn(packet: *const u8, len: usize, word: u64, budget: u64) -> Answer;
type OfContext = unsafe extern "sysv64" fn(packet: *const u8, len: usize, context: *const u8) -> u64;
type OfEverything =
    unsafe extern "sysv64" fn(packet: *const u8, len: usize, context: *const u8, budget: u64) -> Answer;

/// What code answers that may not know.
#[repr(C)]
struct Answer {
    r0: u64,
    /// Not 0 if it declined.
    declined: u64,
}

/// What stands where there is no code.
unsafe extern "sysv64" fn nothing(_packet: *const u8, _len: usize) -> u64 {
    0
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
        let context = admitted.context as usize;
        let quick = if matches!(form, Form::Packet | Form::Word) { REGION_SIZE + 1 } else { 0 };
        let least = if matches!(form, Form::Packet | Form::Context) { context } else { usize::MAX };
        Some(Pure { entry, quick, least, form, context, len: bytes.len(), memory: Some(memory) })
    }

    /// The code of no program, which never knows the answer: in its place nobody need ask whether there is some.
    pub fn none() -> Pure {
        let form = Form::Everything;
        Pure { entry: nothing, quick: 0, least: usize::MAX, form, context: usize::MAX, len: 0, memory: None }
    }

    /// Whether it is a program's.
    pub fn exists(&self) -> bool {
        self.memory.is_some()
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

    /// The answer on no packet, with this system call as the context; `None` if the form is neither [`Form::Packet`] nor
    /// [`Form::Context`], or the program looks beyond it.
    #[inline(always)]
    pub fn of_call(&self, call: &SeccompData) -> Option<u64> {
        if SeccompData::SIZE < self.least {
            return None;
        }
        // SAFETY: code of these forms has this type, or looks at the first two arguments only, as above.
        let entry = unsafe { transmute::<OfPacket, OfContext>(self.entry) };
        let (packet, context): (&[u8], _) = (&[], (&raw const *call).cast());
        // SAFETY: there is no byte of a packet; of the context the code reads no more than was looked for, and the struct lies
        // in memory as it says (the assertions below).
        Some(unsafe { entry(packet.as_ptr(), packet.len(), context) })
    }

    /// What the program answers on this packet and context; `None` if it cannot tell by itself (the context is shorter than
    /// [`Pure::context`], a load addresses a header, or jumps back use up the budget of instructions), and must be run in another
    /// way.
    #[inline]
    pub fn run(&self, packet: &[u8], context: &[u8], budget: u64) -> Option<u64> {
        if context.len() < self.context {
            return None;
        }
        let (start, len) = (packet.as_ptr(), packet.len());
        // Nobody looks at it where it is not there.
        let word = || u64::from(context.first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk)));
        let answer = match self.form {
            Form::Packet => {
                // SAFETY: this form takes a packet and its length, and reads the packet up to it.
                return Some(unsafe { (self.entry)(start, len) });
            }
            Form::Word => {
                // SAFETY: code of this form has this type.
                let entry = unsafe { transmute::<OfPacket, OfWord>(self.entry) };
                // SAFETY: it reads the packet up to its length.
                return Some(unsafe { entry(start, len, word()) });
            }
            Form::Context => {
                // SAFETY: code of this form has this type.
                let entry = unsafe { transmute::<OfPacket, OfContext>(self.entry) };
                // SAFETY: it reads the packet up to its length and as much of the context as was looked for above.
                return Some(unsafe { entry(start, len, context.as_ptr()) });
            }
            Form::Unsure => {
                // SAFETY: code of this form has this type.
                let entry = unsafe { transmute::<OfPacket, OfUnsure>(self.entry) };
                // SAFETY: it reads the packet up to its length.
                unsafe { entry(start, len, word(), budget) }
            }
            Form::Everything => {
                // SAFETY: code of this form has this type; of no code no context is long enough.
                let entry = unsafe { transmute::<OfPacket, OfEverything>(self.entry) };
                // SAFETY: it reads the packet up to its length and as much of the context as was looked for above.
                unsafe { entry(start, len, context.as_ptr(), budget) }
            }
        };
        (answer.declined == 0).then_some(answer.r0)
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.len])
    }
}

/// A system call lies in memory as programs see it: the fields where they say, each little-endian, and nothing between them.
const _: () = {
    use std::mem::offset_of;
    assert!(cfg!(target_endian = "little") && size_of::<SeccompData>() == SeccompData::SIZE);
    assert!(offset_of!(SeccompData, nr) == SeccompData::NR);
    assert!(offset_of!(SeccompData, arch) == SeccompData::ARCH);
    assert!(offset_of!(SeccompData, instruction_pointer) == SeccompData::INSTRUCTION_POINTER);
    assert!(offset_of!(SeccompData, args) == SeccompData::ARGS);
};

impl fmt::Debug for Pure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pure")
            .field("bytes", &self.len)
            .field("form", &self.form)
            .field("context", &self.context)
            .finish()
    }
}
