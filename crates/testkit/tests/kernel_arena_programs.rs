//! Programs that address arenas do the same here and in the running kernel, on every engine.
//!
//! Random accesses, casts and allocations at addresses that a context says, near the borders of pages and of the arena.
//! Both sides have the arena at the address that the kernel's `mmap(2)` gave it. Settings are those of `kernel_maps`.

mod common;

use std::fmt::Write;

use common::{Random, setting};
use sandbpf::abi::kfuncs;
use sandbpf::maps::typed::Arena;
use sandbpf::{Engine, Loader, Maps, Program, Syscall};
use sandbpf_elf::{Btf, Kind};
use sandbpf_maps::{MapSpec, MapType, flags};
use sandbpf_testkit::kernel_maps::memory::Mapping;
use sandbpf_testkit::kernel_maps::{KernelMap, KernelProgram, ProgramType, unavailable};

const PAGE: u64 = 4096;
const FUNCTIONS: [&str; 3] = ["bpf_arena_alloc_pages", "bpf_arena_free_pages", "bpf_arena_reserve_pages"];
/// How many operations a program has; the context holds for each an address, a number, and two results.
const OPERATIONS: usize = 24;
const STRIDE: usize = 32;

/// The numbers of the functions in the kernel's types.
fn kernel_functions() -> Option<[i32; 3]> {
    let types = Btf::parse(&std::fs::read("/sys/kernel/btf/vmlinux").ok()?).ok()?;
    let number = |name: &str| types.find(name, |kind| matches!(kind, Kind::Func { .. })).map(|id| id as i32);
    let [allocate, free, reserve] = FUNCTIONS.map(number);
    Some([allocate?, free?, reserve?])
}

/// The same arena twice, ours for each engine.
struct Pair {
    pages: u64,
    theirs: KernelMap,
    memory: Mapping,
    ours: Vec<(Engine, Maps)>,
}

const ENGINES: [Engine; 3] = [Engine::Step, Engine::Interpreter, Engine::Auto];

impl Pair {
    fn new(random: &mut Random) -> Pair {
        let pages = random.pick(&[1, 2, 3, 8, 64]);
        let bits = flags::MMAPABLE | if random.one_in(4) { flags::NO_USER_CONV } else { 0 };
        let mut spec = MapSpec::new(MapType::Arena, 0, 0, pages).with_flags(bits).with_name("arena");
        let theirs = KernelMap::create(&spec, None).expect("an arena");
        let memory = theirs.share((PAGE * u64::from(pages)) as usize).expect("its memory");
        spec.map_extra = memory.address();
        let ours = ENGINES.map(|engine| {
            let maps = Maps::new();
            maps.create_as(theirs.descriptor(), spec.clone()).expect("an arena");
            (engine, maps)
        });
        Pair { pages: pages.into(), theirs, memory, ours: ours.into() }
    }

    fn address(&self, random: &mut Random) -> u64 {
        let page = random.below(self.pages + 1) * PAGE;
        let at = random.pick(&[0, 0, 0, 1, 4, 8, 2048, PAGE - 8, PAGE - 4, PAGE - 3, PAGE - 1]);
        let address = self.memory.address() + page + at;
        match random.below(20) {
            0 => 0,
            1 => random.below(9),
            2 => address | random.next() << 32,
            3 => address & 0xffff_ffff,
            4 => random.next(),
            _ => address,
        }
    }

    /// One operation of a program, on the address in r1, which is cast, and the number in r2.
    fn operation(&self, random: &mut Random, text: &mut String, at: usize) {
        let size = random.pick(&["u8", "u16", "u32", "u64"]);
        let word = random.pick(&["u32", "u64"]);
        let off = random.pick(&[0, 0, 0, 0, 1, 8, -8, 4095, 4096, -4096, 32767, -32768]);
        let signed = random.pick(&["s8", "s16", "s32"]);
        let name = random.pick(&["add", "and", "or", "xor"]);
        let sign = match name {
            "add" => "+=",
            "and" => "&=",
            "or" => "|=",
            _ => "^=",
        };
        let _ = writeln!(text, "r1 = *(u64 *)(r6 + {at})\nr2 = *(u64 *)(r6 + {})", at + 8);
        let cast = "r1 = addr_space_cast(r1, 0, 1)\n";
        let call = |function: &str, more: &str| {
            format!(
                "r2 = r1\nr3 = *(u32 *)(r6 + {})\nr3 &= 7\nr1 = map[fd:{}]\n{more}call {function}\n",
                at + 8,
                self.theirs.descriptor()
            )
        };
        let _ = match random.below(16) {
            0..=2 => writeln!(text, "{cast}r2 = *({size} *)(r1 {off:+})"),
            3 => writeln!(text, "{cast}r2 = *({signed} *)(r1 {off:+})"),
            4 | 5 => writeln!(text, "{cast}*({size} *)(r1 {off:+}) = r2"),
            6 => writeln!(text, "{cast}*({size} *)(r1 {off:+}) = {}", random.next() as i32),
            7 => writeln!(text, "{cast}lock *({word} *)(r1 {off:+}) {sign} r2"),
            8 => writeln!(text, "{cast}r2 = atomic_fetch_add(({word} *)(r1 {off:+}), r2)"),
            9 if word == "u64" => writeln!(text, "{cast}r2 = xchg_64(r1 {off:+}, r2)"),
            9 => writeln!(text, "{cast}w2 = xchg32_32(r1 {off:+}, w2)"),
            10 if word == "u64" => {
                writeln!(text, "{cast}r0 = r2\nr0 = cmpxchg_64(r1 {off:+}, r0, r2)\nr2 = r0")
            }
            10 => writeln!(text, "{cast}r0 = r2\nw0 = cmpxchg32_32(r1 {off:+}, w0, w2)\nr2 = r0"),
            11 => writeln!(text, "{cast}r1 += {}\nr2 = addr_space_cast(r1, 1, 0)", random.below(16)),
            12 => writeln!(
                text,
                "{}r2 = r0",
                match random.below(3) {
                    // Some versions of Linux 6.18 take pages below the arena for its own once they were freed.
                    0 => {
                        let (start, bytes) = (self.memory.address() as i32, self.pages * PAGE);
                        let inside = format!("w4 = w2\nw4 -= {start}\nif w4 > {bytes} goto +1\n");
                        format!("r0 = 0\n{}r0 = 0\n", call("free", &inside))
                    }
                    1 => call("reserve", ""),
                    _ => call("allocate", "r4 = -1\nr5 = 0\n"),
                }
            ),
            13 => writeln!(text, "{cast}r2 = load_acquire(({size} *)(r1 {off:+}))"),
            14 => writeln!(text, "{cast}store_release(({size} *)(r1 {off:+}), r2)"),
            _ => writeln!(text, "r2 = 0\n{cast}if r1 == 0 goto +1\nr2 = 1"),
        };
        let _ = writeln!(text, "*(u64 *)(r6 + {}) = r2", at + 16);
    }

    /// A program of ours, with what functions are called there.
    fn text(&self, random: &mut Random) -> String {
        let mut text = format!("r6 = r1\nr1 = map[fd:{}]\n", self.theirs.descriptor());
        for at in 0..OPERATIONS {
            self.operation(random, &mut text, STRIDE * at);
        }
        text + "r0 = 0\nexit"
    }

    fn with_functions(text: &str, numbers: [i32; 3]) -> String {
        let [allocate, free, reserve] = numbers.map(|number| format!("call kfunc#{number}"));
        text.replace("call allocate", &allocate).replace("call free", &free).replace("call reserve", &reserve)
    }

    fn step(&self, random: &mut Random, functions: [i32; 3]) -> bool {
        let text = self.text(random);
        let program = sandbpf_isa::parse(&Self::with_functions(&text, functions));
        let program = program.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let Ok(theirs) = KernelProgram::load_as(ProgramType::Syscall, &program.to_bytes()) else {
            return false;
        };
        let numbers = FUNCTIONS.map(|name| kfuncs::named(name).expect("a function").0);
        let text = Self::with_functions(&text, numbers);
        for _ in 0..4 {
            let mut context = vec![0; STRIDE * OPERATIONS];
            for operation in context.chunks_mut(STRIDE) {
                let number = if random.one_in(2) { random.below(8) } else { random.next() };
                operation[..8].copy_from_slice(&self.address(random).to_ne_bytes());
                operation[8..16].copy_from_slice(&number.to_ne_bytes());
            }
            let before = context.clone();
            theirs.run_with(&mut context).expect("a run");
            for (engine, maps) in &self.ours {
                let loader = Loader::new().maps(maps).engine(*engine);
                let ours: Program<Syscall> = loader.load(text.as_str()).expect("a program");
                let mut here = before.clone();
                ours.run(&mut here).unwrap_or_else(|trap| panic!("{engine:?}: {trap}\n{text}"));
                for at in (0..context.len()).step_by(STRIDE) {
                    let word = |bytes: &[u8], at: usize| {
                        u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
                    };
                    assert_eq!(
                        format!("{:#x}", word(&here, at + 16)),
                        format!("{:#x}", word(&context, at + 16)),
                        "{engine:?}, operation {}, address {:#x}, number {:#x}, arena at {:#x}\n{text}",
                        at / STRIDE,
                        word(&before, at),
                        word(&before, at + 8),
                        self.memory.address(),
                    );
                }
                self.compare(*engine, maps);
            }
        }
        true
    }

    /// Compares all pages that exist.
    fn compare(&self, engine: Engine, maps: &Maps) {
        let arena: Arena = maps.get("arena").expect("an arena");
        for page in 0..self.pages {
            if maps.named("arena").is_ok_and(|map| map.bytes(page * PAGE).is_none()) {
                continue;
            }
            let mut bytes = vec![0; PAGE as usize];
            arena.read(page * PAGE, &mut bytes).expect("it exists");
            let theirs: Vec<u8> = (0..PAGE).map(|at| self.memory.read((page * PAGE + at) as usize)).collect();
            assert!(bytes == theirs, "{engine:?}: page {page}");
        }
    }
}

#[test]
fn programs_find_the_same_in_arenas() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let Some(functions) = kernel_functions() else {
        println!("skipped: the kernel does not describe functions on pages of arenas");
        return;
    };
    let seed = setting("SANDBPF_KERNEL_SEED", 1);
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000) / 4;
    let mut random = Random(seed);
    let (mut done, mut refused) = (0, 0);
    while done < operations {
        let pair = Pair::new(&mut random);
        for _ in 0..20 {
            refused += u64::from(!pair.step(&mut random, functions));
            done += 4 * OPERATIONS as u64;
        }
    }
    println!("{done} operations, seed {seed}; the kernel refused {refused} programs");
    assert!(20 * refused < operations, "most programs are loaded");
}
