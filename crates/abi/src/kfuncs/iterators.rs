//! Iterators: made on the stack, asked for the next until there is none, and destroyed.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Numbers from a first to before a last.
    fn bpf_iter_num_new(it: "struct bpf_iter_num *", start: "int", end: "int") -> "int", COMMON, [IterNew];

    /// The next number, or null.
    fn bpf_iter_num_next(it: "struct bpf_iter_num *") -> "int *", COMMON, [IterNext, RetNull];

    /// The end of it.
    fn bpf_iter_num_destroy(it: "struct bpf_iter_num *") -> "void", COMMON, [IterDestroy];

    /// The bits that are set in words of memory.
    fn bpf_iter_bits_new(it: "struct bpf_iter_bits *", unsafe_ptr__ign: "const u64 *", nr_words: "u32") -> "int", COMMON, [IterNew];

    /// The number of the next bit, or null.
    fn bpf_iter_bits_next(it: "struct bpf_iter_bits *") -> "int *", COMMON, [IterNext, RetNull];

    /// The end of it.
    fn bpf_iter_bits_destroy(it: "struct bpf_iter_bits *") -> "void", COMMON, [IterDestroy];

    /// Tasks: all processes, all threads, or the threads of one.
    fn bpf_iter_task_new(it: "struct bpf_iter_task *", task__nullable: "struct task_struct *", flags: "unsigned int") -> "int", COMMON, [IterNew, TrustedArgs, RcuProtected];

    /// The next task, or null.
    fn bpf_iter_task_next(it: "struct bpf_iter_task *") -> "struct task_struct *", COMMON, [IterNext, RetNull];

    /// The end of it.
    fn bpf_iter_task_destroy(it: "struct bpf_iter_task *") -> "void", COMMON, [IterDestroy];

    /// The memory areas of a task from an address on.
    fn bpf_iter_task_vma_new(it: "struct bpf_iter_task_vma *", task: "struct task_struct *", addr: "u64") -> "int", COMMON, [IterNew, Rcu];

    /// The next area, or null.
    fn bpf_iter_task_vma_next(it: "struct bpf_iter_task_vma *") -> "struct vm_area_struct *", COMMON, [IterNext, RetNull];

    /// The end of it.
    fn bpf_iter_task_vma_destroy(it: "struct bpf_iter_task_vma *") -> "void", COMMON, [IterDestroy];

    /// Control groups below one.
    fn bpf_iter_css_new(it: "struct bpf_iter_css *", start: "struct cgroup_subsys_state *", flags: "unsigned int") -> "int", COMMON, [IterNew, TrustedArgs, RcuProtected];

    /// The next group, or null.
    fn bpf_iter_css_next(it: "struct bpf_iter_css *") -> "struct cgroup_subsys_state *", COMMON, [IterNext, RetNull];

    /// The end of it.
    fn bpf_iter_css_destroy(it: "struct bpf_iter_css *") -> "void", COMMON, [IterDestroy];

    /// The tasks of a control group.
    fn bpf_iter_css_task_new(it: "struct bpf_iter_css_task *", css: "struct cgroup_subsys_state *", flags: "unsigned int") -> "int", COMMON, [IterNew, TrustedArgs];

    /// The next task, or null.
    fn bpf_iter_css_task_next(it: "struct bpf_iter_css_task *") -> "struct task_struct *", COMMON, [IterNext, RetNull];

    /// The end of it.
    fn bpf_iter_css_task_destroy(it: "struct bpf_iter_css_task *") -> "void", COMMON, [IterDestroy];

    /// The kernel's caches of objects.
    fn bpf_iter_kmem_cache_new(it: "struct bpf_iter_kmem_cache *") -> "int", COMMON, [IterNew, Sleepable];

    /// The next cache, or null.
    fn bpf_iter_kmem_cache_next(it: "struct bpf_iter_kmem_cache *") -> "struct kmem_cache *", COMMON, [IterNext, RetNull, Sleepable];

    /// The end of it.
    fn bpf_iter_kmem_cache_destroy(it: "struct bpf_iter_kmem_cache *") -> "void", COMMON, [IterDestroy, Sleepable];

    /// Buffers that devices share.
    fn bpf_iter_dmabuf_new(it: "struct bpf_iter_dmabuf *") -> "int", COMMON, [IterNew, Sleepable];

    /// The next buffer, or null.
    fn bpf_iter_dmabuf_next(it: "struct bpf_iter_dmabuf *") -> "struct dma_buf *", COMMON, [IterNext, RetNull, Sleepable];

    /// The end of it.
    fn bpf_iter_dmabuf_destroy(it: "struct bpf_iter_dmabuf *") -> "void", COMMON, [IterDestroy, Sleepable];
}
