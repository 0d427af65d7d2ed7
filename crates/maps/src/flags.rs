//! The flags of maps and of their operations (`include/uapi/linux/bpf.h`).

/// Elements are allocated when they are inserted.
pub const NO_PREALLOC: u32 = 1 << 0;
/// Each CPU has its own list of least recently used elements.
pub const NO_COMMON_LRU: u32 = 1 << 1;
/// Memory of one NUMA node is asked for.
pub const NUMA_NODE: u32 = 1 << 2;
/// The user's handle may only read.
pub const RDONLY: u32 = 1 << 3;
/// The user's handle may only write.
pub const WRONLY: u32 = 1 << 4;
/// A stack is a list of build ids and offsets instead of addresses.
pub const STACK_BUILD_ID: u32 = 1 << 5;
/// The hash function has no random seed.
pub const ZERO_SEED: u32 = 1 << 6;
/// Programs may only read.
pub const RDONLY_PROG: u32 = 1 << 7;
/// Programs may only write.
pub const WRONLY_PROG: u32 = 1 << 8;
/// A socket's storage is copied to the sockets it accepts.
pub const CLONE: u32 = 1 << 9;
/// The values can be mapped into the user's memory.
pub const MMAPABLE: u32 = 1 << 10;
/// Events stay when the handle that put them in is closed.
pub const PRESERVE_ELEMS: u32 = 1 << 11;
/// Inner maps may have another number of elements than the outer map's pattern.
pub const INNER_MAP: u32 = 1 << 12;
/// A structure of operations is attached by a link.
pub const LINK: u32 = 1 << 13;
/// The value's type is in the BTF of a module.
pub const VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
/// A token comes with the request.
pub const TOKEN_FD: u32 = 1 << 16;
/// A user's access to an absent page of an arena is a fault.
pub const SEGV_ON_FAULT: u32 = 1 << 17;
/// Pointers into an arena are not converted for the user.
pub const NO_USER_CONV: u32 = 1 << 18;

/// Who may access the map.
pub const ACCESS_MASK: u32 = RDONLY | RDONLY_PROG | WRONLY | WRONLY_PROG;

/// Create the element or replace it.
pub const ANY: u64 = 0;
/// Create the element only if it is absent.
pub const NOEXIST: u64 = 1;
/// Replace the element only if it is there.
pub const EXIST: u64 = 2;
/// Copy the value under its spin lock.
pub const F_LOCK: u64 = 4;

/// Wake nobody for this record.
pub const RB_NO_WAKEUP: u64 = 1 << 0;
/// Wake the consumer in any case.
pub const RB_FORCE_WAKEUP: u64 = 1 << 1;

/// [`crate::Map::storage_get`] creates what is absent.
pub const LOCAL_STORAGE_GET_F_CREATE: u64 = 1 << 0;

/// Both access flags of one side are set: nobody could do anything.
pub(crate) fn access_ok(flags: u32) -> bool {
    flags & (RDONLY_PROG | WRONLY_PROG) != RDONLY_PROG | WRONLY_PROG
}
