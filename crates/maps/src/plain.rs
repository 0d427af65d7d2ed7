//! Keys and values of Rust types: plain bytes in the machine's order, as C programs have them.

/// A value that is plain bytes: every bit pattern is one, and it has no padding.
///
/// Structures implement it by their fields:
///
/// ```
/// use sandbpf_maps::Value;
/// struct Flow { bytes: u64, packets: u32, state: u32 }
/// impl Value for Flow {
///     const SIZE: usize = 16;
///     fn write(&self, to: &mut [u8]) {
///         (self.bytes, [self.packets, self.state]).write(to);
///     }
///     fn read(from: &[u8]) -> Self {
///         let (bytes, [packets, state]) = Value::read(from);
///         Flow { bytes, packets, state }
///     }
/// }
/// ```
pub trait Value: Sized {
    /// How many bytes it has.
    const SIZE: usize;

    /// Writes it to the first [`Value::SIZE`] bytes.
    fn write(&self, to: &mut [u8]);

    /// Reads it from the first [`Value::SIZE`] bytes.
    fn read(from: &[u8]) -> Self;

    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::SIZE];
        self.write(&mut bytes);
        bytes
    }
}

/// A key that is plain bytes.
pub trait Key: Value {}

impl<T: Value> Key for T {}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl Value for $integer {
            const SIZE: usize = size_of::<$integer>();

            fn write(&self, to: &mut [u8]) {
                to[..Self::SIZE].copy_from_slice(&self.to_ne_bytes());
            }

            fn read(from: &[u8]) -> Self {
                let mut bytes = [0; size_of::<$integer>()];
                bytes.copy_from_slice(&from[..Self::SIZE]);
                <$integer>::from_ne_bytes(bytes)
            }
        }
    )*};
}

integers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 }

impl<T: Value, const N: usize> Value for [T; N] {
    const SIZE: usize = T::SIZE * N;

    fn write(&self, to: &mut [u8]) {
        for (i, value) in self.iter().enumerate() {
            value.write(&mut to[i * T::SIZE..]);
        }
    }

    fn read(from: &[u8]) -> Self {
        std::array::from_fn(|i| T::read(&from[i * T::SIZE..]))
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        /// One after another, without padding between them.
        impl<$($name: Value),+> Value for ($($name,)+) {
            const SIZE: usize = 0 $(+ $name::SIZE)+;

            #[expect(non_snake_case, reason = "a type and its value have one name")]
            fn write(&self, to: &mut [u8]) {
                let ($($name,)+) = self;
                let mut to = to;
                $(
                    $name.write(to);
                    to = &mut to[$name::SIZE..];
                )+
                let _ = to;
            }

            fn read(from: &[u8]) -> Self {
                let mut at = 0;
                ($({
                    let value = $name::read(&from[at..]);
                    at += $name::SIZE;
                    let _ = at;
                    value
                },)+)
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }
