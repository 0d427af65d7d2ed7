//! What the architecture promises and no compiler checks: who depends on whom, where `unsafe` stands
//! and that it is argued for, how long files are, and that nothing names one machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may depend on whom: `(package, its dependencies)`. A new edge is a decision, made here first.
const EDGES: &[(&str, &[&str])] = &[
    ("sandbpf-isa", &[]),
    ("sandbpf-abi", &["sandbpf-isa"]),
    ("sandbpf-verifier", &["sandbpf-isa", "sandbpf-abi"]),
    ("sandbpf-types", &["sandbpf-isa", "sandbpf-abi", "sandbpf-elf", "sandbpf-verifier"]),
    ("sandbpf-capture", &[]),
    ("sandbpf-classic", &["sandbpf-isa", "sandbpf-abi"]),
    ("sandbpf-elf", &["sandbpf-isa", "sandbpf-abi"]),
    ("sandbpf-maps", &["sandbpf-abi"]),
    ("sandbpf-runtime", &["sandbpf-isa", "sandbpf-abi", "sandbpf-maps"]),
    ("sandbpf-interp", &["sandbpf-isa", "sandbpf-runtime"]),
    ("sandbpf-jit", &["sandbpf-isa", "sandbpf-abi", "sandbpf-runtime", "sandbpf-verifier"]),
    (
        "sandbpf",
        &[
            "sandbpf-isa",
            "sandbpf-abi",
            "sandbpf-classic",
            "sandbpf-verifier",
            "sandbpf-types",
            "sandbpf-elf",
            "sandbpf-maps",
            "sandbpf-runtime",
            "sandbpf-interp",
            "sandbpf-jit",
        ],
    ),
    ("sandbpf-cli", &["sandbpf", "sandbpf-capture", "sandbpf-testkit"]),
    (
        "sandbpf-testkit",
        &[
            "sandbpf",
            "sandbpf-isa",
            "sandbpf-abi",
            "sandbpf-capture",
            "sandbpf-classic",
            "sandbpf-maps",
            "sandbpf-runtime",
            "sandbpf-interp",
            "sandbpf-jit",
        ],
    ),
    ("sandbpf-benches", &["sandbpf", "sandbpf-capture", "sandbpf-testkit"]),
    ("sandbpf-tests", &[]),
];

/// The files that may say `unsafe`, each with its contract at the top.
const UNSAFE: &[&str] = &[
    "crates/jit/src/callbacks.rs",
    "crates/jit/src/direct.rs",
    "crates/jit/src/exec.rs",
    "crates/jit/src/pure/code.rs",
    "crates/jit/src/running.rs",
    "crates/maps/src/huge.rs",
    // The kernel's own answers, for comparison.
    "crates/testkit/src/kernel_maps.rs",
    "crates/testkit/src/kernel_maps/memory.rs",
    "crates/testkit/src/kernel_maps/things.rs",
    // Foreign engines, for comparison.
    "benches/src/libpcap.rs",
    "benches/src/library.rs",
    "benches/scalar/exports.rs",
    "benches/src/engines/rbpf.rs",
    "benches/src/engines/solana.rs",
];

/// Files that are tables, and may be longer than [`LONGEST`].
const TABLES: &[&str] = &["crates/isa/src/ops.rs"];

/// Lines of a file that is read as one page.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of the repository by their path from its root, but not what cargo, git and fuzzers write.
fn files() -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
        let entries = fs::read_dir(folder).expect("a folder can be read");
        for entry in entries.map(|entry| entry.expect("an entry can be read")) {
            let name = entry.file_name().into_string().expect("names are UTF-8");
            if ["target", ".git", "corpus", "artifacts"].contains(&name.as_str()) {
                continue;
            }
            let (path, name) = (entry.path(), format!("{prefix}{name}"));
            if path.is_dir() {
                walk(&path, &format!("{name}/"), files);
            } else {
                files.push((name, path));
            }
        }
    }
    let mut files = Vec::new();
    walk(&root(), "", &mut files);
    files.sort();
    files
}

/// Rust files with their text.
fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    rust.map(|(name, path)| (name, fs::read_to_string(path).expect("source is UTF-8"))).collect()
}

/// A line without its comment and without what stands in plain quotes.
fn code(line: &str) -> String {
    let mut code = String::new();
    let (mut quoted, mut escaped) = (false, false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            _ if quoted => {}
            character => code.push(character),
        }
    }
    code
}

fn says(line: &str, word: &str) -> bool {
    code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn crates_depend_on_whom_they_may() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages {
        let from = name(package);
        let Some(allowed) = allowed.get(from.as_str()) else {
            wrong.push(format!("{from} is not in the table"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
        // Tests may use what they like.
        let real = dependencies.iter().filter(|dependency| dependency["kind"] != "dev").map(name);
        for to in real.filter(|to| ours.contains(to) && !allowed.contains(&to.as_str())) {
            wrong.push(format!("{from} → {to} is a new edge"));
        }
    }
    for (package, _) in EDGES {
        if !ours.contains(*package) {
            wrong.push(format!("{package} is in the table and nowhere else"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_where_it_is_listed() {
    let mut listed: BTreeSet<&str> = UNSAFE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        let places: Vec<usize> = (0..lines.len()).filter(|&at| says(lines[at], "unsafe")).collect();
        if places.is_empty() {
            continue;
        }
        if !listed.remove(name.as_str()) {
            wrong.push(format!("{name}:{}: `unsafe` outside the listed files", places[0] + 1));
            continue;
        }
        // What callers of a function owe may be said once for all of them.
        let contract = lines.contains(&"//! # Contract");
        for at in places {
            let declares = code(lines[at]).contains(" fn ");
            let argued = argued(&lines, at) || (contract && declares);
            if !argued {
                wrong.push(format!("{name}:{}: `unsafe` without `// SAFETY:`", at + 1));
            }
        }
    }
    wrong.extend(listed.iter().map(|name| format!("{name} is listed and has no `unsafe`")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether an argument stands in the comment above, or in the documentation of what callers owe.
fn argued(lines: &[&str], at: usize) -> bool {
    // The type of a function and a block of foreign declarations do nothing yet.
    let here = code(lines[at]);
    if here.trim_start().starts_with("type ") || (here.contains("unsafe extern") && !here.contains(" fn ")) {
        return true;
    }
    let above = lines[..at].iter().rev().take_while(|line| {
        let line = line.trim();
        // The beginning of the same statement may stand on a line of its own.
        line.starts_with("//") || line.starts_with('#') || line.ends_with('=') || line.ends_with("(")
    });
    lines[at].contains("// SAFETY:")
        || above.into_iter().any(|line| line.contains("// SAFETY:") || line.contains("/// # Safety"))
}

#[test]
fn arguments_are_found_and_missed() {
    let text = "// SAFETY: because\nunsafe { a() }\n\nunsafe { b() }\n/// # Safety\n///\n/// Owes.\npub unsafe fn c() {}
// SAFETY: because\nlet x =\n    unsafe { d() };\nunsafe extern \"C\" {\nunsafe extern \"C\" fn e() {";
    let lines: Vec<&str> = text.lines().collect();
    let found: Vec<bool> =
        (0..lines.len()).filter(|&at| says(lines[at], "unsafe")).map(|at| argued(&lines, at)).collect();
    assert_eq!(found, [true, false, true, true, true, false]);
    assert!(
        !says("// unsafe", "unsafe")
            && !says("let a = \"unsafe\";", "unsafe")
            && !says("unsafe_code", "unsafe")
    );
}

#[test]
fn crates_without_unsafe_forbid_it() {
    let roots = sources().into_iter().filter(|(name, _)| {
        let parts: Vec<&str> = name.split('/').collect();
        matches!(parts[..], ["crates", _, "src", "lib.rs" | "main.rs"])
    });
    let lacks = |(name, text): (String, String)| {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let listed = UNSAFE.iter().any(|file| file.starts_with(&format!("{folder}/")));
        (!listed && !text.contains("#![forbid(unsafe_code)]")).then_some(name)
    };
    let wrong: Vec<String> = roots.filter_map(lacks).collect();
    assert!(wrong.is_empty(), "`#![forbid(unsafe_code)]` is missing in {}", wrong.join(", "));
}

#[test]
fn files_are_one_noun_long() {
    let long = sources().into_iter().filter_map(|(name, text)| {
        let lines = text.lines().count();
        (lines > LONGEST && !TABLES.contains(&name.as_str())).then(|| format!("{name} has {lines} lines"))
    });
    let long: Vec<String> = long.collect();
    assert!(long.is_empty(), "more than {LONGEST} lines:\n{}", long.join("\n"));
}

#[test]
fn files_say_what_they_are() {
    let folders = ["crates/", "tests/", "benches/", "fuzz/"];
    let silent = sources().into_iter().filter(|(name, text)| {
        folders.iter().any(|folder| name.starts_with(folder)) && !text.trim_start().starts_with("//!")
    });
    let silent: Vec<String> = silent.map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no opening paragraph in\n{}", silent.join("\n"));
}

#[test]
fn nothing_names_this_machine() {
    // Folders that only exist where somebody works.
    let paths = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for (name, path) in files() {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (at, line) in text.lines().enumerate() {
            // An address on the web may have such a folder.
            let found = paths.iter().any(|path| {
                line.match_indices(path.as_str()).any(|(start, _)| {
                    !line[..start].ends_with(|c: char| c.is_alphanumeric() || ".-_~*}".contains(c))
                })
            });
            if found {
                wrong.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Opcodes are `isa`'s and types of maps `abi`'s; whoever else gives one of them a number says it a second time.
#[test]
fn numbers_are_spelled_once() {
    const OPCODES: &[&str] =
        &["LD_IMM64", "LOAD_IMM64", "CALL", "EXIT", "RETURN", "MAP_FD", "MAP_VALUE", "BTF_ID", "KFUNC_CALL"];
    let table =
        fs::read_to_string(root().join("crates/abi/src/map_type.rs")).expect("the table of types of maps");
    let rows = table.lines().filter(|line| line.starts_with("    ") && line.ends_with("\";"));
    let mut names: BTreeSet<String> =
        rows.filter_map(|row| Some(row.split('"').nth(1)?.to_uppercase())).collect();
    assert_eq!(names.len(), 33, "{names:?}");
    names.extend(OPCODES.iter().map(|name| name.to_string()));
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        // Classic programs have their own opcodes.
        let owner =
            ["crates/isa/", "crates/abi/", "crates/classic/"].iter().any(|owner| name.starts_with(owner));
        if owner || !name.starts_with("crates/") || !name.contains("/src/") {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let line = code(line);
            let Some((_, constant)) = line.split_once("const ") else { continue };
            let Some((constant, value)) = constant.split_once('=') else { continue };
            let (constant, kind) = constant.split_once(':').unwrap_or((constant, ""));
            let literal = value.trim().starts_with(|first: char| first.is_ascii_digit());
            if literal && ["u8", "u32"].contains(&kind.trim()) && names.contains(constant.trim()) {
                wrong.push(format!("{name}:{}: {constant}", at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "numbers that isa or abi has already:\n{}", wrong.join("\n"));
}
