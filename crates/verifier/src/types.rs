//! Type information, as the verifier asks for it: the kernel's, the program's own, that of modules.

use crate::environment::{SpecialField, TypeRef};

/// What is found at an offset of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A number, or part of something that is read as one.
    Scalar,
    /// A pointer to a struct.
    Pointer {
        /// The struct.
        target: TypeRef,
        /// The tag of the pointed-to type or of the member: `rcu`, `user`, `percpu`.
        tag: PointerTag,
        /// Whether it is read from a union, and may be another member.
        ambiguous: bool,
        /// Whether the kernel lists it as trusted where the struct is (`__safe_trusted`).
        trusted: bool,
        /// Whether the kernel lists it as protected by RCU (`__safe_rcu`).
        rcu: bool,
        /// Whether the member so listed may be null.
        or_null: bool,
    },
    /// A pointer to something else.
    Memory,
}

/// What a type tag says of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerTag {
    /// Nothing.
    None,
    /// It points to memory of user space.
    User,
    /// It points to memory of every processor.
    Percpu,
    /// It is protected by RCU.
    Rcu,
}

/// A parameter, or the result, of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, with the suffixes that mean something (`__sz`, `__k`, `__nullable`, …).
    pub name: String,
    /// Its type.
    pub shape: Shape,
    /// What the declaration's tags say (`arg:ctx`, `arg:nonnull`, …).
    pub tags: Vec<String>,
    /// The kind of its type, as messages have it: `INT`, `PTR`, `STRUCT`.
    pub kind: &'static str,
    /// What it points to, if it is a pointer.
    pub pointee: Option<Pointee>,
}

/// What a pointer points to, without qualifiers and other names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointee {
    /// The type.
    pub of: TypeRef,
    /// Its kind, as messages have it: `UNKNOWN` is nothing in particular.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The name that the declaration gives it, if that is a type definition.
    pub alias: Option<String>,
    /// Its size in bytes, if it has one.
    pub size: Option<u32>,
}

/// A type as a parameter's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing: only of a result.
    Void,
    /// A number of so many bytes.
    Number {
        /// Bytes.
        size: u32,
        /// Whether it is a `bool`.
        boolean: bool,
    },
    /// A pointer to a struct or union.
    Struct {
        /// Which.
        target: TypeRef,
        /// Its name.
        name: String,
        /// Its size, 0 if it is only declared.
        size: u32,
        /// Whether it holds nothing but numbers.
        scalar_struct: bool,
    },
    /// A pointer to a number, or to several.
    NumberPointer {
        /// Bytes behind it.
        size: u32,
    },
    /// A pointer to nothing in particular.
    VoidPointer,
    /// A pointer to a function.
    Function,
    /// A pointer to a pointer, or something else.
    Other(String),
}

/// A function by its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub params: Vec<Parameter>,
    /// What it returns.
    pub result: Shape,
}

/// A variable of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// One for every processor, of this type.
    Percpu(TypeRef),
    /// An object of this type.
    Object(TypeRef),
    /// So many bytes that may be read.
    Memory(u32),
    /// A function: its text is nobody's to read.
    Function,
}

/// What a program is attached to: whose arguments are its context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its arguments and result.
    pub prototype: Prototype,
    /// What the program may return, if that depends on it.
    pub returns: Option<(i64, i64)>,
}

/// Type information.
pub trait Types {
    /// The name of a type.
    fn name(&self, of: TypeRef) -> &str;
    /// The size of a type, in bytes.
    fn size(&self, of: TypeRef) -> Option<u32>;
    /// What is at an offset of a struct, read by so many bytes.
    fn member(&self, of: TypeRef, offset: u32, size: u32) -> Result<Member, String>;
    /// Whether a pointer to the one can be used for the other: the same, or embedded at this offset.
    fn embeds(&self, whole: TypeRef, offset: u32, part: TypeRef) -> bool;
    /// The types of the kernel that a type of a program may stand for: of the same kind and name.
    fn candidates(&self, of: TypeRef) -> Vec<TypeRef>;
    /// The functions that are named to catch what a function throws (`exception_callback:`).
    fn exception_callbacks(&self, of: TypeRef) -> Vec<String>;
    /// The struct of the kernel with this name.
    fn kernel_struct(&self, name: &str) -> Option<TypeRef>;
    /// The function with this type number.
    fn prototype(&self, of: TypeRef) -> Option<Prototype>;
    /// Whether programs of this type may write there, or the kernel's words why not.
    fn writable(
        &self,
        of: sandbpf_abi::ProgramType,
        target: TypeRef,
        offset: u32,
        size: u32,
    ) -> Result<(), String>;
    /// Whether it is a struct or a union.
    fn is_struct(&self, of: TypeRef) -> bool;
    /// Whether it is a union.
    fn is_union(&self, of: TypeRef) -> bool;
    /// The variable with this type number.
    fn variable(&self, of: TypeRef) -> Option<Variable>;
    /// Whether a struct holds nothing but numbers.
    fn is_scalar_struct(&self, of: TypeRef) -> bool;
    /// The special fields of a type of the program.
    fn special_fields(&self, of: TypeRef) -> Vec<SpecialField>;
}
