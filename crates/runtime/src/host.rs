//! The world outside the machine: time, dice, CPUs, the log.

use std::sync::OnceLock;
use std::time::Instant;

/// What helpers ask the outside world. Every method has a safe, deterministic default.
///
/// ```
/// use sandbpf_runtime::{FrozenHost, Host};
/// struct Noon;
/// impl Host for Noon { fn now_ns(&self) -> u64 { 12 * 3600 * 1_000_000_000 } }
/// assert_eq!(FrozenHost.now_ns(), 0);
/// assert_eq!(Noon.cpu(), 0);
/// ```
pub trait Host: Send + Sync + 'static {
    /// Nanoseconds of a monotonic clock.
    fn now_ns(&self) -> u64 {
        0
    }

    /// A random number.
    fn random(&self) -> u32 {
        4
    }

    /// The processor that the program runs on.
    fn cpu(&self) -> u32 {
        0
    }

    /// A network device by its index. There is one: the loopback device, 1.
    fn device(&self, ifindex: u32) -> Option<Device> {
        (ifindex == 1).then_some(Device { mtu: 65536, header_len: 14, forwarding: false })
    }

    /// Where a packet would be forwarded to: fills the results of `struct bpf_fib_lookup` and gives a
    /// `BPF_FIB_LKUP_RET_*`; `None` if there is no route. Only asked for devices that forward.
    fn route(&self, params: &mut [u8; 64], flags: u32, checks_mtu: bool) -> Option<u8> {
        let _ = (params, flags, checks_mtu);
        None
    }

    /// A socket, as `struct bpf_sock`, by its protocol and its `struct bpf_sock_tuple`, for IPv4 or IPv6.
    fn socket(&self, protocol: u8, tuple: &[u8]) -> Option<Vec<u8>> {
        let _ = (protocol, tuple);
        None
    }
}

/// What helpers know of a network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The longest packet behind a link header, in bytes.
    pub mtu: u32,
    /// How long its link headers are, in bytes.
    pub header_len: u16,
    /// Whether packets that come through it may be forwarded.
    pub forwarding: bool,
}

/// A host in which time stands still and dice are loaded: for tests and fuzzing.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrozenHost;

impl Host for FrozenHost {}

/// The host that this process runs on: its clock, and random numbers good enough for sampling.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now_ns(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    fn random(&self) -> u32 {
        fastrand::u32(..)
    }
}
