//! Would Linux load it? The terms on which a program is verified, and the answer.
//!
//! [`Verifier`] gathers what `bpf(2)` is told when a program is loaded (type, place, license, rights, maps, types) and
//! makes of it what the verifier asks for: one place for the command, for recorded programs and for embedders.

mod advice;
mod answer;
#[cfg(feature = "object")]
mod object;
mod origin;
mod rejections;
mod shapes;
#[cfg(feature = "object")]
pub(crate) use shapes::known_field;

use std::sync::Arc;

use sandbpf_abi::{self as abi, AttachType, ProgramType};
use sandbpf_isa::{self as isa, MapRef};
use sandbpf_verifier::{
    Environment, Errno, Fault, LoadFlags, MapShape, Signature, SourceLine, Target, Types,
};

pub use advice::{Advice, Example};
pub use answer::{Proof, VerifyError};
#[cfg(feature = "object")]
pub use object::linked_code;

use crate::{KindName, Maps};

/// The rights of who loads a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rights {
    /// All capabilities: root.
    #[default]
    All,
    /// `CAP_BPF` and `CAP_NET_ADMIN`: no pointers leak, and nothing that a processor guesses does either.
    Bpf,
    /// None: only socket filters and control group programs on packets, where the kernel is set up to take them.
    None,
}

/// Information about types that threads may share.
pub type SharedTypes = Arc<dyn Types + Send + Sync>;

/// A function of the program, as its object tells: which slot it starts in, and the rest of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its first instruction, in slots.
    pub slot: u32,
    /// Its name.
    pub name: String,
    /// Whether it is global: verified for itself.
    pub global: bool,
    /// Its type in the program's type information.
    pub type_id: u32,
}

/// Verifies programs, on the terms that it was told.
///
/// ```
/// use sandbpf::{Verifier, abi::ProgramType};
/// let program = sandbpf::isa::parse("r0 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r0 + 0)\nexit")?;
/// let error = Verifier::new(ProgramType::SchedCls).verify(&program).unwrap_err();
/// assert_eq!(error.errno(), "EACCES");
/// assert_eq!(error.instruction(), Some(1));
/// assert!(error.message().starts_with("invalid access to packet, off=0 size=1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    program_type: ProgramType,
    attach_type: AttachType,
    /// What it will be attached to.
    attach: String,
    gpl: bool,
    rights: Rights,
    flags: u32,
    shapes: Vec<MapShape>,
    /// The shape of each map that programs name by number.
    numbers: Vec<Option<usize>>,
    functions: Vec<FunctionInfo>,
    /// The slot of the function that catches what is thrown.
    catch: Option<u32>,
    lines: Vec<SourceLine>,
    types: Option<SharedTypes>,
    target: Option<Target>,
    #[cfg(feature = "object")]
    kernel: Option<Arc<sandbpf_elf::Btf>>,
    #[cfg(feature = "object")]
    program: Option<Arc<sandbpf_elf::Btf>>,
    processors: u32,
    data_symbols: bool,
    log_level: u32,
    keeps_states: bool,
}

/// `BPF_F_SLEEPABLE`.
const SLEEPABLE: u32 = 1 << 4;

impl Verifier {
    /// For programs of this type: licensed for the GPL, loaded with all rights, without maps.
    pub fn new(program_type: ProgramType) -> Verifier {
        let sleepable = abi::Program::new(program_type).sleepable;
        Verifier {
            program_type,
            attach_type: AttachType(0),
            attach: String::new(),
            gpl: true,
            rights: Rights::All,
            flags: if sleepable { SLEEPABLE } else { 0 },
            shapes: Vec::new(),
            numbers: Vec::new(),
            functions: Vec::new(),
            catch: None,
            lines: Vec::new(),
            types: None,
            target: None,
            #[cfg(feature = "object")]
            kernel: None,
            #[cfg(feature = "object")]
            program: None,
            processors: 2,
            data_symbols: true,
            log_level: 0,
            keeps_states: false,
        }
    }

    /// For programs of this kind; none where Linux has no such type, or no verifier looks at it.
    pub fn of_kind(kind: KindName) -> Option<Verifier> {
        kind.program_type().map(Verifier::new)
    }

    /// Chooses where the program will be attached (`expected_attach_type`).
    pub fn attached(self, attach_type: AttachType) -> Self {
        Verifier { attach_type, ..self }
    }

    /// Chooses what it will be attached to, by name: the function of an iterator, a hook.
    pub fn targeting(self, target: impl Into<String>) -> Self {
        Verifier { attach: target.into(), ..self }
    }

    /// Chooses what it will be attached to, as the kernel's types describe it: whose arguments are its context.
    pub fn attached_to(self, target: Target) -> Self {
        Verifier { target: Some(target), ..self }
    }

    /// Chooses the license: whether helpers that are only for the GPL may be called.
    pub fn license(self, license: &str) -> Self {
        // The licenses of `license_is_gpl_compatible`.
        const COMPATIBLE: &[&str] =
            &["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
        Verifier { gpl: COMPATIBLE.contains(&license), ..self }
    }

    /// Chooses the rights of the loader.
    pub fn rights(self, rights: Rights) -> Self {
        Verifier { rights, ..self }
    }

    /// Chooses the flags of the load (`BPF_F_…`): whether it may sleep, how strict alignment is.
    pub fn flags(self, flags: u32) -> Self {
        Verifier { flags, ..self }
    }

    /// Chooses the maps that the program names by their numbers.
    pub fn maps(self, maps: &Maps) -> Self {
        let mut shapes = Vec::new();
        let numbers = maps.iter().map(|map| Some(shapes::of_map(map, &mut shapes))).collect();
        Verifier { shapes, numbers, ..self }
    }

    /// Chooses the maps by their shapes: the program names the first so many by their places, others are shapes of
    /// inner maps.
    pub fn shapes(self, shapes: Vec<MapShape>, named: usize) -> Self {
        let numbers = (0..named.min(shapes.len())).map(Some).collect();
        Verifier { shapes, numbers, ..self }
    }

    /// Tells what is known of the program's functions.
    pub fn functions(self, functions: Vec<FunctionInfo>) -> Self {
        Verifier { functions, ..self }
    }

    /// Tells which function catches what the program throws, by the slot where it starts.
    pub fn exception_callback(self, slot: u32) -> Self {
        Verifier { catch: Some(slot), ..self }
    }

    /// Tells which lines of the source instructions come from, in the order of the instructions: for the log.
    pub fn lines(self, lines: Vec<SourceLine>) -> Self {
        Verifier { lines, ..self }
    }

    /// Chooses the types of the kernel and the program.
    pub fn types(self, types: SharedTypes) -> Self {
        Verifier { types: Some(types), ..self }
    }

    /// Chooses how many processors the machine has.
    pub fn processors(self, processors: u32) -> Self {
        Verifier { processors, ..self }
    }

    /// Chooses whether the kernel knows the addresses of its variables, as with `CONFIG_KALLSYMS_ALL`: without, programs
    /// that name one are not loaded.
    pub fn data_symbols(self, data_symbols: bool) -> Self {
        Verifier { data_symbols, ..self }
    }

    /// Chooses what is written down: the sum of 1 (the path that fails) or 2 (all paths), and 4 (figures).
    pub fn log_level(self, log_level: u32) -> Self {
        Verifier { log_level, ..self }
    }

    /// Chooses whether the states that are seen are kept ([`Proof::states`]), to hold runs against them. That takes memory.
    pub fn keeping_states(self, keeps_states: bool) -> Self {
        Verifier { keeps_states, ..self }
    }

    /// The type of the programs.
    pub fn program_type(&self) -> ProgramType {
        self.program_type
    }

    /// The license: whether it is compatible with the GPL.
    pub fn is_gpl(&self) -> bool {
        self.gpl
    }

    /// The shapes of the maps.
    pub fn map_shapes(&self) -> &[MapShape] {
        &self.shapes
    }

    /// For each of the verifier's maps, which of these it is: of those that the program names, and that are what the verifier
    /// takes them to be.
    pub(crate) fn known_maps(&self, program: &isa::Program, maps: &Maps) -> Vec<Option<u32>> {
        let mut known: Vec<Option<u32>> = vec![None; self.shapes.len()];
        // A map inside of another is one of many.
        let mut mixed = vec![false; self.shapes.len()];
        self.shapes.iter().filter_map(|shape| shape.inner).for_each(|inner| mixed[inner] = true);
        for insn in program.insns() {
            let isa::Insn::LoadImm { value: isa::Imm64::Map(map) | isa::Imm64::MapValue(map, _), .. } = *insn
            else {
                continue;
            };
            let Some(at) = self.place_of(map) else { continue };
            let number = maps.number_of(map);
            let is_same =
                |number| maps.at(number).is_some_and(|map| shapes::is_of(&self.shapes[at], map.spec()));
            let number = number.filter(|&number| is_same(number));
            mixed[at] |= number.is_none() || known[at].is_some() && known[at] != number;
            known[at] = number;
        }
        known.into_iter().zip(mixed).map(|(known, mixed)| known.filter(|_| !mixed)).collect()
    }

    /// Where the shape is of a map that a program names.
    fn place_of(&self, map: MapRef) -> Option<usize> {
        let (MapRef::Fd(number) | MapRef::Index(number)) = map;
        let number = usize::try_from(number).ok()?;
        self.numbers.get(number).copied().flatten()
    }

    /// Verifies a program.
    ///
    /// # Errors
    /// What `bpf(2)` would return, in the kernel's words, and how the program gets there.
    pub fn verify(&self, program: &isa::Program) -> Result<Proof, VerifyError> {
        self.verify_faulty(program, &[])
    }

    fn verify_faulty(
        &self,
        program: &isa::Program,
        faults: &[(isa::Pc, Fault)],
    ) -> Result<Proof, VerifyError> {
        let catch = self.catch.and_then(|slot| program.at_slot(slot));
        let with_catch = catch.filter(|&entry| program.function_at(entry).is_none());
        let with_catch = with_catch.and_then(|entry| program.clone().with_function(entry).ok());
        let program = with_catch.as_ref().unwrap_or(program);
        let signatures: Vec<Signature> = self
            .functions
            .iter()
            .filter_map(|function| {
                Some(Signature {
                    entry: program.at_slot(function.slot)?,
                    name: function.name.clone(),
                    global: function.global,
                    type_id: function.type_id,
                    unreliable: false,
                })
            })
            .collect();
        let map_of = |map: MapRef| self.place_of(map);
        let target = self.target.clone().or_else(|| self.found_target());
        let described = self.described();
        let described = match &target {
            Some(target) => described.targeting(hook(target)),
            None => described,
        };
        let env = Environment {
            exception_callback: catch,
            net_admin: self.rights != Rights::None,
            maps: &self.shapes,
            map_of: &map_of,
            signatures: &signatures,
            lines: &self.lines,
            types: self.types.as_deref().map(|types| types as &dyn Types),
            target: target.as_ref(),
            flags: LoadFlags::from_bits(self.flags),
            processors: self.processors,
            data_symbols: self.data_symbols,
            log_level: self.log_level,
            faults,
            keeps_states: self.keeps_states,
            ..Environment::new(described)
        };
        match sandbpf_verifier::examine(program, &env) {
            Ok(verified) => Ok(Proof::of(verified)),
            Err(rejected) => Err(VerifyError::of(rejected, program)),
        }
    }

    /// Verifies the instructions in these bytes. What is no instruction is rejected in the verifier's words.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn verify_bytes(&self, code: &[u8]) -> Result<Proof, VerifyError> {
        match isa::decode(code) {
            Ok(program) => self.verify(&program),
            Err(error) => match sandbpf_verifier::mended(code) {
                Some((program, faults)) => self.verify_faulty(&program, &faults),
                None => Err(VerifyError::undecodable(&error, code, self.log_level)),
            },
        }
    }

    /// What the name of its target means in the kernel's types.
    #[cfg(feature = "object")]
    fn found_target(&self) -> Option<Target> {
        let attach = sandbpf_types::Attach::Name(Some(self.attach.as_str()).filter(|name| !name.is_empty())?);
        sandbpf_types::target(self.kernel.as_deref()?, &self.described(), attach)
    }

    #[cfg(not(feature = "object"))]
    fn found_target(&self) -> Option<Target> {
        None
    }

    fn described(&self) -> abi::Program<'_> {
        let powers = abi::Powers {
            bpf: self.rights != Rights::None,
            perfmon: self.rights == Rights::All,
            ..abi::Powers::default()
        };
        let program = abi::Program::new(self.program_type)
            .attached(self.attach_type)
            .licensed(self.gpl)
            .sleeping(self.flags & SLEEPABLE != 0)
            .targeting(&self.attach);
        abi::Program { powers, ..program }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("program_type", &self.program_type)
            .field("attach_type", &self.attach_type)
            .field("gpl", &self.gpl)
            .field("rights", &self.rights)
            .field("flags", &self.flags)
            .field("maps", &self.numbers.len())
            .field("types", &self.types.is_some())
            .finish_non_exhaustive()
    }
}

/// The name by which tables know what a program is attached to.
fn hook(target: &Target) -> &str {
    target.name.strip_prefix("bpf_lsm_").unwrap_or(&target.name)
}

/// The number of an errno, as programs get it from `bpf(2)`.
pub(crate) const fn number(errno: Errno) -> i32 {
    match errno {
        Errno::Perm => 1,
        Errno::NoEnt => 2,
        Errno::NoMatch => 3,
        Errno::TooBig => 7,
        Errno::BadF => 9,
        Errno::NoMem => 12,
        Errno::Acces => 13,
        Errno::Fault => 14,
        Errno::Busy => 16,
        Errno::Exist => 17,
        Errno::Inval => 22,
        Errno::Range => 34,
        Errno::Proto => 71,
        Errno::ProtoNoSupport => 93,
        Errno::OpNotSupp => 95,
        Errno::NoLink => 67,
        Errno::NotSupp => 524,
    }
}
