//! Look-ups find what the map finds: keys of all sizes, there or not, wherever they are.

use std::sync::Arc;

use sandbpf_isa::{Extend, Size};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::maps::{Environment, Map, MapSpec, MapType};
use sandbpf_runtime::{World as Maps, address};

use super::generate::{Dice, PACKET};
use super::{agree, machine};
use crate::plan::graph::{Address, BinOp, Block, Edge, End, Graph, Key, Op, Region, Test, Value};
use sandbpf_isa::{Cond, Width};

/// A graph that knows this map, and nothing else.
fn knowing(map: &Arc<Map>) -> Graph {
    let world = Maps::new(1);
    let number = world.add_map(Arc::clone(map)).expect("it is the first");
    let text = format!("r1 = {:#x} ll\nr0 = 0\nexit", address::map(number));
    let program = sandbpf_isa::parse(&text).expect("text");
    let mut graph = Graph::new(0x4000_0000, 64, 64);
    graph.maps = crate::Maps::new(&program, &world, &HelperSet::linux(), &[]);
    assert!(graph.maps.is_some());
    graph
}

/// Looks the key up that lies at the start of the packet, and loads what is found.
fn looking(graph: &mut Graph, size: u32, words: bool, marks: bool) {
    let packet = graph.add(Op::Base(Region::Packet));
    let at = |disp: i32| Address { base: packet, index: None, disp, region: Some(Region::Packet) };
    let key = match words {
        true => {
            let mut word = |off: i32, bytes: u32| {
                let size = Size::of_bytes(bytes.into()).expect("a size");
                graph.append(Block::ENTRY, Op::Load { at: at(off), size, extend: Extend::Zero, swap: false })
            };
            let low = word(0, size.min(8));
            Key::Words([low, if size > 8 { word(8, size - 8) } else { low }])
        }
        false => Key::At(at(0)),
    };
    let host = graph.append(Block::ENTRY, Op::Lookup { map: 0, key, marks });
    let zero = graph.add(Op::Const(0));
    let [there, nowhere] = [graph.block(), graph.block()];
    let to = |to: Block| Edge { to, arguments: Vec::new() };
    let test = Test { cond: Cond::Ne, width: Width::W64, lhs: host, rhs: zero };
    graph.blocks[0].end = End::Branch { test, yes: to(there), no: to(nowhere) };
    let at = Address { base: host, index: None, disp: 4, region: Some(Region::Far(0)) };
    let load = Op::Load { at, size: Size::W, extend: Extend::Zero, swap: false };
    let value = graph.append(there, load);
    let store = Op::Store { at: Address { disp: 0, ..at }, size: Size::B, value, swap: false };
    graph.append(there, store);
    let sum: Value = graph.append(there, Op::Bin { op: BinOp::Add, width: Width::W64, a: value, b: host });
    graph.blocks[there.index()].end = End::Return(sum);
    graph.blocks[nowhere.index()].end = End::Return(zero);
}

/// The packet of [`agree`] with this seed.
fn packet(seed: u64) -> Vec<u8> {
    super::world(seed).packet
}

#[test]
fn keys_of_all_sizes() {
    let mut dice = Dice(3);
    for (map_type, entries) in [(MapType::Hash, 40), (MapType::LruHash, 40), (MapType::Hash, 4096)] {
        for size in (1..=24).chain([31, 32, 33, 63, 64]) {
            let spec = MapSpec::new(map_type, size, 12, entries);
            let map = Map::create(spec, &Environment::default()).expect("Linux takes it");
            let words = matches!(size, 1 | 2 | 4 | 8 | 12 | 16);
            for words in [false, words] {
                let mut graph = knowing(&map);
                looking(&mut graph, size, words, map_type == MapType::LruHash);
                let mut other = graph.clone();
                other.machine = true;
                for seed in 0..60 {
                    let key = &packet(seed)[..size as usize];
                    let value: Vec<u8> = (0..12).map(|_| dice.next() as u8).collect();
                    let _ = match dice.below(3) {
                        0 => map.update(key, &value, 0, 0),
                        1 => map.delete(key),
                        _ => Ok(()),
                    };
                    agree(&graph, seed);
                    machine::agree(&other, seed);
                }
            }
        }
    }
    const { assert!(PACKET >= 64, "keys fit") };
}

/// So many elements that groups go on in others.
#[test]
fn elements_that_are_elsewhere() {
    const ENTRIES: u64 = 1 << 12;
    let map = Map::create(MapSpec::new(MapType::Hash, 8, 12, ENTRIES as u32), &Environment::default())
        .expect("Linux takes it");
    for number in 0..ENTRIES {
        let key = packet(number);
        map.update(&key[..8], &[number as u8; 12], 0, 0).expect("there is room");
    }
    let mut graph = knowing(&map);
    looking(&mut graph, 8, true, false);
    for seed in 0..ENTRIES + 200 {
        agree(&graph, seed);
    }
}
