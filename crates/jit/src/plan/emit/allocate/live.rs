//! Where variables live.
//!
//! Instruction `i` reads its operands at position `2i` and has its result from `2i + 1` on; a variable lives in ranges of
//! positions, as long as somebody reads it later. From each block that reads what it does not compute a walk goes up to where
//! it is computed: the work is in proportion to the number of blocks that variables live in.

use sandbpf_isa::AtomicOp;

use super::super::inst::{Body, Given, Inst, Kind, Op, Var};
use super::super::machine::reg;
use super::super::nest::NONE;

/// Positions from the first on and before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A part of a list that is shared by many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Slice {
    pub(crate) fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.first as usize..(self.first + self.count) as usize]
    }
}

/// Why two variables would best be in the same register, the best reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// An edge back to the head of a loop gives the one to the other.
    Back,
    /// An edge does.
    Edge,
    /// An instruction computes the one in the place of the other.
    Inst,
}

/// Loops deeper than so many are all the same.
const DEEPEST: u8 = 5;

/// Where all variables live.
#[derive(Debug)]
pub(crate) struct Lives {
    pub(crate) ranges: Vec<Range>,
    /// For every variable, its ranges in order.
    pub(crate) of: Vec<Slice>,
    /// The segments at whose beginning variables live …
    pub(crate) entered: Vec<u32>,
    /// … of every variable.
    pub(crate) enters: Vec<Slice>,
    /// For every register, where instructions want it by name.
    pub(crate) reserved: [Vec<Range>; 16],
    /// Pairs of variables that would best be in the same register, by how much that matters, the least first.
    pub(crate) friends: Vec<Vec<(u32, u32)>>,
    /// For every variable, the register that it is copied from or to.
    pub(crate) wishes: Vec<Option<u8>>,
    /// For every variable, how often it is read and computed, loops counted many times.
    pub(crate) weights: Vec<f32>,
}

/// A read of a variable in a segment that does not compute it.
#[derive(Clone, Copy)]
struct Remote {
    segment: u32,
    /// Where its last read is over.
    to: u32,
    next: u32,
}

/// As they are found.
struct Finder<'b> {
    body: &'b Body,
    /// Where every variable is computed: its segment and position.
    homes: Vec<(u32, u32)>,
    /// Where it is last read in its own segment.
    last: Vec<u32>,
    /// The last read noted elsewhere.
    remote: Vec<u32>,
    remotes: Vec<Remote>,
    lives: Lives,
    /// Registers that hold something for a later instruction, since when.
    held: [u32; 16],
}

/// How much more an instruction in a loop counts.
pub(crate) fn weight(depth: u8) -> f32 {
    [1.0, 8.0, 64.0, 512.0, 4096.0, 32768.0][usize::from(depth.min(DEEPEST))]
}

pub(crate) fn find(body: &Body) -> Lives {
    let count = body.kinds.len();
    let lives = Lives {
        ranges: Vec::with_capacity(count + count / 2),
        of: vec![Slice::default(); count],
        entered: Vec::new(),
        enters: vec![Slice::default(); count],
        reserved: Default::default(),
        friends: vec![Vec::new(); 3 * (usize::from(DEEPEST) + 1)],
        wishes: vec![None; count],
        weights: vec![0.0; count],
    };
    let mut finder = Finder {
        body,
        homes: homes(body),
        last: vec![0; count],
        remote: vec![NONE; count],
        remotes: Vec::new(),
        lives,
        held: [0; 16],
    };
    for segment in 0..body.segments.len() {
        finder.segment(segment as u32);
    }
    finder.ranges();
    finder.lives
}

/// Where variables are computed.
fn homes(body: &Body) -> Vec<(u32, u32)> {
    let mut homes = vec![(NONE, 0); body.kinds.len()];
    for (number, segment) in body.segments.iter().enumerate() {
        for index in segment.first..segment.end {
            if let Some(var) = body.insts[index as usize].dst.index()
                && homes[var].0 == NONE
            {
                homes[var] = (number as u32, 2 * index + 1);
            }
        }
        for way in segment.ways.into_iter().flatten() {
            let first = 2 * body.segments[way.to as usize].first;
            for (param, _) in body.given(way) {
                if let Some(var) = param.index() {
                    homes[var] = (way.to, first);
                }
            }
        }
    }
    homes
}

impl Finder<'_> {
    fn segment(&mut self, number: u32) {
        let segment = self.body.segments[number as usize];
        let depth = if segment.cold { 0 } else { segment.depth };
        let weight = if segment.cold { 0.1 } else { weight(depth) };
        for index in segment.first..segment.end {
            let inst = &self.body.insts[index as usize];
            self.inst(inst, index, number, depth, weight);
        }
        for way in segment.ways.into_iter().flatten() {
            let tie = if way.to <= number { Tie::Back } else { Tie::Edge };
            for &(param, given) in self.body.given(way) {
                if let Given::Var(var) = given {
                    self.read(var, 2 * segment.end, number, weight);
                    self.befriend(param, var, tie, depth);
                }
            }
        }
    }

    #[inline]
    fn inst(&mut self, inst: &Inst, index: u32, number: u32, depth: u8, weight: f32) {
        let at = 2 * index;
        inst.uses(|used| match used.var.as_real() {
            Some(register) => self.release(register, at + 1),
            None => self.read(used.var, at + 1 + u32::from(used.late), number, weight),
        });
        self.fixed(inst, at);
        match inst.dst.as_real() {
            Some(register) => self.held[usize::from(register)] = at + 1,
            None => {
                if let Some(var) = inst.dst.index() {
                    self.lives.weights[var] += weight;
                    if self.body.kinds[var] == Kind::Budget {
                        self.read(inst.dst, at + 2, number, 0.0);
                    }
                }
            }
        }
        if inst.op == Op::Copy || inst.tied() {
            self.befriend(inst.dst, inst.a, Tie::Inst, depth);
            if inst.commutes() {
                self.befriend(inst.dst, inst.b, Tie::Inst, depth);
            }
        }
    }

    /// Registers that an instruction wants or changes without saying so in its operands.
    fn fixed(&mut self, inst: &Inst, at: u32) {
        match inst.op {
            Op::Divide { .. } => {
                for register in [reg::RAX, reg::RDX] {
                    self.reserve(register, at, at + 2);
                    self.held[usize::from(register)] = at + 1;
                }
            }
            Op::MulHigh => {
                self.release(reg::RAX, at + 1);
                for register in [reg::RAX, reg::RDX] {
                    self.reserve(register, at, at + 2);
                    self.held[usize::from(register)] = at + 1;
                }
            }
            // The result may not replace the count.
            Op::ShiftCl(_) => self.reserve(reg::RCX, at, at + 2),
            Op::Atomic(op, _) if compares(op) => {
                if op == AtomicOp::Cmpxchg {
                    self.release(reg::RAX, at + 1);
                }
                self.reserve(reg::RAX, at, at + 2);
                self.held[usize::from(reg::RAX)] = at + 1;
            }
            Op::Call => self.call(&reg::ARGUMENTS, at),
            Op::CallPlain => self.call(&reg::PLAIN_ARGUMENTS, at),
            Op::Bulk => self.call(self.body.bulks[inst.imm as usize].arguments(), at),
            Op::Fill => {
                for register in [reg::RAX, reg::RCX, reg::RDI] {
                    self.release(register, at + 1);
                    self.reserve(register, at, at + 2);
                }
            }
            _ => {}
        }
    }

    /// An instruction that takes arguments in registers and may change all that functions may change.
    fn call(&mut self, arguments: &[u8], at: u32) {
        for &register in arguments {
            self.release(register, at + 1);
        }
        for register in reg::CHANGED {
            self.reserve(register, at, at + 2);
        }
        self.held[usize::from(reg::RAX)] = at + 1;
    }

    /// A register that was held is read for the last time, or again.
    fn release(&mut self, register: u8, to: u32) {
        let from = self.held[usize::from(register)];
        self.reserve(register, from, to);
    }

    fn reserve(&mut self, register: u8, from: u32, to: u32) {
        if register == reg::RSP {
            return;
        }
        let reserved = &mut self.lives.reserved[usize::from(register)];
        match reserved.last_mut() {
            Some(last) if last.to >= from => {
                last.from = last.from.min(from);
                last.to = last.to.max(to);
            }
            _ => reserved.push(Range { from, to }),
        }
    }

    #[inline]
    fn read(&mut self, var: Var, to: u32, segment: u32, weight: f32) {
        let Some(var) = var.index() else { return };
        self.lives.weights[var] += weight;
        if self.homes[var].0 == segment {
            self.last[var] = self.last[var].max(to);
            return;
        }
        let known = self.remote[var];
        if known != NONE && self.remotes[known as usize].segment == segment {
            let last = &mut self.remotes[known as usize].to;
            *last = (*last).max(to);
            return;
        }
        self.remote[var] = self.remotes.len() as u32;
        self.remotes.push(Remote { segment, to, next: known });
    }

    fn befriend(&mut self, a: Var, b: Var, tie: Tie, depth: u8) {
        match (a.index(), b.index(), a.as_real(), b.as_real()) {
            (Some(a), Some(b), ..) => {
                let worth = 3 * usize::from(depth.min(DEEPEST)) + 2 - tie as usize;
                self.lives.friends[worth].push((a as u32, b as u32));
            }
            (Some(var), None, _, Some(register)) | (None, Some(var), Some(register), _) => {
                self.lives.wishes[var] = Some(register);
            }
            _ => {}
        }
    }

    /// The ranges of all variables.
    fn ranges(&mut self) {
        let segments = self.body.segments.len();
        // For every segment: the variable that was last found to live at its beginning, at its end, and how far otherwise.
        let mut begins = vec![NONE; segments];
        let mut ends = vec![NONE; segments];
        let mut reads = vec![0u32; segments];
        let mut work: Vec<u32> = Vec::new();
        for var in 0..self.homes.len() {
            let (home, from) = self.homes[var];
            if home == NONE {
                continue;
            }
            let first = self.lives.ranges.len() as u32;
            let local = self.last[var].max(from + 1);
            let mut remote = self.remote[var];
            if remote == NONE {
                self.lives.ranges.push(Range { from, to: local });
                self.lives.of[var] = Slice { first, count: 1 };
                continue;
            }
            let stamp = var as u32;
            let entered = self.lives.entered.len();
            while remote != NONE {
                let Remote { segment, to, next } = self.remotes[remote as usize];
                begins[segment as usize] = stamp;
                reads[segment as usize] = to;
                self.lives.entered.push(segment);
                work.push(segment);
                remote = next;
            }
            let mut leaves = false;
            while let Some(segment) = work.pop() {
                for &source in self.body.sources(segment as usize) {
                    if source == home {
                        leaves = true;
                        continue;
                    }
                    ends[source as usize] = stamp;
                    if begins[source as usize] != stamp {
                        begins[source as usize] = stamp;
                        reads[source as usize] = 0;
                        self.lives.entered.push(source);
                        work.push(source);
                    }
                }
            }
            self.lives.entered[entered..].sort_unstable();
            let count = (self.lives.entered.len() - entered) as u32;
            self.lives.enters[var] = Slice { first: entered as u32, count };
            let end = if leaves { 2 * self.body.segments[home as usize].end } else { local };
            let mut own = Some(Range { from, to: end.max(local) });
            for place in entered..self.lives.entered.len() {
                let segment = self.lives.entered[place];
                if let Some(range) = own
                    && range.from < 2 * self.body.segments[segment as usize].first
                {
                    add(&mut self.lives.ranges, first, range);
                    own = None;
                }
                let Range { from, to } = self.extent(segment);
                let to = if ends[segment as usize] == stamp { to } else { reads[segment as usize] };
                add(&mut self.lives.ranges, first, Range { from, to });
            }
            if let Some(range) = own {
                add(&mut self.lives.ranges, first, range);
            }
            self.lives.of[var] = Slice { first, count: self.lives.ranges.len() as u32 - first };
        }
    }

    fn extent(&self, segment: u32) -> Range {
        let segment = &self.body.segments[segment as usize];
        Range { from: 2 * segment.first, to: 2 * segment.end }
    }
}

/// Adds a range behind those from `first` on.
fn add(ranges: &mut Vec<Range>, first: u32, range: Range) {
    if ranges.len() > first as usize
        && let Some(last) = ranges.last_mut()
        && last.to == range.from
    {
        last.to = range.to;
        return;
    }
    ranges.push(range);
}

/// Whether an atomic operation needs `rax`.
fn compares(op: AtomicOp) -> bool {
    use AtomicOp::*;
    matches!(op, FetchOr | FetchAnd | FetchXor | Cmpxchg)
}
