//! Addresses, loads and stores.
//!
//! ```text
//! mov eax, [rdi + rcx*4 + 8]      movzx eax, byte [..]     movsx rax, word [..]
//! movbe eax, [..]                 mov eax, [..] ; bswap eax
//! mov dword [..], 7               add [..], eax
//! ```

use sandbpf_isa::{Extend, Size, Width};
use sandbpf_runtime::address::STACK;

use super::super::inst::{Inst, Locate, Op, Place, Var, widen};
use super::super::machine::{Alu, Widen, reg};
use super::{Lower, region};
use crate::plan::graph::{Address, BinOp, Entry, Op as GraphOp, Region, Value};

/// So many bytes are cleared by stores; the instruction for more takes some time to start.
const MOST_STORES: u32 = 512;

impl Lower<'_> {
    /// An address, for an operand.
    pub(super) fn place(&mut self, at: &Address) -> Place {
        let mut place = Place { base: Var::NONE, index: Var::NONE, scale: 0, disp: at.disp };
        if let Some((index, scale)) = at.index {
            match self.graph.constant(index).and_then(|number| shifted(number, scale, at.disp)) {
                Some(disp) => place.disp = disp,
                None => (place.index, place.scale) = (self.var(index), scale),
            }
        }
        match self.graph.op(at.base) {
            GraphOp::Base(region) => place.base = self.region(*region),
            _ => place.base = self.var(at.base),
        }
        place
    }

    /// The load that a value is, if the instruction at hand may load it itself: nobody else wants it, and nothing was written
    /// between.
    pub(super) fn ours(&self, value: Value) -> Option<(Address, Size, Extend, bool)> {
        match *self.graph.op(value) {
            GraphOp::Load { at, size, extend, swap } if self.is_ours(value) => {
                let unchanged = self.writes[value.index()] == self.written[region(at.region)];
                unchanged.then_some((at, size, extend, swap))
            }
            _ => None,
        }
    }

    /// The address of a load of which an instruction of this width wants the low bytes, if it may load them itself. It then has
    /// to.
    pub(super) fn operand(&mut self, value: Value, width: Width) -> Option<Place> {
        let (at, size, _, swap) = self.ours(value)?;
        let enough = match width {
            Width::W32 => matches!(size, Size::W | Size::DW),
            Width::W64 => size == Size::DW,
        };
        if swap || !enough {
            return None;
        }
        self.taken[value.index()] = true;
        Some(self.place(&at))
    }

    pub(super) fn load(&mut self, value: Value, at: &Address, size: Size, extend: Extend, swap: bool) {
        let dst = self.var(value);
        let swap = swap && size != Size::B;
        if !swap {
            let place = self.place(at);
            return self.push(Inst::new(Op::Load(widen(size, extend)), Width::W64).dst(dst).at(place));
        }
        let mut to = dst;
        if extend == Extend::Sign && size != Size::DW {
            to = self.temporary();
            self.push(Inst::new(Op::Widen(widen(size, extend)), Width::W64).dst(dst).a(to));
        }
        let place = self.place(at);
        if self.target.features.movbe && size != Size::H {
            return self.push(Inst::new(Op::LoadSwapped(size), Width::W64).dst(to).at(place));
        }
        let loaded = self.temporary();
        self.push(reversed(size).dst(to).a(loaded));
        self.push(Inst::new(Op::Load(Widen::Zero(size)), Width::W64).dst(loaded).at(place));
    }

    pub(super) fn store(&mut self, at: &Address, size: Size, value: Value, swap: bool) {
        let swap = swap && size != Size::B;
        if let Some(number) = self.graph.constant(value)
            && let Some(imm) = immediate(number, size, swap)
        {
            let place = self.place(at);
            return self.push(Inst::new(Op::StoreImm(size), Width::W64).imm(imm).at(place));
        }
        if !swap && self.modify(at, size, value) {
            return;
        }
        let stored = self.var(value);
        let place = self.place(at);
        if !swap {
            return self.push(Inst::new(Op::Store(size), Width::W64).a(stored).at(place));
        }
        if self.target.features.movbe {
            return self.push(Inst::new(Op::StoreSwapped(size), Width::W64).a(stored).at(place));
        }
        let turned = self.temporary();
        self.push(Inst::new(Op::Store(size), Width::W64).a(turned).at(place));
        self.push(reversed(size).dst(turned).a(stored));
    }

    /// A store of what was there and something: done in memory.
    fn modify(&mut self, at: &Address, size: Size, value: Value) -> bool {
        let GraphOp::Bin { op, a, b, .. } = *self.graph.op(value) else { return false };
        let op = match op {
            BinOp::Add => Alu::Add,
            BinOp::Sub => Alu::Sub,
            BinOp::And => Alu::And,
            BinOp::Or => Alu::Or,
            BinOp::Xor => Alu::Xor,
            _ => return false,
        };
        // Low bytes depend on low bytes only, and no more are stored than were loaded.
        let loads = |this: &Self, value: Value| matches!(this.ours(value), Some((from, loaded, _, false)) if from == *at && loaded == size);
        if !self.is_ours(value) || (size == Size::DW && !self.is_wide(value)) {
            return false;
        }
        let (loaded, other) = match () {
            () if loads(self, a) => (a, b),
            () if op != Alu::Sub && loads(self, b) => (b, a),
            () => return false,
        };
        self.taken[value.index()] = true;
        self.taken[loaded.index()] = true;
        match self.graph.constant(other).and_then(|number| immediate(number, size, false)) {
            Some(imm) => {
                let place = self.place(at);
                self.push(Inst::new(Op::MemAluImm(op, size), Width::W64).imm(imm).at(place));
            }
            None => {
                let other = self.var(other);
                let place = self.place(at);
                self.push(Inst::new(Op::MemAlu(op, size), Width::W64).a(other).at(place));
            }
        }
        true
    }

    /// Whether a value has 64 bits.
    fn is_wide(&self, value: Value) -> bool {
        matches!(self.graph.op(value), GraphOp::Bin { width: Width::W64, .. })
    }

    /// The host's address of a guest's, in whatever region it lies.
    ///
    /// ```text
    /// lea rax, [at + (off - start)]
    /// cmp rax, last ; ja elsewhere      ; last = bytes - size
    /// lea rax, [base + rax]
    /// ```
    pub(super) fn host(&mut self, value: Value, op: Locate, at: Value, off: i32) {
        let dst = self.var(value);
        let from = self.temporary();
        let number = self.body.locates.len() as i32;
        let inst = Inst { index: from, imm: number, ..Inst::new(Op::Locate, Width::W64) }.dst(dst);
        // The search for it, that is.
        self.body.calls = true;
        let inst = if self.entry.machine {
            let (env, budget) = (self.env(), self.own_budget());
            let length = if op.likely == Region::Packet { self.entered(Entry::Length) } else { Var::NONE };
            Inst { a: self.base(op.likely), b: length, base: env, ..inst }.d(budget)
        } else {
            let (packet, context) = (self.base(Region::Packet), self.base(Region::Context));
            Inst { a: packet, b: self.entered(Entry::Length), base: context, ..inst }
        };
        self.push(inst);
        let start = self.graph.start(op.likely);
        self.body.locates.push(Locate { start, ..op });
        let guest = self.var(at);
        let off = i64::from(off).wrapping_sub(start as i64);
        match i32::try_from(off) {
            Ok(0) => self.push(Inst::new(Op::Copy, Width::W64).dst(from).a(guest)),
            Ok(imm) => self.push(Inst::new(Op::AluImm(Alu::Add), Width::W64).dst(from).a(guest).imm(imm)),
            Err(_) => {
                let off = self.constant(off as u64);
                self.push(Inst::new(Op::Alu(Alu::Add), Width::W64).dst(from).a(guest).b(off));
            }
        }
    }

    /// Makes bytes of the stack zero.
    pub(super) fn clear(&mut self, from: u64, bytes: u32) {
        if bytes == 0 {
            return;
        }
        // Frames lie near the start of the region.
        let disp = (from.wrapping_sub(STACK)) as i32;
        let base = self.region(Region::Stack);
        let clear = |disp: i32, bytes: u32| {
            Inst::new(Op::Clear, Width::W64).imm(bytes as i32).at(Place::off(base, disp))
        };
        if bytes <= MOST_STORES {
            return self.push(clear(disp, bytes));
        }
        let (words, rest) = (bytes / 8, bytes % 8);
        if rest > 0 {
            self.push(clear(disp + (bytes - rest) as i32, rest));
        }
        self.push(Inst::new(Op::Fill, Width::W64));
        self.push(Inst::number(Var::real(reg::RAX), 0, true));
        self.push(Inst::number(Var::real(reg::RCX), words.into(), true));
        self.push(Inst::new(Op::Lea, Width::W64).dst(Var::real(reg::RDI)).at(Place::off(base, disp)));
    }
}

/// `(number << scale) + disp`, if that is a displacement.
fn shifted(number: u64, scale: u8, disp: i32) -> Option<i32> {
    let number = i64::try_from(i128::from(number as i64) << scale).ok()?;
    i32::try_from(number.checked_add(disp.into())?).ok()
}

/// An operand of an instruction on memory that has these low bytes; of eight, the upper half is copies of the sign.
pub(super) fn immediate(number: u64, size: Size, swap: bool) -> Option<i32> {
    let number = match (size, swap) {
        (_, false) => number,
        (Size::B, true) => number,
        (Size::H, true) => u64::from((number as u16).swap_bytes()),
        (Size::W, true) => u64::from((number as u32).swap_bytes()),
        (Size::DW, true) => number.swap_bytes(),
    };
    match size {
        Size::B => Some(i32::from(number as i8)),
        Size::H => Some(i32::from(number as i16)),
        Size::W => Some(number as i32),
        Size::DW => i32::try_from(number as i64).ok(),
    }
}

/// The instruction that reverses so many bytes of a number that has no others.
pub(super) fn reversed(size: Size) -> Inst {
    match size {
        Size::B => Inst::new(Op::Copy, Width::W64),
        Size::H => Inst::new(Op::SwapWord, Width::W64),
        Size::W => Inst::new(Op::Swap, Width::W32),
        Size::DW => Inst::new(Op::Swap, Width::W64),
    }
}
