//! What is done many bytes at once, on every count and at every place, touches what it should and nothing else.

use sandbpf_isa::Size;

use super::generate::Dice;
use super::options;
use crate::direct::trial::trial;
use crate::plan::graph::{Address, Block, Bulk, End, Graph, Lane, Op, Region};
use crate::plan::run::{World, run};

const BYTES: usize = 700;

/// Everything that can be done with elements of a size.
fn kinds(to: Address, from: Address, key: crate::plan::graph::Value, element: Size) -> Vec<Bulk> {
    let mut kinds = vec![Bulk::Copy { to, from, element }, Bulk::Fill { to, value: key, element }];
    kinds.push(Bulk::Sum { from, element, swap: false });
    if element == Size::B {
        kinds.push(Bulk::Ramp { from });
    }
    if element == Size::H {
        kinds.push(Bulk::Sum { from, element, swap: true });
    }
    for &op in Lane::ALL {
        kinds.push(Bulk::Combine { op, to, from, element });
        kinds.push(Bulk::Apply { op, to, from, key, element });
    }
    kinds
}

#[test]
fn every_kind_on_every_count() {
    let mut dice = Dice(7);
    for element in [Size::B, Size::H, Size::W, Size::DW] {
        let size = u64::from(element.bytes());
        for count in (0..140).chain([200, 255, 256, 257, 300]).filter(|count| count % size == 0) {
            // Apart, the same, and near in both directions.
            let first = dice.below(64);
            let near = dice.below(80);
            for (to, from) in
                [(first, first + 310), (first, first), (first + near, first), (first, first + near)]
            {
                let mut graph = Graph::new(0x4000_0000, 0, 0);
                let (base, key) = (graph.add(Op::Base(Region::Packet)), graph.add(Op::Const(dice.next())));
                let count = graph.add(Op::Const(count));
                let at = |offset: u64| Address {
                    base,
                    index: None,
                    disp: offset as i32,
                    region: Some(Region::Packet),
                };
                for what in kinds(at(to), at(from), key, element) {
                    let mut graph = graph.clone();
                    let value = graph.append(Block::ENTRY, Op::Bulk { what, count });
                    let result = if graph.op(value).has_value() { value } else { key };
                    graph.blocks[0].end = End::Return(result);
                    hold(&graph, &mut dice);
                }
            }
        }
    }
}

fn hold(graph: &Graph, dice: &mut Dice) {
    let packet: Vec<u8> = (0..BYTES).map(|_| dice.next() as u8).collect();
    let mut wanted = World { stack: Vec::new(), context: Vec::new(), packet: packet.clone(), budget: 0 };
    let result = run(graph, &mut wanted, |_, _, _| unreachable!("nobody calls"));
    for options in options() {
        let (stack, context) = (Vec::new(), Vec::new());
        let mut found = World { stack, context, packet: packet.clone(), budget: 0 };
        let answer = trial(graph, &options, &mut found);
        assert_eq!(Ok(answer.value), result, "{options:?}\n{graph}");
        assert_eq!(found, wanted, "{options:?}\n{graph}");
    }
}
