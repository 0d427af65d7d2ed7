//! Programs as functions of their memory: planned, then machine code.
//!
//! A program that calls nobody needs no [`Machine`](sandbpf_runtime::Machine) ([`Running`](crate::Running) is for those that do): what it reads and writes is its packet (or
//! memory), its context, and a stack, which its code brings along. What it does is what any engine does, down to traps
//! and their memory.

use std::fmt;

use sandbpf_isa::{Insn, Program};
use sandbpf_runtime::Trap;
use sandbpf_runtime::address::REGION_SIZE;
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_verifier::Facts;

use crate::direct::Direct;
use crate::plan::build::{self, Setting};
use crate::plan::emit::env::Answer;
use crate::plan::emit::{self, EmitOptions};
use crate::plan::graph::{Graph, Op, Region, Trapping};
use crate::plan::passes;
use crate::proved::Proved;
use crate::{Input, Maps, PlanOptions};

/// A program as a function of its memory.
///
/// ```
/// use sandbpf_jit::{Input, Plan, PlanOptions};
/// # if !sandbpf_jit::SUPPORTED { return Ok(()) }
/// let program = sandbpf_isa::parse("r0 = *(u8 *)(r1 + 0)\n*(u8 *)(r1 + 1) = r0\nexit")?;
/// let plan = Plan::compile(&program, Input::Memory, None, None, None, PlanOptions::default()).expect("it calls nobody");
/// let mut memory = [7, 0];
/// let answer = plan.run(&mut memory, &mut [], 100).expect("it needs no context");
/// assert_eq!(plan.outcome(answer), Ok(7));
/// assert_eq!(memory, [7, 7]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Plan {
    direct: Direct,
    sites: Box<[Trapping]>,
    /// How many bytes of the context it needs.
    context: usize,
    /// Whether it may write to the packet.
    writes: bool,
    /// Packets below this length are all that it takes to run it: none, if it needs a context.
    alone: u64,
    /// The same of packets that are not to be written to: none, if it may do so.
    alone_reading: u64,
    /// The maps that the code goes to, which stay as long as it does.
    _maps: Option<Maps>,
}

/// Packets are shorter than this.
const TOO_LONG: u64 = REGION_SIZE + 1;

impl Plan {
    /// Plans and compiles a program that is given this, and these helpers, if they are always the same; `None` if it calls others than
    /// [plain](sandbpf_runtime::helpers::Helper::plain) ones, or does another thing that takes a machine. Of a program with a context
    /// something has to be proved, or there is a plan only where it is [asked for](PlanOptions::unproved), and if all that
    /// it writes to are its packet and its stack. Most long programs have no plan either. With maps it may look keys up in them;
    /// then it is a plan for that world alone.
    pub fn compile(
        program: &Program,
        input: Input,
        facts: Option<&Facts>,
        helpers: Option<&HelperSet>,
        maps: Option<&Maps>,
        options: PlanOptions,
    ) -> Option<Plan> {
        if !is_worthwhile(program) {
            return None;
        }
        let proved = match (input, facts) {
            (Input::Memory, _) => None,
            (Input::Context { bytes, data, end, meta, .. }, Some(facts)) => {
                let summary = facts.summary();
                let same = |field: Option<u32>, ours: Option<u32>| field.is_none() || field == ours;
                let fields = summary.packet;
                let known =
                    same(fields.data, Some(data)) && same(fields.end, Some(end)) && same(fields.meta, meta);
                if !known || fields.several || summary.context > bytes {
                    return None;
                }
                Some(Proved::new(program, facts)?)
            }
            (Input::Context { .. }, None) if !options.unproved || options.elsewhere => return None,
            (Input::Context { .. }, None) => None,
        };
        let setting = Setting { input, proved: proved.as_ref(), helpers, machine: false, maps };
        let (graph, bytes) = make(program, setting, options)?;
        // What has no region may lie elsewhere, where only a machine finds it.
        let checks = graph
            .blocks
            .iter()
            .flat_map(|code| &code.body)
            .any(|&value| matches!(graph.op(value), Op::Host { .. }));
        if options.elsewhere && checks {
            return None;
        }
        // Where the packet is was known without a look, which is true as long as nobody writes it down anew.
        if proved.is_none() && input != Input::Memory && writes_context(&graph) {
            return None;
        }
        let writes = writes_packet(&graph);
        let direct = Direct::new(&bytes).ok()?;
        let context = graph.context as usize;
        let alone = if context == 0 { TOO_LONG } else { 0 };
        let alone_reading = if writes { 0 } else { alone };
        let maps = maps.cloned();
        Some(Plan { direct, sites: graph.sites.into(), context, writes, alone, alone_reading, _maps: maps })
    }

    /// A plan of no program, which runs nothing: in its place nobody need ask whether there is a plan before running it.
    pub fn none() -> Plan {
        let (direct, sites) = (Direct::none(), Box::default());
        Plan { direct, sites, context: usize::MAX, writes: true, alone: 0, alone_reading: 0, _maps: None }
    }

    /// Whether it is a program's.
    pub fn exists(&self) -> bool {
        self.direct.exists()
    }

    /// How many bytes of the context it needs: none, if it never looks at it but for where the packet is.
    #[inline]
    pub fn context(&self) -> usize {
        self.context
    }

    /// Whether it may write to its packet or memory.
    #[inline]
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Runs the program on this packet (or memory) and context; `None` if the context is shorter than [`Plan::context`], or
    /// the packet longer than a region.
    #[inline]
    pub fn run(&self, packet: &mut [u8], context: &mut [u8], budget: u64) -> Option<Answer> {
        let fits = packet.len() as u64 <= REGION_SIZE && context.len() >= self.context;
        fits.then(|| self.direct.on(packet, Some(context), budget))
    }

    /// The same on a packet that is not to be written to; `None` if the program may do so.
    #[inline]
    pub fn read(&self, packet: &[u8], context: &mut [u8], budget: u64) -> Option<Answer> {
        let fits = packet.len() as u64 <= REGION_SIZE && context.len() >= self.context;
        (fits && !self.writes).then(|| self.direct.reading(packet, Some(context), budget))
    }

    /// [`Plan::run`] without a context, after one comparison; `None` if that is not all that it takes.
    #[inline(always)]
    pub fn run_alone(&self, packet: &mut [u8], budget: u64) -> Option<Answer> {
        ((packet.len() as u64) < self.alone).then(|| self.direct.on(packet, None, budget))
    }

    /// [`Plan::read`] without a context, after one comparison; `None` if that is not all that it takes.
    #[inline(always)]
    pub fn read_alone(&self, packet: &[u8], budget: u64) -> Option<Answer> {
        ((packet.len() as u64) < self.alone_reading).then(|| self.direct.reading(packet, None, budget))
    }

    /// What an answer of this plan says.
    #[inline(always)]
    pub fn outcome(&self, answer: Answer) -> Result<u64, Trap> {
        match answer.status {
            0 => Ok(answer.value),
            _ => Err(self.trap(answer)),
        }
    }

    /// Why a run of this plan that did not return stopped.
    #[cold]
    #[inline(never)]
    pub fn trap(&self, answer: Answer) -> Trap {
        trap(&self.sites, answer.status.wrapping_sub(1), answer.value)
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        self.direct.machine_code()
    }
}

/// How many instructions a program has at most that is planned whatever it does …
const SHORT: usize = 2048;

/// … and one that repeats some of them.
const LONG: usize = 8192;

/// Whether a plan of a program is worth the time that it takes: some 1.3 µs an instruction, where code that is made instruction by
/// instruction takes a fifteenth of that. What never goes back runs each instruction once at most.
pub(crate) fn is_worthwhile(program: &Program) -> bool {
    let goes_back = |(at, insn): (usize, &Insn)| insn.target().is_some_and(|to| to.index() <= at);
    let repeats = || program.insns().iter().enumerate().any(goes_back);
    program.len() <= SHORT || program.len() <= LONG && repeats()
}

/// A program's graph after all passes, and its code.
pub(crate) fn make(
    program: &Program,
    setting: Setting<'_>,
    options: PlanOptions,
) -> Option<(Graph, Vec<u8>)> {
    let mut graph = build::build(program, setting)?;
    passes::run(&mut graph, options.without);
    let looks = |op: &Op| matches!(op, Op::Base(Region::Context) | Op::Host { .. });
    if !graph.values.iter().any(looks) {
        graph.context = 0;
    }
    let emitted = emit::emit(&graph, &EmitOptions { baseline: options.baseline, ..EmitOptions::default() });
    (!emitted.bytes.is_empty()).then_some((graph, emitted.bytes))
}

/// Whether something may be written to the packet.
pub(crate) fn writes_packet(graph: &Graph) -> bool {
    graph.values.iter().any(|op| op.writes_to(Region::Packet))
}

/// Whether something may be written to the context.
pub(crate) fn writes_context(graph: &Graph) -> bool {
    graph.values.iter().any(|op| op.writes_to(Region::Context))
}

/// The trap of a site.
#[cold]
pub(crate) fn trap(sites: &[Trapping], site: u64, address: u64) -> Trap {
    match sites[site as usize] {
        Trapping::Access { pc, size, write } => Trap::BadAccess { pc, address, size, write },
        Trapping::Budget { pc } => Trap::OutOfInstructions { pc },
        Trapping::Call { pc, .. } | Trapping::Atomic { pc, .. } => Trap::Unresolved { pc },
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("bytes", &self.machine_code().len()).finish_non_exhaustive()
    }
}
