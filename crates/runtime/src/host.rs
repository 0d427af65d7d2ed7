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

    /// A line that a program prints to the trace log. It is lost unless somebody listens.
    fn trace(&self, line: &str) {
        let _ = line;
    }

    /// The task that runs.
    fn task(&self) -> Task {
        Task::default()
    }

    /// Copies memory that is not the program's: the kernel's, or the running task's; `false` if it is not all there.
    fn read(&self, space: Space, address: u64, to: &mut [u8]) -> bool {
        let _ = (space, address, to);
        false
    }

    /// The number that came with attaching the program.
    fn attach_cookie(&self) -> u64 {
        0
    }

    /// The address of the function that the program traces.
    fn function(&self) -> u64 {
        0
    }

    /// How many arguments the function has that the program traces.
    fn function_args(&self) -> u8 {
        0
    }

    /// What a program does to the world outside. Nothing happens unless somebody makes it happen.
    fn act(&self, act: Act) {
        let _ = act;
    }

    /// The value of a socket option, by its level and name.
    fn socket_option(&self, level: i32, name: i32) -> Option<Vec<u8>> {
        let _ = (level, name);
        None
    }

    /// Sets a socket option; `false` if there is none.
    fn set_socket_option(&self, level: i32, name: i32, value: &[u8]) -> bool {
        let _ = (level, name, value);
        false
    }

    /// The `sysctl` that is read or written.
    fn sysctl(&self) -> Option<Sysctl> {
        None
    }

    /// The return addresses on the kernel's stack, or on the task's, innermost first.
    fn stack(&self, space: Space) -> Vec<u64> {
        let _ = space;
        Vec::new()
    }

    /// The address of a symbol of the kernel.
    fn symbol(&self, name: &str) -> Option<u64> {
        let _ = name;
        None
    }

    /// The name of the file whose `struct path` is at this address.
    fn path(&self, address: u64) -> Option<String> {
        let _ = address;
        None
    }

    /// A network device by its index. There is one: the loopback device, 1.
    fn device(&self, ifindex: u32) -> Option<Device> {
        (ifindex == 1).then_some(Device {
            mtu: 65536,
            header_len: 14,
            forwarding: false,
            forwarding_v6: false,
        })
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

/// Whose memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The kernel's.
    Kernel,
    /// The running task's.
    User,
}

/// What helpers know of the running task. The default is what a fresh system starts with: process 1 of root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The thread.
    pub pid: u32,
    /// The process.
    pub tgid: u32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The name, at most 15 bytes.
    pub comm: String,
    /// The identifiers of its cgroup's ancestors from the root on, and of the cgroup itself.
    pub cgroups: Vec<u64>,
    /// Device and inode of its process namespace.
    pub pid_namespace: (u64, u64),
    /// Where its `struct task_struct` is.
    pub address: u64,
    /// Where its registers are (`struct pt_regs`), 0 if nowhere.
    pub registers: u64,
}

impl Default for Task {
    fn default() -> Self {
        Task {
            pid: 1,
            tgid: 1,
            uid: 0,
            gid: 0,
            comm: "init".into(),
            cgroups: vec![1],
            pid_namespace: (4, 0xefff_fffc),
            address: 0xffff_8881_0000_0000,
            registers: 0,
        }
    }
}

/// A `sysctl` that is read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name, with slashes.
    pub name: String,
    /// Its value.
    pub current: Vec<u8>,
    /// The value that is written, if one is.
    pub new: Option<Vec<u8>>,
}

/// What a program does to the world outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// The traced function returns this and does not run (`bpf_override_return`).
    OverrideReturn(u64),
    /// A signal to the running process, or to the thread alone.
    Signal {
        /// Its number.
        signal: u32,
        /// Whether it is for the thread alone.
        thread: bool,
    },
    /// Bytes for the file of an iterator.
    Output(Vec<u8>),
    /// A socket is bound to this `struct sockaddr`.
    Bind(Vec<u8>),
    /// The events of a TCP connection that the program is called for (`BPF_SOCK_OPS_*_CB_FLAG`).
    SockOpsFlags(u32),
    /// This is written into the `sysctl` instead.
    SysctlValue(Vec<u8>),
    /// An acknowledgement is sent.
    TcpAck {
        /// The next expected sequence number.
        sequence: u32,
    },
    /// The program that is about to run is (not) treated as one with more rights than its caller.
    SecureExec(bool),
    /// A key of an infrared remote control is still down.
    RcRepeat,
    /// A key of an infrared remote control.
    RcKey {
        /// Its protocol.
        protocol: u32,
        /// Its code.
        scancode: u64,
        /// The toggle bit.
        toggle: bool,
    },
    /// A movement of an infrared remote control.
    RcPointer {
        /// To the right.
        x: i32,
        /// Downwards.
        y: i32,
    },
}

/// What helpers know of a network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The longest packet behind a link header, in bytes.
    pub mtu: u32,
    /// How long its link headers are, in bytes.
    pub header_len: u16,
    /// Whether IPv4 packets that come through it may be forwarded.
    pub forwarding: bool,
    /// Whether IPv6 packets may.
    pub forwarding_v6: bool,
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
