//! From a program to bytes: walks the instructions and calls the emitters.

use sandbpf_isa::{Callee, Insn, Pc, Program, Reg, RegSet, StackUse};

use crate::Options;
use crate::idle::{self, Idle};
use crate::layout::status;
use crate::live::Live;
use crate::locals::Locals;
use crate::maps::{DELETE, LOOKUP, Maps, UPDATE};
use crate::proved::Proved;
use crate::x86_64::{
    Emitter, alu, atomic, branch, call, frame, maps as x86_maps, memory, muldiv, packet, reach,
};

/// Machine code that lies nowhere yet.
pub(crate) struct Compiled {
    pub(crate) bytes: Vec<u8>,
    /// Where every instruction's code starts.
    pub(crate) starts: Box<[u32]>,
    /// Whether it looks at values of its processor.
    pub(crate) asks_cpu: bool,
}

/// Compiles a program.
pub(crate) fn compile(
    program: &Program,
    options: Options,
    proved: Option<&Proved>,
    maps: Option<&Maps>,
) -> Compiled {
    let mut e = Emitter::new(program, options);
    let is_call =
        |insn: &Insn| matches!(insn, Insn::Call { callee: Callee::Helper(_) | Callee::Kfunc { .. } });
    let calls = program.insns().iter().any(is_call);
    if calls && !options.export_registers {
        e.live = Some(Live::new(program, |id| reads(id, maps.is_some())));
    }
    if let Some(maps) = maps {
        e.locals = Some(Locals::new(program));
        e.lookups = vec![None; maps.all().len()];
        (e.maps, e.remembers) = (Some(maps), proved.is_none() || !maps.rely_on_facts());
    }
    if !options.export_registers {
        (e.idle, e.is_proved) = (Idle::of(program), proved.is_some());
        e.holds_frame = e.is_usual() && idle::only_frame(program);
    }
    frame::enter(&mut e);
    let mut starts = Vec::with_capacity(program.len());
    for (index, insn) in program.insns().iter().enumerate() {
        let pc = Pc(index as u32);
        e.place(pc);
        starts.push(e.offset());
        if let Some(locals) = &mut e.locals {
            locals.enter(pc);
        }
        if proved.is_some_and(|proved| !proved.reached(pc)) {
            // Never run; but what jumps here without being run either wants a place.
            unreached(&mut e, pc, proved);
            continue;
        }
        if !e.is_idle(pc) {
            e.region = proved.and_then(|proved| proved.region(pc, maps));
            e.divides = proved.is_some_and(|proved| proved.divisor_nonzero(pc));
            e.fact_map = maps.and_then(|maps| proved?.map(pc, maps));
            e.key = maps.and_then(|_| proved?.key(pc, maps));
            let start = e.offset();
            instruction(&mut e, pc, insn);
            let longest = reach::longest(&e, pc).unwrap_or(u32::MAX);
            debug_assert!(e.offset() - start <= longest, "{insn:?} takes {} bytes", e.offset() - start);
        }
        if let Some(locals) = &mut e.locals {
            locals.step(insn);
        }
    }
    let last = Pc(program.len() as u32 - 1);
    e.trap(status::FELL_OFF, last);
    e.cold_blocks();
    frame::leave(&mut e);
    memory::stubs(&mut e);
    if calls {
        call::stubs(&mut e);
    }
    x86_maps::stubs(&mut e);
    let asks_cpu = e.asks_cpu;
    Compiled { bytes: e.finish(), starts: starts.into(), asks_cpu }
}

/// The registers that a helper may read: all, unless it is known to be Linux's.
fn reads(id: i32, is_linux: bool) -> RegSet {
    let count = match id {
        UPDATE => 4,
        LOOKUP | DELETE => 2,
        _ => 5,
    };
    RegSet::ARGUMENTS.iter().take(if is_linux { count } else { 5 }).collect()
}

/// The first of several instructions that no run comes to stands for them all.
fn unreached(e: &mut Emitter<'_>, pc: Pc, proved: Option<&Proved>) {
    let after = Pc(pc.0 + 1);
    let last = after.index() == e.program.len() || proved.is_none_or(|proved| proved.reached(after));
    if last {
        e.trap(status::UNRESOLVED, pc);
    }
}

fn instruction(e: &mut Emitter<'_>, pc: Pc, insn: &Insn) {
    if insn.writes().contains(Reg::R10) {
        return e.trap(status::FRAME_POINTER, pc);
    }
    match *insn {
        Insn::Alu { op, width, dst, src } => match muldiv::is(op) {
            true => muldiv::emit(e, op, width, dst, src),
            false => alu::emit(e, op, width, dst, src),
        },
        Insn::Unary { op, dst } => alu::unary(e, op, dst),
        Insn::Cast { dst, src, to } => alu::cast(e, dst, src, to),
        Insn::LoadImm { dst, value } => alu::load_imm(e, pc, dst, value),
        Insn::Load { size, extend, dst, base, off } => memory::load(e, size, extend, dst, base, off),
        Insn::Store { size, base, off, src } => memory::store(e, size, base, off, src),
        Insn::Atomic { op, size, base, off, reg } => atomic::emit(e, pc, op, size, base, off, reg),
        Insn::LoadPacket { size, index, off } => packet::load(e, size, index, off),
        Insn::Jump { to, reach: _ } => branch::jump(e, pc, to),
        Insn::MayGoto { to } => branch::may_goto(e, pc, to),
        Insn::Branch { cond, width, lhs, rhs, to } => branch::branch(e, pc, cond, width, lhs, rhs, to),
        Insn::Call { callee: Callee::Helper(id) } => call::helper(e, pc, id),
        Insn::Call { callee: Callee::Local(entry) } => call::local(e, pc, entry),
        Insn::Call { callee: Callee::Register(reg) } => call::register(e, pc, reg),
        Insn::Call { callee: Callee::Kfunc { id, module: 0 } } => call::kfunc(e, pc, id),
        Insn::Call { callee: Callee::Kfunc { .. } } => e.trap(status::UNRESOLVED, pc),
        Insn::Exit => branch::exit(e),
    }
}

/// Whether an access of `size` bytes at `off` from the frame pointer lies in the frame, whatever the program
/// does: then it needs no check.
pub(crate) fn in_frame(program: &Program, base: Reg, off: i16, size: u8) -> bool {
    let off = i32::from(off);
    base == Reg::R10
        && program.stack_use() != StackUse::None
        && off >= -(sandbpf_isa::FRAME_SIZE as i32)
        && off + i32::from(size) <= 0
}
