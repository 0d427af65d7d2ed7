//! Many tests of one number for equality, as lists of hosts, ports and system calls have them: a search.
//!
//! ```text
//! if r0 == 10 goto a        10        → a          r0 < 40?  yes: r0 == 10, r0 == 12 or 13
//! if r0 == 12 goto b        12 … 13   → b                    no:  bits of 40 … 103
//! if r0 == 13 goto b        40, 42, … → a
//! if r0 == 40 goto a
//! ```

use sandbpf_isa::{Cond, Insn, Operand, Pc, Program, Reg, Width};

use super::admit::Admitted;

/// Tests of one register that follow each other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) reg: Reg,
    pub(crate) width: Width,
    /// What to look for, in the order of the numbers: no two overlap.
    pub(crate) items: Vec<Item>,
    /// Where to go if nothing is found.
    pub(crate) otherwise: Pc,
}

/// Numbers that lead to one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Which of the numbers from the first on are meant, if not all: `last` is then less than 64 away.
    pub(crate) bits: Option<u64>,
    pub(crate) to: Pc,
}

/// The chains of a program.
#[derive(Debug)]
pub(crate) struct Chains {
    /// The chain that starts at an instruction.
    pub(crate) at: Vec<Option<Chain>>,
    /// Whether an instruction is part of a chain that started before it, and is nothing by itself.
    pub(crate) absorbed: Vec<bool>,
}

/// One test: the number, where it leads, where control goes otherwise.
fn test(insns: &[Insn], pc: Pc) -> Option<(Reg, Width, u64, Pc, Pc)> {
    let Insn::Branch { cond, width, lhs, rhs: Operand::Imm(imm), to } = *insns.get(pc.index())? else {
        return None;
    };
    let after = Pc(pc.0 + 1);
    let number = match width {
        Width::W32 => u64::from(imm as u32),
        Width::W64 => imm as i64 as u64,
    };
    match cond {
        // A jump back is paid for, which a search does not do.
        _ if to <= pc => None,
        Cond::Eq => Some((lhs, width, number, to, after)),
        Cond::Ne => Some((lhs, width, number, after, to)),
        _ => None,
    }
}

pub(crate) fn find(program: &Program, admitted: &Admitted) -> Chains {
    let insns = program.insns();
    let mut chains = Chains { at: insns.iter().map(|_| None).collect(), absorbed: vec![false; insns.len()] };
    for index in 0..insns.len() {
        if !admitted.reached[index] || chains.absorbed[index] {
            continue;
        }
        let Some((reg, width, number, to, mut otherwise)) = test(insns, Pc(index as u32)) else { continue };
        let mut cases = vec![(number, to)];
        let mut members = Vec::new();
        // A member that other ways lead to must stand for itself.
        while admitted.ways.get(otherwise.index()) == Some(&1) {
            match test(insns, otherwise) {
                Some((its, wide, number, to, after)) if its == reg && wide == width => {
                    cases.push((number, to));
                    members.push(otherwise);
                    otherwise = after;
                }
                Some(_) => break,
                None => match insns[otherwise.index()] {
                    Insn::Jump { to, .. } if to > otherwise => {
                        members.push(otherwise);
                        otherwise = to;
                    }
                    _ => break,
                },
            }
        }
        if cases.len() > 1 {
            for member in members {
                chains.absorbed[member.index()] = true;
            }
            chains.at[index] = Some(Chain { reg, width, items: items(cases), otherwise });
        }
    }
    chains
}

/// Cases in order, the first of equal ones; neighbours and crowds together.
fn items(mut cases: Vec<(u64, Pc)>) -> Vec<Item> {
    cases.sort_by_key(|&(number, _)| number);
    cases.dedup_by_key(|&mut (number, _)| number);
    let mut ranges: Vec<Item> = Vec::new();
    for (number, to) in cases {
        match ranges.last_mut() {
            Some(range) if range.to == to && range.last.checked_add(1) == Some(number) => range.last = number,
            _ => ranges.push(Item { first: number, last: number, bits: None, to }),
        }
    }
    let mut items = Vec::new();
    let mut rest = &ranges[..];
    while let Some(&first) = rest.first() {
        let crowd =
            rest.iter().take_while(|range| range.to == first.to && range.last - first.first < 64).count();
        let (taken, after) = rest.split_at(crowd.max(1));
        rest = after;
        if crowd < 3 {
            items.extend(taken);
            continue;
        }
        let bit = |number: u64| 1u64 << (number - first.first);
        let numbers = taken.iter().flat_map(|range| range.first..=range.last);
        let bits = numbers.fold(0, |bits, number| bits | bit(number));
        items.push(Item { last: taken[crowd - 1].last, bits: Some(bits), ..first });
    }
    items
}
