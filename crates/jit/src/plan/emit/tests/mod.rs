//! Machine code means what its graph means: graphs at random, with all and with few registers, with and without what some
//! processors have.

mod bulk;
mod generate;
mod machine;

use proptest::prelude::*;

use super::env::Answer;
use super::{EmitOptions, emit};
use crate::direct::trial::trial;
use crate::plan::check::check;
use crate::plan::graph::{Graph, Site};
use crate::plan::run::{Trapped, World, run};
use generate::{CONTEXT_BYTES, Dice, PACKET, STACK_BYTES};

/// All but rax, rcx, rdx, rbx, rsi, rdi.
const MOST: u16 = !0b1100_1111;

fn options() -> Vec<EmitOptions> {
    let of = |baseline| [0, MOST].map(|forbidden| EmitOptions { baseline, forbidden });
    [false, true].into_iter().flat_map(of).collect()
}

fn world(seed: u64) -> World {
    let mut dice = Dice(seed);
    let mut bytes = |count: u32| (0..count).map(|_| dice.next() as u8).collect();
    let (stack, context) = (vec![0xa5; STACK_BYTES as usize], bytes(CONTEXT_BYTES));
    let packet = bytes(PACKET + seed as u32 % 8);
    World { stack, context, packet, budget: 20 + seed % 200 }
}

fn shown(graph: &Graph, options: &EmitOptions) -> String {
    let bytes: Vec<String> = emit(graph, options).bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{options:?}\n{graph}\n{}", bytes.join(" "))
}

fn outcome(answer: Answer) -> Result<u64, Trapped> {
    match answer.status {
        0 => Ok(answer.value),
        site => Err(Trapped { site: Site(site as u32 - 1), address: answer.value }),
    }
}

/// Runs a graph both ways.
fn agree(graph: &Graph, seed: u64) {
    check(graph).unwrap_or_else(|wrong| panic!("{wrong}\n{graph}"));
    let mut wanted = world(seed);
    let result = run(graph, &mut wanted, |_, _, _| unreachable!("nobody calls"));
    for options in options() {
        let mut found = world(seed);
        let answer = trial(graph, &options, &mut found);
        assert_eq!(outcome(answer), result, "{}", shown(graph, &options));
        assert_eq!(found.packet, wanted.packet, "{}", shown(graph, &options));
        assert_eq!(found.context, wanted.context, "{}", shown(graph, &options));
    }
}

proptest! {
    #[test]
    fn straight_code(seed: u64, world: u64) {
        agree(&generate::graph(seed, 1, 30, false), world);
    }

    #[test]
    fn small_graphs(seed: u64, world: u64) {
        agree(&generate::graph(seed, 4, 6, false), world);
    }

    #[test]
    fn large_graphs(seed: u64, world: u64) {
        agree(&generate::graph(seed, 14, 12, false), world);
    }
}

#[test]
fn nothing_is_little() {
    let mut graph = Graph::new(0x4000_0000, 512, 0);
    let two = graph.add(crate::plan::graph::Op::Const(2));
    graph.blocks[0].end = crate::plan::graph::End::Return(two);
    let bytes = emit(&graph, &EmitOptions::default()).bytes;
    // mov eax, 2 ; xor edx, edx ; ret
    assert_eq!(bytes, [0xb8, 2, 0, 0, 0, 0x31, 0xd2, 0xc3]);
}
