//! Programs that only read, against what they mean.

use sandbpf_isa::{Pc, Program, parse};

use super::chains::{self, Item};
use super::{Pure, admit, lengths};
use crate::Options;

fn program(text: &str) -> Program {
    parse(text).expect("the text is a program")
}

fn tests(text: &str) -> Vec<Option<u64>> {
    let program = program(text);
    let admitted = admit::admit(&program).expect("it only reads");
    lengths::tests(&program, &admitted)
}

#[test]
fn what_does_more_is_not_taken() {
    for text in [
        "call 7\nexit",
        "r2 = r10\nr0 = 0\nexit",
        "r0 = r1\nexit",
        "*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit",
        "*(u64 *)(r10 - 8) = r1\nr0 = 0\nexit",
        "r0 = *(u32 *)(r2 + 0)\nexit",
        "r0 = *(u32 *)(r10 - 2)\nexit",
        "r6 = r1\nr6 += 4\nr0 = 0\nexit",
        "r0 = 0",
    ] {
        assert!(admit::admit(&program(text)).is_none(), "{text}");
    }
}

#[test]
fn one_test_of_length_serves_loads_that_follow() {
    let text = "r0 = *(u16 *)skb[12]
        if w0 != 0x800 goto +3
        r0 = *(u8 *)skb[23]
        if w0 != 6 goto +1
        exit
        w0 = 0
        exit";
    // Every way that does not answer 0 needs 24 bytes.
    assert_eq!(tests(text), [Some(24), None, None, None, None, None, None]);
}

#[test]
fn what_is_needed_on_one_way_only_is_asked_for_there() {
    let text = "r0 = *(u16 *)skb[12]
        if w0 != 0x800 goto +2
        r0 = *(u8 *)skb[23]
        exit
        w0 = 1
        exit";
    assert_eq!(tests(text), [Some(14), None, Some(24), None, None, None]);
}

#[test]
fn equal_tests_become_items() {
    let text = "r0 = *(u32 *)skb[0]
        if w0 == 7 goto +8
        if w0 == 5 goto +7
        if w0 == 6 goto +6
        if w0 == 7 goto +7
        if w0 == 90 goto +6
        if w0 == 94 goto +5
        if w0 == 99 goto +4
        if w0 != 1000 goto +3
        w0 = 3
        w0 = 4
        exit
        exit";
    let program = program(text);
    let admitted = admit::admit(&program).expect("it only reads");
    let found = chains::find(&program, &admitted);
    let chain = found.at[1].as_ref().expect("a chain");
    let item = |first, last, bits, to| Item { first, last, bits, to: Pc(to) };
    assert_eq!(
        chain.items,
        [item(5, 7, None, 10), item(90, 99, Some(1 | 1 << 4 | 1 << 9), 12), item(1000, 1000, None, 9)]
    );
    assert_eq!(chain.otherwise, Pc(12));
    assert_eq!(found.absorbed.iter().filter(|&&absorbed| absorbed).count(), 7);
    if !crate::SUPPORTED {
        return;
    }
    let code = Pure::compile(&program, Options::default()).expect("it only reads");
    for number in (0..120).chain([1000, u32::MAX, 0x8000_0000]) {
        let expected = match number {
            5..=7 => 4,
            1000 => 4,
            other => u64::from(other),
        };
        assert_eq!(code.run(&number.to_be_bytes(), &[], 0), Some(expected), "{number}");
    }
}

#[test]
fn a_context_that_is_too_short_is_declined() {
    let code = Pure::compile(&program("r6 = r1\nr0 = *(u32 *)(r6 + 4)\nexit"), Options::default());
    let Some(code) = code else { return };
    assert_eq!(code.context(), 8);
    assert_eq!(code.run(&[], &[1, 0, 0, 0, 2, 0, 0, 0], 0), Some(2));
    assert_eq!(code.run(&[], &[1, 0, 0, 0, 2, 0, 0], 0), None);
}

#[test]
fn negative_offsets_are_declined() {
    let code = Pure::compile(&program("r0 = *(u8 *)skb[-4096]\nexit"), Options::default());
    let Some(code) = code else { return };
    assert_eq!(code.run(&[1, 2], &[], 0), None);
    let text = "r0 = *(u32 *)skb[0]\nr7 = r0\nr0 = *(u8 *)skb[r7 + 2]\nexit";
    let code = Pure::compile(&program(text), Options::default()).expect("it only reads");
    assert_eq!(code.run(&[0, 0, 0, 3, 4, 5], &[], 0), Some(5));
    assert_eq!(code.run(&[0, 0, 0, 4, 4, 5], &[], 0), Some(0));
    assert_eq!(code.run(&[0x80, 0, 0, 4, 4, 5], &[], 0), None);
}

#[test]
fn loops_pay_and_are_declined_when_they_cannot() {
    let text = "r7 = 3
        r0 += 5
        r7 += -1
        if r7 != 0 goto -3
        exit";
    let Some(code) = Pure::compile(&program(text), Options::default()) else { return };
    assert_eq!(code.run(&[], &[], 6), Some(15));
    assert_eq!(code.run(&[], &[], 5), None, "two jumps back over three instructions");
}
