//! The laws that graphs keep, for tests: every pass is held against them.

use super::dominators::Dominators;
use super::graph::{Block, Graph, Op, Value};

/// What is wrong with a graph, if something is.
pub(crate) fn check(graph: &Graph) -> Result<(), String> {
    let order = graph.order();
    let dominators = Dominators::of(graph);
    let mut home: Vec<Option<(Block, usize)>> = vec![None; graph.values.len()];
    let mut put = |value: Value, place: (Block, usize)| match home[value.index()].replace(place) {
        Some(before) => Err(format!("{value} stands in {} and in {}", before.0, place.0)),
        None => Ok(()),
    };
    for &block in &order {
        for &value in &graph.code(block).params {
            put(value, (block, 0))?;
            if *graph.op(value) != Op::Param(block) {
                return Err(format!("{value} of {block} is {:?}", graph.op(value)));
            }
        }
        for (place, &value) in graph.code(block).body.iter().enumerate() {
            put(value, (block, place + 1))?;
            if graph.op(value).is_everywhere() || matches!(graph.op(value), Op::Param(_) | Op::Gone) {
                return Err(format!("{block} has {value}: {:?}", graph.op(value)));
            }
        }
    }
    let available = |value: Value, user: (Block, usize)| {
        if graph.op(value).is_everywhere() {
            return Ok(());
        }
        if !graph.op(value).has_value() {
            return Err(format!("{} uses {value}, which has none", user.0));
        }
        match home[value.index()] {
            Some((block, place)) if block == user.0 && place < user.1 => Ok(()),
            Some((block, _)) if block != user.0 && dominators.dominates(block, user.0) => Ok(()),
            at => Err(format!("{} uses {value} ({:?}), which is of {at:?}", user.0, graph.op(value))),
        }
    };
    for &block in &order {
        let code = graph.code(block);
        let mut result = Ok(());
        for (place, &value) in code.body.iter().enumerate() {
            graph.op(value).uses(|used| {
                let found = available(used, (block, place + 1));
                result = std::mem::replace(&mut result, Ok(())).and(found);
            });
        }
        code.end.uses(|used| {
            let found = available(used, (block, usize::MAX));
            result = std::mem::replace(&mut result, Ok(())).and(found);
        });
        result?;
        for edge in code.end.edges() {
            let (given, wanted) = (edge.arguments.len(), graph.code(edge.to).params.len());
            if given != wanted {
                return Err(format!("{block} gives {} {given} arguments for {wanted}", edge.to));
            }
        }
    }
    if !graph.code(Block::ENTRY).params.is_empty() {
        return Err("the first block has parameters".into());
    }
    Ok(())
}
