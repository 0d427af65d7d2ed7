//! The engines that answer, and how a program is loaded on each.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use sandbpf::{
    AnyError, AnyInput, AnyProgram, ClassicInsn, Code, Dialect, Engine, FrozenHost, KindName, Limits,
    LoadError, Loader, Machine, Maps, Program, Reserved, SocketFilter, Trap,
};

use super::VectorsError;
use crate::audit::Audit;

/// Which engines to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineChoice {
    /// The fast interpreter.
    Interpreter,
    /// The readable interpreter.
    Step,
    /// Machine code.
    Jit,
    /// All that exist here.
    #[default]
    All,
}

impl EngineChoice {
    /// Every choice.
    pub const ALL: &'static [EngineChoice] =
        &[EngineChoice::Interpreter, EngineChoice::Step, EngineChoice::Jit, EngineChoice::All];

    /// Its name in options.
    pub const fn as_str(self) -> &'static str {
        match self {
            EngineChoice::Interpreter => "interpreter",
            EngineChoice::Step => "step",
            EngineChoice::Jit => "jit",
            EngineChoice::All => "all",
        }
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No engine has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no engine is called `{0}`; there are interpreter, step, jit, all")]
pub struct UnknownEngine(String);

impl FromStr for EngineChoice {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        let found = EngineChoice::ALL.iter().find(|choice| choice.as_str() == name);
        found.copied().ok_or_else(|| UnknownEngine(name.into()))
    }
}

/// The engines of a run.
#[derive(Debug)]
pub(crate) struct Engines {
    engines: Vec<Engine>,
    missing: Vec<String>,
}

/// How many instructions a recorded program may execute: more than nearly any that ends needs, and
/// little enough to wait for those that do not.
const BUDGET: u64 = 20_000_000;

/// The same for programs that end, and jump back far and often, which costs as much as they jump over.
pub(crate) const LONG: u64 = 2_000_000_000;

/// How many steps of a run are held against a proof: loops have shown all they do by then.
const AUDITED: u64 = 2_000_000;

/// Engines by name, as reports call them.
fn label(engine: Engine) -> &'static str {
    match engine {
        Engine::Interpreter => "interpreter",
        Engine::Step => "step",
        Engine::Jit => "jit",
        _ => "auto",
    }
}

impl Engines {
    pub(crate) fn of(choice: EngineChoice) -> Result<Self, VectorsError> {
        let jit = || Loader::new().engine(Engine::Jit).load_any(KindName::Buffer, "exit").map(|_| ());
        let (engines, missing) = match choice {
            EngineChoice::Interpreter => (vec![Engine::Interpreter], vec![]),
            EngineChoice::Step => (vec![Engine::Step], vec![]),
            EngineChoice::Jit => {
                jit().map_err(|error| VectorsError::NoMachineCode(error.to_string()))?;
                (vec![Engine::Jit], vec![])
            }
            EngineChoice::All => match jit() {
                Ok(()) => (vec![Engine::Interpreter, Engine::Step, Engine::Jit], vec![]),
                Err(error) => {
                    (vec![Engine::Interpreter, Engine::Step], vec![format!("the engine jit: {error}")])
                }
            },
        };
        Ok(Engines { engines, missing })
    }

    /// Engines that were asked for and do not exist here.
    pub(crate) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Loads a program on every engine.
    pub(crate) fn load<'c>(
        &self,
        kind: KindName,
        code: impl Fn() -> Code<'c>,
        settings: Settings,
    ) -> Result<Vec<Loaded>, LoadError> {
        let load = |&engine: &Engine| {
            let program = settings.loader(engine).load_any(kind, code())?;
            Ok(Loaded { engine: label(engine), program, audit: None })
        };
        self.engines.iter().map(load).collect()
    }

    /// [`Engines::load`] with maps of its own for each engine.
    pub(crate) fn load_with<'c, E: From<LoadError>>(
        &self,
        kind: KindName,
        code: impl Fn() -> Code<'c>,
        settings: Settings,
        maps: impl Fn(Engine) -> Result<Maps, E>,
    ) -> Result<Vec<Loaded>, E> {
        let load = |&engine: &Engine| {
            let program = settings.loader(engine).maps(&maps(engine)?).load_any(kind, code())?;
            Ok(Loaded { engine: label(engine), program, audit: None })
        };
        self.engines.iter().map(load).collect()
    }

    /// Has `load` load a program for every engine.
    pub(crate) fn load_by<E>(
        &self,
        load: impl Fn(Engine) -> Result<AnyProgram, E>,
    ) -> Result<Vec<Loaded>, E> {
        let load =
            |&engine: &Engine| Ok(Loaded { engine: label(engine), program: load(engine)?, audit: None });
        self.engines.iter().map(load).collect()
    }

    /// Loads an accepted program once more as machine code that leaves out what its proof makes needless, and once to be held
    /// against the proof at each step. `load` is given the loader, and which of the two it is for; a program that is not
    /// accepted is not loaded, for verdicts are compared elsewhere.
    pub(crate) fn load_proved<E>(
        &self,
        settings: Settings,
        load: impl Fn(Loader, Proved) -> Result<AnyProgram, E>,
    ) -> Vec<Loaded> {
        let each =
            [("jit, proved", Engine::Jit, Proved::Trusted), ("step, audited", Engine::Step, Proved::Audited)];
        let asked = each.into_iter().filter(|(_, engine, _)| self.engines.contains(engine));
        let loaded = asked.filter_map(|(label, engine, proved)| {
            let program = load(settings.loader(engine), proved).ok()?;
            let audit = (proved == Proved::Audited).then(Mutex::default);
            Some(Loaded { engine: label, program, audit })
        });
        loaded.collect()
    }

    /// Loads a classic filter of libpcap on every engine, for many packets.
    pub(crate) fn load_filter(
        &self,
        insns: &[ClassicInsn],
    ) -> Result<Vec<(&'static str, Program<SocketFilter>)>, LoadError> {
        let settings = Settings { dialect: Some(Dialect::Libpcap), ..Settings::default() };
        let load = |&engine: &Engine| Ok((label(engine), settings.loader(engine).load(insns)?));
        self.engines.iter().map(load).collect()
    }
}

/// What a record wants of the loader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) dialect: Option<Dialect>,
    pub(crate) reserved: Reserved,
    pub(crate) budget: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { dialect: None, reserved: Reserved::default(), budget: BUDGET }
    }
}

impl Settings {
    pub(crate) fn dialect(dialect: Dialect) -> Self {
        Settings { dialect: Some(dialect), ..Settings::default() }
    }

    pub(crate) fn loader(&self, engine: Engine) -> Loader {
        let loader = Loader::new()
            .engine(engine)
            .host(FrozenHost)
            .limits(Limits { instructions: self.budget })
            .reserved(self.reserved);
        match self.dialect {
            Some(dialect) => loader.dialect(dialect),
            None => loader,
        }
    }
}

/// What a proof is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proved {
    /// It is trusted.
    Trusted,
    /// It is held against the run.
    Audited,
}

/// What audits found.
#[derive(Clone, Debug, Default)]
struct Audited {
    steps: u64,
    violations: Vec<String>,
}

/// A program on one engine.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The engine's name.
    pub(crate) engine: &'static str,
    program: AnyProgram,
    /// Whether runs are held against the program's proof, and what came of it.
    audit: Option<Mutex<Audited>>,
}

impl Loaded {
    /// Runs the program. The kind is the one it was loaded as, so a trap is all that can happen.
    pub(crate) fn run(&self, input: AnyInput<'_>) -> Result<u64, Trap> {
        let result = match (&self.audit, Audit::of(&self.program)) {
            (Some(audited), Some(audit)) => {
                let mut audit = audit.up_to(AUDITED);
                let result = self.program.run_observed(input, &mut audit);
                let mut audited = audited.lock().unwrap_or_else(PoisonError::into_inner);
                audited.steps += audit.steps();
                audited.violations.extend_from_slice(audit.violations());
                result
            }
            _ => self.program.run(input),
        };
        match result {
            Ok(r0) => Ok(r0),
            Err(AnyError::Trap(trap)) => Err(trap),
            Err(AnyError::Input(kind)) => unreachable!("a {kind} program gets the input of one"),
        }
    }

    /// How many steps were held against the proof, and where they were not as it says.
    pub(crate) fn audited(&self) -> Option<(u64, Vec<String>)> {
        let audited = self.audit.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some((audited.steps, audited.violations.clone()))
    }

    /// The program.
    pub(crate) fn program(&self) -> &AnyProgram {
        &self.program
    }

    /// Has `run` run a machine that is prepared as for [`Loaded::run`].
    pub(crate) fn run_by(
        &self,
        input: AnyInput<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        match self.program.run_by(input, run) {
            Ok(r0) => Ok(r0),
            Err(AnyError::Trap(trap)) => Err(trap),
            Err(AnyError::Input(kind)) => unreachable!("a {kind} program gets the input of one"),
        }
    }

    /// The program as it runs, for reports.
    pub(crate) fn listing(&self) -> String {
        clip(&self.program.instructions().to_string())
    }
}

/// The first lines of a listing; long programs are cut.
pub(crate) fn clip(listing: &str) -> String {
    const LINES: usize = 60;
    let count = listing.lines().count();
    if count <= LINES {
        return listing.trim_end().into();
    }
    let head: Vec<&str> = listing.lines().take(LINES).collect();
    format!("{}\n… and {} more lines", head.join("\n"), count - LINES)
}
