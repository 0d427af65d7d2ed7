//! Things of this process and machine that maps can name by their descriptors: sockets, files, processes, control
//! groups, events.
//!
//! Nothing outside of this process changes: sockets are not connected to anybody else, the events count nothing, the
//! tree of control groups is mounted nowhere.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use sandbpf_maps::Errno;

use super::own;

fn checked(result: i64) -> Result<OwnedFd, Errno> {
    match RawFd::try_from(result) {
        Ok(descriptor) if descriptor >= 0 => Ok(own(descriptor)),
        _ => Err(Errno(io::Error::last_os_error().raw_os_error().unwrap_or_default())),
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or_default())
}

/// A socket of each sort that maps of sockets look at differently, with names.
pub fn sockets() -> Result<Vec<(&'static str, OwnedFd)>, Errno> {
    let local = "127.0.0.1:0";
    let listener = TcpListener::bind(local).map_err(|error| errno(&error))?;
    let address = listener.local_addr().map_err(|error| errno(&error))?;
    let here = TcpStream::connect(address).map_err(|error| errno(&error))?;
    let (there, _) = listener.accept().map_err(|error| errno(&error))?;
    let udp = UdpSocket::bind(local).map_err(|error| errno(&error))?;
    let (stream, _other) = UnixStream::pair().map_err(|error| errno(&error))?;
    let (datagram, _) = UnixDatagram::pair().map_err(|error| errno(&error))?;
    Ok(vec![
        ("tcp, connected", here.into()),
        ("tcp, accepted", there.into()),
        ("tcp, listening", listener.into()),
        ("udp", udp.into()),
        ("unix stream", stream.into()),
        ("unix datagram", datagram.into()),
        ("tcp, closed", socket(libc::AF_INET, libc::SOCK_STREAM)?),
    ])
}

/// A new socket.
pub fn socket(family: i32, kind: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes numbers only.
    checked(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) }.into())
}

/// A UDP socket that shares its port with others to come.
pub fn shared_port(port: u16) -> Result<OwnedFd, Errno> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    let (one, descriptor) = (1i32, socket.as_raw_fd());
    // SAFETY: the option is the `int` that is passed with its size.
    let set = unsafe {
        libc::setsockopt(descriptor, libc::SOL_SOCKET, libc::SO_REUSEPORT, (&raw const one).cast(), 4)
    };
    checked_ok(set)?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: the address is the structure that is passed with its size.
    let bound = unsafe { libc::bind(descriptor, (&raw const address).cast(), size_of_val(&address) as u32) };
    checked_ok(bound)?;
    Ok(socket)
}

fn checked_ok(result: i32) -> Result<(), Errno> {
    if result < 0 { Err(errno(&io::Error::last_os_error())) } else { Ok(()) }
}

/// `SO_COOKIE`: the number of a socket that no other has.
pub fn cookie(socket: &OwnedFd) -> Result<u64, Errno> {
    let (mut cookie, mut size) = (0u64, 8u32);
    let (descriptor, value) = (socket.as_raw_fd(), (&raw mut cookie).cast());
    // SAFETY: the option is a `u64`, and has the size that is passed.
    let got =
        unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, libc::SO_COOKIE, value, &raw mut size) };
    checked_ok(got)?;
    Ok(cookie)
}

/// A process, by its id.
pub fn process(id: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) })
}

/// An event of software that counts nothing: a dummy, or what programs write to.
pub fn event(output: bool) -> Result<OwnedFd, Errno> {
    let mut attribute = [0u8; 128];
    let config: u64 = if output { 10 } else { 9 };
    attribute[..4].copy_from_slice(&1u32.to_ne_bytes());
    attribute[4..8].copy_from_slice(&128u32.to_ne_bytes());
    attribute[8..16].copy_from_slice(&config.to_ne_bytes());
    let any = -1i64;
    // SAFETY: the attribute says its own size; the rest are numbers.
    checked(unsafe { libc::syscall(libc::SYS_perf_event_open, attribute.as_ptr(), any, 0i64, any, 8i64) })
}

/// The root of the tree of control groups (version 2), from a mount that is nowhere.
pub fn control_group() -> Result<OwnedFd, Errno> {
    /// `FSCONFIG_CMD_CREATE`.
    const CREATE: i64 = 6;
    // SAFETY: the name ends with a zero; the rest are numbers.
    let tree = checked(unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), 1i64) })?;
    let none = std::ptr::null::<u8>();
    // SAFETY: this command takes no names and no values.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, tree.as_raw_fd(), CREATE, none, none, 0i64) };
    checked_ok(made as i32)?;
    // SAFETY: the call takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_fsmount, tree.as_raw_fd(), 1i64, 0i64) })
}

/// Control groups of version 1, where such trees are mounted.
pub fn old_control_groups() -> Vec<OwnedFd> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let old = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (place, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup").then(|| fs::File::open(place).ok()).flatten()
    });
    old.map(OwnedFd::from).collect()
}
