//! Things that can be put into maps, here and in the running kernel: maps, programs, sockets, devices, CPUs, control
//! groups, events.

use std::os::fd::{AsRawFd, OwnedFd};

use sandbpf_maps::{Environment, Errno, Map, MapSpec, MapType, Object};
use sandbpf_testkit::kernel_maps::{KernelMap, KernelProgram, ProgramType, things};

/// `r0 = 0; exit`.
const NOTHING: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// A thing that a map takes.
pub struct Thing {
    pub object: Object,
    /// What is written to put it in: a descriptor, or a number and a descriptor.
    pub words: (u32, u32),
    /// Its id here and there.
    pub ids: (u32, u32),
    /// What must live as long as it.
    pub _alive: (Option<KernelMap>, Option<OwnedFd>),
}

impl Thing {
    fn keeping(self, descriptor: OwnedFd) -> Thing {
        Thing { _alive: (None, Some(descriptor)), ..self }
    }
}

/// Things that do not depend on the map.
#[derive(Default)]
pub struct Pool {
    sockets: Vec<(OwnedFd, u64)>,
    xdp_sockets: Vec<(OwnedFd, u64)>,
    events: Vec<OwnedFd>,
    groups: Vec<OwnedFd>,
    filter: Option<KernelProgram>,
    of_device: Option<KernelProgram>,
    of_cpu: Option<KernelProgram>,
}

impl Pool {
    /// What this kernel gives; what it does not is said.
    pub fn new() -> Pool {
        fn told<T>(what: &str, made: Result<T, Errno>) -> Option<T> {
            made.inspect_err(|errno| println!("left out: {what}: {errno}")).ok()
        }
        let with_cookie = |socket: OwnedFd| {
            let cookie = things::cookie(&socket).expect("every socket has one");
            (socket, cookie)
        };
        let sockets = things::sockets().expect("sockets of this process");
        let mapped = ["tcp, connected", "tcp, accepted", "tcp, listening", "udp"];
        let sockets = sockets.into_iter().filter(|(name, _)| mapped.contains(name));
        let xdp = || things::socket(44, 3);
        Pool {
            sockets: sockets.map(|(_, socket)| with_cookie(socket)).collect(),
            xdp_sockets: [xdp(), xdp()]
                .into_iter()
                .filter_map(|socket| told("AF_XDP sockets", socket))
                .map(with_cookie)
                .collect(),
            events: [things::event(false), things::event(true)]
                .into_iter()
                .filter_map(|event| told("events", event))
                .collect(),
            groups: told("control groups", things::control_group()).into_iter().collect(),
            filter: told("socket filters", KernelProgram::trivial()),
            of_device: told("XDP of devices", KernelProgram::load_as(ProgramType::XdpOfDevice, &NOTHING)),
            of_cpu: told("XDP of CPUs", KernelProgram::load_as(ProgramType::XdpOfCpu, &NOTHING)),
        }
    }

    /// What a map takes; of inner maps, one does not fit `pattern`.
    pub fn things(&self, spec: &MapSpec, pattern: &MapSpec, environment: &Environment) -> Vec<Thing> {
        use MapType::*;
        let thing = |object, words| Thing { object, words, ids: (0, 0), _alive: (None, None) };
        let socket = |(socket, cookie): &(OwnedFd, u64)| {
            thing(Object::Socket(*cookie), (socket.as_raw_fd() as u32, 0))
        };
        let wide = spec.value_size == 8;
        match spec.map_type {
            ArrayOfMaps | HashOfMaps => {
                let map = |number| {
                    let spec = if number == 0 { MapSpec::new(Hash, 4, 4, 2) } else { pattern.clone() };
                    let ours = Map::create(spec.clone(), environment).ok()?;
                    let theirs = KernelMap::create(&spec, None).ok()?;
                    let (words, ids) = ((theirs.descriptor() as u32, 0), (ours.id(), theirs.id().ok()?));
                    Some(Thing { object: Object::Map(ours), words, ids, _alive: (Some(theirs), None) })
                };
                (0..3).filter_map(map).collect()
            }
            ProgArray => {
                let filter = |program: &KernelProgram| {
                    let words = (program.descriptor() as u32, 0);
                    Thing { ids: (program.id(), program.id()), ..thing(Object::Program(program.id()), words) }
                };
                self.filter.iter().map(filter).collect()
            }
            PerfEventArray => {
                let event = |event: &OwnedFd| thing(Object::PerfEvent, (event.as_raw_fd() as u32, 0));
                self.events.iter().map(event).collect()
            }
            CgroupArray => {
                let group = |group: &OwnedFd| thing(Object::Cgroup(1), (group.as_raw_fd() as u32, 0));
                self.groups.iter().map(group).collect()
            }
            Xskmap => self.xdp_sockets.iter().map(socket).collect(),
            Sockmap | Sockhash => self.sockets.iter().map(socket).collect(),
            // A socket can be in one such array only, and an array that nobody has any more keeps it for a while.
            ReuseportSockarray => (0..3)
                .map(|_| {
                    let new = things::shared_port(0).expect("a socket of this process");
                    let cookie = things::cookie(&new).expect("every socket has one");
                    let new = (new, cookie);
                    socket(&new).keeping(new.0)
                })
                .collect(),
            Devmap | DevmapHash => {
                // The loopback device is there.
                let device = |program: Option<&KernelProgram>| {
                    let words = (1, program.map_or(0, |program| program.descriptor() as u32));
                    thing(Object::Device { ifindex: 1, program: program.map(KernelProgram::id) }, words)
                };
                let program = self.of_device.as_ref().filter(|_| wide);
                vec![device(None), device(program)]
            }
            // Each starts a thread of the kernel, which takes its time.
            Cpumap => {
                let cpu = |queue, program: Option<&KernelProgram>| {
                    let words = (queue, program.map_or(0, |program| program.descriptor() as u32));
                    thing(Object::Cpu { queue, program: program.map(KernelProgram::id) }, words)
                };
                vec![cpu(8, None), cpu(192, self.of_cpu.as_ref().filter(|_| wide))]
            }
            _ => Vec::new(),
        }
    }
}
