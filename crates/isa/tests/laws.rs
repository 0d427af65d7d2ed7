//! Laws of the three forms of a program: bytes, instructions, text.

use proptest::{collection::vec, prelude::*, sample::select};
use sandbpf_isa::{
    AluOp, Callee, Cond, Extend, Insn, Operand, Pc, Program, Reach, Reg, Reserved, Size, StackUse, Width,
    arbitrary, decode_with, effects::Flow, parse, print, print_insn,
};

const STRICTNESSES: [Reserved; 3] = [Reserved::Linux, Reserved::Rfc9669, Reserved::Ignored];

/// Bytes that are often instructions: mostly an encoded program, with some bytes changed.
fn nearly_a_program() -> impl Strategy<Value = Vec<u8>> {
    (arbitrary::programs(12), vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(
        |(program, changes)| {
            let mut bytes = program.to_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

/// Text that is often a program: words of the language, in any order.
fn nearly_a_text() -> impl Strategy<Value = String> {
    let words = "r0 r1 r10 r11 w0 w3 = += s>>= s< == & - + * ( ) [ ] , : # < > ; // /* */ goto gotol may_goto if call \
                 callx exit lock ll skb map fd idx u8 u64 s32 le16 bswap64 pc L0 0 7 -1 0x10 0xffffffff 4294967296 0x \
                 18446744073709551616 (u32 (b7) 0: 1: f0: <f> é b7 00 xchg_64 cmpxchg32_32 atomic_fetch_add store_release";
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).chain(["\n".into()]).collect();
    vec(select(words), 0..24).prop_map(|words| words.join(" "))
}

fn never_panics(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(program) => prop_assert_eq!(parse(&print(&program)), Ok(program)),
        Err(error) => prop_assert!(error.line() >= 1 && error.column() >= 1 && !error.to_string().is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_program_survives_its_bytes(program in arbitrary::program()) {
        prop_assert!(program.fits());
        for reserved in STRICTNESSES {
            let decoded = decode_with(&program.to_bytes(), reserved);
            prop_assert_eq!(decoded.as_ref(), Ok(&program));
        }
    }

    #[test]
    fn a_program_survives_its_text(program in arbitrary::program()) {
        prop_assert_eq!(parse(&print(&program)), Ok(program));
    }

    #[test]
    fn the_listing_is_the_single_lines_and_labels(program in arbitrary::program()) {
        let text = print(&program);
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let single: Vec<String> =
            (0..program.len()).map(|pc| print_insn(&program, Pc(pc as u32)).to_string()).collect();
        prop_assert_eq!(lines, single);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        for reserved in STRICTNESSES {
            let _ = decode_with(&bytes, reserved);
        }
    }

    #[test]
    fn strict_bytes_are_canonical(bytes in nearly_a_program()) {
        let rfc = decode_with(&bytes, Reserved::Rfc9669);
        let linux = decode_with(&bytes, Reserved::Linux);
        let ignored = decode_with(&bytes, Reserved::Ignored);
        if let Ok(program) = &rfc {
            prop_assert_eq!(program.to_bytes(), bytes);
        }
        // What a stricter decoder takes, a laxer one takes for the same.
        if rfc.is_ok() {
            prop_assert_eq!(&rfc, &linux);
        }
        if linux.is_ok() {
            prop_assert_eq!(&linux, &ignored);
        }
        // And what is taken can be written strictly.
        if let Ok(program) = ignored {
            prop_assert_eq!(decode_with(&program.to_bytes(), Reserved::Rfc9669), Ok(program));
        }
    }

    #[test]
    fn any_text_parses_or_is_refused(text in any::<String>()) {
        never_panics(&text)?;
    }

    #[test]
    fn nearly_any_text_parses_or_is_refused(text in nearly_a_text()) {
        never_panics(&text)?;
    }

    #[test]
    fn damaged_listings_parse_or_are_refused(
        program in arbitrary::programs(8), at in any::<prop::sample::Index>(), c in any::<char>(),
    ) {
        let mut text: Vec<char> = print(&program).chars().collect();
        let at = at.index(text.len());
        text[at] = c;
        never_panics(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn slots_and_instructions_agree(program in arbitrary::program()) {
        for pc in (0..program.len()).map(|pc| Pc(pc as u32)) {
            prop_assert_eq!(program.at_slot(program.slot(pc)), Some(pc));
            prop_assert_eq!(program.slot(Pc(pc.0 + 1)) - program.slot(pc), program.insns()[pc.index()].slots());
        }
        prop_assert_eq!(program.at_slot(program.slot_count()), None);
        prop_assert_eq!(program.to_bytes().len(), 8 * program.slot_count() as usize);
    }

    #[test]
    fn functions_cover_the_program(program in arbitrary::program()) {
        let functions = program.functions();
        prop_assert_eq!(functions[0].entry, Pc(0));
        prop_assert_eq!(functions[functions.len() - 1].end, Pc(program.len() as u32));
        prop_assert!(functions.windows(2).all(|pair| pair[0].end == pair[1].entry));
        for insn in program.insns() {
            if let Some(entry) = insn.function() {
                prop_assert!(program.function_at(entry).is_some());
            }
        }
        for pc in (0..program.len()).map(|pc| Pc(pc as u32)) {
            let function = program.function_of(pc);
            prop_assert!(function.entry <= pc && pc < function.end);
        }
    }

    #[test]
    fn a_cost_covers_what_runs(program in roundabout(), ways in vec(any::<bool>(), 200)) {
        walk(&program, &ways)?;
    }

    #[test]
    fn a_frame_is_what_its_program_says(program in around_the_frame()) {
        let says = program.stack_use();
        let reads_r10 = program.insns().iter().any(|insn| insn.reads().contains(Reg::R10));
        prop_assert_eq!(says == StackUse::None, !reads_r10);
        if let StackUse::Top(bytes) = says {
            let mut deepest = 0;
            for insn in program.insns() {
                match *insn {
                    Insn::Load { size, base, off, .. } | Insn::Store { size, base, off, .. } => {
                        prop_assert_eq!(base, Reg::R10);
                        prop_assert!(i32::from(off) + i32::from(size.bytes()) <= 0);
                        deepest = deepest.max(-i32::from(off));
                        // The pointer itself must not be stored where a load could find it.
                        let leaks = matches!(insn, Insn::Store { src: Operand::Reg(Reg::R10), .. });
                        prop_assert!(!leaks);
                    }
                    Insn::Call { .. } | Insn::Atomic { .. } => prop_assert!(false, "{insn:?} may reach any frame"),
                    _ => prop_assert!(!insn.reads().contains(Reg::R10)),
                }
            }
            prop_assert_eq!(i32::from(bytes), deepest);
        }
    }
}

/// Programs that mostly load and store below `r10`, with one instruction of any kind among them.
fn around_the_frame() -> impl Strategy<Value = Program> {
    let base = prop_oneof![8 => Just(Reg::R10), 1 => arbitrary::reg()];
    let below = prop_oneof![8 => -64..=-8i16, 1 => -520..=8i16];
    let access = (select(Size::ALL), base, below, arbitrary::operand(), any::<bool>()).prop_map(
        |(size, base, off, src, store)| match store {
            true => Insn::Store { size, base, off, src },
            false => Insn::Load { size, extend: Extend::Zero, dst: Reg::R0, base, off },
        },
    );
    (vec(access, 0..6), proptest::option::of(arbitrary::insn())).prop_filter_map(
        "target",
        |(mut insns, other)| {
            insns.extend(other);
            Program::new(insns).ok()
        },
    )
}

/// Programs of nothing but jumps, calls, returns and steps between them.
fn roundabout() -> impl Strategy<Value = Program> {
    let to = any::<u32>().prop_map(Pc);
    let branch = |to| Insn::Branch { cond: Cond::Eq, width: Width::W64, lhs: Reg::R0, rhs: 0.into(), to };
    let insn = prop_oneof![
        4 => Just(Insn::Alu { op: AluOp::Add, width: Width::W64, dst: Reg::R0, src: 1.into() }),
        2 => to.clone().prop_map(branch),
        1 => to.clone().prop_map(|to| Insn::Jump { to, reach: Reach::Far }),
        1 => to.prop_map(|to| Insn::Call { callee: Callee::Local(to) }),
        1 => Just(Insn::Exit),
    ];
    vec(insn, 1..24).prop_map(arbitrary::sound)
}

/// Walks a program along arbitrary decisions, with the charges of a run: what has run never exceeds
/// the cost of the first function and what jumps back and calls were charged.
fn walk(program: &Program, ways: &[bool]) -> Result<(), TestCaseError> {
    let mut ways = ways.iter().copied();
    let mut charged = u64::from(program.functions()[0].cost);
    let (mut ran, mut pc, mut returns) = (0u64, 0u32, Vec::new());
    while let Some(insn) = program.get(Pc(pc)) {
        ran += 1;
        prop_assert!(ran <= charged, "{ran} instructions ran, {charged} were charged, at {pc} of\n{program}");
        let Some(way) = ways.next() else { break };
        let taken = match insn.flow() {
            Flow::Jump => true,
            Flow::Fork => way,
            Flow::Next | Flow::Stop => false,
        };
        let ends = insn.flow() == Flow::Stop || (matches!(insn, Insn::LoadPacket { .. }) && way);
        match (insn, insn.target()) {
            (_, Some(to)) if taken => {
                if to.0 <= pc {
                    charged += u64::from(pc - to.0) + 1;
                }
                pc = to.0;
            }
            (Insn::Call { callee: Callee::Local(to) }, _) if returns.len() < 7 => {
                let Some(function) = program.function_at(*to) else { break };
                charged += u64::from(function.cost);
                returns.push(pc + 1);
                pc = to.0;
            }
            _ if ends => match returns.pop() {
                Some(to) => pc = to,
                None => break,
            },
            _ => pc += 1,
        }
    }
    Ok(())
}
