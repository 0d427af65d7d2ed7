//! What users of the library rely on, on every engine.

use sandbpf::{
    AnyError, AnyInput, Buffer, Dialect, Engine, KindName, Limits, Loader, Observer, Packet, PacketMeta, Pc,
    Program, Registers, Seccomp, SharedBytes, SocketFilter, Trap,
};

const ENGINES: [Engine; 3] = [Engine::Step, Engine::Interpreter, Engine::Auto];

#[test]
fn programs_are_shared_between_threads() {
    fn check<T: Send + Sync + Clone + 'static>(_: &T) {}
    for engine in ENGINES {
        let program: Program<Buffer> =
            Loader::new().engine(engine).load("r0 = *(u8 *)(r1 + 0)\nexit").unwrap();
        check(&program);
        std::thread::scope(|scope| {
            for byte in 0..4u8 {
                let program = &program;
                scope
                    .spawn(move || (0..1000).for_each(|_| assert_eq!(program.run(&[byte]), Ok(byte.into()))));
            }
        });
    }
}

#[test]
fn atomics_lose_no_update() {
    for engine in ENGINES {
        for (operation, each) in
            [("lock *(u64 *)(r1 + 0) += r2", 1), ("r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)", 1)]
        {
            let text = format!("r2 = 1\n{operation}\nr0 = 0\nexit");
            let program: Program<Buffer> = Loader::new().engine(engine).load(text.as_str()).unwrap();
            let counter = SharedBytes::zeroed(8);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    let (program, counter) = (&program, &counter);
                    scope.spawn(move || (0..5000).for_each(|_| assert_eq!(program.run(counter), Ok(0))));
                }
            });
            assert_eq!(counter.load(0, 8), Some(20_000 * each), "{engine:?}: {operation}");
        }
    }
}

#[test]
fn bytes_behind_a_shared_reference_stay() {
    for engine in ENGINES {
        let program: Program<Buffer> =
            Loader::new().engine(engine).load("*(u8 *)(r1 + 1) = 9\nr0 = 0\nexit").unwrap();
        let denied = program.run(&[1u8, 2]).unwrap_err();
        assert!(matches!(denied, Trap::BadAccess { pc: Pc(0), size: 1, write: true, .. }), "{denied}");
        let mut bytes = [1u8, 2];
        assert_eq!(program.run(&mut bytes), Ok(0));
        assert_eq!(bytes, [1, 9]);
    }
}

#[test]
fn a_run_inside_a_run_has_its_own_memory() {
    use sandbpf::helpers::HelperSet;
    sandbpf::helpers! {
        static NESTED;
        /// Runs another program that fills its stack.
        500 fn nested(_machine) {
            let inner: Program<Buffer> = "*(u64 *)(r10 - 8) = -1\nr0 = 5\nexit".parse().expect("text");
            Ok(inner.run(&[]).expect("runs"))
        }
    }
    for engine in ENGINES {
        let outer: Program<Buffer> = Loader::new()
            .engine(engine)
            .helpers(HelperSet::linux().with(NESTED))
            .load("*(u64 *)(r10 - 8) = 7\ncall 500\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit")
            .unwrap();
        assert_eq!(outer.run(&[]), Ok(12));
    }
}

#[test]
fn every_run_starts_clean() {
    for engine in ENGINES {
        let program: Program<Buffer> = Loader::new()
            .engine(engine)
            .load("r2 = r10\nr2 += -16\nr0 = *(u64 *)(r2 + 0)\n*(u64 *)(r2 + 0) = 77\nexit")
            .unwrap();
        let mut runner = program.runner();
        assert_eq!((runner.run(&[]), runner.run(&[]), program.run(&[])), (Ok(0), Ok(0), Ok(0)));
    }
}

#[test]
fn observers_see_what_other_engines_do() {
    #[derive(Default)]
    struct Seen(Vec<(u32, u64)>, Vec<(u32, u32)>);
    impl Observer for Seen {
        fn step(&mut self, pc: Pc, registers: &Registers) {
            self.0.push((pc.0, registers[0]));
        }
        fn branch(&mut self, pc: Pc, to: Pc) {
            self.1.push((pc.0, to.0));
        }
    }
    let program: Program<Buffer> = "r0 = 2\nagain:\nr0 -= 1\nif r0 != 0 goto again\nexit".parse().unwrap();
    let mut seen = Seen::default();
    assert_eq!(program.runner().run_observed(&[], &mut seen), program.run(&[]));
    assert_eq!(seen.0, [(0, 0), (1, 2), (2, 1), (1, 1), (2, 0), (3, 0)]);
    assert_eq!(seen.1, [(2, 1), (2, 3)]);
}

#[test]
fn the_budget_is_the_same_for_all() {
    for engine in ENGINES {
        // Each round is three instructions; the first is free, the jump back pays for the next.
        let load = |instructions| {
            let text = "r0 = 5\nagain:\nr0 -= 1\nif r0 != 0 goto again\nexit";
            Loader::new().engine(engine).limits(Limits { instructions }).load::<Buffer>(text).unwrap()
        };
        assert_eq!(load(8).run(&[]), Ok(0));
        assert_eq!(load(7).run(&[]), Err(Trap::OutOfInstructions { pc: Pc(2) }));
    }
}

#[test]
fn dialects_differ_where_they_should() {
    // A = len; the capture has 4 of 1500 bytes.
    let text = "ld #len\nret a";
    let packet = [0u8; 4];
    let packet = Packet::from(&packet).with_wire_len(1500);
    for engine in ENGINES {
        let load =
            |dialect| Loader::new().engine(engine).dialect(dialect).load::<SocketFilter>(text).unwrap();
        assert_eq!(load(Dialect::Libpcap).run(packet).unwrap().0, 1500);
        assert_eq!(load(Dialect::Linux).run(packet).unwrap().0, 4);
    }
    let refused = Loader::new().dialect(Dialect::Linux).load::<SocketFilter>("lsh #32\nret a").unwrap_err();
    assert!(refused.check().is_some(), "{refused}");
    assert!(Loader::new().load::<SocketFilter>("lsh #32\nret a").is_ok());
}

#[test]
fn ethernet_metadata_is_what_a_packet_socket_has() {
    let mut frame = [0u8; 60];
    frame[..6].fill(0xff);
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    let meta = PacketMeta::ethernet(&frame);
    assert_eq!((meta.protocol, meta.packet_type, meta.network, meta.link), (0x0806, 1, 14, Some(0)));
    for engine in ENGINES {
        let run = |text: &str| {
            let filter =
                Loader::new().engine(engine).dialect(Dialect::Linux).load::<SocketFilter>(text).unwrap();
            filter.run(Packet::from(&frame).with_meta(&meta)).unwrap().0
        };
        assert_eq!(run("ld proto\nret a"), 0x0806);
        assert_eq!(run("ld type\nret a"), 1);
        assert_eq!(run("ld ifidx\nret a"), 1);
        assert_eq!(run("ld hatype\nret a"), 1);
        // SKF_LL_OFF, then SKF_NET_OFF.
        assert_eq!(run("ldh [-2097140]\nret a"), 0x0806);
        assert_eq!(run("ldb [-1048576]\nret a"), u32::from(frame[14]));
    }
}

#[test]
fn kinds_known_at_run_time() {
    let filter = Loader::new().load_any(KindName::SocketFilter, "ret #3").unwrap();
    let packet = [0u8; 14];
    assert_eq!(filter.run(AnyInput::Packet((&packet).into())), Ok(3));
    assert_eq!(filter.run(AnyInput::Buffer((&packet).into())), Err(AnyError::Input(KindName::SocketFilter)));
    assert_eq!("seccomp".parse(), Ok(KindName::Seccomp));
    assert!("xyz".parse::<KindName>().is_err());
}

#[test]
fn errors_say_where_and_what() {
    let message = |result: Result<Program<Buffer>, sandbpf::LoadError>| result.unwrap_err().to_string();
    assert_eq!(
        message(Loader::new().load(&[0xb7, 0x0b, 0, 0, 0, 0, 0, 0][..])),
        "no extended program: at slot 0: the destination register is r11; the last one is r10"
    );
    assert_eq!(
        Loader::new().load::<Seccomp>(sandbpf::isa::parse("exit").unwrap()).unwrap_err().to_string(),
        "seccomp programs are classic filters; this one is an extended program"
    );
}
