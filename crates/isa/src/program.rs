//! A structurally sound program: its instructions, its functions, and the way back to slots.

use alloc::{boxed::Box, vec::Vec};

use crate::{Arena, Callee, Imm64, Insn, Pc, ProgramError, ProgramErrorKind, Reg, effects::Flow};

/// Instructions whose targets exist and whose operands fit their operations.
///
/// Every engine, the verifier and the printer take a `Program`; [`decode`](crate::decode) and
/// [`Program::new`] are the only ways to make one. It is *not* verified: it may loop for ever, read
/// registers never written, dereference anything, or run off its end.
///
/// ```
/// use sandbpf_isa::{AluOp, Insn, Operand, Program, Reg, Width};
/// let program = Program::new(vec![
///     Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R0, src: Operand::Imm(7) },
///     Insn::Exit,
/// ])?;
/// assert_eq!(program.len(), 2);
/// assert_eq!(program.to_bytes(), [0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
/// # Ok::<(), sandbpf_isa::ProgramError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    insns: Box<[Insn]>,
    functions: Box<[Function]>,
    /// Slot of every instruction, and the number of slots at the end.
    slots: Box<[u32]>,
    stack: StackUse,
    arena: Option<Arena>,
}

/// A function of a program: where it starts and how far straight-line execution can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its first instruction.
    pub entry: Pc,
    /// The instruction after its last: the next function's entry, or the program's end.
    pub end: Pc,
    /// An upper bound on the instructions that run from the entry on until the function ends or
    /// jumps back. This is what a call costs of a run's budget.
    pub cost: u32,
}

/// What a program does with its stack, as far as its text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackUse {
    /// No instruction names `r10`: there is no stack.
    None,
    /// Only loads and stores below `r10`, at constant offsets, and no other memory is touched:
    /// nothing but these top bytes of a frame can ever be read.
    Top(u16),
    /// Anything.
    Whole,
}

/// How many instructions a program may have. The kernel's own limit is on verification effort
/// (a million processed); this one bounds memory.
pub const MAX_INSNS: usize = 1 << 24;

impl Program {
    /// A program of these instructions, if their targets exist, and their operands fit
    /// their operations.
    pub fn new(insns: impl Into<Box<[Insn]>>) -> Result<Program, ProgramError> {
        let insns = insns.into();
        if insns.is_empty() {
            return Err(ProgramError { pc: Pc(0), kind: ProgramErrorKind::Empty });
        }
        if insns.len() > MAX_INSNS {
            return Err(ProgramError { pc: Pc(MAX_INSNS as u32), kind: ProgramErrorKind::TooLong });
        }
        for (index, insn) in insns.iter().enumerate() {
            let pc = Pc(index as u32);
            check(insn, insns.len()).map_err(|kind| ProgramError { pc, kind })?;
        }
        let mut slots = Vec::with_capacity(insns.len() + 1);
        let mut slot = 0;
        for insn in &insns {
            slots.push(slot);
            slot += insn.slots();
        }
        slots.push(slot);
        let functions = functions(&insns, &[]);
        let stack = stack_use(&insns);
        Ok(Program { insns, functions, slots: slots.into(), stack, arena: None })
    }

    /// The same program with the numbers that a loader puts where it names maps and variables; what `number` does not
    /// know stays.
    ///
    /// ```
    /// use sandbpf_isa::{Imm64, parse};
    /// let program = parse("r1 = map[fd:3]\nexit")?;
    /// let loaded = program.with_numbers(|value| matches!(value, Imm64::Map(_)).then_some(0x1000));
    /// assert_eq!(loaded, parse("r1 = 0x1000 ll\nexit")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_numbers(mut self, number: impl Fn(Imm64) -> Option<u64>) -> Program {
        for insn in &mut self.insns {
            if let Insn::LoadImm { value, .. } = insn
                && let Some(number) = number(*value)
            {
                *value = Imm64::Number(number);
            }
        }
        self
    }

    /// The same program with an arena: what its casts and its pointers are about.
    ///
    /// ```
    /// use sandbpf_isa::{Arena, parse};
    /// let arena = Arena { map: 0, start: 1 << 44, converts: true };
    /// let program = parse("r1 = addr_space_cast(r1, 0, 1)\nexit")?.with_arena(Some(arena));
    /// assert_eq!(program.arena(), Some(arena));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_arena(mut self, arena: Option<Arena>) -> Program {
        self.arena = arena;
        self
    }

    /// The arena that the program's pointers are into, if somebody said so.
    #[inline]
    pub fn arena(&self) -> Option<Arena> {
        self.arena
    }

    /// The same program with a function that starts at `entry`, which nothing in it names: one that somebody else calls.
    ///
    /// ```
    /// use sandbpf_isa::{Pc, parse};
    /// let program = parse("r0 = 0\nexit\nr0 = r1\nexit")?;
    /// assert_eq!(program.functions().len(), 1);
    /// assert_eq!(program.with_function(Pc(2))?.functions()[1].entry, Pc(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_function(mut self, entry: Pc) -> Result<Program, ProgramError> {
        if entry.index() >= self.insns.len() {
            let last = Pc(self.insns.len() as u32 - 1);
            return Err(ProgramError { pc: last, kind: ProgramErrorKind::TargetOutside { to: entry } });
        }
        self.functions = functions(&self.insns, &[entry]);
        Ok(self)
    }

    /// The instructions.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// How many instructions there are; at least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// The instruction at `pc`, if there is one.
    pub fn get(&self, pc: Pc) -> Option<&Insn> {
        self.insns.get(pc.index())
    }

    /// The functions in order; the first starts at 0 and is where a run starts.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The function that starts at `pc`.
    pub fn function_at(&self, pc: Pc) -> Option<&Function> {
        self.functions.binary_search_by_key(&pc, |f| f.entry).ok().map(|i| &self.functions[i])
    }

    /// The function that `pc` lies in.
    pub fn function_of(&self, pc: Pc) -> &Function {
        let after = self.functions.partition_point(|f| f.entry <= pc);
        &self.functions[after.saturating_sub(1)]
    }

    /// The 8-byte slot where the instruction at `pc` starts; for `pc` = [`Program::len`], the number
    /// of slots.
    pub fn slot(&self, pc: Pc) -> u32 {
        self.slots[pc.index()]
    }

    /// The instruction that starts at this slot, if one does.
    pub fn at_slot(&self, slot: u32) -> Option<Pc> {
        let found = self.slots.binary_search(&slot).ok()?;
        (found < self.insns.len()).then_some(Pc(found as u32))
    }

    /// How many 8-byte slots the encoded program has: what Linux calls `insn_cnt`.
    pub fn slot_count(&self) -> u32 {
        self.slots[self.insns.len()]
    }

    /// What the program does with its stack.
    pub fn stack_use(&self) -> StackUse {
        self.stack
    }
}

/// What [`Program::new`] demands of one instruction in a program of `len`.
fn check(insn: &Insn, len: usize) -> Result<(), ProgramErrorKind> {
    let inside = |to: Pc| to.index() < len;
    let target = match *insn {
        Insn::Alu { op, src, .. } if op.register_only() && src.reg().is_none() => {
            return Err(ProgramErrorKind::NoSuchForm);
        }
        Insn::Alu { op, width, .. } if !op.has_width(width) => return Err(ProgramErrorKind::NoSuchForm),
        Insn::Atomic { op, size, .. } if !op.has_size(size) => return Err(ProgramErrorKind::NoSuchForm),
        Insn::LoadPacket { size: crate::Size::DW, .. } => return Err(ProgramErrorKind::NoSuchForm),
        Insn::Load { size: crate::Size::DW, extend: crate::Extend::Sign, .. } => {
            return Err(ProgramErrorKind::NoSuchForm);
        }
        Insn::LoadImm { value: Imm64::Function(to), .. } => Some(to),
        Insn::Call { callee: Callee::Local(to) } => Some(to),
        _ => insn.target(),
    };
    match target {
        Some(to) if !inside(to) => Err(ProgramErrorKind::TargetOutside { to }),
        _ => Ok(()),
    }
}

/// The functions: entry 0 and whatever is called or whose address is taken.
fn functions(insns: &[Insn], more: &[Pc]) -> Box<[Function]> {
    let mut entries: Vec<Pc> = insns
        .iter()
        .filter_map(|insn| match *insn {
            Insn::Call { callee: Callee::Local(to) } => Some(to),
            Insn::LoadImm { value: Imm64::Function(to), .. } => Some(to),
            _ => None,
        })
        .chain([Pc(0)])
        .chain(more.iter().copied())
        .collect();
    entries.sort_unstable();
    entries.dedup();
    let ends = entries.iter().skip(1).copied().chain([Pc(insns.len() as u32)]);
    entries
        .iter()
        .zip(ends)
        .map(|(&entry, end)| Function { entry, end, cost: cost(insns, entry, end) })
        .collect()
}

/// How far execution that never jumps back can get from `entry`, in instructions.
///
/// A function that stays inside its own text costs its length. One that jumps or falls out of it
/// (Linux refuses it, RFC 9669 does not) is charged to the end of the program.
fn cost(insns: &[Insn], entry: Pc, end: Pc) -> u32 {
    let body = &insns[entry.index()..end.index()];
    let leaves = body.iter().filter_map(|insn| insn.target()).any(|to| to < entry || to >= end);
    let falls =
        body.last().is_some_and(|insn| insn.flow() != Flow::Stop && !matches!(insn, Insn::Jump { .. }));
    let last = if leaves || falls { insns.len() as u32 } else { end.0 };
    last - entry.0
}

fn stack_use(insns: &[Insn]) -> StackUse {
    let mut top = None;
    for insn in insns {
        let below = match *insn {
            Insn::Load { size, base: Reg::R10, off, .. } => below(off, size),
            Insn::Store { size, base: Reg::R10, off, src } if src != Reg::R10.into() => below(off, size),
            Insn::Load { .. } | Insn::Store { .. } | Insn::Atomic { .. } => None,
            // A callee could be handed an address, or read a frame that is not its own.
            Insn::Call { .. } => None,
            _ if insn.reads().contains(Reg::R10) => None,
            _ => continue,
        };
        match below {
            Some(bytes) => top = Some(top.unwrap_or(0).max(bytes)),
            None if insns.iter().any(|insn| insn.reads().contains(Reg::R10)) => return StackUse::Whole,
            None => return StackUse::None,
        }
    }
    top.map_or(StackUse::None, StackUse::Top)
}

/// How many bytes below `r10` an access reaches, if it stays in the frame.
fn below(off: i16, size: crate::Size) -> Option<u16> {
    let reach = -i32::from(off);
    (reach >= i32::from(size.bytes()) && reach <= crate::FRAME_SIZE as i32).then_some(reach as u16)
}
