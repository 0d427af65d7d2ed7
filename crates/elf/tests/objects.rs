//! Our own objects: what their sources (`tests/data/*.c`) say is what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbpf_elf::{
    AttachType, Btf, FixupKind, MapDef, MapKind, MapType, Object, ObjectError, Options, Pinning, ProgramType,
};

static COUNTER: &[u8] = include_bytes!("data/counter.o");
static MAPS: &[u8] = include_bytes!("data/maps.o");
static EXTERNS: &[u8] = include_bytes!("data/externs.o");
static LEGACY: &[u8] = include_bytes!("data/legacy.o");
static KERNEL: &[u8] = include_bytes!("data/kernel.o");

fn kernel() -> Arc<Btf> {
    Arc::new(Object::parse(KERNEL).unwrap().btf().unwrap().clone())
}

fn slot(code: &[u8], at: usize) -> (u8, u8, i16, i32) {
    let s: [u8; 8] = code[at * 8..at * 8 + 8].try_into().unwrap();
    (s[0], s[1] >> 4, i16::from_le_bytes([s[2], s[3]]), i32::from_le_bytes([s[4], s[5], s[6], s[7]]))
}

fn map<'a>(object: &'a Object, name: &str) -> &'a MapDef {
    object.map(name).unwrap_or_else(|| panic!("no map {name}"))
}

#[test]
fn functions_follow_a_program_in_the_order_of_their_first_call() {
    let object = Object::parse(MAPS).unwrap();
    let names = |program: &str| -> Vec<String> {
        object.program(program).unwrap().functions.into_iter().map(|function| function.name).collect()
    };
    // The callback is met first; what it calls follows it, callee before the caller's next call.
    assert_eq!(names("entry_one"), ["entry_one", "visit", "deep", "deepest"]);
    assert_eq!(names("entry_two"), ["entry_two", "deep", "deepest"]);
    let program = object.program("entry_one").unwrap();
    for (at, function) in program.functions.iter().enumerate().skip(1) {
        assert_eq!(function.insn, program.functions[at - 1].insn + program.functions[at - 1].len);
    }
    assert!(!program.functions[1].global && program.functions[2].global);
    assert!(program.functions.iter().all(|function| function.ty.is_some()));
}

#[test]
fn calls_and_addresses_of_functions_are_relative_to_the_new_places() {
    let object = Object::parse(MAPS).unwrap();
    let program = object.program("entry_one").unwrap();
    let start =
        |name: &str| program.functions.iter().find(|function| function.name == name).unwrap().insn as i32;
    let mut calls = Vec::new();
    for at in 0..program.insns.len() / 8 {
        let (code, src, _, imm) = slot(&program.insns, at);
        if (code == 0x85 && src == 1) || (code == 0x18 && src == 4) {
            let function = program.function(at).unwrap().name.clone();
            calls.push((function, code, at as i32 + imm + 1));
        }
    }
    let expected = [
        ("entry_one", 0x18, "visit"),
        ("entry_one", 0x85, "deepest"),
        ("visit", 0x85, "deep"),
        ("deep", 0x85, "deepest"),
        ("deep", 0x85, "deepest"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(from, code, to)| ((*from).to_owned(), *code, start(to))).collect();
    assert_eq!(calls, expected);
    let address =
        program.fixups.iter().find(|fixup| matches!(fixup.kind, FixupKind::Function { .. })).unwrap();
    assert_eq!(address.kind, FixupKind::Function { insn: start("visit") as usize });
}

#[test]
fn variables_are_addresses_in_maps_of_their_sections() {
    let object = Options::new().name("my_object_name").parse(MAPS).unwrap();
    let program = object.program("entry_one").unwrap();
    let mut seen = BTreeMap::new();
    for fixup in &program.fixups {
        if let FixupKind::MapValue { map, offset } = fixup.kind {
            let (code, src, _, imm) = slot(&program.insns, fixup.insn);
            assert_eq!((code, src, imm), (0x18, 2, 0));
            assert_eq!(slot(&program.insns, fixup.insn + 1).3 as u32, offset);
            *seen.entry(object.maps()[map].name.as_str()).or_insert(0) += 1;
        }
    }
    let expected = [
        (".bss.hidden", 1),
        (".data.own", 1),
        (".rodata.own", 1),
        ("my_objec.bss", 1),
        ("my_objec.data", 1),
        ("my_objec.rodata", 1),
    ];
    assert_eq!(seen, BTreeMap::from(expected));
}

#[test]
fn data_sections_have_flags_names_and_contents() {
    let object = Options::new().name("my_object_name").parse(MAPS).unwrap();
    let find = |section: &str| object.maps().iter().find(|map| map.section == section).unwrap();
    // 128: programs read only; 1024: user space may map it, because a variable is global and not hidden.
    let expected = [
        (".rodata", "my_objec.rodata", "my_objec.rodata", 128 | 1024, MapKind::Rodata),
        (".data", "my_objec.data", "my_objec.data", 1024, MapKind::Data),
        (".bss", "my_objec.bss", "my_objec.bss", 1024, MapKind::Bss),
        (".rodata.own", ".rodata.own", ".rodata.own", 128 | 1024, MapKind::Rodata),
        (".data.own", ".data.own", ".data.own", 1024, MapKind::Data),
    ];
    for (section, name, kernel_name, flags, kind) in expected {
        let map = find(section);
        assert_eq!((&*map.name, &*map.kernel_name, map.flags, &map.kind), (name, kernel_name, flags, &kind));
        assert_eq!((map.map_type, map.key_size, map.max_entries), (MapType::Array.into(), 4, 1));
        assert_eq!(object.btf().unwrap().name(map.value_type), section);
    }
    assert_eq!(find(".rodata.own").initial.as_deref(), Some(&8u64.to_le_bytes()[..]));
    assert_eq!(find(".data").initial.as_deref().map(|bytes| &bytes[..4]), Some(&9u32.to_le_bytes()[..]));
    assert_eq!((find(".bss").value_size, &find(".bss").initial), (32, &None));
}

#[test]
fn definitions_in_types_give_maps() {
    let object = Options::new().processors(6).parse(MAPS).unwrap();
    let first = map(&object, "first");
    assert_eq!(
        (first.map_type, first.key_size, first.value_size, first.max_entries),
        (MapType::Array.into(), 4, 8, 16)
    );
    let btf = object.btf().unwrap();
    assert_eq!((btf.name(first.key_type), btf.name(first.value_type)), ("u32", "u64"));
    let outer = map(&object, "outer");
    assert_eq!((outer.map_type, outer.key_size, outer.value_size), (MapType::ArrayOfMaps.into(), 4, 4));
    let slots: Vec<_> = outer.slots.iter().map(|slot| (slot.index, &*slot.target)).collect();
    assert_eq!(slots, [(1, "first"), (5, "second")]);
    assert_eq!(outer.inner.as_ref().unwrap().max_entries, 16);
    let inner = map(&object, "unnamed_inner").inner.as_deref().unwrap();
    assert_eq!(
        (&*inner.name, inner.map_type, inner.key_size),
        ("unnamed_inner.inner", MapType::Hash.into(), 8)
    );
    assert_eq!(map(&object, "ring").max_entries, 8192);
    assert_eq!(map(&object, "perf").max_entries, 6);
    let pinned = map(&object, "pinned");
    assert_eq!((pinned.flags, pinned.numa_node, pinned.pinning), (5, 1, Pinning::ByName));
    assert_eq!(map(&object, "bloom").extra, 3);
    let jumps: Vec<_> = map(&object, "jumps").slots.iter().map(|slot| (slot.index, &*slot.target)).collect();
    assert_eq!(jumps, [(2, "entry_one"), (7, "entry_two")]);
    assert_eq!((map(&object, "jumps").value_size, map(&object, "jumps").kernel_types()), (4, (0, 0)));
}

#[test]
fn structures_of_functions_are_maps_of_the_kernels_structure() {
    let object = Options::new().target(kernel()).parse(MAPS).unwrap();
    let ops = map(&object, "my_ops");
    // 64 bytes of state before the structure, 64 for it; a link attaches it.
    assert_eq!((ops.map_type, ops.value_size, ops.flags), (MapType::StructOps.into(), 128, 1 << 13));
    let MapKind::StructOps(ops) = &ops.kind else { panic!("{:?}", ops.kind) };
    let programs: Vec<_> = ops.programs.iter().map(|(member, program)| (&**member, &**program)).collect();
    assert_eq!((&*ops.name, programs), ("ops", vec![("open", "my_open"), ("close", "my_close")]));
    // The kernel's structure has the member at another index.
    let close = object.entries().iter().find(|entry| entry.name == "my_close").unwrap();
    let attributes = object.attributes(close);
    assert_eq!((attributes.attach_type, attributes.attach_type_id), (AttachType(3), ops.kernel_type));
    assert!(ops.kernel_type.is_some());
    assert_eq!(ops.data[16], 5);
}

#[test]
fn sections_say_what_programs_are() {
    let object = Object::parse(MAPS).unwrap();
    let entry = |name: &str| object.entries().iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(entry("entry_one").program_type(), ProgramType::SocketFilter);
    assert!(entry("not_loaded").optional && entry("not_loaded").section == "kprobe/sleepy");
    assert_eq!(entry("not_loaded").program_type(), ProgramType::Kprobe);
    let open = entry("my_open").kind.unwrap();
    assert_eq!((open.program_type, open.sleepable, open.program_flags()), (ProgramType::StructOps, true, 16));
    let counter = Object::parse(COUNTER).unwrap();
    assert_eq!(counter.entries()[0].kind.unwrap().attach_type, AttachType::XDP);
}

#[test]
fn globals_are_set_by_name() {
    let mut object = Object::parse(MAPS).unwrap();
    assert_eq!(object.global_bytes("constant").unwrap(), 7u32.to_le_bytes());
    object.set_global("constant", &77u32.to_le_bytes()).unwrap();
    object.set_global("sample", &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    assert_eq!(object.global_bytes("constant").unwrap(), 77u32.to_le_bytes());
    assert_eq!(object.global_bytes("sample").unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(object.global_bytes("zero").unwrap(), [0; 24]);
    let wrong = object.set_global("constant", &[1]).unwrap_err().to_string();
    assert_eq!(wrong, "global constant: expected 4 bytes, found 1");
    assert!(object.set_global("nothing", &[1]).is_err());
}

const CONFIG: &str = "# a comment\nCONFIG_ON=y\nCONFIG_MODULE=m\nCONFIG_LETTER=y\nCONFIG_NUMBER=0x1234\n\
    CONFIG_NEGATIVE=-3\nCONFIG_TEXT=\"long text, cut\"\nCONFIG_OTHER=1\n";

#[test]
fn configuration_values_come_from_the_kernels_configuration() {
    let object = Options::new().kconfig(CONFIG).kernel_version(5, 4, 3).parse(EXTERNS).unwrap();
    let bytes = |name: &str| object.global_bytes(name).unwrap();
    assert_eq!(bytes("LINUX_KERNEL_VERSION"), 0x050403u32.to_le_bytes());
    assert_eq!(bytes("CONFIG_ON"), [1]);
    assert_eq!(bytes("CONFIG_MODULE"), 2u32.to_le_bytes());
    assert_eq!(bytes("CONFIG_LETTER"), *b"y");
    assert_eq!(bytes("CONFIG_NUMBER"), 0x1234u16.to_le_bytes());
    assert_eq!(bytes("CONFIG_NEGATIVE"), (-3i64).to_le_bytes());
    assert_eq!(bytes("CONFIG_TEXT"), *b"long text, \0");
    assert_eq!(bytes("CONFIG_ABSENT"), [0; 8]);
    let map = object.maps().iter().find(|map| map.kind == MapKind::Kconfig).unwrap();
    assert_eq!(map.flags & 128, 128);
    let program = object.program("config").unwrap();
    let kconfig = object.maps().iter().position(|map| map.kind == MapKind::Kconfig).unwrap();
    let values = program
        .fixups
        .iter()
        .filter(|fixup| matches!(fixup.kind, FixupKind::MapValue { map, .. } if map == kconfig));
    assert_eq!(values.count(), 8);
}

#[test]
fn what_the_kernel_lacks_is_an_error_of_who_needs_it() {
    let object = Options::new().kconfig(CONFIG).target(kernel()).parse(EXTERNS).unwrap();
    assert!(object.program("config").is_ok());
    let missing = object.program("needs_config").unwrap_err();
    assert!(matches!(missing, ObjectError::Extern { .. }));
    let expected = "extern CONFIG_NEEDED: the kernel's configuration does not have it";
    assert_eq!(missing.to_string(), expected);
    let function = object.program("needs_function").unwrap_err().to_string();
    assert_eq!(function, "extern needed_function: the kernel's types do not have it");
    assert_eq!(object.missing().count(), 2);
}

#[test]
fn functions_of_the_kernel_are_called_by_the_number_of_their_type() {
    let object = Options::new().target(kernel()).parse(EXTERNS).unwrap();
    let id = kernel().find("kernel_function", |_| true).unwrap();
    let program = object.program("functions").unwrap();
    let mut calls = Vec::new();
    for at in 0..program.insns.len() / 8 {
        let (code, src, off, imm) = slot(&program.insns, at);
        if code == 0x85 {
            calls.push((src, off, imm));
        }
    }
    // Weak ones that are absent, or have another prototype, become calls of nobody: numbered among the externs,
    // configuration values first, then by name.
    assert_eq!(calls[..2], [(2, 0, id as i32), (2, 0, id as i32)]);
    assert_eq!(calls[2..], [(0, 0, 2_002_000_010), (0, 0, 2_002_000_017)]);
    let named = FixupKind::Kfunc { name: "kernel_function".into(), id: Some(id) };
    assert_eq!(program.fixups.iter().filter(|fixup| fixup.kind == named).count(), 2);
    // Without a kernel the call is noted by name.
    let object = Object::parse(EXTERNS).unwrap();
    let program = object.program("needs_function").unwrap();
    assert_eq!(program.fixups[0].kind, FixupKind::Kfunc { name: "needed_function".into(), id: None });
}

#[test]
fn variables_of_the_kernel_are_numbers_or_addresses() {
    let symbols = |name: &str| (name == "kernel_symbol").then_some(0xffff_ffff_8123_4567);
    let object = Options::new().target(kernel()).kernel_symbols(symbols).parse(EXTERNS).unwrap();
    let program = object.program("variables").unwrap();
    let id = kernel().find("kernel_counter", |_| true).unwrap();
    let wide = |at: usize| {
        let (code, src, _, low) = slot(&program.insns, at);
        assert_eq!(code, 0x18);
        (src, u64::from(low as u32) | (slot(&program.insns, at + 1).3 as u64) << 32)
    };
    let find = |wanted: &str| {
        let fixup = program.fixups.iter().find(|fixup| match &fixup.kind {
            FixupKind::KernelType { name, .. } | FixupKind::KernelAddress { name, .. } => name == wanted,
            _ => false,
        });
        wide(fixup.unwrap().insn)
    };
    assert_eq!(find("kernel_counter"), (3, u64::from(id)));
    assert_eq!(find("absent_counter"), (0, 0));
    assert_eq!(find("kernel_symbol"), (0, 0xffff_ffff_8123_4567));
    assert_eq!(find("absent_symbol"), (0, 0));
}

#[test]
fn objects_of_early_loaders_are_read() {
    let object = Object::parse(LEGACY).unwrap();
    assert_eq!((object.license(), object.version()), ("GPL", 0x050607));
    let table = map(&object, "table");
    assert_eq!((table.map_type, table.key_size, table.value_size), (MapType::Hash.into(), 8, 16));
    assert_eq!((table.max_entries, table.flags, table.pinning), (100, 1, Pinning::None));
    let outer = map(&object, "outer");
    assert_eq!((outer.value_size, outer.pinning), (4, Pinning::Other(2)));
    assert_eq!(outer.inner.as_ref().map(|inner| &*inner.name), Some("inner"));
    let start = object.program("start").unwrap();
    assert_eq!(start.entry.kind, None);
    // A static function of .text, and a program of another section that is called.
    let names: Vec<_> = start.functions.iter().map(|function| &*function.name).collect();
    assert_eq!(names, ["start", "tail_of"]);
    let maps: Vec<_> = start
        .fixups
        .iter()
        .filter_map(|fixup| match fixup.kind {
            FixupKind::Map { map } => Some(&*object.maps()[map].name),
            _ => None,
        })
        .collect();
    assert_eq!(maps, ["table", "outer"]);
    let nobody = object.program("calls_nobody").unwrap();
    assert_eq!(nobody.fixups[0].kind, FixupKind::Unresolved { name: "nobody".into() });
    assert_eq!(slot(&nobody.insns, nobody.fixups[0].insn), (0x85, 1, 0, -1));
}

#[test]
fn lines_lead_back_to_the_source() {
    let object = Object::parse(COUNTER).unwrap();
    let program = object.program("count").unwrap();
    let source = include_str!("data/counter.c");
    let lines: Vec<&str> = source.lines().collect();
    let mut functions = Vec::new();
    for at in 0..program.insns.len() / 8 {
        let Some(place) = program.location(at) else { continue };
        assert!(place.file.ends_with("counter.c"));
        // Line zero is code that the compiler added.
        if place.line > 0 {
            assert_eq!(lines[place.line as usize - 1], place.text);
        }
        functions.push(program.function(at).unwrap().name.as_str());
    }
    functions.dedup();
    assert_eq!(functions, ["count", "port_of", "drop"]);
}

#[test]
fn what_is_no_object_says_so() {
    for (bytes, message) in [
        (&b""[..], "not an ELF object file for BPF: "),
        (&b"\x7fELF"[..], "not an ELF object file for BPF: "),
        (&COUNTER[..100], "not an ELF object file for BPF: "),
    ] {
        let error = Object::parse(bytes).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let mut other = COUNTER.to_vec();
    other[18] = 62;
    assert_eq!(
        Object::parse(&other).unwrap_err().to_string(),
        "not an ELF object file for BPF: expected machine 247 (BPF), found 62"
    );
    let missing = Object::parse(COUNTER).unwrap().program("nothing").unwrap_err().to_string();
    assert_eq!(missing, "program nothing: the object has no program of this name");
}

/// Reads everything that damaged bytes still offer.
fn look_at(bytes: &[u8]) {
    let Ok(mut object) = Options::new().target(kernel()).kconfig(CONFIG).parse(bytes) else { return };
    for program in object.programs().flatten() {
        for insn in 0..program.insns.len() / 8 {
            let _ = (program.location(insn), program.function(insn), program.fixup(insn));
        }
    }
    if let Some(btf) = object.btf() {
        for (id, _) in btf.iter() {
            let _ = (btf.name(id), btf.size_of(id), btf.align_of(id), btf.member(id, "port"));
        }
    }
    let _ = object.set_global("limit", &[0; 4]);
}

#[test]
fn damage_anywhere_is_survived() {
    for file in [COUNTER, MAPS, EXTERNS, LEGACY, include_bytes!("data/core.o")] {
        let mut bytes = file.to_vec();
        for at in (0..bytes.len()).step_by(3) {
            let kept = bytes[at];
            for value in [0, 1, 0x7f, 0xff, kept ^ 1] {
                bytes[at] = value;
                look_at(&bytes);
            }
            bytes[at] = kept;
        }
        for len in (0..bytes.len()).step_by(61) {
            look_at(&bytes[..len]);
        }
    }
}

#[test]
fn sections_that_share_their_bytes_many_times_are_refused() {
    let mut bytes = COUNTER.to_vec();
    let table = u64::from_le_bytes(*bytes[40..].first_chunk().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes([bytes[60], bytes[61]]));
    let headers = bytes[table..table + 64 * count].to_vec();
    let text = headers.chunks(64).find(|header| header[4] == 1 && header[8] & 4 != 0).unwrap().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let moved = bytes.len() as u64;
    bytes.extend_from_slice(&headers);
    for _ in 0..500 {
        let mut header = text.clone();
        header[24..32].copy_from_slice(&0u64.to_le_bytes());
        header[32..40].copy_from_slice(&moved.to_le_bytes());
        bytes.extend_from_slice(&header);
    }
    bytes[40..48].copy_from_slice(&moved.to_le_bytes());
    bytes[60..62].copy_from_slice(&(count as u16 + 500).to_le_bytes());
    let error = Object::parse(&bytes).unwrap_err().to_string();
    assert_eq!(error, "not an ELF object file for BPF: sections overlap more than 8 times");
}

/// Tables of addresses to jump to are newer than Linux 6.18: a program with one is refused, and no other.
#[test]
fn jump_tables_are_refused() {
    let object = Object::parse(include_bytes!("data/switch.o")).unwrap();
    let refused = object.program("by_device").unwrap_err().to_string();
    assert!(refused.contains("by_device") && refused.contains("Linux 6.18 does not know"), "{refused}");
    assert!(object.program("always").is_ok());
    let newer = Object::parse(include_bytes!("data/newer.o")).unwrap();
    let places = map(&newer, "places");
    assert_eq!(
        (places.map_type.0, places.map_type.known(), places.map_type.to_string()),
        (34, None, "34".into())
    );
}
