//! Every recorded program of the corpus whose object file is there: the linked instructions, what must be put into
//! them, and the maps equal what libbpf (or the recording's own loader, for objects of earlier loaders) gave to the
//! kernel.
//!
//! The corpus is looked for in `../shared/corpus` beside the repository, or where `SANDBPF_CORPUS` says. Numbers of
//! kernel types differ between builds of a kernel: each must belong to one name, in the same order. Objects that adapt
//! themselves to a kernel are left out where a kernel of another version runs.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use sandbpf_elf::{
    Btf, FixupKind, MapDef, MapKind, MapType, Object, ObjectProgram, Options, ProgramType, SectionKind,
};
use serde_json::Value;

/// The kernel that was asked.
const RECORDED_KERNEL: &str = "6.18.44";
/// Processors of the machine it ran on.
const PROCESSORS: u32 = 2;

fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("SANDBPF_CORPUS").map(PathBuf::from);
    let path = path.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"));
    if path.join("kernel").is_dir() {
        return Some(path);
    }
    println!("the corpus is absent ({}): nothing compared", path.display());
    None
}

/// What is known of the running kernel, if it is the recorded one.
struct Kernel {
    types: Option<Arc<Btf>>,
    config: String,
}

fn kernel() -> Kernel {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let types =
        std::fs::read("/sys/kernel/btf/vmlinux").ok().filter(|_| release.starts_with(RECORDED_KERNEL));
    let types = types.map(|bytes| Arc::new(Btf::parse(&bytes).expect("the kernel's types")));
    if types.is_none() {
        println!(
            "the recorded kernel {RECORDED_KERNEL} is absent: objects that adapt themselves are left out"
        );
    }
    let mut config = String::new();
    if let Ok(file) = std::fs::File::open("/proc/config.gz") {
        flate2::read::GzDecoder::new(file).read_to_string(&mut config).expect("the kernel's configuration");
    }
    Kernel { types, config }
}

/// Numbers of kernel types: ours and the recorded ones, by name. Kernels of one version number them alike but for
/// what their configuration leaves out, so that the order is the same.
#[derive(Default)]
struct Numbers(BTreeMap<(bool, String), (u32, u32)>);

impl Numbers {
    fn add(&mut self, function: bool, name: &str, ours: Option<u32>, recorded: u32) -> Result<(), String> {
        let pair = (ours.unwrap_or(0), recorded);
        let known = *self.0.entry((function, name.to_owned())).or_insert(pair);
        if known != pair {
            return Err(format!("{name} has the numbers {pair:?}, and elsewhere {known:?}"));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let mut pairs: Vec<_> = self.0.iter().map(|((_, name), pair)| (pair, name)).collect();
        pairs.sort();
        pairs.dedup();
        for pair in pairs.windows(2) {
            let ((one, first), (other, second)) = (pair[0], pair[1]);
            if one.0 != 0 && one.1 >= other.1 {
                return Err(format!("{first} {one:?} and {second} {other:?} are in another order"));
            }
        }
        println!("{} numbers of kernel types are in the recorded order", pairs.len());
        Ok(())
    }
}

#[derive(Default)]
struct Counts {
    numbers: Numbers,
    compared: usize,
    equal: usize,
    without_instructions: usize,
    absent: usize,
    left_out: usize,
    failures: Vec<String>,
    objects: HashMap<(PathBuf, bool), Result<Object, String>>,
}

fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or("")
}

fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap_or(0)
}

fn instructions(record: &Value) -> Option<Vec<u8>> {
    if let Some(packed) = record["insns_z"].as_str() {
        let packed = base64::engine::general_purpose::STANDARD.decode(packed).expect("base64");
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("zlib");
        return Some(bytes);
    }
    record["insns"].as_str().map(|hex| hex::decode(hex).expect("hexadecimal"))
}

fn object_path(corpus: &Path, record: &Value) -> (PathBuf, String) {
    let object = text(record, "object");
    let base = object.rsplit('/').next().unwrap_or(object);
    let candidates = [
        corpus.join("objects/samples-patched").join(object.replace('/', "__")),
        corpus.join("objects/samples").join(object),
        corpus.join("objects/selftests-progs").join(base),
        corpus.join("objects/selftests-annotated").join(base),
    ];
    // The file's name up to the first dot, as libbpf takes it.
    let path = match object.split('/').next() {
        Some("progs-objs") => &candidates[2],
        Some("modern-objs") => &candidates[3],
        _ if candidates[0].exists() => &candidates[0],
        _ => &candidates[1],
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    (path.clone(), name.split('.').next().unwrap_or("").to_owned())
}

fn compare(corpus: &Path, kernel: &Kernel, file: &str, counts: &mut Counts) {
    for record in records(&corpus.join("kernel").join(file)) {
        let name = text(&record, "name").to_owned();
        let compat = text(&record, "loader") == "compat";
        let (path, object_name) = object_path(corpus, &record);
        if !path.exists() {
            counts.absent += 1;
            continue;
        }
        // Some tests bring the types of a kernel along.
        let types = record["expected"]["btf_path"].as_str().and_then(|name| name.split('.').next());
        let types = types.map(|name| path.with_file_name(format!("{name}.o"))).map(|path| {
            [path.clone(), corpus.join("objects/selftests-progs").join(path.file_name().unwrap_or_default())]
        });
        let types = types.and_then(|paths| paths.iter().find_map(|path| std::fs::read(path).ok()));
        let core = types.map(|bytes| Object::parse(&bytes).expect("types").btf().expect("types").clone());
        let object = counts.objects.entry((path.clone(), compat)).or_insert_with(|| {
            let bytes = std::fs::read(&path).expect("an object file");
            let mut options =
                Options::new().name(object_name).kconfig(&*kernel.config).processors(PROCESSORS);
            // Probes were locked, and so libbpf found no wrapper.
            options = options.syscall_wrapper(false).kernel_version(6, 18, 44).kernel_symbols(|_| Some(0));
            if let Some(types) = core {
                options = options.core_target(Arc::new(types));
            }
            if let Some(types) = &kernel.types {
                options = options.target(Arc::clone(types));
            }
            options.parse(&bytes).map_err(|error| error.to_string())
        });
        let Some(expected) = instructions(&record) else {
            counts.without_instructions += 1;
            let maps =
                object.as_ref().map_err(String::clone).and_then(|object| maps_equal(object, &record, compat));
            if let Err(what) = maps {
                counts.failures.push(format!("{file} {name}: {what}"));
            }
            continue;
        };
        if kernel.types.is_none() && object.as_ref().is_ok_and(|object| object.core_relocations() > 0) {
            counts.left_out += 1;
            continue;
        }
        counts.compared += 1;
        match one(object, &record, &expected, compat, &mut counts.numbers) {
            Ok(()) => counts.equal += 1,
            Err(what) => counts.failures.push(format!("{file} {name}: {what}")),
        }
    }
}

fn one(
    object: &Result<Object, String>,
    record: &Value,
    expected: &[u8],
    compat: bool,
    numbers: &mut Numbers,
) -> Result<(), String> {
    let object = object.as_ref().map_err(|error| format!("not read: {error}"))?;
    let (section, program) = (text(record, "section"), text(record, "program"));
    let entry = object.entries().iter().find(|entry| {
        entry.name == program && (section.is_empty() || entry.section == section.trim_start_matches('?'))
    });
    let entry = entry.ok_or_else(|| format!("no program {program} in {section}"))?;
    let linked = object.link(entry).map_err(|error| format!("not linked: {error}"))?;
    instructions_equal(&linked, record, expected, numbers)?;
    if object.license() != text(record, "license") && record["license"].is_string() {
        return Err(format!("license {:?}, recorded {:?}", object.license(), text(record, "license")));
    }
    if let Some(count) = record["func_info_cnt"].as_u64() {
        let known = linked.functions.iter().filter(|function| function.ty.is_some()).count();
        if known as u64 != count {
            return Err(format!("{known} functions with types, recorded {count}"));
        }
    }
    kind_equal(&linked, record, compat)?;
    if compat && record["maps"].as_array().is_none_or(Vec::is_empty) && linked.fixups.is_empty() {
        // The recording's loader left out maps that it could not fill with programs.
        return Ok(());
    }
    maps_equal(object, record, compat)
}

fn maps_equal(object: &Object, record: &Value, compat: bool) -> Result<(), String> {
    // libbpf asks the kernel for its structures of functions when every extern is there, not before.
    let asked = record["kernel"]["stage"] != "libbpf" || record["insn_cnt"].is_u64();
    let Some(maps) = record["maps"].as_array() else { return Ok(()) };
    if maps.len() != object.maps().len() {
        return Err(format!("{} maps, recorded {}", object.maps().len(), maps.len()));
    }
    for (map, recorded) in object.maps().iter().zip(maps) {
        map_equal(map, recorded, compat, asked).map_err(|what| format!("map {}: {what}", map.name))?;
    }
    Ok(())
}

fn instructions_equal(
    linked: &ObjectProgram,
    record: &Value,
    expected: &[u8],
    numbers: &mut Numbers,
) -> Result<(), String> {
    let (mut ours, mut theirs) = (linked.insns.clone(), expected.to_vec());
    if ours.len() != theirs.len() {
        return Err(format!("{} instructions, recorded {}", ours.len() / 8, theirs.len() / 8));
    }
    let mut maps: BTreeMap<u64, u64> = BTreeMap::new();
    let mut kfuncs: BTreeMap<&str, u64> = BTreeMap::new();
    for fixup in &linked.fixups {
        let at = fixup.insn * 8;
        let immediate = theirs.get(at + 4..).and_then(|rest| rest.first_chunk::<4>());
        let immediate = immediate.map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let blank = match &fixup.kind {
            FixupKind::Map { map } | FixupKind::MapValue { map, .. } => {
                maps.insert(fixup.insn as u64, *map as u64);
                0
            }
            // Addresses are those of one boot.
            FixupKind::KernelAddress { .. } => 2,
            FixupKind::KernelType { name, id } => {
                numbers.add(false, name, *id, immediate)?;
                1
            }
            FixupKind::TypeId { name, id } => {
                numbers.add(false, name, Some(*id), immediate)?;
                1
            }
            FixupKind::Kfunc { name, id } => {
                numbers.add(true, name, *id, immediate)?;
                *kfuncs.entry(name).or_default() += 1;
                1
            }
            _ => 0,
        };
        for half in 0..blank {
            ours[at + 8 * half + 4..at + 8 * half + 8].fill(0);
            theirs[at + 8 * half + 4..at + 8 * half + 8].fill(0);
        }
    }
    if ours != theirs {
        let at = ours.chunks(8).zip(theirs.chunks(8)).position(|(a, b)| a != b).unwrap_or(0);
        let show = |code: &[u8]| hex::encode(&code[at * 8..at * 8 + 8]);
        let place = linked.location(at).map(|place| place.to_string()).unwrap_or_default();
        return Err(format!("instruction {at} is {}, recorded {} ({place})", show(&ours), show(&theirs)));
    }
    for (name, count) in record["kfuncs"].as_object().into_iter().flatten() {
        // The recording names what its kernel's types name; a weak one may have been found by another name.
        if kfuncs.get(name.as_str()).copied() != count.as_u64() {
            return Err(format!("{kfuncs:?} are called, recorded {name} {count}"));
        }
    }
    let fixups = record["fixups"].as_array().map_or(&[][..], Vec::as_slice);
    let recorded: BTreeMap<u64, u64> = fixups
        .iter()
        .filter(|fixup| text(fixup, "kind") == "map")
        .map(|fixup| (number(fixup, "insn"), number(fixup, "map")))
        .collect();
    if maps != recorded {
        let first = maps.iter().find(|(insn, map)| recorded.get(insn) != Some(map));
        return Err(format!("{} references to maps, recorded {} ({first:?})", maps.len(), recorded.len()));
    }
    Ok(())
}

/// The type and attachment that follow from the section's name.
fn kind_equal(linked: &ObjectProgram, record: &Value, compat: bool) -> Result<(), String> {
    let recorded = ProgramType::from_name(text(record, "prog_type")).ok_or("unknown type recorded")?;
    let attach = number(record, "expected_attach_type");
    let Some(kind) = linked.entry.kind else {
        // The recording was told what such sections hold; what early loaders guessed is the same.
        let legacy = SectionKind::legacy(&linked.entry.section).filter(|_| compat);
        if let Some(kind) = legacy.filter(|kind| kind.program_type != recorded) {
            return Err(format!("type {} by its prefix, recorded {recorded}", kind.program_type));
        }
        return if recorded == ProgramType::Unspec || record["prog_type_guessed"] == true {
            Ok(())
        } else {
            Err(format!("section {} says nothing, recorded {recorded}", linked.entry.section))
        };
    };
    if kind.program_type != recorded {
        return Err(format!("type {}, recorded {recorded}", kind.program_type));
    }
    if u64::from(kind.attach_type.0) != attach && !compat {
        return Err(format!("attach type {}, recorded {attach}", kind.attach_type));
    }
    Ok(())
}

fn map_equal(map: &MapDef, recorded: &Value, compat: bool, asked: bool) -> Result<(), String> {
    let differs = |what: &str, ours: &dyn std::fmt::Display, theirs: &dyn std::fmt::Display| {
        Err(format!("{what} {ours}, recorded {theirs}"))
    };
    // The recording's loader names data by its section.
    let name = if compat && map.kind.is_internal() { &map.section } else { &map.name };
    if name != text(recorded, "name") {
        return differs("name", name, &text(recorded, "name"));
    }
    if map.map_type.to_string() != text(recorded, "type") {
        return differs("type", &map.map_type, &text(recorded, "type"));
    }
    let (mut key_size, mut value_size) = (map.key_size, map.value_size);
    if !compat && matches!(map.map_type.known(), Some(MapType::Ringbuf | MapType::UserRingbuf)) {
        // The recording took them away: other loaders allow a type here, the kernel refuses it.
        (key_size, value_size) = (0, 0);
    }
    if let MapKind::StructOps(ops) = &map.kind
        && !asked
    {
        value_size = ops.data.len() as u32;
    }
    // The recording's loader knows nothing of mapping into user space.
    let mmapable = if compat && map.kind.is_internal() { 1 << 10 } else { 0 };
    for (what, ours) in [
        ("key_size", u64::from(key_size)),
        ("value_size", u64::from(value_size)),
        ("max_entries", u64::from(map.max_entries)),
        ("map_flags", u64::from(map.flags & !mmapable)),
        ("map_extra", map.extra),
    ] {
        // The recording's loader gave maps whose size is set at run time one entry per processor.
        let sized_later = compat && what == "max_entries" && ours == 0;
        if ours != number(recorded, what) && !(sized_later && number(recorded, what) == u64::from(PROCESSORS))
        {
            return differs(what, &ours, &number(recorded, what));
        }
    }
    if let Some(internal) = recorded["internal"].as_bool()
        && internal != map.kind.is_internal()
    {
        return differs("internal", &map.kind.is_internal(), &internal);
    }
    // A map that could not be made with its types was made without.
    if let Some(id) = recorded["btf_value_type_id"].as_u64()
        && id != 0
        && id != u64::from(map.value_type)
    {
        return differs("type of values", &map.value_type, &id);
    }
    if let Some(inner) = recorded["inner"].as_object() {
        let ours = map.inner.as_deref().ok_or("no inner map, recorded one")?;
        let pairs = [
            ("type", ours.map_type.0),
            ("key_size", ours.key_size),
            ("value_size", ours.value_size),
            ("max_entries", ours.max_entries),
            ("map_flags", ours.flags),
        ];
        for (what, value) in pairs {
            if Some(u64::from(value)) != inner[what].as_u64() {
                return differs(&format!("inner {what}"), &value, &inner[what]);
            }
        }
    }
    let initial = recorded["init_value"].as_str().or_else(|| recorded["init"][0]["value"].as_str());
    if map.kind.is_internal() {
        let ours = map.initial.clone().unwrap_or_else(|| vec![0; map.value_size as usize]);
        let zero = ours.iter().all(|&byte| byte == 0);
        match initial {
            Some(hex) if hex::decode(hex).as_deref() != Ok(&ours[..]) => {
                return differs("value", &hex::encode(&ours), &hex);
            }
            // libbpf forgets what it has written into a map that user space cannot see.
            None if !zero && ours.len() <= 65536 && map.flags & (1 << 10) != 0 => {
                return differs("value", &hex::encode(&ours), &"none");
            }
            _ => {}
        }
    } else if initial.is_some() && map.kind == MapKind::Declared {
        return Err("a value is recorded for a map without one".into());
    }
    Ok(())
}

#[test]
fn every_recorded_program_is_what_the_kernel_got() {
    let Some(corpus) = corpus() else { return };
    let kernel = kernel();
    let mut failures = Vec::new();
    for file in ["objects.dev.ndjson", "selftests-progs.dev.ndjson", "modern-verifier.dev.ndjson"] {
        let mut counts = Counts::default();
        compare(&corpus, &kernel, file, &mut counts);
        println!(
            "{file}: {} of {} programs equal; {} records without instructions, {} without an object, {} left out",
            counts.equal, counts.compared, counts.without_instructions, counts.absent, counts.left_out
        );
        counts.failures.extend(counts.numbers.check().err());
        failures.append(&mut counts.failures);
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_sample_opens_as_it_was_recorded() {
    let Some(corpus) = corpus() else { return };
    let (mut opened, mut refused, mut failures) = (0, 0, Vec::new());
    for record in records(&corpus.join("kernel/objects-files.ndjson")) {
        let (path, name) = object_path(&corpus, &record);
        let Ok(bytes) = std::fs::read(&path) else { continue };
        match (Options::new().name(name).parse(&bytes), text(&record, "loader") != "none") {
            (Ok(object), true) => {
                opened += 1;
                let programs = number(&record, "programs") as usize;
                if object.entries().len() != programs {
                    let ours = object.entries().len();
                    failures
                        .push(format!("{}: {ours} programs, recorded {programs}", text(&record, "object")));
                }
                let core = number(&record, "core_relocs") as usize;
                if object.core_relocations() != core {
                    let ours = object.core_relocations();
                    failures.push(format!(
                        "{}: {ours} CO-RE relocations, recorded {core}",
                        text(&record, "object")
                    ));
                }
            }
            (Err(_), false) => refused += 1,
            (Ok(_), false) => {
                failures.push(format!("{}: opened, recorded as unreadable", text(&record, "object")))
            }
            (Err(error), true) => failures.push(format!("{}: {error}", text(&record, "object"))),
        }
    }
    println!("{opened} sample files opened, {refused} refused as recorded");
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}
