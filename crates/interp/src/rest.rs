//! Rests: where straight code comes back to the loop.
//!
//! The host's stack must hold however many operations are done without coming back (see [`op`](crate::op)). Every so often
//! the operation of a program is replaced by one that comes back, and is done after that; a jump that would lead
//! past such a place comes back itself. Both cost little, and nothing inside of a short loop.

use sandbpf_isa::Program;

use crate::handlers::control;
use crate::op::{Handler, Op};

/// How far apart rests are at least.
const APART: usize = 256;
/// How far they may be apart because of loops.
const FAR: usize = 1024;
/// Loops up to this length have none inside.
const SHORT: u32 = 128;

/// The operations behind the rests of a program.
#[derive(Clone)]
pub(crate) struct Rests {
    /// By index of the operation, divided by [`APART`].
    behind: Box<[Handler]>,
}

/// Where a program rests, in order.
pub(crate) fn places(program: &Program) -> Vec<u32> {
    let inside = inside_loops(program);
    let mut places = Vec::new();
    let mut since = 0;
    for (at, inside) in inside.into_iter().enumerate() {
        since += 1;
        if since > FAR || since > APART && !inside {
            places.push(at as u32);
            since = 0;
        }
    }
    places
}

/// Whether a jump from `at` to `to` leads past one of these places.
pub(crate) fn is_beyond(places: &[u32], at: u32, to: u32) -> bool {
    let next = places.partition_point(|&place| place <= at);
    places.get(next).is_some_and(|&place| place < to)
}

impl Rests {
    /// Has the operations at these places come back.
    pub(crate) fn put(ops: &mut [Op], places: &[u32]) -> Rests {
        let mut behind: Box<[Handler]> = vec![control::rest as Handler; ops.len().div_ceil(APART)].into();
        for &at in places {
            let at = at as usize;
            behind[at / APART] = std::mem::replace(&mut ops[at].run, control::rest);
        }
        Rests { behind }
    }

    /// What is done after the rest at `at`.
    #[inline]
    pub(crate) fn behind(&self, at: u32) -> Handler {
        self.behind[at as usize / APART]
    }
}

/// Which instructions are inside of a short loop.
fn inside_loops(program: &Program) -> Vec<bool> {
    let mut inside = vec![false; program.len()];
    for (at, insn) in program.insns().iter().enumerate() {
        if let Some(to) = insn.target()
            && to.index() <= at
            && at as u32 - to.0 < SHORT
        {
            inside[to.index()..=at].fill(true);
        }
    }
    inside
}
