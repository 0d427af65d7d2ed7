//! Blocks of calls: helpers with memory, functions, callbacks, and what must be given back.

use sandbpf::abi::ProgramType;

use super::body::{Body, CONTEXT, NUMBERS, POINTER, Points, Role};
use super::place;

impl Body<'_, '_> {
    /// A number of bytes in this register, at most so many.
    fn size(&mut self, dst: u8, most: i16) {
        match self.source.below(3) {
            0 => {
                let size = 1 + self.source.below(most as usize) as i32;
                self.imm(dst, size);
            }
            1 => {
                let number = self.source.pick(&NUMBERS);
                self.mov(dst, number);
                let mask = (most as u16 / 2 + 1).next_power_of_two() as i32 - 1;
                self.op(0x57, dst, 0, 0, mask);
                if !self.slips() {
                    self.add(dst, 1);
                }
            }
            _ => {
                let number = self.source.pick(&NUMBERS);
                self.mov(dst, number);
                // Whatever is too large is made small.
                let over = self.jump(0xb5, dst, 0, i32::from(most));
                self.imm(dst, most.into());
                self.land(over);
                let over = self.jump(0x55, dst, 0, 0);
                self.imm(dst, 1);
                self.land(over);
            }
        }
    }

    /// A helper that reads or writes so many bytes.
    pub(super) fn sized_memory(&mut self) {
        use ProgramType::*;
        let most = self.source.pick(&[8i16, 16, 33, 48]);
        let off = self.buffer(56);
        self.fill(off, 56);
        let traces = matches!(self.program_type, Kprobe | Tracepoint | RawTracepoint | PerfEvent | Syscall);
        match self.source.below(5) {
            0 if self.is_skb() && self.has_context => {
                self.size(4, most);
                self.mov(1, CONTEXT);
                self.imm(2, 0);
                self.frame(3, off);
                self.helper(26);
            }
            0 | 1 if traces => {
                self.size(2, most);
                self.frame(1, off);
                self.imm(3, 0);
                self.helper(113);
            }
            2 if self.has_context => {
                self.size(5, most);
                self.mov(1, CONTEXT);
                self.map(2, place::EVENTS);
                self.op(0x18, 3, 0, 0, -1);
                self.op(0, 0, 0, 0, 0);
                self.frame(4, off);
                self.helper(25);
            }
            3 if traces && self.has_context => {
                self.mov(1, CONTEXT);
                self.map(2, place::TRACES);
                self.imm(3, 0);
                self.helper(27);
            }
            _ => {
                self.size(3, most);
                self.map(1, place::RING);
                self.frame(2, off);
                self.imm(4, 0);
                self.helper(130);
            }
        }
        let number = self.source.pick(&NUMBERS);
        self.mov(number, 0);
    }

    /// Calls one of the functions behind this one.
    pub(super) fn some_call(&mut self) {
        let behind: Vec<usize> = (self.function + 1..self.roles.len()).collect();
        if behind.is_empty() || self.depth > 2 {
            return self.sized_memory();
        }
        let to = self.source.pick(&behind);
        self.call_function(to);
    }

    /// Calls a function the way it wants to be called.
    pub(super) fn call_function(&mut self, to: usize) {
        let off = self.buffer(16);
        if !self.slips() {
            self.fill(off, 16);
        }
        match self.roles[to] {
            Role::Called if !self.has_context => {}
            Role::Called => {
                self.mov(1, CONTEXT);
                self.mov(2, NUMBERS[0]);
                self.frame(3, off);
                match self.source.below(3) {
                    0 => self.imm(4, 7),
                    _ => self.mov(4, NUMBERS[1]),
                }
                self.local_call(to);
                let number = self.source.pick(&NUMBERS);
                self.mov(number, 0);
            }
            Role::LoopCallback => {
                match self.source.below(3) {
                    0 => self.mov(1, NUMBERS[0]),
                    _ => {
                        let count = self.source.pick(&[0, 1, 4, 100]);
                        self.imm(1, count);
                    }
                }
                self.function_address(2, to);
                self.frame(3, off);
                self.imm(4, 0);
                self.helper(181);
            }
            Role::ElementCallback => {
                let map = self.source.pick(&[place::ARRAY, place::HASH, place::LRU]);
                self.map(1, map);
                self.function_address(2, to);
                self.frame(3, off);
                self.imm(4, 0);
                self.helper(164);
            }
        }
    }

    pub(super) fn callback(&mut self) {
        let here = self.function + 1;
        let callbacks: Vec<usize> =
            (here..self.roles.len()).filter(|&at| self.roles[at] != Role::Called).collect();
        if callbacks.is_empty() || self.depth > 2 {
            return self.sized_memory();
        }
        let to = self.source.pick(&callbacks);
        self.call_function(to);
    }

    /// A record of a ring buffer.
    pub(super) fn ring(&mut self) {
        let size = self.source.pick(&[8i16, 16, 24]);
        self.map(1, place::RING);
        self.imm(2, size.into());
        self.imm(3, 0);
        self.helper(131);
        let jump = if self.slips() { None } else { Some(self.jump(0x15, 0, 0, 0)) };
        self.access(0, size);
        if self.source.chance(2) {
            // What happens in between does not know of it.
            self.mov(POINTER, 0);
            self.points = Points::Memory(size);
            self.through_pointer();
            if self.depth < 2 && self.iterators == 0 && self.source.chance(2) {
                self.depth += 2;
                self.through_pointer();
                self.sized_memory();
                self.depth -= 2;
            }
            self.mov(1, POINTER);
            self.points = Points::Nowhere;
        } else {
            self.mov(1, 0);
        }
        if !self.slips() {
            self.imm(2, 0);
            let helper = self.source.pick(&[132, 133]);
            self.helper(helper);
        }
        if let Some(jump) = jump {
            self.land(jump);
        }
    }

    pub(super) fn dynptr(&mut self) {
        let (pointer, buffer) = (-248, self.buffer(16));
        if self.function > 0 || self.depth > 1 || self.iterators > 0 {
            return self.sized_memory();
        }
        self.fill(buffer, 16);
        self.map(1, place::RING);
        self.size(2, 64);
        self.imm(3, 0);
        self.frame(4, pointer - 8);
        self.helper(198);
        match self.source.below(3) {
            0 => {
                self.frame(1, buffer);
                self.imm(2, 8);
                self.frame(3, pointer - 8);
                self.imm(4, 0);
                self.imm(5, 0);
                self.helper(201);
            }
            1 => {
                self.frame(1, pointer - 8);
                self.imm(2, 0);
                self.frame(3, buffer);
                self.imm(4, 8);
                self.imm(5, 0);
                self.helper(202);
            }
            _ => {
                self.frame(1, pointer - 8);
                self.imm(2, 0);
                self.imm(3, 8);
                self.helper(203);
                let jump = self.jump(0x15, 0, 0, 0);
                self.access(0, 8);
                self.land(jump);
            }
        }
        if !self.slips() {
            self.frame(1, pointer - 8);
            self.imm(2, 0);
            let helper = self.source.pick(&[199, 200]);
            self.helper(helper);
        }
    }

    pub(super) fn lock(&mut self) {
        use ProgramType::*;
        let may_not =
            matches!(self.program_type, SocketFilter | Kprobe | Tracepoint | RawTracepoint | PerfEvent);
        if self.depth > 2 || (may_not && !self.slips()) {
            return self.sized_memory();
        }
        let off = self.buffer(8);
        self.fill(off, 8);
        self.frame(2, off);
        self.map(1, place::LOCKED);
        self.helper(1);
        let jump = self.jump(0x15, 0, 0, 0);
        self.mov(POINTER, 0);
        self.points = Points::Nowhere;
        self.mov(1, 0);
        self.add(1, 4);
        self.helper(93);
        self.op(0x7a, POINTER, 0, 8, 1);
        if self.slips() {
            self.sized_memory();
        }
        if !self.slips() {
            self.mov(1, POINTER);
            self.add(1, 4);
            self.helper(94);
        }
        self.land(jump);
    }

    /// Looks for a socket.
    pub(super) fn socket(&mut self) {
        use ProgramType::*;
        if !matches!(self.program_type, Xdp | SchedCls | SkSkb | CgroupSockAddr) || !self.has_context {
            return self.sized_memory();
        }
        let off = self.buffer(16);
        self.fill(off, 16);
        self.mov(1, CONTEXT);
        self.frame(2, off);
        self.imm(3, 12);
        self.imm(4, -1);
        self.imm(5, 0);
        self.helper(84);
        let jump = if self.slips() { None } else { Some(self.jump(0x15, 0, 0, 0)) };
        let number = self.source.pick(&NUMBERS);
        let field = self.source.pick(&[4, 8, 12, 16, 20]);
        self.op(0x61, number, 0, field, 0);
        if !self.slips() {
            self.mov(1, 0);
            self.helper(86);
        }
        if let Some(jump) = jump {
            self.land(jump);
        }
    }

    /// Walks over numbers.
    pub(super) fn iterator(&mut self) {
        if self.iterators > 0 || self.depth > 1 || self.function > 0 {
            return self.sized_memory();
        }
        let at = -272;
        self.iterators += 1;
        self.depth += 1;
        self.points = Points::Nowhere;
        self.frame(1, at);
        self.imm(2, 0);
        let last = self.source.pick(&[1, 3, 10]);
        self.imm(3, last);
        self.kfunc("bpf_iter_num_new");
        let head = self.slots.len();
        self.frame(1, at);
        self.kfunc("bpf_iter_num_next");
        let out = self.jump(0x15, 0, 0, 0);
        self.op(0x61, NUMBERS[0], 0, 0, 0);
        let inner = self.source.below(3);
        for _ in 0..inner {
            self.statement();
            self.points = Points::Nowhere;
        }
        self.jump_to(0x05, 0, 0, 0, head);
        self.land(out);
        if !self.slips() {
            self.frame(1, at);
            self.kfunc("bpf_iter_num_destroy");
        }
        self.iterators -= 1;
        self.depth -= 1;
    }

    pub(super) fn tail_call(&mut self) {
        if !self.has_context || self.iterators > 0 || (self.function > 0 && !self.slips()) {
            return self.sized_memory();
        }
        self.mov(1, CONTEXT);
        self.map(2, place::PROGRAMS);
        match self.source.below(2) {
            0 => self.imm(3, 1),
            _ => self.mov(3, NUMBERS[1]),
        }
        self.helper(12);
    }
}
