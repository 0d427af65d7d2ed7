//! Arenas here and in the running kernel: where pages come from, which exist, what is in them.
//!
//! Programs that users run allocate and free pages; the user touches them. Settings are those of `kernel_maps`.

mod common;

use common::{Random, setting};
use sandbpf_elf::{Btf, Kind};
use sandbpf_maps::{Environment, Map, MapSpec, MapType, flags};
use sandbpf_testkit::kernel_maps::memory::Mapping;
use sandbpf_testkit::kernel_maps::{KernelMap, KernelProgram, ProgramType, unavailable};

const PAGE: usize = 4096;

/// The kernel's types: they number its functions.
fn functions() -> Option<[u32; 2]> {
    let types = Btf::parse(&std::fs::read("/sys/kernel/btf/vmlinux").ok()?).ok()?;
    let number = |name: &str| types.find(name, |kind| matches!(kind, Kind::Func { .. }));
    Some([number("bpf_arena_alloc_pages")?, number("bpf_arena_free_pages")?])
}

/// A program that calls one of them on a map with what its context holds: an address and a count of pages. It leaves
/// there what it got.
fn program(map: &KernelMap, function: u32, allocates: bool) -> KernelProgram {
    let call = if allocates { "r4 = -1\n r5 = 0\n" } else { "" };
    let text = format!(
        "r6 = r1\n r1 = map[fd:{}]\n r2 = *(u64 *)(r6 + 0)\n r3 = *(u32 *)(r6 + 8)\n {call} call kfunc#{function}
         {} r0 = 0\n exit",
        map.descriptor(),
        if allocates { "*(u64 *)(r6 + 16) = r0\n" } else { "" },
    );
    let program = sandbpf_isa::parse(&text).expect("it is well written");
    let code = program.to_bytes();
    KernelProgram::load_as(ProgramType::Syscall, &code).expect("the kernel takes it")
}

/// The same arena twice.
struct Pair {
    pages: u32,
    /// Whether touching a page that does not exist kills.
    strict: bool,
    ours: std::sync::Arc<Map>,
    memory: Mapping,
    allocate: KernelProgram,
    free: KernelProgram,
    _theirs: KernelMap,
}

impl Pair {
    fn new(random: &mut Random, [allocate, free]: [u32; 2]) -> Pair {
        let pages = random.pick(&[1, 2, 5, 16, 40, 64]);
        let strict = random.one_in(2);
        let bits = flags::MMAPABLE | if strict { flags::SEGV_ON_FAULT } else { 0 };
        let spec = MapSpec::new(MapType::Arena, 0, 0, pages).with_flags(bits);
        let theirs = KernelMap::create(&spec, None).expect("an arena");
        let memory = theirs.share(PAGE * pages as usize).expect("its memory");
        let (allocate, free) = (program(&theirs, allocate, true), program(&theirs, free, false));
        let ours = Map::create(spec, &Environment::default()).expect("an arena");
        Pair { pages, strict, ours, memory, allocate, free, _theirs: theirs }
    }

    /// A page, which may be beyond the end, by its address in the kernel.
    fn address(&self, page: u32) -> u64 {
        self.memory.address() + u64::from(page) * PAGE as u64
    }

    fn call(program: &KernelProgram, address: u64, count: u32) -> u64 {
        let mut context = [0; 24];
        context[..8].copy_from_slice(&address.to_ne_bytes());
        context[8..12].copy_from_slice(&count.to_ne_bytes());
        program.run_with(&mut context).expect("a run");
        context[16..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    /// Whether a page exists here.
    fn exists(&self, page: u32) -> bool {
        self.ours.bytes(u64::from(page) * PAGE as u64).is_some()
    }

    fn step(&self, random: &mut Random) {
        let page = random.below(u64::from(self.pages) + 1) as u32;
        let count = random.pick(&[0, 1, 1, 1, 2, 3, 7, self.pages, self.pages + 1]);
        match random.below(8) {
            0..=2 => {
                let at = random.one_in(3).then_some(page);
                let theirs = Self::call(&self.allocate, at.map_or(0, |page| self.address(page)), count);
                let ours = self.ours.arena_allocate(at, count);
                let theirs = (theirs != 0).then(|| ((theirs - self.memory.address()) / PAGE as u64) as u32);
                assert_eq!(ours.ok(), theirs, "{count} pages at {at:?} of {}", self.pages);
            }
            3 => {
                Self::call(&self.free, self.address(page), count);
                self.ours.arena_free(page, count);
            }
            _ if page < self.pages && (self.exists(page) || !self.strict) => {
                let at = page as usize * PAGE + random.below(PAGE as u64) as usize;
                self.ours.arena_touch(page).expect("it exists, or may come to exist");
                if random.one_in(2) {
                    let byte = random.next() as u8;
                    self.memory.write(at, byte);
                    self.ours.store(at as u64, 1, byte.into()).expect("the page exists");
                }
                let theirs = u64::from(self.memory.read(at));
                assert_eq!(self.ours.load(at as u64, 1), Some(theirs), "byte {at}");
            }
            _ => {}
        }
    }

    /// Compares all pages that exist.
    fn compare(&self) {
        for page in (0..self.pages).filter(|&page| self.exists(page)) {
            for at in page as usize * PAGE..(page as usize + 1) * PAGE {
                assert_eq!(self.ours.load(at as u64, 1), Some(self.memory.read(at).into()), "byte {at}");
            }
        }
    }
}

#[test]
fn pages_come_from_the_same_places() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let Some(functions) = functions() else {
        println!("skipped: the kernel does not describe functions that allocate pages of arenas");
        return;
    };
    let seed = setting("SANDBPF_KERNEL_SEED", 1);
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000) / 4;
    let mut random = Random(seed);
    let mut done = 0;
    while done < operations {
        let pair = Pair::new(&mut random, functions);
        let steps = random.pick(&[50, 300, 2000]);
        (0..steps).for_each(|_| pair.step(&mut random));
        pair.compare();
        done += steps;
    }
    println!("{done} operations, seed {seed}");
}
