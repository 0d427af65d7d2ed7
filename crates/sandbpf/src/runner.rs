//! One program, one thread, many runs.

use sandbpf_interp::Observer;
use sandbpf_runtime::Trap;

use crate::image::Scratch;
use crate::{Kind, Program, kinds};

/// A program with scratch memory of its own: no locks, no look-ups between runs.
///
/// ```
/// use sandbpf::{Program, SocketFilter};
/// let long: Program<SocketFilter> = "ld #len\njge #64, yes, no\nyes: ret #1\nno: ret #0".parse()?;
/// let packets = [vec![0; 60], vec![0; 64], vec![0; 1500]];
/// let mut matches = 0;
/// long.runner().run_batch(&packets, |_, verdict| matches += verdict.is_ok_and(|v| v.matched()) as usize);
/// assert_eq!(matches, 2);
/// # Ok::<(), sandbpf::LoadError>(())
/// ```
#[derive(Debug)]
pub struct Runner<K: Kind> {
    program: Program<K>,
    scratch: Box<Scratch>,
}

impl<K: Kind> Runner<K> {
    pub(crate) fn new(program: Program<K>) -> Self {
        Runner { program, scratch: Box::default() }
    }

    /// The program it runs.
    pub fn program(&self) -> &Program<K> {
        &self.program
    }

    /// Runs the program once.
    #[inline]
    pub fn run<'i>(&mut self, input: impl Into<K::Input<'i>>) -> Result<K::Verdict, Trap> {
        let Runner { program, scratch } = self;
        kinds::run::<K>(&program.image, input.into(), |input| otherwise(program, scratch, input))
    }

    /// Runs the program over every input, handing each verdict to `each` with the input's number.
    pub fn run_batch<'i, I>(&mut self, inputs: I, mut each: impl FnMut(usize, Result<K::Verdict, Trap>))
    where
        I: IntoIterator,
        I::Item: Into<K::Input<'i>>,
    {
        let Runner { program, scratch } = self;
        for (number, input) in inputs.into_iter().enumerate() {
            let run = |input| otherwise(program, scratch, input);
            each(number, kinds::run::<K>(&program.image, input.into(), run));
        }
    }

    /// Runs in the readable interpreter, telling `observer` about every step: for traces, coverage,
    /// profiles.
    ///
    /// ```
    /// use sandbpf::{Buffer, Observer, Pc, Program, Registers};
    /// #[derive(Default)]
    /// struct Count(u64);
    /// impl Observer for Count {
    ///     fn step(&mut self, _pc: Pc, _registers: &Registers) { self.0 += 1; }
    /// }
    /// let program: Program<Buffer> = "r0 = 7\nr0 += 1\nexit".parse()?;
    /// let mut count = Count::default();
    /// assert_eq!(program.runner().run_observed(&[], &mut count)?, 8);
    /// assert_eq!(count.0, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_observed<'i>(
        &mut self,
        input: impl Into<K::Input<'i>>,
        observer: &mut impl Observer,
    ) -> Result<K::Verdict, Trap> {
        let image = &self.program.image;
        let run = |machine: &mut sandbpf_runtime::Machine<'_>| image.observe(machine, observer);
        K::enter(image, &mut self.scratch, input.into(), run).map(K::verdict)
    }
}

/// [`kinds::otherwise`], not where it is called; who calls it need not look up what it takes.
#[cold]
#[inline(never)]
fn otherwise<K: Kind>(
    program: &Program<K>,
    scratch: &mut Box<Scratch>,
    input: K::Input<'_>,
) -> Result<u64, Trap> {
    kinds::otherwise::<K>(&program.image, scratch, input)
}
