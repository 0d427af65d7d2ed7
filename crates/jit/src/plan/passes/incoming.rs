//! Edges by the block that they lead to.

use crate::plan::graph::{Block, Edge, Graph};

/// Which edge of a block: the first is the only one, or `yes`; the second is `no`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: Block,
    second: bool,
}

impl Way {
    /// The edge itself.
    pub(crate) fn edge(self, graph: &Graph) -> &Edge {
        let edge = graph.code(self.from).end.edges().nth(self.second.into());
        edge.expect("edges are looked at before they are changed")
    }

    /// The same, to change it.
    pub(crate) fn edge_mut(self, graph: &mut Graph) -> &mut Edge {
        let edge = graph.blocks[self.from.index()].end.edges_mut().nth(self.second.into());
        edge.expect("edges are looked at before they are changed")
    }
}

/// All edges of a graph as it was.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Where the edges to a block begin in `ways`; one more at the end.
    starts: Vec<u32>,
    ways: Vec<Way>,
}

impl Incoming {
    /// The edges of these blocks, in their order.
    pub(crate) fn of(graph: &Graph, order: &[Block]) -> Incoming {
        let mut starts = vec![0; graph.blocks.len() + 1];
        for &block in order {
            for edge in graph.code(block).end.edges() {
                starts[edge.to.index()] += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut ways = vec![Way { from: Block::ENTRY, second: false }; sum as usize];
        for &from in order.iter().rev() {
            // Every edge takes the last free place of its block, so that starts are right in the end.
            let mut place = |edge: &Edge, second: bool| {
                let start = &mut starts[edge.to.index()];
                *start -= 1;
                ways[*start as usize] = Way { from, second };
            };
            let mut edges = graph.code(from).end.edges();
            let first = edges.next();
            if let Some(edge) = edges.next() {
                place(edge, true);
            }
            if let Some(edge) = first {
                place(edge, false);
            }
        }
        Incoming { starts, ways }
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> usize {
        self.starts.len() - 1
    }

    /// The edges that lead to a block.
    pub(crate) fn to(&self, block: Block) -> &[Way] {
        &self.ways[self.starts[block.index()] as usize..self.starts[block.index() + 1] as usize]
    }
}
