//! Blocks of numbers: arithmetic, branches, loops, and what they leave in the frame.

use super::body::{Body, CONTEXT, FRAME, NUMBERS, POINTER, Points};

/// Deeper than this blocks do not nest.
const DEEPEST: usize = 3;

/// Operations of arithmetic, with the bits of their class and source left out.
const OPERATIONS: &[u8] = &[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0];
/// Conditions of jumps.
const CONDITIONS: &[u8] = &[0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];

impl Body<'_, '_> {
    /// One block.
    pub(super) fn statement(&mut self) {
        match self.source.below(40) {
            0..=5 => self.arithmetic(),
            6..=8 => self.branch(),
            9..=11 => self.spill(),
            12..=14 => self.unspill(),
            15 | 16 => self.variable_stack(),
            17 | 18 => self.bounded_loop(),
            19..=22 => self.lookup(),
            23 => self.change_map(),
            24..=26 => self.packet(),
            27 | 28 => self.context_field(),
            29 | 30 => self.sized_memory(),
            31 => self.some_call(),
            32 => self.callback(),
            33 => self.ring(),
            34 => self.dynptr(),
            35 => self.lock(),
            36 => self.socket(),
            37 => self.iterator(),
            38 => self.tail_call(),
            _ => self.through_pointer(),
        }
    }

    /// A number of some kind.
    pub(super) fn number(&mut self, dst: u8) {
        match self.source.below(6) {
            0 | 1 => {
                // Anything.
                self.helper(7);
                self.mov(dst, 0);
            }
            2 => {
                self.helper(5);
                self.mov(dst, 0);
            }
            3 => {
                self.helper(7);
                self.mov(dst, 0);
                let mask = self.source.pick(&[1, 3, 7, 15, 31, 63, 0xff, 0xfff, 0xf0, -8]);
                self.op(0x57, dst, 0, 0, mask);
            }
            4 => {
                let (low, high) = (self.source.edge(), self.source.edge());
                self.op(0x18, dst, 0, 0, low);
                self.op(0, 0, 0, 0, high);
            }
            _ => {
                let value = self.source.edge();
                self.imm(dst, value);
            }
        }
    }

    fn some_number(&mut self) -> u8 {
        self.source.pick(&NUMBERS)
    }

    /// A few operations on scratch registers, and what comes of them.
    fn arithmetic(&mut self) {
        let used: Vec<u8> = (1..=2 + self.source.below(3) as u8).collect();
        for &reg in &used {
            match self.source.below(3) {
                0 => {
                    let value = self.source.edge();
                    self.imm(reg, value);
                }
                _ => {
                    let from = self.some_number();
                    self.mov(reg, from);
                }
            }
        }
        let count = 1 + self.source.below(6);
        for _ in 0..count {
            if self.source.chance(5) {
                let jump = self.some_branch(&used);
                self.operation(&used);
                self.land(jump);
            } else {
                self.operation(&used);
            }
        }
        let (from, to) = (self.source.pick(&used), self.some_number());
        self.mov(to, from);
    }

    fn operation(&mut self, used: &[u8]) {
        let (dst, src) = (self.source.pick(used), self.source.pick(used));
        let class = self.source.pick(&[0x07, 0x07, 0x04]);
        let bits = if class == 7 { 64 } else { 32 };
        match self.source.below(12) {
            0 => {
                // Sign extension.
                let from =
                    if bits == 64 { self.source.pick(&[8, 16, 32]) } else { self.source.pick(&[8, 16]) };
                self.op(0xb8 | class, dst, src, from, 0);
            }
            1 => {
                let size = self.source.pick(&[16, 32, 64]);
                let op = self.source.pick(&[0xd4, 0xdc, 0xd7]);
                self.op(op, dst, 0, 0, size);
            }
            2 => self.op(0x80 | class, dst, 0, 0, 0),
            3 => {
                // Signed division.
                let (op, value) = (self.source.pick(&[0x30, 0x90]), self.source.pick(&[-1, 2, -7, 100]));
                self.op(op | class, dst, 0, 1, value);
            }
            4..=7 => {
                let op = self.source_op();
                self.op(op | class | 8, dst, src, 0, 0);
            }
            _ => {
                let op = self.source_op();
                let value = match op {
                    0x60 | 0x70 | 0xc0 => self.source.below(bits) as i32,
                    0x30 | 0x90 => self.source.edge() | 1,
                    _ => self.source.edge(),
                };
                self.op(op | class, dst, 0, 0, value);
            }
        }
    }

    fn source_op(&mut self) -> u8 {
        self.source.pick(OPERATIONS)
    }

    fn some_branch(&mut self, used: &[u8]) -> usize {
        let (dst, src) = (self.source.pick(used), self.source.pick(used));
        let class = self.source.pick(&[0x05, 0x05, 0x06]);
        let cond = self.source.pick(CONDITIONS);
        let by_register = self.source.chance(3);
        let value = if by_register { 0 } else { self.source.edge() };
        self.jump(
            cond | class | if by_register { 8 } else { 0 },
            dst,
            if by_register { src } else { 0 },
            value,
        )
    }

    /// Blocks on one side of a branch or on both.
    fn branch(&mut self) {
        if self.depth >= DEEPEST {
            return self.arithmetic();
        }
        self.depth += 1;
        let jump = self.some_branch(&NUMBERS);
        let points = self.points;
        self.statement();
        if self.source.chance(2) {
            let over = self.jump(0x05, 0, 0, 0);
            self.land(jump);
            let after = std::mem::replace(&mut self.points, points);
            self.statement();
            self.land(over);
            if after != self.points {
                self.points = Points::Nowhere;
            }
        } else {
            self.land(jump);
            if self.points != points {
                self.points = Points::Nowhere;
            }
        }
        self.depth -= 1;
    }

    fn bounded_loop(&mut self) {
        if self.depth >= DEEPEST {
            return self.arithmetic();
        }
        self.depth += 1;
        let count = self.source.pick(&[2, 3, 5, 8]);
        self.points = Points::Nowhere;
        let off = self.buffer(8);
        match self.source.below(4) {
            0 => {
                // It may be ended from outside.
                let head = self.slots.len();
                self.statement();
                let out = self.jump(0xe5, 0, 0, 0);
                self.jump_to(0x05, 0, 0, 0, head);
                self.land(out);
            }
            1 => {
                // The counter is in memory.
                self.op(0x7a, FRAME, 0, off, 0);
                let head = self.slots.len();
                self.statement();
                self.op(0x79, 1, FRAME, off, 0);
                self.add(1, 1);
                self.op(0x7b, FRAME, 1, off, 0);
                let op = self.source.pick(&[0xa5, 0x55, 0xb5, 0xc5]);
                self.jump_to(op, 1, 0, count, head);
            }
            _ => {
                // The counter is in a register that blocks leave alone, but for some.
                self.imm(POINTER, 0);
                let head = self.slots.len();
                let inner = self.source.below(3);
                for _ in 0..inner {
                    self.arithmetic();
                }
                if self.source.chance(3) {
                    self.spill();
                }
                self.add(POINTER, 1);
                let op = self.source.pick(&[0xa5, 0x55, 0xa6, 0xc5]);
                self.jump_to(op, POINTER, 0, count, head);
            }
        }
        self.depth -= 1;
    }

    /// Puts something into the frame.
    fn spill(&mut self) {
        let size = self.source.pick(&[8i16, 8, 8, 4, 2, 1]);
        let within = if size == 8 || self.source.chance(2) {
            0
        } else {
            size * self.source.below((8 / size) as usize) as i16
        };
        let off = self.buffer(8) + within;
        let op = match size {
            8 => 0x7b,
            4 => 0x63,
            2 => 0x6b,
            _ => 0x73,
        };
        match self.source.below(8) {
            0 if size == 8 && self.has_context => {
                self.op(op, FRAME, CONTEXT, off, 0);
                self.numbers_in &= !self.slot_bit(off);
            }
            1 => {
                let value = self.source.edge();
                self.op(op & !1, FRAME, 0, off, value);
                self.numbers_in |= self.slot_bit(off);
            }
            _ => {
                let from = self.some_number();
                self.op(op, FRAME, from, off, 0);
                self.numbers_in |= self.slot_bit(off);
            }
        }
    }

    /// Takes a number out of it.
    fn unspill(&mut self) {
        if self.numbers_in == 0 && !self.slips() {
            self.spill();
        }
        let slots: Vec<i16> = (0..32).filter(|at| self.numbers_in >> at & 1 != 0).collect();
        let at = if slots.is_empty() { 0 } else { self.source.pick(&slots) };
        let size = self.source.pick(&[8i16, 8, 8, 4, 4, 2, 1]);
        let within = size * self.source.below((8 / size) as usize) as i16;
        let op = match size {
            8 => 0x79,
            4 => self.source.pick(&[0x61, 0x81]),
            2 => self.source.pick(&[0x69, 0x89]),
            _ => self.source.pick(&[0x71, 0x91]),
        };
        let to = self.some_number();
        self.op(op, to, FRAME, -8 * (at + 1) + within, 0);
    }

    /// Writes and reads the frame at an offset that is not known exactly.
    fn variable_stack(&mut self) {
        let off = self.buffer(32);
        if !self.source.chance(4) {
            self.fill(off, 32);
        }
        self.frame(1, off);
        let from = self.some_number();
        self.mov(2, from);
        let mask = self.source.pick(&[7, 15, 16, 24, 8]);
        if !self.slips() {
            self.op(0x57, 2, 0, 0, mask);
        }
        self.op(0x0f, 1, 2, 0, 0);
        match self.source.below(4) {
            0 => self.op(0x73, 1, from, 0, 0),
            1 => self.op(0x7b, 1, from, 0, 0),
            2 => self.op(0x71, from, 1, 0, 0),
            _ => self.op(0x79, from, 1, 0, 0),
        }
    }

    /// Reads and writes behind `r7`, if it points somewhere.
    pub(super) fn through_pointer(&mut self) {
        match self.points {
            Points::Nowhere => self.arithmetic(),
            Points::Memory(size) => self.access(POINTER, size),
        }
    }

    /// One access to memory of this size.
    pub(super) fn access(&mut self, base: u8, size: i16) {
        let width = self.source.pick(&[1i16, 2, 4, 8]);
        let last = if self.slips() { size } else { (size - width).max(0) };
        let off = self.source.below(last as usize + 1) as i16 / width * width;
        let number = self.some_number();
        let sizes = width.trailing_zeros() as usize;
        match self.source.below(7) {
            0..=2 => self.op([0x71, 0x69, 0x61, 0x79][sizes], number, base, off, 0),
            3 => self.op([0x73, 0x6b, 0x63, 0x7b][sizes], base, number, off, 0),
            4 => self.op([0x72, 0x6a, 0x62, 0x7a][sizes], base, 0, off, 7),
            5 if width >= 4 => {
                let op = self.source.pick(&[0x00, 0x01, 0x40, 0x41, 0x50, 0xa0, 0xe1, 0xf1]);
                if op == 0xf1 && base != 0 {
                    self.imm(0, 1);
                }
                self.mov(3, number);
                // The value that is expected stands where the base may be.
                if base != 0 || op != 0xf1 {
                    self.op(if width == 8 { 0xdb } else { 0xc3 }, base, 3, off, op);
                }
            }
            _ => {
                // At an offset that is not known exactly.
                let mask = (size as u16 / 2).next_power_of_two() as i32 / 2 - 1;
                self.mov(2, number);
                self.op(0x57, 2, 0, 0, mask.max(0));
                self.mov(1, base);
                self.op(0x0f, 1, 2, 0, 0);
                self.op(0x71, number, 1, 0, 0);
            }
        }
    }
}
