//! The world a program runs in.
//!
//! ```text
//!              ┌─────────────── Machine ───────────────┐
//!   engine ───►│ memory: context, stack, packet, buffer│
//!              │ budget    helpers ───────► host       │
//!              └────────────────────────────────────────┘
//! ```
//!
//! The runtime makes true what the `abi` promises, and proves nothing: every access is checked, every
//! jump back is paid for, and what goes wrong is a [`Trap`] that names the instruction.
#![forbid(unsafe_code)]

pub mod address;
pub mod arena;
mod described;
mod execute;
mod heap;
pub mod helpers;
mod host;
pub mod kfuncs;
pub mod later;
mod locks;
mod machine;
pub mod memory;
pub mod net;
mod surroundings;
mod trap;
mod world;

pub use described::DescribedHost;
pub use execute::Execute;
pub use heap::Heap;
pub use host::{Act, Device, FrozenHost, Host, Space, Sysctl, SystemHost, Task};
pub use machine::{HelperResult, LINK_OFFSET, Machine, NETWORK_OFFSET, PacketLayout, Registers, Stop};
pub use surroundings::Surroundings;
pub use trap::{Fault, Trap};
pub use world::{TooManyMaps, World};

/// What programs share.
pub use sandbpf_maps as maps;

/// The helper after which engines ask [`Machine::take_ended`].
pub use sandbpf_abi::helper::TAIL_CALL;

/// What the `helpers!` macro needs.
#[doc(hidden)]
pub use sandbpf_abi as abi;
