//! From a graph to bytes.
//!
//! A function `(packet, length, context, budget, env)` of the `sysv64` convention that answers `r0` and 0, or a trap:
//! the guest's address of the access that failed (0 of the budget), and the number of the site and one.

pub(crate) mod env;

/// How to emit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EmitOptions {
    pub(crate) baseline: bool,
    /// How many bytes the context has.
    pub(crate) context: u32,
    /// Whether what is left of the budget is put into the [`Env`](env::Env) at the end, without calls too.
    pub(crate) settle: bool,
}

/// Machine code that lies nowhere yet.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn emit(_g: &super::graph::Graph, _o: &EmitOptions) -> Emitted {
    todo!()
}
