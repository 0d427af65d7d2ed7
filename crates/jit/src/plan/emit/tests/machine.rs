//! The same of runs with a machine: calls that change everything, memory that only the machine knows, operations on memory that
//! others share.

use proptest::prelude::*;
use sandbpf_isa::{AtomicOp, Callee, Extend, Pc, Size};

use super::super::env::Answer;
use super::generate::{self, STACK_BYTES};
use super::{options, outcome, shown, world};
use crate::direct::trial::Machine;
use crate::plan::check::check;
use crate::plan::graph::{Address, Block, End, Graph, Op, Region, Site, Trapping, Value};
use crate::plan::run::{World, run};

/// Where memory is that lies nowhere else.
const FAR: u64 = 0x6000_0000;

/// What a call does to the world, and answers.
fn call(site: Site, arguments: [u64; 5], world: &mut World) -> u64 {
    let mut answer =
        arguments.into_iter().fold(site.0.into(), |sum: u64, number| sum.rotate_left(7) ^ number);
    for memory in [&mut world.packet, &mut world.context, &mut world.stack] {
        let at = answer as usize % memory.len();
        memory[at] = memory[at].wrapping_add(1);
        answer = answer.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(memory[at].into());
    }
    world.budget -= world.budget.min(answer >> 62);
    answer
}

/// Runs a graph both ways.
pub(super) fn agree(graph: &Graph, seed: u64) {
    check(graph).unwrap_or_else(|wrong| panic!("{wrong}\n{graph}"));
    let mut wanted = world(seed);
    let result = run(graph, &mut wanted, call);
    for options in options() {
        let mut found = world(seed);
        let mut machine = Machine {
            world: &mut found,
            far: (FAR, &mut []),
            call: &mut |site, arguments, world| Ok(call(site, arguments, world)),
            located: Vec::new(),
        };
        let answer = machine.run(graph, &options);
        assert_eq!(outcome(answer), result, "{}", shown(graph, &options));
        assert_eq!(found, wanted, "{}", shown(graph, &options));
    }
}

proptest! {
    #[test]
    fn straight_code(seed: u64, world: u64) {
        agree(&generate::graph(seed, 1, 30, true), world);
    }

    #[test]
    fn small_graphs(seed: u64, world: u64) {
        agree(&generate::graph(seed, 4, 6, true), world);
    }

    #[test]
    fn large_graphs(seed: u64, world: u64) {
        agree(&generate::graph(seed, 14, 12, true), world);
    }
}

fn empty() -> Graph {
    let mut graph = Graph::new(0x4000_0000, STACK_BYTES, 64);
    graph.machine = true;
    graph
}

fn constant(graph: &mut Graph, number: u64) -> Value {
    graph.add(Op::Const(number))
}

#[test]
fn calls_that_do_not_come_back_end_the_run() {
    let mut graph = empty();
    let site = Site(0);
    graph.sites.push(Trapping::Call { pc: Pc(0), callee: Callee::Helper(1), depth: 0 });
    graph.sites.push(Trapping::Budget { pc: Pc(0) });
    graph.append(Block::ENTRY, Op::Charge { cost: 5, site: Site(1) });
    let arguments = [1, 2, 3, 4, 5].map(|number| constant(&mut graph, number));
    let value = graph.append(Block::ENTRY, Op::Call { arguments, site });
    graph.blocks[0].end = End::Return(value);
    for options in options() {
        let mut world = world(1);
        world.budget = 100;
        let mut seen = Vec::new();
        let mut machine = Machine {
            world: &mut world,
            far: (FAR, &mut []),
            call: &mut |site, arguments, world| {
                seen.push((site, arguments, world.budget));
                world.budget -= 3;
                Err(Answer { value: 77, status: u64::MAX - 1 })
            },
            located: Vec::new(),
        };
        let answer = machine.run(&graph, &options);
        assert_eq!(answer, Answer { value: 77, status: u64::MAX - 1 });
        assert_eq!(seen, [(Site(0), [1, 2, 3, 4, 5], 95)]);
        assert_eq!(world.budget, 92);
    }
}

#[test]
fn memory_that_only_the_machine_knows_is_asked_for() {
    for (guest, likely) in
        [(FAR + 16, Region::Packet), (FAR, Region::Stack), (FAR + 100, Region::Context), (8, Region::Packet)]
    {
        let mut graph = empty();
        graph.sites.push(Trapping::Access { pc: Pc(0), size: 8, write: false });
        let at = constant(&mut graph, guest);
        let host = Op::Host { at, off: -4, size: 8, likely, stack: STACK_BYTES, site: Site(0) };
        let base = graph.append(Block::ENTRY, host);
        let at = Address { base, index: None, disp: 0, region: None };
        let load = Op::Load { at, size: Size::DW, extend: Extend::Zero, swap: false };
        let value = graph.append(Block::ENTRY, load);
        graph.blocks[0].end = End::Return(value);
        for options in options() {
            let mut world = world(1);
            let mut far: Vec<u8> = (0..64).collect();
            let copy = far.clone();
            let mut machine = Machine {
                world: &mut world,
                far: (FAR, &mut far),
                call: &mut |_, _, _| unreachable!("nobody calls"),
                located: Vec::new(),
            };
            let answer = machine.run(&graph, &options);
            assert_eq!(machine.located, [(0, guest - 4)]);
            let off = guest.wrapping_sub(4).wrapping_sub(FAR);
            let wanted = match usize::try_from(off)
                .ok()
                .filter(|&off| copy.len().checked_sub(8).is_some_and(|last| off <= last))
            {
                Some(off) => Answer {
                    value: u64::from_le_bytes(copy[off..off + 8].try_into().expect("eight bytes")),
                    status: 0,
                },
                None => Answer { value: guest - 4, status: 1 },
            };
            assert_eq!(answer, wanted, "{}", shown(&graph, &options));
        }
    }
}

/// An atomic operation on shared memory, and what it answers.
fn atomic(op: AtomicOp, size: Size, memory: u64, operand: u64, expected: u64, wanted: bool) {
    let mut cell = memory;
    let mut graph = empty();
    graph.far.push((&raw mut cell).addr() as u64 - FAR);
    let base = graph.add(Op::Base(Region::Far(0)));
    let index = constant(&mut graph, FAR);
    let at = Address { base, index: Some((index, 0)), disp: 0, region: Some(Region::Far(0)) };
    // Operands that are not numbers at compile time.
    let zero = constant(&mut graph, 0);
    let site = Site(0);
    graph.sites.push(Trapping::Call { pc: Pc(0), callee: Callee::Helper(1), depth: 0 });
    let first = constant(&mut graph, operand);
    let second = constant(&mut graph, expected);
    let value = graph.append(Block::ENTRY, Op::Call { arguments: [first, zero, zero, zero, zero], site });
    let expected_value =
        graph.append(Block::ENTRY, Op::Call { arguments: [second, zero, zero, zero, zero], site });
    let held = graph.append(Block::ENTRY, Op::Atomic { op, size, at, value, expected: expected_value });
    graph.blocks[0].end = End::Return(if wanted { held } else { value });
    let mask = if size == Size::DW { u64::MAX } else { (1 << (8 * size.bytes())) - 1 };
    for options in options() {
        let mut world = world(3);
        let mut machine = Machine {
            world: &mut world,
            far: (FAR, &mut []),
            call: &mut |_, arguments, _| Ok(arguments[0]),
            located: Vec::new(),
        };
        let answer = machine.run(&graph, &options);
        let after = op.eval(memory & mask, operand & mask, expected & mask) & mask | memory & !mask;
        let what = format!("{op:?} {size:?} {wanted}\n{}", shown(&graph, &options));
        assert_eq!(std::mem::replace(&mut cell, memory), after, "{what}");
        let held = if wanted && op != AtomicOp::StoreRelease { memory & mask } else { operand };
        if !(wanted && op == AtomicOp::StoreRelease) {
            assert_eq!(answer, Answer { value: held, status: 0 }, "{what}");
        }
    }
}

#[test]
fn atomic_operations() {
    let memory = 0x8000_0001_ffff_ff05;
    for &op in AtomicOp::ALL {
        let narrow = matches!(op, AtomicOp::LoadAcquire | AtomicOp::StoreRelease);
        let sizes = if narrow { Size::ALL } else { &[Size::W, Size::DW] };
        for &size in sizes {
            for operand in [0, 7, 0xf0f0_f0f0_0f0f_0f0f, u64::MAX] {
                for expected in [memory, 5] {
                    atomic(op, size, memory, operand, expected, false);
                    atomic(op, size, memory, operand, expected, true);
                }
            }
        }
    }
}
