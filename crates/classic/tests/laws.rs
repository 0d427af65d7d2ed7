//! Laws: texts come back, lowering keeps the meaning, and nothing panics.

mod common;

use common::verdict;
use proptest::prelude::*;
use sandbpf_abi::SkBuff;
use sandbpf_classic::reference::Packet;
use sandbpf_classic::{ClassicInsn, Dialect, Filter, Form, from_bytes, parse, parse_as, print, to_bytes};

/// Opcodes that exist, one in sixteen that may not.
fn code() -> impl Strategy<Value = u16> {
    let known = prop::sample::select(
        (0..256).filter(|&c| sandbpf_classic::shape::Shape::of(c).is_some()).collect::<Vec<u16>>(),
    );
    prop_oneof![15 => known, 1 => any::<u16>()]
}

fn constant() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..16u32,
        2 => 0..64u32,
        1 => (0..17u32).prop_map(|i| 0xffff_f000 + 4 * i),
        1 => (0..64u32).prop_map(|i| 0xfff0_0000 + i),
        1 => (0..64u32).prop_map(|i| 0xffe0_0000 + i),
        1 => prop::sample::select(vec![31, 32, 33, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 1]),
        1 => any::<u32>(),
    ]
}

fn insns() -> impl Strategy<Value = Vec<ClassicInsn>> {
    let insn =
        (code(), 0..6u8, 0..6u8, constant()).prop_map(|(code, jt, jf, k)| ClassicInsn { code, jt, jf, k });
    // Returns at the end for short jumps to land on.
    prop::collection::vec(insn, 0..24).prop_map(|mut insns| {
        insns.extend([ClassicInsn { code: 0x16, jt: 0, jf: 0, k: 0 }; 7]);
        insns
    })
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(Dialect::ALL.to_vec())
}

/// What the dialect accepts of a program: the instructions that it refuses become `ld #k`.
fn accepted(mut insns: Vec<ClassicInsn>, dialect: Dialect) -> Filter {
    loop {
        match Filter::check(&insns, dialect) {
            Ok(filter) => return filter,
            Err(error) => {
                let insn = &mut insns[error.index()];
                assert_ne!(insn.code, 0, "a constant is never refused: {error}");
                insn.code = 0;
            }
        }
    }
}

/// What a form tells of a program.
fn told(insns: &[ClassicInsn], form: Form) -> Vec<ClassicInsn> {
    match form {
        Form::TcpdumpD | Form::BpfAsm => insns.iter().map(|insn| insn.normalized()).collect(),
        Form::TcpdumpDd | Form::TcpdumpDdd | Form::Bytecode | Form::SeccompTools => insns.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn printed_programs_come_back(insns in insns(), dialect in dialect()) {
        let filter = accepted(insns, dialect);
        let insns = filter.insns();
        for form in Form::ALL {
            let text = print(insns, form);
            let told = told(insns, form);
            prop_assert_eq!(parse(&text), Ok(told.clone()), "{:?}:\n{}", form, text);
            let windows = text.replace('\n', "\r\n");
            prop_assert_eq!(parse(&format!("\r\n\n{windows}\n \r\n")), Ok(told.clone()), "{:?}:\n{}", form, text);
            // `bpf_asm` has no word for an opcode that does not exist.
            let nameless = insns.iter().any(|insn| sandbpf_classic::shape::Shape::of(insn.code).is_none());
            if form != Form::BpfAsm || !nameless {
                prop_assert_eq!(parse_as(&text, form), Ok(told.clone()), "{:?}:\n{}", form, text);
            }
        }
        prop_assert_eq!(from_bytes(&to_bytes(insns)), Ok(insns.to_vec()));
    }

    #[test]
    fn lowering_keeps_the_meaning(
        insns in insns(), dialect in dialect(), bytes in prop::collection::vec(any::<u8>(), 64..200),
        len in 0..200usize, device in 0..2u32, link in any::<bool>(), values in any::<[u32; 6]>(),
    ) {
        let filter = accepted(insns, dialect);
        let bytes = if dialect == Dialect::Seccomp { &bytes[..64] } else { &bytes[..len.min(bytes.len())] };
        let linux = dialect == Dialect::Linux;
        let packet = Packet {
            wire_len: values[0],
            data: if linux { bytes.len() / 4 } else { 0 },
            network: bytes.len() / 5,
            link: link.then_some(1),
            cpu: values[1],
            random: values[2],
            payload_offset: values[3],
            skb: SkBuff { mark: values[4], hash: values[5], ifindex: device, hatype: 1, protocol: 8, ..SkBuff::default() },
            ..Packet::new(bytes)
        };
        let _ = verdict("generated", &filter, &packet);
    }

    #[test]
    fn arbitrary_programs(insns in prop::collection::vec(any::<[u8; 8]>(), 0..12)) {
        let insns: Vec<_> = insns.into_iter().map(ClassicInsn::from_bytes).collect();
        for form in Form::ALL {
            let _ = parse(&print(&insns, form));
        }
        for dialect in Dialect::ALL {
            if let Ok(filter) = Filter::check(&insns, dialect) {
                let _ = sandbpf_classic::lower(&filter);
            }
        }
    }

    #[test]
    fn arbitrary_text(text in any::<String>(), pieces in prop::collection::vec(piece(), 0..40)) {
        for text in [text, pieces.concat()] {
            let _ = parse(&text);
            for form in Form::ALL {
                let _ = parse_as(&text, form);
            }
        }
    }
}

/// Pieces of text that mean something somewhere.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        "\n",
        "\r\n",
        "\t",
        ",",
        ":",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "#",
        "%",
        "+",
        "-",
        "*",
        "&",
        ";",
        "/*",
        "*/",
        "'",
        "\"",
        "ld",
        "ldh",
        "ldx",
        "ldxb",
        "ldi",
        "st",
        "jeq",
        "jne",
        "ja",
        "ret",
        "add",
        "tax",
        "unimp",
        "jt",
        "jf",
        "x",
        "a",
        "M",
        "len",
        "#len",
        "proto",
        "vlanp",
        "label",
        "(000)",
        "(01)",
        "0",
        "00",
        "08",
        "0x",
        "0xff",
        "0b1",
        "12",
        "+4",
        "-2",
        "65536",
        "4294967296",
        "99999999999999999999999",
        "x + ",
        "4*([14]&0xf)",
        "0000:",
        " line  CODE",
        "====",
        "é",
        "\u{2028}",
    ])
}

/// A program of 150 000 instructions that jumps over most of itself, forward and back.
#[test]
fn long_programs_lower() {
    let insn = |code, k| ClassicInsn { code, jt: 0, jf: 0, k };
    let long = 150_000;
    let mut insns = vec![insn(0x05, long)];
    insns.extend((0..long).map(|i| if i == 7 { insn(0x06, 7) } else { insn(0xb1, i) }));
    // Back to the return.
    insns.extend([insn(0x05, (8 - (long as i32 + 2)) as u32), insn(0x06, 0)]);
    let filter = Filter::check(&insns, Dialect::Libpcap).expect("a sound filter");
    assert_eq!(verdict("long", &filter, &Packet::new(&[])), Ok(7));
    assert!(sandbpf_classic::lower(&filter).program.fits(), "far jumps reach");
}
