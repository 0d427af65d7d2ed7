//! Proved code where the world is not as its proof has it: what was left out must not be missed.

use sandbpf::helpers::HelperSet;
use sandbpf::{AnyInput, Engine, KindName, Loader, Program, Trap, Xdp, XdpAction, XdpFrame};

/// Answers with a byte behind the packet's first 32.
const READS: &str = "r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r0 = 1
    r2 = r6
    r2 += 40
    if r2 > r7 goto +2
    CALL
    r0 = *(u8 *)(r6 + 39)
    exit";

fn reads(call: &str) -> String {
    READS.replace("CALL", call)
}

#[test]
fn a_helper_that_moves_packets_unasked_is_stopped() {
    sandbpf::helpers! {
        static SHRINKS;
        /// Cuts the packet, which the time of the clock does not.
        5 fn ktime_get_ns(machine) {
            machine.memory.frame_mut().expect("a frame").set_len(8);
            Ok(7)
        }
    }
    let loader = Loader::new().verified(true).helpers(HelperSet::linux().with(SHRINKS));
    let program: Program<Xdp> = loader.clone().load(reads("call 5").as_str()).expect("Linux would load it");
    let trap = program.run(&[3; 64]).unwrap_err();
    match program.machine_code() {
        Some(_) => assert!(matches!(trap, Trap::Disproved { .. }), "{trap}"),
        None => assert!(matches!(trap, Trap::BadAccess { .. }), "{trap}"),
    }
    let judge: Program<Xdp> =
        loader.engine(Engine::Interpreter).load(reads("call 5").as_str()).expect("the same");
    assert!(matches!(judge.run(&[3; 64]), Err(Trap::BadAccess { .. })));
}

#[test]
fn a_context_that_says_nonsense_is_not_trusted() {
    let text = reads("r3 = 0");
    let program =
        Loader::new().verified(true).load_any(KindName::Xdp, text.as_str()).expect("Linux would load it");
    let mut frame = XdpFrame::new(&[3; 64]);
    assert_eq!(program.run(AnyInput::Xdp((&mut frame).into())), Ok(3));
    // As another program may leave it before a tail call: the packet ends far behind its end.
    let result = program.run_by(AnyInput::Xdp((&mut frame).into()), |machine| {
        machine.memory.write::<4>(machine.registers[1], 0x7000_0000).expect("the context can be written");
        machine.memory.write::<4>(machine.registers[1] + 4, 0x7fff_ffff).expect("the context can be written");
        program.run_prepared(machine)
    });
    assert!(matches!(result, Err(sandbpf::AnyError::Trap(Trap::BadAccess { .. }))), "{result:?}");
    // Or something else is in its place.
    let result = program.run_by(AnyInput::Xdp((&mut frame).into()), |machine| {
        machine.registers[1] += 8;
        program.run_prepared(machine)
    });
    assert!(result.is_err() || result == Ok(1), "{result:?}");
}

#[test]
fn helpers_that_may_move_packets_do() {
    // Cuts the packet to 36 bytes and looks again.
    let text = "r6 = r1
        r2 = -28
        call 65
        r2 = *(u32 *)(r6 + 0)
        r3 = *(u32 *)(r6 + 4)
        r0 = 1
        r4 = r2
        r4 += 36
        if r4 > r3 goto +1
        r0 = *(u8 *)(r2 + 35)
        exit";
    let program: Program<Xdp> = Loader::new().verified(true).load(text).expect("Linux would load it");
    assert_eq!(program.run(&[3; 64]), Ok(XdpAction::Tx));
    assert_eq!(program.run(&[3; 60]), Ok(XdpAction::Drop));
}
