//! Arguments: the context of programs that are attached to a typed function, tracepoint, hook or iterator.
//!
//! It is an array of eight-byte words, one an argument. How many there are and which of them are pointers
//! says the type of what the program is attached to; that type is the caller's to know.

use crate::{AccessError, Direction};

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A number: its low bytes may be loaded alone.
    Number,
    /// A pointer: it is loaded whole.
    Pointer,
}

/// Which argument an access to the context loads (`btf_ctx_access`).
///
/// ```
/// use sandbpf_abi::{AccessError, Direction, arguments::{self, Argument}};
/// let switch = [Argument::Number, Argument::Pointer, Argument::Pointer, Argument::Number];
/// assert_eq!(arguments::access(&switch, 8, 8, Direction::Read), Ok(1));
/// assert_eq!(arguments::access(&switch, 24, 4, Direction::Read), Ok(3));
/// assert_eq!(arguments::access(&switch, 8, 4, Direction::Read), Err(AccessError::PartOfPointer));
/// assert_eq!(arguments::access(&switch, 32, 8, Direction::Read), Err(AccessError::Outside));
/// ```
pub fn access(
    arguments: &[Argument],
    offset: i32,
    size: u32,
    direction: Direction,
) -> Result<usize, AccessError> {
    let offset = usize::try_from(offset).map_err(|_| AccessError::Outside)?;
    if direction == Direction::Write {
        return Err(AccessError::ReadOnly);
    }
    if !offset.is_multiple_of(8) || !matches!(size, 1 | 2 | 4 | 8) {
        return Err(AccessError::Misaligned);
    }
    match arguments.get(offset / 8) {
        None => Err(AccessError::Outside),
        Some(Argument::Pointer) if size != 8 => Err(AccessError::PartOfPointer),
        Some(_) => Ok(offset / 8),
    }
}
