//! Programs with loops before and after a pass, on many lengths and budgets, for tests.

use std::fmt::Write;

use crate::Input;
use crate::plan::build::{Setting, build};
use crate::plan::check::check;
use crate::plan::graph::Graph;
use crate::plan::random::{Outcome, Rng, outcome};
use crate::plan::run::World;

/// The graph of a program on plain memory.
pub(crate) fn built(text: &str) -> Graph {
    let program = sandbpf_isa::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let graph = build(
        &program,
        Setting { input: Input::Memory, proved: None, helpers: None, machine: false, maps: None },
    );
    graph.unwrap_or_else(|| panic!("there is no graph of\n{text}"))
}

/// The worlds in which graphs are compared.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) lengths: Vec<usize>,
    pub(crate) budgets: Vec<u64>,
}

impl Default for Trial {
    fn default() -> Trial {
        Trial {
            lengths: vec![0, 1, 7, 8, 15, 20, 21, 39, 40, 41, 63, 64, 72, 100, 300],
            budgets: vec![1_000_000, 40, 7, 0],
        }
    }
}

impl Trial {
    /// Two graphs do the same.
    pub(crate) fn hold(&self, before: &Graph, after: &Graph) {
        if let Err(wrong) = check(after) {
            panic!("{wrong}\n{before}\nbecame\n{after}");
        }
        let mut rng = Rng::new(self.lengths.len() as u64);
        for &length in &self.lengths {
            let packet: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
            for &budget in &self.budgets {
                let stack = vec![0xa5; before.stack as usize];
                let world = World { stack, context: Vec::new(), packet: packet.clone(), budget };
                let (wanted, found) = (outcome(before, &world), run(after, &world));
                assert!(
                    found.as_ref() == Some(&wanted),
                    "{length} bytes, budget {budget}: {found:?} is not {wanted:?}\n{before}\nbecame\n{after}"
                );
            }
        }
    }

    /// Programs with loops do the same.
    pub(crate) fn programs(&self, count: u64, change: impl Fn(&mut Graph)) {
        for seed in 0..count {
            let text = program(&mut Rng::new(seed));
            let before = built(&text);
            let mut after = before.clone();
            change(&mut after);
            let trial = Trial { lengths: vec![17, 64, 200, 1000], budgets: vec![100_000, seed % 200] };
            trial.hold(&before, &after);
        }
    }
}

fn run(graph: &Graph, world: &World) -> Option<Outcome> {
    std::panic::catch_unwind(|| outcome(graph, world)).ok()
}

/// A program of loops, one in the other or one after the other, that walk through memory and the stack.
pub(crate) fn program(rng: &mut Rng) -> String {
    let mut text = String::from("r0 = 0\n");
    let mut writer = Writer { rng, labels: 0, text: &mut text };
    if writer.rng.chance(1, 2) {
        let least = *writer.rng.pick(&[17, 64, 200, 1000, 1000]);
        let (least, way) = (least, *writer.rng.pick(&["<", "s<", "<="]));
        writer.line(format!("if r2 {way} {least} goto L0"));
    }
    for _ in 0..writer.rng.below(2) + 1 {
        writer.repeat(0);
    }
    text += "L0:\nexit\n";
    text
}

struct Writer<'w> {
    rng: &'w mut Rng,
    labels: u32,
    text: &'w mut String,
}

/// What counts in a loop, by how deep it is; what is computed stands in the others.
const COUNTERS: [&str; 2] = ["6", "7"];
const DATA: [&str; 4] = ["0", "3", "4", "5"];

impl Writer<'_> {
    fn line(&mut self, line: impl std::fmt::Display) {
        writeln!(self.text, "{line}").expect("strings take all");
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("L{}", self.labels)
    }

    fn data(&mut self) -> &'static str {
        let picked: &&str = self.rng.pick(&DATA);
        picked
    }

    /// A loop with a counter that goes up or down to a constant, or to the length.
    fn repeat(&mut self, depth: usize) {
        let (counter, head, after) = (COUNTERS[depth], self.label(), self.label());
        let step = *self.rng.pick(&[1i64, 1, 2, 3, 4, 8, -1, -4, -8]);
        let rounds = self.rng.below(if depth == 0 { 90 } else { 12 }) as i64 + 1;
        let start = *self.rng.pick(&[0, 0, 0, 1, 4, -8, step.unsigned_abs() as i64 * rounds]);
        let mut end = start + step * rounds;
        if self.rng.chance(1, 6) {
            end += 1;
        }
        let wide = self.rng.chance(2, 3);
        let name = format!("{}{counter}", if wide { 'r' } else { 'w' });
        self.line(format!("{name} = {start}"));
        let (up, signed) = (step > 0, self.rng.chance(1, 2));
        let stay = match (self.rng.below(3), up) {
            (0, _) => "!=",
            (1, true) => ["<", "s<"][usize::from(signed)],
            (1, false) => [">", "s>"][usize::from(signed)],
            (_, true) => ["<=", "s<="][usize::from(signed)],
            (_, false) => [">=", "s>="][usize::from(signed)],
        };
        let bound = if self.rng.chance(1, 5) { format!("{}2", &name[..1]) } else { end.to_string() };
        let leaves = |stay: &str| match stay {
            "!=" => "==",
            "<" => ">=",
            "s<" => "s>=",
            ">" => "<=",
            "s>" => "s<=",
            "<=" => ">",
            "s<=" => "s>",
            ">=" => "<",
            _ => "s<",
        };
        let elements = step.unsigned_abs() != 3 && self.rng.chance(1, 3);
        let body = |writer: &mut Self| match elements {
            true => writer.elements(depth, step.unsigned_abs()),
            false => writer.body(depth),
        };
        match self.rng.below(3) {
            0 => {
                // Tested before.
                self.line(format!("{head}:\nif {name} {} {bound} goto {after}", leaves(stay)));
                body(self);
                self.line(format!("{name} += {step}\ngoto {head}\n{after}:"));
            }
            1 => {
                // Tested behind, with a jump around the jump back.
                self.line(format!("{head}:"));
                body(self);
                self.line(format!(
                    "{name} += {step}\nif {name} {} {bound} goto {after}\ngoto {head}\n{after}:",
                    leaves(stay)
                ));
            }
            _ => {
                self.line(format!("{head}:"));
                body(self);
                self.line(format!("{name} += {step}\nif {name} {stay} {bound} goto {head}\n{after}:"));
            }
        }
    }

    /// What is done to elements that lie side by side.
    fn elements(&mut self, depth: usize, step: u64) {
        let (a, b, counter) = (self.data(), self.data(), COUNTERS[depth]);
        let size = ["u8", "u16", "u32", "u64"][step.trailing_zeros() as usize];
        let (from, to) = (*self.rng.pick(&[0, 0, 8, 64, 3]), *self.rng.pick(&[0, 0, 1, 8, 64, 96]));
        let base = if self.rng.chance(1, 4) { "r8 = r10\nr8 += -300" } else { "r8 = r1" };
        self.line(format!("{base}\nr8 += r{counter}\nr9 = *({size} *)(r8 +{from})"));
        for _ in 0..self.rng.below(2) + 1 {
            let wide = *self.rng.pick(&["r", "w"]);
            match self.rng.below(7) {
                0 | 1 => self.line(format!("{wide}{a} += {wide}9")),
                2 => self.line(format!("r9 = be16 r9\n{wide}{a} += {wide}9")),
                3 => {
                    let op = *self.rng.pick(&["^=", "&=", "|=", "+=", "-="]);
                    self.line(format!("{wide}9 {op} {wide}{b}\n*({size} *)(r8 +{to}) = r9"));
                }
                4 => {
                    let op = *self.rng.pick(&["^=", "&=", "|=", "+="]);
                    self.line(format!(
                        "r{a} = *({size} *)(r8 +{to})\nr9 {op} r{a}\n*({size} *)(r8 +{to}) = r9"
                    ));
                }
                5 => self.line(format!("*({size} *)(r8 +{to}) = r{b}")),
                _ => self.line(format!("*({size} *)(r8 +{to}) = r9")),
            }
        }
    }

    fn body(&mut self, depth: usize) {
        for _ in 0..self.rng.below(4) + 1 {
            let (a, b) = (self.data(), self.data());
            let counter = COUNTERS[self.rng.below(depth as u64 + 1) as usize];
            let size = *self.rng.pick(&["u8", "u16", "u32", "u64"]);
            let off = *self.rng.pick(&[0, 0, 0, 8, 64, 1, -8]);
            match self.rng.below(12) {
                0 | 1 => self
                    .line(format!("r8 = r1\nr8 += r{counter}\nr{a} = *({size} *)(r8 {off:+})\nr0 += r{a}")),
                2 => self.line(format!("r8 = r1\nr8 += r{counter}\n*({size} *)(r8 {off:+}) = r{a}")),
                3 => {
                    self.line(format!("r8 = r1\nr8 += r{counter}\nr{a} = *({size} *)(r8 {off:+})\nr{a} ^= r{b}\n*({size} *)(r8 +0) = r{a}"));
                }
                4 => {
                    let scale = self.rng.below(4);
                    self.line(format!(
                        "r8 = r{counter}\nr8 &= 15\nr8 <<= {scale}\nr8 += r10\n*({size} *)(r8 -128) = r{a}"
                    ));
                }
                5 => {
                    let mask = *self.rng.pick(&[7, 56, 255]);
                    self.line(format!("r8 = r{a}\nr8 &= {mask}\nr8 += r1\nr{b} = *({size} *)(r8 {off:+})"));
                }
                6 => {
                    let op = *self.rng.pick(&["+=", "^=", "-=", "*=", "|=", "&="]);
                    self.line(format!("r{a} {op} r{b}"));
                }
                7 => {
                    let (op, by) = (*self.rng.pick(&["+=", ">>=", "<<=", "&="]), self.rng.below(30));
                    self.line(format!("w{a} {op} {by}"));
                }
                8 => {
                    let (test, skip) = (*self.rng.pick(&["==", "!=", "<", "s>", "&"]), self.label());
                    let (wide, more) = (*self.rng.pick(&["r", "w"]), self.rng.below(9));
                    self.line(format!("if {wide}{a} {test} {wide}{b} goto {skip}\nr{b} += {more}\n{skip}:"));
                }
                9 if self.rng.chance(1, 3) => {
                    let number = self.rng.below(200);
                    self.line(format!("if r{a} == {number} goto L0"));
                }
                10 if depth + 1 < COUNTERS.len() => self.repeat(depth + 1),
                _ => self.line(format!("r{a} += r{counter}")),
            }
        }
    }
}
