//! Callbacks: functions of the program that a helper calls, and what they are called with.

use crate::{HelperSpec, Returns, helpers};

/// What a callback is called with and may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackSpec {
    /// What is in `r1` and on; the other registers are unreadable.
    pub args: &'static [CallbackArg],
    /// What it may return.
    pub returns: Returns,
    /// Whether it runs later, when the helper's caller has gone on: then it runs once and with nothing of
    /// the caller's.
    pub later: bool,
}

/// What is in a register when a callback starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackArg {
    /// A number that nothing is known of.
    Number,
    /// The map that the helper was given, or that holds the timer.
    Map,
    /// A key of that map, to be read.
    MapKey,
    /// The value that belongs to it.
    MapValue,
    /// What the helper got in its argument with this index, counted from 0.
    Argument(usize),
    /// An object of the kernel of this type.
    Btf(&'static str),
    /// A dynamic pointer to a record, to be read.
    Dynptr,
}

use CallbackArg::*;

/// Zero goes on, one stops.
const STOP: Returns = Returns::Range(0, 1);

/// The callback that a helper calls, if it does (the `set_*_callback_state` functions of Linux).
///
/// ```
/// use sandbpf_abi::{CallbackArg, Returns, callback, helpers};
/// let body = callback(helpers::LOOP).unwrap();
/// assert_eq!(body.args, [CallbackArg::Number, CallbackArg::Argument(2)]);
/// assert_eq!(body.returns, Returns::Range(0, 1));
/// assert!(callback(helpers::TIMER_SET_CALLBACK).unwrap().later);
/// assert_eq!(callback(helpers::KTIME_GET_NS), None);
/// ```
pub fn callback(helper: &HelperSpec) -> Option<CallbackSpec> {
    let (args, later): (&'static [CallbackArg], bool) = match helper.id {
        id if id == helpers::FOR_EACH_MAP_ELEM.id => (&[Map, MapKey, MapValue, Argument(2)], false),
        id if id == helpers::TIMER_SET_CALLBACK.id => (&[Map, MapKey, MapValue], true),
        id if id == helpers::FIND_VMA.id => (&[Argument(0), Btf("vm_area_struct"), Argument(3)], false),
        id if id == helpers::LOOP.id => (&[Number, Argument(2)], false),
        id if id == helpers::USER_RINGBUF_DRAIN.id => (&[Dynptr, Argument(2)], false),
        _ => return None,
    };
    let returns = if later { crate::ASYNC_CALLBACK } else { STOP };
    Some(CallbackSpec { args, returns, later })
}
