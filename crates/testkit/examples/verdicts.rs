//! Compares the verifier's verdicts with recorded ones: one line of JSON a record, for looking at differences.
//!
//! `ONLY=name` looks at one record, `LEVEL=2` prints our log as well, `CAPS=bpf` asks for a loader that has `CAP_BPF` and
//! `CAP_NET_ADMIN` alone, and compares with what the kernel said to such a one. `CAPS=none` asks for a loader without any,
//! and compares with what the kernel's own tests expect for one (of kernels before 6.17: some are rejected there that
//! are accepted with a barrier now).

use std::io::Read as _;

use base64::Engine as _;
use sandbpf_abi::{AttachType, Powers, Program, ProgramType};
use sandbpf_elf::{Btf, FixupKind, MapDef, Object, Options};
use sandbpf_isa::MapRef;
use sandbpf_types::{Attach, BtfTypes};
use sandbpf_verifier::{Environment, LoadFlags, MapShape, Signature, examine};
use serde_json::{Value, json};
use std::sync::Arc;

fn bytes(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?).ok()
}

fn code(record: &Value) -> Option<Vec<u8>> {
    if let Some(code) = bytes(&record["insns"]) {
        return Some(code);
    }
    let packed = base64::engine::general_purpose::STANDARD.decode(record["insns_z"].as_str()?).ok()?;
    let mut code = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut code).ok()?;
    Some(code)
}

fn map_number(value: &Value) -> u32 {
    match value {
        Value::String(name) => sandbpf::maps::MapType::from_name(name).map_or(0, |map| map as u32),
        other => other.as_u64().unwrap_or(0) as u32,
    }
}

fn shape(
    map: &Value,
    maps: &mut Vec<MapShape>,
    kernel: &Option<Arc<Btf>>,
    object: Option<&Object>,
    def: Option<&MapDef>,
) -> MapShape {
    let number = |name: &str| map[name].as_u64().unwrap_or(0) as u32;
    let mut shape = MapShape {
        name: map["name"].as_str().unwrap_or("").into(),
        map_type: map_number(&map["type"]),
        key_size: number("key_size"),
        value_size: number("value_size"),
        max_entries: number("max_entries"),
        flags: number("map_flags"),
        extra: map["map_extra"].as_u64().unwrap_or(0),
        ..MapShape::default()
    };
    let is_frozen = (map["internal"] == true && shape.flags & 128 != 0) || map["freeze"] == true;
    if is_frozen {
        shape.frozen = true;
        let mut contents =
            bytes(&map["init_value"]).or_else(|| bytes(&map["init"][0]["value"])).unwrap_or_default();
        contents.resize(shape.value_size as usize, 0);
        shape.contents = Some(contents);
    }
    if matches!(shape.map_type, 12 | 13) {
        let inner = if map["inner"].is_object() {
            self::shape(&map["inner"], maps, kernel, object, None)
        } else if let Some(inner) = def.and_then(|def| def.inner.as_deref()) {
            let described = json!({"type": inner.map_type.0, "key_size": inner.key_size, "value_size": inner.value_size,
                "max_entries": inner.max_entries, "map_flags": inner.flags, "btf_value_type_id": inner.value_type});
            self::shape(&described, maps, kernel, object, Some(inner))
        } else {
            MapShape { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, ..MapShape::default() }
        };
        maps.push(inner);
        shape.inner = Some(maps.len() - 1);
    }
    let own = bytes(&map["btf"]).and_then(|btf| Btf::parse(&btf).ok()).map(Arc::new);
    let btf = own.or_else(|| object.and_then(Object::btf).cloned().map(Arc::new));
    let value_type = number("btf_value_type_id");
    if let (Some(btf), true) = (btf, value_type != 0) {
        shape.has_btf = true;
        shape.fields = BtfTypes::new(kernel.clone(), Some(btf)).fields_of(value_type);
    }
    shape
}

/// What a test of the kernel expects for a loader without capabilities, in the form of an answer.
fn expected(of: &Value) -> Value {
    let verdict = match (&of["unpriv"], &of["expect_unpriv"]) {
        (Value::String(verdict), _) if of["unpriv_tested"] == true => verdict,
        (_, Value::String(verdict)) => verdict,
        _ => return Value::Null,
    };
    json!({"verdict": verdict, "error_line": of["unpriv_errstr"], "messages": of["msgs_unpriv"]})
}

fn main() {
    let filter = std::env::var("ONLY").ok();
    let level: u32 = std::env::var("LEVEL").ok().and_then(|level| level.parse().ok()).unwrap_or(0);
    let caps = std::env::var("CAPS").ok();
    let (powers, answers) = match caps.as_deref() {
        None => (Powers::default(), "kernel"),
        Some("bpf") => (Powers { perfmon: false, ..Powers::default() }, "kernel_capbpf"),
        Some("none") => (Powers { bpf: false, perfmon: false, ..Powers::default() }, "expected"),
        Some(other) => panic!("CAPS={other}: `bpf` and `none` are known"),
    };
    let vmlinux =
        std::fs::read("/sys/kernel/btf/vmlinux").ok().and_then(|bytes| Btf::parse(&bytes).ok()).map(Arc::new);
    let mut objects: std::collections::HashMap<String, Option<Arc<Object>>> = Default::default();
    for path in std::env::args().skip(1) {
        let folder = std::path::Path::new(&path).parent().expect("a folder").join("../objects");
        let text = std::fs::read_to_string(&path).expect("readable");
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            let name = record["name"].as_str().unwrap_or("").to_owned();
            if filter.as_ref().is_some_and(|filter| *filter != name) {
                continue;
            }
            let expected = expected(&record["expected"]);
            let kernel = match answers {
                "expected" => &expected,
                "kernel" if record["kernel"].is_null() => &record,
                _ => &record[answers],
            };
            if kernel["comparable"] == false
                || !(kernel["verdict"] == "accept" || kernel["verdict"] == "reject")
            {
                continue;
            }
            let Some(mut code) = code(&record) else { continue };
            let object = record["object"].as_str().and_then(|object| {
                let (first, rest) = object.split_once('/')?;
                let file = match first {
                    "modern-objs" => folder.join("selftests-annotated").join(rest),
                    "progs-objs" => folder.join("selftests-progs").join(rest),
                    _ => folder.join("samples").join(object),
                };
                let kernel = vmlinux.clone();
                objects
                    .entry(object.to_owned())
                    .or_insert_with(|| {
                        let bytes = std::fs::read(file).ok()?;
                        let mut options = Options::new();
                        if let Some(kernel) = kernel {
                            options = options.target(kernel);
                        }
                        options
                            .parse(&bytes)
                            .inspect_err(|error| eprintln!("{object}: {error}"))
                            .ok()
                            .map(Arc::new)
                    })
                    .clone()
            });
            let entry = object.as_ref().and_then(|object| {
                let name = record["program"].as_str()?;
                let section = record["section"].as_str();
                object
                    .entries()
                    .iter()
                    .find(|entry| {
                        entry.name == name && section.is_none_or(|section| entry.section == section)
                    })
                    .cloned()
            });
            let linked = object.as_ref().zip(entry.as_ref()).and_then(|(object, entry)| {
                object.link(entry).inspect_err(|error| eprintln!("{name}: link {error}")).ok()
            });
            for fixup in record["fixups"].as_array().into_iter().flatten() {
                if fixup["kind"] == "kfunc" {
                    let at = fixup["insn"].as_u64().unwrap_or(0) as usize * 8 + 4;
                    let name = fixup["name"].as_str().unwrap_or("");
                    let number = sandbpf_abi::kfuncs::named(name).map_or(0, |(number, _)| number);
                    code[at..at + 4].copy_from_slice(&number.to_le_bytes());
                }
                if fixup["kind"] == "map" {
                    let at = fixup["insn"].as_u64().unwrap_or(0) as usize * 8 + 4;
                    let map = fixup["map"].as_u64().unwrap_or(0) as u32;
                    code[at..at + 4].copy_from_slice(&map.to_le_bytes());
                }
            }
            for fixup in linked.iter().flat_map(|linked| &linked.fixups) {
                let at = fixup.insn * 8 + 4;
                match &fixup.kind {
                    FixupKind::Kfunc { name, .. } => {
                        let number = sandbpf_abi::kfuncs::named(name).map_or(0, |(number, _)| number);
                        code[at..at + 4].copy_from_slice(&number.to_le_bytes());
                    }
                    FixupKind::KernelType { id: Some(id), .. } | FixupKind::TypeId { id, .. } => {
                        code[at..at + 4].copy_from_slice(&id.to_le_bytes());
                    }
                    _ => {}
                }
            }
            let described = record["maps"].as_array().cloned().unwrap_or_default();
            let mut maps: Vec<MapShape> = vec![MapShape::default(); described.len()];
            for (at, map) in described.iter().enumerate() {
                let def = object.as_ref().and_then(|object| {
                    map["name"].as_str().and_then(|name| {
                        object.maps().iter().find(|def| def.name == name || def.kernel_name == name)
                    })
                });
                let shape = shape(map, &mut maps, &vmlinux, object.as_deref(), def);
                maps[at] = shape;
            }
            let count = described.len();
            let map_of = move |map: MapRef| match map {
                MapRef::Fd(fd) => usize::try_from(fd).ok().filter(|&at| at < count),
                MapRef::Index(_) => None,
            };
            let of = ProgramType::from_name(record["prog_type"].as_str().unwrap_or(""))
                .unwrap_or(ProgramType::Unspec);
            let attach = AttachType(record["expected_attach_type"].as_u64().unwrap_or(0) as u32);
            let section = record["section"].as_str().unwrap_or("").trim_start_matches('?');
            let flags = record["prog_flags"].as_u64().unwrap_or(0) as u32
                | entry
                    .as_ref()
                    .and_then(|entry| entry.kind)
                    .or_else(|| sandbpf_elf::SectionKind::of(section))
                    .map_or(0, |kind| kind.program_flags());
            let gpl = record["license"]
                .as_str()
                .is_none_or(|license| license.starts_with("GPL") || license.starts_with("Dual"));
            let program = Program::new(of).attached(attach).licensed(gpl).sleeping(flags & 16 != 0);
            let program = Program { powers, ..program };
            let btf = object.as_deref().and_then(Object::btf).cloned().map(Arc::new);
            let own = bytes(&record["btf"]).and_then(|btf| Btf::parse(&btf).ok()).map(Arc::new);
            let types = BtfTypes::new(vmlinux.clone(), btf.or(own));
            let decoded = sandbpf_isa::decode(&code);
            let mut signatures: Vec<Signature> = Vec::new();
            if let (Some(linked), Ok(decoded)) = (&linked, &decoded) {
                for function in &linked.functions {
                    let Some(entry) = decoded.at_slot(function.insn as u32) else { continue };
                    let Some(type_id) = function.ty else { continue };
                    signatures.push(Signature {
                        entry,
                        name: function.name.clone(),
                        global: function.global,
                        type_id,
                        unreliable: false,
                    });
                }
            } else if let (Some(info), Ok(decoded)) = (record["func_info"].as_array(), &decoded) {
                for function in info {
                    let number = |at: usize| function[at].as_u64().unwrap_or(0) as u32;
                    let Some(entry) = decoded.at_slot(number(0)) else { continue };
                    signatures.push(Signature {
                        entry,
                        name: String::new(),
                        global: false,
                        type_id: number(1),
                        unreliable: false,
                    });
                }
            }
            let attributes =
                object.as_ref().zip(entry.as_ref()).map(|(object, entry)| object.attributes(entry));
            let name_of = match attributes {
                Some(attributes) if of == ProgramType::StructOps => {
                    attributes.attach_type_id.zip(vmlinux.as_deref()).and_then(|(id, btf)| {
                        let member =
                            btf.kind(id)?.composite()?.members.get(attributes.attach_type.0 as usize)?;
                        Some(format!("{}.{}", btf.name(id), btf.member_name(member)))
                    })
                }
                _ => section.split_once('/').map(|(_, target)| target.to_owned()),
            };
            let name_of = name_of.or_else(|| record["attach_btf_name"].as_str().map(str::to_owned));
            let target = name_of
                .as_deref()
                .and_then(|name| sandbpf_types::target(vmlinux.as_deref()?, &program, Attach::Name(name)));
            let hook = target
                .as_ref()
                .map_or("", |target| target.name.strip_prefix("bpf_lsm_").unwrap_or(&target.name));
            let program = program.targeting(hook);
            let env = Environment {
                types: vmlinux.as_ref().map(|_| &types as &dyn sandbpf_verifier::Types),
                signatures: &signatures,
                target: target.as_ref(),
                maps: &maps,
                map_of: &map_of,
                flags: LoadFlags::from_bits(flags),
                log_level: level,
                net_admin: caps.as_deref() != Some("none"),
                ..Environment::new(program)
            };
            let started = std::time::Instant::now();
            let ours = match decoded {
                Err(error) => {
                    let rejection = sandbpf_verifier::undecodable(&error, &code).rejection;
                    json!({"verdict": "reject", "errno": rejection.errno.name(), "line": rejection.message,
                        "insn": error.slot()})
                }
                Ok(program) => {
                    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| examine(&program, &env))) {
                        Err(_) => json!({"verdict": "panic"}),
                        Ok(Ok(verified)) => {
                            if level > 0 {
                                eprintln!("{}", verified.log);
                            }
                            json!({"verdict": "accept", "processed": verified.statistics.processed,
                        "total": verified.statistics.total_states, "peak": verified.statistics.peak_states})
                        }
                        Ok(Err(rejected)) => {
                            if level > 0 {
                                eprintln!("{}", rejected.log);
                            }
                            json!({"verdict": "reject",
                        "errno": rejected.rejection.errno.name(), "line": rejected.rejection.message,
                        "insn": rejected.rejection.pc.map(|pc| program.slot(pc)),
                        "processed": rejected.statistics.processed})
                        }
                    }
                }
            };
            let theirs = json!({"verdict": kernel["verdict"], "errno": kernel["errno"], "line": kernel["error_line"],
                "insn": kernel["last_insn"], "processed": kernel["processed"], "class": kernel["error_class"],
                "total": kernel["total_states"], "peak": kernel["peak_states"]});
            println!(
                "{}",
                json!({"name": name, "file": record["file"], "type": record["prog_type"], "ours": ours, "kernel": theirs,
                "no_object": record["object"].is_string() && linked.is_none(), "usec": started.elapsed().as_micros() as u64, "features": record["features"]})
            );
        }
    }
}
