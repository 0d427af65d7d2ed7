//! The fast loop.

use std::sync::Arc;

use sandbpf_isa::{FRAME_SIZE, MAY_GOTO_LIMIT, Pc, Program, Reg, Size};
use sandbpf_runtime::{Execute, Frame, Frames, Machine, Trap};
use sandbpf_runtime::{TAIL_CALL, arena};

use crate::code::{self, File, Op, alu_codes, codes, cond_codes};
use crate::fused::{for_each_fused, sequences};

/// A program as flat code, ready to run.
///
/// Accepts any [`Program`]; checks every access as it happens.
#[derive(Clone, Debug)]
pub struct Code {
    program: Arc<Program>,
    ops: Box<[Op]>,
}

impl Code {
    /// Flattens a program.
    pub fn new(program: impl Into<Arc<Program>>) -> Self {
        let program = program.into();
        Code { ops: code::flatten(&program), program }
    }
}

impl Execute for Code {
    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        machine.enter(&self.program);
        self.from(machine, Pc(0))
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        machine.enter_function(&self.program, entry)?;
        self.from(machine, entry)
    }
}

const R0: usize = 0;
const R10: usize = Reg::R10.index();

impl Code {
    fn from(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        let mut r: File = [0; 16];
        r[..Reg::COUNT].copy_from_slice(&machine.registers);
        let result = self.run(machine, &mut r, entry);
        machine.registers.copy_from_slice(&r[..Reg::COUNT]);
        result
    }

    fn run(&self, machine: &mut Machine<'_>, r: &mut File, entry: Pc) -> Result<u64, Trap> {
        use codes::*;
        let mut frames = Frames::above(machine);
        let mut may_goto = MAY_GOTO_LIMIT;
        let mut pc = entry.0;

        // Each arm names what differs; the rest of a family is in these.
        macro_rules! load {
            ($op:ident, $N:literal, $extend:expr) => {{
                let value = machine.memory.read::<$N>($op.address(r[$op.src()]));
                let value = value.map_err(|fault| fault.at(Pc(pc)))?;
                r[$op.dst()] = $extend(value);
            }};
        }
        macro_rules! store {
            ($op:ident, $N:literal, $value:expr) => {{
                let done = machine.memory.write::<$N>($op.address(r[$op.dst()]), $value);
                done.map_err(|fault| fault.at(Pc(pc)))?;
            }};
        }
        macro_rules! jump {
            ($to:expr) => {{
                let to = $to;
                if to <= pc {
                    machine.charge(pc - to + 1, Pc(pc))?;
                }
                pc = to;
                continue;
            }};
        }
        macro_rules! leave {
            () => {{
                let Some(frame) = frames.pop() else { return Ok(r[R0]) };
                r[6..10].copy_from_slice(&frame.preserved);
                r[R10] -= FRAME_SIZE as u64;
                may_goto = frame.may_goto;
                machine.memory.leave();
                pc = frame.return_to;
                continue;
            }};
        }
        macro_rules! packet {
            ($size:expr, $offset:expr) => {{
                match machine.load_packet($size, $offset) {
                    Some(value) => r[R0] = value,
                    None => {
                        r[R0] = 0;
                        leave!()
                    }
                }
            }};
        }
        macro_rules! call {
            ($entry:expr, $cost:expr) => {{
                let preserved = [r[6], r[7], r[8], r[9]];
                frames.push(Frame { return_to: pc + 1, preserved, may_goto }, Pc(pc))?;
                machine.charge($cost, Pc(pc))?;
                machine.memory.enter();
                may_goto = MAY_GOTO_LIMIT;
                r[R10] += FRAME_SIZE as u64;
                pc = $entry;
                continue;
            }};
        }

        // One operation of a sequence; `$op` is the one to do, `pc` where it stands.
        macro_rules! step {
            ($op:ident, $value:ident, alu $Op:ident $Form:ident) => {{
                code::alu(Op { code: alu_codes::$Op::$Form, ..$op }, r);
            }};
            ($op:ident, $value:ident, chain $Op:ident $Form:ident) => {{
                let to = [$value.unwrap_or(r[$op.dst()]), r[$op.src()]];
                let value = code::alu_value(Op { code: alu_codes::$Op::$Form, ..$op }, to);
                $value = Some(value);
            }};
            ($op:ident, $value:ident, branch $Cond:ident $Form:ident) => {{
                if let Some(true) = code::branch(Op { code: cond_codes::$Cond::$Form, ..$op }, r) {
                    jump!($op.to)
                }
            }};
            ($op:ident, $value:ident, load $CODE:ident $N:literal) => {
                load!($op, $N, |v| v)
            };
            ($op:ident, $value:ident, jump $CODE:ident) => {
                jump!($op.to)
            };
        }

        loop {
            // Targets lie in the program and a sentinel stands behind it: the index is in range.
            let op = self.ops[pc as usize];
            match op.code {
                LOAD_B => load!(op, 1, |v| v),
                LOAD_H => load!(op, 2, |v| v),
                LOAD_W => load!(op, 4, |v| v),
                LOAD_DW => load!(op, 8, |v| v),
                LOAD_SB => load!(op, 1, |v| Size::B.sign_extend(v)),
                LOAD_SH => load!(op, 2, |v| Size::H.sign_extend(v)),
                LOAD_SW => load!(op, 4, |v| Size::W.sign_extend(v)),
                STORE_B => store!(op, 1, r[op.src()]),
                STORE_H => store!(op, 2, r[op.src()]),
                STORE_W => store!(op, 4, r[op.src()]),
                STORE_DW => store!(op, 8, r[op.src()]),
                STORE_IMM_B => store!(op, 1, op.imm()),
                STORE_IMM_H => store!(op, 2, op.imm()),
                STORE_IMM_W => store!(op, 4, op.imm()),
                STORE_IMM_DW => store!(op, 8, op.imm()),
                PACKET_B => packet!(Size::B, op.imm),
                PACKET_H => packet!(Size::H, op.imm),
                PACKET_W => packet!(Size::W, op.imm),
                PACKET_INDEX_B => packet!(Size::B, op.imm.wrapping_add(r[op.src()] as i32)),
                PACKET_INDEX_H => packet!(Size::H, op.imm.wrapping_add(r[op.src()] as i32)),
                PACKET_INDEX_W => packet!(Size::W, op.imm.wrapping_add(r[op.src()] as i32)),
                ATOMIC => {
                    // `flatten` wrote both; a program has no others.
                    let Some((atomic, size)) = code::atomic(op) else {
                        return Err(Trap::Unresolved { pc: Pc(pc) });
                    };
                    let (address, operand) = (op.address(r[op.dst()]), r[op.src()]);
                    let old = machine.memory.atomic(atomic, size, address, operand, r[R0]);
                    let old = old.map_err(|fault| fault.at(Pc(pc)))?;
                    if let Some(to) = Reg::new(op.src).and_then(|reg| atomic.fetches(reg)) {
                        r[to.index()] = old;
                    }
                }
                LOAD_IMM => r[op.dst()] = u64::from(op.imm as u32) | u64::from(op.to) << 32,
                LOW_HALF => r[op.dst()] = u64::from(r[op.src()] as u32),
                CAST_KERNEL => {
                    let low = r[op.src()] as u32;
                    r[op.dst()] = if arena::is_taken(low) { arena::ALIAS } else { 0 } + u64::from(low);
                }
                CAST_USER => {
                    let low = r[op.src()] as u32;
                    r[op.dst()] = if low == 0 { 0 } else { u64::from(op.to) << 32 | u64::from(low) };
                }
                JUMP => jump!(op.to),
                MAY_GOTO => {
                    if may_goto == 0 {
                        jump!(op.to)
                    }
                    may_goto -= 1;
                }
                CALL_HELPER => {
                    machine.frame = frames.current();
                    r[R0] = machine.call_helper(op.imm, [r[1], r[2], r[3], r[4], r[5]], Pc(pc))?;
                    if op.imm == TAIL_CALL && machine.take_ended() {
                        leave!()
                    }
                }
                CALL_KFUNC => {
                    machine.frame = frames.current();
                    r[R0] = machine.call_kfunc(op.imm, [r[1], r[2], r[3], r[4], r[5]], Pc(pc))?;
                }
                CALL_LOCAL => call!(op.to, op.imm as u32),
                CALL_REGISTER => {
                    let address = r[op.src()];
                    let Some((entry, cost)) = code::function(&self.program, address) else {
                        return Err(Trap::BadCallTarget { pc: Pc(pc), address });
                    };
                    call!(entry.0, cost)
                }
                EXIT => leave!(),
                FRAME_POINTER => return Err(Trap::FramePointer { pc: Pc(pc) }),
                UNRESOLVED => return Err(Trap::Unresolved { pc: Pc(pc) }),
                FELL_OFF => return Err(Trap::FellOff { pc: Pc(pc - 1) }),
                _ => {
                    macro_rules! sequences {
                        ($( $Name:ident { $kind:ident $what:ident $($how:tt)?
                            $(, $kinds:ident $whats:ident $($hows:tt)?)* } )*) => {
                            match op.code {
                                $( sequences::$Name => {
                                    #[allow(unused_mut, unused_variables)]
                                    let mut value: Option<u64> = None;
                                    step!(op, value, $kind $what $($how)?);
                                    $(
                                        pc += 1;
                                        let op = self.ops[pc as usize];
                                        step!(op, value, $kinds $whats $($hows)?);
                                    )*
                                    #[allow(unreachable_code)]
                                    if let Some(value) = value {
                                        r[op.dst()] = value;
                                    }
                                } )*
                                _ => {
                                    if let Some(taken) = code::branch(op, r) {
                                        if taken {
                                            jump!(op.to)
                                        }
                                    } else if !code::alu(op, r) {
                                        let known = code::unary(op, r);
                                        debug_assert!(known, "`flatten` makes no other code");
                                    }
                                }
                            }
                        };
                    }
                    for_each_fused!(sequences);
                }
            }
            pc += 1;
        }
    }
}
