//! Values that stand for others: what a pass found to be the same, until every use says so.

use crate::plan::graph::{Graph, Op, Value};

/// For every value, the one that is to be used instead.
#[derive(Debug)]
pub(crate) struct Renames {
    to: Vec<Value>,
    any: bool,
}

impl Renames {
    /// Nothing stands for anything else.
    pub(crate) fn new(graph: &Graph) -> Renames {
        Renames { to: (0..graph.values.len() as u32).map(Value).collect(), any: false }
    }

    /// What is to be used instead of this value.
    #[inline]
    pub(crate) fn of(&mut self, value: Value) -> Value {
        match self.to.get(value.index()) {
            Some(&to) if to != value => self.followed(value),
            // Values that were added since then are themselves.
            _ => value,
        }
    }

    fn followed(&mut self, value: Value) -> Value {
        let mut value = value;
        loop {
            let Some(&to) = self.to.get(value.index()) else { return value };
            if to == value {
                return value;
            }
            // Halves the way for the next who asks.
            if let Some(&further) = self.to.get(to.index()) {
                self.to[value.index()] = further;
            }
            value = to;
        }
    }

    /// The same for those who only look.
    pub(crate) fn get(&self, value: Value) -> Value {
        let mut value = value;
        while let Some(&to) = self.to.get(value.index()).filter(|&&to| to != value) {
            value = to;
        }
        value
    }

    /// Uses `to` instead of `from`, unless they are the same already.
    pub(crate) fn rename(&mut self, from: Value, to: Value) -> bool {
        let (from, to) = (self.of(from), self.of(to));
        if from == to {
            return false;
        }
        while self.to.len() <= from.index() {
            self.to.push(Value(self.to.len() as u32));
        }
        self.to[from.index()] = to;
        self.any = true;
        true
    }

    /// Whether anything stands for something else.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Says so in the operands of an operation.
    #[inline]
    pub(crate) fn apply_to(&mut self, op: &mut Op) {
        op.uses_mut(|used| *used = self.of(*used));
    }

    /// Says so in the arguments of all edges, for passes that renamed the rest on their way.
    pub(crate) fn apply_to_edges(&mut self, graph: &mut Graph) {
        if !self.any {
            return;
        }
        for code in &mut graph.blocks {
            code.end.arguments_mut(|value| *value = self.of(*value));
        }
    }

    /// Says so in every use.
    pub(crate) fn apply(&mut self, graph: &mut Graph) {
        if !self.any {
            return;
        }
        for code in &mut graph.blocks {
            for &value in &code.body {
                self.apply_to(&mut graph.values[value.index()]);
            }
            code.end.uses_mut(|used| *used = self.of(*used));
        }
    }
}
