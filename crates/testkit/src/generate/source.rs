//! Arbitrary bytes as a row of choices.

/// Bytes that answer questions; when they run out, every answer is 0.
///
/// ```
/// use sandbpf_testkit::generate::Source;
/// let mut source = Source::new(&[7, 1]);
/// assert_eq!((source.below(5), source.chance(2), source.u32()), (2, true, 0));
/// ```
#[derive(Clone, Debug)]
pub struct Source<'b> {
    bytes: &'b [u8],
}

impl<'b> Source<'b> {
    /// Answers from these bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Source { bytes }
    }

    /// Whether any are left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Any byte.
    pub fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    /// Any 16 bits.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Any 32 bits.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// Any 64 bits.
    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = if bound <= 256 { self.u8().into() } else { usize::from(self.u16()) };
        number % bound.max(1)
    }

    /// True once in `of` times, and never when the bytes have run out.
    pub fn chance(&mut self, of: usize) -> bool {
        !self.is_empty() && self.below(of) == of - 1
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// So many bytes, or as many as are left.
    pub fn take(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// A number that is often at an edge.
    pub fn edge(&mut self) -> i32 {
        match self.below(8) {
            0..=2 => i32::from(self.u8() as i8),
            3 => self.pick(&[0, 1, -1, 31, 32, 63, 64, 255, 256]),
            4 => self.pick(&[i32::MIN, i32::MAX, 0x7fff, 0x8000, 0xffff, 0x1_0000]),
            5 => i32::from(self.u16() as i16),
            _ => self.u32() as i32,
        }
    }
}
