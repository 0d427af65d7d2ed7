//! Choices that are better guessed: a jump around a copy, where a conditional move would be waited for.
//!
//! ```text
//! tokens = min(tokens + gained, most)         add rax, rcx ; cmp rax, 5000 ; jb L ; mov eax, 5000 ; L:
//! if (length <= tokens) tokens -= length
//! ```
//!
//! What is chosen waits for the test, and where the test waits for what was chosen the round before, rounds take one another's time.
//! A processor that guesses does not wait. So of every loop that has no other in it the time until its values are there is
//! reckoned twice over two rounds: with what is chosen waiting for its tests, and without. If guessing makes
//! half of what a round adds disappear, choices are guessed whose tests come long after what is chosen from. Loops whose rounds need
//! not wait for each other are left alone, but where one round is so long that the next does not begin beside it.

use super::super::graph::{BinOp, Block, Graph, Op, Test, Value};
use super::nest::{NONE, Nest};

/// How much later the test has to be there: a quarter of what a wrong guess costs.
const LATER: u32 = 4;

/// How much a round has to gain of which the next is no part.
const SERIAL: u32 = 32;

/// For every value, whether it is a choice that is better guessed; none if the list is empty.
pub(super) fn guessed(graph: &Graph, nest: &Nest) -> Vec<bool> {
    let mut wanted = vec![false; nest.loops.len()];
    let mut any = false;
    for &block in &nest.order {
        let Some(inside) = nest.loop_of(block) else { continue };
        let is_choice = |value: &Value| matches!(graph.op(*value), Op::Select { .. });
        if !wanted[inside as usize] && graph.code(block).body.iter().any(is_choice) {
            wanted[inside as usize] = true;
            any = true;
        }
    }
    if !any {
        return Vec::new();
    }
    for (at, found) in nest.loops.iter().enumerate() {
        wanted[at] &= found.one_way;
        if found.parent != NONE {
            wanted[found.parent as usize] = false;
        }
    }
    let is_wanted = |block: &Block| nest.loop_of(*block).is_some_and(|inside| wanted[inside as usize]);
    let mut blocks: Vec<Block> = nest.order.iter().copied().filter(is_wanted).collect();
    blocks.sort_by_key(|&block| nest.loop_of(block));
    let mut times = Times { graph, nest, ready: vec![[0; 2]; graph.values.len()] };
    let mut guessed = Vec::new();
    for blocks in blocks.chunk_by(|&a, &b| nest.loop_of(a) == nest.loop_of(b)) {
        let rounds = [times.round(blocks, false), times.round(blocks, true)];
        if is_worth(rounds) {
            guessed.resize(graph.values.len(), false);
            times.choices(blocks, &mut guessed);
        }
        times.forget(blocks);
    }
    guessed
}

/// Whether guessing is worth it in a loop, by when all is done after one round and after two: waiting for tests, and not.
fn is_worth([[first, first_guessed], [second, second_guessed]]: [[u32; 2]; 2]) -> bool {
    let gain = [first.saturating_sub(first_guessed), second.saturating_sub(second_guessed)];
    if gain[1] > gain[0] {
        (gain[1] - gain[0]) * 2 >= second - first && gain[1] * 8 >= second
    } else {
        gain[0] >= SERIAL
    }
}

struct Times<'g> {
    graph: &'g Graph,
    nest: &'g Nest,
    /// For every value of the loop at hand when it is there, in cycles: if choices wait for their tests, and if they do not.
    ready: Vec<[u32; 2]>,
}

impl Times<'_> {
    /// One more round of a loop; when all of it is done.
    fn round(&mut self, blocks: &[Block], again: bool) -> [u32; 2] {
        let mut done = [0; 2];
        for (place, &block) in blocks.iter().enumerate() {
            if place > 0 || again {
                self.enter(block);
            }
            let graph = self.graph;
            for &value in &graph.code(block).body {
                let ready = self.value(value);
                self.ready[value.index()] = ready;
                done = latest(done, ready);
            }
        }
        done
    }

    /// What the parameters of a block are given, by ways from within the loop.
    fn enter(&mut self, block: Block) {
        let (graph, nest) = (self.graph, self.nest);
        let params = &graph.code(block).params;
        if params.is_empty() {
            return;
        }
        let inside = nest.loop_of(block);
        let mut given = vec![[0; 2]; params.len()];
        for &from in nest.predecessors(block) {
            if nest.loop_of(from) != inside {
                continue;
            }
            for edge in graph.code(from).end.edges().filter(|edge| edge.to == block) {
                for (given, argument) in given.iter_mut().zip(&edge.arguments) {
                    *given = latest(*given, self.ready[argument.index()]);
                }
            }
        }
        for (&param, given) in params.iter().zip(given) {
            self.ready[param.index()] = given;
        }
    }

    /// When a value is there.
    fn value(&self, value: Value) -> [u32; 2] {
        let op = self.graph.op(value);
        if let Op::Select { test, yes, no } = op {
            let [yes, no] = [yes, no].map(|value| self.ready[value.index()]);
            return [self.test(test).max(yes[0]).max(no[0]) + 1, mostly(yes[1], no[1])];
        }
        let mut ready = [0; 2];
        op.uses(|used| ready = latest(ready, self.ready[used.index()]));
        ready.map(|ready| ready + latency(op))
    }

    /// When it is known how a test ends.
    fn test(&self, test: &Test) -> u32 {
        self.ready[test.lhs.index()][0].max(self.ready[test.rhs.index()][0]) + 1
    }

    /// Marks the choices of a loop that are guessed.
    fn choices(&self, blocks: &[Block], guessed: &mut [bool]) {
        for &block in blocks {
            for &value in &self.graph.code(block).body {
                let Op::Select { test, yes, no } = self.graph.op(value) else { continue };
                let [yes, no] = [yes, no].map(|value| self.ready[value.index()][0]);
                guessed[value.index()] = self.test(test) >= mostly(yes, no) + LATER;
            }
        }
    }

    fn forget(&mut self, blocks: &[Block]) {
        for &block in blocks {
            let code = self.graph.code(block);
            for value in code.params.iter().chain(&code.body) {
                self.ready[value.index()] = [0; 2];
            }
        }
    }
}

fn latest(a: [u32; 2], b: [u32; 2]) -> [u32; 2] {
    [a[0].max(b[0]), a[1].max(b[1])]
}

/// When one of two values is there, if the one or the other is meant three times out of four.
fn mostly(a: u32, b: u32) -> u32 {
    (a.max(b) * 3 + a.min(b)).div_ceil(4)
}

/// How many cycles an operation takes once its operands are there.
fn latency(op: &Op) -> u32 {
    match op {
        Op::Bin { op, .. } => match op {
            BinOp::Mul => 3,
            BinOp::MulHigh => 4,
            BinOp::Div | BinOp::Sdiv | BinOp::Mod | BinOp::Smod => 20,
            _ => 1,
        },
        Op::Compare(_) => 2,
        Op::Un { .. } => 1,
        Op::Load { .. } => 5,
        Op::Host { .. } => 3,
        Op::Call { .. } | Op::Plain { .. } | Op::Atomic { .. } | Op::Lookup { .. } => 20,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::nest::Nest;
    use super::guessed;
    use crate::plan::graph::Op;
    use crate::plan::passes::trial::built;
    use crate::plan::passes::{Without, run};

    /// How many choices of a program are guessed, and how many are not.
    fn choices(text: &str) -> (usize, usize) {
        let mut graph = built(text);
        run(&mut graph, Without::default());
        let nest = Nest::of(&graph);
        let guessed = guessed(&graph, &nest);
        let bodies = nest.order.iter().filter(|&&block| nest.depth(block) > 0 && !graph.code(block).cold);
        let choices = bodies
            .flat_map(|&block| &graph.code(block).body)
            .filter(|&&value| matches!(graph.op(value), Op::Select { .. }));
        choices.fold((0, 0), |(yes, no), value| match guessed.get(value.index()) {
            Some(true) => (yes + 1, no),
            _ => (yes, no + 1),
        })
    }

    /// A loop over bytes, each of them in `r4`.
    fn repeated(body: &str) -> (usize, usize) {
        choices(&format!(
            "r0 = 0\nr5 = 0\nr3 = 0\nL1:\nr6 = r1\nr6 += r3\nr4 = *(u8 *)(r6 + 0)\n{body}\nr3 += 1\nif r3 < r2 goto L1\nr0 += r5\nexit"
        ))
    }

    #[test]
    fn rounds_that_wait_for_what_was_chosen() {
        // What there is grows, is no more than 5000, and is taken from if there is enough.
        let (yes, no) = repeated(
            "r4 *= 77\nr5 += r4\nif r5 < 5000 goto L2\nr5 = 5000\nL2:\nr4 &= 1023\nif r4 <= r5 goto L3\nr0 += 1\nr4 = 0\nL3:\nr5 -= r4",
        );
        assert!(yes >= 2 && no <= yes / 2, "{yes}, {no}");
    }

    #[test]
    fn rounds_that_do_not_wait() {
        assert_eq!(repeated("if r4 & 1 goto L2\nr0 += r4\nL2:").0, 0);
        assert_eq!(repeated("if r4 < 100 goto L2\nr4 = 100\nL2:\nr0 += r4").0, 0);
        // The test and what it is between are there at the same time.
        assert_eq!(repeated("r0 ^= r4\nr5 = r0\nr5 >>= 1\nif r0 & 1 goto L2\nr5 ^= 1021\nL2:\nr0 = r5").0, 0);
    }

    #[test]
    fn no_loops_no_guesses() {
        assert_eq!(choices("r0 = 1\nif r2 < 70 goto L1\nr0 = 2\nL1:\nexit"), (0, 0));
    }
}
