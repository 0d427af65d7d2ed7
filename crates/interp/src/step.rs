//! The machine in thirteen arms: the definition that everything else is held against.
//!
//! Meant to be read beside RFC 9669. It keeps its registers in the machine, looks every operation up
//! in the tables of `sandbpf_isa::ops`, and does one instruction at a time.

use sandbpf_isa::{Callee, FRAME_SIZE, Imm64, Insn, MAY_GOTO_LIMIT, Operand, Pc, Program, Reg};
use sandbpf_runtime::TAIL_CALL;
use sandbpf_runtime::memory::Caller;
use sandbpf_runtime::{Execute, Machine, Trap, address, arena};

use crate::{Observer, Unobserved};

/// A program, to be run one instruction at a time.
#[derive(Clone, Debug)]
pub struct Step {
    program: Program,
}

impl Step {
    /// Any program.
    pub fn new(program: Program) -> Self {
        Step { program }
    }

    /// Runs the program, telling `observer` about every step.
    pub fn observe(
        &self,
        machine: &mut Machine<'_>,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<u64, Trap> {
        machine.enter(&self.program);
        self.walk(machine, Pc(0), observer)
    }

    fn walk(
        &self,
        machine: &mut Machine<'_>,
        entry: Pc,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<u64, Trap> {
        let lowest = machine.frame;
        let mut walk = Walk { program: &self.program, machine, lowest, may_goto: MAY_GOTO_LIMIT };
        let result = walk.from(entry, observer);
        machine.frame = lowest;
        result
    }
}

impl Execute for Step {
    fn execute(&self, machine: &mut Machine<'_>) -> Result<u64, Trap> {
        self.observe(machine, &mut Unobserved)
    }

    fn call(&self, machine: &mut Machine<'_>, entry: Pc) -> Result<u64, Trap> {
        machine.enter_function(&self.program, entry)?;
        self.walk(machine, entry, &mut Unobserved)
    }
}

/// Where control goes.
enum Next {
    Following,
    /// Somewhere that was decided here, the following instruction included.
    Branch(Pc),
    End,
}

struct Walk<'w, 'run> {
    program: &'w Program,
    machine: &'w mut Machine<'run>,
    /// The frame that was entered first.
    lowest: usize,
    /// How many `may_goto`s the frame has left.
    may_goto: u64,
}

impl Walk<'_, '_> {
    fn from(&mut self, mut pc: Pc, observer: &mut (impl Observer + ?Sized)) -> Result<u64, Trap> {
        loop {
            let Some(insn) = self.program.get(pc) else { return Err(Trap::FellOff { pc: Pc(pc.0 - 1) }) };
            observer.step(pc, &self.machine.registers);
            match self.step(pc, insn)? {
                Next::Following => pc.0 += 1,
                Next::Branch(to) => {
                    observer.branch(pc, to);
                    pc = to;
                }
                Next::End => return Ok(self.machine.registers[0]),
            }
        }
    }

    fn step(&mut self, pc: Pc, insn: &Insn) -> Result<Next, Trap> {
        if insn.writes().contains(Reg::R10) {
            return Err(Trap::FramePointer { pc });
        }
        match *insn {
            Insn::Alu { op, width, dst, src } => {
                let value = op.eval(width, self.get(dst), self.operand(src));
                self.set(dst, value);
            }
            Insn::Unary { op, dst } => self.set(dst, op.eval(self.get(dst))),
            Insn::Cast { dst, src, to } => {
                self.set(dst, arena::cast(self.program.arena(), self.get(src), to));
            }
            Insn::LoadImm { dst, value } => {
                let value = match value {
                    Imm64::Number(number) => number,
                    Imm64::Function(entry) => address::function(entry),
                    Imm64::Map(_) | Imm64::MapValue(..) | Imm64::Variable { .. } => {
                        return Err(Trap::Unresolved { pc });
                    }
                };
                self.set(dst, value);
            }
            Insn::Load { size, extend, dst, base, off } => {
                let value =
                    self.machine.memory.load(size, self.address(base, off)).map_err(|fault| fault.at(pc))?;
                self.set(dst, extend.apply(size, value));
            }
            Insn::Store { size, base, off, src } => {
                let (address, value) = (self.address(base, off), self.operand(src));
                self.machine.memory.store(size, address, value).map_err(|fault| fault.at(pc))?;
            }
            Insn::Atomic { op, size, base, off, reg } => {
                let address = self.address(base, off);
                let (operand, r0) = (self.get(reg), self.get(Reg::R0));
                let old = self.machine.memory.atomic(op, size, address, operand, r0);
                let old = old.map_err(|fault| fault.at(pc))?;
                if let Some(to) = op.fetches(reg) {
                    self.set(to, old);
                }
            }
            Insn::LoadPacket { size, index, off } => {
                let index = index.map_or(0, |reg| self.get(reg) as i32);
                match self.machine.load_packet(size, index.wrapping_add(off)) {
                    Some(value) => self.set(Reg::R0, value),
                    None => {
                        self.set(Reg::R0, 0);
                        return Ok(self.leave());
                    }
                }
            }
            Insn::Jump { to, reach: _ } => return self.go(pc, to),
            Insn::MayGoto { to } => {
                if self.may_goto == 0 {
                    return self.go(pc, to);
                }
                self.may_goto -= 1;
                return Ok(Next::Branch(Pc(pc.0 + 1)));
            }
            Insn::Branch { cond, width, lhs, rhs, to } => {
                if cond.eval(width, self.get(lhs), self.operand(rhs)) {
                    return self.go(pc, to);
                }
                return Ok(Next::Branch(Pc(pc.0 + 1)));
            }
            Insn::Call { callee: Callee::Helper(id) } => {
                let [_, r1, r2, r3, r4, r5, ..] = self.machine.registers;
                let result = self.machine.call_helper(id, [r1, r2, r3, r4, r5], pc)?;
                self.set(Reg::R0, result);
                if id == TAIL_CALL && self.machine.take_ended() {
                    return Ok(self.leave());
                }
            }
            Insn::Call { callee: Callee::Local(entry) } => return self.call(pc, entry),
            Insn::Call { callee: Callee::Register(reg) } => {
                let address = self.get(reg);
                let function =
                    address::as_function(address).and_then(|entry| self.program.function_at(entry));
                let Some(function) = function else { return Err(Trap::BadCallTarget { pc, address }) };
                return self.call(pc, function.entry);
            }
            Insn::Call { callee: Callee::Kfunc { id, module: 0 } } => {
                let [_, r1, r2, r3, r4, r5, ..] = self.machine.registers;
                let result = self.machine.call_kfunc(id, [r1, r2, r3, r4, r5], pc)?;
                self.set(Reg::R0, result);
            }
            Insn::Call { callee: Callee::Kfunc { .. } } => return Err(Trap::Unresolved { pc }),
            Insn::Exit => return Ok(self.leave()),
        }
        Ok(Next::Following)
    }

    /// Takes a jump; one that goes back is paid for.
    fn go(&mut self, pc: Pc, to: Pc) -> Result<Next, Trap> {
        if to <= pc {
            self.machine.charge(pc.0 - to.0 + 1, pc)?;
        }
        Ok(Next::Branch(to))
    }

    fn call(&mut self, pc: Pc, entry: Pc) -> Result<Next, Trap> {
        let [.., r6, r7, r8, r9, _r10] = self.machine.registers;
        let caller = Caller { return_to: pc.0 + 1, preserved: [r6, r7, r8, r9], may_goto: self.may_goto };
        self.machine.push_frame(caller, pc)?;
        self.machine.charge(self.program.function_of(entry).cost, pc)?;
        self.machine.memory.enter();
        self.may_goto = MAY_GOTO_LIMIT;
        self.machine.registers[Reg::R10.index()] += FRAME_SIZE as u64;
        Ok(Next::Branch(entry))
    }

    fn leave(&mut self) -> Next {
        let Some(&caller) = self.machine.pop_frame(self.lowest) else { return Next::End };
        self.machine.registers[6..10].copy_from_slice(&caller.preserved);
        self.machine.registers[Reg::R10.index()] -= FRAME_SIZE as u64;
        self.may_goto = caller.may_goto;
        self.machine.memory.leave();
        Next::Branch(Pc(caller.return_to))
    }

    fn get(&self, reg: Reg) -> u64 {
        self.machine.registers[reg.index()]
    }

    fn set(&mut self, reg: Reg, value: u64) {
        self.machine.registers[reg.index()] = value;
    }

    fn operand(&self, operand: Operand) -> u64 {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => imm as u64,
        }
    }

    fn address(&self, base: Reg, off: i16) -> u64 {
        self.get(base).wrapping_add(off as u64)
    }
}
