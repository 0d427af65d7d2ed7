//! Programs that only read, against what they mean; what each pass makes of blocks.

use sandbpf_abi::SeccompData;
use sandbpf_isa::{Program, parse};

use super::admit::Admitted;
use super::blocks::Blocks;
use super::show::show;
use super::{Pure, admit, build, passes};
use crate::{Form, Options, PurePass, WithoutPure};

pub(super) fn program(text: &str) -> Program {
    parse(text).expect("the text is a program")
}

fn admitted(program: &Program) -> Admitted {
    admit::admit(program).expect("it only reads")
}

pub(super) fn compiled(text: &str) -> Pure {
    Pure::compile(&program(text), Options::default()).expect("it only reads")
}

/// The blocks of a program, after these passes.
fn blocks(text: &str, these: &[PurePass]) -> Blocks {
    let program = program(text);
    let admitted = admitted(&program);
    let mut blocks = build::build(&program, &admitted);
    let others = PurePass::ALL.into_iter().filter(|pass| !these.contains(pass));
    let without = others.fold(WithoutPure::default(), WithoutPure::and);
    passes::run(&mut blocks, &admitted, without, 4);
    blocks
}

#[track_caller]
fn becomes(text: &str, these: &[PurePass], expected: &str) {
    let shown = show(&blocks(text, these));
    let trimmed: String = expected.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(shown.trim(), trimmed.trim(), "\n{shown}");
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
fn jumps_lead_where_something_happens() {
    let text = "r0 = *(u8 *)skb[0]
        if w0 == 1 goto +2
        goto +0
        goto +2
        w0 = 7
        exit
        w0 = 7
        exit";
    becomes(
        text,
        &[],
        "b0: r0 = b[0] if len >= 1
        b0: answer 7",
    );
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
    becomes(
        text,
        &[PurePass::Lengths],
        "b0: r0 = h[12] if len >= 24
        b0: if r0 != 2048 goto b3 else b1
        b1: r0 = b[23]
        b1: if r0 != 6 goto b3 else b2
        b2: exit
        b3: answer 0",
    );
}

#[test]
fn what_is_needed_on_one_way_only_is_asked_for_there() {
    let text = "r0 = *(u16 *)skb[12]
        if w0 != 0x800 goto +2
        r0 = *(u8 *)skb[23]
        exit
        w0 = 1
        exit";
    becomes(
        text,
        &[PurePass::Lengths],
        "b0: r0 = h[12] if len >= 14
        b0: if r0 != 2048 goto b2 else b1
        b1: r0 = b[23] if len >= 24
        b1: exit
        b2: answer 1",
    );
}

#[test]
fn lengths_behind_an_index_hold_until_it_changes() {
    let text = "r0 = *(u8 *)skb[0]
        w7 = w0
        r0 = *(u16 *)skb[r7 + 2]
        r0 = *(u16 *)skb[r7 + 8]
        w7 += 1
        r0 = *(u16 *)skb[r7 + 2]
        exit";
    becomes(
        text,
        &[PurePass::Ranges, PurePass::Lengths],
        "b0: r0 = b[0] if len >= 1
        b0: w7 = w0
        b0: r0 = h[r7 + 2] if len >= 10
        b0: r0 = h[r7 + 8]
        b0: w7 += 1
        b0: r0 = h[r7 + 2] if len >= 4
        b0: exit",
    );
}

#[test]
fn copies_are_undone() {
    let text = "w8 = w0
        r0 = *(u8 *)skb[14]
        w0 &= 15
        w0 <<= 2
        w7 = w0
        w0 = w8
        if w0 == 3 goto +1
        r0 = *(u16 *)skb[r7 + 14]
        exit";
    becomes(
        text,
        &[PurePass::Copies],
        "b0: r7 = b[14] if len >= 15
        b0: w7 &= 15
        b0: w7 <<= 2
        b0: if r0 == 3 goto b2 else b1
        b1: r0 = h[r7 + 14] if there
        b1: goto b2
        b2: exit",
    );
}

#[test]
fn words_become_registers() {
    let text = "r0 = *(u8 *)skb[0]
        *(u32 *)(r10 - 4) = r0
        r7 = *(u32 *)(r10 - 4)
        r0 = *(u32 *)(r10 - 8)
        w0 += w7
        exit";
    becomes(
        text,
        &[PurePass::Words],
        "b0: r0 = b[0] if len >= 1
        b0: w2 = w0
        b0: w7 = w2
        b0: w0 = w3
        b0: w0 += w7
        b0: exit",
    );
    becomes(
        text,
        &[PurePass::Words, PurePass::Copies],
        "b0: r7 = b[0] if len >= 1
        b0: w0 = w3
        b0: w0 += w7
        b0: exit",
    );
    // A byte of it is used, too.
    let text = "*(u32 *)(r10 - 4) = 1\nr0 = *(u8 *)(r10 - 3)\nexit";
    becomes(
        text,
        &[PurePass::Words],
        "b0: *(u32 *)(r10 - 4) = 1
        b0: r0 = *(u8 *)(r10 - 3)
        b0: exit",
    );
}

#[test]
fn known_outcomes_are_not_tested() {
    let text = "r0 = *(u8 *)skb[0]
        w7 = w0
        if w7 <= 255 goto +2
        w0 = 1
        exit
        r0 = *(u8 *)skb[r7 + 2147483392]
        exit";
    becomes(
        text,
        &[PurePass::Ranges],
        "b0: r0 = b[0] if len >= 1
        b0: w7 = w0
        b0: goto b2
        b2: r0 = b[r7 + 2147483392] if len >= 2147483393
        b2: exit",
    );
}

#[test]
fn loads_are_reused() {
    let text = "r0 = *(u32 *)skb[26]
        w0 &= 0xff00
        if w0 == 1 goto +6
        r0 = *(u32 *)skb[26]
        w0 &= 0xff00
        if w0 == 2 goto +3
        r0 = *(u32 *)skb[26]
        w0 &= 0xff
        exit
        w0 = 9
        exit";
    becomes(
        text,
        &[PurePass::Reuse],
        "b0: r0 = w[26] if len >= 30
        b0: w0 &= 65280
        b0: if r0 == 1 goto b3 else b1
        b1: if r0 == 2 goto b3 else b2
        b2: r0 = w[26] if len >= 30
        b2: w0 &= 255
        b2: exit
        b3: answer 9",
    );
}

#[test]
fn tests_of_one_number_become_a_decision() {
    let text = "r0 = *(u32 *)skb[0]
        if w0 > 100 goto +7
        if w0 == 7 goto +9
        if w0 == 8 goto +8
        if w0 == 7 goto +9
        if w0 == 200 goto +8
        if w0 < 3 goto +5
        w0 = 5
        exit
        if w0 != 300 goto +4
        w0 = 4
        exit
        w0 = 1
        exit
        w0 = 2
        exit";
    becomes(
        text,
        &[PurePass::Switches],
        "b0: r0 = w[0] if len >= 4
        b0: switch r0 { 0-2 b9, 3-6 b6, 7-8 b9, 9-100 b6, 300 b8, else b10 }
        b10: answer 2
        b8: answer 4
        b6: answer 5
        b9: answer 1",
    );
}

#[test]
fn lists_of_rules_are_searched() {
    let text = "r0 = *(u8 *)skb[9]
        r0 = *(u32 *)skb[26]
        if w0 == 1 goto +21
        r0 = *(u32 *)skb[30]
        if w0 == 1 goto +19
        r0 = *(u32 *)skb[26]
        if w0 == 2 goto +17
        r0 = *(u32 *)skb[30]
        if w0 == 2 goto +15
        r0 = *(u32 *)skb[26]
        w0 &= 0xffffff00
        if w0 == 0x100 goto +12
        r0 = *(u32 *)skb[26]
        if w0 == 3 goto +10
        r0 = *(u32 *)skb[30]
        if w0 != 3 goto +2
        r0 = *(u8 *)skb[9]
        if w0 == 6 goto +6
        r0 = *(u32 *)skb[26]
        if w0 < 1000 goto +2
        if w0 > 1005 goto +1
        goto +2
        w0 = 0
        exit
        w0 = 1
        exit";
    // The second rule asks for as much of the packet as any: what follows it may be done in any order.
    becomes(
        text,
        &[PurePass::Rules],
        "b0: r0 = b[9] if len >= 10
        b0: r0 = w[26] if len >= 30
        b0: if r0 == 1 goto b12 else b1
        b1: goto b17
        b17: r0 = w[30] if len >= 34
        b17: if r0 == 1 goto b12 else b16
        b16: r0 = w[30] if len >= 34
        b16: if r0 == 2 goto b12 else b15
        b15: r0 = w[26] if len >= 30
        b15: switch r0 { 2-3 b12, 256-511 b12, 1000-1005 b12, else b14 }
        b14: r0 = w[30] if len >= 34
        b14: if r0 == 3 goto b13 else b11
        b13: r0 = b[9] if len >= 10
        b13: if r0 == 6 goto b12 else b11
        b11: answer 0
        b12: answer 1",
    );
}

#[test]
fn short_packets_go_the_old_way() {
    let text = "r0 = *(u32 *)skb[26]
        if w0 != 1 goto +2
        r0 = *(u8 *)skb[60]
        if w0 == 6 goto +14
        r0 = *(u32 *)skb[26]
        if w0 != 2 goto +2
        r0 = *(u8 *)skb[60]
        if w0 == 7 goto +10
        r0 = *(u32 *)skb[26]
        if w0 != 3 goto +2
        r0 = *(u8 *)skb[60]
        if w0 == 8 goto +6
        r0 = *(u32 *)skb[26]
        if w0 != 4 goto +2
        r0 = *(u8 *)skb[60]
        if w0 == 9 goto +2
        w0 = 0
        exit
        w0 = 1
        exit";
    becomes(
        text,
        &[PurePass::Rules],
        "b0: goto b16
        b16: if len >= 61 goto b14 else b15
        b15: r0 = w[26] if len >= 30
        b15: if r0 != 1 goto b2 else b1
        b1: r0 = b[60] if len >= 61
        b1: if r0 == 6 goto b9 else b2
        b2: r0 = w[26] if len >= 30
        b2: if r0 != 2 goto b4 else b3
        b3: r0 = b[60] if len >= 61
        b3: if r0 == 7 goto b9 else b4
        b4: r0 = w[26] if len >= 30
        b4: if r0 != 3 goto b6 else b5
        b5: r0 = b[60] if len >= 61
        b5: if r0 == 8 goto b9 else b6
        b6: r0 = w[26] if len >= 30
        b6: if r0 != 4 goto b8 else b7
        b7: r0 = b[60] if len >= 61
        b7: if r0 == 9 goto b9 else b8
        b14: r0 = w[26] if len >= 30
        b14: switch r0 { 1 b10, 2 b11, 3 b12, 4 b13, else b8 }
        b10: r0 = b[60] if len >= 61
        b10: if r0 == 6 goto b9 else b8
        b13: r0 = b[60] if len >= 61
        b13: if r0 == 9 goto b9 else b8
        b12: r0 = b[60] if len >= 61
        b12: if r0 == 8 goto b9 else b8
        b11: r0 = b[60] if len >= 61
        b11: if r0 == 7 goto b9 else b8
        b9: answer 1
        b8: answer 0",
    );
}

#[test]
fn what_is_loaded_behind_what_was_loaded_stays_in_order() {
    let text = "r0 = *(u8 *)skb[0]
        r0 = *(u8 *)skb[r0 + 0]
        if w0 == 1 goto +8
        r0 = *(u8 *)skb[r0 + 0]
        if w0 == 2 goto +6
        r0 = *(u8 *)skb[r0 + 0]
        if w0 == 3 goto +4
        r0 = *(u8 *)skb[r0 + 0]
        if w0 == 4 goto +2
        w0 = 0
        exit
        w0 = 1
        exit";
    let passes = [PurePass::Ranges, PurePass::Rules];
    assert_eq!(show(&blocks(text, &passes)), show(&blocks(text, &[PurePass::Ranges])));
}

#[test]
fn the_order_of_rules_matters_where_what_was_loaded_is_read() {
    let text = "r0 = *(u32 *)skb[30]
        r0 = *(u32 *)skb[26]
        if w0 == 1 goto +10
        r0 = *(u32 *)skb[30]
        if w0 == 1 goto +8
        r0 = *(u32 *)skb[26]
        if w0 == 2 goto +6
        r0 = *(u32 *)skb[30]
        if w0 == 2 goto +4
        r0 = *(u32 *)skb[26]
        if w0 == 3 goto +2
        r0 = *(u32 *)skb[30]
        if w0 == 3 goto +0
        exit";
    assert_eq!(show(&blocks(text, &[PurePass::Rules])), show(&blocks(text, &[])));
}

#[test]
fn a_context_that_is_too_short_is_declined() {
    let code = compiled("r6 = r1\nr0 = *(u32 *)(r6 + 4)\nexit");
    assert_eq!((code.context(), code.form()), (8, Form::Context));
    assert_eq!(code.run(&[], &[1, 0, 0, 0, 2, 0, 0, 0], 0), Some(2));
    assert_eq!(code.run(&[], &[1, 0, 0, 0, 2, 0, 0], 0), None);
}

#[test]
fn code_is_called_in_its_form_only() {
    let call = SeccompData { nr: 3, arch: 5, ..SeccompData::default() };
    let of_packet = compiled("r0 = *(u8 *)skb[1]\nexit");
    assert_eq!(of_packet.form(), Form::Packet);
    assert_eq!((of_packet.at_once(&[1, 2], 0), of_packet.of_call(&call)), (Some(2), Some(0)));
    let of_word = compiled("r0 = *(u32 *)(r1 + 0)\nexit");
    assert_eq!(of_word.form(), Form::Word);
    assert_eq!((of_word.at_once(&[], u32::MAX), of_word.of_call(&call)), (Some(u32::MAX.into()), None));
    let unsure = compiled("r0 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)skb[r0 + 0]\nexit");
    assert_eq!(unsure.form(), Form::Unsure);
    assert_eq!((unsure.at_once(&[7, 8], 1), unsure.of_call(&call)), (None, None));
    assert_eq!(unsure.run(&[7, 8], &[1, 0, 0, 0], 0), Some(8));
    assert_eq!(unsure.run(&[7, 8], &[0xff; 4], 0), None);
    let of_context = compiled("r0 = *(u32 *)(r1 + 4)\nexit");
    assert_eq!(of_context.form(), Form::Context);
    assert_eq!((of_context.at_once(&[], 0), of_context.of_call(&call)), (None, Some(5)));
    let everything = compiled("r0 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)skb[r0 + 0]\nexit");
    assert_eq!(everything.form(), Form::Everything);
    assert_eq!((everything.at_once(&[7, 8], 1), everything.of_call(&call)), (None, None));
    assert_eq!(everything.run(&[7, 8], &[0, 0, 0, 0, 1, 0, 0, 0], 0), Some(8));
    assert_eq!(
        (of_word.run(&[], &[1, 2, 3, 4], 0), of_word.run(&[], &[1, 2, 3], 0)),
        (Some(0x0403_0201), None)
    );
}

#[test]
fn calls_are_looked_at_up_to_their_end() {
    let call = SeccompData { args: [0, 0, 0, 0, 0, 6 << 32], ..SeccompData::default() };
    assert_eq!(compiled("r0 = *(u32 *)(r1 + 60)\nexit").of_call(&call), Some(6));
    assert_eq!(compiled("r0 = *(u32 *)(r1 + 64)\nexit").of_call(&call), None);
}

#[test]
fn no_code_knows_no_answer() {
    let none = Pure::none();
    assert_eq!((none.exists(), none.machine_code()), (false, &[][..]));
    assert_eq!((none.at_once(&[1], 1), none.of_call(&SeccompData::default())), (None, None));
    assert_eq!(none.run(&[1], &[0; 256], 1), None);
}

#[test]
fn negative_offsets_are_declined() {
    let code = compiled("r0 = *(u8 *)skb[-4096]\nexit");
    assert_eq!(code.run(&[1, 2], &[], 0), None);
    let code = compiled("r0 = *(u32 *)skb[0]\nr7 = r0\nr0 = *(u8 *)skb[r7 + 2]\nexit");
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
    let code = compiled(text);
    assert_eq!(code.run(&[], &[], 6), Some(15));
    assert_eq!(code.run(&[], &[], 5), None, "two jumps back over three instructions");
}
