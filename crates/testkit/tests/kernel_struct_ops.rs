//! Maps of a structure that the kernel calls answer alike here and there, as long as nothing is registered: nothing is
//! ever put in that the kernel would take. Settings are those of `kernel_maps`.

mod common;

use common::{Random, setting};
use sandbpf_elf::{Btf, Kind};
use sandbpf_maps::{Environment, Map, MapSpec, MapType, flags};
use sandbpf_testkit::kernel_maps::{KernelMap, unavailable};

/// The number and the size of a structure's value type.
fn value_type() -> Option<(u32, u32)> {
    let types = Btf::parse(&std::fs::read("/sys/kernel/btf/vmlinux").ok()?).ok()?;
    let id = types.find("bpf_struct_ops_tcp_congestion_ops", |kind| matches!(kind, Kind::Struct(_)))?;
    Some((id, types.size_of(id)? as u32))
}

#[test]
fn structures_answer_alike() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let Some((id, size)) = value_type() else {
        println!("skipped: the kernel does not describe its structures");
        return;
    };
    let mut random = Random(setting("SANDBPF_KERNEL_SEED", 1));
    let operations = setting("SANDBPF_KERNEL_OPERATIONS", 200_000) / 10;
    let mut done = 0;
    while done < operations {
        let bits = random.pick(&[0, flags::LINK]);
        let mut spec = MapSpec::new(MapType::StructOps, 4, size, 1).with_flags(bits);
        spec.struct_value = Some(size);
        let theirs = KernelMap::create_struct_ops(&spec, id).expect("the kernel makes it");
        let ours = Map::create(spec.clone(), &Environment::default()).expect("so do we");
        let user = ours.user();
        for _ in 0..200 {
            let key = random.pick(&[0u32, 0, 1, u32::MAX]).to_ne_bytes();
            let bits = random.pick(&[0, 0, 1, 2, 4, 8]);
            match random.below(7) {
                0 => {
                    // The state, which is the kernel's to write, is not zero.
                    let mut value = vec![0; size as usize];
                    value[4] = 1 + random.below(3) as u8;
                    assert_eq!(
                        user.update(&key, &value, bits),
                        theirs.update(&key, &value, bits),
                        "{bits}: {spec:?}"
                    );
                }
                1 | 2 => {
                    let (mut a, mut b) = (vec![1; size as usize], vec![1; size as usize]);
                    let found =
                        (user.lookup_into(&key, &mut a, bits), theirs.lookup_into(&key, &mut b, bits));
                    assert_eq!(found.0, found.1, "lookup of {key:?} with {bits}: {spec:?}");
                    assert_eq!(a, b);
                }
                3 => assert_eq!(user.delete(&key), theirs.delete(&key), "delete: {spec:?}"),
                4 => {
                    let from = (!random.one_in(3)).then_some(&key[..]);
                    assert_eq!(user.next_key(from), theirs.next_key(from), "the key after {from:?}");
                }
                5 => assert_eq!(user.lookup_and_delete(&key, bits), theirs.lookup_and_delete(&key, bits)),
                _ => {
                    assert_eq!(user.freeze(), theirs.freeze(), "freezing");
                    assert_eq!(
                        user.lookup_batch(None, 1, bits).err(),
                        theirs.batch(None, 1, bits, false).end
                    );
                }
            }
            done += 1;
        }
    }
    println!("{done} operations");
}
