//! The programs of the tables compute what they say, in every engine, before anyone times them.

use sandbpf::{
    Buffer, Engine, Kind, LoadError, Loader, Packet, Program, SocketFilter, Xdp, XdpFrame, classic, isa,
};
use sandbpf_benches::case::{Case, Form, Yardstick};
use sandbpf_benches::classic::FILTERS;
use sandbpf_benches::engines::{self, ENGINES, How, Project, helper, helpers, quietly};
use sandbpf_benches::generated::{self, Shape};
use sandbpf_benches::workload::{WORKLOADS, Workload};
use sandbpf_benches::{input, native, packets};

/// Compilers may be missing where there are none: another processor, a build without ours.
fn may_be_missing(engine: &engines::Engine) -> bool {
    let ours = || Loader::new().load::<Buffer>("exit").map(|program| program.engine());
    match (engine.how, engine.project) {
        (How::Interpreter | How::Step, _) => false,
        (How::Jit, Project::Sandbpf) => ours().is_ok_and(|engine| engine == Engine::Interpreter),
        (How::Jit, Project::Rbpf | Project::Solana) => cfg!(not(target_arch = "x86_64")),
        (How::Jit, Project::Kernel) => true,
    }
}

/// Programs that Linux would not load as XDP: the helper is not Linux's.
const NOT_FOR_LINUX: &[&str] = &["helper"];

#[test]
fn every_engine_answers_as_the_native_function_does() {
    for workload in WORKLOADS {
        for engine in ENGINES {
            match engine.prepare_case(workload) {
                Ok(mut subject) => {
                    let expected = engine.expected(workload);
                    assert_eq!(subject.batch(1), expected, "{} in {}", workload.name, engine.name);
                    assert_eq!(subject.batch(3), expected, "{} in {}, again", workload.name, engine.name);
                }
                Err(error) => {
                    let refused = engine.form == Form::Frame && NOT_FOR_LINUX.contains(&workload.name);
                    let excused = refused || may_be_missing(engine);
                    assert!(excused, "{} in {}: {error}", workload.name, engine.name);
                }
            }
        }
    }
}

#[test]
#[cfg(unix)]
fn functions_without_vectors_answer_alike() {
    for workload in WORKLOADS {
        let mut subject = workload.native(Yardstick::Scalar).expect(workload.name);
        assert_eq!(subject.batch(2), workload.expected(), "{}", workload.name);
    }
}

#[test]
fn the_answers_are_known_ones() {
    let answer = |name: &str| WORKLOADS.iter().find(|workload| workload.name == name).map(Case::expected);
    assert_eq!(answer("return"), Some(1));
    assert_eq!(answer("ethertype"), Some(1));
    assert_eq!(answer("tcp-port"), Some(80));
    // TCP behind 40 bytes of IPv6 and 8, 16 and 8 of others.
    assert_eq!(answer("headers"), Some(6 << 16 | (14 + 40 + 8 + 16 + 8)));
    // There are 54 primes below 256.
    assert_eq!(answer("primes"), Some(54));
    // The vectors of the FNV draft.
    assert_eq!(native::fnv1a(&mut []), 0xcbf2_9ce4_8422_2325);
    assert_eq!(native::fnv1a(&mut b"foobar".to_vec()), 0x8594_4171_f739_67e8);
    // Those that everybody gives for the other two.
    assert_eq!(native::crc32(&mut b"123456789".to_vec()), 0xcbf4_3926);
    assert_eq!(native::adler(&mut b"Wikipedia".to_vec()), 0x11e6_0398);
    // A message followed by its checksum sums up to nothing.
    let mut message = b"twelve bytes".to_vec();
    let sum = native::checksum(&mut message) as u16;
    message.extend(sum.to_le_bytes());
    message.extend([0, 0]);
    assert_eq!(native::checksum(&mut message), 0);
    // The first vector of Microsoft's for receive-side scaling: 66.9.149.187:2794 to 161.142.100.80:1766.
    let mut frame = [&[0; 26][..], &[66, 9, 149, 187, 161, 142, 100, 80], &[0x0a, 0xea, 0x06, 0xe6]].concat();
    assert_eq!(native::spread(&mut frame), 0x51cc_c178);
    let mut pair = [12u64, 18].map(u64::to_le_bytes).concat();
    pair.resize(256, 0);
    assert_eq!(native::divisor(&mut pair), 6);
    let mut number = 1234u64.to_le_bytes().to_vec();
    number.resize(128, 0);
    assert_eq!(native::digits(&mut number), 1 + 2 + 3 + 4);
    let bits: u64 = (1..=256u64).map(|n| u64::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).count_ones())).sum();
    assert_eq!(answer("bits"), Some(bits));
}

/// A frame's checksum is right after its destination was changed.
#[test]
fn rewriting_keeps_a_right_checksum_right() {
    let sum = |frame: &[u8]| native::checksum(&mut frame[14..34].to_vec());
    let mut frame = packets::tcp4(packets::LISTED, 443);
    let checksum = sum(&frame) as u16;
    frame[24..26].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(sum(&frame), 0);
    let before = frame.clone();
    native::rewrite(&mut frame);
    assert_eq!(sum(&frame), 0);
    assert_ne!(frame[30..34], before[30..34]);
    assert_eq!((&frame[..6], &frame[6..12]), (&before[6..12], &before[..6]));
}

/// Other data than the tables', and lengths at the edges.
#[test]
fn programs_follow_their_functions_on_other_data() {
    let cut = |frame: Vec<u8>| (0..frame.len()).map(move |length| frame[..length].to_vec());
    let with = |at: usize, byte: u8| {
        let mut frame = packets::tcp4(packets::LISTED, 443);
        frame[at] = byte;
        frame
    };
    let (odd_header, fragment) = (with(14, 0x4f), with(21, 1));
    let frames = packets::all().into_iter().map(|(_, frame)| frame);
    let frames = frames.chain(cut(packets::tcp4(packets::LISTED, 443))).chain([odd_header, fragment]);
    let frames: Vec<Vec<u8>> = frames.chain(cut(packets::tcp6_extended(443))).collect();
    let words = |count| input::words(99).flat_map(u64::to_le_bytes).take(count).collect::<Vec<u8>>();
    for workload in WORKLOADS {
        let data: Vec<Vec<u8>> = match workload.name {
            "ethertype" | "tcp-port" | "headers" | "rewrite" | "spread" => frames.clone(),
            "checksum" | "fnv1a" | "adler" | "crc32" | "rotate-mix" => {
                vec![
                    vec![],
                    vec![0],
                    vec![0xff; 64],
                    words(3),
                    words(4),
                    words(7),
                    words(8),
                    words(1000),
                    words(2000),
                ]
            }
            "return" | "primes" | "bits" => vec![vec![], words(8)],
            _ => {
                let length = workload.memory().len();
                vec![vec![], words(1), vec![0; length], vec![0xff; length], words(length - 1), words(length)]
            }
        };
        for data in data {
            compare(workload, &data);
        }
    }
}

fn loaded<K: Kind>(program: Result<Program<K>, LoadError>, workload: &Workload) -> Program<K> {
    program.unwrap_or_else(|error| panic!("{}: {error}", workload.name))
}

/// Answer and memory afterwards.
fn compare(workload: &Workload, data: &[u8]) {
    let mut expected_memory = data.to_vec();
    let expected = (workload.native)(&mut expected_memory);
    let what = |engine: Engine| format!("{} on {} bytes in {engine:?}", workload.name, data.len());
    for engine in [Engine::Step, Engine::Interpreter, Engine::Auto] {
        let loader = Loader::new().engine(engine).helpers(helpers());
        let program = loaded(loader.load::<Buffer>(workload.assembled(Form::Memory)), workload);
        let mut memory = data.to_vec();
        assert_eq!(program.run(memory.as_mut_slice()), Ok(expected), "{}", what(engine));
        assert!(memory == expected_memory, "{} leaves other memory", what(engine));
        if NOT_FOR_LINUX.contains(&workload.name) {
            continue;
        }
        let loader = Loader::new().engine(engine).verified(true);
        let program = loaded(loader.load::<Xdp>(workload.assembled(Form::Frame)), workload);
        let mut frame = XdpFrame::new(data);
        let answer = program.run(&mut frame).map(|action| action.to_u32());
        assert_eq!(answer, Ok(expected as u32), "{}, a frame", what(engine));
        assert!(frame.bytes() == expected_memory, "{} leaves another frame", what(engine));
    }
}

#[test]
fn programs_keep_to_what_all_engines_have() {
    for workload in WORKLOADS {
        for insn in workload.assembled(Form::Memory).insns() {
            let common = match insn {
                isa::Insn::Alu { width, .. } | isa::Insn::Branch { width, .. } => *width == isa::Width::W64,
                isa::Insn::Call { callee: isa::Callee::Helper(number) } => *number == helper::NUMBER as i32,
                isa::Insn::Call { callee: isa::Callee::Kfunc { .. } } => false,
                isa::Insn::Atomic { .. } | isa::Insn::LoadPacket { .. } => false,
                _ => true,
            };
            assert!(common, "{}: {insn:?}", workload.name);
        }
    }
}

#[test]
fn generated_programs_have_their_length_and_one_answer() {
    for (length, shape) in
        [24, 100, 400, 4000].into_iter().flat_map(|n| [(n, Shape::Branching), (n, Shape::Straight)])
    {
        let program = generated::program(length, shape);
        assert_eq!(program.len(), length);
        let branches = program.insns().iter().any(|insn| matches!(insn, isa::Insn::Branch { .. }));
        assert_eq!(branches, shape == Shape::Branching && length > 24, "{shape:?} of {length}");
        let memory = input::prefixed(&[0x5a; 64]);
        let answers = ENGINES.iter().filter(|engine| engine.form != Form::Frame).filter_map(|engine| {
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
fn straight_programs_are_programs_that_linux_loads() {
    let program = generated::program(4000, Shape::Straight);
    assert!(Loader::new().verified(true).load::<Xdp>(program).is_ok());
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
