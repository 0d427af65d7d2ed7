//! Maps through the door: shared by threads, by programs, by tail calls, by engines.

use sandbpf::maps::{Environment, MapSpec, MapType, typed};
use sandbpf::{Buffer, Engine, Host, Limits, Loader, Maps, Program};

/// Adds 1 to the value of the key that the first four bytes of its memory are, in map 0; makes it if it is not there.
const COUNT: &str = "
    r6 = *(u32 *)(r1 + 0)
    *(u32 *)(r10 - 4) = r6
    *(u64 *)(r10 - 16) = 0
    r1 = map[fd:0]
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 1
    call 2
    r1 = map[fd:0]
    r2 = r10
    r2 += -4
    call 1
    if r0 == 0 goto lost
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r0 = 0
    exit
    lost:
    r0 = 1
    exit";

fn engines() -> Vec<Engine> {
    let jit = Loader::new().engine(Engine::Jit).load::<Buffer>("exit").is_ok();
    [Engine::Interpreter, Engine::Step].into_iter().chain(jit.then_some(Engine::Jit)).collect()
}

#[test]
fn eight_threads_count_exactly() {
    const RUNS: u32 = 4_000;
    const KEYS: u32 = 7;
    for engine in engines() {
        let maps = Maps::new();
        maps.create(MapSpec::new(MapType::Hash, 4, 8, 64).with_name("counts")).unwrap();
        let program: Program<Buffer> = Loader::new().engine(engine).maps(&maps).load(COUNT).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8u32 {
                let program = program.clone();
                scope.spawn(move || {
                    let mut runner = program.runner();
                    for run in 0..RUNS {
                        let key = (thread + run) % KEYS;
                        assert_eq!(runner.run(&key.to_le_bytes()), Ok(0));
                    }
                });
            }
        });
        let counts = maps.get::<typed::HashMap<u32, u64>>("counts").unwrap();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), u64::from(8 * RUNS), "{engine:?}");
        assert_eq!(counts.iter().count(), KEYS as usize);
    }
}

/// A host on some processor.
struct On(u32);

impl Host for On {
    fn cpu(&self) -> u32 {
        self.0
    }
}

#[test]
fn every_processor_has_its_own_value() {
    let maps = Maps::with_environment(Environment { cpus: 4, ..Environment::default() });
    maps.create(MapSpec::new(MapType::PercpuHash, 4, 8, 8).with_name("counts")).unwrap();
    for cpu in [0, 1, 1, 3] {
        let loader = Loader::new().host(On(cpu)).maps(&maps);
        let program: Program<Buffer> = loader.load(COUNT).unwrap();
        assert_eq!(program.run(&5u32.to_le_bytes()), Ok(0));
    }
    let counts = maps.get::<typed::PerCpuHashMap<u32, u64>>("counts").unwrap();
    assert_eq!(counts.get(5).unwrap(), Some(vec![1, 2, 0, 1]));
}

#[test]
fn tail_calls_cross_engines_and_end() {
    let maps = Maps::new();
    let calls = maps.create(MapSpec::new(MapType::ProgArray, 4, 4, 2).with_name("calls")).unwrap();
    maps.create(MapSpec::new(MapType::Array, 4, 8, 1).with_name("count")).unwrap();
    // Counts, and calls the other.
    let text = |next: u32| {
        format!(
            "r6 = r1
             *(u32 *)(r10 - 4) = 0
             r1 = map[fd:1]
             r2 = r10
             r2 += -4
             call 1
             if r0 == 0 goto end
             r1 = 1
             lock *(u64 *)(r0 + 0) += r1
             r1 = r6
             r2 = map[fd:0]
             r3 = {next}
             call 12
             end: r0 = 77
             exit"
        )
    };
    for engine in engines() {
        let load = |engine: Engine, next: u32| {
            let loader = Loader::new().engine(engine).maps(&maps).limits(Limits { instructions: 10_000 });
            loader.load::<Buffer>(text(next).as_str()).unwrap()
        };
        let (first, second) = (load(engine, 1), load(Engine::Interpreter, 0));
        maps.set_program(&calls, 0, &first).unwrap();
        maps.set_program(&calls, 1, &second).unwrap();
        let count = maps.get::<typed::Array<u64>>("count").unwrap();
        count.set(0, 0).unwrap();
        assert_eq!(first.run(&[0; 8]), Ok(77), "{engine:?}");
        // The first program, and 33 tail calls.
        assert_eq!(count.get(0).unwrap(), Some(34), "{engine:?}");
    }
}
