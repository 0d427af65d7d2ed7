//! What loaders are told who have not all capabilities: programs of `rights.txt`, each with three answers.

use std::fmt::Write;

use sandbpf_abi::{Powers, Program, ProgramType};
use sandbpf_isa::MapRef;
use sandbpf_verifier::{Environment, MapShape, examine};

const TABLE: &str = include_str!("rights.txt");

struct Case<'t> {
    name: &'t str,
    program_type: ProgramType,
    text: String,
    answers: Vec<(&'t str, &'t str)>,
}

fn cases() -> Vec<Case<'static>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in TABLE.lines() {
        if let Some(name) = line.strip_prefix("= ") {
            cases.push(Case {
                name,
                program_type: ProgramType::SocketFilter,
                text: String::new(),
                answers: Vec::new(),
            });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(name) = line.strip_prefix("type ") {
            case.program_type = ProgramType::from_name(name).expect("a program type");
        } else if let Some((who @ ("all" | "bpf" | "none"), answer)) = line.split_once(": ") {
            case.answers.push((who, answer));
        } else {
            case.text.push_str(line);
            case.text.push('\n');
        }
    }
    cases
}

fn maps() -> Vec<MapShape> {
    let map = |map_type, key_size, value_size, max_entries| MapShape {
        map_type,
        key_size,
        value_size,
        max_entries,
        ..MapShape::default()
    };
    let arena = |mapped| MapShape { mapped, flags: 1 << 10, ..map(33, 0, 0, 1) };
    vec![
        map(1, 8, 48, 1),
        map(2, 4, 48, 1),
        map(3, 4, 4, 4),
        map(3, 4, 4, 4),
        map(14, 4, 4, 1),
        arena(true),
        arena(false),
    ]
}

fn answer(text: &str, program_type: ProgramType, who: &str) -> String {
    let program = sandbpf_isa::parse(text).expect("a program");
    let maps = maps();
    let (bpf, perfmon) = (who != "none", who == "all");
    let powers = Powers { bpf, perfmon, ..Powers::default() };
    let env = Environment {
        maps: &maps,
        map_of: &|map| match map {
            MapRef::Fd(fd) => usize::try_from(fd).ok().filter(|at| *at < maps.len()),
            MapRef::Index(_) => None,
        },
        net_admin: bpf,
        ..Environment::new(Program { powers, ..Program::new(program_type) })
    };
    match examine(&program, &env) {
        Ok(verified) => format!("accept {}", verified.statistics.processed),
        Err(rejected) => {
            let errno = rejected.rejection.errno;
            let message = rejected.rejection.message.lines().last().unwrap_or_default().to_owned();
            // Before a program is walked the kernel gives an errno alone.
            match rejected.statistics.processed == 0
                && errno.name() == "EPERM"
                && program.functions().len() == 1
            {
                true => format!("{errno}"),
                false => format!("{errno} {message}"),
            }
        }
    }
}

#[test]
fn loaders_are_told_what_the_kernel_tells_them() {
    let mut wrong = String::new();
    for case in cases() {
        assert_eq!(case.answers.len(), 3, "{}: three answers", case.name);
        for (who, expected) in &case.answers {
            let ours = answer(&case.text, case.program_type, who);
            if ours != *expected {
                let _ = writeln!(wrong, "{}\n  {who}: {expected}\n  ours: {ours}", case.name);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A straight program of so many instructions.
fn straight(length: usize) -> String {
    let mut text = "r0 = 0\n".repeat(length - 1);
    text.push_str("exit\n");
    text
}

#[test]
fn programs_without_cap_bpf_are_short() {
    let filter = ProgramType::SocketFilter;
    assert_eq!(answer(&straight(4096), filter, "none"), "accept 4096");
    assert_eq!(answer(&straight(4097), filter, "none"), "E2BIG too many instructions: 4097");
    assert_eq!(answer(&straight(4097), filter, "bpf"), "accept 4097");
}
