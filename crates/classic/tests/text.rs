//! What the recorded tools print and read, beyond what comes back: `bpf_dbg`, libseccomp, errors with their lines.

mod common;

use common::{number, program, records};
use sandbpf_classic::{ClassicInsn, Form, TextError, parse, parse_as, print};

fn normalized(insns: &[ClassicInsn]) -> Vec<ClassicInsn> {
    insns.iter().map(|insn| insn.normalized()).collect()
}

#[test]
fn every_recorded_form() {
    let (mut listings, mut debuggers, mut seccomp) = (0, 0, 0);
    for record in records("cbpf/asm-roundtrip.dev.ndjson") {
        let name = record["name"].as_str().expect("a name");
        let insns = program(&record["prog"]);
        for (field, form) in [
            ("tcpdump_d", Form::TcpdumpD),
            ("tcpdump_dd", Form::TcpdumpDd),
            ("tcpdump_ddd", Form::TcpdumpDdd),
            ("bytecode", Form::Bytecode),
        ] {
            let text = record[field].as_str().expect("a text");
            // The record of a listing lacks the end of its last line.
            let end = if form == Form::TcpdumpD { "\n" } else { "" };
            assert_eq!(print(&insns, form), format!("{text}{end}"), "{name}: {field}");
            let told = if form == Form::TcpdumpD { normalized(&insns) } else { insns.clone() };
            assert_eq!(parse(text), Ok(told.clone()), "{name}: {field}");
            assert_eq!(parse_as(text, form), Ok(told), "{name}: {field}");
            listings += 1;
        }
        for (field, count) in [("tcpdump_d_git", &mut listings), ("bpf_dbg", &mut debuggers)] {
            if let Some(text) = record[field].as_str() {
                assert_eq!(parse(text), Ok(normalized(&insns)), "{name}: {field}\n{text}");
                *count += 1;
            }
        }
        let text = record["scmp_bpf_disasm"].as_str().expect("a text");
        assert_eq!(parse(text), Ok(insns.clone()), "{name}: scmp_bpf_disasm");
        seccomp += 1;
    }
    println!("{listings} listings and numbers, {debuggers} of bpf_dbg, {seccomp} of libseccomp");
}

#[test]
fn assembler_errors() {
    let mut lines = 0;
    for record in records("cbpf/bpf_asm.dev.ndjson") {
        let source = record["src"].as_str().expect("a source");
        let found = parse_as(&format!("{source}\n"), Form::BpfAsm);
        if number(&record["rc"]) == 0 {
            assert_eq!(found, Ok(program(&record["prog"])), "{source:?}");
            continue;
        }
        let error = found.expect_err(source);
        let stderr = record["stderr"].as_str().expect("an error");
        match stderr.rsplit_once("at line ") {
            Some((_, line)) => {
                assert_eq!(Ok(error.line()), line.trim().parse(), "{source:?}: {error}");
                lines += 1;
            }
            // Without a line it speaks of labels or distances, in words that we keep, or of `4*([k]&0xf)`.
            None if stderr.starts_with("ldxb") => assert_eq!(error.expected(), "`4*([k]&0xf)`"),
            None => {
                let said = stderr.trim().trim_start_matches("error: ").trim_end_matches('!');
                assert!(error.to_string().contains(said), "{source:?}: {error}, not {said}");
            }
        }
    }
    println!("{lines} lines of errors");
}

#[track_caller]
fn refused(text: &str, form: Form, message: &str) {
    let error: TextError = parse_as(text, form).expect_err("an error");
    assert_eq!(error.to_string(), message);
}

#[test]
fn corners_of_the_assembler() {
    let asm =
        |text: &str| parse_as(text, Form::BpfAsm).map(|insns| insns.iter().map(|i| i.k).collect::<Vec<_>>());
    assert_eq!(asm("ret #010"), Ok(vec![8]), "octal");
    assert_eq!(asm("RET #0XfF"), Ok(vec![0xff]), "case does not count");
    assert!(asm("ret\n#1").is_err(), "a `#` that starts a line starts a comment");
    assert_eq!(asm("# words\nLdX #LEN\n/* a\nb */ ret a ; end"), Ok(vec![0, 0]));
    assert_eq!(asm("ret #4294967297"), Ok(vec![1]), "cut to 32 bits");
    assert_eq!(asm("ret #99999999999999999999"), Ok(vec![u32::MAX]), "as strtol, then cut");
    assert_eq!(asm("ret #-99999999999999999999"), Ok(vec![0]), "as strtol, then cut");
    assert_eq!(asm("back: ld #1\njmp back\nret a"), Ok(vec![1, u32::MAX - 1, 0]));
    assert!(asm("/* stars **/ ret a").is_err(), "the comment does not end");
    assert_eq!(asm("/* stars **/ ret a /* */ ret #7"), Ok(vec![7]), "until there");
    assert!(asm("len: ret a").is_err(), "a name of something else is no label");
    assert_eq!(asm("jmp ll\nll: ret #0\nll: ret #1"), Ok(vec![0, 0, 1]), "the first of equal labels");
    let far = format!("jeq #1, there\n{}there: ret a", "tax\n".repeat(300));
    let why = "line 1, column 9: expected a target 0 to 255 instructions after the next, \
               found `there`: insn #0 jumps to insn #301, which is out of range";
    refused(&far, Form::BpfAsm, why);
    assert!(asm(&"tax\n".repeat(4096)).is_ok());
    assert!(asm(&"tax\n".repeat(4097)).is_err());
}

#[test]
fn errors_name_the_place() {
    refused(
        "ret",
        Form::BpfAsm,
        "line 1, column 4: expected `#k`, `a` after `ret`, found the end of the text",
    );
    refused("(000) ret\n(002) ret", Form::TcpdumpD, "line 2, column 1: expected (001), found `(002)`");
    refused(
        "1\n6 0 256 0",
        Form::TcpdumpDdd,
        "line 2, column 5: expected jf, a number from 0 to 255, found `256`",
    );
    refused(
        "1,6 0 0",
        Form::Bytecode,
        "line 1, column 8: expected k, a number from 0 to 4294967295, found the end of the text",
    );
    refused(
        "2\n6 0 0 0\n",
        Form::TcpdumpDdd,
        "line 1, column 1: expected the number of instructions, 1, found `2`",
    );
    refused("{ 0x6, 0, 0 },", Form::TcpdumpDd, "line 1, column 13: expected `,`, found `}`");
    refused(
        " 0000: 0x06 0x00 0x00 1  return",
        Form::SeccompTools,
        "line 1, column 23: expected k, hexadecimal, at most 0xffffffff, found `1`",
    );
    refused(
        "(000) ret #4294967296",
        Form::TcpdumpD,
        "line 1, column 12: expected a number of 32 bits, found `4294967296`",
    );
    refused(
        "(000) ret #-2147483649",
        Form::TcpdumpD,
        "line 1, column 12: expected a number of 32 bits, found `-2147483649`",
    );
    assert!(parse("").is_err() && parse(" \r\n\n").is_err());
}

#[test]
fn other_spellings() {
    let expected = parse("2,48 0 0 9,6 0 0 1");
    assert!(expected.is_ok());
    for text in [
        "'2,48 0 0 9,6 0 0 1'",
        "\"2,48 0 0 9,6 0 0 1,\"\n",
        "48 0 0 9,6 0 0 1, ",
        "\r\n2\r\n48 0 0 9\r\n\r\n6 0 0 1\r\n",
        "48 0 0 9\n6 0 0 1",
        "{ 0x30,  0,  0, 0x00000009 },\n{ 0x06,  0,  0, 0x00000001 },\n",
        "(000) ldb\t [9]\r\n(001) ret #1\r\n",
        "ldb [9] ; the protocol\nret #0x1",
    ] {
        assert_eq!(parse(text), expected, "{text:?}");
    }
    assert_eq!(parse("ldh [x+4]"), parse("ldh [%x + 4]"));
    assert_eq!(parse("ld #pktlen\nret"), parse("ld len\nret a"));
    assert_eq!(parse("ldb [vlanp]\nld random"), parse("ldb vlan_avail\nld #rand"));
}

#[test]
fn policies_are_sentences() {
    let policy = "6,32 0 0 4,21 0 3 3221225534,32 0 0 20,69 1 0 16,6 0 0 2147418112,6 0 0 327681";
    let text = print(&parse(policy).expect("a policy"), Form::SeccompTools);
    let expected = " line  CODE  JT   JF      K
=================================
 0000: 0x20 0x00 0x00 0x00000004  A = arch
 0001: 0x15 0x00 0x03 0xc000003e  if (A != ARCH_X86_64) goto 0005
 0002: 0x20 0x00 0x00 0x00000014  A = args[0] >> 32
 0003: 0x45 0x01 0x00 0x00000010  if (A & 0x10) goto 0005
 0004: 0x06 0x00 0x00 0x7fff0000  return ALLOW
 0005: 0x06 0x00 0x00 0x00050001  return ERRNO(1)
";
    assert_eq!(text, expected);
}
