//! Holding the subjects against each other on generated programs.
//!
//! ```
//! sandbpf_testkit::agree(b"any bytes at all");
//! sandbpf_testkit::classic_agree(b"any bytes at all");
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use sandbpf::{
    AnyError, AnyInput, Dialect, Engine, FrozenHost, KindName, Limits, Loader, Packet, SyscallData,
};
use sandbpf_classic::{Filter, Form, print, reference};
use sandbpf_interp::{Reader, Step};
use sandbpf_isa::Program;
use sandbpf_jit::{Input, Options, Pass, Plan, PlanOptions, Pure, PurePass, Running, Without, WithoutPure};
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, Machine, Registers, Trap, address, helpers::HelperSet};

use crate::generate::{Source, classic, extended};
use crate::reference::packet;
use crate::subject::Subject;

/// What one run leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    result: Result<u64, Trap>,
    registers: Registers,
    context: Vec<u8>,
    packet: Vec<u8>,
    buffer: Vec<u8>,
    budget: u64,
}

/// Runs the program in these bytes on every subject.
///
/// # Panics
///
/// If two differ in result, registers at exit, memory, or what is left of the budget; the message shows
/// the program and what differs.
pub fn agree(bytes: &[u8]) {
    let scene = extended::scene(bytes);
    let program = Arc::new(scene.program.clone());
    let mut expected: Option<Observed> = None;
    for subject in Subject::available() {
        let code = match subject.prepare(&program) {
            Ok(code) => code,
            Err(error) => panic!("{subject}: {error}\n{program}"),
        };
        let found = observe(&scene, &*code);
        match &expected {
            None => {
                pure_agrees(&scene, &program, &found.result);
                running_agrees(&scene, &program, &found);
                memory_agrees(&scene, &program);
                context_agrees(&scene, &program);
                reader_agrees(&scene, &program, &found.result);
                expected = Some(found);
            }
            Some(expected) => {
                let difference = difference(expected, &found, subject.is_machine_code());
                assert!(
                    difference.is_empty(),
                    "{subject} differs from step\n{difference}\n{program}\n{scene:?}"
                );
            }
        }
    }
}

/// What [`Pure`] code answers must be what the definition says, whatever its registers are and whichever pass is left out.
fn pure_agrees(scene: &extended::Scene, program: &Program, expected: &Result<u64, Trap>) {
    let data = scene.packet.get(scene.layout.data as usize..).unwrap_or_default();
    pure_answers(program, data, &scene.context, scene.budget, |options, r0| {
        assert_eq!(&Ok(r0), expected, "pure code with {options:?} differs from step\n{program}\n{scene:?}");
    });
}

/// Shows each answer of [`Pure`] code, under other registers and without each pass.
fn pure_answers(
    program: &Program,
    data: &[u8],
    context: &[u8],
    budget: u64,
    mut look: impl FnMut(Options, u64),
) {
    let rotated = [0, 1, 4].map(|rotation| Options { rotation, ..Options::default() });
    let without = |without_pure| Options { without_pure, ..Options::default() };
    let less = PurePass::ALL.map(|pass| without(WithoutPure::default().and(pass)));
    for options in rotated.into_iter().chain(less).chain([without(WithoutPure::ALL)]) {
        let Some(code) = Pure::compile(program, options) else { return };
        if let Some(r0) = code.run(data, context, budget) {
            look(options, r0);
        }
    }
}

/// So must what a [`Reader`] answers.
fn reader_agrees(scene: &extended::Scene, program: &Program, expected: &Result<u64, Trap>) {
    let Some(reader) = Reader::new(program) else { return };
    let data = scene.packet.get(scene.layout.data as usize..).unwrap_or_default();
    if let Some(r0) = reader.run(data, &scene.context) {
        assert_eq!(&Ok(r0), expected, "the reader differs from step\n{program}\n{reader:?}\n{scene:?}");
    }
}

/// Ways to plan: as for running, for any processor, and without one of the passes, another one for each program.
fn plan_options(program: &Program) -> impl Iterator<Item = PlanOptions> {
    let left_out = Pass::ALL.get(program.len() % (Pass::ALL.len() + 1)).copied();
    let without = left_out.map_or(Without::default(), |pass| Without::default().and(pass));
    let baseline = PlanOptions { baseline: true, ..PlanOptions::default() };
    let all = Pass::ALL.iter().fold(Without::default(), |all, &pass| all.and(pass));
    [without, all]
        .map(|without| PlanOptions { without, ..PlanOptions::default() })
        .into_iter()
        .chain([PlanOptions::default(), baseline])
}

/// What [`Running`] code does must be what the definition does, but for registers, which nobody sees.
fn running_agrees(scene: &extended::Scene, program: &Arc<Program>, expected: &Observed) {
    let input = Input::Context {
        bytes: scene.context.len() as u32,
        at: 0,
        data: u32::MAX,
        end: u32::MAX,
        meta: None,
    };
    for options in plan_options(program) {
        let Some(code) = Running::compile(program, input, None, Some(&HelperSet::linux()), None, options)
        else {
            return;
        };
        let found = Observed { registers: expected.registers, ..observe(scene, &code) };
        let difference = difference(expected, &found, true);
        assert!(
            difference.is_empty(),
            "running with {options:?} differs from step\n{difference}\n{program}\n{scene:?}"
        );
    }
}

/// What a [`Plan`] of which nothing was proved does to a packet must be what the definition does, where the context says what
/// plans take it to say.
fn context_agrees(scene: &extended::Scene, program: &Arc<Program>) {
    let packet = &scene.packet;
    let mut context = scene.context.clone();
    if context.len() < 8 {
        return;
    }
    let end = address::PACKET + packet.len() as u64;
    context[..4].copy_from_slice(&(address::PACKET as u32).to_le_bytes());
    context[4..8].copy_from_slice(&(end as u32).to_le_bytes());
    let input = Input::Context { bytes: context.len() as u32, at: 0, data: 0, end: 4, meta: None };
    let mut expected = None;
    for options in plan_options(program) {
        let options = PlanOptions { unproved: true, ..options };
        let Some(plan) = Plan::compile(program, input, None, None, None, options) else { return };
        let wanted = expected.get_or_insert_with(|| {
            let (mut stack, mut packet, mut context) = (Stack::default(), packet.clone(), context.clone());
            let helpers = HelperSet::linux();
            let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, scene.budget);
            machine.memory.set_packet(Region::Write(&mut packet)).expect("a scene is small");
            machine.memory.set_context(Region::Write(&mut context)).expect("a scene is small");
            machine.registers[1] = address::CONTEXT;
            let result = Step::new(Program::clone(program)).execute(&mut machine);
            (result, packet, context)
        });
        let (mut packet, mut context) = (packet.clone(), context.clone());
        let answer = plan.run(&mut packet, &mut context, scene.budget).expect("the context is long enough");
        let result = plan.outcome(answer);
        assert_eq!((result, packet, context), *wanted, "a plan with {options:?}\n{program}\n{scene:?}");
    }
}

/// What a [`Plan`] does to memory must be what the definition does.
fn memory_agrees(scene: &extended::Scene, program: &Arc<Program>) {
    let mut expected = None;
    for options in plan_options(program) {
        let Some(plan) = Plan::compile(program, Input::Memory, None, None, None, options) else { return };
        let wanted = expected.get_or_insert_with(|| {
            let (mut stack, mut buffer) = (Stack::default(), scene.buffer.clone());
            let helpers = HelperSet::linux();
            let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, scene.budget);
            machine.memory.set_buffer(Region::Write(&mut buffer)).expect("a scene is small");
            (machine.registers[1], machine.registers[2]) = (address::BUFFER, scene.buffer.len() as u64);
            let result = Step::new(Program::clone(program)).execute(&mut machine);
            (result, buffer)
        });
        let mut buffer = scene.buffer.clone();
        let answer = plan.run(&mut buffer, &mut [], scene.budget).expect("it needs no context");
        let result = plan.outcome(answer);
        assert_eq!((result, buffer), *wanted, "a plan with {options:?}\n{program}\n{scene:?}");
    }
}

fn observe(scene: &extended::Scene, code: &dyn Execute) -> Observed {
    let (mut context, mut packet, mut buffer) =
        (scene.context.clone(), scene.packet.clone(), scene.buffer.clone());
    let mut stack = Stack::default();
    let helpers = HelperSet::linux();
    let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, scene.budget);
    machine.packet = scene.layout;
    machine.registers[1] = address::CONTEXT;
    let region = |writable, bytes| if writable { Region::Write(bytes) } else { Region::Read(bytes) };
    let [context_writable, packet_writable, buffer_writable] = scene.writable;
    let fits = "a scene is small";
    machine.memory.set_context(region(context_writable, &mut context)).expect(fits);
    machine.memory.set_packet(region(packet_writable, &mut packet)).expect(fits);
    machine.memory.set_buffer(region(buffer_writable, &mut buffer)).expect(fits);
    let result = code.execute(&mut machine);
    let (registers, budget) = (machine.registers, machine.budget);
    Observed { result, registers, context, packet, buffer, budget }
}

/// What differs, a line each. Machine code keeps no registers when it traps.
fn difference(expected: &Observed, found: &Observed, machine_code: bool) -> String {
    let mut text = String::new();
    let mut compare = |what: &str, expected: String, found: String| {
        if expected != found {
            let _ = writeln!(text, "{what}: step {expected}, here {found}");
        }
    };
    compare("result", format!("{:x?}", expected.result), format!("{:x?}", found.result));
    compare("budget", expected.budget.to_string(), found.budget.to_string());
    if !machine_code || expected.result.is_ok() {
        for (number, (expected, found)) in expected.registers.iter().zip(&found.registers).enumerate() {
            compare(&format!("r{number}"), format!("{expected:#x}"), format!("{found:#x}"));
        }
    }
    compare("context", hex::encode(&expected.context), hex::encode(&found.context));
    compare("packet", hex::encode(&expected.packet), hex::encode(&found.packet));
    compare("buffer", hex::encode(&expected.buffer), hex::encode(&found.buffer));
    text
}

/// What classic programs may use of the budget here: enough for those that end.
const BUDGET: u64 = 100_000;

/// Runs the classic program in these bytes in every dialect that accepts it, on every subject.
///
/// # Panics
///
/// If a verdict is not that of the reference.
pub fn classic_agree(bytes: &[u8]) {
    let scene = classic::scene(bytes);
    let mut rest = Source::new(bytes.get(bytes.len() / 2..).unwrap_or_default());
    let call = SyscallData {
        nr: rest.u32() as i32,
        arch: rest.u32(),
        instruction_pointer: rest.u64(),
        args: [(); 6].map(|()| rest.u64()),
    };
    for dialect in Dialect::ALL {
        let Ok(filter) = Filter::check(&scene.insns, dialect) else { continue };
        let (kind, input) = match dialect {
            Dialect::Seccomp => (KindName::Seccomp, call.to_bytes().to_vec()),
            Dialect::Libpcap | Dialect::Linux => (KindName::SocketFilter, scene.packet.clone()),
        };
        let expected = reference::run(&filter, &packet(&input, scene.wire_len, &scene.meta));
        let loader = Loader::new().engine(Engine::Interpreter).host(FrozenHost).dialect(dialect);
        let loader = loader.limits(Limits { instructions: BUDGET });
        let loaded = loader.load_any(kind, &scene.insns).expect("the check accepted it");
        let program = Arc::new(loaded.instructions().clone());
        let input = || match kind {
            KindName::Seccomp => AnyInput::Syscall(&call),
            _ => AnyInput::Packet(
                Packet::from(&scene.packet).with_wire_len(scene.wire_len).with_meta(&scene.meta),
            ),
        };
        // As users run it: without a machine, if the filter allows that.
        for engine in [Engine::Auto, Engine::Interpreter] {
            let found = loader.clone().engine(engine).load_any(kind, &scene.insns);
            let found = found.expect("the check accepted it").run(input());
            assert!(
                same(dialect, expected, found),
                "{dialect:?}, {engine:?}: the reference says {expected:x?}, here {found:x?}\n{}\n{program}\n{scene:?}",
                print(&scene.insns, Form::TcpdumpD),
            );
        }
        let (data, context) = match dialect {
            Dialect::Seccomp => (&[][..], call.to_bytes().to_vec()),
            Dialect::Libpcap => (&scene.packet[..], scene.wire_len.to_le_bytes().to_vec()),
            // Of the fields of a socket's packet, code can be told the length here, which is the first.
            Dialect::Linux => (&scene.packet[..], (scene.packet.len() as u32).to_le_bytes().to_vec()),
        };
        if dialect == Dialect::Seccomp || scene.meta.data == 0 {
            pure_answers(&program, data, &context, BUDGET, |options, r0| {
                assert!(
                    same(dialect, expected, Ok(r0)),
                    "{dialect:?}: the reference says {expected:x?}, with {options:?} it is {r0:#x}\n{}\n{program}\n{scene:?}",
                    print(&scene.insns, Form::TcpdumpD),
                );
            });
        }
        for subject in Subject::available() {
            let code = match subject.prepare(&program) {
                Ok(code) => code,
                Err(error) => panic!("{subject}: {error}\n{program}"),
            };
            let found = loaded.run_by(input(), |machine| code.execute(machine));
            assert!(
                same(dialect, expected, found),
                "{dialect:?} on {subject}: the reference says {expected:x?}, here {found:x?}\n{}\n{program}\n{scene:?}",
                print(&scene.insns, Form::TcpdumpD),
            );
        }
    }
}

/// Whether a verdict is the reference's. The reference counts steps where the engines charge for jumps
/// back, so where there are such jumps, giving up earlier than the reference is right.
fn same(dialect: Dialect, expected: Result<u32, reference::Stopped>, found: Result<u64, AnyError>) -> bool {
    match (expected, found) {
        (_, Err(AnyError::Trap(Trap::OutOfInstructions { .. }))) => dialect == Dialect::Libpcap,
        (Ok(expected), Ok(found)) => u64::from(expected) == found,
        (Err(reference::Stopped::Undefined(_)), Err(AnyError::Trap(Trap::UnknownHelper { .. }))) => true,
        _ => false,
    }
}
