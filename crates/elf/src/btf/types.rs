//! The types that BTF knows: one record for each, as `include/uapi/linux/btf.h` lays them out, decoded once.

/// The number of a type; zero is `void`.
pub type TypeId = u32;

/// One type: its name (if it has one) and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    pub(crate) name: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a type is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `void`, type zero.
    Void,
    /// An integer.
    Int(Int),
    /// A pointer to the type.
    Ptr(TypeId),
    /// An array.
    Array(Array),
    /// A structure.
    Struct(Composite),
    /// A union.
    Union(Composite),
    /// An enumeration of 32 bit values or fewer bits.
    Enum(Enum),
    /// A structure or union (then `union` is true) that is declared only.
    Fwd {
        /// A union, not a structure.
        union: bool,
    },
    /// Another name of the type.
    Typedef(TypeId),
    /// `volatile` of the type.
    Volatile(TypeId),
    /// `const` of the type.
    Const(TypeId),
    /// `restrict` of the type.
    Restrict(TypeId),
    /// A function with its prototype.
    Func {
        /// A [`Kind::FuncProto`].
        proto: TypeId,
        /// 0 static, 1 global, 2 extern.
        linkage: u32,
    },
    /// The type of functions.
    FuncProto {
        /// What is returned.
        returns: TypeId,
        /// The parameters in order.
        params: Box<[Param]>,
    },
    /// A variable.
    Var {
        /// Its type.
        ty: TypeId,
        /// 0 static, 1 global, 2 extern.
        linkage: u32,
    },
    /// The variables of a section.
    DataSec {
        /// Bytes of the section.
        size: u32,
        /// The variables in it.
        vars: Box<[SectionVar]>,
    },
    /// A floating point number of so many bytes.
    Float(u32),
    /// An annotation of a declaration; its name is the text.
    DeclTag {
        /// What is annotated.
        ty: TypeId,
        /// Which member or parameter, -1 for the thing itself.
        component: i32,
    },
    /// An annotation of a type; its name is the text.
    TypeTag(TypeId),
    /// An enumeration of 64 bit values.
    Enum64(Enum),
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int {
    /// Bytes.
    pub size: u32,
    /// Bits that count.
    pub bits: u8,
    /// Where they begin.
    pub bit_offset: u8,
    /// Bit 0 signed, bit 1 character, bit 2 boolean.
    pub encoding: u8,
}

impl Int {
    /// A signed number.
    pub fn signed(&self) -> bool {
        self.encoding & 1 != 0
    }

    /// A character.
    pub fn character(&self) -> bool {
        self.encoding & 2 != 0
    }

    /// A boolean.
    pub fn boolean(&self) -> bool {
        self.encoding & 4 != 0
    }
}

/// An array type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Of what.
    pub element: TypeId,
    /// The type of its index.
    pub index: TypeId,
    /// How many.
    pub count: u32,
}

/// A structure or union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composite {
    /// Bytes.
    pub size: u32,
    /// Its members in order.
    pub members: Box<[Member]>,
}

/// A member of a structure or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub(crate) name: u32,
    /// Its type.
    pub ty: TypeId,
    /// Where it begins, in bits.
    pub bit_offset: u32,
    /// Its width if it is a bit field, zero if not.
    pub bits: u8,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    /// Bytes.
    pub size: u32,
    /// Its values are signed.
    pub signed: bool,
    /// Its values in order.
    pub values: Box<[EnumValue]>,
}

/// A value of an enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumValue {
    pub(crate) name: u32,
    /// The bits of the value; those of a signed 32 bit value are extended.
    pub value: u64,
}

/// A parameter of a function prototype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    pub(crate) name: u32,
    /// Its type; zero at the end means "and more".
    pub ty: TypeId,
}

/// A variable's place in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionVar {
    /// The variable, a [`Kind::Var`].
    pub var: TypeId,
    /// Where it begins.
    pub offset: u32,
    /// Its bytes.
    pub size: u32,
}

impl Kind {
    /// The number that BTF gives to this kind.
    pub fn number(&self) -> u32 {
        match self {
            Self::Void => 0,
            Self::Int(_) => 1,
            Self::Ptr(_) => 2,
            Self::Array(_) => 3,
            Self::Struct(_) => 4,
            Self::Union(_) => 5,
            Self::Enum(_) => 6,
            Self::Fwd { .. } => 7,
            Self::Typedef(_) => 8,
            Self::Volatile(_) => 9,
            Self::Const(_) => 10,
            Self::Restrict(_) => 11,
            Self::Func { .. } => 12,
            Self::FuncProto { .. } => 13,
            Self::Var { .. } => 14,
            Self::DataSec { .. } => 15,
            Self::Float(_) => 16,
            Self::DeclTag { .. } => 17,
            Self::TypeTag(_) => 18,
            Self::Enum64(_) => 19,
        }
    }

    /// What messages call it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Int(_) => "an integer",
            Self::Ptr(_) => "a pointer",
            Self::Array(_) => "an array",
            Self::Struct(_) => "a structure",
            Self::Union(_) => "a union",
            Self::Enum(_) | Self::Enum64(_) => "an enumeration",
            Self::Fwd { .. } => "a declaration",
            Self::Typedef(_) => "a type definition",
            Self::Volatile(_) | Self::Const(_) | Self::Restrict(_) => "a qualified type",
            Self::Func { .. } => "a function",
            Self::FuncProto { .. } => "a function prototype",
            Self::Var { .. } => "a variable",
            Self::DataSec { .. } => "a data section",
            Self::Float(_) => "a floating point number",
            Self::DeclTag { .. } | Self::TypeTag(_) => "a tag",
        }
    }

    /// The members of a structure or union.
    pub fn composite(&self) -> Option<&Composite> {
        match self {
            Self::Struct(composite) | Self::Union(composite) => Some(composite),
            _ => None,
        }
    }

    /// The values of an enumeration of either width.
    pub fn enumeration(&self) -> Option<&Enum> {
        match self {
            Self::Enum(values) | Self::Enum64(values) => Some(values),
            _ => None,
        }
    }

    /// The type behind a modifier or another name: `const`, `volatile`, `restrict`, a type definition, a type tag.
    pub fn behind(&self) -> Option<TypeId> {
        match *self {
            Self::Typedef(to)
            | Self::Volatile(to)
            | Self::Const(to)
            | Self::Restrict(to)
            | Self::TypeTag(to) => Some(to),
            _ => None,
        }
    }
}
