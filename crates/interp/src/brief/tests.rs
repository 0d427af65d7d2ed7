//! Short programs, against what they do step by step.

use sandbpf_isa::{Program, parse};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, FrozenHost, Machine, Trap, address};

use super::{Brief, Lent, MOST, Reach};
use crate::Step;

const AT: u64 = address::PACKET;

/// What a machine does that reaches the same.
fn step(program: &Program, bytes: Region<'_>, context: &mut [u8]) -> Result<u64, Trap> {
    let (mut stack, helpers) = (Stack::default(), HelperSet::linux());
    let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 0);
    (machine.registers[1], machine.registers[2]) = (AT, address::CONTEXT);
    machine.memory.set_packet(bytes).expect("it is small");
    machine.memory.set_context(Region::Write(context)).expect("it is small");
    Step::new(program.clone()).execute(&mut machine)
}

fn run(brief: &Brief, bytes: Lent<'_>, context: &mut [u8]) -> Result<u64, Trap> {
    brief.run([AT, address::CONTEXT], Reach { at: AT, bytes, context })
}

/// Numbers that look like others, from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll<'t>(&mut self, faces: &[&'t str]) -> &'t str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        faces[(self.0 % faces.len() as u64) as usize]
    }

    /// A line of a program, with its number, of which the last is `last`.
    fn line(&mut self, number: usize, last: usize) -> String {
        let reg = |dice: &mut Dice| dice.roll(&["0", "1", "2", "3", "4"]);
        let (a, b) = (reg(self), reg(self));
        let base = self.roll(&["1", "1", "1", "1", "2", "2", "3", "10"]);
        let size = self.roll(&["u8", "u16", "u32", "u64", "s8", "s16", "s32"]);
        let stored = self.roll(&["u8", "u16", "u32", "u64"]);
        let off = self.roll(&["+ 0", "+ 1", "+ 2", "+ 5", "+ 8", "- 1"]);
        let operand = self.roll(&["0", "1", "-1", "5", "0x7fffffff", "64"]);
        let op = self.roll(&["+=", "-=", "*=", "/=", "%=", "^=", "<<=", ">>=", "s>>=", "&=", "|=", "="]);
        let test = self.roll(&["==", "!=", ">", "s<", "&", "<="]);
        let (r, to) = (self.roll(&["r", "w"]), last.min(number + 2));
        match self.roll(&[
            "alu", "imm", "load", "store", "branch", "wide", "swap", "exit", "load", "store", "number",
        ]) {
            "alu" => format!("{r}{a} {op} {r}{b}"),
            "imm" => format!("{r}{a} {op} {operand}"),
            "load" => format!("r{b} = *({size} *)(r{base} {off})"),
            "store" => format!("*({stored} *)(r{base} {off}) = r{a}"),
            "number" => format!("*({stored} *)(r{base} {off}) = {operand}"),
            "branch" => format!("if {r}{a} {test} {operand} goto L{to}"),
            "wide" => format!("r{a} = 0x30000003 ll"),
            "swap" => format!("r{a} = be32 r{a}"),
            _ => "exit".into(),
        }
    }
}

#[test]
fn short_programs_do_what_they_do_step_by_step() {
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let (mut returned, mut trapped, mut others) = (0, 0, 0);
    for _ in 0..30_000 {
        let lines = (0..7).map(|number| format!("L{number}: {}\n", dice.line(number, 7)));
        let text = lines.collect::<String>() + "L7: exit";
        let program = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let Some(brief) = Brief::new(&program) else {
            // It has a stack.
            assert!(text.contains("(r10"), "{text}");
            others += 1;
            continue;
        };
        for writable in [true, false] {
            let [(mut bytes, mut context), (mut bytes_then, mut context_then)] =
                [([3, 1, 4, 1, 5, 9, 2, 6, 0x85], [2, 7, 1, 8, 2, 8]); 2];
            let (result, expected) = if writable {
                let expected = step(&program, Region::Write(&mut bytes_then), &mut context_then);
                (run(&brief, Lent::Write(&mut bytes), &mut context), expected)
            } else {
                let expected = step(&program, Region::Read(&bytes_then), &mut context_then);
                (run(&brief, Lent::Read(&bytes), &mut context), expected)
            };
            let then = (expected, bytes_then, context_then);
            assert_eq!((result, bytes, context), then, "writable: {writable}\n{text}");
            let wrote = (bytes, context) != ([3, 1, 4, 1, 5, 9, 2, 6, 0x85], [2, 7, 1, 8, 2, 8]);
            assert!(brief.writes() || !wrote, "{text}");
            *if result.is_ok() { &mut returned } else { &mut trapped } += 1;
        }
    }
    assert!(returned > 5000 && trapped > 5000 && others > 1000, "{returned} {trapped} {others}");
}

#[test]
fn others_are_not_taken() {
    let long = "r0 = 1\n".repeat(MOST) + "exit";
    let back = "r0 += 1\nif r0 < 5 goto -2\nexit";
    let stack = "*(u64 *)(r10 - 8) = r1\nexit";
    for text in [&long, back, stack, "call 5\nexit", "r10 = 5\nexit", "r0 = *(u8 *)skb[0]\nexit"] {
        assert!(Brief::new(&parse(text).expect("it is a program")).is_none(), "{text}");
    }
}

#[test]
fn ends_may_be_missing() {
    let program = parse("if r1 != 0 goto +1\nexit\nr0 = 1").expect("it is a program");
    let brief = Brief::new(&program).expect("it is short");
    let result = run(&brief, Lent::Read(&[]), &mut []);
    assert_eq!(result, step(&program, Region::Read(&[]), &mut []));
    assert!(matches!(result, Err(Trap::FellOff { .. })));
}
