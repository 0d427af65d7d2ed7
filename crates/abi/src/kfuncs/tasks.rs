//! Tasks, control groups, files and keys of the kernel.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Takes a reference to a task, or gives null.
    fn bpf_task_acquire(p: "struct task_struct *") -> "struct task_struct *", GENERIC, [Acquire, Rcu, RetNull];

    /// Gives one back.
    fn bpf_task_release(p: "struct task_struct *") -> "void", GENERIC, [Release];

    /// The task with this number, or null.
    fn bpf_task_from_pid(pid: "s32") -> "struct task_struct *", GENERIC, [Acquire, RetNull];

    /// The same, numbers being those of the running task's namespace.
    fn bpf_task_from_vpid(vpid: "s32") -> "struct task_struct *", GENERIC, [Acquire, RetNull];

    /// Whether a task is in a control group or below it.
    fn bpf_task_under_cgroup(task: "struct task_struct *", ancestor: "struct cgroup *") -> "long int", GENERIC, [Rcu];

    /// The control group of a task in a hierarchy of version 1, or null.
    fn bpf_task_get_cgroup1(task: "struct task_struct *", hierarchy_id: "int") -> "struct cgroup *", GENERIC, [Acquire, Rcu, RetNull];

    /// Takes a reference to a control group, or gives null.
    fn bpf_cgroup_acquire(cgrp: "struct cgroup *") -> "struct cgroup *", GENERIC, [Acquire, Rcu, RetNull];

    /// Gives one back.
    fn bpf_cgroup_release(cgrp: "struct cgroup *") -> "void", GENERIC, [Release];

    /// The control group above another at a level, or null.
    fn bpf_cgroup_ancestor(cgrp: "struct cgroup *", level: "int") -> "struct cgroup *", GENERIC, [Acquire, Rcu, RetNull];

    /// The control group with this number, or null.
    fn bpf_cgroup_from_id(cgid: "u64") -> "struct cgroup *", GENERIC, [Acquire, RetNull];

    /// An extended attribute of a control group.
    fn bpf_cgroup_read_xattr(cgroup: "struct cgroup *", name__str: "const char *", value_p: "struct bpf_dynptr *") -> "int", COMMON, [Rcu];

    /// Sends a signal to a task.
    fn bpf_send_signal_task(task: "struct task_struct *", sig: "int", type: "enum pid_type", value: "u64") -> "int", COMMON, [TrustedArgs];

    /// The cache of objects that an address belongs to, or null.
    fn bpf_get_kmem_cache(addr: "u64") -> "struct kmem_cache *", COMMON, [RetNull];

    /// The file that a task runs, or null.
    fn bpf_get_task_exe_file(task: "struct task_struct *") -> "struct file *", FILES, [Acquire, TrustedArgs, RetNull];

    /// Gives a reference to a file back.
    fn bpf_put_file(file: "struct file *") -> "void", FILES, [Release];

    /// The name of a path.
    fn bpf_path_d_path(path: "const struct path *", buf: "char *", buf__sz: "size_t") -> "int", FILES, [TrustedArgs];

    /// An extended attribute of a directory entry.
    fn bpf_get_dentry_xattr(dentry: "struct dentry *", name__str: "const char *", value_p: "struct bpf_dynptr *") -> "int", FILES, [Sleepable, TrustedArgs];

    /// An extended attribute of a file.
    fn bpf_get_file_xattr(file: "struct file *", name__str: "const char *", value_p: "struct bpf_dynptr *") -> "int", FILES, [Sleepable, TrustedArgs];

    /// Sets an extended attribute of a directory entry.
    fn bpf_set_dentry_xattr(dentry: "struct dentry *", name__str: "const char *", value_p: "const struct bpf_dynptr *", flags: "int") -> "int", FILES, [Sleepable, TrustedArgs];

    /// Removes an extended attribute of a directory entry.
    fn bpf_remove_dentry_xattr(dentry: "struct dentry *", name__str: "const char *") -> "int", FILES, [Sleepable, TrustedArgs];

    /// A keyring of a user, or null.
    fn bpf_lookup_user_key(serial: "s32", flags: "u64") -> "struct bpf_key *", KEYS, [Acquire, RetNull, Sleepable];

    /// A keyring of the system, or null.
    fn bpf_lookup_system_key(id: "u64") -> "struct bpf_key *", KEYS, [Acquire, RetNull];

    /// Gives a keyring back.
    fn bpf_key_put(bkey: "struct bpf_key *") -> "void", KEYS, [Release];

    /// Makes a context of encryption, or gives null.
    fn bpf_crypto_ctx_create(params: "const struct bpf_crypto_params *", params__sz: "u32", err: "int *") -> "struct bpf_crypto_ctx *", SYSCALL, [Acquire, RetNull, Sleepable];

    /// Takes a reference to it, or gives null.
    fn bpf_crypto_ctx_acquire(ctx: "struct bpf_crypto_ctx *") -> "struct bpf_crypto_ctx *", SYSCALL, [Acquire, Rcu, RetNull];

    /// Gives one back.
    fn bpf_crypto_ctx_release(ctx: "struct bpf_crypto_ctx *") -> "void", SYSCALL, [Release];

    /// Encrypts what a dynamic pointer points to.
    fn bpf_crypto_encrypt(ctx: "struct bpf_crypto_ctx *", src: "const struct bpf_dynptr *", dst: "const struct bpf_dynptr *", siv__nullable: "const struct bpf_dynptr *") -> "int", CRYPTO, [Rcu];

    /// Decrypts what a dynamic pointer points to.
    fn bpf_crypto_decrypt(ctx: "struct bpf_crypto_ctx *", src: "const struct bpf_dynptr *", dst: "const struct bpf_dynptr *", siv__nullable: "const struct bpf_dynptr *") -> "int", CRYPTO, [Rcu];

    /// Whether the traced function has returned.
    fn bpf_session_is_return() -> "bool", KPROBES, [];

    /// Eight bytes that belong to a call of the traced function.
    fn bpf_session_cookie() -> "__u64 *", KPROBES, [];

    /// Says that a control group's statistics of a processor changed.
    fn css_rstat_updated(css: "struct cgroup_subsys_state *", cpu: "int") -> "void", COMMON, [];

    /// Adds up a control group's statistics.
    fn css_rstat_flush(css: "struct cgroup_subsys_state *") -> "void", COMMON, [Sleepable];

    /// A function to test programs that change what functions return.
    fn bpf_modify_return_test(a: "int", b: "int *") -> "int", MODIFIED, [];

    /// Another one.
    fn bpf_modify_return_test2(a: "int", b: "int *", c: "short int", d: "int", e: "void *", f: "char", g: "int") -> "int", MODIFIED, [];

    /// Calls a tracepoint for tests.
    fn bpf_modify_return_test_tp(nonce: "int") -> "int", GENERIC, [];

    /// A function to test programs at the entry of functions.
    fn bpf_fentry_test1(a: "int") -> "int", MODIFIED, [Sleepable];

    /// Gives an object of the kernel's tests back.
    fn bpf_kfunc_call_test_release(p: "struct prog_test_ref_kfunc *") -> "void", TEST_RUNS, [Release];

    /// Gives a member of an object of the kernel's tests back.
    fn bpf_kfunc_call_memb_release(p: "struct prog_test_member *") -> "void", TEST_RUNS, [Release];
}
