//! What a program is attached to, by the kernel's types: whose arguments are its context.

use sandbpf_abi::{AttachType, Program, ProgramType};
use sandbpf_elf::{Btf, Kind};
use sandbpf_verifier::{Shape, Target, TypeRef};

use crate::prototype;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach<'n> {
    /// By name: a function, a tracepoint, a hook, an iterator, or `struct.member` of a table of functions.
    Name(&'n str),
    /// By the number of its type in the kernel's types.
    Id(u32),
}

/// What a program's context is made of.
pub fn target(kernel: &Btf, program: &Program<'_>, attach: Attach<'_>) -> Option<Target> {
    let name = match attach {
        Attach::Name(name) => name.to_owned(),
        Attach::Id(id) => kernel.name(id).to_owned(),
    };
    match program.program_type {
        ProgramType::Tracing if program.attach_type == AttachType::TRACE_RAW_TP => tracepoint(kernel, &name),
        ProgramType::RawTracepoint | ProgramType::RawTracepointWritable => tracepoint(kernel, &name),
        ProgramType::Tracing if program.attach_type == AttachType::TRACE_ITER => {
            let name = if name.starts_with("bpf_iter_") { name } else { format!("bpf_iter_{name}") };
            let mut target = function(kernel, &name)?;
            iterated(&mut target);
            Some(target)
        }
        ProgramType::Tracing => function(kernel, &name),
        ProgramType::Lsm => {
            let name = if name.starts_with("bpf_lsm_") { name } else { format!("bpf_lsm_{name}") };
            let mut target = function(kernel, &name)?;
            target.returns = hook_returns(&name, &target.prototype.result);
            Some(target)
        }
        ProgramType::StructOps => {
            let (table, member) = name.split_once('.')?;
            let id = kernel.find(table, |kind| kind.composite().is_some())?;
            let (_, member) = kernel.member(id, member)?;
            let (_, Kind::Ptr(proto)) = kernel.strip(member.ty)? else { return None };
            let mut prototype = prototype::of_proto(kernel, TypeRef::kernel(0), *proto)?;
            match table {
                "tcp_congestion_ops" => promote(kernel, &mut prototype),
                _ => stub(kernel, &name, &mut prototype),
            }
            Some(Target { name, prototype, returns: None })
        }
        _ => None,
    }
}

/// What the context of iterators has besides `meta`, which is always there (each `bpf_iter_reg`'s `ctx_arg_info`): the
/// iterator, the member, what is known of it. Members that are not here are pointers without trust that may be null.
const SHOWN: &[(&str, &str, &[&str])] = &[
    ("task", "task", &["nullable"]),
    ("bpf_map", "map", &["nullable"]),
    ("cgroup", "cgroup", &["nullable"]),
    ("kmem_cache", "s", &["nullable"]),
    ("tcp", "sk_common", &["nullable"]),
    ("udp", "udp_sk", &["nullable"]),
    ("bpf_map_elem", "map", &[]),
    ("bpf_map_elem", "key", &["buf", "rdonly", "nullable"]),
    ("bpf_map_elem", "value", &["buf", "nullable"]),
    ("bpf_sk_storage_map", "map", &[]),
    ("bpf_sk_storage_map", "value", &["buf", "nullable"]),
    ("sockmap", "map", &[]),
    ("sockmap", "key", &["buf", "rdonly", "nullable"]),
];

/// What an iterator shows may be missing: it is called once more at the end.
fn iterated(target: &mut Target) {
    let iterator = target.name.trim_start_matches("bpf_iter_");
    for param in target.prototype.params.iter_mut().filter(|param| param.name != "meta") {
        let row = SHOWN.iter().find(|(of, name, _)| *of == iterator && *name == param.name);
        let known = row.map_or(&["distrusted", "nullable"][..], |(_, _, known)| known);
        param.tags.extend(known.iter().map(|tag| tag.to_string()));
    }
}

/// Congestion control works on TCP sockets, whatever the table's types say (`bpf_tcp_ca_is_valid_access`).
fn promote(kernel: &Btf, prototype: &mut sandbpf_verifier::Prototype) {
    let Some(id) = kernel.find("tcp_sock", |kind| kind.composite().is_some()) else { return };
    let bytes = kernel.size_of(id).unwrap_or(0) as u32;
    for param in &mut prototype.params {
        if let Shape::Struct { target, name, size, .. } = &mut param.shape
            && name == "sock"
        {
            *target = TypeRef::kernel(id);
            *name = "tcp_sock".into();
            *size = bytes;
        }
    }
}

/// What a table's function that does nothing calls its parameters, which says more of them (`prepare_arg_info`).
fn stub(kernel: &Btf, name: &str, prototype: &mut sandbpf_verifier::Prototype) {
    let Some(stub) = function(kernel, &name.replace('.', "__")) else { return };
    for (param, known) in prototype.params.iter_mut().zip(stub.prototype.params) {
        param.name = known.name;
    }
}

fn function(kernel: &Btf, name: &str) -> Option<Target> {
    let id = kernel.find(name, |kind| matches!(kind, Kind::Func { .. }))?;
    let prototype = prototype::of_function(kernel, TypeRef::kernel(id))?;
    Some(Target { name: name.to_owned(), prototype, returns: None })
}

/// The type `btf_trace_NAME` is a pointer to a function whose first argument is the tracepoint's own.
fn tracepoint(kernel: &Btf, name: &str) -> Option<Target> {
    let name = name.strip_prefix("btf_trace_").unwrap_or(name);
    let id = kernel.find(&format!("btf_trace_{name}"), |kind| matches!(kind, Kind::Typedef(_)))?;
    let (_, Kind::Ptr(proto)) = kernel.strip(id)? else { return None };
    let mut prototype = prototype::of_proto(kernel, TypeRef::kernel(0), *proto)?;
    if !prototype.params.is_empty() {
        prototype.params.remove(0);
    }
    Some(Target { name: name.to_owned(), prototype, returns: None })
}

/// Hooks that answer yes or no (`bool_lsm_hooks`); the others return an errno or zero.
const BOOLEAN: &[&str] = &["bpf_lsm_audit_rule_known", "bpf_lsm_inode_xattr_skipcap"];

fn hook_returns(name: &str, result: &Shape) -> Option<(i64, i64)> {
    if *result == Shape::Void {
        return None;
    }
    match BOOLEAN.contains(&name) {
        true => Some((0, 1)),
        false => Some((-4095, 0)),
    }
}
