//! Availability: which helpers a program has.
//!
//! Linux answers with a chain of functions, each of which knows some helpers and asks another for the
//! rest (`get_func_proto`). The chains here are the same, as tables: a chain offers helpers, some only
//! under a condition, and hands the question on.

use core::fmt;

use crate::{AttachType as At, HelperSpec, Program, ProgramType};

/// What offers helpers.
#[derive(Debug)]
pub(crate) struct Chain {
    /// What it is called in documents.
    pub(crate) name: &'static str,
    /// What it offers, the first rule that knows a number counting.
    pub(crate) rules: &'static [Rule],
    /// Who is asked for the rest, in this order.
    pub(crate) then: &'static [&'static Chain],
}

/// What a chain says of some helpers.
#[derive(Debug)]
pub(crate) enum Rule {
    /// They are there.
    Give(&'static [&'static HelperSpec]),
    /// They are there if that holds; if not, others may know them.
    When(Condition, &'static [&'static HelperSpec]),
}

/// What a helper may depend on.
#[derive(Debug)]
pub(crate) enum Condition {
    /// All of these.
    All(&'static [Condition]),
    /// Where the program is attached.
    AttachedTo(&'static [At]),
    /// Where it is not attached.
    NotAttachedTo(&'static [At]),
    /// That it may sleep.
    Sleepable,
    /// That it is entered through a trampoline: functions and hooks, not tracepoints.
    Trampoline,
    /// That what it is attached to starts with one of these names.
    Target(&'static [&'static str]),
    /// That it starts with the first and does not end with the second.
    TargetBut(&'static str, &'static str),
    /// The loader's capability to load programs.
    Bpf,
    /// The loader's capability to look into the kernel.
    Perfmon,
    /// That the kernel was built to let programs replace functions.
    OverrideReturn,
    /// That the kernel lets programs write the memory of processes.
    ProbeWriteUser,
}

use Condition::*;
use Rule::*;

impl Condition {
    fn holds(&self, program: &Program<'_>) -> bool {
        let at = program.attach_type;
        match self {
            All(conditions) => conditions.iter().all(|condition| condition.holds(program)),
            AttachedTo(all) => all.contains(&at),
            NotAttachedTo(all) => !all.contains(&at),
            Sleepable => program.sleepable,
            Trampoline => match program.program_type {
                ProgramType::Tracing => [At::TRACE_FENTRY, At::TRACE_FEXIT, At::MODIFY_RETURN].contains(&at),
                ProgramType::Lsm => at == At::LSM_MAC,
                _ => false,
            },
            Target(names) => names.iter().any(|name| program.target.starts_with(name)),
            TargetBut(name, end) => program.target.starts_with(name) && !program.target.ends_with(end),
            Bpf => program.powers.bpf,
            Perfmon => program.powers.perfmon,
            OverrideReturn => program.powers.override_return,
            ProbeWriteUser => program.powers.probe_write_user,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            All(conditions) => {
                for (at, condition) in conditions.iter().enumerate() {
                    write!(f, "{}{condition}", if at > 0 { " and " } else { "" })?;
                }
                Ok(())
            }
            AttachedTo(all) => list(f, "attached to", all),
            NotAttachedTo(all) => list(f, "not attached to", all),
            Sleepable => f.write_str("it may sleep"),
            Trampoline => f.write_str("attached to a function or a hook"),
            Target(names) => list(f, "attached to", names),
            TargetBut(name, end) => write!(f, "attached to `{name}` but not to `{end}`"),
            Bpf => f.write_str("the loader has `CAP_BPF`"),
            Perfmon => f.write_str("the loader has `CAP_PERFMON`"),
            OverrideReturn => f.write_str("the kernel is built with `CONFIG_BPF_KPROBE_OVERRIDE`"),
            ProbeWriteUser => f.write_str("the kernel is not locked down"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, start: &str, all: &[impl fmt::Display]) -> fmt::Result {
    f.write_str(start)?;
    for (at, one) in all.iter().enumerate() {
        write!(f, "{} `{one}`", if at > 0 { "," } else { "" })?;
    }
    Ok(())
}

impl Chain {
    /// The helper that this number means to the program.
    pub(crate) fn find(&self, program: &Program<'_>, id: i32) -> Option<&'static HelperSpec> {
        let own = self.rules.iter().find_map(|rule| match rule {
            Give(helpers) => numbered(helpers, id),
            When(condition, helpers) => numbered(helpers, id).filter(|_| condition.holds(program)),
        });
        own.or_else(|| self.then.iter().find_map(|chain| chain.find(program, id)))
    }
}

fn numbered(helpers: &'static [&'static HelperSpec], id: i32) -> Option<&'static HelperSpec> {
    helpers.iter().copied().find(|helper| helper.id == id)
}
