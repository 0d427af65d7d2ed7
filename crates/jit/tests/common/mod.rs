//! A world for programs, and what they leave of it.

use std::sync::Arc;

use sandbpf_interp::Step;
use sandbpf_isa::Program;
use sandbpf_jit::{Code, Options};
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{
    Execute, FrozenHost, Machine, PacketLayout, Registers, Trap, address, helpers::HelperSet,
};

/// What is left of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) result: Result<u64, Trap>,
    /// Of runs that end; what trapped runs leave is their own business.
    pub(crate) registers: Option<Registers>,
    pub(crate) context: Vec<u8>,
    pub(crate) buffer: Vec<u8>,
    pub(crate) budget: u64,
}

const LAYOUT: PacketLayout = PacketLayout { data: 14, network: 14, link: Some(0) };

/// Runs on a context of 200 bytes, a buffer of 64, a packet of 46 behind a header of 14.
pub(crate) fn run(engine: &dyn Execute, helpers: &HelperSet, budget: u64) -> Outcome {
    let mut stack = Stack::default();
    let mut context: Vec<u8> = (0..200).collect();
    let mut buffer: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(3)).collect();
    let packet: Vec<u8> = (0..60).map(|i: u8| i.wrapping_mul(5)).collect();
    let mut machine = Machine::running(Some(engine), &mut stack, helpers, &FrozenHost, budget);
    machine.memory.set_context(Region::Write(&mut context)).expect("it fits");
    machine.memory.set_buffer(Region::Write(&mut buffer)).expect("it fits");
    machine.memory.set_packet(Region::Read(&packet)).expect("it fits");
    machine.packet = LAYOUT;
    let entry = [0, address::CONTEXT, 64, address::BUFFER, address::PACKET, 1, address::CONTEXT, 7, 8, 9];
    machine.registers[..10].copy_from_slice(&entry);
    let result = engine.execute(&mut machine);
    let registers = result.is_ok().then_some(machine.registers);
    let budget = machine.budget;
    Outcome { result, registers, context, buffer, budget }
}

/// Runs a program in every engine and under these rotations of the registers; all must agree.
pub(crate) fn agree(program: Program, rotations: impl IntoIterator<Item = u8>, budget: u64) -> Outcome {
    agree_with(program, rotations, &HelperSet::linux(), budget)
}

/// The same, with these helpers.
pub(crate) fn agree_with(
    program: Program,
    rotations: impl IntoIterator<Item = u8>,
    helpers: &HelperSet,
    budget: u64,
) -> Outcome {
    let program = Arc::new(program);
    let expected = run(&Step::new(Program::clone(&program)), helpers, budget);
    let fast = run(&sandbpf_interp::Code::new(Arc::clone(&program)), helpers, budget);
    assert_eq!(fast, expected, "interp::Code\n{program}");
    for rotation in rotations {
        for export_registers in [true, false] {
            let options = Options { export_registers, rotation, ..Options::default() };
            let code = Code::compile_with(Arc::clone(&program), options).expect("it compiles");
            let mut found = run(&code, helpers, budget);
            if !export_registers {
                found.registers = expected.registers;
            }
            assert_eq!(found, expected, "rotation {rotation}, registers {export_registers}\n{program}");
        }
    }
    expected
}

/// [`agree`] on text, under every rotation.
#[allow(dead_code, reason = "not every test that shares this file has text")]
pub(crate) fn text(text: &str) -> Outcome {
    agree(sandbpf_isa::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}")), 0..11, 10_000)
}
