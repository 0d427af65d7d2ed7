//! Helper signatures, and the numbers that other crates name.

/// What is known of a helper without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperSpec {
    /// The number that programs call it by. Negative numbers are ours: only lowered classic filters
    /// use them.
    pub id: i32,
    /// Its name, without `bpf_`.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What it takes, one entry a register.
    pub args: &'static [ArgSpec],
    /// What it returns.
    pub ret: RetSpec,
}

/// What must be true of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgSpec {
    /// Any number.
    Scalar,
    /// The program's context.
    Context,
    /// A pointer to bytes that are read; their number is in the next argument.
    ReadMem,
    /// A pointer to bytes that are written; their number is in the next argument.
    WriteMem,
    /// The number of bytes that the argument before points to.
    MemLen,
}

/// What a helper returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetSpec {
    /// A number.
    Scalar,
}

/// `bpf_tail_call`: the one that may end the function that calls it.
pub const TAIL_CALL: i32 = 12;
/// `bpf_ktime_get_ns`.
pub const KTIME_GET_NS: i32 = 5;
/// `bpf_get_prandom_u32`.
pub const GET_PRANDOM_U32: i32 = 7;
/// `bpf_get_smp_processor_id`.
pub const GET_SMP_PROCESSOR_ID: i32 = 8;
/// Where the payload starts (`SKF_AD_PAY_OFFSET`); takes the context.
pub const PAYLOAD_OFFSET: i32 = -1;
/// Finds a netlink attribute (`SKF_AD_NLATTR`); takes the context, A and X.
pub const NLATTR: i32 = -2;
/// Finds a nested netlink attribute (`SKF_AD_NLATTR_NEST`); takes the context, A and X.
pub const NLATTR_NEST: i32 = -3;
/// Never implemented: what reaches it traps.
pub const UNDEFINED: i32 = i32::MIN;
