//! Whether a program may be loaded at all, and use the maps that it names: before the first instruction is walked.

use sandbpf_abi::{ProgramType, Sleeping};
use sandbpf_isa::{Callee, Imm64, Insn, MapRef, Program};

use crate::environment::{Environment, FieldKind, MapShape, TypeRef, map_type as m};
use crate::error::{Check, refuse};
use crate::types::Variable;

/// Checks its type, its length, and the rights of its loader.
pub(crate) fn check(program: &Program, env: &Environment<'_>) -> Check {
    let slots = program.slot_count() as usize;
    let most = if env.program.powers.bpf { env.limits.insns } else { 4096 };
    if slots > most {
        refuse!(TooBig, "too many instructions: {slots}");
    }
    rights(env)?;
    let calls_kernel = |insn: &Insn| matches!(insn, Insn::Call { callee: Callee::Kfunc { .. } });
    let functions = program.functions().len() > 1 || program.insns().iter().any(calls_kernel);
    if functions && !env.program.powers.bpf {
        refuse!(
            Perm,
            "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN"
        );
    }
    Ok(())
}

/// Checks the maps that it names (`resolve_pseudo_ldimm64`).
pub(crate) fn maps(program: &Program, env: &Environment<'_>) -> Check {
    let mut used: Vec<usize> = Vec::new();
    for insn in program.insns() {
        // What decoding lets through and Linux does not.
        if matches!(insn, Insn::Call { callee: Callee::Register(_) }) {
            refuse!(Inval, "unknown opcode 8d");
        }
        let Insn::LoadImm { value, .. } = *insn else { continue };
        if let Imm64::Variable { id, module } = value {
            variable(env, id, module)?;
        }
        let (Imm64::Map(map) | Imm64::MapValue(map, _)) = value else { continue };
        let Some(at) = (env.map_of)(map) else {
            missing(map)?;
            continue;
        };
        if !used.contains(&at) {
            used.push(at);
            if used.len() > env.limits.maps {
                refuse!(
                    TooBig,
                    "The total number of maps per program has reached the limit of {}",
                    env.limits.maps
                );
            }
            map_fits(&env.maps[at], env)?;
            let arenas = used.iter().filter(|&&at| env.maps[at].map_type == m::ARENA).count();
            if arenas > 1 {
                refuse!(Busy, "Only one arena per program");
            }
            if env.maps[at].map_type == m::ARENA && !env.maps[at].mapped {
                refuse!(Inval, "arena's user address must be set via map_extra or mmap()");
            }
        }
        if let Imm64::MapValue(_, offset) = value {
            direct_value(&env.maps[at], offset)?;
        }
    }
    Ok(())
}

/// Whether a variable or function of the kernel is there, and its address known (`check_pseudo_btf_id`).
fn variable(env: &Environment<'_>, id: i32, module: i32) -> Check {
    let Some(types) = env.types else {
        refuse!(Inval, "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.");
    };
    if id == 0 {
        // Number 0 is `void`.
        refuse!(Inval, "pseudo btf_id 0 in ldimm64 isn't KIND_VAR or KIND_FUNC.");
    }
    let of = TypeRef::kernel_or_module(id as u32, module);
    let Some(variable) = types.variable(of) else {
        refuse!(NoEnt, "ldimm64 insn specifies invalid btf_id {id}.");
    };
    if !env.data_symbols && variable != Variable::Function {
        let name = types.name(of);
        refuse!(NoEnt, "ldimm64 failed to find the address for kernel symbol '{name}'.");
    }
    Ok(())
}

fn missing(map: MapRef) -> Check {
    match map {
        MapRef::Fd(fd) => refuse!(BadF, "fd {fd} is not pointing to valid bpf_map"),
        MapRef::Index(_) => refuse!(Proto, "fd_idx without fd_array is invalid"),
    }
}

/// Which program types need which rights (`is_net_admin_prog_type`, `is_perfmon_prog_type`).
fn rights(env: &Environment<'_>) -> Check {
    use ProgramType as T;
    let program = &env.program;
    let of = program.program_type;
    if !program.powers.bpf && !matches!(of, T::SocketFilter | T::CgroupSkb) {
        refuse!(Perm, "programs of this type are for loaders with CAP_BPF");
    }
    let net = matches!(
        of,
        T::SchedCls
            | T::SchedAct
            | T::Xdp
            | T::LwtIn
            | T::LwtOut
            | T::LwtXmit
            | T::LwtSeg6local
            | T::SkSkb
            | T::SkMsg
            | T::FlowDissector
            | T::CgroupDevice
            | T::CgroupSock
            | T::CgroupSockAddr
            | T::CgroupSockopt
            | T::CgroupSysctl
            | T::SockOps
            | T::Ext
            | T::Netfilter
    );
    if net && !env.net_admin {
        refuse!(Perm, "programs of this type are for loaders with CAP_NET_ADMIN");
    }
    let perfmon = matches!(
        of,
        T::Kprobe
            | T::Tracepoint
            | T::PerfEvent
            | T::RawTracepoint
            | T::RawTracepointWritable
            | T::Tracing
            | T::Lsm
            | T::StructOps
            | T::Ext
    );
    if perfmon && !program.powers.perfmon {
        refuse!(Perm, "programs of this type are for loaders with CAP_PERFMON");
    }
    Ok(())
}

/// Whether it may sleep, if it wants to (`check_attach_btf_id`).
pub(crate) fn sleeping(env: &Environment<'_>) -> Check {
    let program = &env.program;
    let row = program.program_type.row();
    if !program.sleepable {
        if matches!(row.sleeping, Sleeping::Always) {
            refuse!(Inval, "Syscall programs can only be sleepable");
        }
        return Ok(());
    }
    let may = match row.sleeping {
        Sleeping::Never => false,
        Sleeping::Always | Sleeping::May => true,
        Sleeping::MayAt(all) => all.contains(&program.attach_type),
    };
    if !may {
        refuse!(
            Inval,
            "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
        );
    }
    Ok(())
}

/// Whether the program may use the map (`check_map_prog_compatibility`).
fn map_fits(map: &MapShape, env: &Environment<'_>) -> Check {
    use ProgramType as T;
    let of = env.program.program_type;
    let tracing =
        matches!(of, T::Kprobe | T::Tracepoint | T::PerfEvent | T::RawTracepoint | T::RawTracepointWritable);
    let has = |is: fn(FieldKind) -> bool| map.fields.iter().any(|field| is(field.kind));
    if tracing && has(|kind| matches!(kind, FieldKind::ListHead { .. } | FieldKind::RbRoot { .. })) {
        refuse!(Inval, "tracing progs cannot use bpf_{{list_head,rb_root}} yet");
    }
    if has(|kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResSpinLock)) {
        if of == T::SocketFilter {
            refuse!(Inval, "socket filter progs cannot use bpf_spin_lock yet");
        }
        if tracing {
            refuse!(Inval, "tracing progs cannot use bpf_spin_lock yet");
        }
    }
    if tracing && has(|kind| matches!(kind, FieldKind::Timer)) {
        refuse!(Inval, "tracing progs cannot use bpf_timer yet");
    }
    if tracing && has(|kind| matches!(kind, FieldKind::Workqueue)) {
        refuse!(Inval, "tracing progs cannot use bpf_wq yet");
    }
    if map.map_type == m::STRUCT_OPS {
        refuse!(Inval, "bpf_struct_ops map cannot be used in prog");
    }
    let sleeping = [
        m::HASH,
        m::LRU_HASH,
        m::ARRAY,
        m::PERCPU_HASH,
        m::PERCPU_ARRAY,
        m::LRU_PERCPU_HASH,
        m::ARRAY_OF_MAPS,
        m::HASH_OF_MAPS,
        m::RINGBUF,
        m::USER_RINGBUF,
        m::INODE_STORAGE,
        m::SK_STORAGE,
        m::TASK_STORAGE,
        m::CGRP_STORAGE,
        m::QUEUE,
        m::STACK,
        m::ARENA,
    ];
    if env.program.sleepable && !sleeping.contains(&map.map_type) {
        refuse!(Inval, "Sleepable programs can only use array, hash, ringbuf and local storage maps");
    }
    if map.map_type == m::ARENA && !(env.program.powers.bpf && env.program.powers.perfmon) {
        refuse!(Perm, "CAP_BPF and CAP_PERFMON are required to use arena");
    }
    Ok(())
}

/// Whether an address in the map's value can be taken.
fn direct_value(map: &MapShape, offset: u32) -> Check {
    if map.map_type == m::ARENA {
        return Ok(());
    }
    if map.map_type != m::ARRAY {
        refuse!(Inval, "no direct value access support for this map type");
    }
    if offset >= 1 << 29 {
        refuse!(Inval, "direct value offset of {offset} is not allowed");
    }
    if map.max_entries != 1 || offset >= map.value_size {
        refuse!(Inval, "invalid access to map value pointer, value_size={} off={offset}", map.value_size);
    }
    Ok(())
}
