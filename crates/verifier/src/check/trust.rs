//! Trust: which pointers a function of the kernel takes, and which are good to hand on.

use sandbpf_abi::{KfuncFlag, KfuncSpec};
use sandbpf_isa::Reg as R;

use super::Name;
use crate::error::{Check, refuse};
use crate::state::{Flags, Kind, Reg};

/// Whether a pointer is good to hand on (`is_trusted_reg`).
pub(super) fn is_trusted(reg: &Reg) -> bool {
    if reg.ref_id != 0 {
        return true;
    }
    let good = Flags::TRUSTED.and(Flags::ALLOC);
    let bad = Flags(!(Flags::TRUSTED.0 | Flags::ALLOC.0 | Flags::NON_OWN_REF.0));
    match reg.kind {
        Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::Map(_) if !reg.flags.has(bad) => true,
        _ => reg.flags.has(good) && !reg.flags.has(bad),
    }
}

/// Whether a function takes trusted pointers alone; what is given back must be held anyway (`is_kfunc_trusted_args`).
pub(super) fn asks_for_trust(kfunc: &KfuncSpec) -> bool {
    kfunc.has(KfuncFlag::TrustedArgs) || kfunc.has(KfuncFlag::Release)
}

/// Asks that a pointer to an object is as trusted as the function wants it.
pub(super) fn check_trust(kfunc: &KfuncSpec, reg: &Reg, number: R) -> Check {
    let rcu = kfunc.has(KfuncFlag::Rcu);
    if (!asks_for_trust(kfunc) && !rcu) || is_trusted(reg) {
        return Ok(());
    }
    if !rcu {
        refuse!(Inval, "{} must be referenced or trusted", Name(number));
    }
    if !reg.flags.has(Flags::RCU) {
        refuse!(Inval, "{} must be a rcu pointer", Name(number));
    }
    Ok(())
}

/// Whether one is the other before it is set up (`btf_type_ids_nocast_alias`).
pub(super) fn is_alias(one: &str, other: &str) -> bool {
    one.strip_suffix("___init") == Some(other) || other.strip_suffix("___init") == Some(one)
}
