//! The classes of rejections: what the message says, why, what mends it, and a program that shows it. The more particular
//! stand first.

use sandbpf_abi::ProgramType;

use super::advice::{Advice, Example};

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
        pub(super) const ROWS: &[Advice] = &[$(Advice {
            title: $title,
            pieces: &$pieces,
            why: $why,
            mend: $mend,
            example: Example { program_type: ProgramType::$of, license: license!($($license)?), wrong: $wrong, right: $right },
        }),*];
    };
}

advice! {
    "a type or field that the kernel does not have" ["invalid func unknown#195896080"]: SocketFilter,
        "A CO-RE relocation found nothing in the kernel's types, and the loader put this call, which nobody may reach, in its place.",
        "Ask before with `bpf_core_field_exists` or `bpf_core_type_exists`, so that the access is dead code there; or give the types of the right kernel (`--btf`).",
        "r0 = 1\nif r0 == 0 goto out\ncall 195896080\nout: exit" => "r0 = 1\nif r0 != 0 goto out\ncall 195896080\nout: exit";
    "a helper that the kernel does not have" ["invalid func unknown#"]: SocketFilter,
        "No helper of Linux 6.18 has this number.",
        "Look the helper up in the list; newer functions of the kernel are kfuncs, called by name.",
        "call 9999\nr0 = 0\nexit" => "call 5\nr0 = 0\nexit";
    "a program that runs past its end" ["last insn is not an exit or jmp"]: SocketFilter,
        "After the last instruction there is nothing.",
        "Return at the end. A compiler leaves such a program where it thinks that the end is never reached: after a loop without an end, or where a value was never set.",
        "r0 = 0" => "r0 = 0\nexit";
    "a pointer moved by a number without a limit" ["math between ", " pointer and register with unbounded min value"]: SocketFilter,
        "The number that is added may be anything, a negative one too.",
        "Compare it with a limit, or mask it, before it is added, and use an unsigned type.",
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nif r0 == 0 goto out\nr6 = r0\ncall 7\nr6 += r0\nr1 = *(u64 *)(r6 + 0)\nr6 = r0\ncall 14\nr7 = r10\nr7 += r0\nout: r0 = 0\nexit" =>
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nif r0 == 0 goto out\nr6 = r0\ncall 14\nr0 &= 7\nr6 += r0\nr0 = *(u8 *)(r6 + 0)\nout: r0 = 0\nexit";
    "a pointer moved too far" ["math between ", " pointer and ", "is not allowed"]: SocketFilter,
        "No object is so large: offsets stay below 2 to the 29th.",
        "Add a smaller constant; a negative number in an unsigned variable of 32 bits is a large one.",
        "r1 = r10\nr2 = 0x40000000 ll\nr1 += r2\nr0 = 0\nexit" => "r1 = r10\nr2 = -8 ll\nr1 += r2\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "a pointer moved by a number that is too large" [" makes ", " pointer be out of bounds"]: SocketFilter,
        "Even the least that the number may be is farther than any object reaches.",
        "Look at how the number comes about: often its lower limit is not what was meant.",
        "call 7\nr0 &= 15\nr0 += 536870912\nr1 = r10\nr1 += r0\nr0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\ncall 7\nr0 &= 7\nr1 = r10\nr1 += -8\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\nexit";
    "a pointer moved too far in steps" [" pointer offset ", "is not allowed"]: SocketFilter,
        "All that was added together leaves what an offset may be.",
        "Add smaller numbers, and begin from the pointer to the object again.",
        "r1 = r10\nr1 += 536870900\nr1 += 536870900\nr0 = 0\nexit" => "r1 = r10\nr1 += -16\nr1 += 8\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "a difference of a number and a pointer" ["tried to subtract pointer from scalar"]: SocketFilter,
        "A number less an address is no address.",
        "Subtract the other way around.",
        "r1 = 8\nr1 -= r10\nr0 = 0\nexit" => "r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "a sum of two pointers" ["pointer += pointer prohibited"]: SocketFilter,
        "Two addresses have no sum.",
        "Add a number to one of them. The difference of two pointers into the same packet is a number.",
        "r1 = r10\nr1 += r10\nr0 = 0\nexit" => "r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "a subtraction from a pointer to the stack" ["subtraction from stack pointer prohibited"]: SocketFilter,
        "Linux only adds to pointers to the stack.",
        "Add the negative number.",
        "r1 = r10\nr1 -= 8\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit" => "r1 = r10\nr1 += -8\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "half of a pointer" ["invalid size of register fill"]: SocketFilter,
        "A pointer was kept on the stack, and a part of it is read back.",
        "Read all eight bytes.",
        "*(u64 *)(r10 - 8) = r1\nr0 = *(u32 *)(r10 - 8)\nexit" => "*(u64 *)(r10 - 8) = r1\nr1 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r1 + 0)\nexit";
    "the frame pointer changed" ["frame pointer is read only"]: SocketFilter,
        "r10 is where the frame ends, and stays that.",
        "Copy it and change the copy.",
        "r10 += -8\nr0 = 0\nexit" => "r1 = r10\nr1 += -8\nr0 = 0\nexit";
    "one access for two kinds of pointers" ["same insn cannot be used with different pointers"]: SchedCls,
        "On one path the register points to the context, on another to something else, and both come to the same access; Linux rewrites accesses to contexts, and can do it in one way only.",
        "Make two accesses: one on each path. Where a compiler merges them, a barrier between keeps them apart (`barrier_var`).",
        "r2 = r10\nr2 += -8\n*(u64 *)(r10 - 8) = 0\nr3 = *(u32 *)(r1 + 0)\nif r3 == 0 goto read\nr2 = r1\nread: r0 = *(u32 *)(r2 + 0)\nexit" =>
        "r2 = r10\nr2 += -8\n*(u64 *)(r10 - 8) = 0\nr3 = *(u32 *)(r1 + 0)\nif r3 == 0 goto read\nr0 = *(u32 *)(r1 + 0)\nexit\nread: r0 = *(u32 *)(r2 + 0)\nexit";
    "a moved pointer to the context" ["dereference of modified ctx ptr"]: SocketFilter,
        "Fields of the context are read from its pointer as it was handed over.",
        "Put the offset into the access (`ctx->field`); keep compilers from computing the address first.",
        "r1 += 4\nr0 = *(u32 *)(r1 + 0)\nexit" => "r0 = *(u32 *)(r1 + 4)\nexit";
    "a pointer to the context moved backwards" ["negative offset ", " ptr ", "disallowed"]: SocketFilter,
        "There is nothing before it.",
        "Hand the pointer over as it is.",
        "r6 = r1\n*(u64 *)(r10 - 8) = 0\nr1 += -8\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\ncall 26\nr0 = 0\nexit" =>
        "r6 = r1\n*(u64 *)(r10 - 8) = 0\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\ncall 26\nr0 = 0\nexit";
    "a context moved by a number that is not known" ["variable ", "access var_off=", "disallowed"]: SocketFilter,
        "Which field that would be is not known.",
        "Read each field by name, for instance in a `switch`.",
        "r2 = *(u32 *)(r1 + 0)\nr2 &= 4\nr1 += r2\nr0 = *(u32 *)(r1 + 48)\nexit" => "r2 = *(u32 *)(r1 + 0)\nr0 = *(u32 *)(r1 + 48)\nif r2 == 0 goto out\nr0 = *(u32 *)(r1 + 52)\nout: exit";
    "a slot of the stack that is not known" ["invalid variable-offset "]: SocketFilter,
        "The access may lie anywhere in the range, and part of that is outside of the frame or was not written.",
        "Bound the index so that all of the range is a variable that was initialised whole.",
        "r2 = *(u32 *)(r1 + 0)\nr2 &= 8\nr3 = r10\nr3 += -4\nr3 += r2\n*(u8 *)(r3 + 0) = 0\nr0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nr2 = *(u32 *)(r1 + 0)\nr2 &= 8\nr3 = r10\nr3 += -16\nr3 += r2\nr0 = *(u8 *)(r3 + 0)\nexit";
    "a pointer that was returned to its caller" ["cannot return stack pointer to the caller"]: SocketFilter,
        "The frame of a function is gone when it returns.",
        "Let the caller hand over a pointer to its own variable.",
        "call f\nr0 = 0\nexit\nf: r0 = r10\nexit" => "r1 = r10\nr1 += -8\ncall f\nr0 = 0\nexit\nf: *(u64 *)(r1 + 0) = 0\nr0 = 0\nexit";
    "a return value that is no number" ["is not a known value"]: CgroupSkb,
        "What is returned decides what happens to the packet, so it is a number in a certain range.",
        "Return one of the values that this attachment knows.",
        "r0 = r1\nexit" => "r0 = 1\nexit";
    "too many calls within calls" ["the call stack of ", "too deep"]: SocketFilter,
        "Eight functions may call one another at most.",
        "Inline the smaller ones, or call them in turn.",
        "call a\nr0 = 0\nexit\na: call b\nexit\nb: call c\nexit\nc: call d\nexit\nd: call e\nexit\ne: call f\nexit\nf: call g\nexit\ng: call h\nexit\nh: r0 = 0\nexit" =>
        "call a\ncall b\nr0 = 0\nexit\na: r0 = 0\nexit\nb: r0 = 0\nexit";
    "a call under a lock" ["function calls are not allowed while holding a lock"]: SchedCls,
        "Between taking and releasing a lock hardly anything may be called.",
        "Call before the lock is taken or after it is released.",
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:2]\ncall 1\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\ncall 93\ncall 5\nr1 = r6\ncall 94\nout: r0 = 0\nexit" =>
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:2]\ncall 1\nif r0 == 0 goto out\nr6 = r0\ncall 5\nr1 = r6\ncall 93\nr1 = r6\ncall 94\nout: r0 = 0\nexit";
    "what was not acquired given back" ["must be referenced when passed to release function"]: SchedCls,
        "Only what a function acquired is released, and only once.",
        "Release what a lookup gave, not a pointer that was found elsewhere.",
        "r6 = *(u64 *)(r1 + 168)\nif r6 == 0 goto out\nr1 = r6\ncall 86\nout: r0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = -1\nr5 = 0\ncall 84\nif r0 == 0 goto out\nr1 = r0\ncall 86\nout: r0 = 0\nexit";
    "a map of the wrong type" ["cannot pass map_type "]: SocketFilter,
        "The helper is for other types of maps.",
        "Use the helper for maps of this type: lookups for hashes and arrays, push and pop for queues and stacks.",
        "*(u64 *)(r10 - 8) = 0\nr1 = map[fd:0]\nr2 = r10\nr2 += -8\nr3 = 0\ncall 87\nr0 = 0\nexit" =>
        "*(u64 *)(r10 - 8) = 0\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -8\nr4 = 0\ncall 2\nr0 = 0\nexit";
    "a write to a map that is only read" ["write into map forbidden"]: SocketFilter,
        "The map was made with `BPF_F_RDONLY_PROG`, as `.rodata` is: programs do not write it.",
        "Keep what changes in another map, or in a global variable that is not `const`.",
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:3]\ncall 1\nif r0 == 0 goto out\n*(u64 *)(r0 + 0) = 1\nout: r0 = 0\nexit" =>
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd:3]\ncall 1\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\nout: exit";
    "memory that a helper may not see" ["helper access to the packet is not allowed"]: SchedCls,
        "Not every helper takes memory of packets.",
        "Let it work on a variable on the stack, and copy from or to the packet.",
        "r6 = r1\nr3 = *(u32 *)(r1 + 76)\nr2 = *(u32 *)(r1 + 80)\nr4 = r3\nr4 += 8\nif r4 > r2 goto out\nr1 = r6\nr2 = 0\nr4 = 8\ncall 26\nout: r0 = 0\nexit" =>
        "r2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\ncall 26\nr0 = 0\nexit";
    "an atomic operation on what has none" ["BPF_ATOMIC ", "is not allowed"]: SchedCls,
        "Contexts, packets and sockets are no memory for atomic operations.",
        "Count in a map.",
        "r2 = 1\nlock *(u32 *)(r1 + 8) += r2\nr0 = 0\nexit" => "*(u64 *)(r10 - 8) = 0\nr2 = 1\nlock *(u64 *)(r10 - 8) += r2\nr0 = 0\nexit";
    "a dynamic pointer that is none" ["nitialized dynptr"]: SocketFilter,
        "The stack there holds no dynamic pointer: it was not made, was given away, or was written over.",
        "Make it first (`bpf_dynptr_from_mem`, `bpf_ringbuf_reserve_dynptr`), on every path, and do not touch its bytes.",
        "r1 = r10\nr1 += -8\nr2 = 8\nr3 = r10\nr3 += -24\nr4 = 0\nr5 = 0\ncall 201\nr0 = 0\nexit" =>
        "r1 = map[fd:1]\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -16\ncall 198\nr1 = r10\nr1 += -16\nr2 = 0\ncall 200\nr0 = 0\nexit";
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
