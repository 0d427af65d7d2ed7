//! Every operation, width, operand and pair of registers on values at the edges, against the tables.
#![cfg(all(target_arch = "x86_64", unix))]

use sandbpf_isa::{AluOp, Cond, Extend, Insn, Operand, Pc, Program, Reach, Reg, Size, UnaryOp, Width};
use sandbpf_jit::{Code, Options};
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, FrozenHost, Machine, address, helpers::HelperSet};

const VALUES: [u64; 24] = [
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_0000_0001,
    0xffff_ffff_8000_0000,
    u64::MAX,
];

const IMMEDIATES: [i32; 12] = [0, 1, -1, 7, 31, 32, 63, 127, -128, 128, i32::MAX, i32::MIN];

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// Loads `a` into `dst` and `b` into `src` from memory and does `insn`; every other register has a value of its
/// own, so that clobbering one is seen.
fn one(insn: Insn, dst: Reg, src: Option<Reg>) -> Program {
    let load = |dst, base, off| Insn::Load { size: Size::DW, extend: Extend::Zero, dst, base, off };
    let store = |off| Insn::Store { size: Size::DW, base: Reg::R10, off, src: Reg::R2.into() };
    let mut insns = vec![load(Reg::R2, Reg::R1, 0), store(-8), load(Reg::R2, Reg::R1, 8), store(-16)];
    for reg in writable() {
        let own = Operand::Imm(0x1111 * i32::from(reg.number()) + 5);
        insns.push(Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: reg, src: own });
    }
    insns.extend(src.map(|src| load(src, Reg::R10, -16)));
    insns.push(load(dst, Reg::R10, -8));
    insns.push(insn);
    insns.push(Insn::Exit);
    Program::new(insns).expect("a sound program")
}

/// The registers after running `program` on `a` and `b`.
fn registers(code: &Code, a: u64, b: u64) -> [u64; 11] {
    let (mut stack, helpers) = (Stack::default(), HelperSet::empty());
    let mut memory = [0; 16];
    memory[..8].copy_from_slice(&a.to_le_bytes());
    memory[8..].copy_from_slice(&b.to_le_bytes());
    let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
    machine.memory.set_buffer(Region::Read(&memory)).expect("it fits");
    machine.registers[1] = address::BUFFER;
    code.execute(&mut machine).expect("it runs");
    machine.registers
}

/// Checks that `dst` gets `expected(a, b)` and every other register keeps its value.
fn check(insn: Insn, dst: Reg, src: Option<Reg>, rotation: u8, expected: impl Fn(u64, u64) -> u64) {
    let program = one(insn, dst, src);
    let code =
        Code::compile_with(program, Options { export_registers: true, rotation, ..Options::default() })
            .expect("it compiles");
    for a in VALUES {
        for b in VALUES {
            // One register holds one value.
            let b = if src == Some(dst) { a } else { b };
            let after = registers(&code, a, b);
            for reg in Reg::all().filter(|&reg| reg != Reg::R10) {
                let own = 0x1111 * u64::from(reg.number()) + 5;
                let kept = if Some(reg) == src { b } else { own };
                let wanted = if reg == dst { expected(a, b) } else { kept };
                assert_eq!(
                    after[reg.index()],
                    wanted,
                    "{reg} after {insn:?} of {a:#x}, {b:#x}, rotation {rotation}"
                );
            }
            if src.is_none() {
                break;
            }
        }
    }
}

fn writable() -> impl Iterator<Item = Reg> {
    Reg::all().filter(|&reg| reg != Reg::R10)
}

#[test]
fn arithmetic_on_registers() {
    for &op in AluOp::ALL {
        for width in WIDTHS.into_iter().filter(|&width| op.has_width(width)) {
            for dst in writable() {
                for src in writable() {
                    let rotation = (dst.number() * 3 + src.number()) % 11;
                    let insn = Insn::Alu { op, width, dst, src: src.into() };
                    check(insn, dst, Some(src), rotation, |a, b| op.eval(width, a, b));
                }
            }
        }
    }
}

#[test]
fn arithmetic_on_immediates() {
    for op in AluOp::ALL.iter().copied().filter(|op| !op.register_only()) {
        for width in WIDTHS {
            for dst in writable() {
                for imm in IMMEDIATES {
                    for rotation in [0, 5] {
                        let insn = Insn::Alu { op, width, dst, src: imm.into() };
                        check(insn, dst, None, rotation, |a, _| op.eval(width, a, imm as u64));
                    }
                }
            }
        }
    }
}

#[test]
fn one_operand() {
    for &op in UnaryOp::ALL {
        for dst in writable() {
            for rotation in 0..11 {
                check(Insn::Unary { op, dst }, dst, None, rotation, |a, _| op.eval(a));
            }
        }
    }
}

#[test]
fn conditions() {
    let load = |dst, off| Insn::Load { size: Size::DW, extend: Extend::Zero, dst, base: Reg::R1, off };
    let program = |cond, width, lhs, rhs| {
        Program::new([
            load(Reg::R3, 0),
            load(Reg::R4, 8),
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R0, src: 1.into() },
            Insn::Branch { cond, width, lhs, rhs, to: Pc(5) },
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R0, src: 0.into() },
            Insn::Jump { to: Pc(6), reach: Reach::Near },
            Insn::Exit,
        ])
        .expect("a sound program")
    };
    for &cond in Cond::ALL {
        for width in WIDTHS {
            for rotation in 0..11 {
                let options = Options { export_registers: true, rotation, ..Options::default() };
                let code = |rhs| {
                    Code::compile_with(program(cond, width, Reg::R3, rhs), options).expect("it compiles")
                };
                let registers_code = code(Reg::R4.into());
                for a in VALUES {
                    for b in VALUES {
                        let taken = registers(&registers_code, a, b)[0] == 1;
                        assert_eq!(taken, cond.eval(width, a, b), "{cond:?} {width:?} {a:#x} {b:#x}");
                    }
                }
                for imm in IMMEDIATES {
                    let code = code(imm.into());
                    for a in VALUES {
                        let taken = registers(&code, a, 0)[0] == 1;
                        assert_eq!(
                            taken,
                            cond.eval(width, a, imm as u64),
                            "{cond:?} {width:?} {a:#x} {imm:#x}"
                        );
                    }
                }
            }
        }
    }
}
