//! Objects of the program's own types: made, kept, given back, and kept in lists and trees.

use crate::kfunc::{Hooks, KfuncFlag::*, kfuncs};

kfuncs! {
    pub(super) static ROWS;

    /// Makes an object of a type of the program, all zero, or gives null.
    fn bpf_obj_new_impl(local_type_id__k: "u64", meta__ign: "void *") -> "void *", GENERIC, [Acquire, RetNull];

    /// Gives a reference to an object back; the last one frees it.
    fn bpf_obj_drop_impl(p__alloc: "void *", meta__ign: "void *") -> "void", GENERIC, [Release];

    /// Makes an object with a copy for every processor, or gives null.
    fn bpf_percpu_obj_new_impl(local_type_id__k: "u64", meta__ign: "void *") -> "void *", GENERIC, [Acquire, RetNull];

    /// Frees such an object.
    fn bpf_percpu_obj_drop_impl(p__alloc: "void *", meta__ign: "void *") -> "void", GENERIC, [Release];

    /// Takes one more reference to an object, or gives null if it is about to be freed.
    fn bpf_refcount_acquire_impl(p__refcounted_kptr: "void *", meta__ign: "void *") -> "void *", GENERIC, [Acquire, RetNull, Rcu];

    /// Puts an object at the front of a list; one that is in a list or tree already is dropped.
    fn bpf_list_push_front_impl(head: "struct bpf_list_head *", node: "struct bpf_list_node *", meta__ign: "void *", off: "u64") -> "int", GENERIC, [];

    /// Puts an object at the back of a list; one that is in a list or tree already is dropped.
    fn bpf_list_push_back_impl(head: "struct bpf_list_head *", node: "struct bpf_list_node *", meta__ign: "void *", off: "u64") -> "int", GENERIC, [];

    /// Takes the first object out of a list, or gives null.
    fn bpf_list_pop_front(head: "struct bpf_list_head *") -> "struct bpf_list_node *", GENERIC, [Acquire, RetNull];

    /// Takes the last object out of a list, or gives null.
    fn bpf_list_pop_back(head: "struct bpf_list_head *") -> "struct bpf_list_node *", GENERIC, [Acquire, RetNull];

    /// Looks at the first object of a list, or gives null.
    fn bpf_list_front(head: "struct bpf_list_head *") -> "struct bpf_list_node *", GENERIC, [RetNull];

    /// Looks at the last object of a list, or gives null.
    fn bpf_list_back(head: "struct bpf_list_head *") -> "struct bpf_list_node *", GENERIC, [RetNull];

    /// Puts an object into a tree, where the function says; one that is in a list or tree already is dropped.
    fn bpf_rbtree_add_impl(root: "struct bpf_rb_root *", node: "struct bpf_rb_node *", less: "func *", meta__ign: "void *", off: "u64") -> "int", GENERIC, [];

    /// Takes an object out of a tree, or gives null if it is not in it.
    fn bpf_rbtree_remove(root: "struct bpf_rb_root *", node: "struct bpf_rb_node *") -> "struct bpf_rb_node *", GENERIC, [Acquire, RetNull];

    /// Looks at the least object of a tree, or gives null.
    fn bpf_rbtree_first(root: "struct bpf_rb_root *") -> "struct bpf_rb_node *", GENERIC, [RetNull];

    /// Looks at the object at the root of a tree, or gives null.
    fn bpf_rbtree_root(root: "struct bpf_rb_root *") -> "struct bpf_rb_node *", GENERIC, [RetNull];

    /// Looks at the object to the left of another in a tree, or gives null.
    fn bpf_rbtree_left(root: "struct bpf_rb_root *", node: "struct bpf_rb_node *") -> "struct bpf_rb_node *", GENERIC, [RetNull];

    /// Looks at the object to the right of another in a tree, or gives null.
    fn bpf_rbtree_right(root: "struct bpf_rb_root *", node: "struct bpf_rb_node *") -> "struct bpf_rb_node *", GENERIC, [RetNull];
}
