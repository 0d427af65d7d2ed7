//! What control groups ask about: devices, kernel variables, socket options.

use crate::Value;
use crate::context::{View, context};

context! {
    /// An access to a device (`struct bpf_cgroup_dev_ctx` of `linux/bpf.h`).
    pub struct CgroupDevice, "bpf_cgroup_dev_ctx", 12 bytes {
        /// The access in the upper half, the type of device in the lower (`BPF_DEVCG_*`).
        access_type: u32 = ACCESS_TYPE @ 0 [load NARROW],
        /// The device's major number.
        major: u32 = MAJOR @ 4,
        /// The device's minor number.
        minor: u32 = MINOR @ 8,
    }
}

context! {
    /// An access to a variable of the kernel (`struct bpf_sysctl` of `linux/bpf.h`).
    pub struct Sysctl, "bpf_sysctl", 8 bytes {
        /// Whether it is being written.
        write: u32 = WRITE @ 0 [load NARROW],
        /// Where in the file.
        file_pos: u32 = FILE_POS @ 4 [load NARROW],
    }
}

context! {
    /// A socket option on its way (`struct bpf_sockopt` of `linux/bpf.h`).
    pub struct Sockopt, "bpf_sockopt", 40 bytes {
        /// The socket.
        sk: u64 = SK @ 0 [gives Value::Sock],
        /// Where the option's value starts.
        optval: u64 = OPTVAL @ 8 [gives Value::Packet],
        /// Where it ends.
        optval_end: u64 = OPTVAL_END @ 16 [gives Value::PacketEnd],
        /// The level (`SOL_*`).
        level: i32 = LEVEL @ 24,
        /// The option.
        optname: i32 = OPTNAME @ 28,
        /// How long the value is.
        optlen: i32 = OPTLEN @ 32,
        /// What the system call returns.
        retval: i32 = RETVAL @ 36,
    }
}

/// An access to a device.
pub(crate) const DEVICE: View = View::readable(CgroupDevice::LAYOUT);
/// An access to a variable.
pub(crate) const SYSCTL: View = View::readable(Sysctl::LAYOUT).writes(&["file_pos"]);
/// An option that was read.
pub(crate) const GET: View = View::readable(Sockopt::LAYOUT).writes(&["optlen", "retval"]);
/// An option that will be set.
pub(crate) const SET: View =
    View::readable(Sockopt::LAYOUT).hides(&["retval"]).writes(&["level", "optname", "optlen"]);
