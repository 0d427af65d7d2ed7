//! What is behind the pointers that contexts and helpers give: sockets and flow keys, whose fields follow
//! the same rules as those of contexts.

use crate::contexts::{flow_keys, sock};
use crate::{AccessError, Direction, FieldAccess, Layout, Value, View};

/// The fields behind a full socket (`PTR_TO_SOCKET`).
///
/// ```
/// use sandbpf_abi::{Direction, Sock, pointers};
/// assert!(pointers::SOCKET.access(Sock::MARK as i32, 4, Direction::Read).is_ok());
/// assert!(pointers::SOCK_COMMON.access(Sock::MARK as i32, 4, Direction::Read).is_err());
/// ```
pub static SOCKET: &View = &sock::FULL;

/// What every socket has (`PTR_TO_SOCK_COMMON`).
pub static SOCK_COMMON: &View = &sock::COMMON;

/// The fields behind a TCP socket (`PTR_TO_TCP_SOCK`).
pub static TCP_SOCK: &View = &sock::TCP;

/// The fields behind an XDP socket (`PTR_TO_XDP_SOCK`).
pub static XDP_SOCK: &View = &sock::XDP;

/// The flow dissector's keys (`PTR_TO_FLOW_KEYS`).
pub static FLOW_KEYS: &Layout = flow_keys::FlowKeys::LAYOUT;

/// What an access to flow keys means: plain memory, read and written.
///
/// ```
/// use sandbpf_abi::{Direction, pointers};
/// assert!(pointers::flow_keys(3, 4, Direction::Write).is_ok());
/// assert!(pointers::flow_keys(53, 4, Direction::Write).is_err());
/// ```
pub fn flow_keys(offset: i32, size: u32, _direction: Direction) -> Result<FieldAccess, AccessError> {
    let start = u32::try_from(offset).map_err(|_| AccessError::Outside)?;
    if start as u64 + size as u64 > FLOW_KEYS.size as u64 {
        return Err(AccessError::Outside);
    }
    let field = FLOW_KEYS.field_at(start as usize);
    let within = field.map_or(start, |field| start - field.offset as u32);
    Ok(FieldAccess { field, within, size, value: Value::Scalar })
}
