//! What every loaded program is underneath its kind.

use std::sync::{Arc, OnceLock};

use sandbpf_abi::SkBuff;
use sandbpf_interp::{Brief, Observer, Step};
use sandbpf_isa as isa;
use sandbpf_runtime::memory::Stack;
use sandbpf_runtime::memory::frame::Frame;
use sandbpf_runtime::{Execute, Host, Machine, Surroundings, Trap, World, helpers::HelperSet};

use crate::compiled::{Plan, Pure};
use crate::{Engine, Limits, Maps, Proof};

/// A program with its engine and its world. Immutable, shared by all clones and threads.
#[derive(Debug)]
pub struct Image {
    pub(crate) program: Arc<isa::Program>,
    pub(crate) engine: Engine,
    pub(crate) code: Arc<dyn Execute>,
    /// Answers in place of the code what it can.
    pub(crate) pure: Pure,
    /// Runs in place of the code where that takes no machine.
    pub(crate) plan: Plan,
    /// The same where it is interpreted.
    pub(crate) brief: Option<Brief>,
    pub(crate) maps: Option<Maps>,
    pub(crate) helpers: Arc<HelperSet>,
    pub(crate) host: HostRef,
    pub(crate) limits: Limits,
    pub(crate) traits: Traits,
    pub(crate) proof: Option<Proof>,
    /// The function that catches what the program throws.
    pub(crate) catch: Option<isa::Pc>,
    /// For observed runs, made when the first one happens.
    pub(crate) step: OnceLock<Step>,
}

/// What a kind must know about a program to prepare its input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Whether it was a classic filter.
    pub(crate) classic: bool,
    /// Whether the program can look at its context; most classic filters cannot.
    pub(crate) needs_context: bool,
    /// Whether the packet's length is its length on the wire (libpcap) or what is there (Linux).
    pub(crate) wire_length: bool,
    /// Whether it calls functions of the host, which may hand something out.
    pub(crate) calls: bool,
}

impl Traits {
    /// Those of extended programs.
    pub(crate) const EXTENDED: Traits =
        Traits { classic: false, needs_context: true, wire_length: false, calls: false };
}

/// A shared host.
#[derive(Clone)]
pub(crate) struct HostRef(pub(crate) Arc<dyn Host>);

impl std::fmt::Debug for HostRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

/// What a run writes on: worth keeping between runs.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) stack: Stack,
    pub(crate) context: [u8; SkBuff::SIZE],
    pub(crate) frame: Frame,
    pub(crate) objects: Vec<u8>,
    /// A copy of a packet that is to stay as it is.
    copy: Vec<u8>,
}

impl Scratch {
    /// A copy of these bytes, to write on.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> &mut [u8] {
        self.copy.clear();
        self.copy.extend_from_slice(bytes);
        &mut self.copy
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            stack: Stack::default(),
            context: [0; SkBuff::SIZE],
            frame: Frame::default(),
            objects: Vec::new(),
            copy: Vec::new(),
        }
    }
}

impl Image {
    /// A machine for one run of this program.
    #[inline]
    pub(crate) fn machine<'run>(&'run self, stack: &'run mut Stack) -> Machine<'run> {
        let mut machine = Machine::within(self, stack, self.limits.instructions);
        if let Some(maps) = &self.maps {
            machine.memory.set_far(maps.world());
        }
        machine
    }

    /// Runs in the chosen engine.
    #[inline]
    pub(crate) fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        // The answer is taken apart at once: copying it whole would wait until its parts, which were just written, are.
        match self.code.execute(machine) {
            Ok(r0) => {
                machine.give_locks();
                Ok(r0)
            }
            Err(trap) => self.stopped(machine, trap),
        }
    }

    /// What a run comes to that stopped.
    #[cold]
    fn stopped(&self, machine: &mut Machine<'_>, trap: Trap) -> Result<u64, Trap> {
        let result = match trap {
            Trap::Thrown { cookie, .. } => self.caught(machine, cookie),
            trap => Err(trap),
        };
        machine.give_locks();
        result
    }

    /// What the program answers after it threw a number: what the function says that catches it, or the number.
    fn caught(&self, machine: &mut Machine<'_>, cookie: u64) -> Result<u64, Trap> {
        let Some(entry) = self.catch else { return Ok(cookie) };
        machine.frame = 0;
        machine.registers[1] = cookie;
        self.code.call(machine, entry)
    }

    /// Runs in the readable interpreter, which tells `observer`.
    pub(crate) fn observe(
        &self,
        machine: &mut Machine<'_>,
        observer: &mut dyn Observer,
    ) -> Result<u64, Trap> {
        let step = self.step.get_or_init(|| Step::new(isa::Program::clone(&self.program)));
        let result = match step.observe(machine, observer) {
            Err(Trap::Thrown { cookie, .. }) => self.caught(machine, cookie),
            result => result,
        };
        machine.give_locks();
        result
    }
}

impl Surroundings for Image {
    fn helpers(&self) -> &HelperSet {
        &self.helpers
    }

    fn host(&self) -> &dyn Host {
        &*self.host.0
    }

    fn world(&self) -> Option<&World> {
        self.maps.as_ref().map(|maps| maps.world())
    }

    fn code(&self) -> Option<&dyn Execute> {
        Some(&*self.code)
    }
}

/// Lends this thread's scratch memory. A run inside a run (a helper that runs a program) gets its own.
#[inline]
pub(crate) fn with_scratch<R>(body: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: std::cell::Cell<Option<Box<Scratch>>> = const { std::cell::Cell::new(None) };
    }
    // The body runs outside of the library's functions: its answer would be copied whole by each, and wait until its parts, which
    // were just written, are.
    let mut scratch = SCRATCH.take().unwrap_or_else(new_scratch);
    let result = body(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

#[cold]
#[inline(never)]
fn new_scratch() -> Box<Scratch> {
    Box::default()
}
