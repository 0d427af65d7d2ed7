//! Proves that a program is safe, as Linux 6.18 would, and says why or why not.
//!
//! Every path through the program is walked with what is known of registers and stack, by the kernel's rules: an
//! instruction asks things of the state (`check`), which decides them by what is known of values ([`domain`]) and is
//! changed as the instruction does. `explore` decides which paths to walk and when one need not be.
//!
//! ```
//! use sandbpf_abi::{Program, ProgramType};
//! use sandbpf_verifier::{Environment, verify};
//! let program = sandbpf_isa::parse("r0 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r0 + 0)\nexit")?;
//! let env = Environment::new(Program::new(ProgramType::SocketFilter));
//! let rejection = verify(&program, &env).unwrap_err();
//! assert_eq!(rejection.message, "R0 invalid mem access 'scalar'");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cfg;
mod check;
mod compatible;
pub mod domain;
mod environment;
mod error;
mod explore;
pub mod facts;
mod functions;
mod log;
mod numbers;
mod print;
mod removed;
mod stack_depth;
pub mod state;
pub mod states;
mod struct_ops;
mod types;
mod undecodable;

use std::cell::RefCell;
use std::collections::HashMap;

pub use environment::{
    Environment, FieldKind, Kernel, KptrKind, Limits, LoadFlags, MapShape, Owner, REFERENCE, Signature,
    SourceLine, SpecialField, TypeRef,
};
pub use error::{Errno, Rejection};
pub use explore::Statistics;
pub use facts::Facts;
pub use states::States;
pub use types::{Member, Parameter, Pointee, PointerTag, Prototype, Shape, Target, Types, Variable};

pub use undecodable::{Fault, mended, undecodable};

use sandbpf_isa::{Callee, Program};

use cfg::{CallEffects, Calls};
use explore::Verifier;

/// What is known of a program that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How much work it was.
    pub statistics: Statistics,
    /// Bytes of stack of each function.
    pub stack: Vec<i32>,
    /// Which instructions some path reaches.
    pub reached: Vec<bool>,
    /// What engines may assume.
    pub facts: Facts,
    /// The states that were seen, if the environment says that they are kept.
    pub states: Option<States>,
    /// What was written down on the way.
    pub log: String,
}

/// What is known of a program that was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub rejection: Rejection,
    /// How much work it was until then.
    pub statistics: Statistics,
    /// What was known of each register at the instruction, in the kernel's notation.
    pub registers: Vec<(u8, String)>,
    /// What was known of registers and stack, in one line.
    pub state: String,
    /// What was written down on the way.
    pub log: String,
}

struct EnvironmentCalls<'e> {
    env: &'e Environment<'e>,
    /// What was asked for: programs call few functions, many times.
    known: RefCell<HashMap<Callee, CallEffects>>,
}

impl Calls for EnvironmentCalls<'_> {
    fn effects(&self, callee: Callee) -> CallEffects {
        let find = || match callee {
            Callee::Helper(id) => cfg::helper_effects(&self.env.program, id),
            Callee::Kfunc { id, .. } => kfunc_effects(self.env, id),
            _ => CallEffects::default(),
        };
        *self.known.borrow_mut().entry(callee).or_insert_with(find)
    }
}

fn kfunc_effects(env: &Environment<'_>, id: i32) -> CallEffects {
    use sandbpf_abi::KfuncFlag;
    let Some(kfunc) = check::kfunc::find(env, id) else { return CallEffects::default() };
    CallEffects {
        callback_now: kfunc.name == "bpf_rbtree_add_impl",
        callback_later: kfunc.name == "bpf_wq_set_callback_impl",
        iter_next: kfunc.has(KfuncFlag::IterNext),
        changes_packet: kfunc.name == "bpf_xdp_pull_data",
        sleeps: kfunc.has(KfuncFlag::Sleepable),
        params: Some(kfunc.params.len() as u8),
    }
}

/// Verifies a program.
///
/// # Errors
/// Why it is not accepted, in the kernel's words.
pub fn verify(program: &Program, env: &Environment<'_>) -> Result<Verified, Box<Rejection>> {
    examine(program, env).map_err(|rejected| Box::new(rejected.rejection))
}

/// The same, with the figures of programs that are rejected.
///
/// # Errors
/// Why it is not accepted, and how far the verifier came.
pub fn examine(program: &Program, env: &Environment<'_>) -> Result<Verified, Box<Rejected>> {
    let early = |refusal: Box<error::Refusal>| {
        let rejection =
            Rejection { errno: refusal.errno, pc: None, message: refusal.message, path: Vec::new() };
        let log = if env.log_level > 0 { format!("{}\n", rejection.message) } else { String::new() };
        Box::new(Rejected { rejection, log, ..Rejected::default() })
    };
    compatible::check(program, env).map_err(early)?;
    functions::check(program, env).map_err(early)?;
    compatible::maps(program, env).map_err(early)?;
    let graph =
        cfg::graph(program, env, &EnvironmentCalls { env, known: RefCell::default() }).map_err(early)?;
    struct_ops::check(env).map_err(early)?;
    compatible::sleeping(env).map_err(early)?;
    let _later = state::GiveBack;
    let mut verifier = Verifier::new(program, env, graph);
    verifier.log_graph();
    let done = verifier.verify_all().and_then(|()| removed::check(program, env, &verifier.known.reached));
    if let Err(rejection) = &done {
        verifier.log.write(&format!("{}\n", rejection.message));
    }
    verifier.log_figures();
    let log = verifier.log.take();
    match done {
        Ok(()) => Ok(Verified {
            facts: Facts::new(
                program,
                &verifier.graph,
                &verifier.known.reached,
                &verifier.known.notes,
                &verifier.known.stack_depth,
            ),
            states: verifier.states.take(),
            statistics: verifier.statistics,
            stack: verifier.known.stack_depth.clone(),
            reached: verifier.known.reached.clone(),
            log,
        }),
        Err(rejection) => Err(Box::new(Rejected {
            registers: verifier.known_registers(),
            state: verifier.state_line(print::Shown::ALL).trim_start().to_string(),
            rejection: *rejection,
            statistics: verifier.statistics,
            log,
        })),
    }
}
