//! Programs made ready in the form that they allow: a function of its input where a program only reads, code for a
//! [`Machine`] otherwise.

use std::sync::Arc;
#[cfg(feature = "jit")]
use std::sync::OnceLock;

use sandbpf_abi::SeccompData;
use sandbpf_interp as interp;
#[cfg(feature = "jit")]
use sandbpf_isa::Pc;
use sandbpf_isa::Program;
#[cfg(feature = "jit")]
use sandbpf_runtime::Machine;
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::{Execute, Trap, World};
use sandbpf_verifier::Facts;

use crate::KindName;

#[cfg(feature = "jit")]
use sandbpf_jit::Input;
#[cfg(feature = "jit")]
pub(crate) use sandbpf_jit::{Answer, Plan};

/// A program that only reads, ready to run without a machine; or none, so that nobody need ask before running it.
#[derive(Debug)]
pub(crate) struct Pure {
    /// As machine code.
    #[cfg(feature = "jit")]
    code: sandbpf_jit::Pure,
    /// Interpreted.
    reader: Option<interp::Reader>,
}

impl Pure {
    /// Machine code.
    #[cfg(feature = "jit")]
    pub(crate) fn compiled(code: sandbpf_jit::Pure) -> Pure {
        Pure { code, reader: None }
    }

    /// What is interpreted, if it is something.
    pub(crate) fn read(reader: Option<interp::Reader>) -> Pure {
        Pure {
            #[cfg(feature = "jit")]
            code: sandbpf_jit::Pure::none(),
            reader,
        }
    }

    /// No program.
    pub(crate) fn none() -> Pure {
        Pure::read(None)
    }

    /// What machine code answers to a packet and the first word of the context, if it wants to know no more: all that stands
    /// in the way of its call is one comparison.
    #[inline(always)]
    pub(crate) fn at_once(&self, packet: &[u8], word: u32) -> Option<u64> {
        #[cfg(feature = "jit")]
        return self.code.at_once(packet, word);
        #[cfg(not(feature = "jit"))]
        return {
            let _ = (packet, word);
            None
        };
    }

    /// What machine code answers to a system call, if it wants to know no more.
    #[inline(always)]
    pub(crate) fn of_call(&self, call: &SeccompData) -> Option<u64> {
        #[cfg(feature = "jit")]
        return self.code.of_call(call);
        #[cfg(not(feature = "jit"))]
        return {
            let _ = call;
            None
        };
    }

    /// Whether it is interpreted.
    #[inline(always)]
    pub(crate) fn is_read(&self) -> bool {
        self.reader.is_some()
    }

    /// What it answers where it is interpreted and wants to know no more than a packet and the first word of the context. A
    /// call of its own: beside code for the others it would pay for their registers and memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_at_once(&self, packet: &[u8], word: u32) -> Option<u64> {
        self.reader.as_ref()?.run(packet, &word.to_le_bytes())
    }

    /// Whether it looks at more of the context than its first word.
    #[inline(always)]
    pub(crate) fn wants_context(&self) -> bool {
        if let Some(reader) = &self.reader {
            return reader.context() > 4;
        }
        #[cfg(feature = "jit")]
        return self.code.context() > 4;
        #[cfg(not(feature = "jit"))]
        return false;
    }

    /// What it answers, if it can tell, whatever it wants to know. The first word of the context is given; the whole, where
    /// that is not all.
    #[inline(always)]
    pub(crate) fn run<C: AsRef<[u8]>>(
        &self,
        packet: &[u8],
        word: u32,
        context: impl Fn() -> C,
        budget: u64,
    ) -> Option<u64> {
        if let Some(reader) = &self.reader {
            // It has no loops, and costs nothing.
            return match reader.context() {
                0..=4 => reader.run(packet, &word.to_le_bytes()),
                _ => reader.run(packet, context().as_ref()),
            };
        }
        #[cfg(feature = "jit")]
        return match self.code.context() {
            0..=4 => self.code.run(packet, &word.to_le_bytes(), budget),
            _ if self.code.exists() => self.code.run(packet, context().as_ref(), budget),
            _ => None,
        };
        #[cfg(not(feature = "jit"))]
        return {
            let _ = budget;
            None
        };
    }

    /// The machine code, if it is some.
    pub(crate) fn machine_code(&self) -> Option<&[u8]> {
        #[cfg(feature = "jit")]
        return self.code.exists().then(|| self.code.machine_code());
        #[cfg(not(feature = "jit"))]
        return None;
    }
}

/// What a plan answers; this build has none.
#[cfg(not(feature = "jit"))]
#[derive(Clone, Copy, Debug)]
pub enum Answer {}

#[cfg(not(feature = "jit"))]
impl Answer {
    pub(crate) fn returned(self) -> Option<u64> {
        match self {}
    }
}

/// A program as a function of its memory; this build has that of no program alone.
#[cfg(not(feature = "jit"))]
#[derive(Debug)]
pub struct Plan(());

#[cfg(not(feature = "jit"))]
impl Plan {
    pub(crate) fn none() -> Plan {
        Plan(())
    }

    pub(crate) fn exists(&self) -> bool {
        false
    }

    pub(crate) fn writes(&self) -> bool {
        true
    }

    pub(crate) fn outcome(&self, answer: Answer) -> Result<u64, Trap> {
        match answer {}
    }

    pub(crate) fn run_alone(&self, _: &mut [u8], _: u64) -> Option<Answer> {
        None
    }

    pub(crate) fn read_alone(&self, _: &[u8], _: u64) -> Option<Answer> {
        None
    }

    pub(crate) fn run(&self, _: &mut [u8], _: &mut [u8], _: u64) -> Option<Answer> {
        None
    }

    pub(crate) fn read(&self, _: &[u8], _: &mut [u8], _: u64) -> Option<Answer> {
        None
    }

    pub(crate) fn machine_code(&self) -> &[u8] {
        &[]
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
    /// How it is planned.
    pub(crate) planning: Planning,
}

/// How programs are planned.
#[cfg(feature = "jit")]
pub(crate) type Planning = sandbpf_jit::PlanOptions;
/// How programs are planned: not at all.
#[cfg(not(feature = "jit"))]
pub(crate) type Planning = ();

/// What there is of a program that can run.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// For runs with a machine.
    pub(crate) code: Arc<dyn Execute>,
    /// For runs without one, if the program only reads and is of a kind whose input is a packet or a context.
    pub(crate) pure: Pure,
    /// For the same, of kinds whose programs write, if it calls nobody.
    pub(crate) plan: Plan,
    /// For the same where it is interpreted, if it is short.
    pub(crate) brief: Option<interp::Brief>,
}

impl Compiled {
    /// What always runs with a machine.
    pub(crate) fn of(code: impl Execute + 'static) -> Compiled {
        Compiled { code: Arc::new(code), pure: Pure::none(), plan: Plan::none(), brief: None }
    }
}

/// What programs of a kind are given, as plans know it.
#[cfg(feature = "jit")]
fn input(kind: KindName, facts: Option<&Facts>) -> Input {
    use sandbpf_abi::{SkBuff, XdpMd};
    let skb = |at| Input::Context {
        bytes: SkBuff::SIZE as u32,
        at,
        data: SkBuff::DATA as u32,
        end: SkBuff::DATA_END as u32,
        meta: Some(SkBuff::DATA_META as u32),
    };
    match kind {
        KindName::Buffer => Input::Memory,
        KindName::Xdp => Input::Context {
            bytes: XdpMd::SIZE as u32,
            at: 0,
            data: XdpMd::DATA as u32,
            end: XdpMd::DATA_END as u32,
            meta: Some(XdpMd::DATA_META as u32),
        },
        KindName::SchedCls | KindName::SchedAct => skb(0),
        KindName::CgroupSkb | KindName::LwtIn | KindName::LwtOut | KindName::LwtXmit => skb(NETWORK),
        // Where these say that a packet is, only runs know.
        _ => {
            let bytes = facts.map_or(0, |facts| facts.summary().context);
            Input::Context { bytes, at: 0, data: u32::MAX, end: u32::MAX, meta: None }
        }
    }
}

/// Where the network header of a frame is: what programs take to be the start of their packet whose kind sees no link header.
pub(crate) const NETWORK: u32 = 14;
/// Whether programs of a kind are given a packet or a context, and may be functions of it.
fn are_readers(kind: KindName) -> bool {
    matches!(kind, KindName::SocketFilter | KindName::Seccomp)
}

/// Prepares a program for the interpreter.
pub(crate) fn interpret(kind: KindName, program: &Arc<Program>, has_maps: bool) -> Compiled {
    let pure = Pure::read(if are_readers(kind) { interp::Reader::new(program) } else { None });
    // What it addresses may lie in maps.
    let is_alone = matches!(kind, KindName::Buffer | KindName::Xdp) && !has_maps;
    let brief = if is_alone { interp::Brief::new(program) } else { None };
    Compiled { pure, brief, ..Compiled::of(interp::Code::new(Arc::clone(program))) }
}

/// Compiles a program.
#[cfg(feature = "jit")]
pub(crate) fn compile(
    kind: KindName,
    program: &Arc<Program>,
    surroundings: Surroundings<'_>,
) -> Result<Compiled, String> {
    let Surroundings { facts, world, helpers, of_facts, planning } = surroundings;
    if are_readers(kind)
        && let Some(pure) = sandbpf_jit::Pure::compile(program, sandbpf_jit::Options::default())
    {
        let pure = Pure::compiled(pure);
        return Ok(Compiled { pure, ..Compiled::of(Later::new(program, None, None)) });
    }
    let options = Planning { elsewhere: world.is_some(), unproved: kind == KindName::Xdp, ..planning };
    let input = input(kind, facts);
    let maps = world.and_then(|world| sandbpf_jit::Maps::new(program, world, helpers, of_facts));
    let plan = Plan::compile(program, input, facts, Some(helpers), maps.as_ref(), options);
    if let Some(plan) = plan.filter(|plan| takes(kind, plan)) {
        // Who runs it in its place, or by a tail call, has a machine; mostly nobody does.
        let code = Later::new(program, facts.filter(|_| maps.is_some()), maps);
        return Ok(Compiled { plan, ..Compiled::of(code) });
    }
    let running = sandbpf_jit::Running::compile(program, input, facts, Some(helpers), maps.as_ref(), options);
    if let Some(running) = running {
        return Ok(Compiled::of(running));
    }
    let code = sandbpf_jit::Code::compile_for(Arc::clone(program), Default::default(), facts, maps);
    match code {
        Ok(code) => Ok(Compiled::of(code)),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether programs of a kind are run by this plan: contexts of packets in the stack are long, and a machine has to make one.
#[cfg(feature = "jit")]
fn takes(kind: KindName, plan: &Plan) -> bool {
    match kind {
        KindName::Buffer | KindName::Xdp => true,
        KindName::SchedCls | KindName::SchedAct => plan.context() == 0,
        KindName::CgroupSkb | KindName::LwtIn | KindName::LwtOut | KindName::LwtXmit => plan.context() == 0,
        _ => false,
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
#[cfg(feature = "jit")]
#[derive(Debug)]
struct Later {
    program: Arc<Program>,
    facts: Option<Facts>,
    maps: Option<sandbpf_jit::Maps>,
    code: OnceLock<Box<dyn Execute>>,
}

#[cfg(feature = "jit")]
impl Later {
    fn new(program: &Arc<Program>, facts: Option<&Facts>, maps: Option<sandbpf_jit::Maps>) -> Later {
        Later { program: Arc::clone(program), facts: facts.cloned(), maps, code: OnceLock::new() }
    }

    /// Machine code; where no memory is left for it, the interpreter, which says the same.
    fn code(&self) -> &dyn Execute {
        let make = || -> Box<dyn Execute> {
            let (program, facts, maps) = (&self.program, self.facts.as_ref(), self.maps.clone());
            match sandbpf_jit::Code::compile_for(Arc::clone(program), Default::default(), facts, maps) {
                Ok(code) => Box::new(code),
                Err(_) => Box::new(interp::Code::new(Arc::clone(program))),
            }
        };
        &**self.code.get_or_init(make)
    }
}

#[cfg(feature = "jit")]
impl Execute for Later {
    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        self.code().execute(machine)
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        self.code().call(machine, entry)
    }
}
