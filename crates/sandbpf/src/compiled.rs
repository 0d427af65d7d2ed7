//! Machine code, made in the form that a program allows: a function of its input where the program only reads, code for a
//! [`Machine`] otherwise.

use std::sync::{Arc, OnceLock};

use sandbpf_interp as interp;
use sandbpf_isa::{Pc, Program};
use sandbpf_runtime::{Execute, Machine, Trap};

use sandbpf_verifier::Facts;

use crate::KindName;

#[cfg(feature = "jit")]
pub(crate) use sandbpf_jit::Pure;

/// A program that only reads, as machine code; this build has none.
#[cfg(not(feature = "jit"))]
#[derive(Debug)]
pub(crate) enum Pure {}

#[cfg(not(feature = "jit"))]
impl Pure {
    pub(crate) fn context(&self) -> usize {
        match *self {}
    }

    pub(crate) fn run(&self, _packet: &[u8], _context: &[u8], _budget: u64) -> Option<u64> {
        match *self {}
    }

    pub(crate) fn machine_code(&self) -> &[u8] {
        match *self {}
    }
}

/// What there is of a program as machine code.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// For runs with a machine.
    pub(crate) code: Arc<dyn Execute>,
    /// For runs without one, if the program only reads and is of a kind whose input is a packet or a context.
    pub(crate) pure: Option<Pure>,
}

/// Compiles a program.
#[cfg(feature = "jit")]
pub(crate) fn compile(
    kind: KindName,
    program: &Arc<Program>,
    facts: Option<&Facts>,
) -> Result<Compiled, String> {
    let readers = matches!(kind, KindName::SocketFilter | KindName::Seccomp);
    if readers && let Some(pure) = Pure::compile(program, sandbpf_jit::Options::default()) {
        return Ok(Compiled { code: Arc::new(Later::new(program)), pure: Some(pure) });
    }
    let code = match facts {
        Some(facts) => sandbpf_jit::Code::compile_proved(Arc::clone(program), Default::default(), facts),
        None => sandbpf_jit::Code::compile(Arc::clone(program)),
    };
    match code {
        Ok(code) => Ok(Compiled { code: Arc::new(code), pure: None }),
        Err(error) => Err(error.to_string()),
    }
}

/// Compiles a program.
#[cfg(not(feature = "jit"))]
pub(crate) fn compile(
    _kind: KindName,
    _program: &Arc<Program>,
    _facts: Option<&Facts>,
) -> Result<Compiled, String> {
    Err("this build of sandbpf has no `jit` feature".into())
}

/// Code that is made when it is first needed, which for a program that only reads is seldom.
#[derive(Debug)]
#[cfg_attr(not(feature = "jit"), allow(dead_code))]
struct Later {
    program: Arc<Program>,
    code: OnceLock<Box<dyn Execute>>,
}

#[cfg_attr(not(feature = "jit"), allow(dead_code))]
impl Later {
    fn new(program: &Arc<Program>) -> Later {
        Later { program: Arc::clone(program), code: OnceLock::new() }
    }

    /// Machine code; where no memory is left for it, the interpreter, which says the same.
    fn code(&self) -> &dyn Execute {
        let make = || -> Box<dyn Execute> {
            #[cfg(feature = "jit")]
            if let Ok(code) = sandbpf_jit::Code::compile(Arc::clone(&self.program)) {
                return Box::new(code);
            }
            Box::new(interp::Code::new(Arc::clone(&self.program)))
        };
        &**self.code.get_or_init(make)
    }
}

impl Execute for Later {
    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        self.code().execute(machine)
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        self.code().call(machine, entry)
    }
}
