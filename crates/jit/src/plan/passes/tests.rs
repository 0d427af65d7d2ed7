//! What becomes of what compilers write, and that whatever it is means the same.

use sandbpf_isa::{Extend, Size, Width};

use super::trial::built;
use super::{Pass, Without, run};
use crate::plan::graph::{Address, BinOp, Block, End, Graph, Op, Region, Value};
use crate::plan::random::{EVERYTHING, MEMORY, NUMBERS, SLOTS, agree};

/// What a program's graph is after all passes.
fn becomes(program: &str, expected: &str) {
    let mut graph = built(program);
    run(&mut graph, Without::default());
    compare(&graph, expected);
}

/// Compares text but for the numbers of values, which count from 0, and space.
fn compare(graph: &Graph, expected: &str) {
    let mut numbers: Vec<String> = Vec::new();
    let mut found = String::new();
    for line in graph.to_string().lines() {
        for word in line.trim().split_inclusive([' ', ',', '(', ')', '[', ']', '*']) {
            let name = word.trim_end_matches([' ', ',', '(', ')', '[', ']', '*']);
            let is_value =
                name.starts_with('v') && name[1..].chars().all(|c| c.is_ascii_digit()) && name.len() > 1;
            if !is_value {
                found += word;
                continue;
            }
            let number = numbers.iter().position(|known| known == name).unwrap_or_else(|| {
                numbers.push(name.into());
                numbers.len() - 1
            });
            found += &format!("v{number}{}", &word[name.len()..]);
        }
        found.push('\n');
    }
    let expected: String = expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(found, expected, "\n{found}");
}

#[test]
fn shifts_that_are_joined_are_rotations() {
    becomes(
        "r2 *= r2\nr2 *= 5\nr2 ^= -7\nr0 = r2\nr0 <<= 13\nr2 >>= 51\nr0 |= r2\nexit",
        "b0():\nv0 = mul64 length, length\nv1 = mul64 v0, 5\nv2 = xor64 v1, -7\nv3 = rol64 v2, 13\nreturn v3",
    );
    becomes("w0 = w2\nw0 <<= 5\nw2 >>= 27\nr0 ^= r2\nexit", "b0():\nv0 = rol32 length, 5\nreturn v0");
    // Of a product, the first shift goes into the factor.
    becomes(
        "w0 = w2\nw0 *= 0x16a88000\nw2 *= 0xcc9e2d51\nw2 >>= 17\nw0 |= w2\nexit",
        "b0():\nv0 = mul32 length, 0xcc9e2d51\nv1 = rol32 v0, 15\nreturn v1",
    );
}

#[test]
fn pairs_of_shifts_are_extensions() {
    becomes("r0 = r2\nr0 += 1\nr0 <<= 32\nr0 >>= 32\nexit", "b0():\nv0 = add32 length, 1\nreturn v0");
    becomes("r0 = r2\nr0 <<= 56\nr0 s>>= 56\nexit", "b0():\nv0 = sext8 length\nreturn v0");
    becomes(
        "r0 = r2\nr0 *= 3\nr0 <<= 32\nr0 >>= 40\nexit",
        "b0():\nv0 = mul32 length, 3\nv1 = rsh32 v0, 8\nreturn v1",
    );
}

#[test]
fn a_shift_keeps_one_of_two_that_have_nothing_in_common() {
    becomes(
        "r2 *= r2\nr0 = r2\nr0 <<= 5\nr2 *= 3\nr3 = r2\nr3 >>= 61\nr0 |= r3\nr0 >>= 3\nr0 ^= r2\nexit",
        "b0():\nv0 = mul64 length, length\nv1 = lsh64 v0, 5\nv2 = mul64 v0, 3\nv3 = rsh64 v1, 3\nv4 = xor64 v3, v2\nreturn v4",
    );
    becomes(
        "r2 *= r2\nr0 = r2\nr0 *= 5\nr2 *= 3\nr2 >>= 40\nr0 ^= r2\nr0 >>= 32\nexit",
        "b0():\nv0 = mul64 length, length\nv1 = mul64 v0, 5\nv2 = rsh64 v1, 32\nreturn v2",
    );
}

#[test]
fn rounds_of_a_loop_know_their_numbers() {
    let mut graph = built(
        "r0 = 1\nr4 = 4\nr2 *= r2\nL1:\nr3 = r2\nr3 >>= r4\nr0 ^= r3\nr4 >>= 1\nif r4 != 0 goto L1\nexit",
    );
    run(&mut graph, Without::default());
    let text = graph.to_string();
    for count in [4, 2, 1] {
        assert!(text.lines().any(|line| line.contains("rsh64") && line.ends_with(&format!(", {count}"))));
    }
}

#[test]
fn divisions_by_constants_are_products() {
    becomes(
        "r0 = r2\nr0 *= r2\nr0 *= r2\nr0 /= 10\nexit",
        "b0():\nv0 = mul64 length, length\nv1 = mul64 v0, length\nv2 = mulhigh64 v1, 0xcccccccccccccccd\nv3 = rsh64 v2, 3\nreturn v3",
    );
    becomes("r0 = r2\nr0 %= 16\nexit", "b0():\nv0 = and32 length, 15\nreturn v0");
}

#[test]
fn a_remainder_beside_its_quotient_is_a_difference() {
    becomes(
        "r0 = r2\nr3 = r2\nr3 *= r2\nr0 /= r3\nr2 %= r3\nr0 ^= r2\nexit",
        "b0():
         v0 = mul64 length, length
         v1 = div64 length, v0
         v2 = mul64 v1, v0
         v3 = sub64 length, v2
         v4 = xor64 v1, v3
         return v4",
    );
}

#[test]
fn slots_are_values() {
    becomes(
        "*(u64 *)(r10 - 8) = r2\n*(u32 *)(r10 - 16) = 7\nr0 = *(u32 *)(r10 - 16)\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit",
        "b0():\nv0 = add32 length, 7\nreturn v0",
    );
}

/// A graph of one block over a context of 64 bytes, which `fill` fills.
fn straight(pass: Pass, fill: impl Fn(&mut Graph, &dyn Fn(i32) -> Address) -> Value, expected: &str) {
    let mut graph = Graph::new(0x3000_0000, 0, 64);
    let base = graph.add(Op::Base(Region::Context));
    let at = |disp| Address { base, index: None, disp, region: Some(Region::Context) };
    let result = fill(&mut graph, &at);
    graph.blocks[0].end = End::Return(result);
    pass.run(&mut graph);
    Pass::Sweep.run(&mut graph);
    compare(&graph, expected);
}

fn load(graph: &mut Graph, at: Address, size: Size) -> Value {
    graph.append(Block::ENTRY, Op::Load { at, size, extend: Extend::Zero, swap: false })
}

fn with(graph: &mut Graph, op: BinOp, a: Value, number: u64) -> Value {
    let b = graph.add(Op::Const(number));
    graph.append(Block::ENTRY, Op::Bin { op, width: Width::W64, a, b })
}

#[test]
fn bytes_side_by_side_are_one_load() {
    for swapped in [false, true] {
        let fill = |graph: &mut Graph, at: &dyn Fn(i32) -> Address| {
            let bytes: Vec<_> = (0..4).map(|byte| load(graph, at(8 + byte), Size::B)).collect();
            let parts: Vec<_> = (0u64..4)
                .map(|place| {
                    let byte = bytes[if swapped { 3 - place } else { place } as usize];
                    with(graph, BinOp::Lsh, byte, place * 8)
                })
                .collect();
            let or = |graph: &mut Graph, a, b| {
                graph.append(Block::ENTRY, Op::Bin { op: BinOp::Or, width: Width::W64, a, b })
            };
            let (low, high) = (or(graph, parts[0], parts[1]), or(graph, parts[2], parts[3]));
            or(graph, high, low)
        };
        let expected =
            if swapped { "v0 = load u32 swapped [context + 0x8]" } else { "v0 = load u32 [context + 0x8]" };
        straight(Pass::Memory, fill, &format!("b0():\n{expected}\nreturn v0"));
    }
}

#[test]
fn bytes_of_a_number_are_one_store() {
    let fill = |graph: &mut Graph, at: &dyn Fn(i32) -> Address| {
        let number = load(graph, at(0), Size::DW);
        for byte in 0..4 {
            let value = if byte == 3 { number } else { with(graph, BinOp::Rsh, number, (3 - byte) * 8) };
            let at = at(32 + byte as i32);
            graph.append(Block::ENTRY, Op::Store { at, size: Size::B, value, swap: false });
        }
        number
    };
    straight(
        Pass::Memory,
        fill,
        "b0():\nv0 = load u64 [context]\nstore 32 swapped [context + 0x20], v0\nreturn v0",
    );
}

#[test]
fn copied_bytes_are_copied_at_once() {
    let fill = |graph: &mut Graph, at: &dyn Fn(i32) -> Address| {
        for byte in 0..6 {
            let value = load(graph, at(byte), Size::B);
            graph.append(Block::ENTRY, Op::Store { at: at(32 + byte), size: Size::B, value, swap: false });
        }
        graph.add(Op::Const(0))
    };
    straight(
        Pass::Memory,
        fill,
        "b0():
         v0 = load u32 [context]
         store 32 [context + 0x20], v0
         v1 = load u16 [context + 0x4]
         store 16 [context + 0x24], v1
         return 0",
    );
}

#[test]
fn what_was_partly_overwritten_is_put_together() {
    let fill = |graph: &mut Graph, at: &dyn Fn(i32) -> Address| {
        let (number, byte) = (load(graph, at(0), Size::H), load(graph, at(8), Size::B));
        graph.append(Block::ENTRY, Op::Store { at: at(0), size: Size::B, value: byte, swap: false });
        let again = load(graph, at(0), Size::H);
        graph.append(Block::ENTRY, Op::Bin { op: BinOp::Add, width: Width::W64, a: number, b: again })
    };
    straight(
        Pass::Memory,
        fill,
        "b0():
         v0 = load u16 [context]
         v1 = load u8 [context + 0x8]
         store 8 [context], v1
         v2 = and64 v0, -256
         v3 = and64 v1, 255
         v4 = lsh64 v3, 0
         v5 = or64 v2, v4
         v6 = zext16 v5
         v7 = add64 v0, v6
         return v7",
    );
}

#[test]
fn what_was_stored_is_not_loaded() {
    let fill = |graph: &mut Graph, at: &dyn Fn(i32) -> Address| {
        let number = load(graph, at(0), Size::DW);
        graph.append(Block::ENTRY, Op::Store { at: at(8), size: Size::DW, value: number, swap: false });
        let high = load(graph, at(12), Size::W);
        // Overwritten before anybody looks.
        graph.append(Block::ENTRY, Op::Store { at: at(8), size: Size::DW, value: high, swap: false });
        high
    };
    straight(
        Pass::Memory,
        fill,
        "b0():\nv0 = load u64 [context]\nv1 = rsh64 v0, 32\nv2 = zext32 v1\nstore 64 [context + 0x8], v2\nreturn v2",
    );
}

#[test]
fn constants_of_sums_are_displacements() {
    let fill = |graph: &mut Graph, at: &dyn Fn(i32) -> Address| {
        let number = load(graph, at(0), Size::B);
        let index = with(graph, BinOp::And, number, 3);
        let sum = with(graph, BinOp::Add, index, 2);
        let scaled = with(graph, BinOp::Lsh, sum, 2);
        let guest = with(graph, BinOp::Add, scaled, 0x1000_0000);
        let at = Address { index: Some((guest, 0)), disp: -0x1000_0000, ..at(0) };
        load(graph, at, Size::W)
    };
    straight(
        Pass::Address,
        fill,
        "b0():\nv0 = load u8 [context]\nv1 = and64 v0, 3\nv2 = load u32 [context + v1*4 + 0x8]\nreturn v2",
    );
}

#[test]
fn passes_alone_keep_what_graphs_mean() {
    for &pass in Pass::ALL {
        for tastes in [NUMBERS, MEMORY, SLOTS, EVERYTHING] {
            agree(tastes, 0..800, |graph| pass.run(graph));
        }
    }
}

#[test]
fn passes_together_keep_what_graphs_mean() {
    for tastes in [NUMBERS, MEMORY, SLOTS, EVERYTHING] {
        agree(tastes, 0..3000, |graph| run(graph, Without::default()));
    }
}

#[test]
#[ignore = "takes minutes"]
fn passes_keep_what_many_graphs_mean() {
    for tastes in [NUMBERS, MEMORY, SLOTS, EVERYTHING] {
        agree(tastes, 10_000..200_000, |graph| run(graph, Without::default()));
        for &pass in Pass::ALL {
            agree(tastes, 10_000..40_000, |graph| pass.run(graph));
        }
    }
}

#[test]
fn what_arrives_is_known_of_its_own_way_only() {
    // On one way the packet is short, and the number its length; on the other it is long, and the number 0.
    agree(NUMBERS, 34_393..34_394, |graph| run(graph, Without::default()));
}

#[test]
fn a_load_that_others_read_is_not_reversed() {
    for tastes in [MEMORY, SLOTS, EVERYTHING] {
        agree(tastes, 27_155..27_156, |graph| run(graph, Without::default()));
    }
    agree(MEMORY, 56_996..56_997, |graph| run(graph, Without::default()));
}
