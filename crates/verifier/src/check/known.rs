//! What was learnt of instructions and functions over all paths that reached them.

use std::collections::HashMap;

use sandbpf_abi::{self as abi, HelperSpec, Unavailable};
use sandbpf_isa::{Pc, Program};

use crate::facts::Notes;
use crate::state::{Flags, Kind};

/// What was learnt.
#[derive(Debug)]
pub(crate) struct Known {
    /// A barrier stands before it: guessing ends there.
    pub(crate) stops_speculation: Vec<bool>,
    /// A barrier stands behind it.
    pub(crate) stops_after: Vec<bool>,
    /// What its pointer pointed to (`ptr_type`).
    pub(crate) pointers: Vec<Option<(Kind, Flags)>>,
    /// Whether some path reached it.
    pub(crate) reached: Vec<bool>,
    /// What accesses and calls were seen to do.
    pub(crate) notes: Notes,
    /// How much of the stack each function uses.
    pub(crate) stack_depth: Vec<i32>,
    /// Which functions are global: verified by themselves.
    pub(crate) global: Vec<bool>,
    /// Which of those are called.
    pub(crate) called: Vec<bool>,
    /// Which of those were verified.
    pub(crate) verified: Vec<bool>,
    /// Which run later, as callbacks.
    pub(crate) runs_later: Vec<bool>,
    /// Which are called back at all.
    pub(crate) is_callback: Vec<bool>,
    /// Whether limits of pointer arithmetic are being explored, so that numbers must be the same.
    pub(crate) explores_limits: bool,
    /// How arithmetic on pointers must be masked against guessing, where it must.
    pub(crate) masked: HashMap<Pc, Mask>,
    /// Which map a tail call takes its program from (`map_ptr_state`).
    pub(crate) tail_maps: HashMap<Pc, TailMap>,
    /// The helpers that were called, by number.
    helpers: HashMap<i32, &'static HelperSpec>,
}

/// Where a tail call takes its program from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailMap {
    /// From this map on all paths.
    One(u16),
    /// From several maps.
    Several,
}

/// How arithmetic on a pointer is masked: an instruction has one mask for all paths (`alu_state`, `alu_limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    /// What the masked number is; `None` for arithmetic on numbers alone, which is not masked.
    pub(crate) of: Option<Masked>,
    /// How far the pointer may move.
    pub(crate) limit: u32,
}

/// The number that is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masked {
    /// It is below zero.
    pub(crate) negative: bool,
    /// It is a constant.
    pub(crate) constant: bool,
    /// It is in the destination, and the pointer in the source.
    pub(crate) reversed: bool,
}

impl Known {
    pub(crate) fn new(insns: usize, functions: usize) -> Known {
        Known {
            stops_speculation: vec![false; insns],
            stops_after: vec![false; insns],
            pointers: vec![None; insns],
            reached: vec![false; insns],
            notes: Notes::new(insns),
            stack_depth: vec![0; functions],
            global: vec![false; functions],
            called: vec![false; functions],
            verified: vec![false; functions],
            runs_later: vec![false; functions],
            is_callback: vec![false; functions],
            explores_limits: false,
            masked: HashMap::new(),
            tail_maps: HashMap::new(),
            helpers: HashMap::new(),
        }
    }

    /// The helper with this number, if the program may call it.
    pub(crate) fn helper(
        &mut self,
        program: &abi::Program<'_>,
        id: i32,
    ) -> Result<&'static HelperSpec, Unavailable> {
        if let Some(helper) = self.helpers.get(&id) {
            return Ok(helper);
        }
        let helper = program.helper(id)?;
        self.helpers.insert(id, helper);
        Ok(helper)
    }

    /// Whether the function that starts there is global.
    pub(crate) fn is_global(&self, program: &Program, entry: Pc) -> bool {
        let at = program.functions().binary_search_by_key(&entry, |function| function.entry);
        at.is_ok_and(|at| self.global[at])
    }
}
