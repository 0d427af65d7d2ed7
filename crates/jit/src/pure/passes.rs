//! Passes: small steps from blocks to blocks. Each keeps what the program means, and each may be left out.

use super::admit::Admitted;
use super::blocks::{Blocks, Flow};
use super::{copies, lengths, ranges, reuse, rules, switches, words};
use crate::pure_pass::{PurePass, WithoutPure};

/// What passes leave.
pub(crate) struct Passed {
    pub(crate) flow: Flow,
    /// How many bytes of the stack the program still needs.
    pub(crate) frame: u32,
}

/// Runs all passes but those.
pub(crate) fn run(blocks: &mut Blocks, admitted: &Admitted, without: WithoutPure, cheap: usize) -> Passed {
    let runs = |pass| !without.has(pass);
    let mut frame = admitted.frame;
    let mut flow = Flow::straight(blocks);
    if frame != 0 && runs(PurePass::Words) && words::run(blocks, &flow, cheap) {
        frame = 0;
    }
    if runs(PurePass::Copies) {
        copies::run(blocks, &flow);
    }
    if runs(PurePass::Ranges) && ranges::run(blocks, &flow) {
        flow = Flow::of(blocks);
    }
    if runs(PurePass::Rules) && rules::run(blocks, &flow) {
        flow = Flow::of(blocks);
    }
    if runs(PurePass::Reuse) {
        reuse::run(blocks, &flow);
    }
    if runs(PurePass::Switches) {
        switches::run(blocks, &flow);
    }
    // As blocks are to stand.
    flow = Flow::of(blocks);
    if runs(PurePass::Lengths) {
        lengths::run(blocks, &flow);
    }
    Passed { flow, frame }
}
