//! What usually stands behind a rejection, and what usually mends it: one row for each class of message, with a program
//! that shows it.

use sandbpf_abi::ProgramType;
use sandbpf_verifier::{FieldKind, MapShape, SpecialField};

use super::{Verifier, VerifyError};

/// A class of rejections.
///
/// ```
/// use sandbpf::{Verifier, abi::ProgramType};
/// let program = sandbpf::isa::parse("exit")?;
/// let error = Verifier::new(ProgramType::Xdp).verify(&program).unwrap_err();
/// assert_eq!(error.message(), "R0 !read_ok");
/// assert_eq!(error.advice().unwrap().title, "a register that was never written");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Advice {
    /// What it is about.
    pub title: &'static str,
    /// Pieces of the message, in their order.
    pub pieces: &'static [&'static str],
    /// Why the verifier does not accept it.
    pub why: &'static str,
    /// What usually mends it.
    pub mend: &'static str,
    /// A program that is rejected for it, and the same mended.
    pub example: Example,
}

/// A program that is rejected, and the same mended. Maps are those of [`Example::verifier`].
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What the program is for.
    pub program_type: ProgramType,
    /// Its license.
    pub license: &'static str,
    /// What is rejected.
    pub wrong: &'static str,
    /// What is accepted.
    pub right: &'static str,
}

impl Example {
    /// What the examples are verified with: map 0 is a hash of 4-byte keys and 8-byte values, map 1 a ring buffer, map 2 an
    /// array whose 16-byte values begin with a spin lock.
    pub fn verifier(&self) -> Verifier {
        let map = |name: &str, map_type, key_size, value_size, max_entries| MapShape {
            name: name.into(),
            map_type,
            key_size,
            value_size,
            max_entries,
            ..MapShape::default()
        };
        let lock = SpecialField { kind: FieldKind::SpinLock, offset: 0, size: 4 };
        let locked = MapShape { fields: vec![lock], has_btf: true, ..map("locked", 2, 4, 16, 1) };
        Verifier::new(self.program_type)
            .license(self.license)
            .shapes(vec![map("counts", 1, 4, 8, 16), map("events", 27, 0, 0, 4096), locked], 3)
    }
}

impl VerifyError {
    /// What usually stands behind such a rejection.
    pub fn advice(&self) -> Option<&'static Advice> {
        ADVICE.iter().find(|advice| advice.fits(self.message()))
    }
}

impl Advice {
    /// All of them: the more particular first.
    pub const ALL: &'static [Advice] = ADVICE;

    /// Whether a message is of this class.
    pub fn fits(&self, message: &str) -> bool {
        let mut rest = message;
        self.pieces.iter().all(|piece| match rest.find(piece) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    }
}

macro_rules! license {
    () => {
        "GPL"
    };
    ($license:literal) => {
        $license
    };
}

macro_rules! advice {
    ($($title:literal $pieces:tt: $of:ident $(/ $license:literal)?, $why:literal, $mend:literal, $wrong:literal => $right:literal;)*) => {
        const ADVICE: &[Advice] = &[$(Advice {
            title: $title,
            pieces: &$pieces,
            why: $why,
            mend: $mend,
            example: Example { program_type: ProgramType::$of, license: license!($($license)?), wrong: $wrong, right: $right },
        }),*];
    };
}

advice! {
    "a value of a map that may be missing" ["invalid mem access 'map_value_or_null'"]: SocketFilter,
        "A lookup gives null where the map has no such key, and the program uses its result at once.",
        "Compare the result with null and leave if it is.",
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nr0 = *(u64 *)(r0 + 0)\nexit" =>
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\nout: exit";
    "a pointer that may be null" ["invalid mem access '", "or_null"]: SocketFilter,
        "What gave the pointer may give null instead, and the program uses it at once.",
        "Compare the pointer with null and leave if it is; the comparison must be on every path to the access.",
        "r1 = map[fd:1]\nr2 = 8\nr3 = 0\ncall 131\n*(u64 *)(r0 + 0) = 1\nr1 = r0\nr2 = 0\ncall 132\nr0 = 0\nexit" =>
        "r1 = map[fd:1]\nr2 = 8\nr3 = 0\ncall 131\nif r0 == 0 goto out\n*(u64 *)(r0 + 0) = 1\nr1 = r0\nr2 = 0\ncall 132\nout: r0 = 0\nexit";
    "a number used as an address" ["invalid mem access 'scalar'"]: SocketFilter,
        "The register holds a number, not a pointer: an address that was read from memory, one on which arithmetic was done that the verifier does not follow, or one that a call made invalid.",
        "Read memory of the kernel with a helper (`bpf_probe_read_kernel`), keep pointers whole and in registers or aligned stack slots, and load packet pointers anew after calls that change the packet.",
        "r1 = 4096\nr0 = *(u64 *)(r1 + 0)\nexit" =>
        "*(u64 *)(r10 - 8) = 7\nr1 = r10\nr0 = *(u64 *)(r1 - 8)\nexit";
    "a register that was never written" ["!read_ok"]: Xdp,
        "On some path nothing was written to the register; calls leave r1 to r5 undefined, and a program must set r0 before it returns.",
        "Give it a value on every path. What is needed after a call goes into r6 to r9 or on the stack before it.",
        "exit" => "r0 = 2\nexit";
    "a packet read beyond what was checked" ["invalid access to packet"]: Xdp,
        "Nothing on this path shows that the packet has so many bytes.",
        "Compare the pointer plus the bytes that are read with `data_end` first, and leave if it is beyond; add variable offsets before the comparison and use the register that was compared.",
        "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 13)\nr0 &= 1\nexit" =>
        "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr0 = 2\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\nr0 = *(u8 *)(r2 + 13)\nr0 &= 1\nout: exit";
    "an index that may be negative" ["min value is negative"]: SocketFilter,
        "As a signed number the register may be below zero.",
        "Use an unsigned type, or mask it (`& 0x3f`); a comparison with zero must be of the same width as the use.",
        "*(u64 *)(r10 - 8) = 0\nr6 = r1\ncall 7\nr0 <<= 32\nr0 s>>= 32\nif r0 s> 8 goto out\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = r0\ncall 26\nout: r0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\nr6 = r1\ncall 7\nr0 &= 7\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = r0\nr4 += 1\ncall 26\nout: r0 = 0\nexit";
    "a size without a limit" ["unbounded memory access"]: SocketFilter,
        "The register may hold any number, so the access could be anywhere.",
        "Compare it with a limit, or mask it, right before it is used; the limit must be a constant.",
        "*(u64 *)(r10 - 8) = 0\nr6 = r1\ncall 7\nr4 = r0\nr4 >>= 1\nr4 |= 1\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\ncall 26\nr0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\nr6 = r1\ncall 7\nr4 = r0\nr4 &= 7\nr4 += 1\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\ncall 26\nr0 = 0\nexit";
    "a size that may be zero" ["invalid zero-sized"]: SocketFilter,
        "The helper wants at least one byte, and the size may be zero.",
        "Compare the size with zero and leave if it is, or add a constant.",
        "*(u64 *)(r10 - 8) = 0\nr6 = r1\ncall 7\nr0 &= 7\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = r0\ncall 26\nr0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\nr6 = r1\ncall 7\nr0 &= 7\nif r0 == 0 goto out\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = r0\ncall 26\nout: r0 = 0\nexit";
    "outside of a map's value" ["invalid access to map value"]: SocketFilter,
        "The offset may lie outside of the value.",
        "Check the index against the size of the array before it is used, and on the very register that is used.",
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 8)\nout: exit" =>
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\nout: exit";
    "stack that was not written" ["invalid read from stack"]: CgroupSkb,
        "For loaders without CAP_PERFMON every byte that is read or handed to a helper must have been written before; for all, reads outside of the frame are refused.",
        "Initialise the variable whole, padding included (`__builtin_memset`), and stay within 512 bytes below r10.",
        "r0 = *(u64 *)(r10 + 8)\nexit" => "*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nexit";
    "a write outside of the stack" ["invalid write to stack"]: SocketFilter,
        "A frame has 512 bytes, below r10.",
        "Make the variable smaller, or keep it in a map (an array per processor with one entry).",
        "*(u64 *)(r10 - 520) = 0\nr0 = 0\nexit" => "*(u64 *)(r10 - 512) = 0\nr0 = 0\nexit";
    "a misaligned access" ["misaligned"]: SocketFilter,
        "On the stack, and in the fields of contexts, an access starts at a multiple of its size.",
        "Align the variable; copy fields of packed structures byte by byte (`__builtin_memcpy`).",
        "*(u64 *)(r10 - 12) = 0\nr0 = 0\nexit" => "*(u64 *)(r10 - 16) = 0\nr0 = 0\nexit";
    "a field of the context that is not there" ["invalid bpf_context access"]: Xdp,
        "Programs of this type may not read or write this place of their context, or not with this size.",
        "Look the field up in the list of contexts; write only what may be written, and with its full size.",
        "r0 = *(u64 *)(r1 + 0)\nexit" => "r2 = *(u32 *)(r1 + 8)\nr0 = 2\nexit";
    "a helper that is not for this type" ["program of this type cannot use helper"]: SocketFilter,
        "Not every type of program has every helper.",
        "Look the helper up in the list; kernel memory, tasks and time are for tracing programs, packets for those of the network.",
        "r2 = 8\ncall 44\nr0 = 0\nexit" => "call 5\nr0 = 0\nexit";
    "a helper for GPL programs" ["cannot call GPL-restricted function"]: Kprobe / "Proprietary",
        "The helper is only for programs whose license is compatible with the GPL.",
        "State it: `char LICENSE[] SEC(\"license\") = \"GPL\";`.",
        "*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall 113\nr0 = 0\nexit" => "call 5\nr0 = 0\nexit";
    "an argument of the wrong kind" ["type=", "expected="]: SocketFilter,
        "The helper wants another kind of pointer or number there.",
        "Hand over what is expected: often the address of a variable on the stack where a value was given, or the other way around.",
        "r1 = map[fd:0]\nr2 = 0\ncall 1\nr0 = 0\nexit" =>
        "*(u32 *)(r10 - 4) = 0\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall 1\nr0 = 0\nexit";
    "a reference that is not given back" ["Unreleased reference"]: SocketFilter,
        "What was acquired (a socket, a record of a ring buffer, an object) is not released on this path.",
        "Release it before every return, and on the path where something else failed as well.",
        "r1 = map[fd:1]\nr2 = 8\nr3 = 0\ncall 131\nr0 = 0\nexit" =>
        "r1 = map[fd:1]\nr2 = 8\nr3 = 0\ncall 131\nif r0 == 0 goto out\nr1 = r0\nr2 = 0\ncall 132\nout: r0 = 0\nexit";
    "a lock that is not given back" ["bpf_spin_lock"]: SchedCls,
        "Between taking and releasing a lock there is no call and no return.",
        "Unlock on every path; do lookups and other calls before the lock is taken.",
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:2]\ncall 1\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\ncall 93\nout: r0 = 0\nexit" =>
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:2]\ncall 1\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\ncall 93\nr1 = r6\ncall 94\nout: r0 = 0\nexit";
    "a loop without an end" ["infinite loop detected"]: SocketFilter,
        "The state at this instruction is the same as one round before, so the loop never ends.",
        "Count towards a constant limit, or use `bpf_loop`, `bpf_for` or `may_goto`.",
        "call 7\nagain: if r0 == 5 goto out\ngoto again\nout: r0 = 0\nexit" => "r0 = 0\nagain: r0 += 1\nif r0 < 8 goto again\nexit";
    "too much to verify" ["BPF program is too large"]: SocketFilter,
        "All paths together are a million instructions or more.",
        "Bound loops lower, use `bpf_loop` or open-coded iterators, put parts into global functions (verified once each), and avoid branches whose outcomes stay in registers.",
        "r0 = 0\nagain: r0 += 1\nr1 = r0\nif r0 < 1000000 goto again\nexit" =>
        "r0 = 0\nagain: r0 += 1\nr1 = r0\nif r0 < 100 goto again\nexit";
    "too much stack" ["combined stack size"]: SocketFilter,
        "The frames of all functions on a path of calls have 512 bytes together.",
        "Move large variables into a map, or inline the function.",
        "*(u64 *)(r10 - 400) = 0\ncall f\nr0 = 0\nexit\nf: *(u64 *)(r10 - 400) = 0\nr0 = 0\nexit" =>
        "*(u64 *)(r10 - 200) = 0\ncall f\nr0 = 0\nexit\nf: *(u64 *)(r10 - 200) = 0\nr0 = 0\nexit";
    "code that nothing reaches" ["unreachable insn"]: SocketFilter,
        "No path leads to the instruction.",
        "Remove it, or jump to it; compilers do not leave any.",
        "r0 = 0\nexit\nr0 = 1\nexit" => "r0 = 0\nexit";
    "arithmetic on a pointer that has none" ["pointer arithmetic"]: SocketFilter,
        "Only pointers to memory can be moved; those to maps, sockets and the end of the packet cannot, and nothing but addition and subtraction is defined.",
        "Move a pointer to the value instead, and only after it was compared with null.",
        "r1 = map[fd:0]\nr1 += 8\nr0 = 0\nexit" => "r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "a return value out of range" ["should have been in ["]: CgroupSkb,
        "For this attachment the program may return a few values only.",
        "Return one of them; make the range of a computed one visible by comparing it.",
        "r0 = 7\nexit" => "r0 = 1\nexit";
    "a write to what can only be read" ["cannot write into"]: LwtIn,
        "Programs of this type may read that memory, not change it.",
        "Copy it to the stack and change the copy, or use the helper that is for changing it.",
        "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr0 = 0\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\n*(u8 *)(r2 + 0) = 1\nout: exit" =>
        "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr0 = 0\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\nr2 = *(u8 *)(r2 + 0)\n*(u8 *)(r10 - 1) = r2\nout: exit";
}
