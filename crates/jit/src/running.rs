//! Plans that run with a machine: programs that call helpers, and reach memory that is not their own.
//!
//! # Contract
//!
//! [`call`] and [`locate`] are called by a plan's code alone, with the [`Env`] that [`Running::run`] gave it, which
//! leads to a [`State`] that lives as long as that function runs. While code waits for them they are the only ones that use
//! the state, the machine and the program. No panic leaves them: it is caught, kept, and resumed when code has returned.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use sandbpf_abi::{Effect, helpers};
use sandbpf_isa::{Callee, FRAME_SIZE, Pc, Program, Reg, Size};
use sandbpf_runtime::address::{BUFFER, CONTEXT, PACKET, REGION_BITS, STACK};
use sandbpf_runtime::helpers::{Body, HelperSet};
use sandbpf_runtime::memory::view::{REGIONS, RegionView, View};
use sandbpf_runtime::{Execute, Machine, Registers, TAIL_CALL, Trap, address};
use sandbpf_verifier::Facts;

use crate::direct::Direct;
use crate::plan::build::Setting;
use crate::plan::emit::env::{Answer, Env};
use crate::plan::graph::{Entry, Graph, Op, Trapping};
use crate::planned;
use crate::proved::{Needs, Proved};
use crate::{Code, Input, Maps, Options, PlanOptions};

/// The status of a call that ended the program, whose answer is the value.
const ENDED: u64 = u64::MAX;

/// The status of a call that did not come back: the state says why.
const STOPPED: u64 = u64::MAX - 1;

/// A program as a plan, for runs with a machine.
pub struct Running {
    program: Arc<Program>,
    direct: Direct,
    sites: Box<[Trapping]>,
    /// What sites call, where it is known.
    helpers: Box<[Option<Known>]>,
    input: Input,
    /// Whether it may write to its packet, or to its context.
    writes: [bool; 2],
    needs: Option<Needs>,
    /// The maps that the code goes to by itself. It has addresses in them, so they stay as long as it does.
    maps: Option<Maps>,
    /// Whether it looks at values of its processor.
    asks_cpu: bool,
    /// What was proved of a program with maps.
    facts: Option<Facts>,
    /// Code of another kind, for what plans take for granted and is not so.
    other: OnceLock<Option<Box<Code>>>,
}

/// A helper that a site calls, and in which frame.
#[derive(Clone, Copy)]
struct Known {
    body: Body,
    id: i32,
    depth: u32,
}

/// What calls need to know of a run.
struct State<'s> {
    /// A `Machine<'run>`, which nobody else uses while code waits.
    machine: *mut Machine<'static>,
    running: &'s Running,
    /// How many bytes of stack the first frame makes active.
    stack: usize,
    view: View,
    /// Copies of bytes that lie nowhere, until the next call.
    #[allow(clippy::vec_box, reason = "code has addresses in them: they stay where they are")]
    copies: Vec<Box<[u64; COPIES]>>,
    copied: usize,
    trap: Option<Trap>,
    panic: Option<Box<dyn Any + Send>>,
}

/// How a call went: it came back, or did not, or panicked.
type Called = std::thread::Result<Result<Answer, Trap>>;

/// How many copies are made room for at once.
const COPIES: usize = 64;

impl Running {
    /// Plans and compiles a program; `None` if it does what plans do not, or is too long. With maps it goes to them by
    /// itself in their world; nothing if it would have to ask for every value.
    pub fn compile(
        program: &Arc<Program>,
        input: Input,
        facts: Option<&Facts>,
        helpers: Option<&HelperSet>,
        maps: Option<&Maps>,
        options: PlanOptions,
    ) -> Option<Running> {
        if program.arena().is_some() || !planned::is_worthwhile(program) {
            return None;
        }
        if maps.is_some_and(|maps| facts.is_none() || !maps.rely_on_facts() || !maps.are_near()) {
            return None;
        }
        let proved = match facts {
            Some(facts) => Some(Proved::new(program, facts)?),
            None => None,
        };
        let setting = Setting { input, proved: proved.as_ref(), helpers, machine: true, maps };
        let (graph, bytes) = planned::make(program, setting, options)?;
        let direct = Direct::new(&bytes).ok()?;
        let writes = [planned::writes_packet(&graph), planned::writes_context(&graph)];
        let asks_cpu = graph.values.contains(&Op::Entry(Entry::Cpu));
        let Graph { sites, .. } = graph;
        let known = |site: &Trapping| match site {
            Trapping::Call { callee: Callee::Helper(id), depth, .. } if *id != TAIL_CALL => {
                Some(Known { body: helpers?.get(*id)?.as_body()?, id: *id, depth: *depth })
            }
            _ => None,
        };
        Some(Running {
            program: Arc::clone(program),
            direct,
            helpers: sites.iter().map(known).collect(),
            sites: sites.into(),
            input,
            writes,
            needs: proved.map(|proved| proved.needs()),
            facts: facts.filter(|_| maps.is_some()).cloned(),
            maps: maps.cloned(),
            asks_cpu,
            other: OnceLock::new(),
        })
    }

    /// The code.
    pub fn machine_code(&self) -> &[u8] {
        self.direct.machine_code()
    }

    /// Code that takes nothing for granted, or looks first; without memory for it there is a trap.
    #[cold]
    fn other(&self, entry: Pc) -> Result<&Code, Trap> {
        let make = || {
            let (program, facts, maps) = (Arc::clone(&self.program), self.facts.as_ref(), self.maps.clone());
            Code::compile_for(program, Options::default(), facts, maps).ok().map(Box::new)
        };
        self.other.get_or_init(make).as_deref().ok_or(Trap::NoMemory { pc: entry })
    }

    /// Whether the run is as plans take it to be.
    fn fits(&self, machine: &Machine<'_>, view: &View) -> bool {
        let mut registers: Registers = [0; Reg::COUNT];
        registers[Reg::R10.index()] = address::FIRST_FRAME;
        let (packet, context) = (&view[self.packet_region()], &view[(CONTEXT >> REGION_BITS) as usize]);
        match self.input {
            Input::Memory => {
                registers[1] = BUFFER;
                registers[2] = packet.readable.into();
            }
            Input::Context { bytes, .. } => {
                registers[1] = CONTEXT;
                if context.readable < bytes || self.writes[1] && context.writable < bytes {
                    return false;
                }
            }
        }
        let writable = !self.writes[0] || packet.writable == packet.readable;
        let field = |off: u32| machine.memory.read::<4>(CONTEXT + u64::from(off)).unwrap_or_default();
        let needed =
            self.needs.as_ref().is_none_or(|needs| needs.met(Some(machine.registers[1]), view, field));
        let known = self.maps.as_ref().is_none_or(|maps| maps.fit(machine));
        // In a row: a call to compare them takes longer.
        let differ =
            machine.registers.iter().zip(registers).fold(0, |differ, (is, should)| differ | (is ^ should));
        machine.frame == 0 && differ == 0 && writable && needed && known
    }

    /// The instruction of a site of a call.
    fn pc_of(&self, site: u32) -> Pc {
        match self.sites.get(site as usize) {
            Some(Trapping::Call { pc, .. } | Trapping::Atomic { pc, .. }) => *pc,
            _ => Pc(0),
        }
    }

    fn packet_region(&self) -> usize {
        let start = if self.input == Input::Memory { BUFFER } else { PACKET };
        (start >> REGION_BITS) as usize
    }

    fn run(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        machine.memory.take_moved();
        let stack = machine.memory.active_stack();
        let mut state = State {
            machine: std::ptr::null_mut(),
            running: self,
            stack,
            view: [RegionView::ABSENT; REGIONS],
            copies: Vec::new(),
            copied: 0,
            trap: None,
            panic: None,
        };
        machine.memory.view_into(&mut state.view);
        let view = &state.view;
        if !self.fits(machine, view) {
            return self.other(Pc(0))?.execute(machine);
        }
        let (packet, context) = (&view[self.packet_region()], &view[(CONTEXT >> REGION_BITS) as usize]);
        let mut env = Env {
            packet: packet.start,
            length: packet.readable.into(),
            context: context.start,
            stack: view[(STACK >> REGION_BITS) as usize].start,
            budget: machine.budget,
            cpu: if self.asks_cpu { machine.cpu().into() } else { 0 },
            site: 0,
            call,
            locate,
            host: std::ptr::null_mut(),
        };
        let (start, length, context, budget) = (env.packet, env.length, env.context, env.budget);
        // Last of all: nobody else looks at either from here on.
        state.machine = (&raw mut *machine).cast();
        env.host = (&raw mut state).cast();
        // SAFETY: the regions are as the view says, which `fits` looked at; the environment and the state live until the
        // code returns, and nobody else uses the machine meanwhile.
        let answer = unsafe { self.direct.run(start, length, context, budget, &raw mut env) };
        machine.budget = env.budget;
        machine.memory.settle();
        machine.memory.set_active_stack(stack);
        if let Some(panic) = state.panic.take() {
            resume_unwind(panic);
        }
        match answer.status {
            0 | ENDED => Ok(answer.value),
            STOPPED => Err(state.trap.take().unwrap_or(Trap::Unresolved { pc: Pc(0) })),
            site => Err(planned::trap(&self.sites, site - 1, answer.value)),
        }
    }
}

impl Execute for Running {
    fn machine_code(&self) -> Option<&[u8]> {
        Some(Running::machine_code(self))
    }

    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        machine.enter(&self.program);
        self.run(machine)
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        self.other(entry)?.call(machine, entry)
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (instructions, bytes) = (self.program.len(), self.machine_code().len());
        f.debug_struct("Running").field("instructions", &instructions).field("bytes", &bytes).finish()
    }
}

/// Does what the site says that the code stands at, with `r1` to `r5`.
extern "sysv64" fn call(env: *mut Env, r1: u64, r2: u64, r3: u64, r4: u64, r5: u64) -> Answer {
    // SAFETY: the contract above.
    let env = unsafe { &mut *env };
    // SAFETY: the contract above.
    let state = unsafe { &mut *env.host.cast::<State<'_>>() };
    // SAFETY: the contract above.
    let machine = unsafe { &mut *state.machine };
    state.copied = 0;
    machine.budget = env.budget;
    machine.memory.settle();
    let arguments = [r1, r2, r3, r4, r5];
    let Some(&Some(Known { body, id, depth })) = state.running.helpers.get(env.site as usize) else {
        return elsewhere(env, state, machine, arguments);
    };
    state.stand(machine, depth);
    let called = catch_unwind(AssertUnwindSafe(|| body(machine, arguments)));
    env.budget = machine.budget;
    // Most helpers move nothing.
    if let Ok(Ok(value)) = called
        && !machine.memory.has_moved()
        && state.is_as_proved(machine)
    {
        return Answer { value, status: 0 };
    }
    let pc = state.running.pc_of(env.site);
    let called = called.map(|result| {
        let value = result.map_err(|stop| stop.at(pc))?;
        state.still(machine, pc, Some(id))?;
        Ok(Answer { value, status: 0 })
    });
    state.finish(env, machine, called)
}

/// The same, of what is no helper that is known.
#[inline(never)]
fn elsewhere(env: &mut Env, state: &mut State<'_>, machine: &mut Machine<'_>, arguments: [u64; 5]) -> Answer {
    let site = state.running.sites.get(env.site as usize).copied();
    let called = catch_unwind(AssertUnwindSafe(|| match site {
        Some(Trapping::Call { pc, callee, depth }) => state.outside(machine, pc, callee, depth, arguments),
        Some(Trapping::Atomic { pc, op, size, off }) => {
            let [address, operand, expected, ..] = arguments;
            let old = machine.memory.atomic(op, size, address.wrapping_add(off as u64), operand, expected);
            old.map(|value| Answer { value, status: 0 }).map_err(|fault| fault.at(pc))
        }
        _ => unreachable!("code calls at sites of calls"),
    }));
    env.budget = machine.budget;
    state.finish(env, machine, called)
}

impl State<'_> {
    /// Says which frames there are, before somebody else looks at memory.
    #[inline]
    fn stand(&self, machine: &mut Machine<'_>, depth: u32) {
        machine.frame = depth as usize;
        let above = if self.stack == 0 { 0 } else { FRAME_SIZE * depth as usize };
        machine.memory.set_active_stack(self.stack + above);
    }

    /// Calls a helper or a kernel function.
    fn outside(
        &mut self,
        machine: &mut Machine<'_>,
        pc: Pc,
        callee: Callee,
        depth: u32,
        arguments: [u64; 5],
    ) -> Result<Answer, Trap> {
        self.stand(machine, depth);
        let (value, helper) = match callee {
            Callee::Helper(id) => {
                let value = machine.call_helper(id, arguments, pc)?;
                if id == TAIL_CALL && machine.take_ended() {
                    return Ok(Answer { value, status: ENDED });
                }
                (value, Some(id))
            }
            // Nobody but us writes their bodies.
            Callee::Kfunc { id, .. } => (machine.call_kfunc(id, arguments, pc)?, None),
            Callee::Local(_) | Callee::Register(_) => unreachable!("these stay inside"),
        };
        self.still(machine, pc, helper)?;
        Ok(Answer { value, status: 0 })
    }

    /// Looks whether what a proof says is still so after a call: the packet moved only if the callee may move it, and the
    /// context says where it is.
    fn still(&mut self, machine: &mut Machine<'_>, pc: Pc, helper: Option<i32>) -> Result<(), Trap> {
        if self.running.needs.is_none() {
            return Ok(());
        }
        let region = self.running.packet_region();
        let before = self.view[region];
        if machine.memory.take_moved() {
            machine.memory.view_into(&mut self.view);
        }
        let now = self.view[region];
        let moved = (before.start, before.readable) != (now.start, now.readable);
        let changes = |id| helpers::numbered(id).any(|spec| spec.has(Effect::ChangesPacket));
        let holds = (!moved || helper.is_none_or(changes)) && self.is_as_proved(machine);
        if holds { Ok(()) } else { Err(Trap::Disproved { pc }) }
    }

    /// Whether the context says what a proof takes it to say of what the view shows.
    #[inline]
    fn is_as_proved(&self, machine: &Machine<'_>) -> bool {
        let field = |off: u32| machine.memory.read::<4>(CONTEXT + u64::from(off)).unwrap_or_default();
        self.running.needs.as_ref().is_none_or(|needs| needs.met(None, &self.view, field))
    }

    /// Tells the code how a call went, and where memory is now.
    fn finish(&mut self, env: &mut Env, machine: &mut Machine<'_>, called: Called) -> Answer {
        if machine.memory.take_moved() {
            machine.memory.view_into(&mut self.view);
        }
        let packet = &self.view[self.running.packet_region()];
        (env.packet, env.length) = (packet.start, packet.readable.into());
        env.context = self.view[(CONTEXT >> REGION_BITS) as usize].start;
        match called {
            Ok(Ok(answer)) => return answer,
            Ok(Err(trap)) => self.trap = Some(trap),
            Err(panic) => self.panic = Some(panic),
        }
        Answer { value: 0, status: STOPPED }
    }

    /// Where the bytes at an address outside of stack, context and packet are, until the next call.
    fn locate(&mut self, machine: &mut Machine<'_>, address: u64, size: u32, write: bool) -> Option<*mut u8> {
        let region = usize::try_from(address >> REGION_BITS).ok().and_then(|number| self.view.get(number));
        if let Some(region) = region {
            let at = address & ((1 << REGION_BITS) - 1);
            let there = if write { region.writable } else { region.readable };
            if at + u64::from(size) <= u64::from(there) {
                return Some(region.start.wrapping_add(at as usize));
            }
        }
        let wanted = Size::of_bytes(size.into())?;
        let found = machine.memory.locate(address, wanted, write).ok()?;
        if write || machine.memory.far().is_some_and(|far| far.piece(address).is_some()) {
            return Some(found);
        }
        // It is a copy already, but one that the next look takes the place of.
        let value = machine.memory.load(wanted, address).ok()?;
        if self.copied == self.copies.len() * COPIES {
            self.copies.push(Box::new([0; COPIES]));
        }
        let slot = &mut self.copies[self.copied / COPIES][self.copied % COPIES];
        *slot = value;
        self.copied += 1;
        Some((&raw mut *slot).cast())
    }
}

/// Where the bytes at a guest's address are, for the access at the site that the code stands at; null if nowhere.
extern "sysv64" fn locate(env: *mut Env, address: u64) -> *mut u8 {
    // SAFETY: the contract above.
    let env = unsafe { &mut *env };
    // SAFETY: the contract above.
    let state = unsafe { &mut *env.host.cast::<State<'_>>() };
    // SAFETY: the contract above.
    let machine = unsafe { &mut *state.machine };
    let found = catch_unwind(AssertUnwindSafe(|| match state.running.sites.get(env.site as usize) {
        Some(&Trapping::Access { size, write, .. }) => state.locate(machine, address, size, write),
        _ => None,
    }));
    match found {
        Ok(found) => found.unwrap_or(std::ptr::null_mut()),
        Err(panic) => {
            state.panic = Some(panic);
            std::ptr::null_mut()
        }
    }
}
