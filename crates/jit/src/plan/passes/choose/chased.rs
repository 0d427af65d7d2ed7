//! What tests wait for: values that were chosen in the round before, and lead to what a test looks at.
//!
//! ```text
//!     if (a[j] < a[least]) least = j;
//! ```
//!
//! If `least` is chosen, the next round's load waits for it, and this for the load, and so on. If it is guessed, nobody waits but
//! where the guess is wrong.

use crate::plan::graph::{Block, End, Graph, Op, Value};
use crate::plan::passes::loops::Flow;

/// Of every test in a loop, the parameters that it waits for by way of memory.
pub(super) struct Chased {
    /// Pairs of a block and a parameter, in the order of blocks.
    pairs: Vec<(Block, Value)>,
}

/// How many values are looked at for each test.
const STEPS: usize = 96;

impl Chased {
    pub(super) fn of(graph: &Graph, flow: &Flow) -> Chased {
        let mut pairs = Vec::new();
        // In which walk a value was seen last, and in which behind a load.
        let mut seen = vec![[0u32; 2]; graph.values.len()];
        let mut ahead = Vec::new();
        for (number, at) in (0..graph.blocks.len()).enumerate() {
            let block = Block(at as u32);
            let End::Branch { test, .. } = &graph.code(block).end else { continue };
            if flow.innermost(block).is_none() {
                continue;
            }
            ahead.clear();
            ahead.extend([(test.lhs, false), (test.rhs, false)]);
            let mut steps = 0;
            while let Some((value, loaded)) = ahead.pop() {
                let seen = &mut seen[value.index()][usize::from(loaded)];
                if std::mem::replace(seen, number as u32 + 1) == number as u32 + 1 {
                    continue;
                }
                steps += 1;
                if steps > STEPS {
                    break;
                }
                match graph.op(value) {
                    Op::Param(to) => {
                        if loaded {
                            pairs.push((block, value));
                        }
                        let Some(place) = graph.code(*to).params.iter().position(|&param| param == value)
                        else {
                            continue;
                        };
                        let ways = flow.incoming.to(*to).iter();
                        ahead.extend(ways.map(|way| (way.edge(graph).arguments[place], loaded)));
                    }
                    Op::Load { at, .. } => at.uses(&mut |used| ahead.push((used, true))),
                    op => op.uses(|used| ahead.push((used, loaded))),
                }
            }
        }
        Chased { pairs }
    }

    /// Whether the test at the end of a block waits for a parameter.
    pub(super) fn waits(&self, block: Block, param: Value) -> bool {
        let first = self.pairs.partition_point(|(at, _)| *at < block);
        self.pairs[first..].iter().take_while(|(at, _)| *at == block).any(|(_, other)| *other == param)
    }
}
