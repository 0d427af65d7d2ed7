//! Blocks of memory: values of maps, packets, the context.

use sandbpf::abi::ProgramType;

use super::body::{Body, CONTEXT, FRAME, NUMBERS, POINTER, Points};
use super::place;

/// Fields of a context: where they are, how large, and whether they may be written.
type Fields = &'static [(i16, i16, bool)];

const SKB: Fields =
    &[(0, 4, false), (4, 4, false), (8, 4, true), (16, 4, false), (32, 4, true), (40, 4, false)];
const SKB_CB: Fields = &[(48, 4, true), (52, 4, true), (64, 4, true), (0, 4, false), (48, 8, true)];
const XDP: Fields = &[(12, 4, false), (16, 4, false), (20, 4, false)];
const REGS: Fields = &[(0, 8, false), (8, 8, false), (112, 8, false), (160, 8, false)];
const WORDS: Fields = &[(0, 8, false), (8, 8, false), (16, 8, false), (24, 4, false)];
const SOCK_ADDR: Fields = &[(0, 4, false), (4, 4, true), (24, 4, true), (28, 4, false), (36, 4, false)];
const SOCKOPT: Fields = &[(24, 4, true), (28, 4, true), (32, 4, true), (36, 4, true)];
const SYSCTL: Fields = &[(0, 4, false), (4, 4, true)];

impl Body<'_, '_> {
    pub(super) fn is_skb(&self) -> bool {
        use ProgramType::*;
        matches!(self.program_type, SchedCls | SocketFilter | CgroupSkb | LwtXmit | SkSkb)
    }

    fn fields(&self) -> Fields {
        use ProgramType::*;
        match self.program_type {
            SchedCls | LwtXmit | SkSkb => SKB,
            SocketFilter | CgroupSkb => SKB_CB,
            Xdp => XDP,
            Kprobe | PerfEvent => REGS,
            CgroupSockAddr => SOCK_ADDR,
            CgroupSockopt => SOCKOPT,
            CgroupSysctl => SYSCTL,
            _ => WORDS,
        }
    }

    /// Looks up a value and uses it.
    pub(super) fn lookup(&mut self) {
        let (map, key, value) = self.source.pick(&[
            (place::ARRAY, 4, 48i16),
            (place::HASH, 8, 16),
            (place::PERCPU, 4, 32),
            (place::LRU, 4, 64),
            (place::TRIE, 8, 8),
            (place::READ_ONLY, 4, 20),
            (place::OUTER, 4, 0),
        ]);
        let off = self.buffer(8);
        self.fill(off, 8);
        if key == 4 && self.source.chance(2) {
            let number = self.source.pick(&NUMBERS);
            self.op(0x63, FRAME, number, off, 0);
        }
        self.frame(2, off);
        self.map(1, map);
        self.helper(1);
        let keeps = self.source.chance(3);
        if keeps {
            // The test below says something of the copy too.
            self.mov(POINTER, 0);
            self.points = Points::Nowhere;
        }
        let jump = if self.slips() { None } else { Some(self.jump(0x15, 0, 0, 0)) };
        if map == place::OUTER {
            self.frame(2, off);
            self.mov(1, 0);
            self.helper(1);
            let inner = self.jump(0x15, 0, 0, 0);
            self.access(0, 48);
            self.land(inner);
        } else {
            let base = if keeps { POINTER } else { 0 };
            if map == place::READ_ONLY && !self.slips() {
                let number = self.source.pick(&NUMBERS);
                self.op(0x69, number, base, 4, 0);
            } else {
                self.access(base, value);
            }
            if keeps && map != place::READ_ONLY {
                self.points = Points::Memory(value);
                self.through_pointer();
                if self.depth < 2 && self.source.chance(3) {
                    self.depth += 1;
                    self.statement();
                    self.depth -= 1;
                }
                self.points = Points::Nowhere;
            } else if !keeps && map != place::READ_ONLY && self.source.chance(2) {
                // Spilled and taken back.
                let spare = self.buffer(8);
                self.op(0x7b, FRAME, 0, spare, 0);
                self.numbers_in &= !self.slot_bit(spare);
                self.number(NUMBERS[1]);
                self.op(0x79, 1, FRAME, spare, 0);
                self.access(1, value);
            }
        }
        if let Some(jump) = jump {
            self.land(jump);
        }
    }

    /// Changes a map.
    pub(super) fn change_map(&mut self) {
        let (map, value) =
            self.source.pick(&[(place::ARRAY, 48), (place::HASH, 16), (place::LRU, 64), (place::QUEUE, 8)]);
        let map = if self.slips() { place::READ_ONLY } else { map };
        let (key, at) = (self.buffer(8), self.buffer(64));
        if !self.slips() {
            self.fill(key, 8);
        }
        self.fill(at, value);
        let choice = self.source.below(3);
        self.map(1, map);
        if map == place::QUEUE {
            self.frame(2, at);
            self.imm(3, 0);
            self.helper(if choice == 0 { 87 } else { 88 });
            return;
        }
        self.frame(2, key);
        if choice == 0 {
            self.helper(3);
            return;
        }
        self.frame(3, at);
        self.imm(4, choice as i32 - 1);
        self.helper(2);
    }

    /// Reads and writes a packet, after a test of its bounds.
    pub(super) fn packet(&mut self) {
        if !self.has_context {
            return self.through_pointer();
        }
        let (data, end) = match self.program_type {
            ProgramType::Xdp => (0, 4),
            ProgramType::SchedCls | ProgramType::CgroupSkb | ProgramType::LwtXmit | ProgramType::SkSkb => {
                (76, 80)
            }
            ProgramType::SocketFilter => return self.packet_load(),
            _ => return self.context_field(),
        };
        if self.program_type == ProgramType::SchedCls && self.source.chance(4) {
            return self.packet_load();
        }
        self.op(0x61, 2, CONTEXT, data, 0);
        self.op(0x61, 3, CONTEXT, end, 0);
        if self.source.chance(3) {
            // A part whose length is not known.
            let number = self.source.pick(&NUMBERS);
            let mask = self.source.pick(&[0xff, 0x3c, 0xfff, 0xffff]);
            self.mov(4, number);
            self.op(0x57, 4, 0, 0, mask);
            self.op(0x0f, 2, 4, 0, 0);
        }
        let size = self.source.pick(&[1i16, 8, 14, 34, 54]);
        self.mov(1, 2);
        self.add(1, size.into());
        let writes = !matches!(self.program_type, ProgramType::CgroupSkb | ProgramType::LwtXmit);
        let width = self.source.pick(&[1i16, 2, 4, 8]).min(size);
        let width = if width.count_ones() == 1 { width } else { 1 };
        let off =
            self.source.below((size - width + 1) as usize) as i16 + if self.slips() { width } else { 0 };
        let sizes = width.trailing_zeros() as usize;
        let number = self.source.pick(&NUMBERS);
        // The same test in different words.
        let (op, a, b) =
            self.source.pick(&[(0x2d, 1, 3), (0x2d, 1, 3), (0xad, 3, 1), (0x3d, 1, 3), (0xbd, 3, 1)]);
        let jump = self.jump(op, a, b, 0);
        if writes && self.source.chance(3) {
            self.op([0x73, 0x6b, 0x63, 0x7b][sizes], 2, number, off, 0);
        } else {
            self.op([0x71, 0x69, 0x61, 0x79][sizes], number, 2, off, 0);
        }
        if self.source.chance(3) {
            self.mov(POINTER, 2);
            if self.source.chance(3) {
                self.reload();
            }
            self.op(0x71, number, POINTER, 0, 0);
            self.points = Points::Nowhere;
        }
        self.land(jump);
    }

    /// Calls what moves the packet.
    fn reload(&mut self) {
        if !self.slips() {
            return;
        }
        self.mov(1, CONTEXT);
        self.imm(2, 0);
        self.helper(if self.program_type == ProgramType::Xdp { 44 } else { 39 });
    }

    /// Loads from the packet in the old way. Not in functions that are called: Linux 6.18 loses track of frames there
    /// (such a load may end the function, which `backtrack_insn` does not know), and writes outside of its own memory.
    fn packet_load(&mut self) {
        if self.function > 0 {
            return self.through_pointer();
        }
        self.mov(6, CONTEXT);
        let off = i32::from(self.source.u8());
        let size = self.source.pick(&[0x20, 0x28, 0x30]);
        if self.source.chance(3) {
            let number = self.source.pick(&NUMBERS);
            self.op(size & 0x18 | 0x40, 0, number, 0, off);
        } else {
            self.op(size, 0, 0, 0, off);
        }
        let number = self.source.pick(&NUMBERS);
        self.mov(number, 0);
    }

    /// Reads or writes a field of the context.
    pub(super) fn context_field(&mut self) {
        if !self.has_context {
            return self.through_pointer();
        }
        let fields = self.fields();
        let (off, size, writable) = self.source.pick(fields);
        let off = if self.slips() { off + self.source.pick(&[1i16, 2, 4, 200]) } else { off };
        let number = self.source.pick(&NUMBERS);
        let writes = (writable || self.slips()) && self.source.chance(2);
        match (writes, size) {
            (true, 8) => self.op(0x7b, CONTEXT, number, off, 0),
            (true, _) => self.op(0x63, CONTEXT, number, off, 0),
            (false, 8) => self.op(0x79, number, CONTEXT, off, 0),
            _ => {
                let op = self.source.pick(&[0x61, 0x61, 0x61, 0x61, 0x69, 0x71]);
                self.op(op, number, CONTEXT, off, 0);
            }
        }
    }
}
