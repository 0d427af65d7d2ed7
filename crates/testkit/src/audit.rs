//! Holding a run against what was proved of its program: every fact, and the states that the verifier saw.
//!
//! ```
//! use sandbpf::{AnyInput, KindName, Loader, Verifier, abi::ProgramType};
//! use sandbpf_testkit::audit::Audit;
//! let verifier = Verifier::new(ProgramType::Xdp).keeping_states(true);
//! let program = Loader::new().verified_by(verifier).load_any(KindName::Xdp, "r0 = 7\nr0 += 1\nexit")?;
//! let mut audit = Audit::of(&program).expect("it was verified");
//! program.run_observed(AnyInput::Xdp((&[0; 60]).into()), &mut audit)?;
//! assert_eq!((audit.steps(), audit.violations()), (3, &[][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use sandbpf::isa::{Insn, Operand, Pc, Program, Reg, RegSet, Width};
use sandbpf::verifier::facts::{Facts, Region};
use sandbpf::verifier::states::{Snapshot, States, Value};
use sandbpf::{AnyProgram, Observer, Registers};
use sandbpf_runtime::address::{self, CONTEXT, FIRST_FRAME, MAP_VALUES, PACKET, REGION_BITS, STACK};

/// An observer that holds every step against a proof.
#[derive(Debug)]
pub struct Audit<'p> {
    program: &'p Program,
    facts: &'p Facts,
    states: Option<&'p States>,
    /// By frame, the registers that were said not to matter any more.
    dead: Vec<RegSet>,
    steps: u64,
    /// Steps beyond are not looked at.
    most: u64,
    violations: Vec<String>,
}

/// How many violations are worth telling.
const MOST: usize = 8;

impl<'p> Audit<'p> {
    /// An audit of a program's runs, if it was verified.
    pub fn of(program: &'p AnyProgram) -> Option<Audit<'p>> {
        let proof = program.proof()?;
        Some(Audit {
            program: program.instructions(),
            facts: proof.facts(),
            states: proof.states(),
            dead: vec![RegSet::EMPTY],
            steps: 0,
            most: u64::MAX,
            violations: Vec::new(),
        })
    }

    /// Looks at no more steps than this.
    pub fn up_to(self, most: u64) -> Self {
        Audit { most, ..self }
    }

    /// How many steps were held against the proof.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What was not as it was proved to be: the first few.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    fn expect(&mut self, holds: bool, pc: Pc, what: impl FnOnce() -> String) {
        if !holds && self.violations.len() < MOST {
            self.violations.push(format!("at {pc}: {}", what()));
        }
    }

    fn access(&mut self, pc: Pc, insn: &Insn, registers: &Registers) {
        let (base, off, size) = match *insn {
            Insn::Load { base, off, size, .. }
            | Insn::Store { base, off, size, .. }
            | Insn::Atomic { base, off, size, .. } => (base, off, size),
            _ => return,
        };
        let Some(fact) = self.facts.access(pc) else { return };
        let address = registers[base.index()].wrapping_add(off as u64);
        let inside = offset(fact.region, address).is_some_and(|offset| match offset {
            Offset::At(at) => fact.first <= at && at + i64::from(size.bytes()) <= fact.end,
            Offset::Somewhere => true,
        });
        self.expect(inside, pc, || format!("{address:#x} is not in {fact:?}"));
    }

    /// Helpers find a key where their second argument says.
    fn key(&mut self, pc: Pc, insn: &Insn, registers: &Registers) {
        let (Insn::Call { .. }, Some(fact)) = (insn, self.facts.key(pc)) else { return };
        let address = registers[Reg::R2.index()];
        let inside = offset(fact.region, address).is_some_and(|offset| match offset {
            Offset::At(at) => fact.first <= at && at < fact.end,
            Offset::Somewhere => true,
        });
        self.expect(inside, pc, || format!("a key at {address:#x} is not in {fact:?}"));
    }

    fn numbers(&mut self, pc: Pc, insn: &Insn, registers: &Registers) {
        if let Insn::Alu { width, src: Operand::Reg(src), .. } = *insn
            && self.facts.divisor_nonzero(pc)
        {
            let divisor = registers[src.index()];
            let zero = if width == Width::W32 { divisor as u32 == 0 } else { divisor == 0 };
            self.expect(!zero, pc, || format!("the divisor {src} is zero"));
        }
        for reg in Reg::all().filter(|reg| self.facts.upper_zero(pc, *reg)).collect::<Vec<_>>() {
            let value = registers[reg.index()];
            self.expect(value >> 32 == 0, pc, || format!("{reg} is {value:#x}"));
        }
    }

    fn life(&mut self, pc: Pc, insn: &Insn) {
        let dead = self.dead.last().copied().unwrap_or(RegSet::EMPTY);
        // A helper may have fewer arguments than registers for them, and a packet load knows where the packet is.
        let reads = match *insn {
            Insn::Call { .. } | Insn::LoadPacket { .. } => RegSet::EMPTY,
            _ => insn.reads(),
        };
        for reg in reads.iter() {
            self.expect(!dead.contains(reg), pc, || format!("{reg} was said not to matter any more"));
        }
        let all = Reg::all().fold(RegSet::EMPTY, |all, reg| all.union(RegSet::of(reg)));
        let after = dead.without(insn.writes()).union(all.without(self.facts.live_after(pc)));
        if let Some(dead) = self.dead.last_mut() {
            *dead = after.without(RegSet::of(Reg::R10));
        }
    }

    fn states(&mut self, pc: Pc, registers: &Registers) {
        let Some(mut seen) = self.states.and_then(|states| states.at(pc)) else { return };
        let found = seen.any(|snapshot| holds(snapshot, registers));
        self.expect(found, pc, || format!("no state that was seen holds {registers:x?}"));
    }
}

/// Where an address lies in a region.
enum Offset {
    At(i64),
    /// In it; the region's start is not known here.
    Somewhere,
}

fn offset(region: Region, address: u64) -> Option<Offset> {
    let inside = |start: u64| address >> REGION_BITS == start >> REGION_BITS;
    match region {
        Region::Context => Some(Offset::At(address.wrapping_sub(CONTEXT) as i64)).filter(|_| inside(CONTEXT)),
        // From the end of the frame that it lies in.
        Region::Stack => inside(STACK).then(|| {
            let frame = FIRST_FRAME - STACK;
            Offset::At(((address - STACK) % frame) as i64 - frame as i64)
        }),
        Region::Packet | Region::PacketMeta => inside(PACKET).then_some(Offset::Somewhere),
        Region::MapValue(_) => (address >= MAP_VALUES).then_some(Offset::Somewhere),
    }
}

fn holds(snapshot: &Snapshot, registers: &Registers) -> bool {
    snapshot.iter().zip(registers).all(|(value, &number)| match *value {
        Value::Any => true,
        Value::Number(of) => of.contains(number),
        Value::Pointer { null: true, .. } if number == 0 => true,
        Value::Pointer { region: Region::Stack, first, last, .. } => {
            // A pointer may stand at a frame's end, or outside of it as long as nothing is accessed.
            let frame = (FIRST_FRAME - STACK) as i64;
            let at = number.wrapping_sub(FIRST_FRAME) as i64;
            (0..address_frames()).any(|above| (first..=last).contains(&(at - above * frame)))
        }
        Value::Pointer { region: Region::Context, first, last, .. } => {
            (first..=last).contains(&(number.wrapping_sub(CONTEXT) as i64))
        }
        Value::Pointer { region: Region::Packet | Region::PacketMeta, .. } => {
            // Arithmetic goes as far as it likes before a comparison: only what is accessed must be inside.
            number >> REGION_BITS <= address::OBJECTS >> REGION_BITS
        }
        Value::Pointer { region: Region::MapValue(_), .. } => number >= MAP_VALUES >> 1,
    })
}

fn address_frames() -> i64 {
    sandbpf::isa::MAX_FRAMES as i64
}

impl Observer for Audit<'_> {
    fn step(&mut self, pc: Pc, registers: &Registers) {
        if self.steps == self.most {
            return;
        }
        self.steps += 1;
        let Some(insn) = self.program.get(pc) else { return };
        let insn = *insn;
        self.expect(self.facts.reached(pc), pc, || "no run was to come here".into());
        self.access(pc, &insn, registers);
        self.key(pc, &insn, registers);
        self.numbers(pc, &insn, registers);
        self.states(pc, registers);
        self.life(pc, &insn);
    }

    fn branch(&mut self, pc: Pc, _to: Pc) {
        match self.program.get(pc) {
            Some(Insn::Call { .. }) => self.dead.push(RegSet::EMPTY),
            Some(Insn::Exit | Insn::LoadPacket { .. }) if self.dead.len() > 1 => {
                self.dead.pop();
            }
            _ => {}
        }
    }
}
