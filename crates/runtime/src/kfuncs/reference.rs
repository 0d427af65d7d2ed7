//! `docs/kfuncs.md`: every kernel function with its prototype, who may call it, and what stands behind it.

use std::fmt::Write;

use sandbpf_abi::{Hooks, KfuncFlag, KfuncSpec, kfuncs};

use super::{Refused, body, groups, network, tasks};

const INTRODUCTION: &str = "\
# Kernel functions

This page is generated from the table of `crates/abi` and the bodies of `crates/runtime`; a test keeps it current
(`BLESS=1` rewrites it).

A kernel function (kfunc) is called by the number that its type has in one kernel's types. Those numbers differ from kernel
to kernel; here a function is its row, objects name it, and a loader puts the row's number into the call. These are the
functions of Linux 6.18.

| mark | what it says |
|---|---|
| acquire | what it returns must be given back |
| release | takes a reference away |
| null | may return null |
| trusted | its pointers must be valid and referenced, or handed to the program as such |
| sleeps | only for programs that may sleep |
| rcu | its pointers may also be ones that are valid until the end of a read section |
| section | only in a read section |
| new, next, destroy | what it does with an iterator |
| keeps | leaves registers alone that it takes no arguments from |

*implemented*: as in Linux. *host*: what the world outside decides; the default `Host` describes nearly nothing, and what
does not exist is answered as Linux answers then. *none*: means nothing outside of a kernel; calling it is a trap.

";

fn mark(flag: KfuncFlag) -> &'static str {
    match flag {
        KfuncFlag::Acquire => "acquire",
        KfuncFlag::Release => "release",
        KfuncFlag::RetNull => "null",
        KfuncFlag::TrustedArgs => "trusted",
        KfuncFlag::Sleepable => "sleeps",
        KfuncFlag::Destructive => "destructive",
        KfuncFlag::Rcu => "rcu",
        KfuncFlag::RcuProtected => "section",
        KfuncFlag::IterNew => "new",
        KfuncFlag::IterNext => "next",
        KfuncFlag::IterDestroy => "destroy",
        KfuncFlag::Fastcall => "keeps",
        _ => "",
    }
}

fn prototype(kfunc: &KfuncSpec) -> String {
    let declare = |c_type: &str, name: &str| {
        let space = if c_type.ends_with('*') { "" } else { " " };
        format!("{}{space}{name}", c_type.replace("* *", "**"))
    };
    let params: Vec<String> = kfunc.params.iter().map(|param| declare(param.c_type, param.name)).collect();
    let params = if params.is_empty() { "void".into() } else { params.join(", ") };
    format!("{}({params})", declare(kfunc.ret, kfunc.name))
}

fn hooks(hooks: Hooks) -> String {
    match hooks {
        Hooks::All => "all".into(),
        Hooks::Of(types) => types.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", "),
        Hooks::Attached => "none; programs attach to it".into(),
    }
}

fn backing(number: i32, name: &str) -> &'static str {
    let asks_host =
        [groups::KFUNCS, network::KFUNCS, tasks::KFUNCS].into_iter().flatten().any(|row| row.0 == name);
    match body(number) {
        Err(Refused::Meaningless(_) | Refused::Unknown) => "none",
        Ok(_) if asks_host => "host",
        Ok(_) => "implemented",
    }
}

/// The page.
pub fn bodies() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str(
        "| function | what it does | marks | backing | for programs of type |\n|---|---|---|---|---|\n",
    );
    for (number, kfunc) in kfuncs::all() {
        let marks: Vec<&str> = kfunc.flags.iter().map(|&flag| mark(flag)).collect();
        // Writing into a string does not fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            prototype(kfunc),
            kfunc.doc,
            marks.join(" "),
            backing(number, kfunc.name),
            hooks(kfunc.hooks),
        );
    }
    page
}
