//! Graphs mean what their programs do: held against the readable interpreter, pass by pass.

use proptest::prelude::*;
use sandbpf_interp::Step;
use sandbpf_isa::{AluOp, Insn, Operand, Program, Reg, RegSet, Width};
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, FrozenHost, Machine, Trap, address, helpers::HelperSet};

use super::build::{Setting, build};
use super::check::check;
use super::graph::{Graph, Trapping};
use super::passes::{self, Pass, Without};
use super::run::{World, run};
use super::translate::Translator;
use crate::Input;

/// What a run leaves.
#[derive(Debug, PartialEq)]
struct Outcome {
    result: Result<u64, Trap>,
    memory: Vec<u8>,
    /// What is left of the budget, if anybody looks.
    budget: Option<u64>,
}

const SETTING: Setting<'_> =
    Setting { input: Input::Memory, proved: None, helpers: None, machine: false, maps: None };

fn memory() -> Vec<u8> {
    (0..64).map(|i: u8| i.wrapping_mul(37).wrapping_add(11)).collect()
}

/// What the readable interpreter makes of a program.
fn expected(program: &Program, budget: u64) -> Outcome {
    let (mut stack, mut memory, helpers) = (Stack::default(), memory(), HelperSet::linux());
    let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, budget);
    machine.memory.set_buffer(Region::Write(&mut memory)).expect("it fits");
    machine.registers[1] = address::BUFFER;
    machine.registers[2] = 64;
    let result = Step::new(program.clone()).execute(&mut machine);
    let budget = Some(machine.budget);
    Outcome { result, memory, budget }
}

fn found(graph: &Graph, budget: u64) -> Outcome {
    let stack = vec![0xa5; graph.stack as usize];
    let mut world = World { stack, context: Vec::new(), packet: memory(), budget };
    let result =
        run(graph, &mut world, |_, _, _| unreachable!("nobody calls")).map_err(|trapped| {
            match graph.sites[trapped.site.0 as usize] {
                Trapping::Access { pc, size, write } => {
                    Trap::BadAccess { pc, address: trapped.address, size, write }
                }
                Trapping::Budget { pc } | Trapping::Call { pc, .. } | Trapping::Atomic { pc, .. } => {
                    Trap::OutOfInstructions { pc }
                }
            }
        });
    Outcome { result, memory: world.packet, budget: graph.machine.then_some(world.budget) }
}

/// Builds a graph, and runs it after every pass.
fn agree(program: &Program, budget: u64) {
    for machine in [false, true] {
        let Some(mut graph) = build(program, SETTING) else { return };
        graph.machine = machine;
        agree_on(program, graph, budget);
    }
}

fn agree_on(program: &Program, mut graph: Graph, budget: u64) {
    let mut wanted = expected(program, budget);
    wanted.budget = wanted.budget.filter(|_| graph.machine);
    let look = |graph: &Graph, when: &str| {
        check(graph).unwrap_or_else(|wrong| panic!("{when}: {wrong}\n{program}\n{graph}"));
        assert_eq!(found(graph, budget), wanted, "{when}\n{program}\n{graph}");
    };
    look(&graph, "as built");
    let built = graph.clone();
    passes::each(&mut graph, Without::default(), |graph, pass| look(graph, &format!("after {pass:?}")));
    for &pass in Pass::ALL {
        let mut graph = built.clone();
        passes::run(&mut graph, Without::default().and(pass));
        look(&graph, &format!("without {pass:?}"));
    }
}

fn text(text: &str) {
    agree(&sandbpf_isa::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}")), 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_program(program in sandbpf_isa::arbitrary::program(), budget in 0u64..2000) {
        agree(&tamed(&program), budget);
    }
}

/// The program with additions for what graphs do not know, and with most accesses where memory is.
fn tamed(program: &Program) -> Program {
    let tame = |(place, insn): (usize, &Insn)| {
        let near = |base: Reg, off: i16| match place % 8 {
            0 => (base, off),
            1..4 => (Reg::R1, off.rem_euclid(66)),
            _ => (Reg::R10, -off.rem_euclid(66)),
        };
        let all: Vec<Reg> = Reg::all().collect();
        match *insn {
            Insn::Load { size, extend, dst, base, off } if dst != Reg::R10 => {
                let ((base, off), dst) = (near(base, off), if dst == Reg::R1 { Reg::R0 } else { dst });
                Insn::Load { size, extend, dst, base, off }
            }
            Insn::Store { size, base, off, src } => {
                let (base, off) = near(base, off);
                Insn::Store { size, base, off, src }
            }
            Insn::Atomic { op, size, base, off, reg }
                if insn.writes().without(RegSet::of(Reg::R10)) == insn.writes() =>
            {
                let (base, off) = near(base, off);
                Insn::Atomic { op, size, base, off, reg }
            }
            _ if Translator::calls_out(insn, None, false) => {
                let (dst, src) = (all[place % 10], Operand::Imm(place as i32 - 30));
                Insn::Alu { op: AluOp::Xor, width: Width::W32, dst, src }
            }
            _ if Translator::knows(insn) => *insn,
            _ => {
                let (dst, src) = (all[place % 10], Operand::Reg(all[(place + 3) % 10]));
                Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src }
            }
        }
    };
    Program::new(program.insns().iter().enumerate().map(tame).collect::<Vec<_>>())
        .expect("as sound as it was")
}

#[test]
fn calls_keep_the_callers_registers() {
    text("r6 = 5\nr1 = 7\ncall L1\nr0 += r6\nexit\nL1:\nr6 = 100\nr0 = r1\nr0 += r6\nexit");
}

#[test]
fn frames_start_with_zeros_and_lie_above_each_other() {
    text(
        "*(u64 *)(r10 - 8) = 9\ncall L1\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit
         L1:\nr0 = *(u64 *)(r10 - 8)\nr2 = *(u64 *)(r10 - 520)\nr0 += r2\n*(u64 *)(r10 - 8) = 1\nexit",
    );
}

#[test]
fn loops_pay_and_stop() {
    text("r0 = 0\nL1:\nr0 += 1\nif r0 != 100 goto L1\nexit");
    text("r0 = 0\nL1:\nr0 += 1\ngoto L1");
}

#[test]
fn memory_ends() {
    for at in [-1, 0, 56, 57, 63, 64] {
        text(&format!("r0 = *(u64 *)(r1 {at:+})\nexit"));
        text(&format!("r1 += r2\nr1 += -64\n*(u8 *)(r1 {at:+}) = 7\nr0 = *(u8 *)(r1 + 0)\nexit"));
    }
}
