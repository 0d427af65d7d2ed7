//! Sets of processors.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Makes an empty set, or gives null.
    fn bpf_cpumask_create() -> "struct bpf_cpumask *", CPUMASKS, [Acquire, RetNull];

    /// Takes one more reference to a set.
    fn bpf_cpumask_acquire(cpumask: "struct bpf_cpumask *") -> "struct bpf_cpumask *", CPUMASKS, [Acquire, TrustedArgs];

    /// Gives one back; the last one frees the set.
    fn bpf_cpumask_release(cpumask: "struct bpf_cpumask *") -> "void", CPUMASKS, [Release];

    /// The first processor in a set, or how many processors there are.
    fn bpf_cpumask_first(cpumask: "const struct cpumask *") -> "u32", CPUMASKS, [Rcu];

    /// The first that is not in it.
    fn bpf_cpumask_first_zero(cpumask: "const struct cpumask *") -> "u32", CPUMASKS, [Rcu];

    /// The first that is in both.
    fn bpf_cpumask_first_and(src1: "const struct cpumask *", src2: "const struct cpumask *") -> "u32", CPUMASKS, [Rcu];

    /// Puts a processor in.
    fn bpf_cpumask_set_cpu(cpu: "u32", cpumask: "struct bpf_cpumask *") -> "void", CPUMASKS, [Rcu];

    /// Takes one out.
    fn bpf_cpumask_clear_cpu(cpu: "u32", cpumask: "struct bpf_cpumask *") -> "void", CPUMASKS, [Rcu];

    /// Whether one is in.
    fn bpf_cpumask_test_cpu(cpu: "u32", cpumask: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Puts one in; whether it was.
    fn bpf_cpumask_test_and_set_cpu(cpu: "u32", cpumask: "struct bpf_cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Takes one out; whether it was in.
    fn bpf_cpumask_test_and_clear_cpu(cpu: "u32", cpumask: "struct bpf_cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Puts all in.
    fn bpf_cpumask_setall(cpumask: "struct bpf_cpumask *") -> "void", CPUMASKS, [Rcu];

    /// Takes all out.
    fn bpf_cpumask_clear(cpumask: "struct bpf_cpumask *") -> "void", CPUMASKS, [Rcu];

    /// What is in both; whether that is any.
    fn bpf_cpumask_and(dst: "struct bpf_cpumask *", src1: "const struct cpumask *", src2: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// What is in one of two.
    fn bpf_cpumask_or(dst: "struct bpf_cpumask *", src1: "const struct cpumask *", src2: "const struct cpumask *") -> "void", CPUMASKS, [Rcu];

    /// What is in one of two but not in both.
    fn bpf_cpumask_xor(dst: "struct bpf_cpumask *", src1: "const struct cpumask *", src2: "const struct cpumask *") -> "void", CPUMASKS, [Rcu];

    /// Whether two are the same.
    fn bpf_cpumask_equal(src1: "const struct cpumask *", src2: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Whether two have one in common.
    fn bpf_cpumask_intersects(src1: "const struct cpumask *", src2: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Whether all of the first are in the second.
    fn bpf_cpumask_subset(src1: "const struct cpumask *", src2: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Whether there is none in it.
    fn bpf_cpumask_empty(cpumask: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Whether all are in it.
    fn bpf_cpumask_full(cpumask: "const struct cpumask *") -> "bool", CPUMASKS, [Rcu];

    /// Makes one the same as another.
    fn bpf_cpumask_copy(dst: "struct bpf_cpumask *", src: "const struct cpumask *") -> "void", CPUMASKS, [Rcu];

    /// Any of it, another one at every call.
    fn bpf_cpumask_any_distribute(cpumask: "const struct cpumask *") -> "u32", CPUMASKS, [Rcu];

    /// Any that is in both, another one at every call.
    fn bpf_cpumask_any_and_distribute(src1: "const struct cpumask *", src2: "const struct cpumask *") -> "u32", CPUMASKS, [Rcu];

    /// How many are in it.
    fn bpf_cpumask_weight(cpumask: "const struct cpumask *") -> "u32", CPUMASKS, [Rcu];

    /// Makes a set of a bit map in memory.
    fn bpf_cpumask_populate(cpumask: "struct cpumask *", src: "void *", src__sz: "size_t") -> "int", CPUMASKS, [Rcu];
}
