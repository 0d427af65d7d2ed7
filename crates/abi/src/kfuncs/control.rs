//! Locks, critical sections, casts, and the way out of a program.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// What is read under it stays until it ends.
    fn bpf_rcu_read_lock() -> "void", COMMON, [];

    /// Ends it.
    fn bpf_rcu_read_unlock() -> "void", COMMON, [];

    /// Keeps the processor.
    fn bpf_preempt_disable() -> "void", COMMON, [];

    /// Lets others have it again.
    fn bpf_preempt_enable() -> "void", COMMON, [];

    /// Keeps interrupts away.
    fn bpf_local_irq_save(flags__irq_flag: "long unsigned int *") -> "void", COMMON, [];

    /// Lets them in again, as the flags say.
    fn bpf_local_irq_restore(flags__irq_flag: "long unsigned int *") -> "void", COMMON, [];

    /// Takes a lock, or gives the error that keeps it from waiting for ever.
    fn bpf_res_spin_lock(lock: "struct bpf_res_spin_lock *") -> "int", COMMON, [RetNull];

    /// Gives it back.
    fn bpf_res_spin_unlock(lock: "struct bpf_res_spin_lock *") -> "void", COMMON, [];

    /// The same with interrupts kept away.
    fn bpf_res_spin_lock_irqsave(lock: "struct bpf_res_spin_lock *", flags__irq_flag: "long unsigned int *") -> "int", COMMON, [RetNull];

    /// Gives it back and lets them in again.
    fn bpf_res_spin_unlock_irqrestore(lock: "struct bpf_res_spin_lock *", flags__irq_flag: "long unsigned int *") -> "void", COMMON, [];

    /// Ends the program: its exception callback is called with the number, or the number is the answer.
    fn bpf_throw(cookie: "u64") -> "void", GENERIC, [];

    /// What the compiler puts where a program cannot come: nothing may call it.
    fn __bpf_trap() -> "void", COMMON, [];

    /// The context as the kernel has it.
    fn bpf_cast_to_kern_ctx(obj: "void *") -> "void *", COMMON, [Fastcall];

    /// The same pointer as one to a type of the kernel, to be read.
    fn bpf_rdonly_cast(obj__ign: "const void *", btf_id__k: "u32") -> "void *", COMMON, [Fastcall];

    /// How many elements a map counts.
    fn bpf_map_sum_elem_count(map: "const struct bpf_map *") -> "s64", COMMON, [TrustedArgs];

    /// Makes a work queue in a map's value.
    fn bpf_wq_init(wq: "struct bpf_wq *", p__map: "void *", flags: "unsigned int") -> "int", COMMON, [];

    /// Says what the work is.
    fn bpf_wq_set_callback_impl(wq: "struct bpf_wq *", callback_fn: "func *", flags: "unsigned int", aux__prog: "void *") -> "int", COMMON, [];

    /// Has the work done soon.
    fn bpf_wq_start(wq: "struct bpf_wq *", flags: "unsigned int") -> "int", COMMON, [];

    /// Has a function called when the task is next interrupted.
    fn bpf_task_work_schedule_signal_impl(task: "struct task_struct *", tw: "struct bpf_task_work *", map__map: "void *", callback: "bpf_task_work_callback_t", aux__prog: "void *") -> "int", GENERIC, [TrustedArgs];

    /// Has a function called when the task next returns to its program.
    fn bpf_task_work_schedule_resume_impl(task: "struct task_struct *", tw: "struct bpf_task_work *", map__map: "void *", callback: "bpf_task_work_callback_t", aux__prog: "void *") -> "int", GENERIC, [TrustedArgs];

    /// Makes pages of an arena, or gives null.
    fn bpf_arena_alloc_pages(p__map: "void *", addr__ign: "void *", page_cnt: "u32", node_id: "int", flags: "u64") -> "void *", COMMON, [TrustedArgs, Sleepable];

    /// Gives pages of an arena back.
    fn bpf_arena_free_pages(p__map: "void *", ptr__ign: "void *", page_cnt: "u32") -> "void", COMMON, [TrustedArgs, Sleepable];

    /// Keeps pages of an arena from being allocated.
    fn bpf_arena_reserve_pages(p__map: "void *", ptr__ign: "void *", page_cnt: "u32") -> "int", COMMON, [TrustedArgs, Sleepable];

    /// Prints into a stream of the program.
    fn bpf_stream_vprintk_impl(stream_id: "int", fmt__str: "const char *", args: "const void *", len__sz: "u32", aux__prog: "void *") -> "int", COMMON, [TrustedArgs];
}
