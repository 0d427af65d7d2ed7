//! Where a value came from: the instructions that made it, found by going back along the path.
//!
//! The way back is the listing read upwards, and at the target of a jump on the path the place where the jump stands.
//! Values are followed through moves, arithmetic, slots of the stack, arguments and results of functions; what a helper
//! gives, what memory holds and what a constant says has no origin before it.

use sandbpf_isa::{AluOp, Callee, Insn, Operand, Pc, Program, Reg};

/// An origin longer than this tells a reader nothing more.
const LONGEST: usize = 6;
/// Nobody waits for the origin of a value that was made longer ago than so many instructions.
const FARTHEST: usize = 100_000;

/// Where the value is that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Register(Reg),
    /// Eight bytes of the stack, by their offset from `r10`.
    Stack(i16),
}

/// What an instruction has to do with a value.
enum Made {
    /// Nothing.
    No,
    /// The value stood elsewhere before.
    From(Place),
    /// It begins here.
    Here,
}

/// The instructions that made what the register holds before `pc`, the last first.
pub(super) fn of(program: &Program, pc: Pc, path: &[(Pc, Pc)], register: Reg) -> Vec<Pc> {
    let mut back = Back { program, path, pc };
    let mut wanted = Place::Register(register);
    // How deep in calls the way back is, and the value: both counted from where they start.
    let (mut depth, mut of_value) = (0i32, 0i32);
    let mut origin = Vec::new();
    for _ in 0..FARTHEST {
        let Some((pc, jumped)) = back.step() else { break };
        let Some(insn) = program.get(pc) else { break };
        match insn {
            // Out of the function that was called, at its end: its result is ours.
            Insn::Exit => {
                depth += 1;
                if wanted == Place::Register(Reg::R0) && of_value == depth - 1 {
                    of_value = depth;
                }
                continue;
            }
            // Before a function was entered: its arguments are its caller's.
            Insn::Call { callee } if jumped => {
                depth -= 1;
                if of_value <= depth {
                    continue;
                }
                let is_argument = matches!(wanted, Place::Register(reg) if (1..=5).contains(&reg.number()));
                if is_argument && matches!(callee, Callee::Local(_)) {
                    of_value = depth;
                    continue;
                }
                if is_argument {
                    origin.push(pc);
                }
                break;
            }
            _ => {}
        }
        if of_value != depth {
            continue;
        }
        match made(insn, wanted) {
            Made::No => continue,
            Made::From(before) => wanted = before,
            Made::Here => {
                origin.push(pc);
                break;
            }
        }
        if !origin.contains(&pc) {
            origin.push(pc);
        }
        if origin.len() == LONGEST {
            break;
        }
    }
    origin
}

fn made(insn: &Insn, wanted: Place) -> Made {
    match (insn, wanted) {
        (Insn::Alu { op: AluOp::Mov, dst, src, .. }, Place::Register(reg)) if *dst == reg => match src {
            Operand::Reg(src) => Made::From(Place::Register(*src)),
            Operand::Imm(_) => Made::Here,
        },
        (Insn::Alu { dst, .. } | Insn::Unary { dst, .. }, Place::Register(reg)) if *dst == reg => {
            Made::From(wanted)
        }
        (Insn::Cast { dst, src, .. }, Place::Register(reg)) if *dst == reg => {
            Made::From(Place::Register(*src))
        }
        (Insn::Load { dst, base: Reg::R10, off, .. }, Place::Register(reg)) if *dst == reg => {
            Made::From(Place::Stack(*off))
        }
        (Insn::Store { base: Reg::R10, off, src, .. }, Place::Stack(slot)) if *off == slot => match src {
            Operand::Reg(src) => Made::From(Place::Register(*src)),
            Operand::Imm(_) => Made::Here,
        },
        // Calls leave the registers of their arguments undefined.
        (Insn::Call { .. }, Place::Register(reg)) if reg.number() <= 5 => Made::Here,
        (insn, Place::Register(reg)) if insn.writes().contains(reg) => Made::Here,
        _ => Made::No,
    }
}

/// The way back.
struct Back<'p> {
    program: &'p Program,
    /// The jumps that are still to be gone back.
    path: &'p [(Pc, Pc)],
    pc: Pc,
}

impl Back<'_> {
    /// The instruction before, and whether it jumped here.
    fn step(&mut self) -> Option<(Pc, bool)> {
        if let Some((&(from, to), before)) = self.path.split_last()
            && to == self.pc
        {
            self.path = before;
            self.pc = from;
            return Some((from, true));
        }
        if self.path.is_empty() && self.program.function_at(self.pc).is_some() {
            return None;
        }
        // A function that stands right behind its call is entered without a jump.
        let entered = self.program.function_at(self.pc).is_some();
        self.pc = Pc(self.pc.0.checked_sub(1)?);
        Some((self.pc, entered))
    }
}

#[cfg(test)]
mod tests {
    use sandbpf_abi::ProgramType;

    use super::*;
    use crate::Verifier;

    /// The instructions that made what is in the register where the program is rejected.
    fn origin(text: &str, register: Reg) -> Vec<u32> {
        let program = sandbpf_isa::parse(text).expect("a program");
        let error = Verifier::new(ProgramType::SocketFilter).verify(&program).expect_err("it is rejected");
        error.origin(&program, register).into_iter().map(|pc| pc.0).collect()
    }

    #[test]
    fn moves_arithmetic_and_slots_are_followed() {
        let text = "r6 = 4096\nr7 = r6\nr7 += 8\n*(u64 *)(r10 - 8) = r7\nr7 = 0\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r2 + 0)\nexit";
        assert_eq!(origin(text, Reg::R2), [5, 3, 2, 1, 0]);
    }

    #[test]
    fn what_a_call_gave_begins_there() {
        assert_eq!(origin("call 7\nr1 = 1\nr0 = *(u8 *)(r0 + 0)\nexit", Reg::R0), [0]);
        assert_eq!(origin("r2 = 1\ncall 7\nr0 = r2\nexit", Reg::R2), [1]);
    }

    #[test]
    fn only_what_lies_on_the_path_counts() {
        let text = "call 7\nr1 = 1\nif r0 > 5 goto over\nr1 = r10\n*(u64 *)(r1 - 8) = 0\nover: r0 = *(u8 *)(r1 - 8)\nexit";
        assert_eq!(origin(text, Reg::R1), [1]);
    }

    #[test]
    fn functions_hand_arguments_down_and_results_up() {
        let text = "r6 = 1\nr1 = 7\ncall f\nr0 = *(u8 *)(r0 + 0)\nexit\nf: r6 = 3\nr0 = r1\nexit";
        assert_eq!(origin(text, Reg::R0), [6, 1]);
        assert_eq!(origin(&text.replace("u8 *)(r0 ", "u8 *)(r6 "), Reg::R6), [0]);
    }

    #[test]
    fn what_nobody_wrote_has_no_origin() {
        assert!(origin("exit", Reg::R0).is_empty());
    }
}
