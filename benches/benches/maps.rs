//! Maps beside the tables that a Rust program would use in their place: lookups from compiled and interpreted programs and
//! from the embedder, updates, eviction, and how all of it scales over two threads.
//!
//! `cargo bench -p sandbpf-benches --bench maps`; `-- --quick` to see that everything runs. Native tables hash as our maps
//! do, so what is compared is the table and the way to it. All subjects draw the same keys from the same generator.

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sandbpf::maps::{Map, MapSpec, MapType};
use sandbpf::{Buffer, Engine, Loader, Maps, Program, Xdp};
use sandbpf_benches::rounds::{Entry, Plan, Subject, Time, pin};
use sandbpf_benches::table::Table;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let threads = if quick { Duration::from_millis(20) } else { Duration::from_millis(300) };
    if wanted("threads") {
        println!("{}", scaling(threads));
    }
    println!("{}.\n", if pin() { "Pinned to one processor" } else { "Not pinned to a processor" });
    if wanted("array") {
        println!("{}", arrays(plan));
    }
    if wanted("hash") {
        println!("{}", lookups(plan));
    }
    if wanted("change") {
        println!("{}", changes(plan));
    }
}

/// Lookups of one run of a program.
const RUN: u32 = 256;

/// Draws numbers below a power of two.
#[derive(Clone, Copy, Debug)]
struct Draw(u64);

const FACTOR: u64 = 0x5851_f42d_4c95_7f2d;

impl Draw {
    #[inline(always)]
    fn next(&mut self, mask: u64) -> u64 {
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(0x14057b7f);
        (self.0 >> 33) & mask
    }
}

/// The key with this number: it and a word that follows from it, over and over.
#[inline(always)]
fn key<const N: usize>(number: u64) -> [u8; N] {
    let mut key = [0; N];
    if N == 4 {
        key.copy_from_slice(&(number as u32).to_ne_bytes()[..N]);
        return key;
    }
    for (at, chunk) in key.chunks_exact_mut(8).enumerate() {
        let word = if at == 0 { number } else { number.wrapping_add(at as u64) };
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    key
}

/// Hashes as [`sandbpf::maps`] does tables without a zero seed.
#[derive(Clone, Copy, Debug, Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = sandbpf::maps::hash_of(bytes, 0x5eed);
    }

    /// The length of an array, which all keys have in common.
    #[inline(always)]
    fn write_usize(&mut self, _len: usize) {}
}

type Native<const N: usize> = hashbrown::HashMap<[u8; N], u64, BuildHasherDefault<Fold>>;

/// A native table with `entries` entries.
struct InTable<const N: usize> {
    table: Native<N>,
    draw: Draw,
    mask: u64,
}

impl<const N: usize> Subject for InTable<N> {
    fn batch(&mut self, count: u32) -> u64 {
        let mut sum = 0u64;
        for _ in 0..count * RUN {
            let key = key::<N>(self.draw.next(self.mask));
            sum = sum.wrapping_add(*self.table.get(black_box(&key)).expect("all keys are there"));
        }
        sum
    }
}

/// Our map, asked by the embedder.
struct InMap<const N: usize> {
    map: Arc<Map>,
    draw: Draw,
    mask: u64,
}

impl<const N: usize> Subject for InMap<N> {
    fn batch(&mut self, count: u32) -> u64 {
        let mut sum = 0u64;
        for _ in 0..count * RUN {
            let key = key::<N>(self.draw.next(self.mask));
            let place = self.map.lookup(black_box(&key), 0).expect("all keys are there");
            sum = sum.wrapping_add(self.map.load(place, 8).expect("a value"));
        }
        sum
    }
}

/// A program that asks.
struct InProgram {
    program: Program<Buffer>,
    memory: [u8; 8],
}

impl Subject for InProgram {
    fn batch(&mut self, count: u32) -> u64 {
        let mut runner = self.program.runner();
        (0..count).fold(0, |_, _| runner.run(&mut self.memory).expect("it runs"))
    }
}

/// A program that asks, and was verified.
struct InProof {
    program: Program<Xdp>,
    frame: sandbpf::XdpFrame,
}

impl Subject for InProof {
    fn batch(&mut self, count: u32) -> u64 {
        let mut runner = self.program.runner();
        for _ in 0..count {
            runner.run(&mut self.frame).expect("it runs");
        }
        0
    }
}

/// A program that draws numbers below `mask + 1`, looks them up, and adds what it finds. `data` is where the state of the
/// generator is.
fn program(key_size: usize, mask: u64, prologue: &str) -> String {
    let mut stores = match key_size {
        4 => "*(u32 *)(r10 - 64) = r1\n".to_string(),
        _ => "*(u64 *)(r10 - 64) = r1\n".to_string(),
    };
    for at in 1..key_size / 8 {
        stores += &format!("r2 = r1\nr2 += {at}\n*(u64 *)(r10 - {}) = r2\n", 64 - 8 * at);
    }
    format!(
        "{prologue}
         r6 = *(u64 *)(r7 + 0)
         r8 = 0
         r9 = {RUN}
         loop:
         r1 = {FACTOR} ll
         r6 *= r1
         r6 += {}
         r1 = r6
         r1 >>= 33
         r1 &= {mask}
         {stores}
         r1 = map[fd:0]
         r2 = r10
         r2 += -64
         call 1
         if r0 == 0 goto fail
         r1 = *(u64 *)(r0 + 0)
         r8 += r1
         r9 += -1
         if r9 != 0 goto loop
         *(u64 *)(r7 + 0) = r6
         r0 = r8
         exit
         fail:
         r0 = 0
         exit",
        0x14057b7f
    )
}

const PLAIN: &str = "r7 = r1";
const PACKET: &str = "r7 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r2 = r7
    r2 += 8
    if r2 > r3 goto fail";

fn plain(engine: Engine, maps: &Maps, text: &str) -> Entry {
    let loader = Loader::new().engine(engine).maps(maps);
    let program = loader.load::<Buffer>(text).ok()?;
    Some(Box::new(InProgram { program, memory: [1; 8] }))
}

fn proved(engine: Engine, maps: &Maps, text: &str) -> Entry {
    let loader = Loader::new().engine(engine).maps(maps).verified(true);
    let program = loader.load::<Xdp>(text).unwrap_or_else(|error| panic!("{error}"));
    Some(Box::new(InProof { program, frame: sandbpf::XdpFrame::new(&[1; 8]) }))
}

fn fill<const N: usize>(map_type: MapType, entries: u64) -> (Maps, Arc<Map>) {
    let maps = Maps::new();
    let map = maps.create(MapSpec::new(map_type, N as u32, 8, entries as u32)).expect("a map");
    for number in 0..entries {
        map.update(&key::<N>(number), &number.to_ne_bytes(), 0, 0).expect("there is room");
    }
    (maps, map)
}

fn per_lookup(times: &[Option<Time>]) -> Vec<Option<f64>> {
    times.iter().map(|time| time.map(|time| time.median / f64::from(RUN))).collect()
}

fn lookups(plan: Plan) -> String {
    let mut table = Table::new([
        "hash, hit",
        "entries",
        "hashbrown ns",
        "map",
        "JIT, verified",
        "JIT",
        "interpreter",
        "LRU, JIT",
    ]);
    for bits in [10u32, 15, 20] {
        lookup_row::<4>(&mut table, plan, bits);
        lookup_row::<8>(&mut table, plan, bits);
        lookup_row::<16>(&mut table, plan, bits);
        lookup_row::<32>(&mut table, plan, bits);
        lookup_row::<64>(&mut table, plan, bits);
    }
    format!("Times of everybody but hashbrown are multiples of its.\n\n{table}")
}

fn lookup_row<const N: usize>(table: &mut Table, plan: Plan, bits: u32) {
    let (entries, mask) = (1u64 << bits, (1u64 << bits) - 1);
    let draw = Draw(u64::from_ne_bytes([1; 8]));
    let native: Native<N> = (0..entries).map(|number| (key::<N>(number), number)).collect();
    let (maps, map) = fill::<N>(MapType::Hash, entries);
    let (evicting, _) = fill::<N>(MapType::LruHash, entries);
    let (text, packet) = (program(N, mask, PLAIN), program(N, mask, PACKET));
    let mut subjects: Vec<Entry> = vec![
        Some(Box::new(InTable { table: native, draw, mask })),
        Some(Box::new(InMap::<N> { map, draw, mask })),
        proved(Engine::Jit, &maps, &packet),
        plain(Engine::Jit, &maps, &text),
        plain(Engine::Interpreter, &maps, &text),
        proved(Engine::Jit, &evicting, &packet),
    ];
    let times = per_lookup(&plan.measure(&mut subjects));
    let base = times[0].unwrap_or(f64::NAN);
    let ratios = times[1..].iter().map(|time| time.map_or("-".into(), |time| format!("{:.2}", time / base)));
    let head = [format!("{N} bytes"), entries.to_string(), format!("{base:.2}")];
    table.row(head.into_iter().chain(ratios));
}

/// Plain memory.
struct InSlice {
    values: Vec<u64>,
    draw: Draw,
    mask: u64,
}

impl Subject for InSlice {
    fn batch(&mut self, count: u32) -> u64 {
        let mut sum = 0u64;
        let values = black_box(&self.values[..]);
        for _ in 0..count * RUN {
            sum = sum.wrapping_add(values[self.draw.next(self.mask) as usize & (values.len() - 1)]);
        }
        sum
    }
}

fn arrays(plan: Plan) -> String {
    let mut table =
        Table::new(["array", "entries", "a load, ns", "map", "JIT, verified", "JIT", "interpreter", "per CPU, JIT"]);
    for bits in [4u32, 10, 15, 20] {
        let (entries, mask) = (1u64 << bits, (1u64 << bits) - 1);
        let draw = Draw(u64::from_ne_bytes([1; 8]));
        let (maps, map) = fill::<4>(MapType::Array, entries);
        let (per_cpu, _) = fill::<4>(MapType::PercpuArray, entries);
        let (text, packet) = (program(4, mask, PLAIN), program(4, mask, PACKET));
        let mut subjects: Vec<Entry> = vec![
            Some(Box::new(InSlice { values: (0..entries).collect(), draw, mask })),
            Some(Box::new(InMap::<4> { map, draw, mask })),
            proved(Engine::Jit, &maps, &packet),
            plain(Engine::Jit, &maps, &text),
            plain(Engine::Interpreter, &maps, &text),
            proved(Engine::Jit, &per_cpu, &packet),
        ];
        let times = per_lookup(&plan.measure(&mut subjects));
        let base = times[0].unwrap_or(f64::NAN);
        let above =
            times[1..].iter().map(|time| time.map_or("-".into(), |time| format!("+{:.2}", time - base)));
        let head = ["8 bytes".to_string(), entries.to_string(), format!("{base:.2}")];
        table.row(head.into_iter().chain(above));
    }
    format!("Times of everybody but the load are nanoseconds above it.\n\n{table}")
}

/// Something that is done to a native table or a map, again and again.
struct Act<F: FnMut(&mut Draw)>(F, Draw);

impl<F: FnMut(&mut Draw)> Subject for Act<F> {
    fn batch(&mut self, count: u32) -> u64 {
        (0..count * RUN).for_each(|_| (self.0)(&mut self.1));
        self.1.0
    }
}

fn act(work: impl FnMut(&mut Draw) + 'static) -> Entry {
    Some(Box::new(Act(work, Draw(u64::from_ne_bytes([1; 8])))))
}

/// A table that evicts by second chance: what one would write with hashbrown.
struct Clock {
    table: hashbrown::HashMap<u64, u32, BuildHasherDefault<Fold>>,
    slots: Vec<(u64, u64, bool)>,
    hand: usize,
    most: usize,
}

impl Clock {
    fn new(most: usize) -> Self {
        Clock { table: hashbrown::HashMap::with_capacity_and_hasher(most, Default::default()), slots: Vec::new(), hand: 0, most }
    }

    fn get(&mut self, key: u64) -> Option<u64> {
        let slot = &mut self.slots[*self.table.get(&key)? as usize];
        slot.2 = true;
        Some(slot.1)
    }

    fn put(&mut self, key: u64, value: u64) {
        if let Some(&at) = self.table.get(&key) {
            self.slots[at as usize].1 = value;
            return;
        }
        if self.slots.len() < self.most {
            self.table.insert(key, self.slots.len() as u32);
            self.slots.push((key, value, false));
            return;
        }
        while std::mem::take(&mut self.slots[self.hand].2) {
            self.hand = (self.hand + 1) % self.most;
        }
        self.table.remove(&self.slots[self.hand].0);
        self.slots[self.hand] = (key, value, false);
        self.table.insert(key, self.hand as u32);
        self.hand = (self.hand + 1) % self.most;
    }
}

fn changes(plan: Plan) -> String {
    let mut table = Table::new(["change, 8-byte keys", "entries", "hashbrown ns", "map ns", "ratio"]);
    for bits in [10u32, 15, 20] {
        let (entries, mask) = (1u64 << bits, (1u64 << bits) - 1);
        let native = || (0..entries).map(|number| (key::<8>(number), number)).collect::<Native<8>>();
        let mut rows: Vec<(&str, Entry, Entry)> = Vec::new();
        let (mut theirs, (_, ours)) = (native(), fill::<8>(MapType::Hash, entries));
        rows.push((
            "replace a value",
            act(move |draw| _ = theirs.insert(key(draw.next(mask)), draw.0)),
            act(move |draw| {
                ours.update(&key::<8>(draw.next(mask)), &draw.0.to_ne_bytes(), 0, 0).expect("room");
            }),
        ));
        let (mut theirs, (_, ours)) = (native(), fill::<8>(MapType::Hash, entries));
        rows.push((
            "remove and insert",
            act(move |draw| {
                let key = key(draw.next(mask));
                theirs.remove(black_box(&key));
                theirs.insert(key, draw.0);
            }),
            act(move |draw| {
                let key = key::<8>(draw.next(mask));
                ours.delete(black_box(&key)).expect("it is there");
                ours.update(&key, &draw.0.to_ne_bytes(), 0, 0).expect("room");
            }),
        ));
        let (mut theirs, (_, ours)) = (Clock::new(entries as usize), fill::<8>(MapType::LruHash, entries));
        (0..entries).for_each(|number| theirs.put(number, number));
        rows.push((
            "insert and evict",
            act(move |draw| theirs.put(draw.next(u64::MAX), draw.0)),
            act(move |draw| {
                ours.update(&key::<8>(draw.next(u64::MAX)), &draw.0.to_ne_bytes(), 0, 0).expect("room");
            }),
        ));
        let (mut theirs, (_, ours)) = (Clock::new(entries as usize), fill::<8>(MapType::LruHash, entries));
        (0..entries).for_each(|number| theirs.put(number, number));
        let more = 2 * mask + 1;
        rows.push((
            "look up, insert if absent, evict",
            act(move |draw| {
                let key = draw.next(more);
                if black_box(theirs.get(key)).is_none() {
                    theirs.put(key, draw.0);
                }
            }),
            act(move |draw| {
                let key = key::<8>(draw.next(more));
                if black_box(ours.lookup(&key, 0)).is_none() {
                    ours.update(&key, &draw.0.to_ne_bytes(), 0, 0).expect("room");
                }
            }),
        ));
        for (name, theirs, ours) in rows {
            let times = per_lookup(&plan.measure(&mut [theirs, ours]));
            let [Some(theirs), Some(ours)] = times[..] else { continue };
            table.row([
                name.to_string(),
                entries.to_string(),
                format!("{theirs:.1}"),
                format!("{ours:.1}"),
                format!("{:.2}", ours / theirs),
            ]);
        }
    }
    table.to_string()
}

/// Operations a second of so many threads, each with draws of its own.
fn rate(threads: u64, time: Duration, work: impl Fn(u32, &mut Draw) + Sync) -> f64 {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, done, work) = (&stop, &done, &work);
            scope.spawn(move || {
                let mut draw = Draw(thread + 1);
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    (0..1000).for_each(|_| work(thread as u32, &mut draw));
                    count += 1000;
                }
                done.fetch_add(count, Ordering::Relaxed);
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    done.into_inner() as f64 / time.as_secs_f64() / 1e6
}

fn scaling(time: Duration) -> String {
    const BITS: u32 = 16;
    const MASK: u64 = (1 << BITS) - 1;
    let mut table = Table::new(["threads, 65,536 entries", "1 thread, M/s", "2 threads, M/s", "ratio"]);
    let map = |map_type| {
        let maps = Maps::with_environment(sandbpf::maps::Environment { cpus: 2, ..Default::default() });
        let map = maps.create(MapSpec::new(map_type, 8, 8, 1 << BITS)).expect("a map");
        for number in 0..1u64 << BITS {
            map.update(&key::<8>(number), &number.to_ne_bytes(), 0, number as u32 % 2).expect("there is room");
        }
        map
    };
    let mut row = |name: &str, work: &(dyn Fn(u32, &mut Draw) + Sync)| {
        let mut best = [0f64; 2];
        for _ in 0..5 {
            for threads in [1, 2] {
                let rate = rate(threads, time, work);
                best[threads as usize - 1] = best[threads as usize - 1].max(rate);
            }
        }
        let [one, two] = best;
        table.row([name.to_string(), format!("{one:.1}"), format!("{two:.1}"), format!("{:.2}", two / one)]);
    };
    let hash = map(MapType::Hash);
    row("hash, look up", &|cpu, draw| {
        black_box(hash.lookup(&key::<8>(draw.next(MASK)), cpu)).expect("it is there");
    });
    row("hash, replace", &|cpu, draw| {
        hash.update(&key::<8>(draw.next(MASK)), &draw.0.to_ne_bytes(), 0, cpu).expect("room");
    });
    row("hash, remove and insert", &|cpu, draw| {
        let key = key::<8>(draw.next(MASK) & !1 | u64::from(cpu & 1));
        hash.delete(&key).expect("it is there");
        hash.update(&key, &draw.0.to_ne_bytes(), 0, cpu).expect("room");
    });
    let evicting = map(MapType::LruHash);
    row("LRU, look up or insert", &|cpu, draw| {
        let key = key::<8>(draw.next(2 * MASK + 1));
        if black_box(evicting.lookup(&key, cpu)).is_none() {
            let _ = evicting.update(&key, &draw.0.to_ne_bytes(), 0, cpu);
        }
    });
    table.to_string()
}
