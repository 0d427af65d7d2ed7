//! Everything that can run a program: the engines, and machine code under other register maps.

use std::fmt;
use std::sync::{Arc, OnceLock};

use sandbpf_interp as interp;
use sandbpf_isa::Program;
use sandbpf_runtime::Execute;

/// One way to run a program. All must give the same results, to the bit.
///
/// ```
/// use std::sync::Arc;
/// use sandbpf_runtime::{FrozenHost, Machine, helpers::HelperSet, memory::Stack};
/// use sandbpf_testkit::subject::Subject;
/// let program = Arc::new(sandbpf_isa::parse("r0 = 7\nexit")?);
/// for subject in Subject::available() {
///     let (mut stack, helpers) = (Stack::default(), HelperSet::empty());
///     let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 100);
///     assert_eq!(subject.prepare(&program)?.execute(&mut machine), Ok(7), "{subject}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The readable interpreter: the definition.
    Step,
    /// The fast interpreter.
    Run,
    /// Machine code.
    Jit,
    /// Machine code with another assignment of registers: it finds mistakes that a fixed one hides.
    Rotated(u8),
}

/// There is no machine code for a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no machine code: {0}")]
pub struct NoMachineCode(String);

impl Subject {
    /// Every subject, the definition first.
    pub const ALL: [Subject; 6] = [
        Subject::Step,
        Subject::Run,
        Subject::Jit,
        Subject::Rotated(1),
        Subject::Rotated(4),
        Subject::Rotated(7),
    ];

    /// Those that exist on this machine.
    pub fn available() -> impl Iterator<Item = Subject> {
        Subject::ALL.into_iter().filter(|subject| !subject.is_machine_code() || machine_code().is_ok())
    }

    /// Whether it is machine code, which some platforms lack.
    pub fn is_machine_code(self) -> bool {
        matches!(self, Subject::Jit | Subject::Rotated(_))
    }

    /// Makes the program ready. Registers at exit are in the machine afterwards.
    pub fn prepare(self, program: &Arc<Program>) -> Result<Box<dyn Execute>, NoMachineCode> {
        let rotation = match self {
            Subject::Step => return Ok(Box::new(interp::Step::new(Program::clone(program)))),
            Subject::Run => return Ok(Box::new(interp::Code::new(Arc::clone(program)))),
            Subject::Jit => 0,
            Subject::Rotated(rotation) => rotation,
        };
        let options = sandbpf_jit::Options { rotation, export_registers: true, ..Default::default() };
        match sandbpf_jit::Code::compile_with(Arc::clone(program), options) {
            Ok(code) => Ok(Box::new(code)),
            Err(error) => Err(NoMachineCode(error.to_string())),
        }
    }
}

/// Whether there is machine code on this machine, and why not.
pub fn machine_code() -> Result<(), &'static NoMachineCode> {
    static PROBED: OnceLock<Result<(), NoMachineCode>> = OnceLock::new();
    let probe = || {
        let program = Program::new([sandbpf_isa::Insn::Exit]).expect("one exit is a program");
        Subject::Jit.prepare(&Arc::new(program)).map(|_| ())
    };
    PROBED.get_or_init(probe).as_ref().map(|_| ())
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Step => f.write_str("step"),
            Subject::Run => f.write_str("run"),
            Subject::Jit => f.write_str("jit"),
            Subject::Rotated(by) => write!(f, "jit rotated by {by}"),
        }
    }
}
