//! Which filters are accepted: `bpf_validate` of libpcap, `bpf_check_classic` and `seccomp_check_filter`
//! of Linux.
//!
//! Linear passes that look at no values. They promise what the lowering relies on: jumps and `M[]` stay
//! inside, constants divide, and the last instruction returns.

use alloc::{boxed::Box, vec, vec::Vec};

use sandbpf_abi::SeccompData;
use sandbpf_isa::AluOp;

use crate::ancillary;
use crate::dialect::{Loads, Rules};
use crate::shape::{Answer, MEMORY_WORDS, Shape, Source, field};
use crate::{ClassicInsn, Dialect};

/// A filter that its dialect accepts.
///
/// ```
/// use sandbpf_classic::{ClassicInsn, Dialect, Filter};
/// let accept = [ClassicInsn { code: 0x06, jt: 0, jf: 0, k: 1 }];
/// assert_eq!(Filter::check(&accept, Dialect::Linux)?.insns(), accept);
///
/// let jump = [ClassicInsn { code: 0x05, jt: 0, jf: 0, k: 7 }];
/// let error = Filter::check(&jump, Dialect::Linux).unwrap_err();
/// assert_eq!(error.to_string(), "at 0: a jump to instruction 8 of 1");
/// assert_eq!(error.errno(), 22);
/// # Ok::<(), sandbpf_classic::CheckError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    insns: Box<[ClassicInsn]>,
    dialect: Dialect,
}

/// Why a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {index}: {rule}")]
pub struct CheckError {
    index: usize,
    rule: Rule,
}

/// The rule that an instruction breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// There is no instruction.
    #[error("a filter needs at least one instruction")]
    Empty,
    /// There are too many.
    #[error("a filter has at most {max} instructions, this one has {found}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The dialect knows no such opcode.
    #[error("unknown opcode {0:#04x}")]
    Opcode(u16),
    /// A jump leaves the filter.
    #[error("a jump to instruction {to} of {len}")]
    Jump {
        /// Where it goes.
        to: u64,
        /// How many instructions there are.
        len: usize,
    },
    /// `M[]` has no such word.
    #[error("M[{0}]; the last word is M[{last}]", last = MEMORY_WORDS - 1)]
    Memory(u32),
    /// On some path `M[]` is loaded and was not stored.
    #[error("M[{0}] may be loaded before it is stored")]
    LoadedFirst(u32),
    /// A constant divisor is zero.
    #[error("division by a constant zero")]
    DivisionByZero,
    /// A constant shift is too far.
    #[error("a shift by {0} bits; the most is 31")]
    Shift(u32),
    /// No packet has such a value beside it.
    #[error("no ancillary data at {0:#x}")]
    Ancillary(u32),
    /// A policy reads a word that a system call has not.
    #[error("a load at {0}; struct seccomp_data has words at 0, 4, … 60")]
    SystemCallField(u32),
    /// The last instruction does not return.
    #[error("the last instruction must return")]
    NoReturn,
}

impl CheckError {
    /// The instruction at fault.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The rule it breaks.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// What Linux answers: `EINVAL`, whatever the rule.
    pub fn errno(&self) -> i32 {
        22
    }
}

impl Filter {
    /// The filter, if the dialect accepts it.
    pub fn check(insns: &[ClassicInsn], dialect: Dialect) -> Result<Filter, CheckError> {
        let rules = dialect.rules();
        let at = |index| move |rule| CheckError { index, rule };
        if insns.is_empty() {
            return Err(at(0)(Rule::Empty));
        }
        if insns.len() > rules.max_insns {
            return Err(at(rules.max_insns)(Rule::Length { found: insns.len(), max: rules.max_insns }));
        }
        for (index, insn) in insns.iter().enumerate() {
            let place = Place { insn, index, len: insns.len() };
            if rules.known_opcodes { place.linux(rules) } else { place.libpcap(rules) }.map_err(at(index))?;
        }
        returns(insns, rules).map_err(at(insns.len() - 1))?;
        if rules.stores_first {
            stored_before_loaded(insns)?;
        }
        Ok(Filter { insns: insns.into(), dialect })
    }

    /// Its instructions; at least one.
    pub fn insns(&self) -> &[ClassicInsn] {
        &self.insns
    }

    /// Whose rules it follows.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }
}

/// An instruction in its filter.
struct Place<'a> {
    insn: &'a ClassicInsn,
    index: usize,
    len: usize,
}

impl Place<'_> {
    /// `bpf_check_classic`, one instruction; then `seccomp_check_filter`.
    fn linux(&self, rules: Rules) -> Result<(), Rule> {
        let ClassicInsn { code, k, .. } = *self.insn;
        let shape = Shape::of(code).ok_or(Rule::Opcode(code))?;
        match shape {
            Shape::Alu(AluOp::Div | AluOp::Mod, Source::K) if k == 0 => Err(Rule::DivisionByZero),
            Shape::Alu(AluOp::Lsh | AluOp::Rsh, Source::K) if rules.short_shifts && k >= 32 => {
                Err(Rule::Shift(k))
            }
            Shape::LoadMemory(_) | Shape::Store(_) => self.memory(),
            Shape::Jump => self.jump(rules),
            Shape::Branch(..) => self.branch(),
            Shape::LoadAbsolute(_) if k >= ancillary::BASE && ancillary::Row::of(k).is_none() => {
                Err(Rule::Ancillary(k))
            }
            _ => Ok(()),
        }?;
        if rules.loads == Loads::SystemCall { self.seccomp(shape) } else { Ok(()) }
    }

    fn seccomp(&self, shape: Shape) -> Result<(), Rule> {
        let ClassicInsn { code, k, .. } = *self.insn;
        match shape {
            Shape::LoadAbsolute(sandbpf_isa::Size::W) => {
                if k % 4 != 0 || k as usize >= SeccompData::SIZE {
                    return Err(Rule::SystemCallField(k));
                }
                Ok(())
            }
            Shape::LoadAbsolute(_)
            | Shape::LoadIndirect(_)
            | Shape::LoadHeaderLength
            | Shape::Alu(AluOp::Mod, _) => Err(Rule::Opcode(code)),
            _ => Ok(()),
        }
    }

    /// `bpf_validate`, one instruction. It looks at classes of opcodes: many that it accepts mean nothing.
    fn libpcap(&self, rules: Rules) -> Result<(), Rule> {
        let ClassicInsn { code, k, .. } = *self.insn;
        let unknown = Err(Rule::Opcode(code));
        match field::class(code) {
            field::LD | field::LDX => match field::mode(code) {
                field::MEM => self.memory(),
                mode if mode > field::LAST_MODE => unknown,
                _ => Ok(()),
            },
            field::ST | field::STX => self.memory(),
            field::ALU => match field::operation(code) {
                field::DIV | field::MOD if field::is_constant(code) && k == 0 => Err(Rule::DivisionByZero),
                operation if operation > field::LAST_ALU => unknown,
                _ => Ok(()),
            },
            field::JMP => match field::operation(code) {
                field::JA => self.jump(rules),
                operation if operation > field::LAST_JMP => unknown,
                _ => self.branch(),
            },
            _ => Ok(()),
        }
    }

    fn memory(&self) -> Result<(), Rule> {
        if self.insn.k < MEMORY_WORDS { Ok(()) } else { Err(Rule::Memory(self.insn.k)) }
    }

    fn jump(&self, rules: Rules) -> Result<(), Rule> {
        if rules.jumps_back {
            return self.inside((self.index as u32 + 1).wrapping_add(self.insn.k).into());
        }
        self.forward(self.insn.k)
    }

    fn branch(&self) -> Result<(), Rule> {
        self.forward(self.insn.jt.max(self.insn.jf).into())
    }

    fn forward(&self, distance: u32) -> Result<(), Rule> {
        self.inside(self.index as u64 + 1 + u64::from(distance))
    }

    fn inside(&self, to: u64) -> Result<(), Rule> {
        if to < self.len as u64 { Ok(()) } else { Err(Rule::Jump { to, len: self.len }) }
    }
}

/// Whether the last instruction returns. libpcap is content with one of the class.
fn returns(insns: &[ClassicInsn], rules: Rules) -> Result<(), Rule> {
    let returns = insns.last().is_some_and(|last| match Shape::of(last.code) {
        Some(Shape::Return(Answer::K | Answer::A)) => true,
        _ => !rules.known_opcodes && field::class(last.code) == field::RET,
    });
    if returns { Ok(()) } else { Err(Rule::NoReturn) }
}

/// `check_load_and_stores`: which words of `M[]` were stored on every path to an instruction.
///
/// A jump leaves what it knows at its targets, and the instruction after it is taken to follow from its
/// targets alone. A return is no jump here: what follows one is judged by what was stored before it.
fn stored_before_loaded(insns: &[ClassicInsn]) -> Result<(), CheckError> {
    let mut at_target: Vec<u16> = vec![u16::MAX; insns.len()];
    let mut stored = 0;
    for (index, insn) in insns.iter().enumerate() {
        stored &= at_target[index];
        match Shape::of(insn.code) {
            Some(Shape::Store(_)) => stored |= 1 << insn.k,
            Some(Shape::LoadMemory(_)) if stored & 1 << insn.k == 0 => {
                return Err(CheckError { index, rule: Rule::LoadedFirst(insn.k) });
            }
            Some(Shape::Jump) => {
                at_target[index + 1 + insn.k as usize] &= stored;
                stored = u16::MAX;
            }
            Some(Shape::Branch(..)) => {
                at_target[index + 1 + usize::from(insn.jt)] &= stored;
                at_target[index + 1 + usize::from(insn.jf)] &= stored;
                stored = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
