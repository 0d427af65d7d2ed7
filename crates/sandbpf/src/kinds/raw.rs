//! Programs whose context is bytes that the embedder lays out: tracing, sockets, control groups.
//!
//! The structures are in [`abi`](crate::abi): registers of a probe (`struct pt_regs`), arguments of a raw tracepoint, a
//! control group's socket. What such a program follows into the kernel's memory, or a task's, the host describes.

use sandbpf_runtime::memory::Region;
use sandbpf_runtime::{Machine, Trap, address};

use super::skb::LwtVerdict;
use super::verdicts::{
    Ignored, LsmVerdict, NetfilterVerdict, Permission, Recorded, Returned, SkAction, StreamAnswer, Traced,
    Verdict,
};
use super::{Enter, Kind};
use crate::KindName;
use crate::image::{Image, Scratch};

/// The context of one run.
///
/// ```
/// use sandbpf::{Kprobe, Loader, Program, abi::Registers};
/// // The first argument of the probed function, on x86-64.
/// let probe: Program<Kprobe> = Loader::new().load("r0 = *(u64 *)(r1 + 112)\nexit")?;
/// let registers = Registers { di: 3, ..Registers::default() };
/// assert_eq!(probe.run(&registers.to_bytes())?.0, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum ContextInput<'i> {
    /// Bytes to read.
    Read(&'i [u8]),
    /// Bytes to read and write.
    Write(&'i mut [u8]),
}

impl<'i> From<&'i [u8]> for ContextInput<'i> {
    fn from(bytes: &'i [u8]) -> Self {
        ContextInput::Read(bytes)
    }
}

impl<'i, const N: usize> From<&'i [u8; N]> for ContextInput<'i> {
    fn from(bytes: &'i [u8; N]) -> Self {
        ContextInput::Read(bytes)
    }
}

impl<'i> From<&'i Vec<u8>> for ContextInput<'i> {
    fn from(bytes: &'i Vec<u8>) -> Self {
        ContextInput::Read(bytes)
    }
}

impl<'i> From<&'i mut [u8]> for ContextInput<'i> {
    fn from(bytes: &'i mut [u8]) -> Self {
        ContextInput::Write(bytes)
    }
}

impl<'i, const N: usize> From<&'i mut [u8; N]> for ContextInput<'i> {
    fn from(bytes: &'i mut [u8; N]) -> Self {
        ContextInput::Write(bytes)
    }
}

impl<'i> From<&'i mut Vec<u8>> for ContextInput<'i> {
    fn from(bytes: &'i mut Vec<u8>) -> Self {
        ContextInput::Write(bytes)
    }
}

fn enter(
    image: &Image,
    scratch: &mut Scratch,
    input: ContextInput<'_>,
    run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
) -> Result<u64, Trap> {
    let mut machine = image.machine(&mut scratch.stack);
    let region = match input {
        ContextInput::Read(bytes) => Region::Read(bytes),
        ContextInput::Write(bytes) => Region::Write(bytes),
    };
    // More than a region holds is not there: reaching for it traps.
    let _ = machine.memory.set_context(region);
    machine.memory.set_objects(&mut scratch.objects);
    machine.memory.set_kernel(machine.host());
    machine.registers[1] = address::CONTEXT;
    run(&mut machine)
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])* $Kind:ident: $Name:ident, $Verdict:ty; )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $Kind {}

        impl Enter for $Kind {}

        impl Kind for $Kind {
            type Input<'i> = ContextInput<'i>;
            type Verdict = $Verdict;
            const NAME: KindName = KindName::$Name;

            fn verdict(r0: u64) -> $Verdict {
                Verdict::of(r0)
            }

            fn enter(
                image: &Image,
                scratch: &mut Scratch,
                input: ContextInput<'_>,
                run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
            ) -> Result<u64, Trap> {
                enter(image, scratch, input, run)
            }
        }
    )* };
}

kinds! {
    /// Probes of functions of the kernel and of programs: `struct pt_regs`.
    Kprobe: Kprobe, Recorded;
    /// Tracepoints: the record that the kernel would write.
    Tracepoint: Tracepoint, Recorded;
    /// Performance events: `struct bpf_perf_event_data`.
    PerfEvent: PerfEvent, Recorded;
    /// Sockets that a control group creates or binds: `struct bpf_sock`.
    CgroupSock: CgroupSock, Permission;
    /// Events of TCP connections: `struct bpf_sock_ops`.
    SockOps: SockOps, Permission;
    /// Packets of a stream between sockets.
    SkSkb: SkSkb, StreamAnswer;
    /// Devices that a control group uses: `struct bpf_cgroup_dev_ctx`.
    CgroupDevice: CgroupDevice, Permission;
    /// Messages that sockets send: `struct sk_msg_md`.
    SkMsg: SkMsg, SkAction;
    /// Raw tracepoints: their arguments, eight bytes each.
    RawTracepoint: RawTracepoint, Ignored;
    /// Addresses that a control group's sockets use: `struct bpf_sock_addr`.
    CgroupSockAddr: CgroupSockAddr, Permission;
    /// Segment routing.
    LwtSeg6local: LwtSeg6local, LwtVerdict;
    /// Infrared remote controls.
    LircMode2: LircMode2, Ignored;
    /// Sockets that share a port: `struct sk_reuseport_md`.
    SkReuseport: SkReuseport, SkAction;
    /// `sysctl` reads and writes of a control group: `struct bpf_sysctl`.
    CgroupSysctl: CgroupSysctl, Permission;
    /// Raw tracepoints whose arguments can be changed.
    RawTracepointWritable: RawTracepointWritable, Ignored;
    /// Socket options of a control group: `struct bpf_sockopt`.
    CgroupSockopt: CgroupSockopt, Permission;
    /// Entry and exit of functions, typed tracepoints, iterators: arguments, eight bytes each.
    Tracing: Tracing, Traced;
    /// Operations that the kernel calls: arguments, eight bytes each.
    StructOps: StructOps, Returned;
    /// Replacements of a program's functions: arguments, eight bytes each.
    Extension: Ext, Returned;
    /// Security hooks: arguments, eight bytes each.
    Lsm: Lsm, LsmVerdict;
    /// Lookups of sockets: `struct bpf_sk_lookup`.
    SkLookup: SkLookup, SkAction;
    /// Programs that user space calls: whatever it gives them.
    Syscall: Syscall, Returned;
    /// Netfilter hooks: `struct bpf_nf_ctx`.
    Netfilter: Netfilter, NetfilterVerdict;
}
