//! Machine code, made in the form that a program allows: a function of its input where the program only reads, code for a
//! [`Machine`] otherwise.

use std::sync::{Arc, OnceLock};

use sandbpf_interp as interp;
use sandbpf_isa::{Pc, Program};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::{Execute, Machine, Trap, World};
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

/// What is known of the runs of a program before it is compiled.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "jit"), allow(dead_code))]
pub(crate) struct Surroundings<'s> {
    /// What was proved.
    pub(crate) facts: Option<&'s Facts>,
    /// The maps.
    pub(crate) world: Option<&'s World>,
    /// The helpers.
    pub(crate) helpers: &'s HelperSet,
    /// Which map of the world each of the facts' is.
    pub(crate) of_facts: &'s [Option<u32>],
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
    surroundings: Surroundings<'_>,
) -> Result<Compiled, String> {
    let Surroundings { facts, world, helpers, of_facts } = surroundings;
    let readers = matches!(kind, KindName::SocketFilter | KindName::Seccomp);
    if readers && let Some(pure) = Pure::compile(program, sandbpf_jit::Options::default()) {
        return Ok(Compiled { code: Arc::new(Later::new(program)), pure: Some(pure) });
    }
    let maps = world.and_then(|world| sandbpf_jit::Maps::new(program, world, helpers, of_facts));
    match sandbpf_jit::Code::compile_for(Arc::clone(program), Default::default(), facts, maps) {
        Ok(code) => Ok(Compiled { code: Arc::new(code), pure: None }),
        Err(error) => Err(error.to_string()),
    }
}

/// Compiles a program.
#[cfg(not(feature = "jit"))]
pub(crate) fn compile(
    _kind: KindName,
    _program: &Arc<Program>,
    _surroundings: Surroundings<'_>,
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
