//! Loads that reverse their bytes, where that is all that is done with what they load.

use sandbpf_isa::{Extend, Size};

use crate::plan::graph::{Graph, Op, UnOp, Value};
use crate::plan::passes::renames::Renames;

/// Lets loads reverse their bytes. This is done to a finished graph: as long as one is gone through, nobody knows who else will
/// use a load.
pub(in super::super) fn loads(graph: &mut Graph) {
    let mut swaps: Vec<(Value, Value)> = Vec::new();
    for code in &graph.blocks {
        let swap = |&value: &Value| reversed(graph, value).map(|load| (value, load));
        swaps.extend(code.body.iter().filter_map(swap));
    }
    if swaps.is_empty() {
        return;
    }
    let mut uses = vec![0u32; graph.values.len()];
    let mut count = |used: Value| uses[used.index()] += 1;
    for code in &graph.blocks {
        code.body.iter().for_each(|&value| graph.values[value.index()].uses(&mut count));
        code.end.uses(&mut count);
    }
    let mut renames = Renames::new(graph);
    for (value, load) in swaps.into_iter().filter(|(_, load)| uses[load.index()] == 1) {
        if let Op::Load { extend, swap, .. } = &mut graph.values[load.index()] {
            (*swap, *extend) = (!*swap, Extend::Zero);
            graph.values[value.index()] = Op::Gone;
            renames.rename(value, load);
        }
    }
    if renames.any() {
        for code in &mut graph.blocks {
            code.body.retain(|&value| graph.values[value.index()] != Op::Gone);
        }
        renames.apply(graph);
    }
}

/// The load whose bytes a value reverses, all that are loaded.
fn reversed(graph: &Graph, value: Value) -> Option<Value> {
    let Op::Un { op, a } = *graph.op(value) else { return None };
    let Op::Load { size, .. } = *graph.op(a) else { return None };
    let fits =
        matches!((op, size), (UnOp::Swap16, Size::H) | (UnOp::Swap32, Size::W) | (UnOp::Swap64, Size::DW));
    fits.then_some(a)
}
