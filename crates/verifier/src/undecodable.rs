//! Bytes that are no instructions, refused in the verifier's words.
//!
//! Linux looks at a program several times before it walks it: where functions start, where jumps go, which opcodes exist,
//! what can be reached. Fields that an instruction does not use, and registers, it looks at when it walks. Which of several
//! faults it names follows from that; the same passes are made here over the bytes. Faults that only the walk finds are taken
//! out of the program, which is walked then, and said where it comes to them ([`mended`]).

use sandbpf_isa::{
    AluOp, AtomicOp, Class, Cond, DecodeError, DecodeErrorKind as Kind, Pc, Program, ProgramErrorKind, Reg,
    Size, Source, opcode, pseudo,
};

use crate::Rejected;
use crate::error::{Errno, Rejection};

/// The rejection of a program that cannot be decoded.
///
/// ```
/// use sandbpf_verifier::undecodable;
/// let code = [0xff, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// let error = sandbpf_isa::decode(&code).unwrap_err();
/// assert_eq!(undecodable(&error, &code).rejection.message, "unknown opcode ff");
/// ```
pub fn undecodable(error: &DecodeError, code: &[u8]) -> Rejected {
    let (errno, message) = match error.kind() {
        // No call of bpf(2) passes these.
        Kind::PartialSlot(_) => (Errno::Inval, error.to_string()),
        Kind::Program(ProgramErrorKind::TooLong | ProgramErrorKind::Empty) => {
            (Errno::TooBig, error.to_string())
        }
        _ => (Errno::Inval, fault(code).unwrap_or_else(|| error.to_string())),
    };
    Rejected { rejection: Rejection { errno, pc: None, message, path: Vec::new() }, ..Rejected::default() }
}

/// What is wrong with an instruction, found where the walk comes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The registers that must have been written, or that is said first.
    pub reads: Vec<Reg>,
    /// The kernel's words.
    pub message: String,
}

/// A program whose faults only the walk finds: without them, and where they are, in order.
///
/// None if Linux finds one before it walks.
///
/// ```
/// use sandbpf_verifier::mended;
/// // A move with an offset, which it does not use.
/// let code = [0xb7, 0, 1, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// let (program, faults) = mended(&code).expect("nothing else is wrong");
/// assert_eq!(program.len(), 2);
/// assert_eq!(faults[0].1.message, "BPF_MOV uses reserved fields");
/// ```
pub fn mended(code: &[u8]) -> Option<(Program, Vec<(Pc, Fault)>)> {
    if !code.len().is_multiple_of(8) {
        return None;
    }
    let slots: Vec<Slot> = code.chunks_exact(8).map(Slot::read).collect();
    let starts = functions(&slots).ok()?;
    if jumps(&slots, &starts).or_else(|| opcodes(&slots)).or_else(|| unreachable(&slots)).is_some() {
        return None;
    }
    let faults: Vec<_> = slots.iter().map(Slot::fault).collect();
    let mend = |(slot, fault): (&Slot, &Option<Fault>)| match fault {
        Some(_) => slot.mended().bytes(),
        None => slot.bytes(),
    };
    let bytes: Vec<[u8; 8]> = slots.iter().zip(&faults).map(mend).collect();
    let program = sandbpf_isa::decode(bytes.as_flattened()).ok()?;
    let faults = faults.into_iter().enumerate().filter_map(|(at, fault)| Some((at as u32, fault?)));
    let faults = faults.map(|(slot, fault)| Some((program.at_slot(slot)?, fault))).collect::<Option<_>>()?;
    Some((program, faults))
}

/// What the kernel says first.
fn fault(code: &[u8]) -> Option<String> {
    let slots: Vec<Slot> = code.chunks_exact(8).map(Slot::read).collect();
    let starts = match functions(&slots) {
        Ok(starts) => starts,
        Err(message) => return Some(message),
    };
    jumps(&slots, &starts)
        .or_else(|| opcodes(&slots))
        .or_else(|| unreachable(&slots))
        .or_else(|| slots.iter().find_map(|slot| Some(slot.fault()?.message)))
}

/// Eight bytes.
#[derive(Clone, Copy)]
struct Slot {
    opcode: u8,
    dst: u8,
    src: u8,
    off: i16,
    imm: i32,
}

const JUMP: u8 = Class::Jmp as u8 | opcode::JA;
const FAR_JUMP: u8 = Class::Jmp32 as u8 | opcode::JA;

impl Slot {
    fn read(bytes: &[u8]) -> Slot {
        Slot {
            opcode: bytes[0],
            dst: bytes[1] & 0xf,
            src: bytes[1] >> 4,
            off: i16::from_le_bytes([bytes[2], bytes[3]]),
            imm: i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }

    fn class(&self) -> Class {
        Class::decode(self.opcode)
    }

    fn is_wide(&self) -> bool {
        self.opcode == opcode::LOAD_IMM64
    }

    /// The operation of arithmetic and jumps.
    fn operation(&self) -> u8 {
        self.opcode & 0xf0
    }

    /// The mode of loads and stores.
    fn mode(&self) -> u8 {
        self.opcode & 0xe0
    }

    fn by_register(&self) -> bool {
        Source::decode(self.opcode) == Source::Reg
    }

    fn jumps(&self) -> bool {
        matches!(self.class(), Class::Jmp | Class::Jmp32)
    }

    /// Whether it goes elsewhere in its function.
    fn is_jump(&self) -> bool {
        self.jumps() && !matches!(self.operation(), opcode::CALL | opcode::EXIT)
    }

    fn is_exit(&self) -> bool {
        self.jumps() && self.operation() == opcode::EXIT
    }

    /// The function that is called or whose address is loaded, from the instruction at this place.
    fn function(&self, at: usize) -> Option<i64> {
        let calls = self.opcode == opcode::CALL_IMM && self.src == pseudo::CALL;
        let names = calls || (self.is_wide() && self.src == pseudo::FUNC);
        names.then(|| at as i64 + i64::from(self.imm) + 1)
    }

    fn target(&self, at: usize) -> i64 {
        let distance = if self.opcode == FAR_JUMP { i64::from(self.imm) } else { i64::from(self.off) };
        at as i64 + distance + 1
    }

    /// Whether Linux knows the opcode (`bpf_opcode_in_insntable`).
    fn is_known(&self) -> bool {
        let (narrow, by_register) = (Size::decode(self.opcode) != Size::DW, self.by_register());
        match self.class() {
            Class::Ld => self.is_wide() || (narrow && matches!(self.mode(), opcode::ABS | opcode::IND)),
            Class::Ldx => self.mode() == opcode::MEM || (narrow && self.mode() == opcode::MEMSX),
            Class::St => self.mode() == opcode::MEM,
            Class::Stx => matches!(self.mode(), opcode::MEM | opcode::ATOMIC),
            Class::Alu | Class::Alu64 => match self.operation() {
                opcode::NEG => !by_register,
                opcode::END => self.class() == Class::Alu || !by_register,
                operation => AluOp::decode(operation >> 4, 0).is_some(),
            },
            Class::Jmp | Class::Jmp32 => match self.operation() {
                opcode::JA => !by_register,
                opcode::CALL | opcode::EXIT | opcode::JCOND => self.class() == Class::Jmp && !by_register,
                operation => Cond::decode(operation >> 4).is_some(),
            },
        }
    }

    /// What the walk asks of fields and registers, in its order (`do_check_insn`).
    fn asks(&self) -> Vec<Ask> {
        match self.class() {
            Class::Ld => self.load_asks(),
            Class::Ldx => vec![Ask::Read(self.src), Ask::Write(self.dst)],
            Class::St => vec![reserved(self.src != 0, "BPF_ST"), Ask::Read(self.dst)],
            Class::Stx => self.store_asks(),
            Class::Alu | Class::Alu64 => self.arithmetic_asks(),
            Class::Jmp | Class::Jmp32 => self.jump_asks(),
        }
    }

    /// The first thing asked that no state can answer.
    fn fault(&self) -> Option<Fault> {
        let mut reads = Vec::new();
        for ask in self.asks() {
            match ask {
                Ask::That(true, _) => {}
                Ask::That(false, message) => return Some(Fault { reads, message }),
                Ask::Read(number) | Ask::Write(number) if number > 10 => {
                    return Some(Fault { reads, message: format!("R{number} is invalid") });
                }
                Ask::Read(number) => reads.extend(Reg::new(number)),
                Ask::Write(_) => {}
            }
        }
        None
    }

    /// The same without the fault: what goes on to the same instructions, and can be decoded.
    fn mended(mut self) -> Slot {
        let by_register = self.by_register();
        match self.class() {
            Class::Ld if self.is_wide() => self.off = 0,
            Class::Ld => {
                (self.dst, self.off) = (0, 0);
                self.src *= u8::from(self.mode() != opcode::ABS);
            }
            Class::Ldx => {}
            Class::St => self.src = 0,
            Class::Stx if self.mode() == opcode::MEM => self.imm = 0,
            Class::Stx => {
                self.opcode = Class::Stx as u8 | opcode::ATOMIC | Size::DW.encoding();
                self.imm = 0;
            }
            Class::Alu | Class::Alu64 => {
                self.off = 0;
                match self.operation() {
                    opcode::END => (self.src, self.imm) = (0, 16),
                    opcode::NEG => (self.src, self.imm) = (0, 0),
                    _ if by_register => self.imm = 0,
                    _ => self.src = 0,
                }
            }
            Class::Jmp | Class::Jmp32 => match self.operation() {
                opcode::CALL => {
                    self.off *= i16::from(self.src == pseudo::KFUNC_CALL);
                    self.src *= u8::from(self.src <= pseudo::KFUNC_CALL);
                    self.dst = 0;
                }
                opcode::JA if self.opcode == FAR_JUMP => (self.src, self.dst, self.off) = (0, 0, 0),
                opcode::EXIT | opcode::JA | opcode::JCOND => (self.src, self.dst, self.imm) = (0, 0, 0),
                _ if by_register => self.imm = 0,
                _ => self.src = 0,
            },
        }
        // A register that every program may name.
        self.dst *= u8::from(self.dst <= 10);
        self.src *= u8::from(self.src <= 10);
        self
    }

    fn bytes(&self) -> [u8; 8] {
        let ([off, off_high], [a, b, c, d]) = (self.off.to_le_bytes(), self.imm.to_le_bytes());
        [self.opcode, self.src << 4 | self.dst, off, off_high, a, b, c, d]
    }

    fn load_asks(&self) -> Vec<Ask> {
        if self.opcode == 0 {
            // The second half of what comes before.
            return Vec::new();
        }
        if self.is_wide() {
            return vec![reserved(self.off != 0, "BPF_LD_IMM64"), Ask::Write(self.dst)];
        }
        let absolute = self.mode() == opcode::ABS;
        let used = self.dst != 0 || self.off != 0 || (absolute && self.src != 0);
        // The context, which the kernel looks for in `r6`.
        let mut asks = vec![reserved(used, "BPF_LD_[ABS|IND]"), Ask::Read(6)];
        if !absolute {
            asks.push(Ask::Read(self.src));
        }
        asks
    }

    fn store_asks(&self) -> Vec<Ask> {
        let registers = [Ask::Read(self.src), Ask::Read(self.dst)];
        if self.mode() == opcode::MEM {
            return [reserved(self.imm != 0, "BPF_STX")].into_iter().chain(registers).collect();
        }
        let Some(op) = AtomicOp::decode(self.imm) else {
            return vec![Ask::That(false, format!("BPF_ATOMIC uses invalid atomic opcode {:02x}", self.imm))];
        };
        let exists = Ask::That(op.has_size(Size::decode(self.opcode)), "invalid atomic operand size".into());
        if op == AtomicOp::LoadAcquire {
            return vec![exists, Ask::Read(self.src), Ask::Write(self.dst)];
        }
        [exists].into_iter().chain(registers).collect()
    }

    fn arithmetic_asks(&self) -> Vec<Ask> {
        let (code, _) = AluOp::Mov.encoding();
        match self.operation() {
            opcode::NEG => {
                let used = self.src != 0 || self.off != 0 || self.imm != 0;
                vec![reserved(used, "BPF_NEG"), Ask::Read(self.dst)]
            }
            opcode::END => {
                let used = self.src != 0 || self.off != 0 || !matches!(self.imm, 16 | 32 | 64);
                vec![reserved(used, "BPF_END"), Ask::Read(self.dst)]
            }
            operation if operation >> 4 == code => self.copy_asks(),
            operation => {
                // An offset of 1 makes divisions signed.
                let exists = self.off == 0 || (self.off == 1 && AluOp::decode(operation >> 4, 1).is_some());
                match self.by_register() {
                    true => {
                        let unused = reserved(!exists || self.imm != 0, "BPF_ALU");
                        vec![unused, Ask::Read(self.src), Ask::Read(self.dst)]
                    }
                    false => vec![reserved(!exists || self.src != 0, "BPF_ALU"), Ask::Read(self.dst)],
                }
            }
        }
    }

    fn copy_asks(&self) -> Vec<Ask> {
        if !self.by_register() {
            let used = self.src != 0 || self.off != 0;
            return vec![reserved(used, "BPF_MOV"), Ask::Write(self.dst)];
        }
        let wide = self.class() == Class::Alu64;
        let first = if wide && self.off == opcode::ADDR_SPACE_CAST {
            let message = "addr_space_cast insn can only convert between address space 1 and 0";
            Ask::That(matches!(self.imm, 1 | 0x1_0000), message.into())
        } else {
            let extends = matches!(self.off, 0 | 8 | 16) || (wide && self.off == 32);
            reserved(!extends || self.imm != 0, "BPF_MOV")
        };
        vec![first, Ask::Read(self.src), Ask::Write(self.dst)]
    }

    fn jump_asks(&self) -> Vec<Ask> {
        let registers = self.src != 0 || self.dst != 0;
        match self.operation() {
            opcode::CALL => {
                // A kernel function may be a module's, which the offset names.
                let used = (self.off != 0 && self.src != pseudo::KFUNC_CALL)
                    || self.src > pseudo::KFUNC_CALL
                    || self.dst != 0;
                vec![reserved(used, "BPF_CALL")]
            }
            opcode::EXIT => vec![reserved(registers || self.imm != 0, "BPF_EXIT")],
            opcode::JA => {
                let other = if self.opcode == FAR_JUMP { self.off != 0 } else { self.imm != 0 };
                vec![reserved(registers || other, "BPF_JA")]
            }
            opcode::JCOND => {
                let unused = !registers && self.imm == 0;
                vec![Ask::That(unused, format!("invalid may_goto imm {}", self.imm))]
            }
            _ => {
                let by_register = self.by_register();
                let used = if by_register { self.imm != 0 } else { self.src != 0 };
                let mut asks = vec![Ask::Read(self.dst), reserved(used, "BPF_JMP/JMP32")];
                if by_register {
                    asks.push(Ask::Read(self.src));
                }
                asks
            }
        }
    }
}

/// Something that the walk asks of an instruction.
enum Ask {
    /// A register that was written.
    Read(u8),
    /// A register that may be.
    Write(u8),
    /// That it is so; or else this is said.
    That(bool, String),
}

fn reserved(used: bool, name: &str) -> Ask {
    Ask::That(!used, format!("{name} uses reserved fields"))
}

/// Where functions start, in order (`add_subprog_and_kfunc`).
fn functions(slots: &[Slot]) -> Result<Vec<usize>, String> {
    let mut starts = vec![0];
    for (at, slot) in slots.iter().enumerate() {
        let Some(start) = slot.function(at) else { continue };
        match usize::try_from(start) {
            Ok(start) if start < slots.len() => starts.push(start),
            _ => return Err("call to invalid destination".into()),
        }
    }
    starts.sort_unstable();
    starts.dedup();
    Ok(starts)
}

/// Jumps stay in their functions, and functions do not run into each other (`check_subprogs`).
fn jumps(slots: &[Slot], starts: &[usize]) -> Option<String> {
    for (number, &start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(slots.len());
        for (at, slot) in slots.iter().enumerate().take(end).skip(start) {
            let to = slot.target(at);
            if slot.is_jump() && !(start as i64..end as i64).contains(&to) {
                return Some(format!("jump out of range from insn {at} to {to}"));
            }
        }
        if !matches!(slots.get(end - 1)?.opcode, opcode::RETURN | JUMP | FAR_JUMP) {
            return Some("last insn is not an exit or jmp".into());
        }
    }
    None
}

/// Opcodes exist, and immediates of 64 bits are whole (`resolve_pseudo_ldimm64`).
fn opcodes(slots: &[Slot]) -> Option<String> {
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        at += 1;
        let extends = matches!(slot.mode(), opcode::MEM | opcode::MEMSX);
        if slot.class() == Class::Ldx && (!extends || slot.imm != 0) {
            return Some("BPF_LDX uses reserved fields".into());
        }
        if !slot.is_wide() {
            if !slot.is_known() {
                return Some(format!("unknown opcode {:02x}", slot.opcode));
            }
            continue;
        }
        let whole = |second: &&Slot| (second.opcode, second.dst, second.src, second.off) == (0, 0, 0, 0);
        let Some(second) = slots.get(at).filter(whole) else {
            return Some("invalid bpf_ld_imm64 insn".into());
        };
        at += 1;
        // Numbers, variables, functions and values of maps use both halves; maps only the first.
        let lonely = matches!(slot.src, pseudo::MAP_FD | pseudo::MAP_INDEX) && second.imm != 0;
        if slot.src > pseudo::MAP_INDEX_VALUE || lonely {
            return Some("unrecognized bpf_ld_imm64 insn".into());
        }
    }
    None
}

/// Everything is reached, and nothing but first halves (`check_cfg`).
fn unreachable(slots: &[Slot]) -> Option<String> {
    let mut reached = vec![false; slots.len()];
    let mut waiting = vec![0];
    while let Some(at) = waiting.pop() {
        let Some(slot) = slots.get(at) else { continue };
        if std::mem::replace(&mut reached[at], true) {
            continue;
        }
        let to = if slot.is_jump() { Some(slot.target(at)) } else { slot.function(at) };
        waiting.extend(to.and_then(|to| usize::try_from(to).ok()));
        if !slot.is_exit() && !matches!(slot.opcode, JUMP | FAR_JUMP) {
            waiting.push(at + if slot.is_wide() { 2 } else { 1 });
        }
    }
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        if !reached[at] {
            return Some(format!("unreachable insn {at}"));
        }
        at += 1;
        if slot.is_wide() {
            if reached.get(at) == Some(&true) {
                return Some(format!("jump into the middle of ldimm64 insn {}", at - 1));
            }
            at += 1;
        }
    }
    None
}
