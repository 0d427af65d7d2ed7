//! What tracing sees: registers, samples, the arguments of tracepoints and hooks.

use crate::Value;
use crate::context::{View, context};

context! {
    /// The registers of x86-64 as a probe finds them (`struct pt_regs`).
    pub struct Registers, "pt_regs", 168 bytes {
        /// `r15`.
        r15: u64 = R15 @ 0 [load ANY],
        /// `r14`.
        r14: u64 = R14 @ 8 [load ANY],
        /// `r13`.
        r13: u64 = R13 @ 16 [load ANY],
        /// `r12`.
        r12: u64 = R12 @ 24 [load ANY],
        /// `rbp`, the frame.
        bp: u64 = BP @ 32 [load ANY],
        /// `rbx`.
        bx: u64 = BX @ 40 [load ANY],
        /// `r11`.
        r11: u64 = R11 @ 48 [load ANY],
        /// `r10`.
        r10: u64 = R10 @ 56 [load ANY],
        /// `r9`, the sixth argument.
        r9: u64 = R9 @ 64 [load ANY],
        /// `r8`, the fifth argument.
        r8: u64 = R8 @ 72 [load ANY],
        /// `rax`, the result.
        ax: u64 = AX @ 80 [load ANY],
        /// `rcx`, the fourth argument.
        cx: u64 = CX @ 88 [load ANY],
        /// `rdx`, the third argument.
        dx: u64 = DX @ 96 [load ANY],
        /// `rsi`, the second argument.
        si: u64 = SI @ 104 [load ANY],
        /// `rdi`, the first argument.
        di: u64 = DI @ 112 [load ANY],
        /// The number of the system call, if there is one.
        orig_ax: u64 = ORIG_AX @ 120 [load ANY],
        /// `rip`, where it runs.
        ip: u64 = IP @ 128 [load ANY],
        /// The code segment.
        cs: u64 = CS @ 136 [load ANY],
        /// The flags.
        flags: u64 = FLAGS @ 144 [load ANY],
        /// `rsp`, the stack.
        sp: u64 = SP @ 152 [load ANY],
        /// The stack segment.
        ss: u64 = SS @ 160 [load ANY],
    }
}

context! {
    /// A sample of an event (`struct bpf_perf_event_data` of `linux/bpf_perf_event.h`).
    pub struct PerfEventData, "bpf_perf_event_data", 184 bytes {
        /// The registers, in the order of [`Registers`].
        regs: [u64; 21] = REGS @ 0,
        /// How many events there are to a sample.
        sample_period: u64 = SAMPLE_PERIOD @ 168 [load ANY],
        /// The address that the event is about.
        addr: u64 = ADDR @ 176 [load ANY],
    }
}

context! {
    /// The arguments of a tracepoint (`struct bpf_raw_tracepoint_args` of `linux/bpf.h`).
    pub struct RawTracepoint, "bpf_raw_tracepoint_args", 96 bytes {
        /// The arguments; how many there are, the tracepoint says.
        args: [u64; 12] = ARGS @ 0 [load ANY],
    }
}

context! {
    /// The arguments of a tracepoint whose first one is a buffer to write into.
    pub struct RawTracepointWritable, "bpf_raw_tracepoint_args", 96 bytes {
        /// The buffer.
        buffer: u64 = BUFFER @ 0 [load WholeOrBehind gives Value::TracepointBuffer],
        /// The other arguments.
        args: [u64; 11] = ARGS @ 8 [load ANY],
    }
}

context! {
    /// What a netfilter hook is called with (`struct bpf_nf_ctx`).
    pub struct Netfilter, "bpf_nf_ctx", 16 bytes {
        /// Which hook, which devices.
        state: u64 = STATE @ 0 [gives Value::TrustedBtf("nf_hook_state")],
        /// The packet.
        skb: u64 = SKB @ 8 [gives Value::TrustedBtf("sk_buff")],
    }
}

context! {
    /// A pulse or a space of a remote control.
    pub struct LircSample, "__u32", 4 bytes {
        /// Its kind and its length in microseconds.
        sample: u32 = SAMPLE @ 0,
    }
}

/// The registers at a probe.
pub(crate) const PROBE: View = View::readable(Registers::LAYOUT);
/// A sample.
pub(crate) const PERF_EVENT: View = View::readable(PerfEventData::LAYOUT);
/// Raw arguments.
pub(crate) const RAW: View = View::readable(RawTracepoint::LAYOUT);
/// Raw arguments with a buffer.
pub(crate) const RAW_WRITABLE: View = View::readable(RawTracepointWritable::LAYOUT);
/// A hook of netfilter.
pub(crate) const NETFILTER: View = View::readable(Netfilter::LAYOUT);
/// A remote control.
pub(crate) const LIRC: View = View::readable(LircSample::LAYOUT);
