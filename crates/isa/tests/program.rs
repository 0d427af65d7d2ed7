//! What a program knows about itself: functions, costs, stack use, and which instructions are none.

use sandbpf_isa::{
    AluOp, AtomicOp, Callee, Cond, Extend, FRAME_SIZE, Imm64, Insn, Operand, Pc, Program, ProgramErrorKind,
    Reach, Reg, Size, StackUse, Width, parse,
};

fn program(text: &str) -> Program {
    parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Entry, end and cost of every function.
fn functions(text: &str) -> Vec<(u32, u32, u32)> {
    program(text).functions().iter().map(|f| (f.entry.0, f.end.0, f.cost)).collect()
}

fn stack(text: &str) -> StackUse {
    program(text).stack_use()
}

fn refused(insns: &[Insn]) -> (u32, ProgramErrorKind) {
    let error = Program::new(insns).expect_err("no program");
    (error.pc().0, error.kind().clone())
}

#[test]
fn one_function_costs_its_length() {
    assert_eq!(functions("r0 = 0\nexit"), [(0, 2, 2)]);
}

#[test]
fn functions_start_where_calls_and_addresses_lead() {
    let text = "r1 = subprog[g]\ncall f\nexit\nf:\nr0 = 1\nexit\ng:\nexit";
    assert_eq!(functions(text), [(0, 3, 3), (3, 5, 2), (5, 6, 1)]);
    let program = program(text);
    assert_eq!(program.function_of(Pc(2)).entry, Pc(0));
    assert_eq!(program.function_of(Pc(3)).entry, Pc(3));
    assert_eq!(program.function_of(Pc(5)).entry, Pc(5));
    assert_eq!(program.function_at(Pc(4)), None);
}

#[test]
fn a_call_of_the_first_function_adds_none() {
    assert_eq!(functions("main: call main\nexit"), [(0, 2, 2)]);
}

#[test]
fn a_function_that_falls_out_is_charged_to_the_end() {
    assert_eq!(functions("call f\nr0 = 0\nf:\nr0 = 1\nexit"), [(0, 2, 4), (2, 4, 2)]);
    // A branch as last instruction may fall through, a jump may not.
    assert_eq!(functions("top: call f\nif r0 == 0 goto top\nf:\nexit"), [(0, 2, 3), (2, 3, 1)]);
    assert_eq!(functions("top: call f\ngoto top\nf:\nexit"), [(0, 2, 2), (2, 3, 1)]);
}

#[test]
fn a_function_that_jumps_out_forwards_is_charged_to_the_end() {
    assert_eq!(functions("call f\nif r0 == 0 goto x\nexit\nf:\nr0 = 1\nx:\nexit"), [(0, 3, 5), (3, 5, 2)]);
}

/// `f` leaves by a jump back, and from there the rest of the program lies open: its own length
/// would not pay for that, however often it is called.
#[test]
fn a_function_that_jumps_out_backwards_is_charged_to_the_end() {
    let text = "
        top: if r0 == 0 goto rest
             call f
             call f
             r1 = subprog[rest]
             exit
        f:   goto top
        rest: r0 = 1
             r0 = 2
             exit";
    assert_eq!(functions(text), [(0, 5, 9), (5, 6, 4), (6, 9, 3)]);
}

#[test]
fn slots_count_wide_immediates_twice() {
    let program = program("r1 = 1 ll\nr2 = 2 ll\nexit");
    assert_eq!((0..=3).map(|pc| program.slot(Pc(pc))).collect::<Vec<_>>(), [0, 2, 4, 5]);
    assert_eq!(
        (0..6).map(|slot| program.at_slot(slot).map(|pc| pc.0)).collect::<Vec<_>>(),
        [Some(0), None, Some(1), None, Some(2), None]
    );
    assert_eq!(program.get(Pc(3)), None);
}

#[test]
fn who_does_not_name_the_frame_pointer_has_no_stack() {
    assert_eq!(stack("r0 = *(u8 *)(r1 + 0)\nexit"), StackUse::None);
    assert_eq!(stack("*(u64 *)(r1 + 0) = r2\nr0 = *(u8 *)skb[0]\ncall 7\ncallx r1\nexit"), StackUse::None);
    assert_eq!(stack("lock *(u64 *)(r1 + 0) += r2\nexit"), StackUse::None);
}

#[test]
fn accesses_below_the_frame_pointer_need_the_top_they_reach() {
    assert_eq!(stack("*(u64 *)(r10 - 8) = r1\nexit"), StackUse::Top(8));
    assert_eq!(stack("*(u8 *)(r10 - 1) = 1\nr0 = *(u16 *)(r10 - 300)\nexit"), StackUse::Top(300));
    assert_eq!(stack("r0 = *(s8 *)(r10 - 512)\nexit"), StackUse::Top(FRAME_SIZE as u16));
    // Arithmetic, packet loads and branches touch no memory of the frame.
    assert_eq!(
        stack("*(u32 *)(r10 - 4) = 1\nr0 = *(u8 *)skb[r2 + 1]\nif r0 == 0 goto +0\nexit"),
        StackUse::Top(4)
    );
}

#[test]
fn accesses_that_leave_the_frame_need_all_of_it() {
    for outside in ["r10 + 0", "r10 - 7", "r10 - 513", "r10 - 520", "r10 + 8", "r10 - 32768", "r10 + 32767"] {
        assert_eq!(stack(&format!("r0 = *(u64 *)({outside})\nexit")), StackUse::Whole, "{outside}");
    }
}

#[test]
fn whatever_could_reach_the_frame_otherwise_needs_all_of_it() {
    for other in [
        "r1 = r10",
        "w1 = w10",
        "r1 += r10",
        "r1 = addr_space_cast(r10, 0, 1)",
        "*(u64 *)(r10 - 8) = r10",
        "*(u64 *)(r1 + 0) = r10",
        "r0 = *(u64 *)(r1 + 0)",
        "*(u64 *)(r1 + 0) = 0",
        "lock *(u64 *)(r1 + 0) += r2",
        "lock *(u64 *)(r10 - 8) += r2",
        "r2 = load_acquire((u64 *)(r10 - 8))",
        "if r1 == r10 goto +0",
        "if r10 > 5 goto +0",
        "r0 = *(u8 *)skb[r10 + 0]",
        "call 7",
        "call pc+0",
        "call kfunc#7",
        "callx r10",
    ] {
        assert_eq!(stack(&format!("*(u64 *)(r10 - 8) = 1\n{other}\nexit")), StackUse::Whole, "{other}");
        assert_eq!(stack(&format!("{other}\n*(u64 *)(r10 - 8) = 1\nexit")), StackUse::Whole, "{other} first");
    }
}

#[test]
fn a_program_has_instructions() {
    assert_eq!(refused(&[]), (0, ProgramErrorKind::Empty));
}

#[test]
fn targets_are_inside() {
    let outside = Pc(2);
    let insns = [
        Insn::Jump { to: outside, reach: Reach::Near },
        Insn::Jump { to: outside, reach: Reach::Far },
        Insn::MayGoto { to: outside },
        Insn::Branch { cond: Cond::Eq, width: Width::W32, lhs: Reg::R1, rhs: Reg::R1.into(), to: outside },
        Insn::Call { callee: Callee::Local(outside) },
        Insn::LoadImm { dst: Reg::R1, value: Imm64::Function(outside) },
    ];
    for insn in insns {
        assert_eq!(
            refused(&[Insn::Exit, insn]),
            (1, ProgramErrorKind::TargetOutside { to: outside }),
            "{insn:?}"
        );
        assert!(Program::new([Insn::Exit, insn, Insn::Exit]).is_ok(), "{insn:?}");
    }
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let alu = |op, width, src| Insn::Alu { op, width, dst: Reg::R1, src };
    let atomic = |op, size| Insn::Atomic { op, size, base: Reg::R1, off: 0, reg: Reg::R2 };
    let insns = [
        alu(AluOp::Movs8, Width::W64, Operand::Imm(1)),
        alu(AluOp::Movs16, Width::W32, Operand::Imm(1)),
        alu(AluOp::Movs32, Width::W32, Operand::Reg(Reg::R2)),
        atomic(AtomicOp::Add, Size::B),
        atomic(AtomicOp::Cmpxchg, Size::H),
        Insn::LoadPacket { size: Size::DW, index: None, off: 0 },
        Insn::Load { size: Size::DW, extend: Extend::Sign, dst: Reg::R1, base: Reg::R1, off: 0 },
    ];
    for insn in insns {
        assert_eq!(refused(&[insn]), (0, ProgramErrorKind::NoSuchForm), "{insn:?}");
    }
    for size in Size::ALL {
        assert!(Program::new([atomic(AtomicOp::LoadAcquire, *size)]).is_ok());
        assert!(Program::new([atomic(AtomicOp::StoreRelease, *size)]).is_ok());
    }
}

#[test]
fn a_near_jump_reaches_32768_slots_back_and_32767_on() {
    let far = |slots: usize, from: usize, to: usize, reach| {
        let mut insns = vec![Insn::Exit; slots];
        insns[from] = Insn::Jump { to: Pc(to as u32), reach };
        Program::new(insns).expect("sound").fits()
    };
    assert!(far(40_000, 0, 32_768, Reach::Near));
    assert!(!far(40_000, 0, 32_769, Reach::Near));
    assert!(far(40_000, 32_767, 0, Reach::Near));
    assert!(!far(40_000, 32_768, 0, Reach::Near));
    assert!(far(40_000, 0, 39_999, Reach::Far));
}
