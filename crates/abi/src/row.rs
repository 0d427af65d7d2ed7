//! What is known of a type of program: the columns of the table of types.

use crate::availability::Chain;
use crate::chains;
use crate::returns::{self, Rule};
use crate::{AttachType, Effect, HelperSpec, View};

/// What a program is given in `r1`.
#[derive(Clone, Copy, Debug)]
pub enum Context {
    /// A struct. The first row that names the attach type, or names none, says what is seen of it.
    Struct(&'static [(&'static [AttachType], &'static View)]),
    /// So many bytes that mean what the attach point says: those from `first` on may be read, and
    /// written if `writable`.
    Bytes {
        /// The first that may be accessed.
        first: u32,
        /// The first behind them; only where an access starts counts.
        end: u32,
        /// Whether they may be written.
        writable: bool,
        /// Whether offsets below zero are let through, as Linux does for tracepoints: it compares
        /// without signs.
        wraps: bool,
    },
    /// The arguments of a function of the kernel, eight bytes each; the type information of what the
    /// program is attached to says how many and of which types.
    Arguments,
    /// None: a program of this type cannot be loaded.
    None,
}

/// Which attach types a program may name when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Any number: nobody looks.
    Any,
    /// One of these; the second is what the number 0 stands for, if it is not among them.
    OneOf(&'static [AttachType], Option<AttachType>),
    /// Only 0.
    Zero,
}

/// What a program may do with the bytes of its packet through a pointer, if it is given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketAccess {
    /// Read them, and nothing else.
    Look,
    /// Read them, and hand them to helpers that take memory of the packet.
    Read,
    /// The same, and write them.
    Write,
    /// Read and write them, and hand them to every helper: they are no packet, but the value of an
    /// option.
    Any,
}

impl PacketAccess {
    /// Whether they may be written.
    pub const fn may_write(self) -> bool {
        matches!(self, PacketAccess::Write | PacketAccess::Any)
    }

    /// Whether this helper takes them.
    ///
    /// ```
    /// use sandbpf_abi::{ProgramType, helpers};
    /// let packet = ProgramType::Xdp.packet();
    /// assert!(packet.goes_to(helpers::CSUM_DIFF) && !packet.goes_to(helpers::STRTOL));
    /// ```
    pub fn goes_to(self, helper: &HelperSpec) -> bool {
        match self {
            PacketAccess::Look => false,
            PacketAccess::Read | PacketAccess::Write => helper.has(Effect::PacketMemory),
            PacketAccess::Any => true,
        }
    }
}

/// When a program may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeping {
    /// Never.
    Never,
    /// Always: it cannot be loaded otherwise.
    Always,
    /// When it says so.
    May,
    /// When it says so and is attached to one of these.
    MayAt(&'static [AttachType]),
}

/// What is known of a type.
#[derive(Debug)]
pub struct Row {
    /// Its name, in lower case and without `BPF_PROG_TYPE_`.
    pub name: &'static str,
    /// What programs of it do.
    pub doc: &'static str,
    /// What they are given.
    pub context: Context,
    /// What they may do with packets.
    pub packet: PacketAccess,
    /// Where they may be attached.
    pub attach: Attach,
    /// When they may sleep.
    pub sleeping: Sleeping,
    /// Whether their license must be compatible with the GPL, whatever they call.
    pub needs_gpl: bool,
    /// Which helpers they have.
    pub(crate) helpers: &'static Chain,
    /// What they may return.
    pub(crate) returns: &'static [Rule],
}

impl Row {
    /// What most types have in common; a row says what differs.
    pub(crate) const PLAIN: Row = Row {
        name: "",
        doc: "",
        context: Context::None,
        packet: PacketAccess::Look,
        attach: Attach::Any,
        sleeping: Sleeping::Never,
        needs_gpl: false,
        helpers: &chains::NOTHING,
        returns: returns::ANY,
    };
}

/// A struct that is seen the same way wherever the program is attached.
pub(crate) const fn always(rows: &'static [(&'static [AttachType], &'static View); 1]) -> Context {
    Context::Struct(rows)
}
