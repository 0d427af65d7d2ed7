//! Extended programs that do things, and what they are run on.

use sandbpf_isa::{
    AddressSpace, AluOp, AtomicOp, Callee, Cond, Extend, Imm64, Insn, Operand, Pc, Program, Reach, Reg, Size,
    UnaryOp, Width,
};
use sandbpf_runtime::{PacketLayout, address};

use super::Source;

/// A program and everything one run of it needs.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The program.
    pub program: Program,
    /// The context; `r1` points to it.
    pub context: Vec<u8>,
    /// The packet.
    pub packet: Vec<u8>,
    /// Where things are in the packet.
    pub layout: PacketLayout,
    /// Plain memory.
    pub buffer: Vec<u8>,
    /// Which of context, packet and buffer may be written.
    pub writable: [bool; 3],
    /// How many instructions the run may take.
    pub budget: u64,
}

/// Points to the context unless somebody overwrote it.
const CONTEXT: Reg = Reg::R6;
/// Points to the buffer.
const BUFFER: Reg = Reg::R7;
/// Points to the packet.
const PACKET: Reg = Reg::R8;

/// What computations write; the pointers above are hit less often.
const SCRATCH: [Reg; 7] = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R9];
const ANY_BUT_FRAME: [Reg; 10] =
    [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8, Reg::R9];

/// Any bytes are a scene.
///
/// ```
/// let scene = sandbpf_testkit::generate::extended::scene(b"a few bytes from a fuzzer");
/// assert!(scene.program.len() > 1);
/// ```
pub fn scene(bytes: &[u8]) -> Scene {
    let mut source = Source::new(bytes);
    let (context, packet, buffer) = (source.below(64), source.below(128), source.below(128));
    let layout = PacketLayout {
        data: source.below(packet + 2) as u32,
        network: source.below(packet + 2) as u32,
        link: source.chance(2).then(|| source.below(packet + 2) as u32),
    };
    let budget = match source.below(4) {
        0 => source.below(64) as u64,
        1 => u64::from(source.u16()),
        _ => 10_000,
    };
    let writable = source.u8();
    let filling = source.take(8).to_vec();
    let fill = |len: usize, salt: u8| -> Vec<u8> {
        let byte = |at: usize| filling.get(at % 8).copied().unwrap_or(at as u8).wrapping_add(salt);
        (0..len).map(byte).collect()
    };
    Scene {
        program: program(&mut source),
        context: fill(context, 1),
        packet: fill(packet, 2),
        layout,
        buffer: fill(buffer, 3),
        writable: [writable & 1 != 0, writable & 2 != 0, writable & 4 == 0],
        budget,
    }
}

/// A program of up to five functions.
pub fn program(source: &mut Source<'_>) -> Program {
    let functions = 1 + source.below(5);
    let mut bodies = Vec::with_capacity(functions);
    for function in 0..functions {
        let mut body = if function == 0 { prologue(source) } else { Vec::new() };
        for _ in 0..source.below(40) {
            body.push(statement(source));
        }
        // One in a while falls through into the next function, or off the end.
        if !source.chance(32) {
            body.push(Insn::Exit);
        }
        if body.is_empty() {
            body.push(Insn::Exit);
        }
        bodies.push(body);
    }
    let starts: Vec<u32> = bodies
        .iter()
        .scan(0, |at, body| {
            let start = *at;
            *at += body.len() as u32;
            Some(start)
        })
        .collect();
    let mut insns = Vec::new();
    for (body, &start) in bodies.iter().zip(&starts) {
        insns.extend(body.iter().map(|&insn| resolve(insn, start, body.len() as u32, &starts)));
    }
    Program::new(insns).expect("every shape is sound and every target inside")
}

/// Points targets, until now any number, into the function, and calls to functions.
fn resolve(mut insn: Insn, start: u32, len: u32, starts: &[u32]) -> Insn {
    match &mut insn {
        Insn::Jump { to, .. } | Insn::MayGoto { to } | Insn::Branch { to, .. } => to.0 = start + to.0 % len,
        Insn::Call { callee: Callee::Local(to) } | Insn::LoadImm { value: Imm64::Function(to), .. } => {
            to.0 = starts[to.index() % starts.len()];
        }
        _ => {}
    }
    insn
}

/// Registers that point somewhere and registers with numbers in them.
fn prologue(source: &mut Source<'_>) -> Vec<Insn> {
    let which = source.u8();
    let number = |value| Imm64::Number(value);
    let all = [
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: CONTEXT, src: Reg::R1.into() },
        Insn::LoadImm { dst: BUFFER, value: number(address::BUFFER) },
        Insn::LoadImm { dst: PACKET, value: number(address::PACKET) },
        Insn::LoadImm { dst: Reg::R0, value: number(source.u64()) },
        Insn::LoadImm { dst: Reg::R2, value: number(source.u64()) },
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R3, src: Reg::R10.into() },
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R4, src: source.edge().into() },
        Insn::LoadImm { dst: Reg::R9, value: number(source.u64()) },
    ];
    all.into_iter().enumerate().filter(|(bit, _)| which >> bit & 1 == 0).map(|(_, insn)| insn).collect()
}

fn statement(source: &mut Source<'_>) -> Insn {
    match source.below(34) {
        0..=9 => alu(source),
        10 | 11 => Insn::Unary { op: source.pick(UnaryOp::ALL), dst: destination(source) },
        12 => Insn::LoadImm { dst: destination(source), value: Imm64::Number(source.u64()) },
        13..=16 => load(source),
        17..=20 => {
            let (base, off) = place(source);
            Insn::Store { size: source.pick(Size::ALL), base, off, src: operand(source) }
        }
        21 | 22 => atomic(source),
        23 | 24 => Insn::LoadPacket {
            size: source.pick(&[Size::B, Size::H, Size::W]),
            index: source.chance(3).then(|| any(source)),
            off: match source.below(4) {
                0 => source.edge(),
                1 => -0x10_0000 + i32::from(source.u8()),
                2 => -0x20_0000 + i32::from(source.u8()),
                _ => source.u8().into(),
            },
        },
        25..=28 => Insn::Branch {
            cond: source.pick(Cond::ALL),
            width: width(source),
            lhs: any(source),
            rhs: operand(source),
            to: target(source),
        },
        29 => Insn::Jump { to: target(source), reach: source.pick(&[Reach::Near, Reach::Far]) },
        30 => Insn::MayGoto { to: target(source) },
        31 => Insn::Call { callee: Callee::Local(target(source)) },
        32 => Insn::Call { callee: Callee::Helper(source.pick(&[5, 7, 8, -1, -2, -3, 1, 0])) },
        _ => rare(source),
    }
}

/// What few programs have.
fn rare(source: &mut Source<'_>) -> Insn {
    match source.below(6) {
        0 => Insn::Exit,
        1 => Insn::LoadImm { dst: destination(source), value: Imm64::Function(target(source)) },
        2 => Insn::Call { callee: Callee::Register(any(source)) },
        3 => Insn::Cast {
            dst: destination(source),
            src: any(source),
            to: source.pick(&[AddressSpace::Kernel, AddressSpace::User]),
        },
        4 => Insn::Call { callee: Callee::Kfunc { id: source.edge(), module: 0 } },
        _ => Insn::LoadImm {
            dst: destination(source),
            value: Imm64::Variable { id: source.edge(), module: 0 },
        },
    }
}

fn alu(source: &mut Source<'_>) -> Insn {
    let op = source.pick(AluOp::ALL);
    let width = if op.has_width(Width::W32) { width(source) } else { Width::W64 };
    let src = if op.register_only() { any(source).into() } else { operand(source) };
    Insn::Alu { op, width, dst: destination(source), src }
}

fn load(source: &mut Source<'_>) -> Insn {
    let size = source.pick(Size::ALL);
    let signed = size != Size::DW && source.chance(3);
    let (base, off) = place(source);
    let extend = if signed { Extend::Sign } else { Extend::Zero };
    Insn::Load { size, extend, dst: destination(source), base, off }
}

fn atomic(source: &mut Source<'_>) -> Insn {
    let (op, size) = (source.pick(AtomicOp::ALL), source.pick(Size::ALL));
    let size = if op.has_size(size) { size } else { Size::DW };
    let (base, off) = place(source);
    Insn::Atomic { op, size, base, off, reg: any(source) }
}

/// A base and an offset, mostly inside its region, sometimes at its edge.
fn place(source: &mut Source<'_>) -> (Reg, i16) {
    match source.below(16) {
        0..=4 => (Reg::R10, -i16::from(source.u8())),
        5 => (Reg::R10, source.pick(&[0, -1, -4, -7, -8, -505, -511, -512, -513, -520, 8])),
        6..=9 => (BUFFER, (source.u8() & 0x7f).into()),
        10 | 11 => (PACKET, (source.u8() & 0x7f).into()),
        12 | 13 => (CONTEXT, (source.u8() & 0x3f).into()),
        _ => (any(source), source.edge() as i16),
    }
}

/// What is written: hardly ever the frame pointer, which traps.
fn destination(source: &mut Source<'_>) -> Reg {
    match source.below(128) {
        127 => Reg::R10,
        0..=9 => source.pick(&ANY_BUT_FRAME),
        _ => source.pick(&SCRATCH),
    }
}

fn any(source: &mut Source<'_>) -> Reg {
    if source.chance(16) { Reg::R10 } else { source.pick(&ANY_BUT_FRAME) }
}

fn operand(source: &mut Source<'_>) -> Operand {
    if source.chance(2) { any(source).into() } else { source.edge().into() }
}

fn width(source: &mut Source<'_>) -> Width {
    source.pick(&[Width::W64, Width::W32])
}

fn target(source: &mut Source<'_>) -> Pc {
    Pc(source.u8().into())
}
