//! Regions: whether an access lies inside of so many bytes, wherever the pointer may point.

use sandbpf_isa::Reg as R;

use super::pointer::MAX_VAR_OFF;
use super::{Name, names};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Kind, Reg};

impl Verifier<'_> {
    /// Whether `size` bytes at `off` lie inside of `len`, for messages about what this register points to
    /// (`__check_mem_access`).
    pub(super) fn inside(
        &self,
        base: R,
        off: i64,
        size: i64,
        len: u32,
        zero_allowed: bool,
    ) -> Result<(), String> {
        let size_ok = size > 0 || (size == 0 && zero_allowed);
        if off >= 0 && size_ok && off + size <= i64::from(len) {
            return Ok(());
        }
        let reg = self.reg(base);
        let (name, width) = match reg.kind {
            Kind::MapKey(_) => ("map key", "key_size"),
            Kind::MapValue(_) => ("map value", "value_size"),
            Kind::Packet | Kind::PacketMeta | Kind::PacketEnd => {
                return Err(format!(
                    "invalid access to packet, off={off} size={size}, {}(id={},off={},r={len})",
                    Name(base),
                    reg.id,
                    reg.off
                ));
            }
            _ => ("memory", "mem_size"),
        };
        Err(format!("invalid access to {name}, {width}={len} off={off} size={size}"))
    }

    /// Whether an access lies inside of a region of `len` bytes (`check_mem_region_access`).
    pub(super) fn check_region(&self, base: R, off: i32, size: i32, len: u32, zero_allowed: bool) -> Check {
        let num = &self.reg(base).num;
        let (off, size) = (i64::from(off), i64::from(size));
        let sum = off.wrapping_add(num.smin);
        if num.smin < 0 && (num.smin == i64::MIN || i32::try_from(sum).is_err() || sum < 0) {
            refuse!(
                Acces,
                "{} min value is negative, either use unsigned index or do a if (index >=0) check.",
                Name(base)
            );
        }
        if let Err(message) = self.inside(base, sum, size, len, zero_allowed) {
            refuse!(Acces, "{message}\n{} min value is outside of the allowed memory range", Name(base));
        }
        if num.umax >= MAX_VAR_OFF as u64 {
            refuse!(
                Acces,
                "{} unbounded memory access, make sure to bounds check any such access",
                Name(base)
            );
        }
        if let Err(message) = self.inside(base, num.umax as i64 + off, size, len, zero_allowed) {
            refuse!(Acces, "{message}\n{} max value is outside of the allowed memory range", Name(base));
        }
        Ok(())
    }

    /// Whether an access lies inside of what is known to be packet (`check_packet_access`).
    pub(super) fn check_packet(&self, base: R, off: i32, size: i32, zero_allowed: bool) -> Check {
        let reg = self.reg(base);
        if reg.num.smin < 0 {
            refuse!(
                Acces,
                "{} min value is negative, either use unsigned index or do a if (index >=0) check.",
                Name(base)
            );
        }
        if reg.range < 0 {
            refuse!(Inval, "{} offset is outside of the packet", Name(base));
        }
        match self.inside(base, off.into(), size.into(), reg.range as u32, zero_allowed) {
            Ok(()) => Ok(()),
            Err(message) => refuse!(Acces, "{message}\n{} offset is outside of the packet", Name(base)),
        }
    }

    /// Asks that a pointer was not moved, or only by a constant (`__check_ptr_off_reg`).
    pub(super) fn check_unmoved(&self, reg: &Reg, number: R, fixed_ok: bool) -> Check {
        let name = || names::of(reg);
        if reg.off < 0 {
            refuse!(Acces, "negative offset {} ptr {} off={} disallowed", name(), Name(number), reg.off);
        }
        if !fixed_ok && reg.off != 0 {
            refuse!(
                Acces,
                "dereference of modified {} ptr {} off={} disallowed",
                name(),
                Name(number),
                reg.off
            );
        }
        if reg.num.const_value() != Some(0) {
            refuse!(Acces, "variable {} access var_off={} disallowed", name(), reg.num.var_off);
        }
        Ok(())
    }

    /// Asks that an access is aligned where that is asked for, as it always is of the stack (`check_ptr_alignment`).
    pub(super) fn check_aligned(&self, base: R, off: i32, size: u32, strict_once: bool) -> Check {
        let reg = self.reg(base);
        let strict = self.rights.strict || strict_once || reg.kind == Kind::Stack;
        if !strict || size == 1 || reg.kind == Kind::Arena {
            return Ok(());
        }
        let place = |shift: i64| {
            let at = i64::from(reg.off) + i64::from(off) + shift;
            reg.num.var_off.add(crate::domain::Tnum::constant(at as u64)).is_aligned(size.into())
        };
        let var_off = reg.num.var_off;
        if reg.is_packet() {
            if !place(2) {
                refuse!(Acces, "misaligned packet access off 2+{var_off}+{}+{off} size {size}", reg.off);
            }
            return Ok(());
        }
        let what = match reg.kind {
            _ if reg.may_be_null() => "",
            Kind::FlowKeys => "flow keys ",
            Kind::MapKey(_) => "key ",
            Kind::MapValue(_) => "value ",
            Kind::Context => "context ",
            Kind::Stack => "stack ",
            Kind::Socket => "sock ",
            Kind::SockCommon => "sock_common ",
            Kind::TcpSock => "tcp_sock ",
            Kind::XdpSock => "xdp_sock ",
            _ => "",
        };
        if !place(0) {
            refuse!(Acces, "misaligned {what}access off {var_off}+{}+{off} size {size}", reg.off);
        }
        Ok(())
    }
}
