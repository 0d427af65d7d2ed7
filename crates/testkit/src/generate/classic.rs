//! Classic programs that pass the checks often, and the packets they are run on.

use sandbpf::{PacketMeta, VlanTag};
use sandbpf_classic::ClassicInsn;

use super::Source;

/// A classic program and a packet.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The program; some dialect may refuse it.
    pub insns: Vec<ClassicInsn>,
    /// The packet's bytes.
    pub packet: Vec<u8>,
    /// Its length on the wire.
    pub wire_len: u32,
    /// What the socket knows of it.
    pub meta: PacketMeta,
}

/// Opcodes that exist, the common ones more than once.
const CODES: &[u16] = &[
    0x20, 0x28, 0x30, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x01, 0x60, 0x61, 0x80, 0x81, 0xb1, 0x02, 0x03,
    0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x94, 0x9c, 0x44, 0x4c, 0x54, 0x5c, 0xa4, 0xac, 0x64,
    0x6c, 0x74, 0x7c, 0x84, 0x07, 0x87, 0x07, 0x87, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x15,
    0x45, 0x05, 0x06, 0x16,
];

/// Any bytes are a scene.
///
/// ```
/// let scene = sandbpf_testkit::generate::classic::scene(b"a few bytes from a fuzzer");
/// assert!(matches!(scene.insns.last().map(|insn| insn.code), Some(0x06 | 0x16)));
/// ```
pub fn scene(bytes: &[u8]) -> Scene {
    let mut source = Source::new(bytes);
    if source.chance(3) {
        return super::lists::scene(&mut source);
    }
    let len = source.below(96);
    let headers = |source: &mut Source<'_>| source.below(len + 2) as u32;
    let meta = PacketMeta {
        protocol: source.pick(&[0x0800, 0x86dd, 0x0806, 0x8100, 0x8847, 0, 4]),
        packet_type: source.below(5) as u8,
        ifindex: source.below(3) as u32,
        hatype: source.u16(),
        mark: source.u32(),
        queue: source.u8().into(),
        hash: source.u32(),
        vlan: source.chance(3).then(|| VlanTag { tci: source.u16(), tpid: 0x8100 }),
        data: if source.chance(2) { headers(&mut source) } else { 0 },
        network: if source.chance(2) { headers(&mut source) } else { 0 },
        link: source.chance(2).then(|| headers(&mut source)),
        ..PacketMeta::default()
    };
    let mut packet = source.take(len).to_vec();
    packet.resize(len, 0);
    let wire_len = if source.chance(4) { source.u32() } else { packet.len() as u32 };
    let count = 1 + source.below(48);
    let mut insns: Vec<ClassicInsn> =
        (0..count).map(|at| insn(&mut source, (count - at) as u32, len)).collect();
    insns.push(ClassicInsn { code: source.pick(&[0x16, 0x06]), jt: 0, jf: 0, k: source.u32() });
    Scene { insns, packet, wire_len, meta }
}

/// One instruction with `after` of them behind it.
pub(super) fn insn(source: &mut Source<'_>, after: u32, len: usize) -> ClassicInsn {
    let code = if source.chance(64) { source.u16() } else { source.pick(CODES) };
    let k = match code {
        0x02 | 0x03 | 0x60 | 0x61 => source.below(16) as u32,
        0x05 if source.chance(4) => 0u32.wrapping_sub(source.below(8) as u32),
        0x05 => source.below(after as usize) as u32,
        0x64 | 0x74 => source.below(34) as u32,
        0x20 | 0x28 | 0x30 if source.chance(6) => 0xffff_f000 + 4 * source.below(16) as u32,
        0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0xb1 => match source.below(8) {
            0 => source.edge() as u32,
            1 => (-0x10_0000 + i32::from(source.u8())) as u32,
            2 => (-0x20_0000 + i32::from(source.u8())) as u32,
            _ => source.below(len + 4) as u32,
        },
        _ => source.edge() as u32,
    };
    let mut skip = || source.below((after as usize).min(256)) as u8;
    let (jt, jf) = if matches!(code & 0x07, 0x05) { (skip(), skip()) } else { (0, 0) };
    ClassicInsn { code, jt, jf, k }
}
