//! States: what is known of registers and stack when an instruction is reached.

pub(crate) mod cost;
pub mod reg;
pub mod shared;
pub mod stack;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread::LocalKey;

use sandbpf_isa::Pc;

pub use reg::{
    ADD_CONST, ADD_CONST32, ADD_CONST64, AT_PKT_END, BEYOND_PKT_END, Dynptr, Flags, IterState, Kind, Reg,
};
pub(crate) use stack::bits;
pub use stack::{Byte, Slot, Stack, slot_of};

use cost::Charge;
pub use shared::Shared;
use shared::{Pool, Reuse};

/// A frame of the call stack.
#[derive(Debug)]
pub struct Frame {
    /// `r0` … `r10`.
    pub regs: [Reg; 11],
    /// The stack as far down as it was touched; slot 0 ends at `r10`.
    pub stack: Stack,
    /// The call that made it; none of the first.
    pub callsite: Option<Pc>,
    /// The function, by index.
    pub function: u32,
    /// What a callback must return.
    pub returns: Option<(i64, i64)>,
    /// Whether it was called by a helper.
    pub in_callback: bool,
    /// Whether it runs later, on its own.
    pub in_async: bool,
    /// Whether it runs when something was thrown.
    pub in_exception: bool,
    /// How often its callback was called.
    pub callback_depth: u32,
    /// Which entry into a callback that runs later this is.
    pub async_entry: u32,
    /// What is collected of its function's use of the stack, once that was looked up.
    pub(crate) life: Cell<Option<u32>>,
    charge: Charge,
}

thread_local! {
    static FRAMES: Pool<Frame> = const { RefCell::new(Vec::new()) };
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        let charge = Charge::new(size_of::<Frame>());
        Frame { stack: self.stack.clone(), life: self.life.clone(), charge, ..*self }
    }

    fn clone_from(&mut self, source: &Frame) {
        self.regs = source.regs;
        self.stack.clone_from(&source.stack);
        self.callsite = source.callsite;
        self.function = source.function;
        self.returns = source.returns;
        self.in_callback = source.in_callback;
        self.in_async = source.in_async;
        self.in_exception = source.in_exception;
        self.callback_depth = source.callback_depth;
        self.async_entry = source.async_entry;
        self.life.set(source.life.get());
        self.charge.set(size_of::<Frame>());
    }
}

impl Reuse for Frame {
    fn pool() -> &'static LocalKey<Pool<Frame>> {
        &FRAMES
    }

    fn empty(&mut self) {
        self.stack.clear();
        self.charge.set(0);
    }
}

/// Gives back the memory that waits to be used again, when it is dropped: after all states.
pub(crate) struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        shared::release::<Frame>();
        stack::release();
    }
}

impl Frame {
    /// A fresh frame.
    pub fn new(callsite: Option<Pc>, function: u32, number: usize) -> Frame {
        let mut regs = [Reg::UNINIT; 11];
        regs[10] = Reg { frame: number as u8, ..Reg::pointer(Kind::Stack, Flags::NONE) };
        Frame {
            regs,
            stack: Stack::default(),
            callsite,
            function,
            returns: None,
            in_callback: false,
            in_async: false,
            in_exception: false,
            callback_depth: 0,
            async_entry: 0,
            life: Cell::new(None),
            charge: Charge::new(size_of::<Frame>()),
        }
    }

    /// Makes the stack reach down to this offset.
    pub fn grow(&mut self, off: i32) {
        self.stack.grow(slot_of(off) + 1);
    }
}

/// Something that must be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref {
    /// What it is.
    pub kind: RefKind,
    /// Its id.
    pub id: u32,
    /// The instruction that acquired it.
    pub pc: Pc,
    /// Of locks, in what.
    pub owner: u64,
}

/// What must be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    /// An object behind a pointer.
    Pointer,
    /// Saved interrupt flags.
    Irq,
    /// A `bpf_spin_lock`.
    Lock,
    /// A `bpf_res_spin_lock`.
    ResLock,
    /// One that saved interrupt flags.
    ResLockIrq,
}

impl RefKind {
    pub(crate) fn is_lock(self) -> bool {
        matches!(self, RefKind::Lock | RefKind::ResLock | RefKind::ResLockIrq)
    }
}

/// What must be given back. Copies share it until one of them changes.
#[derive(Clone, Debug)]
pub struct Refs(Option<Rc<Held>>);

#[derive(Clone, Debug)]
struct Held {
    list: Vec<Ref>,
    charge: Charge,
}

impl Refs {
    /// Nothing.
    pub fn none() -> Refs {
        Refs(None)
    }

    /// Changes the list.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut Vec<Ref>) -> T) -> T {
        cost::work(self.len());
        let none = || Rc::new(Held { list: Vec::new(), charge: Charge::new(0) });
        let held = Rc::make_mut(self.0.get_or_insert_with(none));
        let changed = change(&mut held.list);
        held.charge.set(held.list.len() * size_of::<Ref>());
        changed
    }
}

impl std::ops::Deref for Refs {
    type Target = [Ref];

    fn deref(&self) -> &[Ref] {
        self.0.as_ref().map_or(&[], |held| &held.list)
    }
}

/// An entry of the history of a path: how an instruction was reached, and what of the stack it touched.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The instruction.
    pub pc: Pc,
    /// The one before.
    pub prev: Pc,
    /// What it did.
    pub touched: Touched,
    /// The registers that learnt something together, packed; 0 if none.
    pub linked: u64,
}

/// What an instruction did that backtracking must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// A spill or fill of this frame's slot.
    pub slot: Option<(u8, u8)>,
    /// The left register of a branch was a stack pointer.
    pub dst_stack: bool,
    /// The right one was.
    pub src_stack: bool,
}

/// A state that is kept, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId(pub u32);

/// What is known when an instruction is reached.
#[derive(Clone, Debug)]
pub struct State {
    /// The call stack, the outermost first.
    pub frames: Vec<Shared<Frame>>,
    /// What must be given back.
    pub refs: Refs,
    /// Locks held.
    pub locks: u32,
    /// `bpf_preempt_disable`s not undone.
    pub preempt: u32,
    /// `bpf_rcu_read_lock`s not undone.
    pub rcu: u32,
    /// The interrupt flags saved last.
    pub irq_id: u32,
    /// The lock taken last.
    pub lock_id: u32,
    /// In what it is.
    pub lock_owner: u64,
    /// Whether only a processor that guesses gets here.
    pub speculative: bool,
    /// Whether it may sleep here.
    pub in_sleepable: bool,
    /// How often `may_goto` fell through.
    pub may_goto_depth: u32,
    /// How often callbacks were called.
    pub callback_unroll: u32,
    /// How it came from the state that was kept before.
    pub history: Vec<Step>,
    /// The state that was kept before.
    pub parent: Option<StateId>,
    /// Paths from here that are not yet explored.
    pub branches: u32,
    /// How many states were kept on the path to it.
    pub dfs: u32,
    /// Its instruction.
    pub pc: Pc,
    /// The instruction where its history starts.
    pub first: Pc,
    /// The instruction before it; none at the entry.
    pub last: Option<Pc>,
    pub(crate) charge: Charge,
}

impl State {
    /// The frame that runs.
    #[inline]
    pub fn current(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    /// The same, to change it.
    #[inline]
    pub fn current_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        self.frames[last].make_mut()
    }

    /// A frame, to change it.
    #[inline]
    pub fn frame_mut(&mut self, number: usize) -> &mut Frame {
        self.frames[number].make_mut()
    }

    /// The index of the frame that runs.
    #[inline]
    pub fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// Where a frame stands: the innermost at the state's instruction, the others at their calls.
    pub fn frame_pc(&self, number: usize) -> Pc {
        match self.frames.get(number + 1) {
            Some(inner) => inner.callsite.unwrap_or(self.pc),
            None => self.pc,
        }
    }

    /// Whether both came by the same calls.
    pub fn same_callsites(&self, other: &State) -> bool {
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(a, b)| a.callsite == b.callsite)
    }

    /// Every register, and every register that was spilled.
    pub fn all_regs(&self) -> impl Iterator<Item = &Reg> {
        self.frames.iter().flat_map(|frame| {
            let spilled = frame.stack.present().filter(|(_, slot)| slot.is_spill());
            frame.regs.iter().chain(spilled.map(|(_, slot)| &slot.reg))
        })
    }

    /// Changes every register, and every register that was spilled, that is such. What does not change stays shared.
    pub fn each_reg(&mut self, is_such: impl Fn(&Reg) -> bool, mut change: impl FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            cost::work(frame.regs.len() + frame.stack.len());
            if !frame.regs.iter().any(&is_such) && !frame.stack.has_spill(&is_such) {
                continue;
            }
            let frame = frame.make_mut();
            frame.regs.iter_mut().filter(|reg| is_such(reg)).for_each(&mut change);
            frame.stack.each_spill(&is_such, &mut change);
        }
    }

    /// No number is precise any more.
    pub(crate) fn forget_precise(&mut self) {
        let is_precise = |reg: &Reg| reg.precise && reg.is_scalar();
        for frame in &mut self.frames {
            cost::work(frame.regs.len());
            if !frame.regs.iter().any(is_precise) && frame.stack.precise() == 0 {
                continue;
            }
            let frame = frame.make_mut();
            frame.regs.iter_mut().filter(|reg| is_precise(reg)).for_each(|reg| reg.precise = false);
            frame.stack.forget_precise();
        }
    }

    /// Says how much memory it holds itself, before it is put aside.
    pub(crate) fn weigh(&mut self) {
        self.charge.set(size_of::<State>() + self.history.len() * size_of::<Step>());
    }

    /// The reference with this id.
    pub fn find_ref(&self, id: u32) -> Option<&Ref> {
        self.refs.iter().find(|held| held.kind == RefKind::Pointer && held.id == id)
    }
}
