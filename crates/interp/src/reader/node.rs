//! What a node is and does.

use sandbpf_isa::AluOp;

/// Something to do, and where that leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The operation, of arithmetic.
    pub(super) op: AluOp,
    /// Where to load from; of a search, where its cases start.
    pub(super) off: u32,
    /// Which bits of what was loaded are kept.
    pub(super) mask: u32,
    /// What to compare with; of a search, where its cases end.
    pub(super) value: u32,
    /// Where to go on if the comparison holds, or if there is none.
    pub(super) yes: Way,
    /// Where to go on if it does not.
    pub(super) no: Way,
}

/// Where a node leads: to another, or to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way(u32);

impl Way {
    const ANSWER: u32 = 1 << 31;

    pub(super) fn to(node: usize) -> Way {
        Way(node as u32)
    }

    pub(super) fn answer(answer: usize) -> Way {
        Way(answer as u32 | Way::ANSWER)
    }

    /// The next node, or else the answer.
    #[inline(always)]
    pub(super) fn split(self) -> Result<usize, usize> {
        if self.0 & Way::ANSWER == 0 { Ok(self.0 as usize) } else { Err((self.0 & !Way::ANSWER) as usize) }
    }
}

/// Calls a macro with every place to load from: the name of a load, and of that load with each comparison.
macro_rules! for_each_source {
    ($then:ident) => {
        $then! {
            Byte: Byte ByteEq ByteGt ByteGe ByteSet;
            Half: Half HalfEq HalfGt HalfGe HalfSet;
            Word: Word WordEq WordGt WordGe WordSet;
            ByteAt: ByteAt ByteAtEq ByteAtGt ByteAtGe ByteAtSet;
            HalfAt: HalfAt HalfAtEq HalfAtGt HalfAtGe HalfAtSet;
            WordAt: WordAt WordAtEq WordAtGt WordAtGe WordAtSet;
            Context: Context ContextEq ContextGt ContextGe ContextSet;
        }
    };
}
pub(super) use for_each_source;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Eq,
    Gt,
    Ge,
    Set,
}

/// Where to load from: a byte, two or four of the packet at a constant offset or `x` behind one, or a word of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Byte,
    Half,
    Word,
    ByteAt,
    HalfAt,
    WordAt,
    Context,
}

macro_rules! define {
    ($($Source:ident: $Load:ident $Eq:ident $Gt:ident $Ge:ident $Set:ident;)*) => {
        /// What to do. `a` is loaded unless the name says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $( $Load, $Eq, $Gt, $Ge, $Set, )*
            IsEq,
            IsGt,
            IsGe,
            IsSet,
            EqX,
            GtX,
            GeX,
            SetX,
            XIsEq,
            XIsGt,
            XIsGe,
            /// `a` is searched for.
            Search,
            /// `x` and `a` are four times some bits of a byte.
            HeaderLength,
            /// So is `x`, and `a` stays, which is kept besides.
            HeaderLengthKeeping,
            Alu,
            AluX,
            Negate,
            NetworkOrder,
            SetXTo,
            ToX,
            FromX,
            Keep,
            Restore,
            ContextToX,
            WordToA,
            WordToX,
            AToWord,
            XToWord,
            Return,
        }

        impl Kind {
            /// What loads.
            pub(super) fn load(source: Source) -> Kind {
                match source { $( Source::$Source => Kind::$Load, )* }
            }

            /// What loads and compares with a number.
            pub(super) fn load_and(source: Source, test: Test) -> Kind {
                match (source, test) { $(
                    (Source::$Source, Test::Eq) => Kind::$Eq,
                    (Source::$Source, Test::Gt) => Kind::$Gt,
                    (Source::$Source, Test::Ge) => Kind::$Ge,
                    (Source::$Source, Test::Set) => Kind::$Set,
                )* }
            }
        }
    };
}
for_each_source!(define);

impl Node {
    /// A node that has nothing to compare.
    pub(super) fn plain(kind: Kind, yes: Way) -> Node {
        Node { kind, op: AluOp::Mov, off: 0, mask: u32::MAX, value: 0, yes, no: yes }
    }
}
