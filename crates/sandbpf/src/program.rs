//! A loaded program.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use sandbpf_isa as isa;
use sandbpf_runtime::Trap;

use crate::image::{Image, with_scratch};
use crate::{Engine, Kind, LoadError, Loader, Proof, Runner, kinds};

/// A loaded program: checked, prepared for an engine, ready to run.
///
/// Cheap to clone and free to share between threads.
pub struct Program<K: Kind> {
    pub(crate) image: Arc<Image>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Program<K> {
    pub(crate) fn from_image(image: Arc<Image>) -> Self {
        Program { image, kind: PhantomData }
    }

    /// Runs the program once.
    ///
    /// Bytes behind a shared reference are never modified.
    #[inline]
    pub fn run<'i>(&self, input: impl Into<K::Input<'i>>) -> Result<K::Verdict, Trap> {
        kinds::run::<K>(&self.image, input.into(), |input| self.otherwise(input))
    }

    /// Runs the program with more than its input takes; out of the way of runs that need nothing else.
    #[cold]
    #[inline(never)]
    fn otherwise(&self, mut input: K::Input<'_>) -> Result<u64, Trap> {
        if let Some(result) = kinds::briefly::<K>(&self.image, &mut input) {
            return result;
        }
        with_scratch(|scratch| kinds::prepared::<K>(&self.image, scratch, input))
    }

    /// A runner owns its stack and scratch memory: the fastest way to run one program many times from
    /// one thread.
    pub fn runner(&self) -> Runner<K> {
        Runner::new(self.clone())
    }

    /// The proof that Linux would load it, if it was verified ([`Loader::verified`](crate::Loader::verified)). Classic
    /// filters have none: Linux checks them by other rules.
    pub fn proof(&self) -> Option<&Proof> {
        self.image.proof.as_ref()
    }

    /// The engine that was chosen.
    pub fn engine(&self) -> Engine {
        self.image.engine
    }

    /// The machine code, if the program was compiled.
    pub fn machine_code(&self) -> Option<&[u8]> {
        let Image { pure, plan, code, .. } = &*self.image;
        pure.machine_code()
            .or_else(|| plan.exists().then(|| plan.machine_code()))
            .or_else(|| code.machine_code())
    }

    /// The instructions that run: for a classic filter, what it was lowered to.
    pub fn instructions(&self) -> &isa::Program {
        &self.image.program
    }
}

impl<K: Kind> Clone for Program<K> {
    fn clone(&self) -> Self {
        Program::from_image(Arc::clone(&self.image))
    }
}

impl<K: Kind> fmt::Debug for Program<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("kind", &K::NAME)
            .field("engine", &self.image.engine)
            .field("instructions", &self.image.program.len())
            .finish()
    }
}

/// Loads text with the default [`Loader`].
impl<K: Kind> FromStr for Program<K> {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        Loader::new().load(text)
    }
}
