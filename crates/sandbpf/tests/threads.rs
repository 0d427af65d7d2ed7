//! Eight threads run one program on shared maps of every kind that programs count in: no update is lost, nothing is
//! seen twice, counters are exact.
//!
//! For how long, `SANDBPF_THREAD_SECONDS` says; `SANDBPF_ENGINES=interpreter` leaves machine code out, which
//! ThreadSanitizer cannot watch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sandbpf::maps::{Environment, FieldKind, MapSpec, MapType, SpecialField, flags, typed};
use sandbpf::{Buffer, Engine, Host, Loader, Maps, Program};

const THREADS: u32 = 8;
/// Keys that are counted.
const KEYS: u32 = 48;

/// Its memory is `thread, round, key, any key: u32`, a full address and the thread's own prefix: `struct bpf_lpm_trie_key`.
/// What it answers is 0, or the number of the check that failed.
const PROGRAM: &str = include_str!("data/threads.bpf");

fn specs() -> Vec<MapSpec> {
    let mut locked = MapSpec::new(MapType::Array, 4, 24, 1).with_name("locked");
    locked.fields = vec![SpecialField { kind: FieldKind::SpinLock, offset: 0, size: 4 }];
    vec![
        MapSpec::new(MapType::Hash, 4, 8, 64).with_name("hash"),
        MapSpec::new(MapType::Hash, 4, 8, 4096).with_flags(flags::NO_PREALLOC).with_name("own"),
        MapSpec::new(MapType::LruHash, 4, 8, 4096).with_name("lru"),
        MapSpec::new(MapType::LruHash, 4, 8, 64).with_name("evict"),
        MapSpec::new(MapType::LpmTrie, 8, 8, 64).with_flags(flags::NO_PREALLOC).with_name("routes"),
        MapSpec::new(MapType::Ringbuf, 0, 0, 1 << 16).with_name("ring"),
        MapSpec::new(MapType::PercpuArray, 4, 8, 2).with_name("percpu"),
        MapSpec::new(MapType::PercpuHash, 4, 8, 64).with_name("percpu_hash"),
        MapSpec::new(MapType::Array, 4, 8, 4).with_name("array"),
        locked,
        MapSpec::new(MapType::Queue, 0, 8, 64).with_name("queue"),
    ]
}

/// A host on some processor.
struct On(u32);

impl Host for On {
    fn cpu(&self) -> u32 {
        self.0
    }
}

fn engines() -> Vec<Engine> {
    let wanted = std::env::var("SANDBPF_ENGINES").unwrap_or_default();
    let jit = Loader::new().engine(Engine::Jit).load::<Buffer>("exit").is_ok() && wanted != "interpreter";
    [Engine::Interpreter].into_iter().chain(jit.then_some(Engine::Jit)).collect()
}

/// A number that looks random.
fn scramble(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b)
}

/// What the program is given.
fn input(thread: u32, round: u32) -> (Vec<u8>, u8) {
    let chance = scramble(round.wrapping_mul(THREADS) + thread);
    let mut bytes = Vec::new();
    for number in [thread, round, chance % KEYS, chance >> 8 & 511, 32] {
        bytes.extend(number.to_ne_bytes());
    }
    let network = (chance >> 20 & 3) as u8;
    bytes.extend([10, network, thread as u8, round as u8]);
    bytes.extend(24u32.to_ne_bytes());
    bytes.extend([10, 200, thread as u8, 0]);
    (bytes, network)
}

/// What came out of the ring.
#[derive(Default)]
struct Records {
    count: u64,
    /// The last ticket of each thread.
    last: [Option<(u32, u64)>; THREADS as usize],
}

impl Records {
    fn add(&mut self, record: &[u8]) {
        let word = |at: usize| u32::from_ne_bytes(record[at..at + 4].try_into().unwrap());
        let (thread, round) = (word(0), word(4));
        let ticket = u64::from_ne_bytes(record[8..16].try_into().unwrap());
        let last = &mut self.last[thread as usize];
        assert!(
            last.is_none_or(|last| last < (round, ticket) && last.1 < ticket),
            "{last:?} before {round}, {ticket}"
        );
        *last = Some((round, ticket));
        self.count += 1;
    }
}

/// What the user sees meanwhile.
fn look(maps: &Maps, records: &mut Records) {
    let ring = maps.get::<typed::RingBuf>("ring").unwrap();
    ring.consume(|record| records.add(record)).unwrap();
    for (key, value) in maps.get::<typed::HashMap<u32, u64>>("own").unwrap().iter() {
        assert_eq!(value as u32, key, "a value belongs to its key");
    }
    let value = maps.named("locked").unwrap().user().lookup(&[0; 4], flags::F_LOCK).unwrap();
    let word = |at: usize| u64::from_ne_bytes(value[at..at + 8].try_into().unwrap());
    assert_eq!(word(16), word(8).wrapping_mul(3), "the two change together");
    let evict = maps.get::<typed::HashMap<u32, u64>>("evict").unwrap();
    assert!(evict.iter().all(|(_, value)| value as u32 == (value >> 32) as u32), "values are whole");
}

fn run(engine: Engine, time: Duration) -> u64 {
    let maps = Maps::with_environment(Environment { cpus: THREADS, ..Environment::default() });
    specs().into_iter().for_each(|spec| _ = maps.create(spec).unwrap());
    let routes = maps.get::<typed::LpmTrie<[u8; 4], u64>>("routes").unwrap();
    routes.insert(8, [10, 0, 0, 0], 0).unwrap();
    (0..4).for_each(|network| routes.insert(16, [10, network, 0, 0], 0).unwrap());
    // What must be in the maps in the end.
    let total = AtomicU64::new(0);
    let networks: [AtomicU64; 4] = Default::default();
    let keys: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let mut rounds_of = [0u32; THREADS as usize];
    let mut records = Records::default();
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (maps, total, networks, keys) = (&maps, &total, &networks, &keys);
                scope.spawn(move || {
                    let loader = Loader::new().engine(engine).host(On(thread)).maps(maps);
                    let program: Program<Buffer> = loader.load(PROGRAM).unwrap();
                    let mut runner = program.runner();
                    let mut round = 0;
                    while round % 64 != 0 || Instant::now() < end {
                        let (bytes, network) = input(thread, round);
                        assert_eq!(
                            runner.run(&bytes[..]),
                            Ok(0),
                            "{engine:?}, thread {thread}, round {round}"
                        );
                        let key = u32::from_ne_bytes(bytes[8..12].try_into().unwrap());
                        keys[key as usize].fetch_add(1, Ordering::Relaxed);
                        networks[network as usize].fetch_add(1, Ordering::Relaxed);
                        round += 1;
                    }
                    total.fetch_add(round.into(), Ordering::Relaxed);
                    round
                })
            })
            .collect();
        while !running.iter().all(|thread| thread.is_finished()) {
            look(&maps, &mut records);
        }
        for (rounds, thread) in rounds_of.iter_mut().zip(running) {
            *rounds = thread.join().expect("no check failed");
        }
    });
    look(&maps, &mut records);
    let total = total.into_inner();

    let expected: BTreeMap<u32, u64> = (0..)
        .zip(keys)
        .map(|(key, count)| (key, count.into_inner()))
        .filter(|&(_, count)| count > 0)
        .collect();
    for name in ["hash", "lru"] {
        let counts = maps.get::<typed::HashMap<u32, u64>>(name).unwrap();
        assert_eq!(counts.iter().collect::<BTreeMap<_, _>>(), expected, "{name}");
    }
    let per_cpu = maps.get::<typed::PerCpuHashMap<u32, u64>>("percpu_hash").unwrap();
    let sums: BTreeMap<u32, u64> = per_cpu.iter().map(|(key, counts)| (key, counts.iter().sum())).collect();
    assert_eq!(sums, expected, "percpu_hash");
    assert_eq!(
        maps.get::<typed::HashMap<u32, u64>>("own").unwrap().iter().count(),
        0,
        "all were deleted again"
    );
    assert!(maps.get::<typed::HashMap<u32, u64>>("evict").unwrap().iter().count() <= 64);
    assert_eq!(routes.iter().count(), 5, "all prefixes of threads were deleted again");
    for (network, count) in (0..).zip(networks) {
        assert_eq!(routes.longest([10, network, 1, 1]).unwrap(), Some(count.into_inner()), "10.{network}/16");
    }
    let per_cpu = maps.get::<typed::PerCpuArray<u64>>("percpu").unwrap();
    assert_eq!(per_cpu.get(0).unwrap().unwrap(), rounds_of.map(u64::from), "runs of each processor");
    let lost: u64 = per_cpu.get(1).unwrap().unwrap().iter().sum();
    assert_eq!(records.count + lost, total, "records and those that had no room");
    let array = maps.get::<typed::Array<u64>>("array").unwrap();
    let [tickets, pushed, popped] = [0, 1, 2].map(|at| array.get(at).unwrap().unwrap());
    assert_eq!(tickets, total);
    let put: u64 = rounds_of.iter().map(|&rounds| (0..u64::from(rounds)).sum::<u64>()).sum();
    assert_eq!((pushed, popped), (put, put), "what went through the queue");
    let locked = maps.named("locked").unwrap().user().lookup(&[0; 4], 0).unwrap();
    let word = |at: usize| u64::from_ne_bytes(locked[at..at + 8].try_into().unwrap());
    assert_eq!((word(8), word(16)), (total, 3 * total), "what was counted under the lock");
    println!(
        "{engine:?}: {total} runs, {} records read, {lost} without room, {tickets} tickets",
        records.count
    );
    total
}

#[test]
fn eight_threads_on_all_maps() {
    let seconds =
        std::env::var("SANDBPF_THREAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for engine in engines() {
        assert!(run(engine, Duration::from_secs(seconds)) >= u64::from(THREADS));
    }
}

/// A program that ends while it has a lock does not keep others out, and one that waits for itself is told.
#[test]
fn locks_end_with_the_run() {
    let lock = |rest: &str| {
        format!(
            "*(u32 *)(r10 - 4) = 0\n r1 = map[fd:0]\n r2 = r10\n r2 += -4\n call 1\n if r0 == 0 goto end\n r6 = r0
             r1 = r6\n call 93\n {rest}\n end: r0 = 0\n exit"
        )
    };
    for engine in engines() {
        let maps = Maps::new();
        let mut spec = specs().remove(9);
        spec.map_flags = 0;
        maps.create(spec).unwrap();
        let load =
            |text: String| Loader::new().engine(engine).maps(&maps).load::<Buffer>(text.as_str()).unwrap();
        let bad = load(lock("r1 = 0\n r0 = *(u64 *)(r1 + 0)"));
        assert!(matches!(bad.run(&[]), Err(sandbpf::Trap::BadAccess { .. })));
        assert_eq!(load(lock("r1 = r6\n call 94")).run(&[]), Ok(0));
        assert_eq!(load(lock("")).run(&[]), Ok(0), "it forgets to give it back");
        let twice = load(lock("r1 = r6\n call 93"));
        assert!(matches!(twice.run(&[]), Err(sandbpf::Trap::Deadlock { .. })));
        assert_eq!(load(lock("r1 = r6\n call 94")).run(&[]), Ok(0));
    }
}
