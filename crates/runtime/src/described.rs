//! A world that a test describes: time, tasks, memory, symbols, devices.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::host::{Act, Device, Host, Space, Sysctl, Task};

/// A host in which only what was described exists. It keeps what programs print and do.
///
/// ```
/// use sandbpf_runtime::{DescribedHost, Host, Space, Task};
/// let host = DescribedHost::new()
///     .task(Task { pid: 42, tgid: 42, comm: "curl".into(), ..Task::default() })
///     .memory(Space::User, 0x7ffd_0000_1000, b"/etc/passwd\0")
///     .time(1_000_000_000);
/// let mut name = [0; 4];
/// assert!(host.read(Space::User, 0x7ffd_0000_1001, &mut name));
/// assert_eq!(&name, b"etc/");
/// assert!(!host.read(Space::Kernel, 0x7ffd_0000_1001, &mut name));
/// ```
#[derive(Debug, Default)]
pub struct DescribedHost {
    now: u64,
    cpu: u32,
    random: Option<u32>,
    task: Task,
    /// Pieces of memory by where they start.
    user: BTreeMap<u64, Vec<u8>>,
    kernel: BTreeMap<u64, Vec<u8>>,
    user_stack: Vec<u64>,
    kernel_stack: Vec<u64>,
    symbols: HashMap<String, u64>,
    paths: HashMap<u64, String>,
    devices: HashMap<u32, Device>,
    sockets: HashMap<(u8, Vec<u8>), Vec<u8>>,
    options: HashMap<(i32, i32), Vec<u8>>,
    sysctl: Option<Sysctl>,
    cookie: u64,
    function: u64,
    function_args: u8,
    told: Mutex<Told>,
}

/// What programs printed and did.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    acts: Vec<Act>,
}

impl DescribedHost {
    /// Nothing but a first process and a loopback device.
    pub fn new() -> Self {
        let loopback = Device { mtu: 65536, header_len: 14, forwarding: false, forwarding_v6: false };
        DescribedHost { devices: HashMap::from([(1, loopback)]), ..DescribedHost::default() }
    }

    /// The clock, in nanoseconds.
    pub fn time(self, now: u64) -> Self {
        DescribedHost { now, ..self }
    }

    /// The processor.
    pub fn processor(self, cpu: u32) -> Self {
        DescribedHost { cpu, ..self }
    }

    /// Every random number.
    pub fn dice(self, random: u32) -> Self {
        DescribedHost { random: Some(random), ..self }
    }

    /// Who runs.
    pub fn task(self, task: Task) -> Self {
        DescribedHost { task, ..self }
    }

    /// Bytes at an address; later pieces are found before earlier ones at the same address.
    pub fn memory(mut self, space: Space, address: u64, bytes: &[u8]) -> Self {
        let pieces = match space {
            Space::User => &mut self.user,
            Space::Kernel => &mut self.kernel,
        };
        pieces.insert(address, bytes.to_vec());
        self
    }

    /// Return addresses on a stack, innermost first.
    pub fn stack(mut self, space: Space, addresses: &[u64]) -> Self {
        match space {
            Space::User => self.user_stack = addresses.to_vec(),
            Space::Kernel => self.kernel_stack = addresses.to_vec(),
        }
        self
    }

    /// A symbol of the kernel.
    pub fn symbol(mut self, name: &str, address: u64) -> Self {
        self.symbols.insert(name.into(), address);
        self
    }

    /// The name of the file whose `struct path` is at an address.
    pub fn path(mut self, address: u64, name: &str) -> Self {
        self.paths.insert(address, name.into());
        self
    }

    /// A network device.
    pub fn device(mut self, ifindex: u32, device: Device) -> Self {
        self.devices.insert(ifindex, device);
        self
    }

    /// A socket, as `struct bpf_sock`, by its protocol and its `struct bpf_sock_tuple`.
    pub fn socket(mut self, protocol: u8, tuple: &[u8], socket: &[u8]) -> Self {
        self.sockets.insert((protocol, tuple.to_vec()), socket.to_vec());
        self
    }

    /// A socket option.
    pub fn socket_option(mut self, level: i32, name: i32, value: &[u8]) -> Self {
        self.options.insert((level, name), value.to_vec());
        self
    }

    /// The `sysctl` that is read or written.
    pub fn sysctl(self, sysctl: Sysctl) -> Self {
        DescribedHost { sysctl: Some(sysctl), ..self }
    }

    /// The cookie of the attachment.
    pub fn attach_cookie(self, cookie: u64) -> Self {
        DescribedHost { cookie, ..self }
    }

    /// The traced function: its address and how many arguments it has.
    pub fn function(self, function: u64, function_args: u8) -> Self {
        DescribedHost { function, function_args, ..self }
    }

    /// What programs printed since the last time.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.told().lines)
    }

    /// What programs did since the last time.
    pub fn take_acts(&self) -> Vec<Act> {
        std::mem::take(&mut self.told().acts)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for DescribedHost {
    fn now_ns(&self) -> u64 {
        self.now
    }

    fn random(&self) -> u32 {
        self.random.unwrap_or(4)
    }

    fn cpu(&self) -> u32 {
        self.cpu
    }

    fn trace(&self, line: &str) {
        self.told().lines.push(line.into());
    }

    fn act(&self, act: Act) {
        self.told().acts.push(act);
    }

    fn task(&self) -> Task {
        self.task.clone()
    }

    fn read(&self, space: Space, address: u64, to: &mut [u8]) -> bool {
        let pieces = match space {
            Space::User => &self.user,
            Space::Kernel => &self.kernel,
        };
        let mut done = 0;
        while done < to.len() {
            let Some(at) = address.checked_add(done as u64) else { return false };
            let Some((&start, bytes)) = pieces.range(..=at).next_back() else { return false };
            let Some(found) = bytes.get((at - start) as usize..).filter(|found| !found.is_empty()) else {
                return false;
            };
            let count = found.len().min(to.len() - done);
            to[done..done + count].copy_from_slice(&found[..count]);
            done += count;
        }
        true
    }

    fn attach_cookie(&self) -> u64 {
        self.cookie
    }

    fn function(&self) -> u64 {
        self.function
    }

    fn function_args(&self) -> u8 {
        self.function_args
    }

    fn socket_option(&self, level: i32, name: i32) -> Option<Vec<u8>> {
        self.options.get(&(level, name)).cloned()
    }

    fn set_socket_option(&self, level: i32, name: i32, _value: &[u8]) -> bool {
        self.options.contains_key(&(level, name))
    }

    fn sysctl(&self) -> Option<Sysctl> {
        self.sysctl.clone()
    }

    fn stack(&self, space: Space) -> Vec<u64> {
        match space {
            Space::User => self.user_stack.clone(),
            Space::Kernel => self.kernel_stack.clone(),
        }
    }

    fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.get(name).copied()
    }

    fn path(&self, address: u64) -> Option<String> {
        self.paths.get(&address).cloned()
    }

    fn device(&self, ifindex: u32) -> Option<Device> {
        self.devices.get(&ifindex).copied()
    }

    fn socket(&self, protocol: u8, tuple: &[u8]) -> Option<Vec<u8>> {
        self.sockets.get(&(protocol, tuple.to_vec())).cloned()
    }
}

/// A host that others share: what it was told can be read while programs run.
impl<H: Host> Host for std::sync::Arc<H> {
    fn now_ns(&self) -> u64 {
        (**self).now_ns()
    }

    fn random(&self) -> u32 {
        (**self).random()
    }

    fn cpu(&self) -> u32 {
        (**self).cpu()
    }

    fn trace(&self, line: &str) {
        (**self).trace(line);
    }

    fn act(&self, act: Act) {
        (**self).act(act);
    }

    fn task(&self) -> Task {
        (**self).task()
    }

    fn read(&self, space: Space, address: u64, to: &mut [u8]) -> bool {
        (**self).read(space, address, to)
    }

    fn attach_cookie(&self) -> u64 {
        (**self).attach_cookie()
    }

    fn function(&self) -> u64 {
        (**self).function()
    }

    fn function_args(&self) -> u8 {
        (**self).function_args()
    }

    fn socket_option(&self, level: i32, name: i32) -> Option<Vec<u8>> {
        (**self).socket_option(level, name)
    }

    fn set_socket_option(&self, level: i32, name: i32, value: &[u8]) -> bool {
        (**self).set_socket_option(level, name, value)
    }

    fn sysctl(&self) -> Option<Sysctl> {
        (**self).sysctl()
    }

    fn stack(&self, space: Space) -> Vec<u64> {
        (**self).stack(space)
    }

    fn symbol(&self, name: &str) -> Option<u64> {
        (**self).symbol(name)
    }

    fn path(&self, address: u64) -> Option<String> {
        (**self).path(address)
    }

    fn device(&self, ifindex: u32) -> Option<Device> {
        (**self).device(ifindex)
    }

    fn route(&self, params: &mut [u8; 64], flags: u32, checks_mtu: bool) -> Option<u8> {
        (**self).route(params, flags, checks_mtu)
    }

    fn socket(&self, protocol: u8, tuple: &[u8]) -> Option<Vec<u8>> {
        (**self).socket(protocol, tuple)
    }
}
