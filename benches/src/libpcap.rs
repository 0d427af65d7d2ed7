//! The system's libpcap: its interpreter of classic filters, called as `pcap_offline_filter` calls it.

use std::hint::black_box;

use sandbpf::classic;

use crate::rounds::Subject;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct BpfInsn {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

#[link(name = "pcap")]
unsafe extern "C" {
    fn bpf_filter(insns: *const BpfInsn, packet: *const u8, wire_len: u32, buffer_len: u32) -> u32;
    fn bpf_validate(insns: *const BpfInsn, count: i32) -> i32;
}

/// A filter that passed `bpf_validate`, and packets.
#[derive(Debug)]
pub struct Libpcap {
    insns: Vec<BpfInsn>,
    packets: Vec<Vec<u8>>,
}

impl Libpcap {
    /// Checks the filter; `None` if libpcap refuses it or a packet is too long for it.
    pub fn new(filter: &[classic::ClassicInsn], packets: &[Vec<u8>]) -> Option<Self> {
        let insns: Vec<BpfInsn> = filter
            .iter()
            .map(|insn| BpfInsn { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k })
            .collect();
        let count = i32::try_from(insns.len()).ok()?;
        if packets.iter().any(|packet| u32::try_from(packet.len()).is_err()) {
            return None;
        }
        // SAFETY: the pointer is to `count` instructions.
        let valid = unsafe { bpf_validate(insns.as_ptr(), count) } != 0;
        valid.then(|| Libpcap { insns, packets: packets.to_vec() })
    }
}

impl Subject for Libpcap {
    fn batch(&mut self, count: u32) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            sum = 0u64;
            for packet in black_box(&self.packets) {
                let length = packet.len() as u32;
                // SAFETY: the instructions passed `bpf_validate`, so they end and jump forwards only; the packet has
                // `length` bytes.
                let result = unsafe { bpf_filter(self.insns.as_ptr(), packet.as_ptr(), length, length) };
                sum += u64::from(black_box(result));
            }
        }
        sum
    }
}
