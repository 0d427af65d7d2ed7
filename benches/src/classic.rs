//! Classic filters on packets: libpcap's interpreter, ours, and our machine code.

use std::hint::black_box;

use sandbpf::{Accept, Engine, Loader, Packet, Runner, SocketFilter, classic};

use crate::engines::Prepared;
use crate::rounds::{Entry, Subject};

/// A filter as `tcpdump -ddd` prints it; `programs/make-ddd.sh` makes them.
#[derive(Clone, Copy, Debug)]
pub struct ClassicFilter {
    /// What it looks for.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The filters.
pub const FILTERS: &[ClassicFilter] = &[
    ClassicFilter { name: "ip", text: include_str!("../programs/ip.ddd") },
    ClassicFilter { name: "tcp port 80", text: include_str!("../programs/tcp-port-80.ddd") },
    ClassicFilter { name: "one of 100 hosts", text: include_str!("../programs/hosts.ddd") },
];

/// The columns of the table, ours last.
pub const COLUMNS: [&str; 3] = ["libpcap", "sandbpf interp", "sandbpf jit"];

impl ClassicFilter {
    /// The filter's instructions.
    pub fn insns(&self) -> Vec<classic::ClassicInsn> {
        classic::parse(self.text).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// What runs the filter on this packet, by column; nothing where a column is not built in.
    pub fn subjects(&self, packet: &[u8]) -> [Entry; 3] {
        [
            self.libpcap(packet),
            self.sandbpf(Engine::Interpreter, packet).ok(),
            self.sandbpf(Engine::Jit, packet).ok(),
        ]
    }

    fn sandbpf(&self, engine: Engine, packet: &[u8]) -> Prepared {
        let filter = Loader::new().engine(engine).load::<SocketFilter>(self.text);
        let filter = filter.map_err(|error| error.to_string())?;
        Ok(Box::new(Sandbpf { runner: filter.runner(), packet: packet.to_vec() }))
    }

    #[cfg(feature = "libpcap")]
    fn libpcap(&self, packet: &[u8]) -> Entry {
        let libpcap = crate::libpcap::Libpcap::new(&self.insns(), packet.to_vec())?;
        Some(Box::new(libpcap))
    }

    #[cfg(not(feature = "libpcap"))]
    fn libpcap(&self, _packet: &[u8]) -> Entry {
        None
    }
}

struct Sandbpf {
    runner: Runner<SocketFilter>,
    packet: Vec<u8>,
}

impl Subject for Sandbpf {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = Accept(0);
        for _ in 0..count {
            let packet = Packet::from(black_box(self.packet.as_slice()));
            result = black_box(self.runner.run(packet).expect("a checked filter ends"));
        }
        result.0.into()
    }
}
