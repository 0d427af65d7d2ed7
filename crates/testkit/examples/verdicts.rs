//! Compares the verifier's verdicts with recorded ones: one line of JSON a record, for looking at differences.

use std::io::Read as _;

use base64::Engine as _;
use sandbpf_abi::{AttachType, Program, ProgramType};
use sandbpf_elf::{Btf, Kind, TypeId};
use sandbpf_isa::MapRef;
use sandbpf_verifier::{
    Environment, FieldKind, KptrKind, LoadFlags, MapShape, SpecialField, TypeRef, examine,
};
use serde_json::{Value, json};

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

fn fields(btf: &Btf, id: TypeId, base: u32, out: &mut Vec<SpecialField>) {
    let Some((id, kind)) = btf.strip(id) else { return };
    let Some(composite) = kind.composite() else { return };
    let _ = id;
    for member in &composite.members {
        let offset = base + member.bit_offset / 8;
        let Some((target, kind)) = btf.strip(member.ty) else { continue };
        let found = match btf.name(target) {
            "bpf_spin_lock" => Some((FieldKind::SpinLock, 4)),
            "bpf_res_spin_lock" => Some((FieldKind::ResSpinLock, 8)),
            "bpf_timer" => Some((FieldKind::Timer, 16)),
            "bpf_wq" => Some((FieldKind::Workqueue, 16)),
            "bpf_list_node" => Some((FieldKind::ListNode, 24)),
            "bpf_rb_node" => Some((FieldKind::RbNode, 32)),
            "bpf_refcount" => Some((FieldKind::Refcount, 4)),
            _ => None,
        };
        if let Some((kind, size)) = found {
            out.push(SpecialField { kind, offset, size });
            continue;
        }
        match kind {
            Kind::Ptr(to) => {
                if let Some(Kind::TypeTag(inner)) = btf.kind(*to) {
                    let kind = match btf.name(*to) {
                        "kptr_untrusted" => KptrKind::Untrusted,
                        "kptr" => KptrKind::Referenced,
                        "percpu_kptr" => KptrKind::Percpu,
                        _ => continue,
                    };
                    let target = TypeRef::program(*inner);
                    out.push(SpecialField { kind: FieldKind::Kptr { kind, target }, offset, size: 8 });
                }
            }
            Kind::Struct(_) => fields(btf, member.ty, offset, out),
            _ => {}
        }
    }
}

fn shape(map: &Value, maps: &mut Vec<MapShape>) -> MapShape {
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
            self::shape(&map["inner"], maps)
        } else {
            MapShape { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, ..MapShape::default() }
        };
        maps.push(inner);
        shape.inner = Some(maps.len() - 1);
    }
    if let Some(btf) = bytes(&map["btf"]) {
        shape.has_btf = true;
        if let Ok(btf) = Btf::parse(&btf) {
            fields(&btf, number("btf_value_type_id"), 0, &mut shape.fields);
        }
    }
    shape
}

fn main() {
    let filter = std::env::var("ONLY").ok();
    let level: u32 = std::env::var("LEVEL").ok().and_then(|level| level.parse().ok()).unwrap_or(0);
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).expect("readable");
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            let name = record["name"].as_str().unwrap_or("").to_owned();
            if filter.as_ref().is_some_and(|filter| *filter != name) {
                continue;
            }
            let kernel = &record["kernel"];
            if kernel["comparable"] == false
                || !(kernel["verdict"] == "accept" || kernel["verdict"] == "reject")
            {
                continue;
            }
            let Some(mut code) = code(&record) else { continue };
            for fixup in record["fixups"].as_array().into_iter().flatten() {
                if fixup["kind"] == "map" {
                    let at = fixup["insn"].as_u64().unwrap_or(0) as usize * 8 + 4;
                    let map = fixup["map"].as_u64().unwrap_or(0) as u32;
                    code[at..at + 4].copy_from_slice(&map.to_le_bytes());
                }
            }
            let described = record["maps"].as_array().cloned().unwrap_or_default();
            let mut maps: Vec<MapShape> = vec![MapShape::default(); described.len()];
            for (at, map) in described.iter().enumerate() {
                let shape = shape(map, &mut maps);
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
            let flags = record["prog_flags"].as_u64().unwrap_or(0) as u32;
            let gpl = record["license"]
                .as_str()
                .is_none_or(|license| license.starts_with("GPL") || license.starts_with("Dual"));
            let program = Program::new(of).attached(attach).licensed(gpl).sleeping(flags & 16 != 0);
            let env = Environment {
                maps: &maps,
                map_of: &map_of,
                flags: LoadFlags::from_bits(flags),
                log_level: level,
                ..Environment::new(program)
            };
            let started = std::time::Instant::now();
            let ours = match sandbpf_isa::decode(&code) {
                Err(error) => {
                    json!({"verdict": "reject", "errno": "EINVAL", "line": format!("decode: {error}")})
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
                "usec": started.elapsed().as_micros() as u64, "features": record["features"]})
            );
        }
    }
}
