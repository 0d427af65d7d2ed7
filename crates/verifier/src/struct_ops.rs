//! Programs that stand for functions of the kernel's tables: which tables and which of their functions a program may
//! stand for (`check_struct_ops_btf_id`).

use sandbpf_abi::ProgramType;

use crate::environment::Environment;
use crate::error::{Check, refuse};

/// A table of the kernel.
struct Table {
    name: &'static str,
    /// The functions that programs stand for; none if all.
    members: &'static [&'static str],
    /// Those that may sleep; none if the table does not say, and all may.
    sleeping: &'static [&'static str],
}

/// The tables that Linux 6.18 has registered without modules.
const TABLES: &[Table] = &[
    Table {
        name: "tcp_congestion_ops",
        members: &[
            "ssthresh",
            "cong_avoid",
            "set_state",
            "cwnd_event",
            "in_ack_event",
            "pkts_acked",
            "min_tso_segs",
            "cong_control",
            "undo_cwnd",
            "sndbuf_expand",
            "init",
            "release",
        ],
        sleeping: &[],
    },
    Table { name: "bpf_dummy_ops", members: &[], sleeping: &["test_sleepable"] },
];

/// Checks what a program stands for; of a place that is not known nothing is.
pub(crate) fn check(env: &Environment<'_>) -> Check {
    let program = &env.program;
    if program.program_type != ProgramType::StructOps {
        return Ok(());
    }
    if !program.gpl {
        refuse!(Inval, "struct ops programs must have a GPL compatible license");
    }
    let Some((table, member)) = env.target.and_then(|target| target.name.split_once('.')) else {
        return Ok(());
    };
    let Some(known) = TABLES.iter().find(|known| known.name == table) else { return Ok(()) };
    let supported = known.members.is_empty() || known.members.contains(&member);
    if !supported {
        refuse!(NotSupp, "attach to unsupported member {member} of struct {table}");
    }
    let may_sleep = known.sleeping.is_empty() || known.sleeping.contains(&member);
    if program.sleepable && !may_sleep {
        refuse!(Inval, "attach to unsupported member {member} of struct {table}");
    }
    Ok(())
}
