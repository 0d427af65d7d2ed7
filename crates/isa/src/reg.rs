//! Registers, and sets of them.

use core::fmt;

/// One of the eleven registers `r0`…`r10`.
///
/// The number is below eleven by construction, so nothing downstream checks it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// The return value of functions and programs, and the accumulator of packet loads.
    pub const R0: Reg = Reg(0);
    /// The first argument; at entry, the context.
    pub const R1: Reg = Reg(1);
    /// The second argument.
    pub const R2: Reg = Reg(2);
    /// The third argument.
    pub const R3: Reg = Reg(3);
    /// The fourth argument.
    pub const R4: Reg = Reg(4);
    /// The fifth and last argument.
    pub const R5: Reg = Reg(5);
    /// Preserved over calls; packet loads expect the context here.
    pub const R6: Reg = Reg(6);
    /// Preserved over calls.
    pub const R7: Reg = Reg(7);
    /// Preserved over calls.
    pub const R8: Reg = Reg(8);
    /// Preserved over calls.
    pub const R9: Reg = Reg(9);
    /// The frame pointer: the end of the stack frame. A write to it traps.
    pub const R10: Reg = Reg(10);

    /// How many registers there are.
    pub const COUNT: usize = 11;

    /// The register with this number, if there is one.
    pub const fn new(number: u8) -> Option<Reg> {
        if number < Self::COUNT as u8 { Some(Reg(number)) } else { None }
    }

    /// Its number, 0 to 10.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number, for indexing.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All registers, `r0` first.
    pub fn all() -> impl DoubleEndedIterator<Item = Reg> {
        (0..Self::COUNT as u8).map(Reg)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// A set of registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RegSet(u16);

impl RegSet {
    /// No register.
    pub const EMPTY: RegSet = RegSet(0);
    /// `r0`: what a call returns in.
    pub const RESULT: RegSet = RegSet(1);
    /// `r1`…`r5`: what a call takes.
    pub const ARGUMENTS: RegSet = RegSet(0b11_1110);
    /// `r6`…`r9`: what a callee leaves alone.
    pub const PRESERVED: RegSet = RegSet(0b11_1100_0000);

    /// The set of one register.
    pub const fn of(reg: Reg) -> RegSet {
        RegSet(1 << reg.0)
    }

    /// The set of the registers whose numbers are those of the bits that are set; there are eleven, higher bits mean nothing.
    pub const fn from_bits(bits: u16) -> RegSet {
        RegSet(bits & 0x7ff)
    }

    /// Whether `reg` is in the set.
    pub const fn contains(self, reg: Reg) -> bool {
        self.0 >> reg.0 & 1 != 0
    }

    /// The registers of either set.
    pub const fn union(self, other: RegSet) -> RegSet {
        RegSet(self.0 | other.0)
    }

    /// The registers of this set that are not in `other`.
    pub const fn without(self, other: RegSet) -> RegSet {
        RegSet(self.0 & !other.0)
    }

    /// The set as bits: that of `r0` is the lowest.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        Reg::all().filter(move |&reg| self.contains(reg))
    }
}

impl FromIterator<Reg> for RegSet {
    fn from_iter<I: IntoIterator<Item = Reg>>(regs: I) -> Self {
        regs.into_iter().fold(RegSet::EMPTY, |set, reg| set.union(RegSet::of(reg)))
    }
}

impl fmt::Debug for RegSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
