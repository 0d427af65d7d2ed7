//! Every spelling the parser takes, as bytes, and every complaint it makes.

use sandbpf_isa::{Pc, Program, parse, print, print_insn};

fn program(text: &str) -> Program {
    parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

fn hex(program: &Program) -> String {
    let hex: Vec<String> = program.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ")
}

fn complaint(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// Canonical text and bytes; the text is printed again as it is read.
#[rustfmt::skip]
const CANONICAL: &[(&str, &str)] = &[
    ("r1 = 5",                                        "b7 01 00 00 05 00 00 00"),
    ("w1 = -5",                                       "b4 01 00 00 fb ff ff ff"),
    ("r1 += r2",                                      "0f 21 00 00 00 00 00 00"),
    ("w1 s>>= w2",                                    "cc 21 00 00 00 00 00 00"),
    ("r1 s/= 3",                                      "37 01 01 00 03 00 00 00"),
    ("w1 s%= w2",                                     "9c 21 01 00 00 00 00 00"),
    ("r1 = (s8)r2",                                   "bf 21 08 00 00 00 00 00"),
    ("w1 = (s16)w2",                                  "bc 21 10 00 00 00 00 00"),
    ("r1 = (s32)r2",                                  "bf 21 20 00 00 00 00 00"),
    ("r1 = -r1",                                      "87 01 00 00 00 00 00 00"),
    ("w1 = -w1",                                      "84 01 00 00 00 00 00 00"),
    ("r1 = le16 r1",                                  "d4 01 00 00 10 00 00 00"),
    ("r1 = be64 r1",                                  "dc 01 00 00 40 00 00 00"),
    ("r1 = bswap32 r1",                               "d7 01 00 00 20 00 00 00"),
    ("r1 = addr_space_cast(r2, 0, 1)",                "bf 21 01 00 01 00 00 00"),
    ("r1 = addr_space_cast(r2, 1, 0)",                "bf 21 01 00 00 00 01 00"),
    ("r1 = 0x1122334455667788 ll",                    "18 01 00 00 88 77 66 55 00 00 00 00 44 33 22 11"),
    ("r1 = map[fd:3]",                                "18 11 00 00 03 00 00 00 00 00 00 00 00 00 00 00"),
    ("r1 = map[fd:3][0]+16",                          "18 21 00 00 03 00 00 00 00 00 00 00 10 00 00 00"),
    ("r1 = variable[id:5]",                           "18 31 00 00 05 00 00 00 00 00 00 00 00 00 00 00"),
    ("r1 = variable[id:5, module:-1]",                "18 31 00 00 05 00 00 00 00 00 00 00 ff ff ff ff"),
    ("r1 = map[idx:3]",                               "18 51 00 00 03 00 00 00 00 00 00 00 00 00 00 00"),
    ("r1 = map[idx:3][0]+4294967295",                 "18 61 00 00 03 00 00 00 00 00 00 00 ff ff ff ff"),
    ("r0 = *(u8 *)(r1 + 0)",                          "71 10 00 00 00 00 00 00"),
    ("r0 = *(u64 *)(r10 - 8)",                        "79 a0 f8 ff 00 00 00 00"),
    ("r0 = *(s16 *)(r1 + 32767)",                     "89 10 ff 7f 00 00 00 00"),
    ("*(u16 *)(r1 - 32768) = r2",                     "6b 21 00 80 00 00 00 00"),
    ("*(u32 *)(r10 - 8) = 7",                         "62 0a f8 ff 07 00 00 00"),
    ("*(u64 *)(r10 - 8) = -1",                        "7a 0a f8 ff ff ff ff ff"),
    ("lock *(u64 *)(r1 + 0) += r2",                   "db 21 00 00 00 00 00 00"),
    ("lock *(u32 *)(r1 + 4) ^= w2",                   "c3 21 04 00 a0 00 00 00"),
    ("r3 = atomic_fetch_add((u64 *)(r1 + 0), r3)",    "db 31 00 00 01 00 00 00"),
    ("w3 = atomic_fetch_or((u32 *)(r1 + 0), w3)",     "c3 31 00 00 41 00 00 00"),
    ("r2 = xchg_64(r1 + 0, r2)",                      "db 21 00 00 e1 00 00 00"),
    ("w2 = xchg32_32(r1 - 4, w2)",                    "c3 21 fc ff e1 00 00 00"),
    ("r0 = cmpxchg_64(r1 + 0, r0, r2)",               "db 21 00 00 f1 00 00 00"),
    ("w0 = cmpxchg32_32(r1 + 0, w0, w2)",             "c3 21 00 00 f1 00 00 00"),
    ("r2 = load_acquire((u8 *)(r1 + 0))",             "d3 12 00 00 00 01 00 00"),
    ("r2 = load_acquire((u64 *)(r1 + 8))",            "db 12 08 00 00 01 00 00"),
    ("store_release((u16 *)(r1 + 0), r2)",            "cb 21 00 00 10 01 00 00"),
    ("r0 = *(u16 *)skb[12]",                          "28 00 00 00 0c 00 00 00"),
    ("r0 = *(u32 *)skb[-4096]",                       "20 00 00 00 00 f0 ff ff"),
    ("r0 = *(u8 *)skb[r7 + 2]",                       "50 70 00 00 02 00 00 00"),
    ("r0 = *(u8 *)skb[r7 - 2147483648]",              "50 70 00 00 00 00 00 80"),
    ("goto L1",                                       "05 00 00 00 00 00 00 00"),
    ("gotol L1",                                      "06 00 00 00 00 00 00 00"),
    ("may_goto L1",                                   "e5 00 00 00 00 00 00 00"),
    ("if r1 == 5 goto L1",                            "15 01 00 00 05 00 00 00"),
    ("if w1 s< w2 goto L1",                           "ce 21 00 00 00 00 00 00"),
    ("if r1 & 4 goto L1",                             "45 01 00 00 04 00 00 00"),
    ("call 7",                                        "85 00 00 00 07 00 00 00"),
    ("call -1",                                       "85 00 00 00 ff ff ff ff"),
    ("call kfunc#1234",                               "85 20 00 00 d2 04 00 00"),
    ("call kfunc#1234@-2",                            "85 20 fe ff d2 04 00 00"),
    ("callx r1",                                      "8d 01 00 00 00 00 00 00"),
    ("exit",                                          "95 00 00 00 00 00 00 00"),
];

#[test]
fn canonical_text_is_read_and_printed() {
    for (text, bytes) in CANONICAL {
        let program = program(&format!("{text}\nL1:\nexit"));
        assert_eq!(hex(&program), format!("{bytes} 95 00 00 00 00 00 00 00"), "{text}");
        assert_eq!(print_insn(&program, Pc(0)).to_string(), *text);
    }
}

/// Other spellings, and the canonical one.
#[rustfmt::skip]
const SPELLINGS: &[(&str, &str)] = &[
    // Numbers.
    ("r1 = 0xffffffff",                               "r1 = -1"),
    ("r1 = -0x1",                                     "r1 = -1"),
    ("r1 = +7",                                       "r1 = 7"),
    ("r1 = -2147483648",                              "r1 = -2147483648"),
    ("r1=4294967295",                                 "r1 = -1"),
    ("r1 = -1 ll",                                    "r1 = 0xffffffffffffffff ll"),
    ("r1 = 18446744073709551615 ll",                  "r1 = 0xffffffffffffffff ll"),
    ("r1 = -9223372036854775808 ll",                  "r1 = 0x8000000000000000 ll"),
    // The kernel's.
    ("r0 = *(u32 *)(r1 +4)",                          "r0 = *(u32 *)(r1 + 4)"),
    ("*(u64 *)(r10 -8) = r1",                         "*(u64 *)(r10 - 8) = r1"),
    ("r3 = atomic64_fetch_add((u64 *)(r1 +0), r3)",   "r3 = atomic_fetch_add((u64 *)(r1 + 0), r3)"),
    ("r3 = atomic_fetch_and((u32 *)(r1 +0), r3)",     "w3 = atomic_fetch_and((u32 *)(r1 + 0), w3)"),
    ("r2 = atomic64_xchg((u64 *)(r1 +0), r2)",        "r2 = xchg_64(r1 + 0, r2)"),
    ("r2 = atomic_xchg((u32 *)(r1 +0), r2)",          "w2 = xchg32_32(r1 + 0, w2)"),
    ("r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", "r0 = cmpxchg_64(r1 + 0, r0, r2)"),
    ("r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)",   "w0 = cmpxchg32_32(r1 + 0, w0, w2)"),
    ("lock *(u32 *)(r1 +0) += r2",                    "lock *(u32 *)(r1 + 0) += w2"),
    ("if r1 s> 0x5 goto pc+0",                        "if r1 s> 5 goto L1"),
    ("goto pc+0",                                     "goto L1"),
    ("call bpf_ktime_get_ns#5",                       "call 5"),
    ("call bpf_tail_call#12",                         "call 12"),
    // llvm-objdump's.
    ("w0 = *(u8 *)(r1 + 0x0)",                        "r0 = *(u8 *)(r1 + 0)"),
    ("*(u32 *)(r1 + 0x4) = w2",                       "*(u32 *)(r1 + 4) = r2"),
    ("*(u8 *)(r10 - 0x1) = w2",                       "*(u8 *)(r10 - 1) = r2"),
    ("w2 = load_acquire((u32 *)(r1 + 0x0))",          "r2 = load_acquire((u32 *)(r1 + 0))"),
    ("store_release((u8 *)(r1 + 0x0), w2)",           "store_release((u8 *)(r1 + 0), r2)"),
    ("r1 = addr_space_cast(r2, 0x0, 0x1)",            "r1 = addr_space_cast(r2, 0, 1)"),
    ("if r1 == 0x0 goto +0x0 <LBB0_2>",               "if r1 == 0 goto L1"),
    ("if w1 < w2 goto +0x0 <main+0x18>",              "if w1 < w2 goto L1"),
    ("r0 = *(u8 *)skb[r7]",                           "r0 = *(u8 *)skb[r7 + 0]"),
    ("r0 = *(u8 *)skb[0xfffff000]",                   "r0 = *(u8 *)skb[-4096]"),
    // Spaces and none, and words of C.
    ("r1=*(u8*)(r2)",                                 "r1 = *(u8 *)(r2 + 0)"),
    ("  r1  =  ( s8 )  r2  ",                         "r1 = (s8)r2"),
    ("if r1<r2 goto L1",                              "if r1 < r2 goto L1"),
    ("if r1 s<=-1 goto L1",                           "if r1 s<= -1 goto L1"),
    ("r1 -=-1",                                       "r1 -= -1"),
    ("return",                                        "exit"),
    ("r1 = map[fd:3]+16",                             "r1 = map[fd:3][0]+16"),
    // Comments.
    ("r1 = 1 ; R1_w=1",                               "r1 = 1"),
    ("r1 = 1 // one",                                 "r1 = 1"),
    ("r1 = 1# one",                                   "r1 = 1"),
    ("r1 /* one */ = /**/ 1 /* é ; // */",            "r1 = 1"),
    ("/* several\n lines */ r1 = 1",                  "r1 = 1"),
    ("call 7 # seven",                                "call 7"),
    // Columns.
    ("0: (b7) r1 = 1                        ; R1_w=1",  "r1 = 1"),
    ("   0:\tb7 01 00 00 01 00 00 00\tr1 = 0x1",      "r1 = 1"),
    ("0: r1 = 1",                                     "r1 = 1"),
    ("0: (18) r1 = 0xffff88810000",                   "r1 = 0xffff88810000 ll"),
    ("0:\t18 01 00 00 07 00 00 00 00 00 00 00 00 00 00 00\tr1 = 0x7 ll", "r1 = 0x7 ll"),
    ("0:\t18 11 00 00 07 00 00 00 00 00 00 00 00 00 00 00\tr1 = 0x7 ll", "r1 = map[fd:7]"),
    ("0:\t18 62 00 00 07 00 00 00 00 00 00 00 01 00 00 00\tr2 = 0x100000007 ll", "r2 = map[idx:7][0]+1"),
    ("0:\t85 00 00 00 07 00 00 00\tcall 0x7",         "call 7"),
    ("0:\t85 20 00 00 07 00 00 00\tcall 0x7",         "call kfunc#7"),
    ("a: b: .Lc$1: r1 = 1",                           "r1 = 1"),
];

#[test]
fn other_spellings_mean_the_same() {
    for (text, canonical) in SPELLINGS {
        let program = program(&format!("{text}\nL1:\nexit"));
        assert_eq!(print_insn(&program, Pc(0)).to_string(), *canonical, "{text}");
        assert_eq!(program.len(), 2, "{text}");
    }
}

#[test]
fn distances_count_slots() {
    let program = program(
        "goto +3\nr1 = 1 ll\nr2 = 2\nexit\ngoto -1\nif r1 == 0 goto pc-6\nr3 = subprog[+1]\nexit\nexit",
    );
    // A wide instruction's distance counts from its first slot too: slot 7, one, and one more.
    let text = "    goto L3\nL1:\n    r1 = 0x1 ll\n    r2 = 2\nL3:\n    exit\nL4:\n    goto L4\n    if r1 == 0 goto L1\n    \
                r3 = subprog[f7]\nf7:\n    exit\n    exit\n";
    assert_eq!(print(&program), text);
}

#[test]
fn calls_of_functions() {
    let text = "call f\ncall pc+2\nexit\nf: exit\nexit";
    assert_eq!(print(&program(text)), "    call f3\n    call f4\n    exit\nf3:\n    exit\nf4:\n    exit\n");
    // llvm-objdump writes a local call like a helper's; the bytes tell them apart.
    let text = "0:\t85 10 00 00 01 00 00 00\tcall 0x1 <f>\n1:\t95 00 00 00 00 00 00 00\texit\n\n0000000000000010 <f>:\n\
                2:\t85 10 00 00 ff ff ff ff\tcall -0x1\n3:\t95 00 00 00 00 00 00 00\texit";
    assert_eq!(print(&program(text)), "    call f2\n    exit\nf2:\n    call f2\n    exit\n");
}

#[test]
fn a_disassembly_with_everything_around_it() {
    let text = "
prog.o:\tfile format elf64-bpf

Disassembly of section xdp:

0000000000000000 <main>:
;   int i = 0; /* unclosed in the source, and // more
       0:\tb7 00 00 00 00 00 00 00\tr0 = 0x0

0000000000000008 <LBB0_1>:
       1:\t07 00 00 00 01 00 00 00\tr0 += 0x1
       2:\t55 00 fe ff 0a 00 00 00\tif r0 != 0xa goto -0x2 <LBB0_1>
       3:\t95 00 00 00 00 00 00 00\texit

Disassembly of section tc:

0000000000000000 <other>:
       0:\t95 00 00 00 00 00 00 00\texit
";
    assert_eq!(
        print(&program(text)),
        "    r0 = 0\nL1:\n    r0 += 1\n    if r0 != 10 goto L1\n    exit\n    exit\n"
    );
}

#[test]
fn a_verifiers_log() {
    let text = "func#0 @0
0: R1=ctx() R10=fp0
; int main(void *ctx) @ main.c:7
0: (18) r1 = 0xffff8881           ; R1_w=map_ptr(map=counts,ks=4,vs=8)
2: (85) call bpf_get_prandom_u32#7        ; R0_w=scalar()
3: (15) if r0 == 0x0 goto pc+1    ; R0_w=scalar(umin=1)
4: R0=scalar() R10=fp0
4: (b7) r0 = 1                    ; R0_w=1
5: (95) exit
verification time 25 usec
stack depth 0
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";
    let listing = "    r1 = 0xffff8881 ll\n    call 7\n    if r0 == 0 goto L4\n    r0 = 1\nL4:\n    exit\n";
    assert_eq!(print(&program(text)), listing);
}

/// At log level 2 Linux 6.18 lists the program before it walks, and the walk may skip and repeat.
#[test]
fn a_log_with_live_registers_is_read_from_their_table() {
    let text = "func#0 @0
func#1 @4
Live regs before insn:
      0: .......... (18) r1 = 0x7
      2: .1........ (85) call pc+1
      3: 0......... (95) exit

  1   4: .1........ (bf) r0 = r1
      5: 0......... (95) exit
0: R1=ctx() R10=fp0
0: (18) r1 = 0x7                      ; R1=7
2: (85) call pc+1
caller:
 R10=fp0
callee:
 frame1: R1=7 R10=fp0
4: (bf) r0 = r1                       ; frame1: R0=7 R1=7
5: (95) exit
returning from callee:
to caller at 3:
 R0=7 R10=fp0

from 5 to 3: R0=7 R10=fp0
3: (95) exit
processed 5 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";
    let listing = "    r1 = 0x7 ll\n    call f3\n    exit\nf3:\n    r0 = r1\n    exit\n";
    assert_eq!(print(&program(text)), listing);
}

#[test]
fn bpftools_listing_with_opcodes() {
    let text = "   0: (bf) r6 = r1\n       bf 16 00 00 00 00 00 00\n   1: (95) exit\n       95 00 00 00 00 00 00 00\n";
    assert_eq!(print(&program(text)), "    r6 = r1\n    exit\n");
}

#[test]
fn an_excerpt_starts_anywhere_but_has_no_gaps() {
    assert_eq!(program("12: r0 = 0 ll\n14: exit").len(), 2);
    let expected = "line 2, column 1: expected 14, the next instruction's number, found `13`";
    assert_eq!(complaint("12: r0 = 0 ll\n13: exit"), expected);
    // A verifier that walks in a circle writes an instruction again.
    assert_eq!(
        complaint("0: r0 = 0\n1: r0 += 1\n1: r0 += 1"),
        "line 3, column 1: expected 2, the next instruction's number, found `1`"
    );
}

#[test]
fn a_jump_to_a_label_may_be_longer_than_its_encoding() {
    let far = format!("goto end\n{}end: exit", "r0 = 1\n".repeat(40_000));
    let program = program(&far);
    assert!(!program.fits());
    assert_eq!(parse(&print(&program)), Ok(program));
}

#[test]
fn complaints_say_where_what_and_what_instead() {
    let rows = [
        ("", "line 1, column 1: expected at least one instruction, found the end of the line"),
        ("; nothing", "line 1, column 1: expected at least one instruction, found the end of the line"),
        ("r0 = 0\n\nfrob r1", "line 3, column 1: expected an instruction, found `frob`"),
        ("r0 = 0 é", "line 1, column 8: expected an instruction, found `é`"),
        ("/* é */ r0 = %", "line 1, column 14: expected an instruction, found `%`"),
        ("r0 = 0 r1", "line 1, column 8: expected the end of the instruction, found `r1`"),
        ("r0 =", "line 1, column 5: expected a register r0 to r10 or a number, found the end of the line"),
        ("r0 = r11", "line 1, column 6: expected a register, a number, a load or an operation, found `r11`"),
        ("r0 = w1", "line 1, column 6: expected a register r0 to r10 or a number, found `w1`"),
        ("w0 += r1", "line 1, column 7: expected a register w0 to w10 or a number, found `r1`"),
        ("r0 = -r1", "line 1, column 7: expected `r0`, found `r1`"),
        ("r0 = be16 r1", "line 1, column 11: expected `r0`, found `r1`"),
        ("w0 = (s32)w1", "line 1, column 7: expected s8 or s16, found `s32`"),
        ("w0 = 1 ll", "line 1, column 6: expected a 32-bit number; 64 bits need an r register, found `1`"),
        (
            "r0 = 4294967296",
            "line 1, column 6: expected a 32-bit number, -2147483648 to 4294967295, found `4294967296`",
        ),
        (
            "r0 += -2147483649",
            "line 1, column 7: expected a 32-bit number, -2147483648 to 4294967295, found `-2147483649`",
        ),
        (
            "r0 = -9223372036854775809 ll",
            "line 1, column 6: expected a 64-bit number, -2^63 to 2^64 - 1, found `-9223372036854775809`",
        ),
        (
            "r0 = *(u32 *)(r1 - 32769)",
            "line 1, column 18: expected an offset from -32768 to 32767, found `- 32769`",
        ),
        (
            "r0 = *(s64 *)(r1 + 0)",
            "line 1, column 8: expected u8, u16, u32, u64, s8, s16 or s32, found `s64`",
        ),
        (
            "w0 = *(u64 *)(r1 + 0)",
            "line 1, column 7: expected `(u8 *)`, `(u16 *)` or `(u32 *)` for a w register, found `(`",
        ),
        ("*(s8 *)(r1 + 0) = 1", "line 1, column 3: expected u8, u16, u32 or u64, found `s8`"),
        ("*(u64 *)(r1 + 0) = w1", "line 1, column 20: expected a register r0 to r10, found `w1`"),
        ("lock *(u8 *)(r1 + 0) += r2", "line 1, column 7: expected `(u32 *)` or `(u64 *)`, found `(`"),
        ("lock *(u64 *)(r1 + 0) -= r2", "line 1, column 23: expected `+=`, `|=`, `&=` or `^=`, found `-=`"),
        ("r1 = xchg_64(r1 + 0, r2)", "line 1, column 22: expected `r1`, found `r2`"),
        (
            "r0 = *(u64 *)skb[0]",
            "line 1, column 7: expected `r0 = *(u8 *)`, `r0 = *(u16 *)` or `r0 = *(u32 *)` before a packet load, found `(`",
        ),
        (
            "r1 = *(u8 *)skb[0]",
            "line 1, column 7: expected `r0 = *(u8 *)`, `r0 = *(u16 *)` or `r0 = *(u32 *)` before a packet load, found `(`",
        ),
        ("goto 3", "line 1, column 6: expected a label or a distance with its sign, like +3, found `3`"),
        ("goto +40000", "line 1, column 6: expected an offset from -32768 to 32767, found `+40000`"),
        ("goto +3", "line 1, column 6: expected a distance to one of slots 0 to 0, found `+3`"),
        (
            "goto -2\nr0 = 1 ll\nexit",
            "line 1, column 6: expected a distance to one of slots 0 to 3, found `-2`",
        ),
        ("goto nowhere", "line 1, column 6: expected a label of this text, found `nowhere`"),
        ("goto end\nend:", "line 1, column 6: expected a label with an instruction after it, found `end`"),
        ("a: exit\na: exit", "line 2, column 1: expected a label that is not defined twice, found `a`"),
        (
            "if r1 = 2 goto +0",
            "line 1, column 7: expected a comparison: ==, !=, <, <=, >, >=, s<, s<=, s>, s>= or &, found `=`",
        ),
        ("if w1 == r2 goto +0", "line 1, column 10: expected a register w0 to w10 or a number, found `r2`"),
        (
            "call +1",
            "line 1, column 6: expected a helper's number, name#number, a label or pc and a distance, like pc+3, found `+`",
        ),
        (
            "r0 = 010",
            "line 1, column 6: expected a number of at most 64 bits, decimal without leading zeros or hexadecimal after 0x, found `010`",
        ),
        (
            "r0 = 0x1_0",
            "line 1, column 6: expected a number of at most 64 bits, decimal without leading zeros or hexadecimal after 0x, found `0x1_0`",
        ),
        ("r1 = map[id:3]", "line 1, column 10: expected `fd` or `idx`, found `id`"),
        (
            "r1 = addr_space_cast(r2, 1, 1)",
            "line 1, column 26: expected `0, 1` or `1, 0`, the two address spaces, found `1`",
        ),
        (
            "exit\n /* never",
            "line 2, column 2: expected `*/` somewhere after this comment's start, found `/*`",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(complaint(text), expected, "{text}");
    }
}

#[test]
fn long_words_are_cut() {
    let word = "x".repeat(1_000_000);
    assert!(complaint(&word).len() < 200);
}

#[test]
fn long_lines_take_time_in_proportion() {
    let line = "( ".repeat(500_000);
    assert!(complaint(&line).contains("expected an instruction"));
    let labels: String = (0..100_000).map(|n| format!("a{n}: ")).collect();
    assert_eq!(program(&format!("{labels} exit")).len(), 1);
}
