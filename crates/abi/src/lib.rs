//! What a program may assume: the layout of its context, the signatures of its helpers.
//!
//! Declarations only. How a context is filled and a helper implemented is the runtime's business.
//!
//! ```
//! use sandbpf_abi::SkBuff;
//! let skb = SkBuff { len: 60, mark: 7, ..SkBuff::default() };
//! let bytes = skb.to_bytes();
//! assert_eq!(bytes[SkBuff::MARK], 7);
//! assert_eq!(SkBuff::FIELDS[0].name, "len");
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod context;
mod contexts;
pub mod helper;

pub use context::Field;
pub use contexts::{seccomp::SeccompData, skb::SkBuff, xdp::XdpMd};
pub use helper::{ArgSpec, HelperSpec, RetSpec};
