//! What each shape of instruction reads, writes, and where control goes; sets of registers.

use sandbpf_isa::{Insn, Pc, Reg, RegSet, effects::Flow, parse};

/// The first instruction of a text, with a place behind it to jump to.
fn insn(text: &str) -> Insn {
    parse(&format!("{text}\nnext: exit")).unwrap_or_else(|error| panic!("{error} in {text}")).insns()[0]
}

fn set(regs: &str) -> RegSet {
    regs.split_whitespace().map(|reg| Reg::new(reg.parse().expect("a number")).expect("a register")).collect()
}

#[test]
fn reads_and_writes() {
    let rows = [
        // instruction                           reads             writes
        ("r1 = 5", "", "1"),
        ("r1 = r2", "2", "1"),
        ("w1 = (s8)w2", "2", "1"),
        ("r1 += r2", "1 2", "1"),
        ("r1 *= 5", "1", "1"),
        ("r1 = -r1", "1", "1"),
        ("r3 = be16 r3", "3", "3"),
        ("r1 = addr_space_cast(r2, 0, 1)", "2", "1"),
        ("r1 = 7 ll", "", "1"),
        ("r1 = subprog[next]", "", "1"),
        ("r1 = *(u8 *)(r10 - 1)", "10", "1"),
        ("*(u8 *)(r1 + 0) = r2", "1 2", ""),
        ("*(u8 *)(r1 + 0) = 3", "1", ""),
        ("lock *(u64 *)(r1 + 0) += r2", "1 2", ""),
        ("r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)", "1 2", "2"),
        ("r2 = xchg_64(r1 + 0, r2)", "1 2", "2"),
        ("r0 = cmpxchg_64(r1 + 0, r0, r2)", "0 1 2", "0"),
        ("r2 = load_acquire((u8 *)(r1 + 0))", "1", "2"),
        ("store_release((u8 *)(r1 + 0), r2)", "1 2", ""),
        ("r0 = *(u8 *)skb[0]", "6", "0"),
        ("r0 = *(u8 *)skb[r7 + 0]", "6 7", "0"),
        ("goto next", "", ""),
        ("may_goto next", "", ""),
        ("if r1 == r2 goto next", "1 2", ""),
        ("if r1 == 2 goto next", "1", ""),
        ("call 7", "1 2 3 4 5", "0"),
        ("call kfunc#7", "1 2 3 4 5", "0"),
        ("call next", "1 2 3 4 5", "0 1 2 3 4 5"),
        ("callx r9", "1 2 3 4 5 9", "0 1 2 3 4 5"),
        ("exit", "0", ""),
    ];
    for (text, reads, writes) in rows {
        assert_eq!(insn(text).reads(), set(reads), "reads of {text}");
        assert_eq!(insn(text).writes(), set(writes), "writes of {text}");
    }
}

#[test]
fn flow() {
    let rows = [
        ("r1 = 5", Flow::Next, None, None),
        ("r0 = *(u8 *)skb[0]", Flow::Next, None, None),
        ("goto next", Flow::Jump, Some(1), None),
        ("gotol next", Flow::Jump, Some(1), None),
        ("may_goto next", Flow::Fork, Some(1), None),
        ("if r1 == 2 goto next", Flow::Fork, Some(1), None),
        ("call 7", Flow::Next, None, None),
        ("call next", Flow::Next, None, Some(1)),
        ("r1 = subprog[next]", Flow::Next, None, Some(1)),
        ("exit", Flow::Stop, None, None),
    ];
    for (text, flow, target, function) in rows {
        let insn = insn(text);
        assert_eq!(
            (insn.flow(), insn.target(), insn.function()),
            (flow, target.map(Pc), function.map(Pc)),
            "{text}"
        );
    }
}

#[test]
fn register_sets() {
    let set = set("0 3 10");
    assert_eq!(set.iter().map(Reg::number).collect::<Vec<_>>(), [0, 3, 10]);
    assert!(set.contains(Reg::R3) && !set.contains(Reg::R4));
    assert_eq!(set.union(RegSet::of(Reg::R4)).without(RegSet::of(Reg::R0)), self::set("3 4 10"));
    assert!(RegSet::EMPTY.is_empty() && !set.is_empty() && set.without(set).is_empty());
    assert_eq!(format!("{set:?}"), "{r0, r3, r10}");
    assert_eq!(RegSet::ARGUMENTS, self::set("1 2 3 4 5"));
    assert_eq!(RegSet::PRESERVED, self::set("6 7 8 9"));
    assert_eq!(RegSet::RESULT, RegSet::of(Reg::R0));
    assert_eq!(Reg::all().collect::<RegSet>().iter().count(), Reg::COUNT);
}

#[test]
fn there_are_eleven_registers() {
    assert_eq!(Reg::new(10), Some(Reg::R10));
    assert_eq!(Reg::new(11), None);
    assert_eq!(Reg::R10.to_string(), "r10");
}
