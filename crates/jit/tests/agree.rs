//! Machine code does what the readable interpreter does, whatever the program: result or trap, registers, memory,
//! what is left of the budget.

use std::sync::Arc;

use proptest::prelude::*;
use sandbpf_interp::Step;
use sandbpf_isa::Program;
use sandbpf_jit::{Code, Options};
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{
    Execute, FrozenHost, Machine, PacketLayout, Registers, Trap, address, helpers::HelperSet,
};

/// What is left of a run.
#[derive(Debug, PartialEq)]
struct Outcome {
    result: Result<u64, Trap>,
    registers: Option<Registers>,
    context: Vec<u8>,
    buffer: Vec<u8>,
    budget: u64,
}

const LAYOUT: PacketLayout = PacketLayout { data: 14, network: 14, link: Some(0) };

fn run(engine: &dyn Execute, budget: u64) -> Outcome {
    let helpers = HelperSet::linux();
    let mut stack = Stack::default();
    let mut context: Vec<u8> = (0..200).collect();
    let mut buffer: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(3)).collect();
    let packet: Vec<u8> = (0..60).map(|i: u8| i.wrapping_mul(5)).collect();
    let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, budget);
    machine.memory.set_context(Region::Write(&mut context)).expect("it fits");
    machine.memory.set_buffer(Region::Write(&mut buffer)).expect("it fits");
    machine.memory.set_packet(Region::Read(&packet)).expect("it fits");
    machine.packet = LAYOUT;
    for (i, register) in machine.registers.iter_mut().enumerate().take(10) {
        *register =
            [0, address::CONTEXT, 64, address::BUFFER, address::PACKET, 1, address::CONTEXT, 7, 8, 9][i];
    }
    let result = engine.execute(&mut machine);
    let registers = result.is_ok().then_some(machine.registers);
    let budget = machine.budget;
    Outcome { result, registers, context, buffer, budget }
}

fn agree(program: Program, rotations: impl Iterator<Item = u8>, budget: u64) {
    let program = Arc::new(program);
    let expected = run(&Step::new(Program::clone(&program)), budget);
    let fast = run(&sandbpf_interp::Code::new(Arc::clone(&program)), budget);
    assert_eq!(fast, expected, "interp::Code\n{program}");
    for rotation in rotations {
        let options = Options { export_registers: true, rotation };
        let code = Code::compile_with(Arc::clone(&program), options).expect("it compiles");
        assert_eq!(run(&code, budget), expected, "rotation {rotation}\n{program}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_program(program in sandbpf_isa::arbitrary::program(), budget in 0u64..2000) {
        agree(program, 0..11, budget);
    }
}
