//! What the kernel's verifier knows of single structs: which members are trusted, which may be written.

use sandbpf_abi::ProgramType;
use sandbpf_elf::{Btf, Kind};

/// Whether a member that points to this type is trusted, whether it is protected by RCU, and whether it may be null then.
/// The kernel's types say it: `STRUCT__safe_trusted` has the trusted members of `STRUCT` (`btf_nested_type_is_trusted`).
pub(crate) fn member(btf: &Btf, of: u32, field: &str, target: u32) -> (bool, bool, bool) {
    let name = btf.strip(of).map_or("", |(id, _)| btf.name(id));
    let listed = |suffix: &str| {
        let list = btf.find(&format!("{name}{suffix}"), |kind| kind.composite().is_some());
        let member = list.and_then(|list| btf.member(list, field));
        let pointee = member.and_then(|(_, member)| match btf.kind(member.ty) {
            Some(Kind::Ptr(to)) => btf.strip(*to).map(|(id, _)| id),
            _ => None,
        });
        pointee == Some(target)
    };
    if listed("__safe_trusted") {
        (true, false, false)
    } else if listed("__safe_trusted_or_null") {
        (true, false, true)
    } else if listed("__safe_rcu") {
        (false, true, false)
    } else {
        let or_null = listed("__safe_rcu_or_null");
        (false, or_null, or_null)
    }
}

/// Members that congestion control may write, from one to another (`bpf_tcp_ca_btf_struct_access`).
const CONGESTION: &[(&str, &str)] = &[
    ("sk_pacing_rate", "sk_pacing_rate"),
    ("sk_pacing_status", "sk_pacing_status"),
    ("icsk_ca_priv", "icsk_ca_priv"),
    ("icsk_ack", "icsk_ack"),
    ("snd_cwnd", "snd_cwnd"),
    ("snd_cwnd_cnt", "snd_cwnd_cnt"),
    ("snd_cwnd_stamp", "snd_cwnd_stamp"),
    ("snd_ssthresh", "snd_ssthresh"),
    ("ecn_flags", "ecn_flags"),
    ("app_limited", "app_limited"),
];

/// Whether programs of this type may write there.
pub(crate) fn writable(
    of: ProgramType,
    name: &str,
    offset: u32,
    size: u32,
    btf: Option<&Btf>,
    id: u32,
) -> Result<(), String> {
    let read_only = || Err("only read is supported".to_owned());
    if matches!(of, ProgramType::SchedCls | ProgramType::SchedAct | ProgramType::Xdp) {
        return tracked(name, offset, size, btf, id);
    }
    if of != ProgramType::StructOps {
        return read_only();
    }
    if name == "bpf_dummy_ops_state" {
        return Ok(());
    }
    if !matches!(name, "tcp_sock" | "sock" | "inet_connection_sock") {
        return read_only();
    }
    let Some(btf) = btf else { return read_only() };
    for (field, _) in CONGESTION {
        if let Some((start, end)) = place(btf, id, field, 0)
            && offset >= start
            && offset + size <= end
        {
            return Ok(());
        }
    }
    Err(format!("no write support to {name} at off {offset}"))
}

/// Of a tracked connection programs on packets write the mark (`_nf_conntrack_btf_struct_access`).
fn tracked(name: &str, offset: u32, size: u32, btf: Option<&Btf>, id: u32) -> Result<(), String> {
    let mark = btf.filter(|_| matches!(name, "nf_conn" | "nf_conn___init"));
    let Some(btf) = mark else { return Err("only read is supported".to_owned()) };
    match place(btf, id, "mark", 0) {
        Some((start, end)) if offset == start && offset + size <= end => Ok(()),
        Some((start, end)) if offset == start => Err(format!(
            "write access at off {offset} with size {size} beyond the member of nf_conn ended at {end}"
        )),
        _ => Err(format!("no write support to nf_conn at off {offset}")),
    }
}

/// Where a member lies, also of the struct at the start of a struct.
fn place(btf: &Btf, id: u32, field: &str, depth: u32) -> Option<(u32, u32)> {
    if depth > 4 {
        return None;
    }
    if let Some((bits, member)) = btf.member(id, field) {
        let start = bits / 8;
        let size = btf.size_of(member.ty)? as u32;
        return Some((start, start + size));
    }
    let (_, kind) = btf.strip(id)?;
    let first = kind.composite()?.members.first()?;
    place(btf, first.ty, field, depth + 1)
}
