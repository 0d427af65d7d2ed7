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

use sandbpf_interp::Brief;
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

    /// What the program answers, where machine code knows it from the input at once.
    #[doc(hidden)]
    #[inline]
    fn answer(_image: &Image, _input: &Self::Input<'_>) -> Option<u64> {
        None
    }

    /// What the program answers, where that takes no machine, but more than the input, or an interpreter.
    #[doc(hidden)]
    #[inline]
    fn at_length(_image: &Image, _input: &Self::Input<'_>) -> Option<u64> {
        None
    }

    /// What the program's [plan](crate::compiled::Plan) makes of this input, where there is one and it takes no more than the input.
    #[doc(hidden)]
    #[inline]
    fn at_once(_image: &Image, _input: &mut Self::Input<'_>) -> Option<Answer> {
        None
    }

    /// The same, where it takes no machine, but a context or a copy, which the scratch memory has room for.
    #[doc(hidden)]
    #[inline]
    fn planned(
        _plan: &Plan,
        _image: &Image,
        _scratch: &mut Scratch,
        _input: &mut Self::Input<'_>,
    ) -> Option<Answer> {
        None
    }

    /// What the program does with this input, where it is short and interpreted, and takes no machine.
    #[doc(hidden)]
    #[inline]
    fn brief(_brief: &Brief, _input: &mut Self::Input<'_>) -> Option<Result<u64, Trap>> {
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

/// One run. The short ways in lie in a row, as processors like it; the others are `otherwise`'s, which is [`otherwise`] with
/// whatever scratch memory there is, and out of the way.
#[inline(always)]
pub(crate) fn run<'i, K: Kind>(
    image: &Image,
    mut input: K::Input<'i>,
    otherwise: impl FnOnce(K::Input<'i>) -> Result<u64, Trap>,
) -> Result<K::Verdict, Trap> {
    // A number, so that what comes back need not go through memory; and one place that says what it means.
    let r0 = if let Some(r0) = K::answer(image, &input) {
        r0
    } else if let Some(r0) = K::at_length(image, &input) {
        r0
    } else {
        match K::at_once(image, &mut input) {
            Some(answer) => match answer.returned() {
                Some(r0) => r0,
                None => trapped(image, answer)?,
            },
            None => otherwise(input)?,
        }
    };
    Ok(K::verdict(r0))
}

/// What an answer of the image's plan says that is no return.
#[cold]
#[inline(never)]
pub(crate) fn trapped(image: &Image, answer: Answer) -> Result<u64, Trap> {
    image.plan.outcome(answer)
}

/// Runs a program where [`Kind::answer`] and [`Kind::at_once`] do not.
#[inline]
pub(crate) fn otherwise<K: Kind>(
    image: &Image,
    scratch: &mut Scratch,
    mut input: K::Input<'_>,
) -> Result<u64, Trap> {
    match briefly::<K>(image, &mut input) {
        Some(result) => result,
        None => prepared::<K>(image, scratch, input),
    }
}

/// What a program does that is short and interpreted, with no scratch memory.
#[inline]
pub(crate) fn briefly<K: Kind>(image: &Image, input: &mut K::Input<'_>) -> Option<Result<u64, Trap>> {
    K::brief(image.brief.as_ref()?, input)
}

/// Runs a program where [`briefly`] does not: with what its plan takes, or with a machine.
#[inline]
pub(crate) fn prepared<K: Kind>(
    image: &Image,
    scratch: &mut Scratch,
    mut input: K::Input<'_>,
) -> Result<u64, Trap> {
    if image.plan.exists()
        && let Some(answer) = K::planned(&image.plan, image, scratch, &mut input)
    {
        return image.plan.outcome(answer);
    }
    K::enter(image, scratch, input, |machine| image.execute(machine))
}

/// Keeps [`Kind`] ours: outside this crate nobody can name it.
pub trait Enter {}
