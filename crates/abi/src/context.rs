//! Contexts: one declaration gives the struct, its layout, the rules of its fields and their
//! documentation.

use crate::{Access, Value};

/// A field of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the kernel's header.
    pub name: &'static str,
    /// Where it starts, in bytes.
    pub offset: usize,
    /// How many bytes it has.
    pub size: usize,
    /// What it says.
    pub doc: &'static str,
    /// The loads that it takes, of a program that may read it.
    pub load: Access,
    /// The stores that it takes, of a program that may write it.
    pub store: Access,
    /// What a load of all of it gives.
    pub value: Value,
}

/// A struct of the kernel's interface.
#[derive(Debug)]
pub struct Layout {
    /// Its name in the kernel's header.
    pub name: &'static str,
    /// How many bytes Linux gives it.
    pub size: usize,
    /// What it is.
    pub doc: &'static str,
    /// Its fields, in the order of their offsets.
    pub fields: &'static [Field],
}

impl Layout {
    /// The field that this byte belongs to.
    pub fn field_at(&self, offset: usize) -> Option<&'static Field> {
        let at = self.fields.partition_point(|field| field.offset <= offset).checked_sub(1)?;
        let field = &self.fields[at];
        (offset < field.offset + field.size).then_some(field)
    }

    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A value that can stand in a context.
pub(crate) trait Put: Copy {
    /// How many bytes an access to all of it has: an element, if it is an array.
    const WORD: Access;
    fn put(self, bytes: &mut [u8]);
    fn take(bytes: &[u8]) -> Self;
}

macro_rules! put {
    ($($T:ty: $size:literal),*) => { $(
        impl Put for $T {
            const WORD: Access = Access::Inside($crate::access::Sizes::of(&[$size]));
            #[inline]
            fn put(self, bytes: &mut [u8]) {
                // Rows lie within their context.
                if let Some(chunk) = bytes.first_chunk_mut() {
                    *chunk = self.to_le_bytes();
                }
            }
            fn take(bytes: &[u8]) -> Self {
                // Rows lie within their context.
                bytes.first_chunk().map_or(0, |chunk| <$T>::from_le_bytes(*chunk))
            }
        }
    )* };
}
put!(u8: 1, u16: 2, u32: 4, i32: 4, u64: 8);

impl<T: Put, const N: usize> Put for [T; N] {
    const WORD: Access = T::WORD;
    fn put(self, bytes: &mut [u8]) {
        for (value, place) in self.into_iter().zip(bytes.chunks_mut(size_of::<T>())) {
            value.put(place);
        }
    }
    fn take(bytes: &[u8]) -> Self {
        core::array::from_fn(|i| T::take(&bytes[i * size_of::<T>()..]))
    }
}

/// Declares a context: a row is documentation, name, type, the constant of its offset, the offset, and
/// in brackets what differs from a field that is accessed whole and gives a number: the loads it takes,
/// what they give, the stores it takes.
///
/// The struct has one public field a row, in the order of C; `to_bytes` lays them out little-endian; `FIELDS` is the
/// table itself, `LAYOUT` the table with the struct's name.
macro_rules! context {
    (
        $(#[doc = $outer:literal])*
        pub struct $Context:ident, $linux:literal, $size:literal bytes $(of $kept:literal)? {
            $( $(#[doc = $doc:literal])* $name:ident: $T:ty = $OFFSET:ident @ $offset:literal
                $([$(load $load:ident)? $(store $store:ident)? $(gives $value:expr)?])?, )*
        }
    ) => {
        $(#[doc = $outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct $Context { $( $(#[doc = $doc])* pub $name: $T, )* }

        impl $Context {
            $(
                #[doc = concat!("Offset of `", stringify!($name), "`.")]
                pub const $OFFSET: usize = $offset;
            )*

            /// How many bytes it has.
            pub const SIZE: usize = $size;

            /// Its fields, in the order of their offsets.
            pub const FIELDS: &'static [$crate::Field] = &[$( {
                #[allow(unused_mut)]
                let mut field = $crate::Field {
                    name: $crate::context::plain(stringify!($name)),
                    offset: $offset,
                    size: size_of::<$T>(),
                    doc: concat!($($doc),*),
                    load: <$T as $crate::context::Put>::WORD,
                    store: <$T as $crate::context::Put>::WORD,
                    value: $crate::Value::Scalar,
                };
                $(
                    $( field.load = $crate::Access::$load; )?
                    $( field.value = $value; )?
                    $( field.store = $crate::Access::$store; )?
                )?
                field
            } ),*];

            /// The table with the struct's name, as Linux has it.
            pub const LAYOUT: &'static $crate::Layout = &$crate::Layout {
                name: $linux,
                size: { let _size: usize = $size; $( let _size: usize = $kept; )? _size },
                doc: concat!($($outer),*),
                fields: Self::FIELDS,
            };

            /// The bytes that a program sees, little-endian.
            #[inline]
            pub fn to_bytes(&self) -> [u8; $size] {
                let mut bytes = [0; $size];
                $( $crate::context::Put::put(self.$name, &mut bytes[$offset..][..size_of::<$T>()]); )*
                bytes
            }

            /// The fields in the bytes of a program's context.
            pub fn from_bytes(bytes: &[u8; $size]) -> Self {
                $Context { $( $name: $crate::context::Put::take(&bytes[$offset..]), )* }
            }
        }

        /// Fields stand in order, do not overlap and fit.
        const _: () = {
            let fields = $Context::FIELDS;
            let (mut i, mut end) = (0, 0);
            while i < fields.len() {
                assert!(fields[i].offset >= end);
                end = fields[i].offset + fields[i].size;
                i += 1;
            }
            assert!(end <= $Context::SIZE);
        };
    };
}
pub(crate) use context;

/// The name without the mark that lets a keyword be one.
pub(crate) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// What one kind of program may do with the fields of a struct.
#[derive(Debug)]
pub struct View {
    /// The struct.
    pub layout: &'static Layout,
    /// A bit for each field that may be read.
    reads: u64,
    /// A bit for each field that may be written.
    writes: u64,
}

impl View {
    /// Every field may be read, none written.
    pub(crate) const fn readable(layout: &'static Layout) -> View {
        View { layout, reads: u64::MAX, writes: 0 }
    }

    /// Only these may be read.
    pub(crate) const fn reads(self, names: &[&str]) -> View {
        View { reads: fields(self.layout, names), ..self }
    }

    /// These may not be read.
    pub(crate) const fn hides(self, names: &[&str]) -> View {
        View { reads: self.reads & !fields(self.layout, names), ..self }
    }

    /// These may be written.
    pub(crate) const fn writes(self, names: &[&str]) -> View {
        View { writes: self.writes | fields(self.layout, names), ..self }
    }

    /// Whether a program may do that with this field of the struct.
    pub fn allows(&self, field: &Field, direction: crate::Direction) -> bool {
        let set = match direction {
            crate::Direction::Read => self.reads,
            crate::Direction::Write => self.writes,
        };
        self.layout
            .fields
            .iter()
            .position(|other| other.name == field.name)
            .is_some_and(|at| set >> at & 1 != 0)
    }
}

/// A bit for each of these fields; a name that the struct does not have stops the compiler.
const fn fields(layout: &Layout, names: &[&str]) -> u64 {
    assert!(layout.fields.len() <= 64);
    let (mut set, mut i) = (0, 0);
    while i < names.len() {
        let mut at = 0;
        while !equal(layout.fields[at].name.as_bytes(), names[i].as_bytes()) {
            at += 1;
        }
        set |= 1 << at;
        i += 1;
    }
    set
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
