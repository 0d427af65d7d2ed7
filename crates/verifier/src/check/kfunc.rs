//! Calls of functions of the kernel, by their types.

use sandbpf_isa::Callee;

use crate::error::{Check, refuse};
use crate::explore::{Go, Verifier};

impl Verifier<'_> {
    pub(super) fn kfunc_allows_locks(&self, _callee: Callee) -> bool {
        false
    }

    pub(super) fn check_kfunc(&mut self, id: i32, _module: i16) -> Check<Go> {
        refuse!(Inval, "calling kernel function {id} is not allowed");
    }
}
