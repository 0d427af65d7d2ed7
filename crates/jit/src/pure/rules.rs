//! Lists of rules that all lead to one place, as filters of many hosts, networks or ports have them: tried in another
//! order, so that what they have in common is looked at once.
//!
//! ```text
//! if src == a goto accept                          switch src { a, b → accept }
//! if dst == a goto accept                          switch dst { a → accept
//! if src == b goto accept                                       c → if proto == 6 goto accept }
//! if dst == c, proto == 6 goto accept
//! ```
//!
//! A rule is some tests of bytes of the packet; who fails one goes on to the next rule. As long as all loads succeed it does
//! not matter which rule is tried first. So the list is brought into another order only where the packet is known to be long
//! enough for all of it; if need be it is asked for that first, and shorter packets go the old way.

use sandbpf_isa::{Cond, Operand, Reg, Width};

use super::blocks::{Block, BlockId, Blocks, Check, Edge, End, Flow, Place, Step, Test};
use super::lengths::Known;
use super::live::Live;
use super::reuse::{self, Held};
use super::tree;

/// Fewer rules are left as they are.
const FEW: usize = 4;
/// How many rules at the start of a list may be left as they are, if that saves asking for the packet's length.
const SPARED: usize = 8;
/// How many tests a rule may have.
const TESTS: usize = 12;

/// A test of bytes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) place: Place,
    pub(super) mask: Option<u32>,
    pub(super) cond: Cond,
    pub(super) number: u32,
    /// The outcome with which the rule goes on.
    pub(super) good: bool,
}

/// A list of rules.
#[derive(Debug)]
pub(super) struct List {
    /// The register that tests load into.
    pub(super) reg: Reg,
    /// The tests of all rules, and where each rule's end among them.
    pub(super) trials: Vec<Trial>,
    pub(super) ends: Vec<usize>,
    /// The blocks that rules start in.
    starts: Vec<BlockId>,
    /// Where a rule leads that holds.
    pub(super) to: BlockId,
    /// Where control goes if none does.
    pub(super) otherwise: BlockId,
}

impl List {
    /// The tests of a rule.
    pub(super) fn rule(&self, number: usize) -> &[Trial] {
        let first = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.trials[first..self.ends[number]]
    }
}

/// A test at the end of a block.
struct Found {
    place: Place,
    mask: Option<u32>,
    test: Test,
    number: u32,
    taken: BlockId,
    otherwise: BlockId,
    /// How many of the block's steps make the number that is tested.
    steps: usize,
}

impl Found {
    fn trial(&self, good: bool) -> Trial {
        let Found { place, mask, test: Test { cond, .. }, number, .. } = *self;
        Trial { place, mask, cond, number, good }
    }

    /// The way of an outcome.
    fn way(&self, outcome: bool) -> BlockId {
        if outcome { self.taken } else { self.otherwise }
    }
}

/// Brings lists of rules into an order that saves work; whether there were any.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow) -> bool {
    // Where little is loaded, little is loaded twice; and all rules lead to one place.
    let loads = |id: &&BlockId| blocks.steps(**id).iter().any(|step| matches!(step, Step::Packet { .. }));
    let few = flow.order.iter().all(|id| (flow.ways[id.index()] as usize) < FEW);
    if few || flow.order.iter().filter(loads).count() < FEW {
        return false;
    }
    let finder = Finder { held: reuse::before(blocks, flow), ways: &flow.ways };
    let known = Known::of(blocks, flow);
    let live = Live::of(blocks, flow);
    let count = blocks.blocks.len();
    let mut seen = vec![false; count];
    for &id in &flow.order {
        if seen[id.index()] {
            continue;
        }
        let Some(list) = finder.list(blocks, id) else { continue };
        list.starts.iter().for_each(|start| seen[start.index()] = true);
        let read = |to: BlockId| live.before(to).contains(list.reg);
        // Tests of what was loaded once are left to others.
        let loads = list.starts.iter().filter(|&&start| !blocks.steps(start).is_empty()).count();
        if list.ends.len() >= FEW && loads >= FEW - 1 && !read(list.to) && !read(list.otherwise) {
            rebuild(blocks, &finder, &known, list);
        }
    }
    blocks.blocks.len() > count
}

struct Finder<'f> {
    /// What a register holds before each block.
    held: Vec<Option<Held>>,
    ways: &'f [u32],
}

impl Finder<'_> {
    /// The test at the end of a block, which does nothing else if it is to be `whole`.
    fn test(&self, blocks: &Blocks, id: BlockId, whole: bool) -> Option<Found> {
        let End::Branch {
            test,
            taken: Edge { to: taken, cost: 0 },
            otherwise: Edge { to: otherwise, cost: 0 },
        } = *blocks.end(id)
        else {
            return None;
        };
        let (Operand::Imm(number), Width::W32) = (test.rhs, test.width) else { return None };
        let steps = blocks.steps(id);
        let number = number as u32;
        let found = |place, mask, steps| Some(Found { place, mask, test, number, taken, otherwise, steps });
        let mask = steps.last().and_then(|step| reuse::mask(step, test.lhs));
        let rest = &steps[..steps.len() - usize::from(mask.is_some())];
        let found = match (rest.last(), self.held[id.index()]) {
            (Some(&Step::Packet { dst, place, check }), _) if dst == test.lhs && check != Check::Sum => {
                found(place, mask, 1 + usize::from(mask.is_some()))
            }
            (None, Some(held)) if held.reg == test.lhs && !held.sum => match (held.mask, mask) {
                (None, mask) => found(held.place, mask, usize::from(mask.is_some())),
                (mask, None) => found(held.place, mask, 0),
                (Some(_), Some(_)) => None,
            },
            _ => None,
        }?;
        // Behind what another test loads, something else is found each time.
        let stays = found.place.index != Some(test.lhs);
        (stays && (!whole || found.steps == steps.len())).then_some(found)
    }

    /// The longest list of rules that starts at the end of this block.
    fn list(&self, blocks: &Blocks, id: BlockId) -> Option<List> {
        let first = self.test(blocks, id, false)?;
        let lists = [true, false].map(|good| self.list_if(blocks, id, &first, good));
        lists.into_iter().flatten().max_by_key(|list| list.ends.len())
    }

    /// The list whose first rule goes on with this outcome of its first test.
    fn list_if(&self, blocks: &Blocks, id: BlockId, first: &Found, good: bool) -> Option<List> {
        let mut list = List {
            reg: first.test.lhs,
            trials: Vec::new(),
            ends: Vec::new(),
            starts: Vec::new(),
            to: id,
            otherwise: first.way(!good),
        };
        list.to = self.rule(blocks, &mut list, first, good, None)?;
        list.ends.push(list.trials.len());
        list.starts.push(id);
        loop {
            let (next, from) = (list.otherwise, list.trials.len());
            // All ways to the next rule must come from this one.
            let tests = from - list.ends.iter().rev().nth(1).copied().unwrap_or(0);
            if self.ways[next.index()] as usize != tests || next == list.to {
                break;
            }
            let Some(found) = self.test(blocks, next, true).filter(|found| found.test.lhs == list.reg) else {
                break;
            };
            let to = Some(list.to);
            // What leads there at once is a rule of one test.
            let likely = found.otherwise != list.to;
            let Some(good) = [likely, !likely].into_iter().find(|&good| {
                list.trials.truncate(from);
                self.rule(blocks, &mut list, &found, good, to).is_some()
            }) else {
                list.trials.truncate(from);
                break;
            };
            list.ends.push(list.trials.len());
            list.starts.push(next);
            list.otherwise = found.way(!good);
        }
        Some(list)
    }

    /// Takes the tests of a rule; where it leads, which must be `to` if that is known.
    fn rule(
        &self,
        blocks: &Blocks,
        list: &mut List,
        first: &Found,
        good: bool,
        to: Option<BlockId>,
    ) -> Option<BlockId> {
        let fail = first.way(!good);
        list.trials.push(first.trial(good));
        let mut next = first.way(good);
        for _ in 1..TESTS {
            if to == Some(next) {
                break;
            }
            let found = if self.ways[next.index()] == 1 { self.test(blocks, next, true) } else { None };
            let Some(found) = found.filter(|found| found.test.lhs == list.reg) else { break };
            let good = match (found.taken == fail, found.otherwise == fail) {
                (true, false) => false,
                (false, true) => true,
                _ => break,
            };
            list.trials.push(found.trial(good));
            next = found.way(good);
        }
        (next != fail && to.is_none_or(|to| to == next)).then_some(next)
    }
}

/// How long the packet must be: behind an index, or from its start.
type Need = (Option<Reg>, u32);

/// Puts a search in the place of a list.
fn rebuild(blocks: &mut Blocks, finder: &Finder<'_>, known: &Known, mut list: List) {
    // What each rule and those behind it need.
    let mut needs: Vec<Vec<Need>> = Vec::new();
    let mut need: Vec<Need> = Vec::new();
    for number in (0..list.ends.len()).rev() {
        for trial in list.rule(number) {
            // No packet is longer than that.
            let Some(end) = trial.place.end().filter(|&end| end <= i32::MAX as u32) else { return };
            match need.iter_mut().find(|(index, _)| *index == trial.place.index) {
                Some((_, length)) => *length = end.max(*length),
                None => need.push((trial.place.index, end)),
            }
        }
        if number <= SPARED {
            needs.push(need.clone());
        }
    }
    needs.reverse();
    // What is not known before the test that a list starts with, whose block may do something before.
    let missing = |number: usize, found: &Found| -> Vec<Need> {
        let start = list.starts[number];
        let steps = blocks.steps(start).len() - found.steps;
        let known = |index| known.behind(blocks, start, steps, index);
        needs[number].iter().copied().filter(|&(index, length)| known(index) < length).collect()
    };
    let most = list.ends.len().saturating_sub(FEW).min(SPARED);
    let mut chosen = None;
    for number in 0..=most {
        let Some(found) = finder.test(blocks, list.starts[number], false) else { return };
        let missing = missing(number, &found);
        // The first load asks for some of it, whatever is loaded first.
        let asks = (found.steps != 0).then(|| (found.place.index, found.place.end().unwrap_or(0)));
        let rest = missing
            .iter()
            .copied()
            .filter(|&(index, length)| asks.is_none_or(|(its, end)| its != index || end < length));
        let rest: Vec<Need> = rest.collect();
        if rest.is_empty() || number == 0 {
            let done = rest.is_empty();
            chosen = Some((number, found, if done { asks } else { None }, if done { rest } else { missing }));
            if done {
                break;
            }
        }
    }
    let Some((number, found, asks, missing)) = chosen else { return };
    let start = list.starts[number];
    let first = number.checked_sub(1).map_or(0, |before| list.ends[before]);
    list.trials.drain(..first);
    list.ends.drain(..number);
    list.ends.iter_mut().for_each(|end| *end -= first);
    let Some(fast) = tree::build(blocks, &list) else { return };
    if let Some((index, end)) = asks
        && !ask(blocks, fast, index, end)
    {
        return;
    }
    let Block { last, end, .. } = blocks.blocks[start.index()];
    let before = last - found.steps as u32;
    let mut entry = fast;
    if !missing.is_empty() {
        let steps: Vec<Step> = blocks.steps[before as usize..last as usize].to_vec();
        let slow = blocks.add(&steps, end);
        for (index, bytes) in missing {
            entry = blocks.add(&[], End::Enough { index, bytes, taken: entry, otherwise: slow });
        }
    }
    let block = &mut blocks.blocks[start.index()];
    (block.last, block.end) = (before, End::Goto(Edge::to(entry)));
}

/// Has the first load of a block ask for so many bytes; whether it can.
fn ask(blocks: &mut Blocks, id: BlockId, index: Option<Reg>, bytes: u32) -> bool {
    let first = blocks.blocks[id.index()].first as usize;
    match &mut blocks.steps[first] {
        Step::Packet { place, check: Check::Length(length), .. } if place.index == index => {
            *length = bytes.max(*length);
            true
        }
        _ => false,
    }
}
