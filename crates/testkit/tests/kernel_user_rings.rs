//! User rings here and in the running kernel: which samples a program gets, and what it is told about nonsense.
//!
//! The user writes samples, and anything else it may write into the pages that it maps; a program drains the ring through a
//! callback that adds up what it sees and may stop. Settings are those of `kernel_maps`.

mod common;

use std::collections::BTreeSet;

use common::{Random, setting};
use sandbpf::abi::kfuncs;
use sandbpf::{Engine, Loader, Maps, Program, Syscall};
use sandbpf_elf::{Btf, Kind};
use sandbpf_maps::{BUSY_BIT, DISCARD_BIT, MapSpec, MapType, RingQuery};
use sandbpf_testkit::kernel_maps::memory::Mapping;
use sandbpf_testkit::kernel_maps::{KernelMap, KernelProgram, ProgramType, unavailable};

const PAGE: usize = 4096;
/// The context: after how many samples to stop, flags, the answer, how many samples there were, what they add up to, and
/// what draining the ring again from a callback answered.
const CONTEXT: usize = 48;

/// A program that drains a ring. `size` is the number of `bpf_dynptr_size`.
fn text(map: &KernelMap, size: i32) -> String {
    let map = map.descriptor();
    format!(
        "r6 = r1
         r1 = *(u64 *)(r6 + 0)
         *(u64 *)(r10 - 8) = r1
         *(u64 *)(r10 - 16) = 0
         *(u64 *)(r10 - 24) = 0
         *(u64 *)(r10 - 32) = 0
         r1 = map[fd:{map}]
         r2 = subprog[sample]
         r3 = r10
         r3 += -32
         r4 = *(u64 *)(r6 + 8)
         call 209
         *(u64 *)(r6 + 16) = r0
         r1 = *(u64 *)(r10 - 16)
         *(u64 *)(r6 + 24) = r1
         r1 = *(u64 *)(r10 - 24)
         *(u64 *)(r6 + 32) = r1
         r1 = *(u64 *)(r10 - 32)
         *(u64 *)(r6 + 40) = r1
         r0 = 0
         exit
         sample:
         r6 = r2
         r7 = r1
         *(u64 *)(r10 - 8) = 0
         r1 = r10
         r1 += -8
         r2 = 8
         r3 = r7
         r4 = 0
         r5 = 0
         call 201
         r8 = *(u64 *)(r6 + 8)
         r8 *= 31
         r8 += r0
         r1 = *(u64 *)(r10 - 8)
         r8 += r1
         r1 = r7
         call kfunc#{size}
         w0 = w0
         r8 *= 31
         r8 += r0
         *(u64 *)(r6 + 8) = r8
         r1 = map[fd:{map}]
         r2 = subprog[nothing]
         r3 = 0
         r4 = 0
         call 209
         *(u64 *)(r6 + 0) = r0
         r1 = *(u64 *)(r6 + 16)
         r1 += 1
         *(u64 *)(r6 + 16) = r1
         r2 = *(u64 *)(r6 + 24)
         r0 = 0
         if r1 != r2 goto +1
         r0 = 1
         exit
         nothing:
         r0 = 1
         exit",
    )
}

struct Pair {
    size: u64,
    /// The consumer's position, and the producer's with the bytes behind it.
    position: Mapping,
    memory: Mapping,
    program: KernelProgram,
    ours: Vec<(Engine, Maps, Program<Syscall>)>,
    _theirs: KernelMap,
}

const ENGINES: [Engine; 3] = [Engine::Step, Engine::Interpreter, Engine::Auto];

impl Pair {
    fn new(random: &mut Random, dynptr_size: i32) -> Pair {
        let size = random.pick(&[4096, 8192, 65536]);
        let spec = MapSpec::new(MapType::UserRingbuf, 0, 0, size).with_name("ring");
        let theirs = KernelMap::create(&spec, None).expect("a ring");
        let position = theirs.share_to_read(PAGE).expect("the consumer's page");
        let memory = theirs.share_from(PAGE, PAGE + size as usize).expect("the producer's pages");
        let code = sandbpf_isa::parse(&text(&theirs, dynptr_size)).expect("it is well written");
        let starts: Vec<u32> = code.functions().iter().map(|function| code.slot(function.entry)).collect();
        let program = KernelProgram::load_functions(ProgramType::Syscall, &code.to_bytes(), &starts);
        let program = program.expect("the kernel takes it");
        let (number, _) = kfuncs::named("bpf_dynptr_size").expect("a function");
        let ours = ENGINES.map(|engine| {
            let maps = Maps::new();
            maps.create_as(theirs.descriptor(), spec.clone()).expect("a ring");
            let program = Loader::new().maps(&maps).engine(engine).load(text(&theirs, number).as_str());
            (engine, maps, program.expect("a program"))
        });
        Pair { size: size.into(), position, memory, program, ours: ours.into(), _theirs: theirs }
    }

    fn word(mapping: &Mapping, at: usize) -> u64 {
        u64::from_ne_bytes(std::array::from_fn(|i| mapping.read(at + i)))
    }

    /// Writes the low bytes of a number at a position of the ring, on both sides.
    fn put(&self, position: u64, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            let at = (position + i as u64) & (self.size - 1);
            self.memory.write(PAGE + at as usize, byte);
            for (_, maps, _) in &self.ours {
                maps.named("ring").expect("a ring").store(at, 1, byte.into()).expect("a byte of the ring");
            }
        }
    }

    fn set_producer(&self, position: u64) {
        position.to_ne_bytes().into_iter().enumerate().for_each(|(at, byte)| self.memory.write(at, byte));
        for (_, maps, _) in &self.ours {
            maps.named("ring").expect("a ring").user_ring_set_producer(position).expect("a ring");
        }
    }

    /// What a user writes: samples, of which some are not finished, or are longer than what there is.
    fn write(&self, random: &mut Random) {
        let consumer = Self::word(&self.position, 0);
        let mut position = consumer;
        for _ in 0..random.below(12) {
            let len = random.pick(&[0, 1, 7, 8, 9, 16, 100, 1000, 4080, 4088]);
            let (flags, len) = match random.below(12) {
                0 => (BUSY_BIT, len),
                1 | 2 => (DISCARD_BIT, len),
                3 => (BUSY_BIT | DISCARD_BIT, len),
                4 => (0, random.next() as u32 & !(BUSY_BIT | DISCARD_BIT)),
                5 => (0, random.pick(&[self.size as u32 - 8, self.size as u32 - 7, (1 << 24) - 1, 1 << 24])),
                _ => (0, len),
            };
            self.put(position, &u64::from(len | flags).to_ne_bytes());
            self.put(position + 8, &random.next().to_ne_bytes());
            position += (u64::from(len) + 8).next_multiple_of(8);
            if position - consumer > self.size {
                break;
            }
        }
        self.set_producer(match random.below(12) {
            0 => random.next() >> random.below(64),
            1 => position + 4,
            2 => position.wrapping_sub(8),
            // As if there were far more than fits.
            3 => position + 64 * self.size,
            _ => position,
        });
    }

    /// Drains the ring on both sides; what the kernel answered, and what it answered in the callback.
    fn drain(&self, random: &mut Random) -> [i64; 2] {
        let mut context = [0; CONTEXT];
        let stop: u64 = random.pick(&[0, 0, 0, 1, 2, 5]);
        let flags: u64 = random.pick(&[0, 0, 0, 0, 1, 2, 3, 4]);
        context[..8].copy_from_slice(&stop.to_ne_bytes());
        context[8..16].copy_from_slice(&flags.to_ne_bytes());
        let before = context;
        self.program.run_with(&mut context).expect("a run");
        let consumer = Self::word(&self.position, 0);
        for (engine, maps, program) in &self.ours {
            let mut here = before;
            program.run(&mut here).unwrap_or_else(|trap| panic!("{engine:?}: {trap}"));
            let ring = maps.named("ring").expect("a ring");
            let ours = (words(&here), ring.ring_query(RingQuery::Consumer).expect("a ring"));
            assert_eq!(ours, (words(&context), consumer), "{engine:?}");
        }
        let words = words(&context);
        [words[2], words[5]]
    }
}

fn words(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks(8).map(|word| i64::from_ne_bytes(word.try_into().expect("a word"))).collect()
}

#[test]
fn programs_get_the_same_samples() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let types = std::fs::read("/sys/kernel/btf/vmlinux").ok().and_then(|bytes| Btf::parse(&bytes).ok());
    let size =
        types.and_then(|types| types.find("bpf_dynptr_size", |kind| matches!(kind, Kind::Func { .. })));
    let Some(size) = size else {
        println!("skipped: the kernel does not describe bpf_dynptr_size");
        return;
    };
    let seed = setting("SANDBPF_KERNEL_SEED", 1);
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000) / 20;
    let mut random = Random(seed);
    let (mut done, mut answers) = (0, BTreeSet::new());
    while done < operations {
        let pair = Pair::new(&mut random, size as i32);
        for _ in 0..200 {
            pair.write(&mut random);
            for _ in 0..=random.below(2) {
                answers.extend(pair.drain(&mut random));
            }
            done += 1;
        }
    }
    let kinds = [-22, -16, -7, 0, 1, 5];
    assert!(kinds.iter().all(|kind| answers.contains(kind)), "all kinds of answers came: {answers:?}");
    println!("{done} rounds, seed {seed}; answers {answers:?}");
}
