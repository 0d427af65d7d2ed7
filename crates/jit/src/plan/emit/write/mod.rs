//! From instructions whose variables have places to bytes.
//!
//! ```text
//!   push the registers that the caller wants to keep and this code changes
//!   sub rsp, frame            ; not if what is below rsp is enough
//!   segments, in order, with the moves between them
//!   what seldom happens: traps, addresses in other regions, divisions by zero
//! ```

mod branch;
mod choose;
mod cold;
mod frame;
mod insts;
mod locate;
mod lookup;
mod search;
mod table;

use sandbpf_isa::{Size, Width};

use super::Target;
use super::allocate::moves::{self, Action, Home, Move};
use super::allocate::{Allocation, after, before, right_before};
use super::encode::Encoder;
use super::inst::{Body, Inst, Op, Var, Way};
use super::machine::{Flag, Mem, Rm, reg};
use super::nest::NONE;
use super::relax::{Jumps, Label};
use crate::plan::graph::Graph;
use cold::Cold;
use frame::Frame;
use table::Table;

/// Code as it is written.
pub(crate) struct Writer<'b> {
    body: &'b Body,
    target: &'b Target,
    graph: &'b Graph,
    allocation: Allocation,
    code: Encoder,
    jumps: Jumps,
    frame: Frame,
    /// Where segments begin.
    labels: Vec<Label>,
    /// For every segment, the one that it is nothing but a way to, or itself.
    shortcuts: Vec<u32>,
    /// For every segment, the one that is written next.
    following: Vec<u32>,
    /// Jumps by tables that are still ahead, the next one last, and segments that they take the place of.
    tables: Vec<Table>,
    gone: Vec<bool>,
    /// The tables of those that were written: where they are, and where they lead.
    entries: Vec<(Label, Vec<Label>)>,
    /// Where the run ends, with its answer in rax and rdx.
    leave: Label,
    left: bool,
    /// Where addresses are looked for in all regions, if some are.
    search: Option<Label>,
    cold: Vec<Cold>,
    next_move: usize,
    /// Moves that happen at once.
    group: Vec<Move>,
}

/// The places of an instruction's operands.
#[derive(Clone, Copy, Debug)]
struct Operands {
    dst: Home,
    a: Home,
    b: Home,
    base: Home,
    index: Home,
    d: Home,
}

/// When moves happen.
#[derive(Clone, Copy, Debug)]
struct When {
    /// Whether somebody may look at the flags later.
    flags: bool,
    /// How many loops are around.
    depth: u8,
    /// The positions before and after.
    at: [u32; 2],
}

impl When {
    /// Before an instruction.
    fn inside(index: u32) -> When {
        When { flags: true, depth: 0, at: [2 * index, 2 * index] }
    }
}

/// Writes everything.
pub(crate) fn write(graph: &Graph, target: &Target, body: &Body, allocation: Allocation) -> Vec<u8> {
    let frame = Frame::of(graph, body, &allocation);
    let mut jumps = Jumps::default();
    let labels = body.segments.iter().map(|_| jumps.label()).collect();
    let leave = jumps.label();
    let code = Encoder { bytes: Vec::with_capacity(5 * body.insts.len() + 64) };
    let mut writer = Writer {
        body,
        target,
        graph,
        allocation,
        code,
        jumps,
        frame,
        labels,
        shortcuts: Vec::new(),
        following: Vec::new(),
        tables: Vec::new(),
        gone: Vec::new(),
        entries: Vec::new(),
        leave,
        left: false,
        search: None,
        cold: Vec::new(),
        next_move: 0,
        group: Vec::new(),
    };
    writer.shortcuts = writer.shortcuts();
    (writer.tables, writer.gone) = writer.tables();
    writer.tables.reverse();
    writer.following = following(&writer.shortcuts);
    writer.enter();
    for segment in 0..body.segments.len() {
        writer.segment(segment);
    }
    writer.cold();
    writer.search();
    writer.finish()
}

/// For every segment, the next one that is written.
fn following(shortcuts: &[u32]) -> Vec<u32> {
    let mut following = vec![NONE; shortcuts.len()];
    let mut next = NONE;
    for number in (0..shortcuts.len()).rev() {
        following[number] = next;
        if shortcuts[number] == number as u32 {
            next = number as u32;
        }
    }
    following
}

impl Writer<'_> {
    fn finish(mut self) -> Vec<u8> {
        if self.left {
            self.jumps.put(self.leave, &self.code.bytes);
            self.leave_here();
        }
        self.put_entries();
        self.jumps.finish(&self.code.bytes)
    }

    /// Segments that do nothing: whoever goes there goes on.
    fn shortcuts(&self) -> Vec<u32> {
        let segments = &self.body.segments;
        let mut empty: Vec<bool> = segments
            .iter()
            .map(|segment| {
                segment.end - segment.first == 2 && segment.ways[0].is_some() && segment.ways[1].is_none()
            })
            .collect();
        for &(time, _) in &self.allocation.moves {
            let index = (time >> 2) as u32;
            let segment = segments.partition_point(|segment| segment.first <= index) - 1;
            empty[segment] = false;
        }
        empty[0] = false;
        let mut shortcuts: Vec<u32> = (0..segments.len() as u32).collect();
        for start in 0..segments.len() {
            if !empty[start] {
                continue;
            }
            // Not for ever, if empty segments go round in circles: then the last is not empty.
            let mut at = start;
            let mut steps = 0;
            while empty[at] && steps < 64 {
                at = match segments[at].ways[0] {
                    Some(Way { to, .. }) => to as usize,
                    None => break,
                };
                steps += 1;
            }
            if empty[at] {
                empty[start] = false;
            } else {
                shortcuts[start] = at as u32;
            }
        }
        shortcuts
    }

    fn segment(&mut self, number: usize) {
        if self.shortcuts[number] != number as u32 || self.gone.get(number) == Some(&true) {
            // Nobody comes here.
            return;
        }
        let segment = self.body.segments[number];
        self.align(number);
        self.jumps.put(self.labels[number], &self.code.bytes);
        for index in segment.first..segment.end - 1 {
            self.moves_until(before(index), When::inside(index));
            if index + 2 == segment.end
                && let Some(table) = self.tables.pop_if(|table| table.root == number as u32)
            {
                self.jump_by(&table);
                return;
            }
            let inst = &self.body.insts[index as usize];
            let operands = self.operands(inst, index);
            self.inst(inst, &operands);
            self.keep(inst, &operands);
            if inst.op == Op::Block {
                let at = [2 * index, 2 * index];
                self.moves_until(after(index), When { flags: false, depth: segment.depth, at });
            }
        }
        let last = segment.end - 1;
        let target = segment.ways[0].map_or(segment.first, |way| self.body.segments[way.to as usize].first);
        self.moves_until(before(last), When::inside(last));
        self.moves_until(
            right_before(last),
            When { flags: false, depth: segment.depth, at: [2 * last + 1, 2 * target] },
        );
        let inst = self.body.insts[last as usize];
        self.end(number, inst.op, segment.ways);
    }

    /// The head of a small loop begins where the processor fetches.
    fn align(&mut self, number: usize) {
        let segment = self.body.segments[number];
        if segment.cold || segment.inside == NONE {
            return;
        }
        let span = self.body.loops[segment.inside as usize];
        if span.first == number as u32 && span.last >= span.first {
            let last = self.body.segments[span.last as usize].end;
            if last - segment.first <= 256 {
                self.jumps.align(16, &self.code.bytes);
            }
        }
    }

    /// Where operands are, at an instruction.
    fn operands(&mut self, inst: &Inst, index: u32) -> Operands {
        self.allocation.go_to(2 * index);
        let nowhere = Home::Number(0);
        let home = |var: Var| match var {
            Var::NONE | Var::STACK => nowhere,
            var => self.allocation.of_var(var),
        };
        let mut operands = Operands {
            dst: nowhere,
            a: home(inst.a),
            b: home(inst.b),
            base: home(inst.base),
            index: home(inst.index),
            d: home(inst.d),
        };
        if inst.dst.is_some() {
            self.allocation.go_to(2 * index + 1);
            operands.dst = self.allocation.of_var(inst.dst);
        }
        operands
    }

    /// Puts a result into the frame, if it is to be there as well.
    fn keep(&mut self, inst: &Inst, operands: &Operands) {
        if inst.dst.is_some()
            && let Some(slot) = self.allocation.slot(inst.dst)
            && let Home::Register(register) = operands.dst
        {
            let mem = self.frame.slot(slot);
            self.code.store(Size::DW, mem, register);
        }
    }

    /// Moves that are due.
    fn moves_until(&mut self, time: u64, when: When) {
        while let Some(&(due, _)) = self.allocation.moves.get(self.next_move)
            && due <= time
        {
            while let Some(&(same, step)) = self.allocation.moves.get(self.next_move)
                && same == due
            {
                self.group.push(step);
                self.next_move += 1;
            }
            self.at_once(when);
        }
    }

    /// Does the moves of the group.
    fn at_once(&mut self, when: When) {
        let mut group = std::mem::take(&mut self.group);
        // In loops exchanging takes too long, if there is another way.
        let spare = if when.depth > 0 { self.allocation.idle(when.at) } else { None };
        moves::order(&mut group, spare.is_none(), |action| self.action(action, spare, when.flags));
        group.clear();
        self.group = group;
    }

    fn action(&mut self, action: Action, spare: Option<u8>, flags: bool) {
        match (action, spare.map(Home::Register)) {
            (Action::Exchange(a, b), _) => self.code.swap(a, b),
            (Action::Keep(home), Some(spare)) => self.transfer(home, spare),
            (Action::Restore(home), Some(spare)) => self.transfer(spare, home),
            (Action::Keep(home), None) => match self.rm(home) {
                Rm::Mem(mem) => self.code.vector_load8(0, mem),
                Rm::Reg(register) => self.code.vector_from(0, register),
            },
            (Action::Restore(home), None) => match self.rm(home) {
                Rm::Mem(mem) => self.code.vector_store8(0, mem),
                Rm::Reg(register) => self.code.vector_to(0, register),
            },
            (Action::Move(Move { from: Home::Number(0), to: Home::Register(to) }), _) if !flags => {
                self.code.zero(to);
            }
            (Action::Move(Move { from, to }), _) => self.transfer(from, to),
        }
    }

    /// One move. Flags stay.
    fn transfer(&mut self, from: Home, to: Home) {
        match (from, to) {
            (Home::Number(number), Home::Register(register)) => self.code.mov_imm(register, number),
            (Home::Number(number), Home::Slot(slot)) => {
                let mem = self.frame.slot(slot);
                match i32::try_from(number as i64) {
                    Ok(imm) => self.code.store_imm(Size::DW, mem, imm),
                    Err(_) => {
                        self.code.store_imm(Size::W, mem, number as i32);
                        let above = Mem { disp: mem.disp + 4, ..mem };
                        self.code.store_imm(Size::W, above, (number >> 32) as i32);
                    }
                }
            }
            (Home::Register(from), Home::Register(to)) => self.code.mov(Width::W64, to, from),
            (Home::Register(from), Home::Slot(slot)) => {
                let mem = self.frame.slot(slot);
                self.code.store(Size::DW, mem, from);
            }
            (Home::Slot(slot), Home::Register(to)) => {
                let mem = self.frame.slot(slot);
                self.code.widen(super::machine::Widen::Zero(Size::DW), to, Rm::Mem(mem));
            }
            (Home::Slot(from), Home::Slot(to)) => {
                let (from, to) = (self.frame.slot(from), self.frame.slot(to));
                self.code.vector_load8(1, from);
                self.code.vector_store8(1, to);
            }
            (_, Home::Number(_)) => {}
        }
    }

    /// A place as an operand.
    fn rm(&self, home: Home) -> Rm {
        match home {
            Home::Register(register) => Rm::Reg(register),
            Home::Slot(slot) => Rm::Mem(self.frame.slot(slot)),
            Home::Number(_) => unreachable!("numbers are made before they are used"),
        }
    }

    /// A place that is a register.
    fn reg(&self, home: Home) -> u8 {
        match home {
            Home::Register(register) => register,
            Home::Slot(_) | Home::Number(_) => unreachable!("this operand has to be in a register"),
        }
    }

    /// The operand in memory.
    fn mem(&self, inst: &Inst, operands: &Operands) -> Mem {
        let index = match inst.index {
            Var::NONE => None,
            _ => Some((self.reg(operands.index), inst.scale)),
        };
        let (base, disp) = match inst.base {
            Var::STACK => (Some(reg::RSP), inst.disp.wrapping_add(self.frame.stack)),
            Var::NONE => (None, inst.disp),
            _ => (Some(self.reg(operands.base)), inst.disp),
        };
        Mem { base, index, disp }
    }

    fn jump(&mut self, flag: Option<Flag>, to: Label) {
        self.jumps.jump(flag, to, &self.code.bytes);
    }

    /// The label of a segment.
    fn segment_label(&self, segment: u32) -> Label {
        self.labels[self.shortcuts[segment as usize] as usize]
    }

    /// Whether what is written next is this segment.
    fn is_next(&self, after: usize, segment: u32) -> bool {
        self.following[after] == self.shortcuts[segment as usize]
    }

    /// How a segment ends.
    fn end(&mut self, number: usize, op: Op, ways: [Option<Way>; 2]) {
        match (op, ways) {
            (Op::Return, _) => self.answer(),
            (Op::Jump, [Some(way), None]) => self.on(number, way),
            (Op::Branch(flag), [Some(yes), Some(no)]) => self.branch(number, flag, [yes, no]),
            _ => self.nobody(),
        }
    }
}
