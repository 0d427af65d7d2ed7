//! A program under construction: instructions, jumps that do not know their targets yet, functions.

use sandbpf::abi::ProgramType;

use crate::generate::Source;

/// The register that keeps the context.
pub(super) const CONTEXT: u8 = 6;
/// The one that keeps some pointer.
pub(super) const POINTER: u8 = 7;
/// Those that keep numbers.
pub(super) const NUMBERS: [u8; 2] = [8, 9];
pub(super) const FRAME: u8 = 10;

/// What `r7` points to, as far as the one who writes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Points {
    Nowhere,
    /// To so many bytes.
    Memory(i16),
}

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The program itself or a function that it calls: `r1` is the context.
    Called,
    /// Called by a helper with a number and a pointer.
    LoopCallback,
    /// Called by a helper with map, key, value and a pointer.
    ElementCallback,
}

pub(super) struct Body<'s, 'b> {
    pub(super) source: &'s mut Source<'b>,
    pub(super) program_type: ProgramType,
    /// One mistake in so many chances; 0 for none.
    clumsiness: usize,
    pub(super) slots: Vec<[u8; 8]>,
    pub(super) maps: Vec<(usize, usize)>,
    pub(super) kfuncs: Vec<(usize, &'static str)>,
    pub(super) starts: Vec<u32>,
    /// Slots that name a function, which may stand further down.
    calls: Vec<(usize, usize)>,
    pub(super) roles: Vec<Role>,
    /// The function that is written.
    pub(super) function: usize,
    pub(super) points: Points,
    pub(super) depth: usize,
    /// How deep the frame may be.
    pub(super) room: i16,
    /// Which slots of the frame hold numbers.
    pub(super) numbers_in: u64,
    /// Whether the frame knows its context.
    pub(super) has_context: bool,
    /// Iterators that are being walked.
    pub(super) iterators: i16,
}

impl<'s, 'b> Body<'s, 'b> {
    pub(super) fn new(
        source: &'s mut Source<'b>,
        program_type: ProgramType,
        clumsiness: usize,
        functions: usize,
        callbacks: usize,
    ) -> Self {
        let mut roles = vec![Role::Called; functions];
        for _ in 0..callbacks {
            roles.push(source.pick(&[Role::LoopCallback, Role::ElementCallback]));
        }
        Body {
            source,
            program_type,
            clumsiness,
            slots: Vec::new(),
            maps: Vec::new(),
            kfuncs: Vec::new(),
            starts: Vec::new(),
            calls: Vec::new(),
            roles,
            function: 0,
            points: Points::Nowhere,
            depth: 0,
            room: 0,
            numbers_in: 0,
            has_context: true,
            iterators: 0,
        }
    }

    /// Writes all functions.
    pub(super) fn write(&mut self) {
        for function in 0..self.roles.len() {
            self.function = function;
            self.starts.push(self.slots.len() as u32);
            self.write_function();
        }
        for &(slot, to) in &self.calls {
            let distance = self.starts[to] as i32 - slot as i32 - 1;
            self.slots[slot][4..].copy_from_slice(&distance.to_le_bytes());
        }
    }

    /// Where functions start that somebody calls.
    pub(super) fn called(&self) -> Vec<u32> {
        let is_called = |at: usize| at == 0 || self.calls.iter().any(|&(_, to)| to == at);
        self.starts.iter().enumerate().filter(|(at, _)| is_called(*at)).map(|(_, &start)| start).collect()
    }

    fn write_function(&mut self) {
        let role = self.roles[self.function];
        self.points = Points::Nowhere;
        self.has_context = role == Role::Called;
        self.numbers_in = 0;
        self.iterators = 0;
        self.room = if self.function == 0 { 256 } else { 64 };
        match role {
            Role::Called => {
                self.mov(CONTEXT, 1);
                if self.function == 0 {
                    self.numbers();
                    self.call_unused();
                } else {
                    self.mov(NUMBERS[0], 2);
                    self.mov(NUMBERS[1], 4);
                    self.mov(POINTER, 3);
                    self.points = Points::Memory(16);
                }
            }
            Role::LoopCallback => {
                self.mov(NUMBERS[0], 1);
                self.mov(POINTER, 2);
                self.imm(NUMBERS[1], 3);
                self.points = Points::Memory(16);
            }
            Role::ElementCallback => {
                self.mov(POINTER, 3);
                self.op(0x61, NUMBERS[0], 2, 0, 0);
                self.imm(NUMBERS[1], 5);
                self.points = Points::Memory(16);
            }
        }
        let most = if self.function == 0 { 12 } else { 5 };
        let count = 1 + self.source.below(most);
        for _ in 0..count {
            self.statement();
        }
        self.leave(role);
    }

    /// Calls what must be called, once.
    fn call_unused(&mut self) {
        for to in 1..self.roles.len() {
            if self.source.below(16) > 0 {
                self.call_function(to);
            }
        }
    }

    /// Numbers for the registers that keep them.
    fn numbers(&mut self) {
        for number in NUMBERS {
            self.number(number);
        }
    }

    /// The end of a function, with what it may return.
    fn leave(&mut self, role: Role) {
        match (role, self.source.below(6)) {
            (Role::Called, 0) => self.mov(0, 8),
            (Role::Called, 1) => {
                self.mov(0, 9);
                self.op(0x57, 0, 0, 0, 1);
            }
            (_, 2) => {
                self.imm(0, 0);
                self.op(0x15, NUMBERS[0], 0, 1, 7);
                self.imm(0, 1);
            }
            (_, choice) => self.imm(0, (choice & 1) as i32),
        }
        self.op(0x95, 0, 0, 0, 0);
    }

    /// Whether a mistake is made here.
    pub(super) fn slips(&mut self) -> bool {
        self.clumsiness > 0 && self.source.chance(self.clumsiness)
    }

    pub(super) fn op(&mut self, op: u8, dst: u8, src: u8, off: i16, imm: i32) {
        let (off, imm) = (off.to_le_bytes(), imm.to_le_bytes());
        self.slots.push([op, src << 4 | dst, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]);
    }

    pub(super) fn mov(&mut self, dst: u8, src: u8) {
        self.op(0xbf, dst, src, 0, 0);
    }

    pub(super) fn imm(&mut self, dst: u8, value: i32) {
        self.op(0xb7, dst, 0, 0, value);
    }

    pub(super) fn add(&mut self, dst: u8, value: i32) {
        self.op(0x07, dst, 0, 0, value);
    }

    /// A pointer into the frame.
    pub(super) fn frame(&mut self, dst: u8, off: i16) {
        self.mov(dst, FRAME);
        self.add(dst, off.into());
    }

    pub(super) fn helper(&mut self, number: i32) {
        self.op(0x85, 0, 0, 0, number);
    }

    pub(super) fn kfunc(&mut self, name: &'static str) {
        self.kfuncs.push((self.slots.len(), name));
        self.op(0x85, 0, 2, 0, 0);
    }

    pub(super) fn map(&mut self, dst: u8, place: usize) {
        self.maps.push((self.slots.len(), place));
        self.op(0x18, dst, 1, 0, 0);
        self.op(0, 0, 0, 0, 0);
    }

    /// Loads the address of a function.
    pub(super) fn function_address(&mut self, dst: u8, to: usize) {
        self.calls.push((self.slots.len(), to));
        self.op(0x18, dst, 4, 0, 0);
        self.op(0, 0, 0, 0, 0);
    }

    pub(super) fn local_call(&mut self, to: usize) {
        self.calls.push((self.slots.len(), to));
        self.op(0x85, 0, 1, 0, 0);
    }

    /// A jump whose target is where [`Body::land`] is called.
    pub(super) fn jump(&mut self, op: u8, dst: u8, src: u8, imm: i32) -> usize {
        self.op(op, dst, src, 0, imm);
        self.slots.len() - 1
    }

    pub(super) fn land(&mut self, jump: usize) {
        let distance = (self.slots.len() - jump - 1) as i16;
        self.slots[jump][2..4].copy_from_slice(&distance.to_le_bytes());
    }

    /// A jump back.
    pub(super) fn jump_to(&mut self, op: u8, dst: u8, src: u8, imm: i32, to: usize) {
        let distance = to as i32 - self.slots.len() as i32 - 1;
        self.op(op, dst, src, distance as i16, imm);
    }

    /// A place in the frame for so many bytes, mostly aligned.
    pub(super) fn buffer(&mut self, size: i16) -> i16 {
        let slots = (self.room - size) / 8;
        let at = if slots <= 0 { 0 } else { self.source.below(slots as usize) as i16 };
        -(at * 8 + (size + 7) / 8 * 8)
    }

    /// Fills so many bytes of the frame.
    pub(super) fn fill(&mut self, off: i16, size: i16) {
        for at in (0..size).step_by(8) {
            let value = self.source.u8() as i32 & 15;
            self.op(0x7a, FRAME, 0, off + at, value);
            self.numbers_in |= self.slot_bit(off + at);
        }
    }

    pub(super) fn slot_bit(&self, off: i16) -> u64 {
        1 << ((-off - 1) / 8).clamp(0, 63)
    }
}
