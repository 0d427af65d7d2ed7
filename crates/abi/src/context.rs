//! Contexts: one declaration gives the struct, its layout and its documentation.

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
}

/// A value that can stand in a context.
pub(crate) trait Put: Copy {
    fn put(self, bytes: &mut [u8]);
    fn take(bytes: &[u8]) -> Self;
}

macro_rules! put {
    ($($T:ty: $write:ident, $read:ident;)*) => { $(
        impl Put for $T {
            fn put(self, bytes: &mut [u8]) {
                use byteorder::ByteOrder;
                byteorder::LittleEndian::$write(bytes, self);
            }

            fn take(bytes: &[u8]) -> Self {
                use byteorder::ByteOrder;
                byteorder::LittleEndian::$read(bytes)
            }
        }
    )* };
}
put!(u32: write_u32, read_u32; i32: write_i32, read_i32; u64: write_u64, read_u64;);

impl Put for u8 {
    fn put(self, bytes: &mut [u8]) {
        bytes[0] = self;
    }

    fn take(bytes: &[u8]) -> Self {
        bytes[0]
    }
}

impl<T: Put, const N: usize> Put for [T; N] {
    fn put(self, bytes: &mut [u8]) {
        for (value, place) in self.into_iter().zip(bytes.chunks_mut(size_of::<T>())) {
            value.put(place);
        }
    }

    fn take(bytes: &[u8]) -> Self {
        core::array::from_fn(|i| T::take(&bytes[i * size_of::<T>()..]))
    }
}

/// Declares a context: a row is documentation, name, type, the constant of its offset, the offset.
///
/// The struct has one public field a row; `to_bytes` lays them out little-endian; `FIELDS` is the
/// table itself.
macro_rules! context {
    (
        $(#[doc = $outer:literal])*
        pub struct $Context:ident, $size:literal bytes {
            $( $(#[doc = $doc:literal])* $name:ident: $T:ty = $OFFSET:ident @ $offset:literal, )*
        }
    ) => {
        $(#[doc = $outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $Context { $( $(#[doc = $doc])* pub $name: $T, )* }

        impl $Context {
            $(
                #[doc = concat!("Offset of `", stringify!($name), "`.")]
                pub const $OFFSET: usize = $offset;
            )*

            /// How many bytes it has.
            pub const SIZE: usize = $size;

            /// Its fields, in the order of their offsets.
            pub const FIELDS: &'static [$crate::Field] = &[$( $crate::Field {
                name: stringify!($name),
                offset: $offset,
                size: size_of::<$T>(),
                doc: concat!($($doc),*),
            } ),*];

            /// The bytes that a program sees, little-endian.
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
