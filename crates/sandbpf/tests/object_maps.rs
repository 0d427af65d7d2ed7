//! Maps of objects: special fields of values come from the types, and types of maps that Linux does not have are refused.
#![cfg(feature = "object")]

use sandbpf::maps::{Environment, FieldKind, SpecialField, flags};
use sandbpf::object::{Object, ObjectSet, ObjectSetError};
use sandbpf::{Classifier, Engine, Loader, Maps};

#[test]
fn locks_and_timers_are_left_alone() {
    let maps = Maps::with_environment(Environment::default());
    let object = Object::parse(include_bytes!("../../elf/tests/data/locked.o")).unwrap();
    let set = ObjectSet::with_maps(object, maps.clone()).unwrap();
    let (accounts, alarms) = (maps.named("accounts").unwrap(), maps.named("alarms").unwrap());
    assert_eq!(accounts.spec().fields, [SpecialField { kind: FieldKind::SpinLock, offset: 8, size: 4 }]);
    assert_eq!(alarms.spec().fields, [SpecialField { kind: FieldKind::Timer, offset: 0, size: 16 }]);
    let key = 0u32.to_ne_bytes();
    // What a user writes where the lock is does not lock it.
    accounts.user().update(&key, &[0xff; 16], flags::F_LOCK).unwrap();
    assert_eq!(accounts.user().lookup(&key, flags::F_LOCK).unwrap()[8..12], [0; 4]);
    accounts.user().update(&key, &[0; 16], flags::F_LOCK).unwrap();
    for engine in [Engine::Interpreter, Engine::Auto] {
        let pay = set.program::<Classifier>("pay", &Loader::new().engine(engine)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut pay = pay.runner();
                scope.spawn(move || (0..500).for_each(|_| _ = pay.run(&[0; 60]).unwrap()));
            }
        });
    }
    let account = accounts.user().lookup(&key, 0).unwrap();
    assert_eq!(
        (account[..8].to_vec(), account[12..].to_vec()),
        (4000u64.to_ne_bytes().to_vec(), 4000u32.to_ne_bytes().to_vec())
    );
}

#[test]
fn maps_of_newer_types_are_refused() {
    let object = Object::parse(include_bytes!("../../elf/tests/data/newer.o")).unwrap();
    let refused = ObjectSet::new(object).unwrap_err();
    assert!(matches!(refused, ObjectSetError::MapType { number: 34, .. }));
    assert_eq!(refused.to_string(), "map `places`: Linux 6.18 has no maps of type 34");
}

/// What the README shows.
#[test]
fn maps_of_objects_have_typed_views() {
    use sandbpf::maps::typed::HashMap;
    use sandbpf::{Program, Xdp, XdpAction};
    let mut object = Object::parse(include_bytes!("../../elf/tests/data/counter.o")).unwrap();
    object.set_global("limit", &3u32.to_le_bytes()).unwrap();
    let set = ObjectSet::new(object).unwrap();
    let count: Program<Xdp> = set.program("count", &Loader::new()).unwrap();
    assert_eq!(count.run(&[0; 60]), Ok(XdpAction::Pass));
    let events = set.maps().get::<HashMap<u16, (u64, u32, [u16; 2])>>("events").unwrap();
    events.insert(80, (1, 2, [3, 4])).unwrap();
    assert!(events.entries().unwrap().contains(&(80, (1, 2, [3, 4]))));
    assert!(set.maps().get::<HashMap<u32, u64>>("events").is_err());
}
