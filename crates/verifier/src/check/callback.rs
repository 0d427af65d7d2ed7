//! Callbacks: functions of the program that a helper calls, now or later (`push_callback_call`).

use sandbpf_abi::{CallbackArg, CallbackSpec, HelperSpec, Returns, callback, helpers};
use sandbpf_isa::{Pc, Reg as R};

use super::arguments::Arguments;
use crate::environment::{TypeRef, map_type as m};
use crate::error::{Check, Errno, refuse};
use crate::explore::{Verifier, entry_state};
use crate::state::{Dynptr, Flags, Frame, Kind, Reg, Shared, State};

impl Verifier<'_> {
    /// Explores the callback of a helper, if it has one.
    pub(super) fn call_back(&mut self, helper: &HelperSpec, found: &Arguments) -> Check<bool> {
        let (Some(spec), Some(function)) = (callback(helper), found.function) else { return Ok(false) };
        if helper.id == helpers::LOOP.id {
            // The number of rounds decides whether there is another.
            if self.reg(R::R4).is_zero() {
                self.needs_precise(R::R4)?;
            }
            self.needs_precise(R::R1)?;
            let rounds = self.reg(R::R1).num.umax;
            if u64::from(self.cur.current().callback_depth) >= rounds {
                self.cur.current_mut().callback_depth = 0;
                return Ok(false);
            }
        }
        if helper.id == helpers::FOR_EACH_MAP_ELEM.id {
            self.check_iterable(found)?;
        }
        self.known.is_callback[function as usize] = true;
        self.check_callback_signature(function)?;
        match spec.later {
            true => self.later(&spec, function, found)?,
            false => self.now(&spec, function, found)?,
        }
        Ok(true)
    }

    fn check_iterable(&self, found: &Arguments) -> Check {
        let Some(map) = found.map else { return Ok(()) };
        let iterable = [m::HASH, m::ARRAY, m::PERCPU_HASH, m::PERCPU_ARRAY, m::LRU_HASH, m::LRU_PERCPU_HASH];
        if !iterable.contains(&self.env.maps[usize::from(map)].map_type) {
            refuse!(NotSupp, "callback function not allowed for map");
        }
        Ok(())
    }

    /// It is called before the helper returns: the callback is explored, and comes back to the call.
    fn now(&mut self, spec: &CallbackSpec, function: u32, found: &Arguments) -> Check {
        let entry = self.program.functions()[function as usize].entry;
        let frames = self.cur.frames.len();
        if frames >= self.env.limits.frames {
            refuse!(TooBig, "the call stack of {} frames is too deep", frames + 1);
        }
        self.log.all_changed();
        let mut callee = Frame::new(Some(self.pc), function, frames);
        let caller = self.cur.current().regs;
        self.fill(spec, &mut callee, &caller, found);
        callee.in_callback = true;
        let mut state = self.cur.clone();
        state.callback_unroll += 1;
        state.current_mut().callback_depth += 1;
        state.frames.push(Shared::new(callee));
        self.push_state_or(Errno::NoMem, state, entry, self.pc)?;
        self.cur.current_mut().callback_depth = 0;
        Ok(())
    }

    /// It is called when the program has gone on: explored by itself.
    fn later(&mut self, spec: &CallbackSpec, function: u32, found: &Arguments) -> Check {
        self.known.runs_later[function as usize] = true;
        let entry = self.program.functions()[function as usize].entry;
        let mut state: State = entry_state(entry, function);
        let caller = self.cur.current();
        let (regs, entries) = (caller.regs, caller.async_entry);
        let frame = state.frame_mut(0);
        frame.in_async = true;
        frame.async_entry = entries + 1;
        let mut callee = frame.clone();
        self.fill(spec, &mut callee, &regs, found);
        state.frames[0] = Shared::new(callee);
        state.parent = self.cur.parent;
        state.dfs = self.cur.dfs;
        state.first = self.cur.first;
        state.history = Vec::new();
        state.in_sleepable = false;
        // A path of its own, which is not part of the one that set it up.
        state.parent = None;
        state.first = entry;
        self.push_state(state, entry, self.pc)?;
        Ok(())
    }

    /// What is in the callback's registers when it starts.
    fn fill(&self, spec: &CallbackSpec, callee: &mut Frame, caller: &[Reg; 11], found: &Arguments) {
        let map = found.map.unwrap_or(0);
        let of_map = |kind: Kind| Reg { range: found.map_uid, ..Reg::pointer(kind, Flags::NONE) };
        for (at, arg) in spec.args.iter().enumerate() {
            callee.regs[at + 1] = match *arg {
                CallbackArg::Number => self.unknown(),
                CallbackArg::Map => of_map(Kind::Map(map)),
                CallbackArg::MapKey => of_map(Kind::MapKey(map)),
                CallbackArg::MapValue => of_map(Kind::MapValue(map)),
                CallbackArg::Argument(index) => caller[index + 1],
                CallbackArg::Btf(name) => {
                    let target = self.env.types.and_then(|types| types.kernel_struct(name));
                    Reg::pointer(Kind::Btf(target.unwrap_or(TypeRef::kernel(0))), Flags::NONE)
                }
                CallbackArg::Dynptr => {
                    let of = Dynptr::Local;
                    Reg {
                        id: self.next_id + 1,
                        ..Reg::pointer(Kind::Dynptr { of, first: true }, Flags::NONE)
                    }
                }
                _ => Reg::UNINIT,
            };
        }
        callee.returns = match spec.returns {
            Returns::Range(low, high) => Some((low, high)),
            _ => None,
        };
    }

    pub(super) fn entry_of(&self, function: u32) -> Pc {
        self.program.functions()[function as usize].entry
    }
}
