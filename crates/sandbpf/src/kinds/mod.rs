//! Kinds of programs: what each is given, and what its answer means.

pub(crate) mod buffer;
pub(crate) mod filter;
pub(crate) mod flow;
pub(crate) mod raw;
pub(crate) mod seccomp;
pub(crate) mod skb;
pub(crate) mod verdicts;
pub(crate) mod xdp;

use std::fmt::Debug;

use sandbpf_runtime::{Machine, Trap};

pub(crate) use filter::PacketMeta;

use crate::KindName;
use crate::compiled::{Answer, Plan};
use crate::image::{Image, Scratch};

/// A kind of program: what it is given, and what its return value means.
///
/// [`SocketFilter`](crate::SocketFilter), [`Seccomp`](crate::Seccomp), [`Xdp`](crate::Xdp), [`Classifier`](crate::Classifier)
/// and others; [`Buffer`](crate::Buffer) is plain memory.
pub trait Kind: Enter + Sized + 'static {
    /// What one run is given: a packet, a system call, bytes.
    type Input<'i>;
    /// What one run decides.
    type Verdict: Debug + PartialEq;
    /// Its name as a value.
    const NAME: KindName;

    /// What the program's answer, `r0`, means.
    fn verdict(r0: u64) -> Self::Verdict;

    /// What the program answers, where that takes no machine.
    #[doc(hidden)]
    #[inline]
    fn answer(_image: &Image, _input: &Self::Input<'_>) -> Option<u64> {
        None
    }

    /// What the program's [plan](crate::compiled::Plan) makes of this input, where there is one and it takes no machine.
    #[doc(hidden)]
    #[inline]
    fn planned(_plan: &Plan, _image: &Image, _input: &mut Self::Input<'_>) -> Option<Answer> {
        None
    }

    /// Prepares a machine for `input` and has it run.
    #[doc(hidden)]
    fn enter(
        image: &Image,
        scratch: &mut Scratch,
        input: Self::Input<'_>,
        run: impl FnOnce(&mut Machine<'_>) -> Result<u64, Trap>,
    ) -> Result<u64, Trap>;
}

/// [`Kind::planned`], if there is a plan.
#[inline(always)]
pub(crate) fn planned<K: Kind>(image: &Image, input: &mut K::Input<'_>) -> Option<Result<u64, Trap>> {
    let plan = image.plan.as_ref()?;
    let answer = K::planned(plan, image, input)?;
    Some(plan.outcome(answer))
}

/// Keeps [`Kind`] ours: outside this crate nobody can name it.
pub trait Enter {}
