//! What runs later: timers, work queues, and functions that wait for a task.
//!
//! A timer is 16 bytes of a map's value: its callback with a bit that says that there is a timer, and the ticket of the
//! queue's entry that will call it, 0 if none will. A value that is deleted or written anew has another ticket or none,
//! so its timer does not fire, as Linux has it. The queue belongs to the [`World`](crate::World), and nothing in it
//! runs by itself: the embedder says how time goes by.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::helpers::errno::{EBUSY, EDEADLK, EINVAL, ENOMEM, fail};
use crate::{Execute, Fault, HelperResult, Machine};

/// The bit that says that there is a timer.
const READY: u64 = 1 << 63;
/// Where the ticket is.
const TICKET: u64 = 8;
/// How many entries the queue takes.
const MAX_ENTRIES: usize = 1 << 20;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A timer (`bpf_timer_start`).
    Timer,
    /// Work for a queue (`bpf_wq_start`).
    Work,
    /// A function that a task calls when it is interrupted, or goes back to its program.
    TaskWork,
}

/// Which program a callback belongs to. Programs with the same code are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeId(usize);

impl CodeId {
    /// That of this code.
    pub fn of(code: &dyn Execute) -> CodeId {
        CodeId(std::ptr::from_ref(code).cast::<()>() as usize)
    }
}

/// A callback that is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What waits.
    pub kind: Kind,
    /// When it is due, in nanoseconds of the clock.
    pub due: u64,
    /// The address of the timer, in a map's value.
    pub timer: u64,
    /// The address of the function.
    pub function: u64,
    /// The program that it belongs to.
    pub code: CodeId,
    ticket: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Later {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By time, then by ticket: who was started first runs first.
    queue: BTreeMap<(u64, u64), Waiting>,
    by_timer: HashMap<u64, (u64, u64)>,
    tickets: u64,
}

impl Later {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a callback into the queue in place of the timer's last one; its ticket, or none if there is no room.
    fn start(&self, kind: Kind, due: u64, timer: u64, function: u64, code: CodeId) -> Option<u64> {
        let mut inner = self.inner();
        if let Some(place) = inner.by_timer.remove(&timer) {
            inner.queue.remove(&place);
        }
        if inner.queue.len() >= MAX_ENTRIES {
            return None;
        }
        inner.tickets += 1;
        let ticket = inner.tickets;
        inner.queue.insert((due, ticket), Waiting { kind, due, timer, function, code, ticket });
        inner.by_timer.insert(timer, (due, ticket));
        Some(ticket)
    }

    /// Takes a timer's callback out of the queue; whether there was one.
    fn cancel(&self, timer: u64) -> bool {
        let mut inner = self.inner();
        let place = inner.by_timer.remove(&timer);
        place.and_then(|place| inner.queue.remove(&place)).is_some()
    }

    fn waits(&self, timer: u64) -> bool {
        self.inner().by_timer.contains_key(&timer)
    }

    /// When the next callback is due.
    pub fn next_due(&self) -> Option<u64> {
        self.inner().queue.keys().next().map(|&(due, _)| due)
    }

    /// Takes the callback out that is due first, if it is by now.
    pub fn take_due(&self, now: u64) -> Option<Waiting> {
        let mut inner = self.inner();
        let (&place, &waiting) = inner.queue.iter().next()?;
        if waiting.due > now {
            return None;
        }
        inner.queue.remove(&place);
        inner.by_timer.remove(&waiting.timer);
        Some(waiting)
    }
}

impl Machine<'_> {
    fn later_word(&self, timer: u64) -> Result<u64, Fault> {
        self.memory.read::<8>(timer)
    }

    fn set_ticket(&mut self, timer: u64, ticket: u64) -> Result<(), Fault> {
        self.memory.write::<8>(timer.wrapping_add(TICKET), ticket)
    }

    /// Makes a timer, or a work queue.
    pub(crate) fn later_init(&mut self, timer: u64) -> HelperResult {
        if self.later_word(timer)? & READY != 0 {
            return fail(EBUSY);
        }
        self.set_ticket(timer, 0)?;
        self.memory.write::<8>(timer, READY)?;
        Ok(0)
    }

    /// Says what it calls.
    pub(crate) fn later_set_callback(&mut self, timer: u64, function: u64) -> HelperResult {
        if self.later_word(timer)? & READY == 0 {
            return fail(EINVAL);
        }
        self.memory.write::<8>(timer, READY | function)?;
        Ok(0)
    }

    /// Starts it.
    pub(crate) fn later_start(&mut self, timer: u64, kind: Kind, due: u64) -> HelperResult {
        let word = self.later_word(timer)?;
        let (Some(world), Some(code)) = (self.world(), self.code()) else { return fail(EINVAL) };
        if word & READY == 0 || word == READY {
            return fail(EINVAL);
        }
        let due = if kind == Kind::Timer { due } else { self.now_ns() };
        match world.later().start(kind, due, timer, word & !READY, CodeId::of(code)) {
            Some(ticket) => {
                self.set_ticket(timer, ticket)?;
                Ok(0)
            }
            None => fail(ENOMEM),
        }
    }

    /// Stops it and forgets what it calls: 1 if it ran.
    pub(crate) fn later_cancel(&mut self, timer: u64) -> HelperResult {
        if self.later_word(timer)? & READY == 0 {
            return fail(EINVAL);
        }
        // It would wait for its own end.
        if self.aside().is_some_and(|aside| aside.firing == Some(timer)) {
            return fail(EDEADLK);
        }
        let ticket = self.memory.read::<8>(timer.wrapping_add(TICKET))?;
        self.memory.write::<8>(timer, READY)?;
        self.set_ticket(timer, 0)?;
        let ran = self.world().is_some_and(|world| world.later().cancel(timer));
        Ok((ran && ticket != 0).into())
    }

    /// Has a function called once, when a task is interrupted.
    pub(crate) fn later_once(&mut self, work: u64, function: u64) -> HelperResult {
        // The place must be there, and is only told apart by its address.
        self.later_word(work)?;
        let (Some(world), Some(code)) = (self.world(), self.code()) else { return fail(EINVAL) };
        if world.later().waits(work) {
            return fail(EBUSY);
        }
        let due = self.now_ns();
        match world.later().start(Kind::TaskWork, due, work, function, CodeId::of(code)) {
            Some(_) => Ok(0),
            None => fail(ENOMEM),
        }
    }

    /// Whether the value that a callback waits in is still the one that it was started in; if so, the timer is its own
    /// from now on, and can be started again.
    pub fn begin_later(&mut self, waiting: &Waiting) -> bool {
        if waiting.kind == Kind::TaskWork {
            return self.later_word(waiting.timer).is_ok();
        }
        let ticket = self.memory.read::<8>(waiting.timer.wrapping_add(TICKET));
        let is_same = ticket == Ok(waiting.ticket);
        if is_same {
            if waiting.kind == Kind::Timer {
                self.aside_mut().firing = Some(waiting.timer);
            }
            let _ = self.set_ticket(waiting.timer, 0);
        }
        is_same
    }
}
