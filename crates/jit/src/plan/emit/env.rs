//! What machine code of a plan shares with its host, besides the registers that it is called with: where memory is, the
//! budget, and the way to helpers.
//!
//! Code of a graph without a machine does not look at it.

use core::ffi::c_void;

/// The surroundings of a run. What is read and written, and when:
///
/// * `packet`, `length`, `context`, `stack`: read whenever they are needed, for calls may move what they describe.
/// * `budget`: written before a call and at the end, read after a call.
/// * `site`: written before a call: which one it is.
#[repr(C)]
pub(crate) struct Env {
    pub(crate) packet: *mut u8,
    pub(crate) length: u64,
    pub(crate) context: *mut u8,
    pub(crate) stack: *mut u8,
    pub(crate) budget: u64,
    /// Which processor the run is on.
    pub(crate) cpu: u64,
    /// The number of the [`Site`](crate::plan::graph::Site) of a call, or of an access.
    pub(crate) site: u32,
    /// Calls the helper of that site with `r1` to `r5`.
    pub(crate) call: extern "sysv64" fn(*mut Env, u64, u64, u64, u64, u64) -> Answer,
    /// The host's address of what the access of that site wants at the guest's address, or null: a trap. What lies there is good
    /// until the next call.
    pub(crate) locate: extern "sysv64" fn(*mut Env, u64) -> *mut u8,
    /// Whatever `call` needs to find; code does not look at it.
    pub(crate) host: *mut c_void,
}

/// What code answers to its host, and a helper to code: two registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `r0`; of a trap, the guest address of the access that failed, or 0.
    pub(crate) value: u64,
    /// 0 if it returned. Of a run that trapped, the number of the site and one; of a call that did not come back, anything
    /// else than 0, which becomes the status of the run.
    pub(crate) status: u64,
}

impl Answer {
    /// What a run returned, if it did not trap.
    #[inline]
    pub fn returned(self) -> Option<u64> {
        (self.status == 0).then_some(self.value)
    }
}
