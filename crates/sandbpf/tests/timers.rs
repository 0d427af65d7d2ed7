//! Timers and work queues, on every engine.

use sandbpf::abi::kfuncs;
use sandbpf::maps::{MapSpec, MapType};
use sandbpf::{Buffer, Engine, Fired, FrozenHost, LaterKind, Loader, Maps, Program};

const ENGINES: [Engine; 3] = [Engine::Interpreter, Engine::Step, Engine::Auto];

/// Finds the value whose key is the first byte of the input, into `r6`, and starts its timer: due after as many
/// nanoseconds as the second byte says, with the flags of the third. `then` follows; `callback` is the callback's body.
fn load(engine: Engine, maps: &Maps, then: &str, callback: &str) -> Program<Buffer> {
    let text = format!(
        "r7 = r1
         r1 = *(u8 *)(r7 + 0)
         *(u32 *)(r10 - 4) = r1
         r1 = map[fd:0]
         r2 = r10
         r2 += -4
         call 1
         if r0 == 0 goto none
         r6 = r0
         r1 = r6
         r2 = map[fd:0]
         r3 = 1
         call 169
         r1 = r6
         r2 = subprog[callback]
         call 170
         r1 = r6
         r2 = *(u8 *)(r7 + 1)
         r3 = *(u8 *)(r7 + 2)
         call 171
         {then}
         exit
         none: r0 = 1000
         exit
         callback: {callback}
         exit"
    );
    let text = kfuncs::all().fold(text, |text, (number, kfunc)| {
        text.replace(&format!("call {}\n", kfunc.name), &format!("call kfunc#{number}\n"))
    });
    let loader = Loader::new().engine(engine).maps(maps).host(FrozenHost);
    loader.load(text.as_str()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn maps(map_type: MapType) -> Maps {
    let maps = Maps::new();
    let map = maps.create(MapSpec::new(map_type, 4, 24, 8).with_name("timers")).unwrap();
    if map_type == MapType::Hash {
        (0..4u32).for_each(|key| map.user().update(&key.to_ne_bytes(), &[0; 24], 0).unwrap());
    }
    maps
}

fn keys(fired: &[Fired]) -> Vec<(u8, u64)> {
    fired.iter().map(|fired| (fired.key[0], fired.time_ns)).collect()
}

#[test]
fn callbacks_run_in_the_order_of_their_times() {
    for (engine, map_type) in ENGINES.into_iter().flat_map(|e| [(e, MapType::Array), (e, MapType::Hash)]) {
        let maps = maps(map_type);
        // The callback tells its key and its time.
        let program = load(engine, &maps, "", "r6 = *(u32 *)(r2 + 0)\n call 5\n r6 <<= 32\n r0 += r6");
        for input in [[3, 50, 0], [1, 20, 0], [2, 50, 0], [0, 70, 1]] {
            assert_eq!(program.run(&input), Ok(0), "{engine:?}");
        }
        assert_eq!(maps.next_timer(), Some(20));
        let fired = maps.advance_time(60);
        assert_eq!(keys(&fired), [(1, 20), (3, 50), (2, 50)]);
        for fired in fired {
            assert_eq!(fired.result, Ok(u64::from(fired.key[0]) << 32 | fired.time_ns), "{engine:?}");
            assert_eq!((fired.kind, fired.map.as_str()), (LaterKind::Timer, "timers"));
        }
        // Starting a timer again moves it.
        assert_eq!(program.run(&[0, 90, 0]), Ok(0));
        assert_eq!(maps.advance_time(80), []);
        assert_eq!(keys(&maps.advance_time(90)), [(0, 90)]);
        assert_eq!(maps.next_timer(), None);
    }
}

#[test]
fn timers_are_cancelled() {
    for engine in ENGINES {
        let maps = maps(MapType::Hash);
        // 1 if it ran; then it has no callback.
        let cancelled = "r1 = r6\n call 172\n r7 = r0\n r1 = r6\n r2 = 1\n r3 = 0\n call 171\n r0 += r7";
        assert_eq!(load(engine, &maps, cancelled, "r0 = 0").run(&[0, 9, 0]), Ok((1i64 - 22) as u64));
        assert_eq!(maps.next_timer(), None);
        // A callback that cancels its own timer would wait for itself.
        let own = load(engine, &maps, "", "r1 = r3\n call 172");
        assert_eq!(own.run(&[1, 9, 0]), Ok(0));
        assert_eq!(maps.advance_time(9)[0].result, Ok(-35i64 as u64), "{engine:?}");
        // One whose value is deleted, or written anew, does not fire.
        let program = load(engine, &maps, "", "r0 = 0");
        (2..4).for_each(|key| assert_eq!(program.run(&[key, 9, 0]), Ok(0)));
        let map = maps.named("timers").unwrap().user();
        map.delete(&2u32.to_ne_bytes()).unwrap();
        map.update(&3u32.to_ne_bytes(), &[0; 24], 0).unwrap();
        assert_eq!(maps.advance_time(9), []);
        // Nor one whose program is gone.
        assert_eq!(program.run(&[0, 9, 0]), Ok(0));
        drop(program);
        assert_eq!(maps.advance_time(9), []);
    }
}

#[test]
fn callbacks_that_start_themselves_end() {
    for engine in ENGINES {
        let maps = maps(MapType::Array);
        let again = "r1 = r3\n r2 = 0\n r3 = 0\n call 171\n r0 = 0";
        let program = load(engine, &maps, "", again);
        assert_eq!(program.run(&[0, 1, 0]), Ok(0));
        assert_eq!(maps.advance_time(1).len(), 1 << 16);
        assert_eq!(maps.next_timer(), Some(1));
    }
}

#[test]
fn work_is_done_when_time_goes_by() {
    for engine in ENGINES {
        let maps = maps(MapType::Array);
        let start = "*(u64 *)(r6 + 0) = 0
             r1 = r6
             r2 = map[fd:0]
             r3 = 0
             call bpf_wq_init
             r1 = r6
             r2 = subprog[callback]
             r3 = 0
             call bpf_wq_set_callback_impl
             r1 = r6
             r2 = 0
             call bpf_wq_start
";
        let program = load(engine, &maps, start, "r0 = 7");
        assert_eq!(program.run(&[5, 200, 0]), Ok(0));
        let fired = maps.advance_time(0);
        assert_eq!(keys(&fired), [(5, 0)], "{engine:?}");
        assert_eq!((fired[0].kind, fired[0].result), (LaterKind::Work, Ok(7)));
    }
}
