//! The system: time, processors, tasks, control groups, text.

use super::table;

table! {
    /// Nanoseconds since boot, not counting suspension.
    KTIME_GET_NS = 5 ktime_get_ns() -> Scalar, [];
    /// A pseudo-random number.
    GET_PRANDOM_U32 = 7 get_prandom_u32() -> Scalar, [];
    /// The processor that the program runs on.
    GET_SMP_PROCESSOR_ID = 8 get_smp_processor_id() -> Scalar, [ReturnsCpu, KeepsRegisters];
    /// The processor that the program runs on.
    GET_RAW_SMP_PROCESSOR_ID = 8 get_smp_processor_id() -> Scalar, [ReturnsCpu];
    /// The thread's id in the low half, the process's in the high half.
    GET_CURRENT_PID_TGID = 14 get_current_pid_tgid() -> Scalar, [];
    /// The current user's id in the low half, the group's in the high half.
    GET_CURRENT_UID_GID = 15 get_current_uid_gid() -> Scalar, [];
    /// The name of the current thread.
    GET_CURRENT_COMM = 16 get_current_comm(buf: WriteMem, size_of_buf: MemLen) -> Scalar, [];
    /// The class that the traffic control cgroup gives.
    GET_CGROUP_CLASSID = 17 get_cgroup_classid(skb: Context) -> Scalar, [];
    /// The class that the traffic control cgroup gives.
    GET_CGROUP_CLASSID_CURRENT = 17 get_cgroup_classid() -> Scalar, [];
    /// The address of the current task.
    GET_CURRENT_TASK = 35 get_current_task() -> Scalar, [GplOnly];
    /// Whether the current task is below a cgroup of the array.
    CURRENT_TASK_UNDER_CGROUP = 37 current_task_under_cgroup(map: Map, index: Anything) -> Scalar, [];
    /// The memory node of the processor.
    GET_NUMA_NODE_ID = 42 get_numa_node_id() -> Scalar, [];
    /// The id of the current task's cgroup.
    GET_CURRENT_CGROUP_ID = 80 get_current_cgroup_id() -> Scalar, [];
    /// Reads a signed number from text; returns how many characters it took.
    STRTOL = 105 strtol(buf: ReadMem, buf_len: MemLen, flags: Anything, res: FixedWrite(8)) -> Scalar, [];
    /// Reads an unsigned number from text; returns how many characters it took.
    STRTOUL = 106 strtoul(buf: ReadMem, buf_len: MemLen, flags: Anything, res: FixedWrite(8)) -> Scalar, [];
    /// The kernel's tick counter.
    JIFFIES64 = 118 jiffies64() -> Scalar, [];
    /// The current thread and process as a pid namespace numbers them.
    GET_NS_CURRENT_PID_TGID = 120 get_ns_current_pid_tgid(dev: Anything, ino: Anything, nsdata: WriteMem, size: MemLen) -> Scalar, [];
    /// The id of an ancestor of the current task's cgroup.
    GET_CURRENT_ANCESTOR_CGROUP_ID = 123 get_current_ancestor_cgroup_id(ancestor_level: Anything) -> Scalar, [];
    /// Nanoseconds since boot, counting suspension.
    KTIME_GET_BOOT_NS = 125 ktime_get_boot_ns() -> Scalar, [];
    /// The current task, as a typed pointer.
    GET_CURRENT_TASK_BTF = 158 get_current_task_btf() -> TrustedBtf("task_struct"), [GplOnly];
    /// Nanoseconds since boot as of the last tick.
    KTIME_GET_COARSE_NS = 160 ktime_get_coarse_ns() -> Scalar, [];
    /// Makes a bpf(2) call.
    SYS_BPF = 166 sys_bpf(cmd: Anything, attr: ReadMem, attr_size: MemLen) -> Scalar, [Sleeps];
    /// The id of a type of the kernel by its name.
    BTF_FIND_BY_NAME_KIND = 167 btf_find_by_name_kind(name: ReadMem, name_sz: MemLen, kind: Anything, flags: Anything) -> Scalar, [Sleeps];
    /// Closes a file descriptor.
    SYS_CLOSE = 168 sys_close(fd: Anything) -> Scalar, [Sleeps];
    /// The address of a symbol of the kernel.
    KALLSYMS_LOOKUP_NAME = 179 kallsyms_lookup_name(name: ReadMem, name_sz: MemLenOrZero, flags: Anything, res: FixedWrite(8)) -> Scalar, [];
    /// Calls a function so many times.
    LOOP = 181 r#loop(nr_loops: Anything, callback_fn: Callback, callback_ctx: StackOrNull, flags: Anything) -> Scalar, [];
    /// Compares a buffer with a constant string.
    STRNCMP = 182 strncmp(s1: ReadMem, s1_sz: MemLen, s2: ConstStr) -> Scalar, [];
    /// International atomic time in nanoseconds.
    KTIME_GET_TAI_NS = 208 ktime_get_tai_ns() -> Scalar, [];
}
