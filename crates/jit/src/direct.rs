//! Code of a plan, in memory, and the call into it.
//!
//! # Contract
//!
//! The bytes come from [`emit`](crate::plan::emit::emit) and nowhere else. They are copied into memory that is then made
//! executable and is never writable again. They follow the `sysv64` convention with the five arguments of [`Entry`]; they
//! touch the packet within its length, the context within the length that they were emitted for, the stack, as
//! much of it as they were emitted for, and the [`Env`]; and nothing else.

use std::io;
use std::mem::{MaybeUninit, transmute};

use dynasmrt::AssemblyOffset;
use dynasmrt::mmap::{ExecutableBuffer, MutableBuffer};

use crate::plan::emit::env::{Answer, Env};

/// A plan as machine code.
#[derive(Debug)]
pub(crate) struct Direct {
    /// Where the memory starts.
    entry: Entry,
    len: usize,
    memory: Option<ExecutableBuffer>,
}

/// Code that does not look at its context or its environment need not be given one: then nothing is put into the register.
type Entry = unsafe extern "sysv64" fn(
    packet: *mut u8,
    length: u64,
    context: MaybeUninit<*mut u8>,
    budget: u64,
    env: MaybeUninit<*mut Env>,
) -> Answer;

/// What stands where there is no code.
unsafe extern "sysv64" fn nothing(
    _packet: *mut u8,
    _length: u64,
    _context: MaybeUninit<*mut u8>,
    _budget: u64,
    _env: MaybeUninit<*mut Env>,
) -> Answer {
    Answer { value: 0, status: u64::MAX }
}

impl Direct {
    /// Puts code where it can run.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Direct> {
        let mut buffer = MutableBuffer::new(bytes.len())?;
        buffer.set_len(bytes.len());
        buffer.copy_from_slice(bytes);
        let memory = buffer.make_exec()?;
        // SAFETY: the buffer starts with the entry, which has this type (the contract above). It does not move with its owner.
        let entry = unsafe { transmute::<*const u8, Entry>(memory.ptr(AssemblyOffset(0))) };
        Ok(Direct { entry, len: bytes.len(), memory: Some(memory) })
    }

    /// No code: its runs trap.
    pub(crate) fn none() -> Direct {
        Direct { entry: nothing, len: 0, memory: None }
    }

    /// Whether there is code.
    pub(crate) fn exists(&self) -> bool {
        self.memory.is_some()
    }

    /// The code.
    pub(crate) fn machine_code(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.len])
    }

    /// Runs code without calls, on a packet and a context that is not shorter than the code was emitted for; without one, code
    /// that looks at none.
    #[inline(always)]
    pub(crate) fn on(&self, packet: &mut [u8], context: Option<&mut [u8]>, budget: u64) -> Answer {
        let (start, length) = (packet.as_mut_ptr(), packet.len() as u64);
        let context = context.map_or(MaybeUninit::uninit(), |bytes| MaybeUninit::new(bytes.as_mut_ptr()));
        // SAFETY: the memory is borrowed as long as the code runs; `Plan` looked at the context's length, and has code
        // without calls, which does not look at the environment.
        unsafe { (self.entry)(start, length, context, budget, MaybeUninit::uninit()) }
    }

    /// The same with code that does not write to its packet.
    #[inline(always)]
    pub(crate) fn reading(&self, packet: &[u8], context: Option<&mut [u8]>, budget: u64) -> Answer {
        let (start, length) = (packet.as_ptr().cast_mut(), packet.len() as u64);
        let context = context.map_or(MaybeUninit::uninit(), |bytes| MaybeUninit::new(bytes.as_mut_ptr()));
        // SAFETY: as above, and nothing is written to the packet: `Plan` looked for operations that could.
        unsafe { (self.entry)(start, length, context, budget, MaybeUninit::uninit()) }
    }

    /// Runs the code.
    ///
    /// # Safety
    ///
    /// The bytes are a plan's. `packet` has `length` bytes that may be written, `context` as many as the plan was emitted
    /// for. Code with calls, or that settles its budget, is given an environment, whose pointers hold until this
    /// function returns; nobody else uses any of this memory meanwhile.
    #[inline]
    pub(crate) unsafe fn run(
        &self,
        packet: *mut u8,
        length: u64,
        context: *mut u8,
        budget: u64,
        env: *mut Env,
    ) -> Answer {
        // SAFETY: the caller gives what the code may touch, and the memory lives as long as `self`.
        unsafe { (self.entry)(packet, length, MaybeUninit::new(context), budget, MaybeUninit::new(env)) }
    }
}

/// Code of graphs on memory of a test's own.
#[cfg(test)]
pub(crate) mod trial {
    use super::{Answer, Direct, Env};
    use crate::plan::emit::{EmitOptions, emit};
    use crate::plan::graph::{Graph, Site};
    use crate::plan::run::World;

    /// Emits a graph without a machine and runs its code.
    pub(crate) fn trial(graph: &Graph, options: &EmitOptions, world: &mut World) -> Answer {
        assert!(!graph.machine && world.context.len() == graph.context as usize);
        let code = Direct::new(&emit(graph, options).bytes).expect("there is memory");
        let (packet, length) = (world.packet.as_mut_ptr(), world.packet.len() as u64);
        let (context, env) = (world.context.as_mut_ptr(), std::ptr::null_mut());
        // SAFETY: the bytes are the graph's, packet and context are borrowed and as long as it thinks.
        unsafe { code.run(packet, length, context, world.budget, env) }
    }

    /// What a machine answers to a call: `r0`, or the answer of the whole run.
    pub(crate) type Called = Result<u64, Answer>;

    /// What a test's machine is.
    pub(crate) struct Machine<'m> {
        pub(crate) world: &'m mut World,
        /// Memory that lies nowhere else: the guest's address of its first byte, and the bytes.
        pub(crate) far: (u64, &'m mut [u8]),
        pub(crate) call: &'m mut dyn FnMut(Site, [u64; 5], &mut World) -> Called,
        /// Where code looked for memory.
        pub(crate) located: Vec<(u32, u64)>,
    }

    impl Machine<'_> {
        /// Emits a graph with a machine and runs its code.
        pub(crate) fn run(&mut self, graph: &Graph, options: &EmitOptions) -> Answer {
            let world = &mut *self.world;
            assert!(graph.machine && world.context.len() == graph.context as usize);
            assert!(world.stack.len() >= graph.stack as usize);
            let code = Direct::new(&emit(graph, options).bytes).expect("there is memory");
            let mut env = Env {
                packet: world.packet.as_mut_ptr(),
                length: world.packet.len() as u64,
                context: world.context.as_mut_ptr(),
                stack: world.stack.as_mut_ptr(),
                budget: 0,
                cpu: 0,
                site: u32::MAX,
                call,
                locate,
                host: (&raw mut *self).cast(),
            };
            let (packet, length, context) = (env.packet, env.length, env.context);
            let budget = self.world.budget;
            // SAFETY: the bytes are the graph's, memory is borrowed and as much as it thinks, and the environment is whole.
            let answer = unsafe { code.run(packet, length, context, budget, &raw mut env) };
            self.world.budget = env.budget;
            answer
        }
    }

    extern "sysv64" fn call(env: *mut Env, a: u64, b: u64, c: u64, d: u64, e: u64) -> Answer {
        // SAFETY: code gives the environment that it was given, and waits.
        let env = unsafe { &mut *env };
        // SAFETY: `run` put it there, and waits.
        let machine = unsafe { &mut *env.host.cast::<Machine<'_>>() };
        machine.world.budget = env.budget;
        let called = (machine.call)(Site(env.site), [a, b, c, d, e], machine.world);
        env.budget = machine.world.budget;
        // A call may move what it likes.
        let moved = machine.world.packet.clone();
        machine.world.packet = moved;
        (env.packet, env.length) = (machine.world.packet.as_mut_ptr(), machine.world.packet.len() as u64);
        match called {
            Ok(value) => Answer { value, status: 0 },
            Err(answer) => answer,
        }
    }

    extern "sysv64" fn locate(env: *mut Env, address: u64) -> *mut u8 {
        // SAFETY: code gives the environment that it was given, and waits.
        let env = unsafe { &mut *env };
        // SAFETY: `run` put it there, and waits.
        let machine = unsafe { &mut *env.host.cast::<Machine<'_>>() };
        machine.located.push((env.site, address));
        let (start, far) = &mut machine.far;
        match address.checked_sub(*start).and_then(|off| far.get_mut(off as usize..)) {
            Some(bytes) if bytes.len() >= 8 => bytes.as_mut_ptr(),
            _ => std::ptr::null_mut(),
        }
    }
}
