//! Programs that the verifier accepts, run in every way there is: with the proof held against every step, by all engines, as
//! machine code that trusts all facts, none, or some.
//!
//! ```
//! use sandbpf_testkit::{generate::random, proved};
//! let accepted = (0..50).filter(|&seed| proved::agree(&random(seed)).is_some()).count();
//! assert!(accepted > 10);
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use sandbpf::maps::{Map, MapType};
use sandbpf::verifier::Facts;
use sandbpf::{
    AnyError, AnyInput, AnyProgram, Checks, Code, Engine, FrozenHost, KindName, Limits, LoadError, Loader,
    Maps, Packet, Skb, Trap, Verifier, XdpFrame,
};
use sandbpf_jit::{Pass, PlanOptions, Without};
use sandbpf_runtime::Execute;

use crate::audit::Audit;
use crate::generate::{Source, verifiable};

/// What one run leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    result: Result<u64, Trap>,
    /// The packet or context.
    bytes: Vec<u8>,
    maps: String,
}

/// Instructions that a run may execute.
const BUDGET: u64 = 300_000;

/// How a program is run.
enum Way {
    Audited,
    Interpreted,
    Proved,
    Checked,
    /// With the facts erased whose turn it is.
    Erased(u64),
    /// The same, planned.
    Planned(u64),
    /// Planned without the pass whose turn it is.
    Without(Pass),
}

/// Makes a program of these bytes; if it is accepted, runs it in all ways, and says how many steps were held against the
/// proof. `None` if it is not accepted, or of a type whose input is not made here.
///
/// # Panics
///
/// If something that was proved does not hold, if an accepted program traps, or if two ways differ in result, memory or maps.
pub fn agree(bytes: &[u8]) -> Option<u64> {
    let sketch = verifiable::sketch(&mut Source::new(bytes));
    let kind = KindName::of_program_type(sketch.program_type.name())?;
    if !takes(kind) {
        return None;
    }
    let kfunc = |name: &str| sandbpf::abi::kfuncs::named(name).map_or(-1, |(number, _)| number);
    let code = sketch.code_with(|place| place as i32, kfunc);
    let input: Vec<u8> =
        bytes.iter().rev().copied().cycle().take(if bytes.is_empty() { 0 } else { 96 }).collect();
    let mut expected: Option<Left> = None;
    let mut steps = 0;
    let turn = bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>();
    let ways = [
        Way::Audited,
        Way::Interpreted,
        Way::Proved,
        Way::Checked,
        Way::Erased(1),
        Way::Erased(7),
        Way::Planned(turn as u64),
        Way::Without(Pass::ALL[turn % Pass::ALL.len()]),
    ];
    for way in ways {
        let maps = maps();
        let verifier = Verifier::new(sketch.program_type)
            .attached(sandbpf::abi::AttachType(sketch.attach_type))
            .flags(sketch.flags)
            .maps(&maps)
            .keeping_states(matches!(way, Way::Audited));
        let program = match load(&way, kind, &code, &maps, verifier) {
            Ok(program) => program,
            // The refusals are compared with the kernel's elsewhere.
            Err(_) if expected.is_none() => return None,
            Err(error) => panic!("accepted once, and not again: {error}"),
        };
        let (result, bytes) = run(kind, &input, |input| answer(&way, &program, input, &mut steps));
        let left = Left { result, bytes, maps: contents(&maps) };
        let listing = program.instructions();
        if let Err(trap) = &left.result {
            assert!(may_trap(trap), "accepted, and trapped: {trap}\n{listing}");
        }
        match &expected {
            None => expected = Some(left),
            Some(expected) => assert_eq!(expected, &left, "{}\n{listing}", way.name()),
        }
    }
    Some(steps)
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Way::Audited => "audited",
            Way::Interpreted => "interpreter",
            Way::Proved => "machine code, proved",
            Way::Checked => "machine code, checked",
            Way::Erased(_) => "machine code, some facts erased",
            Way::Planned(_) => "a plan, some facts erased",
            Way::Without(_) => "a plan without a pass",
        }
    }
}

/// Traps that a proof does not exclude: Linux lets programs run as long as they like, and calls them back as often.
fn may_trap(trap: &Trap) -> bool {
    matches!(trap, Trap::OutOfInstructions { .. } | Trap::NoKfunc { .. } | Trap::Deadlock { .. })
}

fn load(
    way: &Way,
    kind: KindName,
    code: &[u8],
    maps: &Maps,
    verifier: Verifier,
) -> Result<AnyProgram, LoadError> {
    let engine = match way {
        Way::Audited => Engine::Step,
        Way::Interpreted => Engine::Interpreter,
        Way::Proved | Way::Checked | Way::Erased(_) | Way::Planned(_) | Way::Without(_) => Engine::Auto,
    };
    let checks = if matches!(way, Way::Checked) { Checks::All } else { Checks::Needed };
    let loader = Loader::new().engine(engine).host(FrozenHost).limits(Limits { instructions: BUDGET });
    let loader = match *way {
        Way::Planned(seed) => loader.erasing(move |facts| erased(facts, seed)),
        Way::Without(pass) => {
            loader.planning(PlanOptions { without: Without::default().and(pass), ..PlanOptions::default() })
        }
        _ => loader,
    };
    loader.maps(maps).verified_by(verifier).checks(checks).load_any(kind, Code::Bytes(code))
}

fn answer(way: &Way, program: &AnyProgram, input: AnyInput<'_>, steps: &mut u64) -> Result<u64, Trap> {
    let result = match way {
        Way::Audited => {
            let mut audit = Audit::of(program).expect("it was verified");
            let result = program.run_observed(input, &mut audit);
            assert_eq!(
                audit.violations(),
                &[] as &[String],
                "the proof does not hold\n{}",
                program.instructions()
            );
            *steps += audit.steps();
            result
        }
        Way::Erased(seed) => {
            let facts = program.proof().expect("it was verified").facts();
            let code = compiled(program, &erased(facts, *seed));
            program.run_by(input, |machine| match &code {
                Some(code) => code.execute(machine),
                None => program.run_prepared(machine),
            })
        }
        Way::Interpreted | Way::Proved | Way::Checked | Way::Planned(_) | Way::Without(_) => {
            program.run(input)
        }
    };
    match result {
        Ok(r0) => Ok(r0),
        Err(AnyError::Trap(trap)) => Err(trap),
        Err(AnyError::Input(kind)) => unreachable!("a {kind} program gets the input of one"),
    }
}

fn compiled(program: &AnyProgram, facts: &Facts) -> Option<sandbpf_jit::Code> {
    let program = Arc::new(program.instructions().clone());
    sandbpf_jit::Code::compile_proved(program, sandbpf_jit::Options::default(), facts).ok()
}

/// About half of the facts.
fn erased(facts: &Facts, seed: u64) -> Facts {
    let mut state = seed;
    facts.without(|_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state >> 63 == 1
    })
}

fn maps() -> Maps {
    let maps = Maps::new();
    for spec in verifiable::maps() {
        maps.create(spec).expect("the maps can be made");
    }
    maps
}

/// What is in the maps that can be listed.
fn contents(maps: &Maps) -> String {
    let mut text = String::new();
    for (number, map) in maps.iter().enumerate() {
        if matches!(map.spec().map_type, MapType::Array | MapType::Hash | MapType::LruHash | MapType::LpmTrie)
        {
            let _ = write!(text, "{number}:");
            list(map, &mut text);
        }
    }
    text
}

fn list(map: &Map, text: &mut String) {
    let user = map.user();
    let mut key = user.next_key(None);
    while let Ok(at) = key {
        // Locks are not shown: flag `BPF_F_LOCK` is not asked for.
        let value = user.lookup(&at, 0).map(hex::encode);
        let _ = write!(text, " {}={value:?}", hex::encode(&at));
        key = user.next_key(Some(&at));
    }
}

/// Whether inputs of these programs are made here.
fn takes(kind: KindName) -> bool {
    use KindName::*;
    matches!(
        kind,
        Xdp | SchedCls
            | SocketFilter
            | CgroupSkb
            | LwtXmit
            | Kprobe
            | Tracepoint
            | RawTracepoint
            | PerfEvent
            | CgroupSockAddr
            | Syscall
    )
}

fn run(
    kind: KindName,
    input: &[u8],
    answer: impl FnOnce(AnyInput<'_>) -> Result<u64, Trap>,
) -> (Result<u64, Trap>, Vec<u8>) {
    match kind {
        KindName::Xdp => {
            let mut frame = XdpFrame::new(input);
            let result = answer(AnyInput::Xdp((&mut frame).into()));
            (result, [frame.metadata(), frame.bytes()].concat())
        }
        KindName::SocketFilter => (answer(AnyInput::Packet(Packet::from(input))), Vec::new()),
        KindName::SchedCls | KindName::CgroupSkb | KindName::LwtXmit => {
            let mut skb = Skb::ethernet(input);
            let result = answer(AnyInput::Skb((&mut skb).into()));
            (result, skb.bytes().to_vec())
        }
        _ => {
            let mut context: Vec<u8> = input.iter().copied().chain([0; 512]).collect();
            let result = answer(AnyInput::Context(context.as_mut_slice().into()));
            (result, context)
        }
    }
}
