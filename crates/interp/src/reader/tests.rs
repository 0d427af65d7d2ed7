//! Readers beside the definition.

use sandbpf_isa::{Program, parse};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, FrozenHost, Machine, address};

use super::Reader;
use crate::Step;

fn step(program: &Program, packet: &[u8], context: &[u8]) -> u64 {
    let (mut stack, helpers) = (Stack::default(), HelperSet::linux());
    let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
    machine.memory.set_packet(Region::Read(packet)).expect("it is small");
    machine.memory.set_context(Region::Read(context)).expect("it is small");
    machine.registers[1] = address::CONTEXT;
    Step::new(program.clone()).execute(&mut machine).expect("it ends")
}

/// A program answers as it steps, on packets of every length up to 40 whose bytes count up.
#[track_caller]
fn agrees(text: &str) -> Reader {
    let program = parse(text).expect("it is a program");
    let reader = Reader::new(&program).expect("it only reads");
    let packet: Vec<u8> = (0..40).collect();
    let context = [0x11, 0x22, 0x33, 0x44, 5, 6, 7, 8];
    for len in 0..=packet.len() {
        let packet = &packet[..len];
        assert_eq!(
            reader.run(packet, &context),
            Some(step(&program, packet, &context)),
            "{len} bytes\n{text}"
        );
    }
    reader
}

#[test]
fn loads_keep_bits_and_compare() {
    for (load, value) in [("u8", "12"), ("u16", "0x0c0d"), ("u32", "0x0c0d0e0f")] {
        for test in ["==", "!=", ">", ">=", "<", "<=", "&"] {
            let reader = agrees(&format!(
                "r0 = *({load} *)skb[12]
                 w0 &= 0x7fffff0f
                 if w0 {test} {value} goto +2
                 w0 = 1
                 exit
                 w0 = 2
                 exit"
            ));
            assert_eq!(reader.nodes.len(), 2, "the first is a copy of where the program starts");
        }
    }
}

#[test]
fn headers_have_lengths() {
    agrees("r0 = *(u8 *)skb[5]\nw0 &= 0xf\nw0 <<= 2\nw7 = w0\nr0 = *(u16 *)skb[r7 + 2]\nexit");
    agrees(
        "r0 = *(u8 *)skb[7]
         w8 = w0
         r0 = *(u8 *)skb[5]
         w0 &= 0xf
         w0 <<= 2
         w7 = w0
         w0 = w8
         w0 += w7
         exit",
    );
}

#[test]
fn words_and_the_context_are_read() {
    let reader = agrees(
        "r6 = r1
         r7 = *(u32 *)(r6 + 0)
         *(u32 *)(r10 - 8) = r7
         r0 = *(u32 *)(r6 + 4)
         if w0 != 0x08070605 goto +2
         r0 = *(u32 *)(r10 - 8)
         w0 ^= w7
         exit",
    );
    assert_eq!(reader.context(), 8);
    assert_eq!(reader.run(&[], &[0; 7]), None);
}

#[test]
fn many_comparisons_are_a_search() {
    let mut text = String::from("r0 = *(u8 *)skb[3]\n");
    for value in [9, 3, 200, 3, 0, 77, 12, 5] {
        text += &format!("if w0 == {value} goto yes{value}\n");
    }
    text += "w0 = 1\nexit\n";
    for value in [0, 3, 5, 9, 12, 77, 200] {
        text += &format!("yes{value}: w0 = {}\nexit\n", value + 1000);
    }
    let program = parse(&text).expect("it is a program");
    let reader = agrees(&text);
    assert_eq!(reader.searches.len(), 7);
    for byte in 0..=255 {
        let packet = [byte; 4];
        assert_eq!(reader.run(&packet, &[]), Some(step(&program, &packet, &[])), "{byte}");
    }
}

#[test]
fn headers_are_for_others() {
    let program = parse("w7 = -5\nr0 = *(u8 *)skb[r7 + 2]\nexit").expect("it is a program");
    assert_eq!(Reader::new(&program).expect("it only reads").run(&[1; 8], &[]), None);
}

#[test]
fn what_is_no_reader() {
    for text in [
        "r0 = *(u8 *)skb[-4096]\nexit",
        "again: w0 += 1\nif w0 != 9 goto again\nexit",
        "call 7\nexit",
        "r0 += 1\nexit",
        "r0 = *(u32 *)(r6 + 0)\nexit",
        "w2 = 1\nexit",
        "w0 = 1",
    ] {
        let program = parse(text).expect("it is a program");
        assert!(Reader::new(&program).is_none(), "{text}");
    }
}
