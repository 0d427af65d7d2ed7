//! What engines may assume of a program that was accepted.
//!
//! A fact is about an instruction and true of every run that comes there, on the terms of the environment: maps of those
//! shapes, contexts of that type. It is what all states say together that the verifier saw there.
//!
//! # What is no fact
//!
//! A path ends early where its state is covered by one that was seen before, and covering looks at the range of a number only
//! where that range mattered to what was accepted (`precise`). So the range of a number that the verifier saw at an
//! instruction need not hold of all runs. Pointers are always compared, with their kind and the whole range of their
//! offsets; facts are made of those. What is said of numbers ([`Facts::divisor_nonzero`], [`Facts::upper_zero`])
//! comes from the program's text by an analysis of its own, `numbers`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use sandbpf_isa::{Imm64, Insn, Pc, Program, Reg as R, RegSet, Size};

use crate::cfg::{self, Graph};
use crate::numbers::Numbers;
use crate::state::{Kind, Reg};

/// Where an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// The stack, of this frame or of a caller's; offsets count from the frame pointer of that frame.
    Stack,
    /// The context; offsets count from its start.
    Context,
    /// The packet's data; offsets count from `data`.
    Packet,
    /// The packet's metadata; offsets count from `data_meta`.
    PacketMeta,
    /// A value of the map with this number in the environment; offsets count from the value's start.
    MapValue(u16),
}

/// What is known of all accesses that an instruction makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessFact {
    /// Where they go.
    pub region: Region,
    /// The lowest offset of a byte that is touched.
    pub first: i64,
    /// One more than the highest.
    pub end: i64,
    /// Whether the instruction writes.
    pub write: bool,
}

/// What was seen of an instruction's accesses so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen<T> {
    #[default]
    Nothing,
    Always(T),
    Mixed,
}

impl<T: Copy + PartialEq> Seen<T> {
    fn get(self) -> Option<T> {
        match self {
            Seen::Always(what) => Some(what),
            Seen::Nothing | Seen::Mixed => None,
        }
    }
}

impl Seen<AccessFact> {
    /// Something is accessed here again.
    fn see(&mut self, fact: Option<AccessFact>) {
        *self = match (*self, fact) {
            (Seen::Nothing, Some(fact)) => Seen::Always(fact),
            (Seen::Always(old), Some(new)) if old.region == new.region => Seen::Always(AccessFact {
                first: old.first.min(new.first),
                end: old.end.max(new.end),
                write: old.write || new.write,
                ..old
            }),
            _ => Seen::Mixed,
        };
    }
}

impl AccessFact {
    /// What is known of an access through this pointer.
    fn of(pointer: &Reg, off: i16, size: i64, write: bool) -> Option<AccessFact> {
        let region = match pointer.kind {
            _ if pointer.may_be_null() => return None,
            Kind::Stack => Region::Stack,
            Kind::Context => Region::Context,
            Kind::Packet => Region::Packet,
            Kind::PacketMeta => Region::PacketMeta,
            Kind::MapValue(map) => Region::MapValue(map),
            _ => return None,
        };
        let start = i64::from(pointer.off) + i64::from(off);
        Some(AccessFact {
            region,
            first: start.saturating_add(pointer.num.smin),
            end: start.saturating_add(pointer.num.smax).saturating_add(size),
            write,
        })
    }
}

/// The fields of the context from which the program takes pointers to the packet, by their offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFields {
    /// Where the data starts.
    pub data: Option<u32>,
    /// Where it ends.
    pub end: Option<u32>,
    /// Where the metadata starts.
    pub meta: Option<u32>,
    /// Whether they come from anything but one field of four bytes each: then nothing is known of accesses to the packet.
    pub several: bool,
}

impl PacketFields {
    fn note(&mut self, kind: &Kind, off: i32, size: Size) {
        let field = match kind {
            Kind::Packet => &mut self.data,
            Kind::PacketEnd => &mut self.end,
            Kind::PacketMeta => &mut self.meta,
            _ => return,
        };
        let off = u32::try_from(off).ok();
        self.several |= size != Size::W || off.is_none() || field.is_some() && *field != off;
        *field = off;
    }
}

/// What is seen while the verifier walks.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The fields of the context that packet pointers come from.
    pub(crate) fields: PacketFields,
    accesses: Vec<Seen<AccessFact>>,
    maps: Vec<Seen<u16>>,
    /// Keys of maps that calls are given.
    keys: BTreeMap<Pc, Seen<AccessFact>>,
}

impl Notes {
    pub(crate) fn new(insns: usize) -> Notes {
        Notes {
            fields: PacketFields::default(),
            accesses: vec![Seen::Nothing; insns],
            maps: vec![Seen::Nothing; insns],
            keys: BTreeMap::new(),
        }
    }

    /// The instruction goes through this pointer.
    pub(crate) fn access(&mut self, pc: Pc, pointer: &Reg, off: i16, size: Size, write: bool) {
        let fact = AccessFact::of(pointer, off, size.bytes().into(), write);
        self.accesses[pc.index()].see(fact);
    }

    /// The call at this instruction is given a key of so many bytes.
    pub(crate) fn key(&mut self, pc: Pc, pointer: &Reg, size: u32) {
        self.keys.entry(pc).or_default().see(AccessFact::of(pointer, 0, size.into(), false));
    }

    /// A field of the context was loaded that holds this.
    pub(crate) fn field(&mut self, kind: &Kind, off: i32, size: Size) {
        self.fields.note(kind, off, size);
    }

    /// The call at this instruction is given this map.
    pub(crate) fn map(&mut self, pc: Pc, map: Option<u16>) {
        let seen = &mut self.maps[pc.index()];
        *seen = match (*seen, map) {
            (Seen::Nothing, Some(map)) => Seen::Always(map),
            (Seen::Always(old), Some(map)) if old == map => Seen::Always(old),
            _ => Seen::Mixed,
        };
    }
}

/// A fact, by its name: for [`Facts::without`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// No run comes to this instruction.
    Unreached(Pc),
    /// Where its accesses go.
    Access(Pc),
    /// Its divisor is not zero.
    DivisorNonzero(Pc),
    /// The upper half of this register is zero before it.
    UpperZero(Pc, R),
    /// Which map its call is given.
    Map(Pc),
    /// Where the key is that its call is given.
    Key(Pc),
    /// Which registers matter after it.
    LiveAfter(Pc),
}

/// What is true of the whole program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The most bytes of stack that a function uses.
    pub stack: u32,
    /// How many bytes of the context are accessed.
    pub context: u32,
    /// Whether instructions write to the context.
    pub writes_context: bool,
    /// Whether instructions write to the packet.
    pub writes_packet: bool,
    /// Where pointers to the packet come from.
    pub packet: PacketFields,
}

/// What engines may assume.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The program that they are about, and where its functions begin.
    insns: Arc<[Insn]>,
    entries: Box<[Pc]>,
    reached: Box<[bool]>,
    accesses: Box<[Option<AccessFact>]>,
    maps: Box<[Option<u16>]>,
    /// By instruction, those that have one.
    keys: Box<[(Pc, AccessFact)]>,
    /// Found when somebody asks: a verdict does not need them.
    numbers: OnceLock<NumberFacts>,
    live: Box<[Option<RegSet>]>,
    summary: Summary,
}

/// Which divisors are not zero, and which registers fit 32 bits, by instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NumberFacts {
    divisors: Box<[bool]>,
    uppers: Box<[RegSet]>,
}

impl PartialEq for Facts {
    fn eq(&self, other: &Facts) -> bool {
        let rest = |facts: &Facts| (facts.summary, facts.numbers().clone());
        self.insns == other.insns
            && self.entries == other.entries
            && self.reached == other.reached
            && self.accesses == other.accesses
            && self.maps == other.maps
            && self.keys == other.keys
            && self.live == other.live
            && rest(self) == rest(other)
    }
}

impl Eq for Facts {}

impl Facts {
    pub(crate) fn new(
        program: &Program,
        graph: &Graph,
        reached: &[bool],
        notes: &Notes,
        stack: &[i32],
    ) -> Facts {
        let in_packet = |fact: &AccessFact| matches!(fact.region, Region::Packet | Region::PacketMeta);
        let accesses: Box<[Option<AccessFact>]> = notes
            .accesses
            .iter()
            .map(|seen| seen.get().filter(|fact| !(notes.fields.several && in_packet(fact))))
            .collect();
        let mut summary = Summary {
            packet: notes.fields,
            stack: stack.iter().map(|&depth| depth.max(0) as u32).max().unwrap_or_default(),
            ..Summary::default()
        };
        for fact in accesses.iter().flatten() {
            match fact.region {
                Region::Context => {
                    summary.context = summary.context.max(u32::try_from(fact.end).unwrap_or(u32::MAX));
                    summary.writes_context |= fact.write;
                }
                Region::Packet | Region::PacketMeta => summary.writes_packet |= fact.write,
                Region::Stack | Region::MapValue(_) => {}
            }
        }
        Facts {
            insns: program.insns().into(),
            entries: program.functions().iter().map(|function| function.entry).collect(),
            reached: reached.into(),
            maps: notes.maps.iter().map(|seen| seen.get()).collect(),
            keys: notes
                .keys
                .iter()
                .filter_map(|(&pc, seen)| Some((pc, seen.get()?)))
                .filter(|(_, fact)| !(notes.fields.several && in_packet(fact)))
                .collect(),
            numbers: OnceLock::new(),
            live: (0..program.len()).map(|index| Some(live_after(program, graph, index))).collect(),
            accesses,
            summary,
        }
    }

    fn numbers(&self) -> &NumberFacts {
        self.numbers.get_or_init(|| {
            let numbers = Numbers::of(&self.insns, &self.entries);
            let all = || (0..self.insns.len() as u32).map(Pc);
            NumberFacts {
                divisors: all().map(|pc| numbers.divisor_nonzero(&self.insns, pc)).collect(),
                uppers: all().map(|pc| numbers.upper_zero(pc)).collect(),
            }
        })
    }

    /// Whether they are about this program, in which maps and variables may have got their addresses since.
    pub fn fit(&self, program: &Program) -> bool {
        let same = |(ours, theirs): (&Insn, &Insn)| match (ours, theirs) {
            (
                Insn::LoadImm { dst, value: Imm64::Map(_) | Imm64::MapValue(..) | Imm64::Variable { .. } },
                other,
            ) => {
                matches!(other, Insn::LoadImm { dst: theirs, .. } if dst == theirs)
            }
            (ours, theirs) => ours == theirs,
        };
        self.insns.len() == program.len() && self.insns.iter().zip(program.insns()).all(same)
    }

    /// Whether a run can come to this instruction.
    pub fn reached(&self, pc: Pc) -> bool {
        self.reached.get(pc.index()).copied().unwrap_or(true)
    }

    /// Where the accesses of this instruction go; within what is there, without a fault.
    pub fn access(&self, pc: Pc) -> Option<AccessFact> {
        self.accesses.get(pc.index()).copied().flatten()
    }

    /// Whether the divisor of this division or remainder is never zero, as far as its width looks.
    pub fn divisor_nonzero(&self, pc: Pc) -> bool {
        self.numbers().divisors.get(pc.index()).copied().unwrap_or(false)
    }

    /// Whether the upper half of this register is zero before this instruction.
    pub fn upper_zero(&self, pc: Pc, reg: R) -> bool {
        self.numbers().uppers.get(pc.index()).is_some_and(|set| set.contains(reg))
    }

    /// The map that the call at this instruction is always given, by its number in the environment.
    pub fn map(&self, pc: Pc) -> Option<u16> {
        self.maps.get(pc.index()).copied().flatten()
    }

    /// Where the key of a map is that the call at this instruction is given.
    pub fn key(&self, pc: Pc) -> Option<AccessFact> {
        let at = self.keys.binary_search_by_key(&pc, |&(pc, _)| pc).ok()?;
        Some(self.keys[at].1)
    }

    /// The registers whose values matter after this instruction.
    pub fn live_after(&self, pc: Pc) -> RegSet {
        let all = R::all().fold(RegSet::EMPTY, |all, reg| all.union(RegSet::of(reg)));
        self.live.get(pc.index()).copied().flatten().unwrap_or(all)
    }

    /// What is true of the whole program.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The same without the facts that `keep` says no to. Less is known then, nothing else: every engine gives the same
    /// answers.
    pub fn without(&self, mut erased: impl FnMut(Fact) -> bool) -> Facts {
        let mut facts = self.clone();
        let mut numbers = self.numbers().clone();
        for index in 0..facts.reached.len() {
            let pc = Pc(index as u32);
            facts.reached[index] |= erased(Fact::Unreached(pc));
            if erased(Fact::Access(pc)) {
                facts.accesses[index] = None;
            }
            numbers.divisors[index] &= !erased(Fact::DivisorNonzero(pc));
            for reg in numbers.uppers[index].iter() {
                if erased(Fact::UpperZero(pc, reg)) {
                    numbers.uppers[index] = numbers.uppers[index].without(RegSet::of(reg));
                }
            }
            if erased(Fact::Map(pc)) {
                facts.maps[index] = None;
            }
            if erased(Fact::LiveAfter(pc)) {
                facts.live[index] = None;
            }
        }
        facts.numbers = OnceLock::from(numbers);
        facts.keys = facts.keys.iter().copied().filter(|&(pc, _)| !erased(Fact::Key(pc))).collect();
        facts
    }
}

fn live_after(program: &Program, graph: &Graph, index: usize) -> RegSet {
    let insn = &program.insns()[index];
    if matches!(insn, Insn::Exit) {
        return RegSet::RESULT;
    }
    let live = cfg::successors(insn, Pc(index as u32)).into_iter().flatten();
    let live = live.filter_map(|to| graph.marks.get(to.index())).fold(0, |live, marks| live | marks.live);
    RegSet::from_bits(live)
}
