//! What Linux keeps beside a packet and shows to filters at offsets from `SKF_AD_OFF`.
//!
//! An absolute load there, whatever its size, gives the whole value; there is no indirect form.

/// The offset of the first (`SKF_AD_OFF`).
pub(crate) const BASE: u32 = 0xffff_f000;

/// A value that an absolute load can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ancillary {
    Protocol,
    PacketType,
    Ifindex,
    Nlattr,
    NlattrNest,
    Mark,
    Queue,
    Hatype,
    Hash,
    Cpu,
    XorX,
    VlanTci,
    VlanPresent,
    PayloadOffset,
    Random,
    VlanProtocol,
}

/// Everything about one of them.
pub(crate) struct Row {
    /// The offset from [`BASE`].
    pub(crate) offset: u32,
    pub(crate) what: Ancillary,
    /// What libpcap calls it.
    pub(crate) libpcap: &'static str,
    /// What `bpf_asm` calls it; the first is for printing. One has no name.
    pub(crate) bpf_asm: &'static [&'static str],
}

/// Calls of `(offset, name in libpcap, names in bpf_asm, meaning)`.
macro_rules! rows {
    ($( $offset:literal $libpcap:literal [$($bpf_asm:literal),*] $what:ident; )*) => {
        pub(crate) static ROWS: &[Row] =
            &[$( Row { offset: $offset, what: Ancillary::$what, libpcap: $libpcap, bpf_asm: &[$($bpf_asm),*] } ),*];
    };
}

rows! {
     0 "proto"     ["proto"]                 Protocol;
     4 "type"      ["type"]                  PacketType;
     8 "ifidx"     ["ifidx"]                 Ifindex;
    12 "nla"       ["nla"]                   Nlattr;
    16 "nlan"      ["nlan"]                  NlattrNest;
    20 "mark"      ["mark"]                  Mark;
    24 "queue"     ["queue"]                 Queue;
    28 "hatype"    ["hatype"]                Hatype;
    32 "rxhash"    ["rxhash"]                Hash;
    36 "cpu"       ["cpu"]                   Cpu;
    40 "xor_x"     []                        XorX;
    44 "vlan_tci"  ["vlan_tci"]              VlanTci;
    48 "vlanp"     ["vlan_avail", "vlan_pr"] VlanPresent;
    52 "poff"      ["poff"]                  PayloadOffset;
    56 "random"    ["rand"]                  Random;
    60 "vlan_tpid" ["vlan_tpid"]             VlanProtocol;
}

impl Row {
    /// The row that an absolute load of `k` names.
    pub(crate) fn of(k: u32) -> Option<&'static Row> {
        let offset = k.checked_sub(BASE)?;
        ROWS.iter().find(|row| row.offset == offset)
    }

    /// The constant that names it.
    pub(crate) fn k(&self) -> u32 {
        BASE + self.offset
    }
}
