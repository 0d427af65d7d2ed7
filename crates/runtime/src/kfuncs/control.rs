//! Locks, critical sections, casts, and the way out of a program.
//!
//! A run is alone on its processor and holds nothing that anybody waits for, so sections begin and end without more
//! ado. Locks that report a deadlock do so.

use std::sync::atomic::{AtomicU32, Ordering};

use super::kfuncs;
use crate::helpers::errno::{EDEADLK, EINVAL, ENOENT, ETIMEDOUT, fail};
use crate::helpers::format;
use crate::net::PacketKind;
use crate::{HelperResult, Machine, Stop, address};
use sandbpf_isa::{AtomicOp, Size};
use sandbpf_maps::MapType;

/// How often a run looks at a lock that another one holds before it gives up.
const LOOKS: u32 = 1 << 20;

/// What a lock holds while a run of this thread holds it. Runs of one thread would wait for each other for ever.
fn holder() -> u64 {
    static THREADS: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static OWN: u32 = THREADS.fetch_add(1, Ordering::Relaxed).max(1);
    }
    OWN.with(|&own| own.into())
}

fn lock(machine: &mut Machine<'_>, lock: u64) -> HelperResult {
    let own = holder();
    for _ in 0..LOOKS {
        match machine.memory.atomic(AtomicOp::Cmpxchg, Size::W, lock, own, 0)? {
            0 => return Ok(0),
            held if held == own => return fail(EDEADLK),
            _ => {}
        }
        machine.spend(1)?;
        std::hint::spin_loop();
    }
    fail(ETIMEDOUT)
}

fn unlock(machine: &mut Machine<'_>, lock: u64) -> HelperResult {
    machine.memory.write::<4>(lock, 0)?;
    Ok(0)
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_rcu_read_lock(_machine) {
        Ok(0)
    }

    fn bpf_rcu_read_unlock(_machine) {
        Ok(0)
    }

    fn bpf_preempt_disable(_machine) {
        Ok(0)
    }

    fn bpf_preempt_enable(_machine) {
        Ok(0)
    }

    fn bpf_local_irq_save(machine, flags) {
        // Interrupts are on (`X86_EFLAGS_IF`).
        machine.memory.write::<8>(flags, 1 << 9)?;
        Ok(0)
    }

    fn bpf_local_irq_restore(machine, flags) {
        machine.memory.read::<8>(flags)?;
        Ok(0)
    }

    fn bpf_res_spin_lock(machine, place) {
        lock(machine, place)
    }

    fn bpf_res_spin_unlock(machine, place) {
        unlock(machine, place)
    }

    fn bpf_res_spin_lock_irqsave(machine, place, flags) {
        let result = lock(machine, place)?;
        if result == 0 {
            machine.memory.write::<8>(flags, 1 << 9)?;
        }
        Ok(result)
    }

    fn bpf_res_spin_unlock_irqrestore(machine, place, _flags) {
        unlock(machine, place)
    }

    fn bpf_throw(_machine, cookie) {
        Err(Stop::Thrown(cookie))
    }

    fn bpf_cast_to_kern_ctx(machine, context) {
        // The kernel's own structures are what the host describes; where a program is given them as they are, nothing
        // changes.
        Ok(match machine.packet_kind() {
            PacketKind::Plain => context,
            PacketKind::Xdp | PacketKind::Skb | PacketKind::Flow => {
                machine.see_kernel();
                address::KERNEL_CONTEXT
            }
        })
    }

    fn bpf_rdonly_cast(machine, pointer) {
        machine.see_kernel();
        Ok(pointer)
    }

    fn bpf_map_sum_elem_count(machine, pointer) {
        let (_, map) = machine.map(pointer)?;
        match map.map_type() {
            MapType::Hash | MapType::LruHash | MapType::PercpuHash | MapType::LruPercpuHash => {
                Ok(map.elements(0).count() as u64)
            }
            // Nobody counts.
            _ => Ok(0),
        }
    }

    fn bpf_stream_vprintk_impl(machine, stream, text, args, len) {
        /// Where program output and program errors go.
        const STREAMS: [u32; 2] = [1, 2];
        if !STREAMS.contains(&(stream as u32)) {
            return fail(ENOENT);
        }
        let len = u64::from(len as u32);
        if !len.is_multiple_of(8) || len > 12 * 8 || (len != 0 && args == 0) {
            return fail(EINVAL);
        }
        let Some(text) = machine.read_string(text, 512) else { return fail(EINVAL) };
        let args: Vec<u64> = (0..len / 8)
            .map(|at| machine.memory.read::<8>(args.wrapping_add(8 * at)))
            .collect::<Result<_, _>>()?;
        match format::format(machine, &text, &args) {
            Ok(line) => {
                machine.host().trace(&String::from_utf8_lossy(&line));
                Ok(0)
            }
            Err(errno) => fail(errno),
        }
    }
}

impl Machine<'_> {
    /// Lets the program follow pointers of the kernel from now on.
    fn see_kernel(&mut self) {
        let host = self.host();
        self.memory.set_kernel(host);
    }
}
