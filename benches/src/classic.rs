//! Classic filters on packets: libpcap's interpreter, ours, and our machine code.

use std::hint::black_box;

use sandbpf::{Accept, Engine, Loader, Runner, SocketFilter, classic};

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
        subjects(&self.insns(), &[packet.to_vec()])
    }
}

/// What runs a filter on these packets, one after the other, by column; a run's answer is the sum of the verdicts.
pub fn subjects(insns: &[classic::ClassicInsn], packets: &[Vec<u8>]) -> [Entry; 3] {
    [
        libpcap(insns, packets),
        sandbpf(Engine::Interpreter, insns, packets).ok(),
        sandbpf(Engine::Jit, insns, packets).ok(),
    ]
}

fn sandbpf(engine: Engine, insns: &[classic::ClassicInsn], packets: &[Vec<u8>]) -> Prepared {
    let filter = Loader::new().engine(engine).load::<SocketFilter>(insns);
    let filter = filter.map_err(|error| error.to_string())?;
    Ok(Box::new(Sandbpf { runner: filter.runner(), packets: packets.to_vec() }))
}

#[cfg(feature = "libpcap")]
fn libpcap(insns: &[classic::ClassicInsn], packets: &[Vec<u8>]) -> Entry {
    let libpcap = crate::libpcap::Libpcap::new(insns, packets)?;
    Some(Box::new(libpcap))
}

#[cfg(not(feature = "libpcap"))]
fn libpcap(_insns: &[classic::ClassicInsn], _packets: &[Vec<u8>]) -> Entry {
    None
}

struct Sandbpf {
    runner: Runner<SocketFilter>,
    packets: Vec<Vec<u8>>,
}

impl Subject for Sandbpf {
    fn batch(&mut self, count: u32) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            sum = 0u64;
            for packet in black_box(&self.packets) {
                let Accept(result) = self.runner.run(packet).expect("a checked filter ends");
                sum += u64::from(black_box(result));
            }
        }
        sum
    }
}
