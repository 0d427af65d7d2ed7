//! Branches: which way a comparison goes, and what is known on either side of it.

use sandbpf_isa::{Cond, Width};

use super::{Scalar, Tnum};

/// Bounds as seen at one width.
struct Bounds {
    bits: Tnum,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

fn bounds(of: &Scalar, width: Width) -> Bounds {
    match width {
        Width::W64 => Bounds { bits: of.var_off, umin: of.umin, umax: of.umax, smin: of.smin, smax: of.smax },
        Width::W32 => Bounds {
            bits: of.var_off.subreg(),
            umin: of.u32_min.into(),
            umax: of.u32_max.into(),
            smin: of.s32_min.into(),
            smax: of.s32_max.into(),
        },
    }
}

/// Which way `a cond b` goes, if that is known (`is_scalar_branch_taken`).
pub fn branch_taken(cond: Cond, width: Width, a: &Scalar, b: &Scalar) -> Option<bool> {
    let (x, y) = (bounds(a, width), bounds(b, width));
    let ordered = |yes: bool, no: bool| {
        if yes {
            Some(true)
        } else if no {
            Some(false)
        } else {
            None
        }
    };
    match cond {
        Cond::Eq => equal(width, a, b, &x, &y),
        Cond::Ne => equal(width, a, b, &x, &y).map(|equal| !equal),
        Cond::Set => {
            let (x, y) = if y.bits.is_const() { (x, y) } else { (y, x) };
            if !y.bits.is_const() {
                return None;
            }
            ordered(x.bits.value & y.bits.value != 0, (x.bits.mask | x.bits.value) & y.bits.value == 0)
        }
        Cond::Gt => ordered(x.umin > y.umax, x.umax <= y.umin),
        Cond::Sgt => ordered(x.smin > y.smax, x.smax <= y.smin),
        Cond::Lt => ordered(x.umax < y.umin, x.umin >= y.umax),
        Cond::Slt => ordered(x.smax < y.smin, x.smin >= y.smax),
        Cond::Ge => ordered(x.umin >= y.umax, x.umax < y.umin),
        Cond::Sge => ordered(x.smin >= y.smax, x.smax < y.smin),
        Cond::Le => ordered(x.umax <= y.umin, x.umin > y.umax),
        Cond::Sle => ordered(x.smax <= y.smin, x.smin > y.smax),
    }
}

fn equal(width: Width, a: &Scalar, b: &Scalar, x: &Bounds, y: &Bounds) -> Option<bool> {
    if x.bits.is_const() && y.bits.is_const() {
        return Some(x.bits.value == y.bits.value);
    }
    let apart =
        !x.bits.overlap(y.bits) || x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin;
    let low_apart =
        || a.u32_min > b.u32_max || a.u32_max < b.u32_min || a.s32_min > b.s32_max || a.s32_max < b.s32_min;
    (apart || (width == Width::W64 && low_apart())).then_some(false)
}

/// What is known of two numbers once `a cond b` was found true or false (`reg_set_min_max`).
pub fn refine(cond: Cond, width: Width, taken: bool, a: &mut Scalar, b: &mut Scalar) {
    narrow(cond, width, taken, a, b);
    for of in [a, b] {
        of.sync();
        of.settle();
    }
}

/// What is known of a number once `a cond a` was found true or false: Linux 6.18 does not see that both sides are
/// the same, and narrows it from both.
pub fn refine_itself(cond: Cond, width: Width, taken: bool, a: &mut Scalar) {
    let (mut left, mut right) = (*a, *a);
    narrow(cond, width, taken, &mut left, &mut right);
    *a = Scalar {
        var_off: left.var_off,
        smin: left.smin.max(right.smin),
        smax: left.smax.min(right.smax),
        umin: left.umin.max(right.umin),
        umax: left.umax.min(right.umax),
        s32_min: left.s32_min.max(right.s32_min),
        s32_max: left.s32_max.min(right.s32_max),
        u32_min: left.u32_min.max(right.u32_min),
        u32_max: left.u32_max.min(right.u32_max),
    };
    a.sync();
    a.settle();
}

/// The bounds and bits that the condition rules out (`regs_refine_cond_op`).
fn narrow(cond: Cond, width: Width, taken: bool, a: &mut Scalar, b: &mut Scalar) {
    match (cond, taken) {
        (Cond::Eq, true) | (Cond::Ne, false) => same(width, a, b),
        (Cond::Ne, true) | (Cond::Eq, false) => different(width, a, b),
        (Cond::Set, true) => some_bit(width, a, b),
        (Cond::Set, false) => no_bit(width, a, b),
        (Cond::Le, true) | (Cond::Gt, false) => at_most(width, a, b),
        (Cond::Lt, true) | (Cond::Ge, false) => less(width, a, b),
        (Cond::Ge, true) | (Cond::Lt, false) => at_most(width, b, a),
        (Cond::Gt, true) | (Cond::Le, false) => less(width, b, a),
        (Cond::Sle, true) | (Cond::Sgt, false) => at_most_signed(width, a, b),
        (Cond::Slt, true) | (Cond::Sge, false) => less_signed(width, a, b),
        (Cond::Sge, true) | (Cond::Slt, false) => at_most_signed(width, b, a),
        (Cond::Sgt, true) | (Cond::Sle, false) => less_signed(width, b, a),
    }
}

fn same(width: Width, a: &mut Scalar, b: &mut Scalar) {
    match width {
        Width::W32 => {
            a.u32_min = a.u32_min.max(b.u32_min);
            a.u32_max = a.u32_max.min(b.u32_max);
            a.s32_min = a.s32_min.max(b.s32_min);
            a.s32_max = a.s32_max.min(b.s32_max);
            (b.u32_min, b.u32_max, b.s32_min, b.s32_max) = (a.u32_min, a.u32_max, a.s32_min, a.s32_max);
            let low = a.var_off.subreg().intersect(b.var_off.subreg());
            a.var_off = a.var_off.with_subreg(low);
            b.var_off = b.var_off.with_subreg(low);
        }
        Width::W64 => {
            a.umin = a.umin.max(b.umin);
            a.umax = a.umax.min(b.umax);
            a.smin = a.smin.max(b.smin);
            a.smax = a.smax.min(b.smax);
            (b.umin, b.umax, b.smin, b.smax) = (a.umin, a.umax, a.smin, a.smax);
            a.var_off = a.var_off.intersect(b.var_off);
            b.var_off = a.var_off;
        }
    }
}

/// The one that is not known, and the other's value.
fn against_constant<'s>(width: Width, a: &'s mut Scalar, b: &'s mut Scalar) -> Option<(&'s mut Scalar, u64)> {
    if let Some(value) = b.const_at(width) {
        return Some((a, value));
    }
    a.const_at(width).map(|value| (b, value))
}

fn different(width: Width, a: &mut Scalar, b: &mut Scalar) {
    let Some((of, value)) = against_constant(width, a, b) else { return };
    // A bound that is excluded moves by one.
    match width {
        Width::W32 => {
            let (low, signed) = (value as u32, value as i32);
            if of.u32_min == low {
                of.u32_min = of.u32_min.wrapping_add(1);
            }
            if of.u32_max == low {
                of.u32_max = of.u32_max.wrapping_sub(1);
            }
            if of.s32_min == signed {
                of.s32_min = of.s32_min.wrapping_add(1);
            }
            if of.s32_max == signed {
                of.s32_max = of.s32_max.wrapping_sub(1);
            }
        }
        Width::W64 => {
            let signed = value as i64;
            if of.umin == value {
                of.umin = of.umin.wrapping_add(1);
            }
            if of.umax == value {
                of.umax = of.umax.wrapping_sub(1);
            }
            if of.smin == signed {
                of.smin = of.smin.wrapping_add(1);
            }
            if of.smax == signed {
                of.smax = of.smax.wrapping_sub(1);
            }
        }
    }
}

fn some_bit(width: Width, a: &mut Scalar, b: &mut Scalar) {
    let Some((of, value)) = against_constant(width, a, b) else { return };
    if !value.is_power_of_two() {
        return;
    }
    let bit = Tnum::constant(value);
    of.var_off = match width {
        Width::W32 => of.var_off.with_subreg(of.var_off.subreg().or(bit)),
        Width::W64 => of.var_off.or(bit),
    };
}

fn no_bit(width: Width, a: &mut Scalar, b: &mut Scalar) {
    let Some((of, value)) = against_constant(width, a, b) else { return };
    // The bounds might contradict the bits.
    of.unbounded();
    let bits = Tnum::constant(!value);
    of.var_off = match width {
        Width::W32 => of.var_off.with_subreg(of.var_off.subreg().and(bits)),
        Width::W64 => of.var_off.and(bits),
    };
}

fn at_most(width: Width, a: &mut Scalar, b: &mut Scalar) {
    match width {
        Width::W32 => {
            a.u32_max = a.u32_max.min(b.u32_max);
            b.u32_min = a.u32_min.max(b.u32_min);
        }
        Width::W64 => {
            a.umax = a.umax.min(b.umax);
            b.umin = a.umin.max(b.umin);
        }
    }
}

fn less(width: Width, a: &mut Scalar, b: &mut Scalar) {
    match width {
        Width::W32 => {
            a.u32_max = a.u32_max.min(b.u32_max.wrapping_sub(1));
            b.u32_min = a.u32_min.wrapping_add(1).max(b.u32_min);
        }
        Width::W64 => {
            a.umax = a.umax.min(b.umax.wrapping_sub(1));
            b.umin = a.umin.wrapping_add(1).max(b.umin);
        }
    }
}

fn at_most_signed(width: Width, a: &mut Scalar, b: &mut Scalar) {
    match width {
        Width::W32 => {
            a.s32_max = a.s32_max.min(b.s32_max);
            b.s32_min = a.s32_min.max(b.s32_min);
        }
        Width::W64 => {
            a.smax = a.smax.min(b.smax);
            b.smin = a.smin.max(b.smin);
        }
    }
}

fn less_signed(width: Width, a: &mut Scalar, b: &mut Scalar) {
    match width {
        Width::W32 => {
            a.s32_max = a.s32_max.min(b.s32_max.wrapping_sub(1));
            b.s32_min = a.s32_min.wrapping_add(1).max(b.s32_min);
        }
        Width::W64 => {
            a.smax = a.smax.min(b.smax.wrapping_sub(1));
            b.smin = a.smin.wrapping_add(1).max(b.smin);
        }
    }
}
