//! Machine code means what its graph means: graphs at random, with all and with few registers, with and without what some
//! processors have.

mod bulk;
mod generate;
mod lookup;
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
    // Those with few registers guess, too.
    let of = |baseline| [0, MOST].map(|forbidden| EmitOptions { baseline, forbidden, guess: forbidden != 0 });
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

#[test]
fn many_tests_of_a_number_are_a_table() {
    use crate::plan::passes::trial::built;
    use crate::plan::passes::{Without, run as improve};
    for (from, mask, apart) in
        [(0u64, 255u64, 1u64), (3, 31, 1), (20, 255, 2), (7, 0xffff_ffff, 3), (0, 15, 1)]
    {
        for wide in ["r", "w"] {
            let mut text = format!("r0 = 5\nr4 = *(u8 *)(r1 + 0)\nr5 = *(u64 *)(r1 + 1)\nr4 &= {mask}\n");
            for case in 0..14 {
                text += &format!("if {wide}4 == {} goto L{case}\n", from + case * apart);
            }
            text += "r0 = r5\nexit\n";
            for case in 0..14 {
                text += &format!("L{case}:\nr0 *= {}\nr0 += r5\ngoto L{}\n", case + 3, 20 + case % 3);
            }
            text += "L20:\nr0 += 3\nexit\nL21:\nr0 ^= 77\nexit\nL22:\nr0 -= r4\nexit";
            let mut graph = built(&text);
            improve(&mut graph, Without::default());
            let jumps = emit(&graph, &EmitOptions::default()).bytes.windows(3).any(|code| {
                // movsxd, of an address with an index
                code[0] & 0xf8 == 0x48 && code[1] == 0x63 && code[2] & 0xc7 == 0x04
            });
            assert!(jumps, "{}", shown(&graph, &EmitOptions::default()));
            for byte in 0..=255u8 {
                let packet = [byte, 1, 2, 3, 4, 5, 6, 7, 8].to_vec();
                let world = World { stack: Vec::new(), context: Vec::new(), packet, budget: 9 };
                let result = run(&graph, &mut world.clone(), |_, _, _| unreachable!("nobody calls"));
                for options in options() {
                    let answer = trial(&graph, &options, &mut world.clone());
                    assert_eq!(outcome(answer), result, "{byte}: {}", shown(&graph, &options));
                }
            }
        }
    }
}

#[test]
fn choices_by_all_comparisons_take_one_step() {
    use crate::plan::passes::trial::built;
    let numbers =
        [0, 1, 5, 126, 127, 128, 254, 255, 256, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX];
    let words: Vec<u64> = numbers.iter().flat_map(|&n| [n.wrapping_sub(1), n, n.wrapping_add(1)]).collect();
    for cond in ["==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&"] {
        for wide in ["r", "w"] {
            let other = numbers.iter().map(|n| format!("r5 = {n:#x} ll\n")).chain(
                // A register, and memory.
                ["r5 = *(u64 *)(r1 + 8)\nr0 = r5\n".into(), "r5 = *(u64 *)(r1 + 8)\n".into()],
            );
            for other in other {
                let text = format!(
                    "r0 = 0\nr4 = *(u64 *)(r1 + 0)\n{other}r6 = 3\nif {wide}4 {cond} {wide}5 goto L1\nr6 = 4\nL1:\nr0 += r6\nr0 += r4\nexit"
                );
                let mut graph = built(&text);
                crate::plan::passes::run(&mut graph, crate::plan::passes::Without::default());
                // cmova and cmovbe, seta and setbe: what follows this number is no immediate.
                let slow = |at: &[u8]| at[0] == 0x0f && matches!(at[1], 0x46 | 0x47 | 0x96 | 0x97);
                let code = emit(&graph, &EmitOptions::default()).bytes;
                let last = other.contains("0x7fffffff") || other.contains("0x80000000");
                assert!(last || !code.windows(2).any(slow), "{text}");
                for &a in &words {
                    for b in [a.wrapping_sub(1), a, a.wrapping_add(1)] {
                        let packet = [a.to_le_bytes(), b.to_le_bytes()].concat();
                        let world = World { stack: Vec::new(), context: Vec::new(), packet, budget: 9 };
                        let result = run(&graph, &mut world.clone(), |_, _, _| unreachable!("nobody calls"));
                        for options in [options()[0], options()[3]] {
                            let answer = trial(&graph, &options, &mut world.clone());
                            assert_eq!(outcome(answer), result, "{a:x} {b:x}: {}", shown(&graph, &options));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_lose_their_signs() {
    use crate::plan::passes::trial::built;
    for (wide, last) in [("r", 63), ("w", 31)] {
        for order in [["4", "5"], ["5", "4"]] {
            let [first, second] = order;
            let text = format!(
                "r4 = *(u64 *)(r1 + 0)\n{wide}5 = {wide}4\n{wide}5 s>>= {last}\nr6 = r5\n{wide}{first} ^= {wide}{second}\n{wide}{first} -= {wide}6\nr0 = r{first}\nr0 += r4\nexit"
            );
            let mut graph = built(&text);
            crate::plan::passes::run(&mut graph, crate::plan::passes::Without::default());
            let shifts = |code: &[u8]| code[0] == 0xc1 && code[1] >= 0xf8;
            let code = emit(&graph, &EmitOptions::default()).bytes;
            assert!(!code.windows(2).any(shifts), "{}", shown(&graph, &EmitOptions::default()));
            for number in [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff, 1 << 63, u64::MAX] {
                for number in [number, number ^ 1 << 63, number.wrapping_neg(), number << 7] {
                    let packet = number.to_le_bytes().to_vec();
                    let world = World { stack: Vec::new(), context: Vec::new(), packet, budget: 9 };
                    let result =
                        run(&built(&text), &mut world.clone(), |_, _, _| unreachable!("nobody calls"));
                    for options in options() {
                        let answer = trial(&graph, &options, &mut world.clone());
                        assert_eq!(outcome(answer), result, "{number:x}: {}", shown(&graph, &options));
                    }
                }
            }
        }
    }
}
