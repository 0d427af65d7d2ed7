//! Profiles of container runtimes: the JSON of Docker, Podman and the OCI runtime specification, made a classic filter.
//!
//! The rules are those of runc and libseccomp. A system call that no rule names has the default action; rules whose
//! action is the default one say nothing; a rule without conditions decides alone; of several conditions of a rule all
//! must hold, but those on one argument are alternatives. What `includes` and `excludes` ask is answered for a container
//! with Docker's own capabilities, on x86-64 and Linux 6.18. Other architectures than those of the profile are killed.
//!
//! Two things are the runtimes' own and not made: the answer `ENOSYS` that runc puts before the filter for system calls
//! newer than every one the profile names, and 32-bit socket calls through `socketcall`.

use serde_json::Value;

use crate::syscall::names::{self, Table, X32_BIT};

/// What a container has if nobody asks for more: Docker's default.
const CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
const NATIVE: &str = "SCMP_ARCH_X86_64";
const NATIVE_NAME: &str = "amd64";
const KERNEL: (u64, u64) = (6, 18);

/// The architectures whose system calls have names here, with `AUDIT_ARCH_*`.
const ARCHITECTURES: &[(&str, Table, u32)] = &[
    ("SCMP_ARCH_X86_64", Table::X86_64, 0xc000_003e),
    ("SCMP_ARCH_X32", Table::X32, 0xc000_003e),
    ("SCMP_ARCH_X86", Table::I386, 0x4000_0003),
    ("SCMP_ARCH_AARCH64", Table::Aarch64, 0xc000_00b7),
];

const PROFILE: &[&str] = &[
    "archMap",
    "architectures",
    "comment",
    "defaultAction",
    "defaultErrno",
    "defaultErrnoRet",
    "flags",
    "listenerMetadata",
    "listenerPath",
    "syscalls",
];
const RULE: &[&str] =
    &["action", "args", "comment", "errno", "errnoRet", "excludes", "includes", "name", "names"];

/// One rule for the system calls it names.
#[derive(Debug)]
struct Rule<'p> {
    names: Vec<&'p str>,
    action: u32,
    /// Alternatives, each of conditions that must all hold.
    conditions: Vec<Vec<Condition>>,
}

#[derive(Clone, Copy, Debug)]
struct Condition {
    /// Which argument.
    index: u64,
    op: Op,
    value: u64,
    /// What is looked at of the argument.
    mask: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Whether a text is a profile, by its first lines.
pub(crate) fn is_profile(text: &str) -> bool {
    text.trim_start().starts_with('{') && text.contains("\"defaultAction\"")
}

/// The filter that a profile stands for, in the language of the kernel's assembler.
pub(crate) fn compile(profile: &Value) -> Result<String, String> {
    known_fields(profile, PROFILE)?;
    let default = action(&profile["defaultAction"], &profile["defaultErrnoRet"])
        .map_err(|what| format!("defaultAction: {what}"))?;
    let mut rules = Vec::new();
    for (at, described) in list(&profile["syscalls"], "syscalls")?.iter().enumerate() {
        let rule = rule(described).map_err(|what| format!("syscalls, rule {at}: {what}"))?;
        rules.extend(rule.filter(|rule| rule.action != default));
    }
    let archs = architectures(profile)?;
    let mut text = String::from("ld [4]\n");
    let mut audited: Vec<u32> = archs.iter().map(|arch| arch.1).collect();
    audited.dedup();
    for arch in &audited {
        text.push_str(&format!(
            "jeq #{arch:#x}, at_{arch:x}, not_{arch:x}\nat_{arch:x}: ja calls_{arch:x}\nnot_{arch:x}: "
        ));
    }
    text.push_str("ret #0\n");
    for arch in audited {
        text.push_str(&format!("calls_{arch:x}: ld [0]\n"));
        let tables: Vec<Table> = archs.iter().filter(|own| own.1 == arch).map(|own| own.0).collect();
        if arch == ARCHITECTURES[0].2 {
            // One architecture to the kernel, two to programs; who is not asked for is killed.
            let native = tables.contains(&Table::X86_64);
            match (native, tables.contains(&Table::X32)) {
                (true, true) => {}
                (true, false) => {
                    text.push_str(&format!("jge #{X32_BIT:#x}, foreign, native\nforeign: ret #0\nnative: "))
                }
                (false, _) => {
                    text.push_str(&format!("jge #{X32_BIT:#x}, native, foreign\nforeign: ret #0\nnative: "))
                }
            }
        }
        for table in tables {
            calls(&mut text, table, &rules, default);
        }
        text.push_str(&format!("ret #{default:#x}\n"));
    }
    Ok(text)
}

/// What becomes of the system calls of an architecture.
fn calls(text: &mut String, table: Table, rules: &[Rule<'_>], default: u32) {
    let wide = matches!(table, Table::X86_64 | Table::Aarch64);
    for (name, number) in table.calls() {
        let own: Vec<&Rule<'_>> = rules.iter().filter(|rule| rule.names.contains(&name)).collect();
        let label = format!("{table:?}_{number}").to_lowercase();
        let alone = own.iter().find(|rule| rule.conditions.is_empty());
        match (alone, own.is_empty()) {
            (_, true) => {}
            (Some(rule), _) => {
                text.push_str(&format!(
                    "jeq #{number}, {label}, after_{label}\n{label}: ret #{:#x}\nafter_{label}: ",
                    rule.action
                ));
            }
            (None, false) => {
                text.push_str(&format!(
                    "jeq #{number}, {label}, jump_{label}\njump_{label}: ja after_{label}\n{label}: "
                ));
                let mut at = 0;
                for rule in own {
                    for alternative in &rule.conditions {
                        let next = format!("{label}_{at}");
                        alternative.iter().enumerate().for_each(|(n, condition)| {
                            test(text, condition, wide, &format!("{next}_{n}"), &next);
                        });
                        text.push_str(&format!("ret #{:#x}\n{next}: ", rule.action));
                        at += 1;
                    }
                }
                text.push_str(&format!("ret #{default:#x}\nafter_{label}: "));
            }
        }
    }
}

/// Goes on if the condition holds, to `no` if not. Arguments have 64 bits, words 32.
fn test(text: &mut String, condition: &Condition, wide: bool, yes: &str, no: &str) {
    let Condition { index, op, value, mask } = *condition;
    let (low, high) = (16 + 8 * index, 20 + 8 * index);
    let load = |at: u64, mask: u64| match mask {
        0xffff_ffff => format!("ld [{at}]\n"),
        mask => format!("ld [{at}]\nand #{mask:#x}\n"),
    };
    let (value_high, value_low) = (value >> 32, value & 0xffff_ffff);
    let first = match op {
        // Arguments of 32 bits have one half.
        _ if !wide => String::new(),
        Op::Eq => format!("jne #{value_high:#x}, {no}\n"),
        Op::Ne => format!("jne #{value_high:#x}, {yes}\n"),
        Op::Gt | Op::Ge => format!("jgt #{value_high:#x}, {yes}\njne #{value_high:#x}, {no}\n"),
        Op::Lt | Op::Le => format!("jlt #{value_high:#x}, {yes}\njne #{value_high:#x}, {no}\n"),
    };
    if wide {
        text.push_str(&load(high, mask >> 32));
    }
    text.push_str(&first);
    text.push_str(&load(low, mask & 0xffff_ffff));
    // The assembler's other comparisons have one way to go.
    let (last, then, otherwise) = match op {
        Op::Eq => ("jeq", yes, no),
        Op::Ne => ("jeq", no, yes),
        Op::Gt => ("jgt", yes, no),
        Op::Le => ("jgt", no, yes),
        Op::Ge => ("jge", yes, no),
        Op::Lt => ("jge", no, yes),
    };
    text.push_str(&format!("{last} #{value_low:#x}, {then}, {otherwise}\n{yes}: "));
}

/// A rule, if it is one for this container.
fn rule(described: &Value) -> Result<Option<Rule<'_>>, String> {
    known_fields(described, RULE)?;
    let mut names: Vec<&str> = Vec::new();
    for name in list(&described["names"], "names")?.iter().chain(Some(&described["name"])) {
        match name {
            Value::Null => {}
            // Profiles name what only some kernels have.
            Value::String(name) if names::is_known(name) => names.push(name),
            Value::String(_) => {}
            other => return Err(format!("names: expected a name, found {other}")),
        }
    }
    let action =
        action(&described["action"], &described["errnoRet"]).map_err(|what| format!("action: {what}"))?;
    let mut all: Vec<Condition> = Vec::new();
    for (at, arg) in list(&described["args"], "args")?.iter().enumerate() {
        all.push(condition(arg).map_err(|what| format!("args, {at}: {what}"))?);
    }
    let repeats = (1..all.len()).any(|at| all[..at].iter().any(|other| other.index == all[at].index));
    let conditions = match repeats {
        true => all.iter().map(|&one| vec![one]).collect(),
        false if all.is_empty() => Vec::new(),
        false => vec![all],
    };
    let included = holds(&described["includes"], true).map_err(|what| format!("includes: {what}"))?;
    let excluded = holds(&described["excludes"], false).map_err(|what| format!("excludes: {what}"))?;
    Ok((included && !excluded).then_some(Rule { names, action, conditions }))
}

fn condition(described: &Value) -> Result<Condition, String> {
    known_fields(described, &["index", "op", "value", "valueTwo"])?;
    let word = |field: &str| match &described[field] {
        Value::Null => Ok(0),
        value => value.as_u64().ok_or_else(|| format!("{field}: expected a number, found {value}")),
    };
    let (index, value, second) = (word("index")?, word("value")?, word("valueTwo")?);
    if index > 5 {
        return Err(format!("index: a system call has arguments 0 to 5, found {index}"));
    }
    let op = match described["op"].as_str() {
        Some("SCMP_CMP_EQ") => Op::Eq,
        Some("SCMP_CMP_NE") => Op::Ne,
        Some("SCMP_CMP_LT") => Op::Lt,
        Some("SCMP_CMP_LE") => Op::Le,
        Some("SCMP_CMP_GT") => Op::Gt,
        Some("SCMP_CMP_GE") => Op::Ge,
        Some("SCMP_CMP_MASKED_EQ") => {
            return Ok(Condition { index, op: Op::Eq, value: second & value, mask: value });
        }
        _ => {
            return Err(format!(
                "op: expected SCMP_CMP_EQ, NE, LT, LE, GT, GE or MASKED_EQ, found {}",
                described["op"]
            ));
        }
    };
    Ok(Condition { index, op, value, mask: u64::MAX })
}

/// Whether what a rule asks of its container is so: all of it, or any.
fn holds(asked: &Value, all: bool) -> Result<bool, String> {
    if asked.is_null() {
        return Ok(all);
    }
    known_fields(asked, &["arches", "caps", "minKernel"])?;
    let mut answers = Vec::new();
    if !list(&asked["arches"], "arches")?.is_empty() {
        answers.push(list(&asked["arches"], "arches")?.iter().any(|arch| arch == NATIVE_NAME));
    }
    for capability in list(&asked["caps"], "caps")? {
        answers.push(capability.as_str().is_some_and(|name| CAPABILITIES.contains(&name)));
    }
    match &asked["minKernel"] {
        Value::Null => {}
        Value::String(version) => {
            let parsed = version
                .split_once('.')
                .and_then(|(major, minor)| Some((major.parse::<u64>().ok()?, minor.parse::<u64>().ok()?)));
            let least = parsed.ok_or_else(|| format!("minKernel: `{version}` is no version such as 4.8"))?;
            answers.push(least <= KERNEL);
        }
        other => return Err(format!("minKernel: expected a version such as 4.8, found {other}")),
    }
    Ok(if all { answers.iter().all(|&answer| answer) } else { answers.contains(&true) })
}

/// `SECCOMP_RET_*` with its data.
fn action(name: &Value, data: &Value) -> Result<u32, String> {
    let errno = match data {
        Value::Null => Some(1),
        value => value.as_u64().filter(|&number| number <= 0xffff),
    };
    let errno = errno.ok_or_else(|| format!("errnoRet: expected a number of 16 bits, found {data}"))? as u32;
    Ok(match name.as_str() {
        Some("SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD") => 0,
        Some("SCMP_ACT_KILL_PROCESS") => 0x8000_0000,
        Some("SCMP_ACT_TRAP") => 0x0003_0000,
        Some("SCMP_ACT_ERRNO") => 0x0005_0000 | errno,
        Some("SCMP_ACT_NOTIFY") => 0x7fc0_0000,
        Some("SCMP_ACT_TRACE") => 0x7ff0_0000 | errno,
        Some("SCMP_ACT_LOG") => 0x7ffc_0000,
        Some("SCMP_ACT_ALLOW") => 0x7fff_0000,
        _ => {
            return Err(format!(
                "expected SCMP_ACT_KILL, KILL_THREAD, KILL_PROCESS, TRAP, ERRNO, NOTIFY, TRACE, LOG or ALLOW, found {name}"
            ));
        }
    })
}

/// The architectures that a profile is for, those of one `AUDIT_ARCH_*` together.
fn architectures(profile: &Value) -> Result<Vec<(Table, u32)>, String> {
    let mut asked: Vec<&Value> = list(&profile["architectures"], "architectures")?.iter().collect();
    for entry in list(&profile["archMap"], "archMap")? {
        known_fields(entry, &["architecture", "subArchitectures"])
            .map_err(|what| format!("archMap: {what}"))?;
        if entry["architecture"] == NATIVE {
            asked.push(&entry["architecture"]);
            asked.extend(list(&entry["subArchitectures"], "subArchitectures")?);
        }
    }
    let rows = ARCHITECTURES.iter().filter(|row| match asked.is_empty() {
        true => row.0 == NATIVE,
        false => asked.iter().any(|asked| *asked == row.0),
    });
    let known: Vec<(Table, u32)> = rows.map(|row| (row.1, row.2)).collect();
    match known.is_empty() {
        false => Ok(known),
        true => {
            let names: Vec<&str> = ARCHITECTURES.iter().map(|row| row.0).collect();
            Err(format!("architectures: expected one of {}, found none of them", names.join(", ")))
        }
    }
}

/// The values of a field that is a list, or none.
fn list<'a>(described: &'a Value, what: &str) -> Result<&'a [Value], String> {
    match described {
        Value::Null => Ok(&[]),
        Value::Array(values) => Ok(values),
        _ => Err(format!("{what}: expected a list, found {described}")),
    }
}

/// A field that nothing reads would be a rule that nobody follows.
fn known_fields(described: &Value, known: &[&str]) -> Result<(), String> {
    match described {
        Value::Object(fields) => match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("`{name}` is no field; there are {}", known.join(", "))),
            None => Ok(()),
        },
        _ => Err(format!("expected fields, found {described}")),
    }
}
