//! Dynamic pointers: to packets and memory, narrowed, copied, filled.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Makes a dynamic pointer to a packet in the stack.
    fn bpf_dynptr_from_skb(s: "struct __sk_buff *", flags: "u64", ptr__uninit: "struct bpf_dynptr *") -> "int", PACKETS, [TrustedArgs];

    /// Makes a dynamic pointer to the metadata before a packet.
    fn bpf_dynptr_from_skb_meta(skb_: "struct __sk_buff *", flags: "u64", ptr__uninit: "struct bpf_dynptr *") -> "int", METADATA, [TrustedArgs];

    /// Makes a dynamic pointer to a frame.
    fn bpf_dynptr_from_xdp(x: "struct xdp_md *", flags: "u64", ptr__uninit: "struct bpf_dynptr *") -> "int", XDP, [];

    /// Bytes to be read, where they are or copied into the buffer; null if they are not there.
    fn bpf_dynptr_slice(p: "const struct bpf_dynptr *", offset: "u32", buffer__opt: "void *", buffer__szk: "u32") -> "void *", COMMON, [RetNull];

    /// Bytes to be read and written; null if they are not there or may not be written.
    fn bpf_dynptr_slice_rdwr(p: "const struct bpf_dynptr *", offset: "u32", buffer__opt: "void *", buffer__szk: "u32") -> "void *", COMMON, [RetNull];

    /// Narrows a dynamic pointer to what lies between two offsets.
    fn bpf_dynptr_adjust(p: "const struct bpf_dynptr *", start: "u32", end: "u32") -> "int", COMMON, [];

    /// Whether it points nowhere.
    fn bpf_dynptr_is_null(p: "const struct bpf_dynptr *") -> "bool", COMMON, [];

    /// Whether what it points to may only be read.
    fn bpf_dynptr_is_rdonly(p: "const struct bpf_dynptr *") -> "bool", COMMON, [];

    /// How many bytes it points to.
    fn bpf_dynptr_size(p: "const struct bpf_dynptr *") -> "__u32", COMMON, [];

    /// Makes another one to the same bytes.
    fn bpf_dynptr_clone(p: "const struct bpf_dynptr *", clone__uninit: "struct bpf_dynptr *") -> "int", COMMON, [];

    /// Copies bytes from one to another.
    fn bpf_dynptr_copy(dst_ptr: "struct bpf_dynptr *", dst_off: "u32", src_ptr: "struct bpf_dynptr *", src_off: "u32", size: "u32") -> "int", COMMON, [];

    /// Fills bytes with a value.
    fn bpf_dynptr_memset(p: "struct bpf_dynptr *", offset: "u32", size: "u32", val: "u8") -> "int", COMMON, [];

    /// Copies memory of the kernel.
    fn bpf_probe_read_kernel_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *") -> "int", COMMON, [];

    /// Copies memory of the task.
    fn bpf_probe_read_user_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *") -> "int", COMMON, [];

    /// Copies a string of the kernel.
    fn bpf_probe_read_kernel_str_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *") -> "int", COMMON, [];

    /// Copies a string of the task.
    fn bpf_probe_read_user_str_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *") -> "int", COMMON, [];

    /// Copies memory of the task, and may wait for it.
    fn bpf_copy_from_user_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *") -> "int", COMMON, [Sleepable];

    /// Copies a string of the task, and may wait for it.
    fn bpf_copy_from_user_str_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *") -> "int", COMMON, [Sleepable];

    /// Copies memory of another task, and may wait for it.
    fn bpf_copy_from_user_task_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *", tsk: "struct task_struct *") -> "int", COMMON, [Sleepable, TrustedArgs];

    /// Copies a string of another task, and may wait for it.
    fn bpf_copy_from_user_task_str_dynptr(dptr: "struct bpf_dynptr *", off: "u32", size: "u32", unsafe_ptr__ign: "const void *", tsk: "struct task_struct *") -> "int", COMMON, [Sleepable, TrustedArgs];
}
