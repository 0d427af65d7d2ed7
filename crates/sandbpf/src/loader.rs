//! From code to a program that runs.

use std::sync::{Arc, OnceLock};

use sandbpf_classic::{ClassicInsn, Dialect, Filter};
use sandbpf_isa::{self as isa, Callee, Insn, Reserved};
use sandbpf_runtime::{Host, SystemHost, helpers::HelperSet};
use sandbpf_verifier::Facts;

use crate::compiled::{Compiled, Planning, Surroundings, compile, interpret};
use crate::error::LoadErrorKind;
use crate::image::{HostRef, Image, Traits};
use crate::{AnyProgram, Kind, KindName, LoadError, Maps, Program, Proof, Verifier};

/// Turns code into a [`Program`]. The default compiles to machine code where it can.
///
/// ```
/// use sandbpf::{Buffer, Engine, Limits, Loader, Trap};
/// let spin = Loader::new()
///     .engine(Engine::Interpreter)
///     .limits(Limits { instructions: 1000 })
///     .load::<Buffer>("again: goto again")?;
/// assert!(matches!(spin.run(&[]), Err(Trap::OutOfInstructions { .. })));
/// # Ok::<(), sandbpf::LoadError>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    engine: Engine,
    helpers: Arc<HelperSet>,
    host: HostRef,
    limits: Limits,
    dialect: Option<Dialect>,
    reserved: Reserved,
    maps: Option<Maps>,
    verify: Verify,
    checks: Checks,
    catch: Option<u32>,
    trial: Trial,
}

/// How tests have programs compiled.
#[derive(Clone, Default)]
struct Trial {
    /// What is left of the facts.
    facts: Option<Erasure>,
    planning: Planning,
}

/// What is left of facts.
type Erasure = Arc<dyn Fn(&Facts) -> Facts + Send + Sync>;

/// A proof, and for each map of the verifier's which of the loader's it is.
type Proved = (Proof, Vec<Option<u32>>);

/// Whether programs are verified before they are prepared.
#[derive(Clone)]
enum Verify {
    No,
    /// On the terms of their kind.
    Kind,
    /// On these.
    By(Arc<Verifier>),
}

/// What runs a program. All give the same results, to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// Machine code where that exists, the fast interpreter elsewhere.
    #[default]
    Auto,
    /// The fast interpreter.
    Interpreter,
    /// The readable interpreter, the definition of what programs mean.
    Step,
    /// Machine code, or no program.
    Jit,
}

/// Which accesses machine code checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checks {
    /// Those that the verifier did not prove to be in order; all where nothing was verified.
    #[default]
    Needed,
    /// All, for who would not trust the verifier.
    All,
}

/// What a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// How many instructions a run may execute, give or take the length of the program: every jump
    /// back costs the instructions it jumps over, every call the length of its function.
    pub instructions: u64,
}

impl Default for Limits {
    /// A billion instructions: about a second.
    fn default() -> Self {
        Limits { instructions: 1_000_000_000 }
    }
}

impl Default for Loader {
    fn default() -> Self {
        static LINUX: OnceLock<Arc<HelperSet>> = OnceLock::new();
        Loader {
            engine: Engine::Auto,
            helpers: Arc::clone(LINUX.get_or_init(|| Arc::new(HelperSet::linux()))),
            host: HostRef(Arc::new(SystemHost)),
            limits: Limits::default(),
            dialect: None,
            reserved: Reserved::Linux,
            maps: None,
            verify: Verify::No,
            checks: Checks::Needed,
            catch: None,
            trial: Trial::default(),
        }
    }
}

impl Loader {
    /// The default: [`Engine::Auto`], Linux's helpers, the host's clock, default limits.
    pub fn new() -> Self {
        Loader::default()
    }

    /// Chooses the engine.
    pub fn engine(self, engine: Engine) -> Self {
        Loader { engine, ..self }
    }

    /// Chooses the helpers that programs can call.
    pub fn helpers(self, helpers: HelperSet) -> Self {
        Loader { helpers: Arc::new(helpers), ..self }
    }

    /// Chooses the world that helpers ask: time, random numbers, processors.
    pub fn host(self, host: impl Host) -> Self {
        Loader { host: HostRef(Arc::new(host)), ..self }
    }

    /// Chooses the maps that programs name by number, in the order in which they were created.
    pub fn maps(self, maps: &Maps) -> Self {
        Loader { maps: Some(maps.clone()), ..self }
    }

    /// Chooses what a run may use.
    pub fn limits(self, limits: Limits) -> Self {
        Loader { limits, ..self }
    }

    /// Chooses the dialect of classic filters. The default is libpcap's for
    /// [`SocketFilter`](crate::SocketFilter) and seccomp's for [`Seccomp`](crate::Seccomp).
    pub fn dialect(self, dialect: Dialect) -> Self {
        Loader { dialect: Some(dialect), ..self }
    }

    /// Chooses how strict to be about unused fields of extended instructions.
    pub fn reserved(self, reserved: Reserved) -> Self {
        Loader { reserved, ..self }
    }

    /// Chooses whether extended programs are verified before they are prepared, on the terms of their kind and with the
    /// loader's maps: what Linux would not load is not loaded ([`LoadError::verify`] says why), and what is loaded has a
    /// [proof](Program::proof).
    pub fn verified(self, verified: bool) -> Self {
        Loader { verify: if verified { Verify::Kind } else { Verify::No }, ..self }
    }

    /// The same on other terms: an attach type, fewer rights, maps by their shapes.
    pub fn verified_by(self, verifier: Verifier) -> Self {
        Loader { verify: Verify::By(Arc::new(verifier)), ..self }
    }

    /// Whether programs are verified on the terms of their kind.
    #[cfg(feature = "object")]
    pub(crate) fn verifies_kinds(&self) -> bool {
        matches!(self.verify, Verify::Kind)
    }

    /// Chooses which accesses of verified programs machine code checks.
    ///
    /// ```
    /// use sandbpf::{Checks, Loader, Program, Xdp, XdpAction};
    /// let text = "r2 = *(u32 *)(r1 + 0)
    ///     r3 = *(u32 *)(r1 + 4)
    ///     r4 = r2
    ///     r4 += 14
    ///     r0 = 1
    ///     if r4 > r3 goto +1
    ///     r0 = *(u8 *)(r2 + 12)
    ///     exit";
    /// let trusting: Program<Xdp> = Loader::new().verified(true).load(text)?;
    /// let checking: Program<Xdp> = Loader::new().verified(true).checks(Checks::All).load(text)?;
    /// assert_eq!(trusting.run(&[2; 60])?, XdpAction::Pass);
    /// assert_eq!(checking.run(&[2; 60])?, XdpAction::Pass);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checks(self, checks: Checks) -> Self {
        Loader { checks, ..self }
    }

    /// Chooses the function that catches what the program throws (`bpf_throw`), by the 8-byte slot where it starts. Without
    /// one, the number that is thrown is the program's answer. Objects say it themselves.
    ///
    /// ```
    /// use sandbpf::{Buffer, Loader, abi::kfuncs};
    /// let (throw, _) = kfuncs::named("bpf_throw").unwrap();
    /// let code = format!("r1 = 7\n call kfunc#{throw}\n r0 = 1\n exit\n r0 = r1\n r0 += 1\n exit");
    /// assert_eq!(Loader::new().load::<Buffer>(code.as_str())?.run(&[])?, 7);
    /// assert_eq!(Loader::new().exception_callback(4).load::<Buffer>(code.as_str())?.run(&[])?, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exception_callback(self, slot: u32) -> Self {
        Loader { catch: Some(slot), ..self }
    }

    /// Checks and prepares `code`.
    ///
    /// A classic filter must pass the check of its dialect, exactly as the kernel's or libpcap's.
    /// An extended program must decode; what it does with memory, calls and time is checked as it
    /// runs, or beforehand if the loader is to have it [verified](Loader::verified).
    pub fn load<'c, K: Kind>(&self, code: impl Into<Code<'c>>) -> Result<Program<K>, LoadError> {
        Ok(Program::from_image(self.image(K::NAME, code.into())?))
    }

    /// [`Loader::load`], for a kind that is known only at run time.
    pub fn load_any<'c>(&self, kind: KindName, code: impl Into<Code<'c>>) -> Result<AnyProgram, LoadError> {
        Ok(AnyProgram::from_image(kind, self.image(kind, code.into())?))
    }

    fn image(&self, kind: KindName, code: Code<'_>) -> Result<Arc<Image>, LoadError> {
        let (mut program, mut traits) = self.prepare(kind, code)?;
        let mut maps = self.maps.clone();
        for insn in program.insns() {
            match insn {
                Insn::Call { callee: Callee::Helper(_) } => traits.calls = true,
                Insn::Call { callee: Callee::Kfunc { .. } } => {
                    traits.calls = true;
                    // Kernel functions make objects, which live among the maps.
                    maps.get_or_insert_default();
                }
                _ => {}
            }
        }
        let catch = self.catch.and_then(|slot| program.at_slot(slot));
        if let Some(entry) = catch {
            program = program.with_function(entry).map_err(LoadErrorKind::Program)?;
        }
        // The verifier reads maps by their numbers, engines by their addresses.
        let proved = if traits.classic { None } else { self.prove(kind, &program)? };
        let (proof, of_facts) = proved.unzip();
        if let Some(maps) = &maps {
            let arena = maps.arena_of(&program);
            program = program.with_numbers(|value| maps.number(value)).with_arena(arena);
        }
        let program = Arc::new(program);
        let facts = proof.as_ref().filter(|_| self.checks == Checks::Needed).map(Proof::facts);
        let left = self.trial.facts.as_ref().and_then(|erase| facts.map(|facts| erase(facts)));
        let facts = left.as_ref().or(facts);
        let surroundings = Surroundings {
            facts,
            world: maps.as_ref().map(Maps::world),
            helpers: &self.helpers,
            of_facts: of_facts.as_deref().unwrap_or_default(),
            planning: self.trial.planning,
        };
        let (engine, Compiled { code, pure, plan, brief }) = self.compile(kind, &program, surroundings)?;
        let image = Arc::new(Image {
            program,
            engine,
            code,
            pure,
            plan,
            brief,
            maps,
            helpers: Arc::clone(&self.helpers),
            host: self.host.clone(),
            limits: self.limits,
            traits,
            proof,
            catch,
            step: OnceLock::new(),
        });
        if let Some(maps) = &image.maps {
            maps.register(&image);
        }
        Ok(image)
    }

    /// The proof, and which of our maps each of the proof's is.
    fn prove(&self, kind: KindName, program: &isa::Program) -> Result<Option<Proved>, LoadErrorKind> {
        let by_kind = || Verifier::of_kind(kind).ok_or(LoadErrorKind::NoVerifier(kind));
        let of_kind;
        let verifier = match (&self.verify, &self.maps) {
            (Verify::No, _) => return Ok(None),
            (Verify::By(verifier), _) => verifier,
            (Verify::Kind, None) => {
                of_kind = by_kind()?;
                &of_kind
            }
            (Verify::Kind, Some(maps)) => {
                of_kind = by_kind()?.maps(maps);
                &of_kind
            }
        };
        let proof = verifier.verify(program).map_err(|error| LoadErrorKind::Verify(Box::new(error)))?;
        let of_facts = self.maps.as_ref().map(|maps| verifier.known_maps(program, maps));
        Ok(Some((proof, of_facts.unwrap_or_default())))
    }

    /// Compiles by what this leaves of the facts: for tests, which erase some.
    #[doc(hidden)]
    pub fn erasing(mut self, erase: impl Fn(&Facts) -> Facts + Send + Sync + 'static) -> Self {
        self.trial.facts = Some(Arc::new(erase));
        self
    }

    /// Plans in this way: for tests, which leave out passes.
    #[cfg(feature = "jit")]
    #[doc(hidden)]
    pub fn planning(mut self, options: sandbpf_jit::PlanOptions) -> Self {
        self.trial.planning = options;
        self
    }

    fn prepare(&self, kind: KindName, code: Code<'_>) -> Result<(isa::Program, Traits), LoadErrorKind> {
        let classic = match code {
            Code::Classic(insns) => return self.classic(kind, insns),
            Code::Text(text) if kind == KindName::Seccomp => {
                Some(sandbpf_classic::parse(text).map_err(LoadErrorKind::ClassicText)?)
            }
            Code::Text(text) if kind == KindName::SocketFilter => match sandbpf_classic::parse(text) {
                Ok(insns) => Some(insns),
                // It may be assembly of the extended kind; if it is neither, that error speaks.
                Err(error) => match isa::parse(text) {
                    Ok(program) => return Ok((program, Traits::EXTENDED)),
                    Err(_) => return Err(LoadErrorKind::ClassicText(error)),
                },
            },
            Code::Text(_) | Code::Bytes(_) | Code::Program(_) => None,
        };
        if let Some(insns) = classic {
            return self.classic(kind, &insns);
        }
        if kind == KindName::Seccomp {
            return Err(LoadErrorKind::Form {
                kind,
                expected: "classic filters",
                found: "an extended program",
            });
        }
        let program = match code {
            Code::Bytes(bytes) => isa::decode_with(bytes, self.reserved)?,
            Code::Text(text) => isa::parse(text)?,
            Code::Program(program) => program,
            Code::Classic(insns) => return self.classic(kind, insns),
        };
        Ok((program, Traits::EXTENDED))
    }

    fn classic(
        &self,
        kind: KindName,
        insns: &[ClassicInsn],
    ) -> Result<(isa::Program, Traits), LoadErrorKind> {
        let dialect = match (kind, self.dialect) {
            (KindName::SocketFilter, None) => Dialect::Libpcap,
            (KindName::SocketFilter, Some(dialect @ (Dialect::Libpcap | Dialect::Linux))) => dialect,
            (KindName::Seccomp, None | Some(Dialect::Seccomp)) => Dialect::Seccomp,
            (KindName::SocketFilter | KindName::Seccomp, Some(dialect)) => {
                return Err(LoadErrorKind::Dialect { kind, dialect });
            }
            (kind, _) => {
                return Err(LoadErrorKind::Form {
                    kind,
                    expected: "extended programs",
                    found: "a classic filter",
                });
            }
        };
        let filter =
            Filter::check(insns, dialect).map_err(|error| LoadErrorKind::Check { dialect, error })?;
        let lowered = sandbpf_classic::lower(&filter);
        let traits = Traits {
            classic: true,
            needs_context: lowered.needs_context,
            wire_length: dialect == Dialect::Libpcap,
            calls: false,
        };
        Ok((lowered.program, traits))
    }

    fn compile(
        &self,
        kind: KindName,
        program: &Arc<isa::Program>,
        surroundings: Surroundings<'_>,
    ) -> Result<(Engine, Compiled), LoadErrorKind> {
        let interpreter = || interpret(kind, program, surroundings.world.is_some());
        match self.engine {
            Engine::Interpreter => Ok((Engine::Interpreter, interpreter())),
            Engine::Step => {
                let step = sandbpf_interp::Step::new(isa::Program::clone(program));
                Ok((Engine::Step, Compiled::of(step)))
            }
            Engine::Jit => match compile(kind, program, surroundings) {
                Ok(compiled) => Ok((Engine::Jit, compiled)),
                Err(why) => Err(LoadErrorKind::Engine(why)),
            },
            Engine::Auto => match compile(kind, program, surroundings) {
                Ok(compiled) => Ok((Engine::Jit, compiled)),
                Err(_) => Ok((Engine::Interpreter, interpreter())),
            },
        }
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("engine", &self.engine)
            .field("limits", &self.limits)
            .field("dialect", &self.dialect)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// Where code comes from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Code<'c> {
    /// An encoded extended program: 8-byte slots, little-endian.
    Bytes(&'c [u8]),
    /// Text: assembly of an extended program, or a classic filter in any form that
    /// [`classic::parse`](crate::classic::parse) reads.
    Text(&'c str),
    /// A classic filter.
    Classic(&'c [ClassicInsn]),
    /// A decoded extended program.
    Program(isa::Program),
}

impl<'c> From<&'c [u8]> for Code<'c> {
    fn from(bytes: &'c [u8]) -> Self {
        Code::Bytes(bytes)
    }
}

impl<'c> From<&'c Vec<u8>> for Code<'c> {
    fn from(bytes: &'c Vec<u8>) -> Self {
        Code::Bytes(bytes)
    }
}

impl<'c> From<&'c str> for Code<'c> {
    fn from(text: &'c str) -> Self {
        Code::Text(text)
    }
}

impl<'c> From<&'c [ClassicInsn]> for Code<'c> {
    fn from(insns: &'c [ClassicInsn]) -> Self {
        Code::Classic(insns)
    }
}

impl<'c> From<&'c Vec<ClassicInsn>> for Code<'c> {
    fn from(insns: &'c Vec<ClassicInsn>) -> Self {
        Code::Classic(insns)
    }
}

impl From<isa::Program> for Code<'_> {
    fn from(program: isa::Program) -> Self {
        Code::Program(program)
    }
}
