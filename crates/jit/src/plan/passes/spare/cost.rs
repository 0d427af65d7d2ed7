//! What loops cost, and how many of their rounds are put one behind the other.

use crate::plan::graph::{Block, Effect, Graph, Op};
use crate::plan::passes::loops::{Exit, Flow, Loop, trips};

/// A loop that can be copied without its charges.
#[derive(Debug)]
pub(super) struct Cost {
    /// The only way out.
    pub(super) exit: Exit,
    /// How many rounds it has, the one included that leaves it.
    pub(super) trips: u64,
    /// What a run through all of it costs at most.
    pub(super) total: u64,
    /// Whether it always costs that.
    pub(super) is_exact: bool,
    /// How many charges there are in it.
    pub(super) charges: usize,
    /// How many values a copy has.
    pub(super) size: usize,
    /// How many rounds stand one behind the other in a copy.
    pub(super) rounds: u64,
}

/// The largest loop that is copied, in values.
const LARGEST: usize = 128;
/// The largest body of several rounds, if not of all.
const SEVERAL: usize = 40;
/// A look-up, in values.
const LOOKUP: usize = 24;
/// The largest of all rounds.
const ALL: usize = 112;

impl Cost {
    /// Whether the copy is so much faster that it is worth its place.
    pub(super) fn is_worth_it(&self) -> bool {
        let faster = self.charges > 0 || self.rounds > 1;
        faster && self.trips >= 3 && self.size <= LARGEST && (self.is_exact || self.charges <= 4)
    }
}

/// What is known of every loop that can be copied.
pub(super) fn costs(graph: &Graph, flow: &Flow) -> Vec<Option<Cost>> {
    let mut costs: Vec<Option<Cost>> = Vec::new();
    // Loops inside come first.
    for inside in &flow.loops {
        let cost = cost(graph, flow, inside, &costs);
        costs.push(cost);
    }
    costs
}

/// What ways cost, the cheapest and the dearest.
#[derive(Clone, Copy)]
struct Way {
    least: u64,
    most: u64,
}

impl Way {
    fn join(at: &mut Option<Way>, way: Way) {
        let joined = at.map_or(way, |at| Way { least: at.least.min(way.least), most: at.most.max(way.most) });
        *at = Some(joined);
    }

    fn and(self, least: u64, most: u64) -> Option<Way> {
        let most = self.most.checked_add(most).filter(|&most| most < 1 << 40)?;
        Some(Way { least: self.least + least, most })
    }
}

fn cost(graph: &Graph, flow: &Flow, inside: &Loop, inner: &[Option<Cost>]) -> Option<Cost> {
    let exits = flow.exits(graph, inside);
    let [exit] = exits[..] else { return None };
    if !flow.is_always_passed(exit.block, inside) || inside.blocks.len() > 24 {
        return None;
    }
    let trips = trips(graph, flow, inside, exit)?;
    let (mut charges, mut size, mut params) = (0, 0, 0);
    // What has been paid where a block begins; of the head, where a round ends.
    let mut paid: Vec<(Block, Option<Way>)> = inside.blocks.iter().map(|&block| (block, None)).collect();
    let mut parts: Vec<(Block, Option<&Cost>)> = inside.blocks.iter().map(|&block| (block, None)).collect();
    for &number in &inside.inner {
        let (head, cost) = (flow.loops[number as usize].head, inner[number as usize].as_ref()?);
        paid.push((head, None));
        parts.push((head, Some(cost)));
    }
    parts.sort_unstable_by_key(|(block, _)| flow.place[block.index()]);
    let mut last = None;
    for (block, part) in parts {
        let enters = match block == inside.head {
            true => Some(Way { least: 0, most: 0 }),
            false => paid.iter().find(|(at, _)| *at == block).and_then(|(_, way)| *way),
        };
        let enters = enters?;
        let (from, leaves) = match part {
            Some(cost) => {
                charges += cost.charges;
                size += cost.size;
                let least = if cost.is_exact { cost.total } else { 0 };
                (cost.exit.block, enters.and(least, cost.total)?)
            }
            None => {
                let code = graph.code(block);
                params += code.params.len();
                let mut sum = 0u64;
                for &value in &code.body {
                    match graph.op(value) {
                        Op::Charge { cost, .. } => {
                            sum += u64::from(*cost);
                            charges += 1;
                        }
                        Op::Plain { .. } => size += 1,
                        Op::Lookup { marks: false, .. } => size += LOOKUP,
                        op if matches!(op.effect(), Effect::Order | Effect::All) => return None,
                        _ => size += 1,
                    }
                }
                (block, enters.and(sum, sum)?)
            }
        };
        for (second, edge) in graph.code(from).end.edges().enumerate() {
            if part.is_some_and(|cost| cost.exit.yes == (second == 1)) {
                continue;
            }
            match paid.iter_mut().find(|(at, _)| *at == edge.to) {
                Some((_, way)) => Way::join(way, leaves),
                // The exit, unless a loop inside leaves this one as well.
                None if from == exit.block && part.is_none() => Way::join(&mut last, leaves),
                None => return None,
            }
        }
    }
    let round = paid.first()?.1;
    let (round, last) = (round.or((trips == 1).then_some(Way { least: 0, most: 0 }))?, last?);
    let total = round.most.checked_mul(trips - 1)?.checked_add(last.most).filter(|&total| total < 1 << 40)?;
    let is_exact = round.least == round.most && last.least == last.most;
    let rounds = if inside.inner.is_empty() { rounds(trips, size, params) } else { 1 };
    // Parameters are left where a loop is.
    let size = if rounds == trips { size * rounds as usize } else { (size + params) * rounds as usize };
    Some(Cost { exit, trips, total, is_exact, charges, size, rounds })
}

/// How many rounds go one behind the other: all, or a part of them that goes into all. Where all do, parameters are none.
fn rounds(trips: u64, size: usize, params: usize) -> u64 {
    let all = size.max(1) as u64;
    if trips <= 8 && trips * all <= ALL as u64 {
        return trips;
    }
    let size = (size + params).max(1) as u64;
    let fits = |&rounds: &u64| trips.is_multiple_of(rounds) && rounds * size <= SEVERAL as u64;
    [4, 3, 5, 2, 7].into_iter().find(fits).unwrap_or(1)
}
