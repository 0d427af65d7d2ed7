//! Events for programs that trace: what happened, who was running, what lay in memory. A file of JSON describes them.
//!
//! ```json
//! [{ "program": "enter",
//!    "args": [3, "0x7ffd00001000"],
//!    "task": {"pid": 42, "tgid": 42, "uid": 1000, "comm": "curl"},
//!    "memory": [{"space": "user", "address": "0x7ffd00001000", "text": "/etc/passwd"}],
//!    "time_ns": 1000, "cpu": 0 }]
//! ```
//!
//! The context is what the program is given: `args` and `returned` of a function that is called (for kprobes they are in
//! the registers of x86-64, for other programs words one after the other), or `context`, its bytes in hexadecimal or its
//! fields by name. The names are Linux's where it promises some, and those of the structure that the program takes where
//! it does not, as for tracepoints.

use sandbpf::abi::{Layout, Program, ProgramType};
use sandbpf::object::elf::{Btf, Kind, TypeId};
use sandbpf::{DescribedHost, KindName, Space, Task};
use serde_json::{Value, json};

use crate::{bytes, encode};

/// One event: the context that the program is given, and the world it is in.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Which program of an object sees it, if not the chosen one.
    pub(crate) program: Option<String>,
    pub(crate) context: Vec<u8>,
    pub(crate) host: DescribedHost,
}

/// The longest context that a field of the file makes.
const LONGEST: usize = 1 << 16;

/// The most processors that Linux is built for.
const PROCESSORS: u64 = 8192;

/// Who events are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'o> {
    pub(crate) kind: KindName,
    /// The program that sees events which name none.
    pub(crate) program: Option<&'o str>,
    /// The object's types.
    pub(crate) types: Option<&'o Btf>,
}

/// The events of a file: a list of them, or one.
fn events(described: &Value) -> Result<&[Value], String> {
    match described {
        Value::Array(events) => Ok(events),
        Value::Object(_) => Ok(std::slice::from_ref(described)),
        other => Err(format!("expected an event or a list of events, found {other}")),
    }
}

/// How many processors there are in the worlds of these events, one at least, and the program that the first of them
/// names.
pub(crate) fn survey(described: &Value) -> Result<(u32, Option<&str>), String> {
    let events = events(described)?;
    let cpus = events.iter().filter_map(|event| number(&event["cpu"], "cpu").ok());
    let most = cpus.filter(|&cpu| cpu < PROCESSORS).max().map_or(1, |cpu| cpu as u32 + 1);
    Ok((most, events.iter().find_map(|event| event["program"].as_str())))
}

/// Reads events.
pub(crate) fn parse(described: &Value, audience: Audience<'_>) -> Result<Vec<Scene>, String> {
    let numbered = events(described)?.iter().enumerate();
    numbered.map(|(at, event)| scene(event, audience).map_err(|what| format!("event {at}: {what}"))).collect()
}

/// What an event, a task and a piece of memory may say.
const EVENT: &[&str] = &[
    "args",
    "context",
    "cookie",
    "cpu",
    "function",
    "kernel_stack",
    "memory",
    "program",
    "returned",
    "symbols",
    "task",
    "time_ns",
    "user_stack",
];
const TASK: &[&str] = &["cgroups", "comm", "gid", "pid", "tgid", "uid"];
const MEMORY: &[&str] = &["address", "bytes", "space", "text", "words"];

/// A name that nothing reads is a mistake, not a remark.
fn fields(described: &Value, known: &[&str]) -> Result<(), String> {
    match described {
        Value::Null => Ok(()),
        Value::Object(fields) => match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("`{name}` is no field; there are {}", known.join(", "))),
            None => Ok(()),
        },
        _ => Err(format!("expected fields, found {described}")),
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

fn scene(event: &Value, audience: Audience<'_>) -> Result<Scene, String> {
    fields(event, EVENT)?;
    let mut host = DescribedHost::new()
        .time(number(&event["time_ns"], "time_ns")?)
        .processor(below(&event["cpu"], "cpu", PROCESSORS)? as u32)
        .task(task(&event["task"])?)
        .attach_cookie(number(&event["cookie"], "cookie")?)
        .function(number(&event["function"], "function")?, list(&event["args"], "args")?.len() as u8);
    for (at, piece) in list(&event["memory"], "memory")?.iter().enumerate() {
        let what = |error: String| format!("memory {at}: {error}");
        fields(piece, MEMORY).map_err(what)?;
        let space = match piece["space"].as_str() {
            Some("kernel") => Space::Kernel,
            Some("user") | None => Space::User,
            Some(other) => return Err(what(format!("`{other}` is no space; there are user, kernel"))),
        };
        let address = number(&piece["address"], "address").map_err(what)?;
        let content = content(piece).map_err(what)?;
        host = host.memory(space, address, &content);
    }
    for (field, space) in [("user_stack", Space::User), ("kernel_stack", Space::Kernel)] {
        let addresses = list(&event[field], field)?.iter().map(|address| number(address, field));
        host = host.stack(space, &addresses.collect::<Result<Vec<_>, _>>()?);
    }
    if !matches!(event["symbols"], Value::Null | Value::Object(_)) {
        return Err(format!("symbols: expected names with addresses, found {}", event["symbols"]));
    }
    for (name, address) in event["symbols"].as_object().into_iter().flatten() {
        host = host.symbol(name, number(address, "symbols")?);
    }
    let program = match &event["program"] {
        Value::Null => None,
        Value::String(name) => Some(name.clone()),
        other => return Err(format!("program: expected a name, found {other}")),
    };
    Ok(Scene { program, context: context(event, audience)?, host })
}

/// What lies in a piece of memory: text that a NUL ends, bytes in hexadecimal, or words of eight bytes, such as pointers.
fn content(piece: &Value) -> Result<Vec<u8>, String> {
    let given: Vec<&str> =
        ["text", "bytes", "words"].into_iter().filter(|field| !piece[field].is_null()).collect();
    match (given.as_slice(), &piece["text"], &piece["bytes"]) {
        (["text"], Value::String(text), _) => Ok([text.as_bytes(), &[0]].concat()),
        (["bytes"], _, Value::String(digits)) => {
            bytes::parse(digits).map_err(|error| format!("bytes:{}: {error}", error.column))
        }
        (["words"], ..) => {
            let words = list(&piece["words"], "words")?.iter().map(|word| number(word, "words"));
            Ok(words.collect::<Result<Vec<_>, _>>()?.iter().flat_map(|word| word.to_le_bytes()).collect())
        }
        ([field @ ("text" | "bytes")], ..) => Err(format!("{field}: expected text, found {}", piece[field])),
        _ => Err("expected one of text, bytes and words".into()),
    }
}

fn task(described: &Value) -> Result<Task, String> {
    fields(described, TASK).map_err(|what| format!("task: {what}"))?;
    let mut task = Task::default();
    for (field, to) in
        [("pid", &mut task.pid), ("tgid", &mut task.tgid), ("uid", &mut task.uid), ("gid", &mut task.gid)]
    {
        if !described[field].is_null() {
            *to = below(&described[field], field, 1 << 32)? as u32;
        }
    }
    match &described["comm"] {
        Value::Null => {}
        Value::String(comm) => task.comm = comm.clone(),
        other => return Err(format!("comm: expected text, found {other}")),
    }
    if !described["cgroups"].is_null() {
        let ids = list(&described["cgroups"], "cgroups")?.iter().map(|id| number(id, "cgroups"));
        task.cgroups = ids.collect::<Result<_, _>>()?;
    }
    Ok(task)
}

/// The context's bytes: as they are, by the names of its fields, or as a call. Of what nobody describes there are zeros,
/// as many as is known.
fn context(event: &Value, audience: Audience<'_>) -> Result<Vec<u8>, String> {
    let called = ["args", "returned"].into_iter().find(|field| !event[field].is_null());
    match (called, &event["context"]) {
        (Some(_), Value::Null) => call(event, audience.kind),
        (Some(called), _) => {
            Err(format!("`{called}` and `context` say the same thing twice; give one of them"))
        }
        (None, Value::String(digits)) => {
            bytes::parse(digits).map_err(|error| format!("context:{}: {error}", error.column))
        }
        (None, context @ (Value::Null | Value::Object(_))) => {
            let empty = serde_json::Map::new();
            let fields = context.as_object().unwrap_or(&empty);
            let name = event["program"].as_str().or(audience.program);
            match (layout(audience.kind), context_type(audience, name)) {
                (Some(layout), _) => fields_by_name(fields, layout),
                (None, Some((types, of, size))) => encode::value(Some(types), of, size, &json!(fields)),
                (None, None) if fields.is_empty() => Ok(Vec::new()),
                (None, None) => {
                    Err(format!("a context of {} programs has no fields with names", audience.kind))
                }
            }
            .map_err(|what| format!("context: {what}"))
        }
        _ => Err("context: expected bytes in hexadecimal, or fields by name".into()),
    }
}

/// What Linux promises of the context of these programs.
fn layout(kind: KindName) -> Option<&'static Layout> {
    let name = kind.as_str().replace('-', "_");
    Some(Program::new(ProgramType::from_name(&name)?).view()?.layout)
}

/// The structure that a program of the object takes for its context, and its size: tracepoints have one each.
fn context_type<'o>(audience: Audience<'o>, name: Option<&str>) -> Option<(&'o Btf, TypeId, usize)> {
    let types = audience.types?;
    let function = types.find(name?, |kind| matches!(kind, Kind::Func { .. }))?;
    let &Kind::Func { proto, .. } = types.kind(function)? else { return None };
    let Kind::FuncProto { params, .. } = types.kind(proto)? else { return None };
    let (_, &Kind::Ptr(to)) = types.strip(params.first()?.ty)? else { return None };
    let (of, Kind::Struct(composite)) = types.strip(to)? else { return None };
    let size = usize::try_from(composite.size).ok().filter(|&size| size <= LONGEST)?;
    Some((types, of, size))
}

/// The bytes of a context whose fields have these values.
fn fields_by_name(fields: &serde_json::Map<String, Value>, layout: &Layout) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; layout.size.min(LONGEST)];
    for (name, value) in fields {
        let field = layout.field(name).ok_or_else(|| {
            let names: Vec<&str> = layout.fields.iter().map(|field| field.name).collect();
            format!("`{name}` is no field; there are {}", names.join(", "))
        })?;
        let number = number(value, name)?;
        let size = field.size.clamp(1, 8);
        // All bits above are zero, or the sign.
        let above = (number as i64).checked_shr(8 * size as u32).unwrap_or(0);
        let negative = above == -1 && (number as i64) < 0 && number >> (8 * size - 1) & 1 == 1;
        if above != 0 && !negative {
            return Err(format!("{name}: {value} does not fit {size} bytes"));
        }
        if let Some(place) = bytes.get_mut(field.offset..field.offset + size) {
            place.copy_from_slice(&number.to_le_bytes()[..size]);
        }
    }
    Ok(bytes)
}

/// The context of a call: what the function is given and what it returns, where programs of this kind find them.
fn call(event: &Value, kind: KindName) -> Result<Vec<u8>, String> {
    let args = list(&event["args"], "args")?.iter().map(|arg| number(arg, "args"));
    let mut words = args.collect::<Result<Vec<_>, _>>()?;
    let returned = match &event["returned"] {
        Value::Null => None,
        value => Some(number(value, "returned")?),
    };
    if kind != KindName::Kprobe {
        // After the arguments, as programs at the end of a function see it.
        words.extend(returned);
        return Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect());
    }
    // The convention for calls on x86-64.
    const REGISTERS: [&str; 6] = ["di", "si", "dx", "cx", "r8", "r9"];
    if words.len() > REGISTERS.len() {
        return Err(format!("args: {} are more than registers hold, which is 6", words.len()));
    }
    let names = REGISTERS.into_iter().zip(words).chain(returned.map(|word| ("ax", word)));
    let fields = names.map(|(name, word)| (name.to_string(), Value::from(word))).collect();
    let layout = layout(kind).ok_or("kprobes have no registers")?;
    fields_by_name(&fields, layout)
}

/// A number below a limit.
fn below(value: &Value, what: &str, limit: u64) -> Result<u64, String> {
    let number = number(value, what)?;
    match number < limit {
        true => Ok(number),
        false => Err(format!("{what}: expected a number below {limit}, found {number}")),
    }
}

/// A number, or text that says one; what is not there is 0.
fn number(value: &Value, what: &str) -> Result<u64, String> {
    let parsed = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_u64().or_else(|| number.as_i64().map(|number| number as u64)),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    parsed.ok_or_else(|| format!("{what}: expected a number, found {value}"))
}
