//! The arena of a program: what its casts between address spaces need to know.
//!
//! A program has at most one (`check_and_resolve_insns` in `kernel/bpf/verifier.c`), and its instructions do not name
//! it: whoever puts the numbers of maps into a program says which it is ([`Program::with_arena`](crate::Program)).

/// Which map the arena of a program is, and where its user has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arena {
    /// The map's number among the program's maps.
    pub map: u32,
    /// The user's address of the first page.
    pub start: u64,
    /// Whether casts to the user's address space give its addresses (not so with `BPF_F_NO_USER_CONV`).
    pub converts: bool,
}
