//! Loads and stores, every one of them checked.
//!
//! Most accesses are to a region that is a slice, or to the stack through the frame pointer: then an access is an index into
//! it. Whatever else an address may mean is found out of line.

use sandbpf_isa::{AtomicOp, Extend, Reg, Size};
use sandbpf_runtime::{Machine, Trap};

use super::control;
use crate::op::{Handler, Next, Op, Run, each_base, each_register, go, read, take, write};

const R0: usize = 0;

/// `D = *(S + off)`, zero-extended.
fn load<const N: usize, const D: usize, const S: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let address = op.address(machine.registers[S]);
    match machine.memory.read_near::<N>(address) {
        Some(value) => {
            machine.registers[D] = value;
            go(machine, run, rest, value)
        }
        None => load_elsewhere::<N>(machine, run, ops, address),
    }
}

/// `dst = *(src + off)`, zero-extended, wherever that is.
#[inline(never)]
pub(crate) fn load_elsewhere<const N: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let address = op.address(read(machine, op.src));
    match machine.memory.read::<N>(address) {
        Ok(value) => write(machine, op.dst, value),
        Err(fault) => return run.stop(ops, |pc| fault.at(pc)),
    }
    go(machine, run, rest, 0)
}

/// `dst = *(src + off)`, sign-extended.
fn load_signed<const N: usize>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let address = op.address(read(machine, op.src));
    match machine.memory.read::<N>(address) {
        Ok(value) => {
            let unused = 64 - 8 * N as u32;
            write(machine, op.dst, ((value << unused) as i64 >> unused) as u64);
        }
        Err(fault) => return run.stop(ops, |pc| fault.at(pc)),
    }
    go(machine, run, rest, 0)
}

/// `*(B + off) = src`.
fn store<const N: usize, const B: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let (address, value) = (op.address(machine.registers[B]), read(machine, op.src));
    match machine.memory.write_near::<N>(address, value) {
        Some(()) => go(machine, run, rest, value),
        None => store_elsewhere::<N>(machine, run, ops, address),
    }
}

/// `*(dst + off) = src`, wherever that is.
#[inline(never)]
pub(crate) fn store_elsewhere<const N: usize>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let (address, value) = (op.address(read(machine, op.dst)), read(machine, op.src));
    if let Err(fault) = machine.memory.write::<N>(address, value) {
        return run.stop(ops, |pc| fault.at(pc));
    }
    go(machine, run, rest, 0)
}

/// `*(dst + off) = imm`.
fn store_immediate<const N: usize>(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    let address = op.address(read(machine, op.dst));
    if let Err(fault) = machine.memory.write::<N>(address, op.imm()) {
        return run.stop(ops, |pc| fault.at(pc));
    }
    go(machine, run, rest, 0)
}

/// Which atomic operation it is, and on how many bytes, is in the immediate.
pub(crate) fn atomic(machine: &mut Machine<'_>, run: &mut Run<'_>, ops: &[Op], _: u64) -> Next {
    let Some(([op], rest)) = take(ops) else { return Next::Fell };
    // Whoever made the operation wrote both; a program has no others.
    let (Some(atomic), Some(size)) =
        (AtomicOp::decode(op.imm & 0xffff), Size::of_bytes((op.imm >> 16) as u64))
    else {
        return run.stop(ops, |pc| Trap::Unresolved { pc });
    };
    let (address, operand) = (op.address(read(machine, op.dst)), read(machine, op.src));
    let r0 = machine.registers[R0];
    match machine.memory.atomic(atomic, size, address, operand, r0) {
        Ok(old) => {
            if let Some(to) = Reg::new(op.src).and_then(|reg| atomic.fetches(reg)) {
                machine.registers[to.index()] = old;
            }
        }
        Err(fault) => return run.stop(ops, |pc| fault.at(pc)),
    }
    go(machine, run, rest, 0)
}

/// `r0 = *packet[imm]`, or the function ends with 0.
pub(crate) fn packet<const SIZE: u8>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], _)) = take(ops) else { return Next::Fell };
    load_packet::<SIZE>(machine, run, op.imm, ops, 0)
}

/// `r0 = *packet[src + imm]`, or the function ends with 0.
pub(crate) fn packet_index<const SIZE: u8>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some(([op], _)) = take(ops) else { return Next::Fell };
    let index = read(machine, op.src) as i32;
    load_packet::<SIZE>(machine, run, op.imm.wrapping_add(index), ops, 0)
}

#[inline(always)]
fn load_packet<const SIZE: u8>(
    machine: &mut Machine<'_>,
    run: &mut Run<'_>,
    offset: i32,
    ops: &[Op],
    _: u64,
) -> Next {
    let Some((_, rest)) = take::<1>(ops) else { return Next::Fell };
    let size = match SIZE {
        1 => Size::B,
        2 => Size::H,
        _ => Size::W,
    };
    match machine.load_packet(size, offset) {
        Some(value) => {
            machine.registers[R0] = value;
            go(machine, run, rest, value)
        }
        None => {
            machine.registers[R0] = 0;
            control::exit(machine, run, ops, 0)
        }
    }
}

struct Sized<const N: usize>;

impl<const N: usize> Sized<N> {
    const LOAD: [[Handler; 11]; 10] = each_register!(D => each_base!(S => load::<N, D, S> as Handler));
    const STORE: [Handler; 11] = each_base!(B => store::<N, B> as Handler);

    fn load(dst: usize, base: usize) -> Handler {
        Self::LOAD[dst][base]
    }

    fn store(base: usize) -> Handler {
        Self::STORE[base]
    }
}

/// What loads.
pub(crate) fn load_handler(size: Size, extend: Extend, dst: usize, base: usize) -> Handler {
    match (extend, size) {
        (Extend::Zero, Size::B) => Sized::<1>::load(dst, base),
        (Extend::Zero, Size::H) => Sized::<2>::load(dst, base),
        (Extend::Zero, Size::W) => Sized::<4>::load(dst, base),
        (_, Size::DW) => Sized::<8>::load(dst, base),
        (Extend::Sign, Size::B) => load_signed::<1>,
        (Extend::Sign, Size::H) => load_signed::<2>,
        (Extend::Sign, Size::W) => load_signed::<4>,
    }
}

/// What stores a register, or an immediate.
pub(crate) fn store_handler(size: Size, base: usize, register: bool) -> Handler {
    match (register, size) {
        (true, Size::B) => Sized::<1>::store(base),
        (true, Size::H) => Sized::<2>::store(base),
        (true, Size::W) => Sized::<4>::store(base),
        (true, Size::DW) => Sized::<8>::store(base),
        (false, Size::B) => store_immediate::<1>,
        (false, Size::H) => store_immediate::<2>,
        (false, Size::W) => store_immediate::<4>,
        (false, Size::DW) => store_immediate::<8>,
    }
}

/// What loads from the packet, at a constant offset or at a register's.
pub(crate) fn packet_handler(size: Size, index: bool) -> Handler {
    match (size, index) {
        (Size::B, false) => packet::<1>,
        (Size::H, false) => packet::<2>,
        (Size::W | Size::DW, false) => packet::<4>,
        (Size::B, true) => packet_index::<1>,
        (Size::H, true) => packet_index::<2>,
        (Size::W | Size::DW, true) => packet_index::<4>,
    }
}
