//! Tracing: memory, stacks, samples, and the function that is traced.

use super::table;

table! {
    /// Copies bytes from any address; an error instead of a fault when they are not there.
    PROBE_READ = 4 probe_read(dst: WriteMem, size: MemLenOrZero, unsafe_ptr: Anything) -> Scalar, [GplOnly];
    /// Formats up to three numbers into the trace pipe.
    TRACE_PRINTK = 6 trace_printk(fmt: ReadMem, fmt_size: MemLen) -> Scalar, [GplOnly];
    /// Reads a performance counter of a perf event array.
    PERF_EVENT_READ = 22 perf_event_read(map: Map, flags: Anything) -> Scalar, [GplOnly];
    /// Writes a sample to a perf event array, with bytes of the packet or event when asked.
    PERF_EVENT_OUTPUT = 25 perf_event_output(ctx: Context, map: Map, flags: Anything, data: ReadMem, size: MemLenOrZero) -> Scalar, [GplOnly];
    /// Walks the stack, stores it in a stack trace map and returns its number.
    GET_STACKID = 27 get_stackid(ctx: Context, map: Map, flags: Anything) -> Scalar, [GplOnly];
    /// Walks the stack, stores it in a stack trace map and returns its number.
    GET_STACKID_PERF_EVENT = 27 get_stackid(ctx: Context, map: Map, flags: Anything) -> Scalar, [];
    /// Writes bytes into the memory of the current process.
    PROBE_WRITE_USER = 36 probe_write_user(dst: Anything, src: ReadMem, len: MemLen) -> Scalar, [GplOnly];
    /// Copies a string from any address, up to its zero byte.
    PROBE_READ_STR = 45 probe_read_str(dst: WriteMem, size: MemLenOrZero, unsafe_ptr: Anything) -> Scalar, [GplOnly, ReturnsLength];
    /// Reads a counter together with the time it was enabled and running.
    PERF_EVENT_READ_VALUE = 55 perf_event_read_value(map: Map, flags: Anything, buf: WriteMem, buf_size: MemLen) -> Scalar, [GplOnly];
    /// Reads the counter of the event that runs the program.
    PERF_PROG_READ_VALUE = 56 perf_prog_read_value(ctx: Context, buf: WriteMem, buf_size: MemLen) -> Scalar, [GplOnly];
    /// Makes the probed function return a value without running.
    OVERRIDE_RETURN = 58 override_return(regs: Context, rc: Anything) -> Scalar, [GplOnly];
    /// Walks the stack of the kernel or of the process into a buffer.
    GET_STACK = 67 get_stack(ctx: Context, buf: WriteMem, size: MemLenOrZero, flags: Anything) -> Scalar, [GplOnly, ReturnsLength];
    /// Walks the stack of the kernel or of the process into a buffer.
    GET_STACK_SLEEPABLE = 67 get_stack(ctx: Context, buf: WriteMem, size: MemLenOrZero, flags: Anything) -> Scalar, [GplOnly, Sleeps, ReturnsLength];
    /// Sends a signal to the current process.
    SEND_SIGNAL = 109 send_signal(sig: Anything) -> Scalar, [];
    /// Writes a sample of a socket buffer to a perf event array.
    SKB_OUTPUT = 111 skb_output(ctx: Btf("sk_buff"), map: Map, flags: Anything, data: ReadMem, size: MemLenOrZero) -> Scalar, [GplOnly];
    /// Copies bytes from the memory of the current process.
    PROBE_READ_USER = 112 probe_read_user(dst: WriteMem, size: MemLenOrZero, unsafe_ptr: Anything) -> Scalar, [GplOnly];
    /// Copies bytes from the memory of the kernel.
    PROBE_READ_KERNEL = 113 probe_read_kernel(dst: WriteMem, size: MemLenOrZero, unsafe_ptr: Anything) -> Scalar, [GplOnly];
    /// Copies a string from the memory of the current process.
    PROBE_READ_USER_STR = 114 probe_read_user_str(dst: WriteMem, size: MemLenOrZero, unsafe_ptr: Anything) -> Scalar, [GplOnly, ReturnsLength];
    /// Copies a string from the memory of the kernel.
    PROBE_READ_KERNEL_STR = 115 probe_read_kernel_str(dst: WriteMem, size: MemLenOrZero, unsafe_ptr: Anything) -> Scalar, [GplOnly, ReturnsLength];
    /// Sends a signal to the current thread.
    SEND_SIGNAL_THREAD = 117 send_signal_thread(sig: Anything) -> Scalar, [];
    /// Copies the processor's record of recent branches that came with the event.
    READ_BRANCH_RECORDS = 119 read_branch_records(ctx: Context, buf: UpdateMemOrNull, size: MemLenOrZero, flags: Anything) -> Scalar, [GplOnly];
    /// Writes a sample of an XDP frame to a perf event array.
    XDP_OUTPUT = 121 xdp_output(ctx: Btf("xdp_buff"), map: Map, flags: Anything, data: ReadMem, size: MemLenOrZero) -> Scalar, [GplOnly];
    /// Formats text into the iterator's file.
    SEQ_PRINTF = 126 seq_printf(m: Btf("seq_file"), fmt: ReadMem, fmt_size: MemLen, data: ReadMemOrNull, data_len: MemLenOrZero) -> Scalar, [GplOnly];
    /// Writes bytes into the iterator's file.
    SEQ_WRITE = 127 seq_write(m: Btf("seq_file"), data: ReadMem, len: MemLenOrZero) -> Scalar, [GplOnly];
    /// Walks the stack of a task into a buffer.
    GET_TASK_STACK = 141 get_task_stack(task: Btf("task_struct"), buf: WriteMem, size: MemLenOrZero, flags: Anything) -> Scalar, [ReturnsLength];
    /// Walks the stack of a task into a buffer.
    GET_TASK_STACK_SLEEPABLE = 141 get_task_stack(task: Btf("task_struct"), buf: WriteMem, size: MemLenOrZero, flags: Anything) -> Scalar, [Sleeps, ReturnsLength];
    /// The path of a file.
    D_PATH = 147 d_path(path: Btf("path"), buf: UpdateMem, sz: MemLenOrZero) -> Scalar, [];
    /// Copies bytes from the memory of the current process, waiting for pages.
    COPY_FROM_USER = 148 copy_from_user(dst: WriteMem, size: MemLenOrZero, user_ptr: Anything) -> Scalar, [Sleeps];
    /// Formats a kernel object by its type into a buffer.
    SNPRINTF_BTF = 149 snprintf_btf(str: UpdateMem, str_size: MemLen, ptr: ReadMem, btf_ptr_size: MemLen, flags: Anything) -> Scalar, [];
    /// Formats a kernel object by its type into the iterator's file.
    SEQ_PRINTF_BTF = 150 seq_printf_btf(m: Btf("seq_file"), ptr: ReadMem, ptr_size: MemLenOrZero, flags: Anything) -> Scalar, [GplOnly];
    /// Changes how a program that is being executed is started.
    BPRM_OPTS_SET = 159 bprm_opts_set(bprm: Btf("linux_binprm"), flags: Anything) -> Scalar, [];
    /// The measured hash of an inode.
    IMA_INODE_HASH = 161 ima_inode_hash(inode: Btf("inode"), dst: WriteMem, size: MemLen) -> Scalar, [Sleeps];
    /// Formats text into a buffer.
    SNPRINTF = 165 snprintf(str: UpdateMemOrNull, str_size: MemLenOrZero, fmt: ConstStr, data: ReadMemOrNull, data_len: MemLenOrZero) -> Scalar, [GplOnly];
    /// The address of the traced function.
    GET_FUNC_IP = 173 get_func_ip(ctx: Context) -> Scalar, [GplOnly];
    /// The address of the traced function.
    GET_FUNC_IP_MULTI = 173 get_func_ip(ctx: Context) -> Scalar, [];
    /// The number that was given when the program was attached.
    GET_ATTACH_COOKIE = 174 get_attach_cookie(ctx: Context) -> Scalar, [];
    /// The user registers of a task.
    TASK_PT_REGS = 175 task_pt_regs(task: Btf("task_struct")) -> Btf("pt_regs"), [GplOnly];
    /// Copies the processor's record of recent branches.
    GET_BRANCH_SNAPSHOT = 176 get_branch_snapshot(entries: WriteMem, size: MemLenOrZero) -> Scalar, [GplOnly];
    /// Formats an array of numbers into the trace pipe.
    TRACE_VPRINTK = 177 trace_vprintk(fmt: ReadMem, fmt_size: MemLen, data: ReadMemOrNull, data_len: MemLenOrZero) -> Scalar, [GplOnly];
    /// Calls a function with the area of a task's memory that holds an address.
    FIND_VMA = 180 find_vma(task: Btf("task_struct"), addr: Anything, callback_fn: Callback, callback_ctx: StackOrNull, flags: Anything) -> Scalar, [];
    /// An argument of the traced function, by its number.
    GET_FUNC_ARG = 183 get_func_arg(ctx: Context, n: Anything, value: FixedWrite(8)) -> Scalar, [];
    /// What the traced function returned.
    GET_FUNC_RET = 184 get_func_ret(ctx: Context, value: FixedWrite(8)) -> Scalar, [];
    /// How many arguments the traced function has.
    GET_FUNC_ARG_CNT = 185 get_func_arg_cnt(ctx: Context) -> Scalar, [];
    /// Copies bytes from the memory of a task, waiting for pages.
    COPY_FROM_USER_TASK = 191 copy_from_user_task(dst: WriteMem, size: MemLenOrZero, user_ptr: Anything, tsk: Btf("task_struct"), flags: Anything) -> Scalar, [GplOnly, Sleeps];
    /// The measured hash of a file.
    IMA_FILE_HASH = 193 ima_file_hash(file: Btf("file"), dst: WriteMem, size: MemLen) -> Scalar, [Sleeps];
}
