//! Lists of objects: rings of nodes through a head, as `struct bpf_list_head` and `struct bpf_list_node` have them.
//!
//! A node's last word says whose it is. A node that belongs to a list or tree cannot be put anywhere else: it is dropped
//! instead, and the program is told.

use super::kfuncs;
use crate::helpers::errno::{EINVAL, fail};
use crate::{Fault, HelperResult, Machine};

const NEXT: u64 = 0;
const PREV: u64 = 8;
const OWNER: u64 = 16;

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

impl End {
    /// The word of the head that leads to it, and that of a node that leads away from it.
    fn words(self) -> (u64, u64) {
        match self {
            End::Front => (NEXT, PREV),
            End::Back => (PREV, NEXT),
        }
    }
}

/// Reads a word of a node or head.
fn get(machine: &Machine<'_>, at: u64, word: u64) -> Result<u64, Fault> {
    machine.memory.read::<8>(at.wrapping_add(word))
}

/// Writes one.
fn set(machine: &mut Machine<'_>, at: u64, word: u64, value: u64) -> Result<(), Fault> {
    machine.memory.write::<8>(at.wrapping_add(word), value)
}

/// Makes a head that is all zero an empty list.
fn begin(machine: &mut Machine<'_>, head: u64) -> Result<(), Fault> {
    if get(machine, head, NEXT)? == 0 {
        set(machine, head, NEXT, head)?;
        set(machine, head, PREV, head)?;
    }
    Ok(())
}

fn push(machine: &mut Machine<'_>, head: u64, node: u64, end: End) -> HelperResult {
    if get(machine, node, OWNER)? != 0 {
        machine.release_object(node)?;
        return fail(EINVAL);
    }
    begin(machine, head)?;
    let (ahead, back) = end.words();
    let neighbour = get(machine, head, ahead)?;
    set(machine, neighbour, back, node)?;
    set(machine, node, ahead, neighbour)?;
    set(machine, node, back, head)?;
    set(machine, head, ahead, node)?;
    set(machine, node, OWNER, head)?;
    Ok(0)
}

/// The node at an end, or null.
fn peek(machine: &mut Machine<'_>, head: u64, end: End) -> HelperResult {
    begin(machine, head)?;
    let node = get(machine, head, end.words().0)?;
    Ok(if node == head { 0 } else { node })
}

fn pop(machine: &mut Machine<'_>, head: u64, end: End) -> HelperResult {
    let node = peek(machine, head, end)?;
    if node == 0 || get(machine, node, OWNER)? != head {
        return Ok(0);
    }
    let (next, prev) = (get(machine, node, NEXT)?, get(machine, node, PREV)?);
    set(machine, next, PREV, prev)?;
    set(machine, prev, NEXT, next)?;
    set(machine, node, NEXT, node)?;
    set(machine, node, PREV, node)?;
    set(machine, node, OWNER, 0)?;
    Ok(node)
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_list_push_front_impl(machine, head, node) {
        push(machine, head, node, End::Front)
    }

    fn bpf_list_push_back_impl(machine, head, node) {
        push(machine, head, node, End::Back)
    }

    fn bpf_list_pop_front(machine, head) {
        pop(machine, head, End::Front)
    }

    fn bpf_list_pop_back(machine, head) {
        pop(machine, head, End::Back)
    }

    fn bpf_list_front(machine, head) {
        peek(machine, head, End::Front)
    }

    fn bpf_list_back(machine, head) {
        peek(machine, head, End::Back)
    }
}
