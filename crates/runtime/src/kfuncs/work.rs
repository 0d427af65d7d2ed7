//! Work queues in values of maps, and functions that a task calls when it is interrupted: both run later.

use super::kfuncs;
use crate::helpers::errno::{EINVAL, fail};
use crate::later::Kind;

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_wq_init(machine, queue, _map, flags) {
        if flags as u32 != 0 {
            return fail(EINVAL);
        }
        machine.later_init(queue)
    }

    fn bpf_wq_set_callback_impl(machine, queue, function, flags) {
        if flags as u32 != 0 {
            return fail(EINVAL);
        }
        machine.later_set_callback(queue, function)
    }

    fn bpf_wq_start(machine, queue, flags) {
        if flags as u32 != 0 {
            return fail(EINVAL);
        }
        machine.later_start(queue, Kind::Work, 0)
    }

    fn bpf_task_work_schedule_signal_impl(machine, _task, work, _map, function) {
        machine.later_once(work, function)
    }

    fn bpf_task_work_schedule_resume_impl(machine, _task, work, _map, function) {
        machine.later_once(work, function)
    }
}
