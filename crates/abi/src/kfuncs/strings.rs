//! Strings, which need not be the program's own.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Compares two strings: -1, 0 or 1.
    fn bpf_strcmp(s1__ign: "const char *", s2__ign: "const char *") -> "int", COMMON, [];

    /// The same, letters of both cases being equal.
    fn bpf_strcasecmp(s1__ign: "const char *", s2__ign: "const char *") -> "int", COMMON, [];

    /// How long a string is.
    fn bpf_strlen(s__ign: "const char *") -> "int", COMMON, [];

    /// The same, looking at so many bytes.
    fn bpf_strnlen(s__ign: "const char *", count: "size_t") -> "int", COMMON, [];

    /// Where a byte is first.
    fn bpf_strchr(s__ign: "const char *", c: "char") -> "int", COMMON, [];

    /// The same, looking at so many bytes.
    fn bpf_strnchr(s__ign: "const char *", count: "size_t", c: "char") -> "int", COMMON, [];

    /// The same, or where the string ends.
    fn bpf_strchrnul(s__ign: "const char *", c: "char") -> "int", COMMON, [];

    /// Where a byte is last.
    fn bpf_strrchr(s__ign: "const char *", c: "int") -> "int", COMMON, [];

    /// How many bytes at the beginning are in a set.
    fn bpf_strspn(s__ign: "const char *", accept__ign: "const char *") -> "int", COMMON, [];

    /// How many bytes at the beginning are not in a set.
    fn bpf_strcspn(s__ign: "const char *", reject__ign: "const char *") -> "int", COMMON, [];

    /// Where a string is first in another.
    fn bpf_strstr(s1__ign: "const char *", s2__ign: "const char *") -> "int", COMMON, [];

    /// The same, looking at so many bytes.
    fn bpf_strnstr(s1__ign: "const char *", s2__ign: "const char *", len: "size_t") -> "int", COMMON, [];

    /// Copies a string of the task, and may wait for it.
    fn bpf_copy_from_user_str(dst: "void *", dst__sz: "u32", unsafe_ptr__ign: "const void *", flags: "u64") -> "int", COMMON, [Sleepable];

    /// Copies a string of another task, and may wait for it.
    fn bpf_copy_from_user_task_str(dst: "void *", dst__sz: "u32", unsafe_ptr__ign: "const void *", tsk: "struct task_struct *", flags: "u64") -> "int", COMMON, [Sleepable];
}
