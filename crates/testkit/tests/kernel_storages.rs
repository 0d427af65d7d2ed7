//! Storages here and in the running kernel answer alike: bytes that belong to sockets, files, processes and control
//! groups, and values with spin locks and timers, which need types too.
//!
//! Settings are those of `kernel_maps`.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;

use common::{Random, setting};
use sandbpf_maps::{
    BtfSizes, Environment, Errno, FieldKind, Map, MapSpec, MapType, SpecialField, User, flags,
};
use sandbpf_testkit::kernel_maps::{KernelMap, possible_cpus, stay_on_first_cpu, things, unavailable};

/// `ENOTSOCK`, which only descriptors can cause.
const NOT_A_SOCKET: i32 = 88;

const TYPES: [MapType; 4] =
    [MapType::SkStorage, MapType::InodeStorage, MapType::TaskStorage, MapType::CgrpStorage];

/// Who can own bytes: a descriptor, and a number that two descriptors of one owner share.
struct Owners {
    by_type: BTreeMap<MapType, Vec<(i32, u64)>>,
    /// What no storage of these types is for: a descriptor, and what the kernel says to it.
    others: Vec<(MapType, i32, Errno)>,
    _descriptors: Vec<OwnedFd>,
    children: Vec<Child>,
}

impl Owners {
    fn new() -> Owners {
        let mut by_type = BTreeMap::<MapType, Vec<(i32, u64)>>::new();
        let mut descriptors = Vec::new();
        let mut add = |map_type: MapType, descriptor: Result<OwnedFd, Errno>, owner: u64| match descriptor {
            Ok(descriptor) => {
                by_type.entry(map_type).or_default().push((descriptor.as_raw_fd(), owner));
                descriptors.push(descriptor);
            }
            Err(errno) => println!("left out: an owner for {map_type}: {errno}"),
        };
        for (number, (_, socket)) in (0..).zip(things::sockets().expect("sockets of this process")) {
            let again = socket.try_clone();
            add(MapType::SkStorage, Ok(socket), number);
            add(MapType::SkStorage, Ok(again.expect("a descriptor")), number);
        }
        let file = || tempfile().map(OwnedFd::from);
        for number in 0..3 {
            let file = file().expect("a file");
            let again = file.try_clone().expect("a descriptor");
            add(MapType::InodeStorage, Ok(file), number);
            add(MapType::InodeStorage, Ok(again), number);
        }
        let children: Vec<Child> =
            (0..3).map(|_| Command::new("sleep").arg("1000").spawn().expect("a process")).collect();
        add(MapType::TaskStorage, things::process(std::process::id()), 100);
        for (number, child) in (0..).zip(&children) {
            add(MapType::TaskStorage, things::process(child.id()), number);
            add(MapType::TaskStorage, things::process(child.id()), number);
        }
        add(MapType::CgrpStorage, things::control_group(), 0);
        for (number, group) in (1..).zip(things::old_control_groups()) {
            add(MapType::CgrpStorage, Ok(group), number);
        }
        let strange = file().expect("a file");
        let descriptor = strange.as_raw_fd();
        descriptors.push(strange);
        let mut others: Vec<_> = TYPES
            .iter()
            .flat_map(|&map_type| [(map_type, 1_000_000, Errno::EBADF), (map_type, -1, Errno::EBADF)])
            .collect();
        others.push((MapType::SkStorage, descriptor, Errno(NOT_A_SOCKET)));
        others.push((MapType::TaskStorage, descriptor, Errno::EBADF));
        others.push((MapType::CgrpStorage, descriptor, Errno::EBADF));
        Owners { by_type, others, _descriptors: descriptors, children }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A file that has no name any more.
fn tempfile() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("sandbpf-{}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Special fields of values, here and there.
fn fields(random: &mut Random, value: u32, map_type: MapType) -> Vec<SpecialField> {
    let timers = matches!(map_type, MapType::Hash | MapType::Array | MapType::LruHash);
    let mut fields = Vec::new();
    let mut at = 8 * random.below(3) as u32;
    if random.one_in(2) && map_type != MapType::LruHash && at + 4 <= value {
        fields.push(SpecialField { kind: FieldKind::SpinLock, offset: at, size: 4 });
        at += 8 + 8 * random.below(2) as u32;
    }
    if timers && random.one_in(3) && at + 16 <= value {
        fields.push(SpecialField { kind: FieldKind::Timer, offset: at, size: 16 });
    }
    fields
}

fn spec(random: &mut Random, map_type: MapType) -> MapSpec {
    use MapType::*;
    let value = random.pick(&[1, 4, 8, 12, 24, 40, 64, 100]);
    let (key, entries, bits) = match map_type {
        Array => (4, 1 + random.below(5) as u32, 0),
        Hash => (random.pick(&[4, 8, 3]), 1 + random.below(20) as u32, random.pick(&[0, flags::NO_PREALLOC])),
        LruHash => (4, 1 + random.below(20) as u32, 0),
        _ => (4, 0, flags::NO_PREALLOC),
    };
    let mut spec = MapSpec::new(map_type, key, value, entries).with_flags(bits);
    spec.btf = Some(BtfSizes { key: Some(key), value });
    spec.fields = fields(random, value, map_type);
    spec
}

/// A key there, and who it is here; or what the kernel says to it.
enum Named {
    Owner(Vec<u8>),
    Key,
    Nobody(Errno),
}

struct Pair {
    spec: MapSpec,
    ours: Arc<Map>,
    theirs: KernelMap,
}

impl Pair {
    fn user(&self) -> User<'_> {
        self.ours.user()
    }

    fn key(&self, random: &mut Random, owners: &Owners) -> (Vec<u8>, Named) {
        let map_type = self.spec.map_type;
        if !TYPES.contains(&map_type) {
            let mut key = random.below(u64::from(self.spec.max_entries) + 2).to_ne_bytes().to_vec();
            key.resize(self.spec.key_size as usize, 0);
            return (key, Named::Key);
        }
        let known = &owners.by_type.get(&map_type).map(Vec::as_slice).unwrap_or_default();
        if random.one_in(12) || known.is_empty() {
            let others: Vec<_> = owners.others.iter().filter(|other| other.0 == map_type).collect();
            let (_, descriptor, errno) = others[random.below(others.len() as u64) as usize];
            return (descriptor.to_ne_bytes().to_vec(), Named::Nobody(*errno));
        }
        let (descriptor, owner) = known[random.below(known.len() as u64) as usize];
        (descriptor.to_ne_bytes().to_vec(), Named::Owner(owner.to_ne_bytes().to_vec()))
    }

    fn step(&self, random: &mut Random, owners: &Owners) {
        let (key, named) = self.key(random, owners);
        let user = self.user();
        let spec = &self.spec;
        // What a wrong descriptor is answered comes after flags and rights, as with one of nothing.
        let wrong = |ours: Errno, errno: Errno| if ours == Errno::EBADF { errno } else { ours };
        match random.below(16) {
            0..=5 => {
                let value: Vec<u8> = (0..spec.value_size).map(|_| random.next() as u8).collect();
                let bits = random.pick(&[0, 0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 8, 1 << 40]);
                // The kernel gives an earlier map's values back in the background. While it takes the last one from an owner
                // it asks for patience.
                let mut theirs = self.theirs.update(&key, &value, bits);
                for _ in 0..1000 {
                    if theirs != Err(Errno::EAGAIN) {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    theirs = self.theirs.update(&key, &value, bits);
                }
                let ours = match &named {
                    Named::Owner(owner) => user.set_owned(owner, &value, bits),
                    Named::Key => user.update(&key, &value, bits),
                    Named::Nobody(errno) => {
                        user.update(&key, &value, bits).map_err(|ours| wrong(ours, *errno))
                    }
                };
                assert_eq!(ours, theirs, "update with {bits}: {spec:?}");
            }
            6..=10 => {
                let bits = random.pick(&[0, 0, 0, 0, 4, 4, 1, 2, 8]);
                let mut theirs = vec![0; spec.value_size as usize];
                let theirs = self.theirs.lookup_into(&key, &mut theirs, bits).map(|()| theirs);
                let ours = match &named {
                    Named::Owner(owner) => user.owned(owner, bits),
                    Named::Key => user.lookup(&key, bits),
                    Named::Nobody(errno) => user.lookup(&key, bits).map_err(|ours| match ours {
                        Errno::ENOENT => *errno,
                        ours => wrong(ours, *errno),
                    }),
                };
                assert_eq!(ours, theirs, "lookup with {bits}: {spec:?}");
            }
            11..=13 => {
                let theirs = self.theirs.delete(&key);
                let ours = match &named {
                    Named::Owner(owner) => user.remove_owned(owner),
                    Named::Key => user.delete(&key),
                    Named::Nobody(errno) => user.delete(&key).map_err(|ours| wrong(ours, *errno)),
                };
                assert_eq!(ours, theirs, "delete: {spec:?}");
            }
            14 => {
                if spec.map_type == MapType::Array || TYPES.contains(&spec.map_type) {
                    let from = (!random.one_in(3)).then_some(&key[..]);
                    assert_eq!(user.next_key(from), self.theirs.next_key(from), "next key: {spec:?}");
                }
                if random.one_in(40) {
                    assert_eq!(user.freeze(), self.theirs.freeze(), "freezing {spec:?}");
                }
            }
            _ => {
                let bits = random.pick(&[0, 0, 4, 4, 1]);
                let theirs = self.theirs.lookup_and_delete(&key, bits);
                assert_eq!(user.lookup_and_delete(&key, bits), theirs, "taking with {bits}: {spec:?}");
                if TYPES.contains(&spec.map_type) {
                    let (count, end) = self.theirs.change_batch(&[&key], None, 0);
                    assert_eq!((count, user.delete_batch(&[&key], 0).err()), (1, end), "batch: {spec:?}");
                    let theirs = self.theirs.batch(None, 2, bits, false).end;
                    assert_eq!(user.lookup_batch(None, 2, bits).err(), theirs, "batch: {spec:?}");
                }
            }
        }
    }
}

#[test]
fn values_of_owners_and_with_locks() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let seed = setting("SANDBPF_KERNEL_SEED", 1);
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000);
    let mut random = Random(seed);
    assert!(stay_on_first_cpu(), "this thread can stay on one CPU");
    let environment = Environment { cpus: possible_cpus(), ..Environment::default() };
    let owners = Owners::new();
    let mut done = 0;
    let mut types = BTreeMap::<MapType, u64>::new();
    let mut absent = BTreeMap::<MapType, Errno>::new();
    let all = [&TYPES[..], &[MapType::Hash, MapType::Array, MapType::LruHash]].concat();
    while done < operations {
        let map_type = random.pick(&all);
        let spec = spec(&mut random, map_type);
        let theirs = match KernelMap::create(&spec, None) {
            Ok(theirs) => theirs,
            // Storages of inodes need an LSM that the kernel was started with.
            Err(errno @ (Errno::ENOTSUPP | Errno::EPERM)) => {
                absent.insert(spec.map_type, errno);
                assert!(absent.len() < TYPES.len(), "{absent:?}");
                continue;
            }
            Err(errno) => panic!("the kernel answers {errno} to {spec:?}"),
        };
        let ours = Map::create(spec.clone(), &environment).expect("so do we");
        let pair = Pair { spec, ours, theirs };
        let steps = random.pick(&[50, 300, 1000]);
        (0..steps).for_each(|_| pair.step(&mut random, &owners));
        *types.entry(pair.spec.map_type).or_default() += steps;
        done += steps;
    }
    println!("{done} operations, seed {seed}: {types:?}; not in this kernel: {absent:?}");
}
