//! A list of rules as a tree: by one place of the packet after the other.

use sandbpf_isa::{AluOp, Cond, Insn, Operand, Size, Width};

use super::blocks::{BlockId, Blocks, Check, Edge, End, Item, Place, Step, Switch, Test};
use super::rules::{List, Trial};

/// How many kinds of rules a list may have.
const KINDS: usize = 16;
/// Fewer rules are tried one after the other.
const FEW: usize = 3;

/// What a rule says of a place: a number of this range is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    place: Place,
    first: u32,
    last: u32,
}

/// A rule: what it says of places, and tests besides that do not come to a range.
#[derive(Debug, Default)]
struct Rule {
    keys: Vec<Key>,
    others: Vec<Trial>,
}

/// Rules that look at the same places.
struct Group {
    rules: Vec<Rule>,
}

/// The first block of a tree that says what the list does, where all loads succeed; `None` if nothing is gained by one.
pub(super) fn build(blocks: &mut Blocks, list: &List) -> Option<BlockId> {
    let groups = groups(list)?;
    if groups.iter().all(|group| group.rules.len() < FEW || group.rules[0].keys.is_empty()) {
        return None;
    }
    let mut builder = Builder { blocks, list };
    // From the last to the first: each knows where the next one starts.
    Some(groups.iter().rev().fold(list.otherwise, |next, group| {
        let rules: Vec<&Rule> = group.rules.iter().collect();
        builder.tree(&rules, 0, next)
    }))
}

/// Rules by the places that they look at; `None` if these are too many to be told apart.
fn groups(list: &List) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for number in 0..list.ends.len() {
        let Some(rule) = rule(list.rule(number)) else { continue };
        let same = |group: &&mut Group| {
            let places = |rule: &Rule| rule.keys.len();
            let other = &group.rules[0];
            places(other) == places(&rule)
                && other.keys.iter().zip(&rule.keys).all(|(a, b)| a.place == b.place)
        };
        let full = groups.len() == KINDS;
        match groups.iter_mut().find(same) {
            Some(group) => group.rules.push(rule),
            None if full => return None,
            None => groups.push(Group { rules: vec![rule] }),
        }
    }
    Some(groups)
}

/// What tests come to; `None` if they never all hold.
fn rule(trials: &[Trial]) -> Option<Rule> {
    let mut rule = Rule::default();
    for trial in trials {
        match range(trial) {
            Range::Of(first, last) => {
                let key = match rule.keys.iter_mut().find(|key| key.place == trial.place) {
                    Some(key) => key,
                    None => {
                        rule.keys.push(Key { place: trial.place, first: 0, last: u32::MAX });
                        rule.keys.last_mut().expect("one was put there")
                    }
                };
                (key.first, key.last) = (key.first.max(first), key.last.min(last));
                if key.first > key.last {
                    return None;
                }
            }
            Range::Empty => return None,
            Range::Other => rule.others.push(*trial),
        }
    }
    Some(rule)
}

/// Which numbers at its place a test is satisfied with.
enum Range {
    Of(u32, u32),
    Empty,
    Other,
}

fn range(trial: &Trial) -> Range {
    let Trial { place, mask, cond, number, good } = *trial;
    let most = match place.size {
        Size::B => 0xff,
        Size::H => 0xffff,
        Size::W => u32::MAX,
        Size::DW => return Range::Other,
    };
    let cond = match (cond, good) {
        (cond, true) => cond,
        (Cond::Eq, false) => Cond::Ne,
        (Cond::Ne, false) => Cond::Eq,
        (Cond::Gt, false) => Cond::Le,
        (Cond::Ge, false) => Cond::Lt,
        (Cond::Lt, false) => Cond::Ge,
        (Cond::Le, false) => Cond::Gt,
        _ => return Range::Other,
    };
    // The bits that do not matter.
    let free = !mask.unwrap_or(u32::MAX) & most;
    let of = |first: Option<u32>, last: Option<u32>| match (first, last) {
        (Some(first), Some(last)) if first <= last.min(most) => Range::Of(first, last.min(most)),
        _ => Range::Empty,
    };
    match cond {
        Cond::Eq if free & free.wrapping_add(1) != 0 => Range::Other,
        Cond::Eq if number & free != 0 || number > most => Range::Empty,
        Cond::Eq => of(Some(number), Some(number | free)),
        _ if free != 0 => Range::Other,
        Cond::Gt => of(number.checked_add(1), Some(most)),
        Cond::Ge => of(Some(number), Some(most)),
        Cond::Lt => of(Some(0), number.checked_sub(1)),
        Cond::Le => of(Some(0), Some(number)),
        _ => Range::Other,
    }
}

struct Builder<'b> {
    blocks: &'b mut Blocks,
    list: &'b List,
}

impl Builder<'_> {
    /// A tree of rules that look at the same places; bits of `done` are places that were looked at already.
    fn tree(&mut self, rules: &[&Rule], done: u32, next: BlockId) -> BlockId {
        let split = if rules.len() < FEW { None } else { split(rules, done) };
        let Some((at, order)) = split else {
            return rules.iter().rev().fold(next, |next, rule| self.conjunction(rule, done, next));
        };
        let place = rules[0].keys[at].place;
        let mut items = Vec::new();
        for same in order.chunk_by(|a, b| a.keys[at] == b.keys[at]) {
            let Key { first, last, .. } = same[0].keys[at];
            let to = self.tree(same, done | 1 << at, next);
            items.push(Item { first: first.into(), last: last.into(), to, turn: items.len() as u32 });
        }
        self.search(place, items, next)
    }

    /// Blocks for what a rule says beyond the places that were looked at.
    fn conjunction(&mut self, rule: &Rule, done: u32, next: BlockId) -> BlockId {
        let to = rule.others.iter().rev().fold(self.list.to, |to, trial| self.trial(trial, to, next));
        let keys = rule.keys.iter().enumerate().filter(|&(at, _)| done >> at & 1 == 0);
        keys.rev().fold(to, |to, (_, key)| {
            let item = Item { first: key.first.into(), last: key.last.into(), to, turn: 0 };
            self.search(key.place, vec![item], next)
        })
    }

    /// A block that tells numbers at a place apart.
    fn search(&mut self, place: Place, items: Vec<Item>, next: BlockId) -> BlockId {
        let reg = self.list.reg;
        let end = match items[..] {
            [Item { first, to, .. }] if items[0].single() => {
                let test =
                    Test { cond: Cond::Eq, width: Width::W32, lhs: reg, rhs: Operand::Imm(first as i32) };
                End::Branch { test, taken: Edge::to(to), otherwise: Edge::to(next) }
            }
            _ => {
                let switch = Switch::new(reg, Width::W32, items, next);
                self.blocks.switch(switch)
            }
        };
        let load = self.load(place);
        self.blocks.add(&[load], end)
    }

    fn trial(&mut self, trial: &Trial, to: BlockId, next: BlockId) -> BlockId {
        let Trial { place, mask, cond, number, good } = *trial;
        let reg = self.list.reg;
        let test = Test { cond, width: Width::W32, lhs: reg, rhs: Operand::Imm(number as i32) };
        let (taken, otherwise) = if good { (to, next) } else { (next, to) };
        let end = End::Branch { test, taken: Edge::to(taken), otherwise: Edge::to(otherwise) };
        let load = self.load(place);
        match mask {
            None => self.blocks.add(&[load], end),
            Some(mask) => {
                let src = Operand::Imm(mask as i32);
                let and = Step::Insn(Insn::Alu { op: AluOp::And, width: Width::W32, dst: reg, src });
                self.blocks.add(&[load, and], end)
            }
        }
    }

    fn load(&self, place: Place) -> Step {
        let end = place.end().expect("rules look at places whose end is known");
        Step::Packet { dst: self.list.reg, place, check: Check::Length(end) }
    }
}

/// The place that tells rules apart best, by its number among their keys, and the rules in the order of what they say of
/// it; `None` if ranges overlap at each.
fn split<'r>(rules: &[&'r Rule], done: u32) -> Option<(usize, Vec<&'r Rule>)> {
    let mut best: Option<(usize, usize, Vec<&Rule>)> = None;
    for at in (0..rules[0].keys.len()).filter(|&at| done >> at & 1 == 0) {
        let mut order = rules.to_vec();
        // Stable: of equal ones the first stays first.
        order.sort_by_key(|rule| (rule.keys[at].first, rule.keys[at].last));
        let mut different = 1;
        let apart = order.windows(2).all(|pair| {
            let (a, b) = (pair[0].keys[at], pair[1].keys[at]);
            different += usize::from(a != b);
            a == b || a.last < b.first
        });
        if apart && different > 1 && best.as_ref().is_none_or(|&(most, ..)| different > most) {
            best = Some((different, at, order));
        }
    }
    best.map(|(_, at, order)| (at, order))
}
