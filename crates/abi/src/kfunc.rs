//! The columns of the table of kernel functions.
//!
//! A kernel function (kfunc) is one that programs call by the number that its type has in one kernel's types. Those
//! numbers differ from kernel to kernel, so here a function is its row, and its number is its place in the
//! [table](crate::kfuncs): a loader that knows the name puts that number into the call.

use crate::ProgramType;
use crate::list::join;

/// A kernel function: its prototype as the kernel's types tell it, and what else its callers must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KfuncSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// Its parameters.
    pub params: &'static [KfuncParam],
    /// The C type of its result.
    pub ret: &'static str,
    /// Who may call it.
    pub hooks: Hooks,
    /// What else there is to know.
    pub flags: &'static [KfuncFlag],
}

/// A parameter of a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KfuncParam {
    /// Its name; what stands behind two underscores says what callers must give (see [`KfuncParam::mark`]).
    pub name: &'static str,
    /// Its C type.
    pub c_type: &'static str,
}

/// What a parameter's name says of the values it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KfuncMark {
    /// `__sz`: the number of bytes that the parameter before points to.
    Size,
    /// `__szk`: the same, a constant.
    ConstantSize,
    /// `__k`: a constant.
    Constant,
    /// `__ign`: anything; nobody looks.
    Ignored,
    /// `__opt`: may be null.
    Optional,
    /// `__nullable`: may be null.
    Nullable,
    /// `__uninit`: is written, and need not hold anything before.
    Uninitialized,
    /// `__alloc`: an object that the program made.
    Allocated,
    /// `__refcounted_kptr`: an object that counts its references.
    Refcounted,
    /// `__str`: a string that cannot change.
    ConstantString,
    /// `__map`: a map.
    Map,
    /// `__irq_flag`: a place on the stack for the state of interrupts.
    InterruptFlags,
    /// `__prog`: what the kernel knows of the program; the kernel puts it there.
    Program,
}

/// Who may call a function (the sets that the kernel registers it in).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// Programs of every type.
    All,
    /// Programs of these types.
    Of(&'static [ProgramType]),
    /// None: programs attach to it.
    Attached,
}

/// What callers must know beside the prototype (`KF_*` of `linux/btf.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KfuncFlag {
    /// What it returns must be given back.
    Acquire,
    /// It takes a reference away.
    Release,
    /// It may return null.
    RetNull,
    /// Its pointers must be valid and referenced, or handed to the program as such.
    TrustedArgs,
    /// It may sleep.
    Sleepable,
    /// It is dangerous: the caller must have the right to boot the machine.
    Destructive,
    /// Its pointers may also be ones that are valid until the end of a read section.
    Rcu,
    /// It may only be called in a read section.
    RcuProtected,
    /// It makes an iterator.
    IterNew,
    /// It asks an iterator for the next.
    IterNext,
    /// It destroys an iterator.
    IterDestroy,
    /// It leaves registers alone that it takes no arguments from.
    Fastcall,
}

impl KfuncSpec {
    /// Whether it has a flag.
    pub fn has(&self, flag: KfuncFlag) -> bool {
        self.flags.contains(&flag)
    }
}

impl KfuncParam {
    /// What its name says of the values it takes.
    ///
    /// ```
    /// use sandbpf_abi::{KfuncMark, kfuncs};
    /// let (_, slice) = kfuncs::named("bpf_dynptr_slice").unwrap();
    /// assert_eq!(slice.params[3].mark(), Some(KfuncMark::ConstantSize));
    /// assert_eq!(slice.params[0].mark(), None);
    /// ```
    pub fn mark(&self) -> Option<KfuncMark> {
        Some(match self.name.rsplit_once("__")?.1 {
            "sz" => KfuncMark::Size,
            "szk" => KfuncMark::ConstantSize,
            "k" => KfuncMark::Constant,
            "ign" => KfuncMark::Ignored,
            "opt" => KfuncMark::Optional,
            "nullable" => KfuncMark::Nullable,
            "uninit" => KfuncMark::Uninitialized,
            "alloc" => KfuncMark::Allocated,
            "refcounted_kptr" => KfuncMark::Refcounted,
            "str" => KfuncMark::ConstantString,
            "map" => KfuncMark::Map,
            "irq_flag" => KfuncMark::InterruptFlags,
            "prog" => KfuncMark::Program,
            _ => return None,
        })
    }
}

impl Hooks {
    /// Whether programs of a type may call it.
    pub fn includes(self, program_type: ProgramType) -> bool {
        match self {
            Hooks::All => true,
            Hooks::Of(types) => types.contains(&program_type),
            Hooks::Attached => false,
        }
    }
}

use ProgramType::*;

/// Types that the kernel looks up together: who is registered for one of them is so for all.
const TRACERS: [ProgramType; 4] = [Tracing, Tracepoint, PerfEvent, Lsm];
const TUNNELS: [ProgramType; 4] = [LwtIn, LwtOut, LwtXmit, LwtSeg6local];
const CGROUPS: [ProgramType; 7] =
    [CgroupSkb, CgroupSock, CgroupDevice, CgroupSockAddr, CgroupSockopt, CgroupSysctl, SockOps];

/// The sets, by the words that rows of the table use.
impl Hooks {
    pub(crate) const COMMON: Hooks = Hooks::All;
    pub(crate) const GENERIC: Hooks =
        Hooks::Of(&join::<_, 15>(Unspec, &[&TRACERS, &[SchedCls, Xdp, StructOps, Syscall], &CGROUPS]));
    pub(crate) const PACKETS: Hooks = Hooks::Of(&join::<_, 20>(
        Unspec,
        &[&[SchedCls, SchedAct, SkSkb, SocketFilter, Netfilter], &CGROUPS, &TUNNELS, &TRACERS],
    ));
    pub(crate) const METADATA: Hooks = Hooks::Of(&[SchedCls, SchedAct]);
    pub(crate) const XDP: Hooks = Hooks::Of(&[Xdp]);
    pub(crate) const CPUMASKS: Hooks = Hooks::Of(&join::<_, 6>(Unspec, &[&TRACERS, &[StructOps, Syscall]]));
    pub(crate) const FILES: Hooks = Hooks::Of(&[Lsm]);
    pub(crate) const KEYS: Hooks = Hooks::Of(&TRACERS);
    pub(crate) const SYSCALL: Hooks = Hooks::Of(&[Syscall]);
    pub(crate) const CRYPTO: Hooks = Hooks::Of(&[SchedCls, SchedAct, Xdp]);
    pub(crate) const KPROBES: Hooks = Hooks::Of(&[Kprobe]);
    pub(crate) const MODIFIED: Hooks = Hooks::Attached;
    pub(crate) const TEST_RUNS: Hooks = Hooks::Of(&join::<_, 6>(Unspec, &[&TRACERS, &[SchedCls, Syscall]]));
    pub(crate) const CONNECTIONS: Hooks = Hooks::Of(&[Xdp, SchedCls]);
    pub(crate) const ADDRESSES: Hooks = Hooks::Of(&CGROUPS);
    pub(crate) const OPERATIONS: Hooks = Hooks::Of(&CGROUPS);
    pub(crate) const CLASSIFIERS: Hooks = Hooks::Of(&[SchedCls]);
    pub(crate) const ITERATIONS: Hooks = Hooks::Of(&TRACERS);
    pub(crate) const OPERATORS: Hooks = Hooks::Of(&[StructOps]);
}

/// Declares rows: documentation, prototype, set, and in brackets the flags.
macro_rules! table {
    ($vis:vis static $ROWS:ident; $( #[doc = $doc:literal] fn $name:ident($($param:ident: $c_type:literal),*) -> $ret:literal, $set:ident, [$($flag:ident),*]; )*) => {
        $vis static $ROWS: &[crate::KfuncSpec] = &[$(
            crate::KfuncSpec {
                name: stringify!($name),
                doc: $doc.trim_ascii(),
                params: &[$( crate::KfuncParam { name: stringify!($param), c_type: $c_type } ),*],
                ret: $ret,
                hooks: Hooks::$set,
                flags: &[$( $flag ),*],
            }
        ),*];
    };
}
pub(crate) use table as kfuncs;
