//! `struct seccomp_data`: a system call as a policy sees it.

use crate::context::context;

context! {
    /// A system call (`struct seccomp_data` of `linux/seccomp.h`).
    pub struct SeccompData, "seccomp_data", 64 bytes {
        /// The number of the system call.
        nr: i32 = NR @ 0,
        /// The calling convention (`AUDIT_ARCH_*`).
        arch: u32 = ARCH @ 4,
        /// The address of the instruction that made the call.
        instruction_pointer: u64 = INSTRUCTION_POINTER @ 8,
        /// The arguments, whether the call takes them or not.
        args: [u64; 6] = ARGS @ 16,
    }
}
