//! Running a case: loading its program, each run on one runner, comparing, blessing.

use std::fmt;
use std::sync::Arc;

use sandbpf::{
    AnyError, AnyInput, AnyProgram, Engine, FrozenHost, KindName, Limits, LoadError, Loader, Packet,
    Registers, Skb, XdpFrame,
};
use sandbpf_classic::{Filter, reference};
use sandbpf_isa::Program;

use super::{After, Case, Code, Expected, Given, Outcome};
use crate::subject::Subject;

/// Who runs a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runner {
    /// An engine.
    Subject(Subject),
    /// The reference of classic BPF.
    Reference,
}

impl Runner {
    /// Everybody who exists on this machine.
    pub fn available() -> impl Iterator<Item = Runner> {
        Subject::available().map(Runner::Subject).chain([Runner::Reference])
    }

    /// What a case calls it, and all of its kind.
    pub fn family(self) -> &'static str {
        match self {
            Runner::Subject(Subject::Step) => "step",
            Runner::Subject(Subject::Run) => "run",
            Runner::Subject(Subject::Jit | Subject::Rotated(_)) => "jit",
            Runner::Reference => "reference",
        }
    }
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runner::Subject(subject) => subject.fmt(f),
            Runner::Reference => f.write_str("reference"),
        }
    }
}

/// Where a case and the system differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found}")]
pub struct Difference {
    /// The line of the expectation, counted from 1; 0 if there is none.
    pub line: usize,
    /// What the case says.
    pub expected: String,
    /// What is so.
    pub found: String,
}

/// What a run left behind.
struct Left {
    outcome: Outcome,
    memory: Vec<u8>,
    packet: Vec<u8>,
    registers: Option<Registers>,
    budget: u64,
}

pub(super) fn check(case: &Case, runner: Runner) -> Result<(), Difference> {
    let loaded = load(case);
    match (&case.expected, &loaded) {
        (Expected::Rejected(message), Err(error)) => {
            same(message.line, &format!("rejected {}", message.value), &format!("rejected {error}"))
        }
        (Expected::Rejected(message), Ok(_)) => {
            same(message.line, &format!("rejected {}", message.value), "a program that loads")
        }
        (Expected::Runs(_), Err(error)) => Err(Difference {
            line: 0,
            expected: "a program that loads".into(),
            found: format!("rejected {error}"),
        }),
        (Expected::Runs(runs), Ok(program)) => runs.iter().try_for_each(|run| {
            let left = perform(case, program, &run.given, runner)?;
            // The reference knows why it stopped, in its own words.
            let wildcard = runner == Runner::Reference
                && matches!((&run.outcome.value, &left.outcome), (Outcome::Traps(_), Outcome::Traps(_)));
            if !wildcard {
                same(run.outcome.line, &run.outcome.value.to_string(), &left.outcome.to_string())?;
            }
            if runner == Runner::Reference {
                return Ok(());
            }
            run.after.iter().try_for_each(|after| {
                same(after.line, &after.value.to_string(), &left.of(&after.value).to_string())
            })
        }),
    }
}

pub(super) fn bless(case: &Case) -> String {
    let mut lines = case.lines.clone();
    let loaded = load(case);
    match (&case.expected, &loaded) {
        (Expected::Rejected(message), Err(error)) => lines[message.line] = format!("rejected {error}"),
        (Expected::Runs(runs), Ok(program)) => {
            for run in runs {
                let Ok(left) = perform(case, program, &run.given, Runner::Subject(Subject::Step)) else {
                    continue;
                };
                if left.outcome != run.outcome.value {
                    lines[run.outcome.line] = left.outcome.to_string();
                }
                for after in &run.after {
                    if left.of(&after.value) != after.value {
                        lines[after.line] = left.of(&after.value).to_string();
                    }
                }
            }
        }
        // Whether it loads is for a reader to decide.
        (Expected::Rejected(_), Ok(_)) | (Expected::Runs(_), Err(_)) => {}
    }
    lines.join("\n") + "\n"
}

fn load(case: &Case) -> Result<AnyProgram, LoadError> {
    // Every run has its own budget, so the machine's is set later.
    let loader = Loader::new().engine(Engine::Interpreter).host(FrozenHost).reserved(case.reserved);
    let loader = loader.limits(Limits { instructions: u64::MAX });
    let loader = match case.dialect {
        Some(dialect) => loader.dialect(dialect),
        None => loader,
    };
    match &case.code {
        Code::Extended(text) => match sandbpf_isa::parse(text) {
            Ok(program) => loader.load_any(case.kind, program),
            // The loader's own words.
            Err(_) => loader.load_any(KindName::Buffer, text.as_str()),
        },
        Code::Classic(text) => match sandbpf_classic::parse(text) {
            Ok(insns) => loader.load_any(case.kind, &insns),
            Err(_) => loader.load_any(case.kind, text.as_str()),
        },
        Code::Bytes(bytes) => loader.load_any(case.kind, bytes),
    }
}

fn perform(case: &Case, program: &AnyProgram, given: &Given, runner: Runner) -> Result<Left, Difference> {
    match runner {
        Runner::Subject(subject) => by_subject(program, given, subject),
        Runner::Reference => Ok(by_reference(case, given)),
    }
}

fn by_subject(program: &AnyProgram, given: &Given, subject: Subject) -> Result<Left, Difference> {
    let instructions: Arc<Program> = Arc::new(program.instructions().clone());
    let code = subject.prepare(&instructions).map_err(|error| Difference {
        line: 0,
        expected: "machine code".into(),
        found: error.to_string(),
    })?;
    let mut memory = given.memory.clone();
    let mut frame = XdpFrame::new(&given.packet);
    let mut skb = match program.kind() {
        KindName::SchedCls | KindName::SchedAct => Skb::ethernet(&given.packet),
        _ => Skb::network(&given.packet),
    };
    let input = match program.kind() {
        KindName::Seccomp => AnyInput::Syscall(&given.call),
        KindName::SocketFilter => {
            let packet = Packet::from(&given.packet).with_meta(&given.meta);
            AnyInput::Packet(packet.with_wire_len(given.wire_len.unwrap_or(packet.wire_len)))
        }
        KindName::Xdp => AnyInput::Xdp((&mut frame).into()),
        kind if kind != KindName::Buffer => AnyInput::Skb((&mut skb).into()),
        _ if given.read_only => AnyInput::Buffer((&given.memory).into()),
        _ => AnyInput::Buffer((&mut memory).into()),
    };
    let mut left = (None, 0);
    let result = program.run_by(input, |machine| {
        machine.budget = given.budget;
        let result = code.execute(machine);
        left = (Some(machine.registers), machine.budget);
        result
    });
    let outcome = match result {
        Ok(r0) => Outcome::Returns(r0),
        Err(AnyError::Trap(trap)) => Outcome::Traps(trap.to_string()),
        Err(AnyError::Input(kind)) => unreachable!("a {kind} program gets the input of one"),
    };
    let packet = match program.kind() {
        KindName::Xdp => [frame.metadata(), frame.bytes()].concat(),
        _ => skb.bytes().to_vec(),
    };
    Ok(Left { outcome, memory, packet, registers: left.0, budget: left.1 })
}

fn by_reference(case: &Case, given: &Given) -> Left {
    let filter = match &case.code {
        Code::Classic(text) => sandbpf_classic::parse(text).ok(),
        Code::Extended(_) | Code::Bytes(_) => None,
    };
    let dialect = case.dialect.unwrap_or(sandbpf::Dialect::Libpcap);
    let filter = filter.and_then(|insns| Filter::check(&insns, dialect).ok());
    let filter = filter.expect("the case loads, and the reference runs classic filters only");
    let bytes = match case.kind {
        KindName::Seccomp => given.call.to_bytes().to_vec(),
        _ => given.packet.clone(),
    };
    let wire_len = given.wire_len.unwrap_or(bytes.len() as u32);
    let packet = crate::reference::packet(&bytes, wire_len, &given.meta);
    let outcome = match reference::run(&filter, &packet) {
        Ok(verdict) => Outcome::Returns(verdict.into()),
        Err(stopped) => Outcome::Traps(stopped.to_string()),
    };
    Left { outcome, memory: Vec::new(), packet: Vec::new(), registers: None, budget: 0 }
}

impl Left {
    /// What is really so, in the form of an expectation.
    fn of(&self, after: &After) -> After {
        match after {
            After::Memory(_) => After::Memory(self.memory.clone()),
            After::Packet(_) => After::Packet(self.packet.clone()),
            After::Register(reg, _) => {
                After::Register(*reg, self.registers.map_or(0, |registers| registers[reg.index()]))
            }
            After::Budget(_) => After::Budget(self.budget),
        }
    }
}

fn same(line: usize, expected: &str, found: &str) -> Result<(), Difference> {
    if expected == found {
        return Ok(());
    }
    Err(Difference { line: line + 1, expected: expected.into(), found: found.into() })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Small numbers read better in decimal.
            Outcome::Returns(value @ 0..10_000) => write!(f, "returns {value}"),
            Outcome::Returns(value) => write!(f, "returns {value:#x}"),
            Outcome::Traps(message) => write!(f, "traps {message}"),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            After::Memory(bytes) => write!(f, "after memory {}", hex::encode(bytes)),
            After::Packet(bytes) => write!(f, "after packet {}", hex::encode(bytes)),
            After::Register(reg, value @ 0..10_000) => write!(f, "after {reg} {value}"),
            After::Register(reg, value) => write!(f, "after {reg} {value:#x}"),
            After::Budget(left) => write!(f, "after budget {left}"),
        }
    }
}
