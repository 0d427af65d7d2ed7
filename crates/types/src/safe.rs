//! What the kernel's verifier knows of single structs: which members are trusted, which may be written.

use sandbpf_abi::ProgramType;
use sandbpf_elf::Btf;

/// Members that are as trusted as the struct they are read from (`BTF_TYPE_SAFE_TRUSTED`).
const TRUSTED: &[(&str, &[&str])] = &[
    ("bpf_iter_meta", &["seq"]),
    ("bpf_iter__task", &["meta", "task"]),
    ("linux_binprm", &["file"]),
    ("file", &["f_inode"]),
];
/// The same, or null (`BTF_TYPE_SAFE_TRUSTED_OR_NULL`).
const TRUSTED_OR_NULL: &[(&str, &[&str])] =
    &[("socket", &["sk"]), ("dentry", &["d_inode"]), ("vm_area_struct", &["vm_mm", "vm_file"])];
/// Members that live until the end of a read section (`BTF_TYPE_SAFE_RCU`).
const RCU: &[(&str, &[&str])] = &[
    ("task_struct", &["cpus_ptr", "cgroups", "real_parent", "group_leader"]),
    ("cgroup", &["kn"]),
    ("css_set", &["dfl_cgrp"]),
    ("cgroup_subsys_state", &["cgroup"]),
];
/// The same, or null (`BTF_TYPE_SAFE_RCU_OR_NULL`).
const RCU_OR_NULL: &[(&str, &[&str])] =
    &[("mm_struct", &["exe_file"]), ("sk_buff", &["sk"]), ("request_sock", &["sk"])];

/// Whether a member is trusted, whether it is protected by RCU, and whether it may be null then.
pub(crate) fn member(name: &str, field: &str) -> (bool, bool, bool) {
    let lists =
        |table: &[(&str, &[&str])]| table.iter().any(|(of, fields)| *of == name && fields.contains(&field));
    if lists(TRUSTED) {
        return (true, false, false);
    }
    if lists(TRUSTED_OR_NULL) {
        return (true, false, true);
    }
    if lists(RCU) {
        return (false, true, false);
    }
    if lists(RCU_OR_NULL) {
        return (false, true, true);
    }
    (false, false, false)
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
