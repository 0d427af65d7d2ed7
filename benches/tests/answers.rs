//! The programs of the tables compute what they say, in every engine, before anyone times them.

use sandbpf::{Buffer, Engine, Loader, Packet, SocketFilter, classic, isa};
use sandbpf_benches::classic::FILTERS;
use sandbpf_benches::engines::{ENGINES, How, Project, quietly};
use sandbpf_benches::workload::{WORKLOADS, Workload};
use sandbpf_benches::{generated, input, native, packets};

/// Compilers may be missing where there are none: another processor, a build without ours.
fn may_be_missing(engine: &sandbpf_benches::engines::Engine) -> bool {
    let ours = || Loader::new().load::<Buffer>("exit").map(|program| program.engine());
    match (engine.how, engine.project) {
        (How::Interpreter | How::Step, _) => false,
        (How::Jit, Project::Sandbpf) => ours().is_ok_and(|engine| engine == Engine::Interpreter),
        (How::Jit, Project::Rbpf | Project::Solana) => cfg!(not(target_arch = "x86_64")),
    }
}

#[test]
fn every_engine_answers_as_the_native_function_does() {
    for workload in WORKLOADS {
        let program = workload.program().to_bytes();
        for engine in ENGINES {
            match (engine.prepare)(&program, workload.memory()) {
                Ok(mut subject) => {
                    let expected = workload.expected();
                    assert_eq!(subject.batch(1), expected, "{} in {}", workload.name, engine.name);
                    assert_eq!(subject.batch(3), expected, "{} in {}, again", workload.name, engine.name);
                }
                Err(error) => {
                    assert!(may_be_missing(engine), "{} in {}: {error}", workload.name, engine.name)
                }
            }
        }
    }
}

#[test]
fn the_answers_are_known_ones() {
    let answer = |name: &str| WORKLOADS.iter().find(|workload| workload.name == name).map(Workload::expected);
    assert_eq!(answer("return"), Some(1));
    assert_eq!(answer("ethertype"), Some(1));
    assert_eq!(answer("tcp-port"), Some(80));
    // There are 54 primes below 256.
    assert_eq!(answer("primes"), Some(54));
    // The vectors of the FNV draft.
    assert_eq!(native::fnv1a(&mut input::prefixed(b"")), 0xcbf2_9ce4_8422_2325);
    assert_eq!(native::fnv1a(&mut input::prefixed(b"foobar")), 0x8594_4171_f739_67e8);
    // A message followed by its checksum sums up to nothing.
    let mut message = b"twelve bytes".to_vec();
    let sum = native::checksum(&mut input::prefixed(&message)) as u16;
    message.extend(sum.to_le_bytes());
    message.extend([0, 0]);
    assert_eq!(native::checksum(&mut input::prefixed(&message)), 0);
}

/// Other data than the tables', and lengths at the edges.
#[test]
fn programs_follow_their_functions_on_other_data() {
    let frames = packets::all().into_iter().map(|(_, frame)| frame);
    let cut = (0..64).map(|length| packets::tcp4(packets::LISTED, 443)[..length].to_vec());
    let odd_header = {
        let mut frame = packets::tcp4(packets::LISTED, 443);
        frame[14] = 0x4f;
        frame
    };
    let fragment = {
        let mut frame = packets::tcp4(packets::LISTED, 443);
        frame[21] = 1;
        frame
    };
    let frames: Vec<_> = frames.chain(cut).chain([odd_header, fragment]).collect();
    let words = |count| input::words(99).flat_map(u64::to_le_bytes).take(count).collect::<Vec<u8>>();
    for workload in WORKLOADS {
        let data: Vec<Vec<u8>> = match workload.name {
            "return" => vec![vec![]],
            "ethertype" | "tcp-port" => frames.clone(),
            "checksum" => vec![vec![], vec![0xff; 64], words(4), words(1000)],
            "fnv1a" => vec![vec![], vec![0], words(17)],
            "rotate-mix" => vec![vec![], words(7), words(8), words(100)],
            "primes" => [0u64, 2, 3, 4, 100].map(|n| n.to_le_bytes().to_vec()).to_vec(),
            "fibonacci" => [0u64, 1, 2, 93, 94].map(|n| n.to_le_bytes().to_vec()).to_vec(),
            "sort" => vec![vec![0; 384], words(384)],
            "search" => vec![vec![0; 2560], [vec![0xff; 2048], words(512)].concat()],
            "matrix" => vec![vec![0; 1536], words(1536)],
            "copy" => vec![words(16), words(18), words(46), words(3000)],
            name => panic!("{name} has no other data here"),
        };
        for data in data {
            compare(workload, &data);
        }
    }
}

/// Answer and memory afterwards.
fn compare(workload: &Workload, data: &[u8]) {
    let mut expected_memory = input::prefixed(data);
    let expected = (workload.native)(&mut expected_memory);
    for engine in [Engine::Step, Engine::Interpreter, Engine::Auto] {
        let program = Loader::new().engine(engine).load::<Buffer>(workload.text).expect(workload.name);
        let mut memory = input::prefixed(data);
        let answer = program.run(memory.as_mut_slice());
        assert_eq!(answer, Ok(expected), "{} on {} bytes in {engine:?}", workload.name, data.len());
        assert!(memory == expected_memory, "{} leaves other memory in {engine:?}", workload.name);
    }
}

#[test]
fn programs_keep_to_what_all_engines_have() {
    for workload in WORKLOADS {
        for insn in workload.program().insns() {
            let common = match insn {
                isa::Insn::Alu { width, .. } | isa::Insn::Branch { width, .. } => *width == isa::Width::W64,
                isa::Insn::Call { .. } | isa::Insn::Atomic { .. } | isa::Insn::LoadPacket { .. } => false,
                _ => true,
            };
            assert!(common, "{}: {insn:?}", workload.name);
        }
    }
}

#[test]
fn generated_programs_have_their_length_and_one_answer() {
    for length in [16, 100, 400, 4000] {
        let program = generated::program(length);
        assert_eq!(program.len(), length);
        let memory = input::prefixed(&[0x5a; 64]);
        let answers = ENGINES.iter().filter_map(|engine| {
            let subject = quietly(|| (engine.prepare)(&program.to_bytes(), memory.clone()));
            // The code buffer of rbpf is one page.
            let too_long = engine.project == Project::Rbpf && length > 400;
            assert!(subject.is_ok() || too_long || may_be_missing(engine), "{} at {length}", engine.name);
            Some((engine, subject.ok()?.batch(1)))
        });
        let answers: Vec<_> = answers.collect();
        assert!(answers.iter().filter(|(engine, _)| engine.project == Project::Sandbpf).count() >= 2);
        for (engine, answer) in &answers {
            assert_eq!(*answer, answers[0].1, "{} at {length}", engine.name);
        }
    }
}

#[test]
fn filters_find_what_they_look_for() {
    let matches = |name: &str| -> Vec<&str> {
        let filter = FILTERS.iter().find(|filter| filter.name == name).expect("there is such a filter");
        let program = Loader::new().load::<SocketFilter>(filter.text).expect("tcpdump wrote it");
        let matched = |frame: &Vec<u8>| program.run(Packet::from(frame)).expect("it ends").matched();
        packets::all().into_iter().filter(|(_, frame)| matched(frame)).map(|(name, _)| name).collect()
    };
    assert_eq!(matches("ip"), ["tcp4 port 80", "tcp4 port 443, listed host", "udp4 port 53"]);
    assert_eq!(matches("tcp port 80"), ["tcp4 port 80", "tcp6 port 80"]);
    assert_eq!(matches("one of 100 hosts"), ["tcp4 port 443, listed host"]);
}

#[test]
fn every_column_of_the_filters_agrees() {
    for filter in FILTERS {
        for (name, packet) in packets::all() {
            let checked =
                classic::Filter::check(&filter.insns(), classic::Dialect::Libpcap).expect("tcpdump wrote it");
            let right = classic::reference::run(&checked, &classic::reference::Packet::new(&packet))
                .expect("it ends");
            for mut subject in filter.subjects(&packet).into_iter().flatten() {
                assert_eq!(subject.batch(1), u64::from(right), "{} on {name}", filter.name);
            }
        }
    }
}
