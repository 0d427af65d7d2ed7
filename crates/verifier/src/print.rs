//! States in the kernel's notation: `R1=ctx() R2=scalar(umax=255) fp-8=mmmmmmmm`.

use std::fmt::Write as _;

use crate::check::names;
use crate::domain::{Scalar, Tnum};
use crate::environment::Environment;
use crate::state::{ADD_CONST, Byte, Dynptr, Flags, Frame, IterState, Kind, Reg, State};

/// Which registers and slots are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) regs: u16,
    pub(crate) slots: u64,
}

impl Shown {
    pub(crate) const ALL: Shown = Shown { regs: u16::MAX, slots: u64::MAX };
    pub(crate) const NONE: Shown = Shown { regs: 0, slots: 0 };

    pub(crate) fn is_none(self) -> bool {
        self.regs == 0 && self.slots == 0
    }
}

/// A frame of a state in one line, without the end of the line (`print_verifier_state`).
pub(crate) fn state(env: &Environment<'_>, state: &State, frame: usize, shown: Shown) -> String {
    let mut out = String::new();
    let of = &state.frames[frame];
    if frame > 0 {
        let _ = write!(out, " frame{frame}:");
    }
    for (number, reg) in of.regs.iter().enumerate() {
        if reg.kind != Kind::Uninit && shown.regs & 1 << number != 0 {
            let _ = write!(out, " R{number}={}", register(env, reg, frame));
        }
    }
    stack(env, of, frame, shown.slots, &mut out);
    let refs: Vec<String> = state.refs.iter().filter(|held| held.id != 0).map(|r| r.id.to_string()).collect();
    if state.refs.first().is_some_and(|first| first.id != 0) {
        let _ = write!(out, " refs={}", refs.join(","));
    }
    if of.in_callback {
        out.push_str(" cb");
    }
    if of.in_async {
        out.push_str(" async_cb");
    }
    out
}

fn stack(env: &Environment<'_>, of: &Frame, frame: usize, shown: u64, out: &mut String) {
    let mut at = 0;
    while at < of.stack.len() {
        let slot = &of.stack[at];
        let here = at;
        at += 1;
        if shown & 1 << here.min(63) == 0 || slot.bytes.iter().all(|byte| *byte == Byte::Invalid) {
            continue;
        }
        let place = -8 * (here as i32 + 1);
        let letters = |bytes: &[Byte]| bytes.iter().map(|byte| letter(*byte)).collect::<String>();
        match slot.bytes[7] {
            Byte::Spill => {
                let above = slot.bytes.iter().take_while(|byte| **byte != Byte::Spill).count();
                let letters = letters(&slot.bytes[..above]);
                let _ = write!(out, " fp{place}={letters}{}", register(env, &slot.reg, frame));
            }
            Byte::Dynptr => {
                // The lower slot of the two says what it is.
                let Some(main) = of.stack.get(here + 1) else { continue };
                at += 1;
                let _ = write!(out, " fp{}={}", place - 8, dynptr_slot(&main.reg));
            }
            Byte::Iter => {
                if let Kind::Iter { of, state, depth, first: true } = slot.reg.kind {
                    let name = env.types.map_or("", |types| types.name(of));
                    let name = name.strip_prefix("bpf_iter_").unwrap_or(name);
                    let state = if state == IterState::Active { "active" } else { "drained" };
                    let ref_id = slot.reg.ref_id;
                    let _ =
                        write!(out, " fp{place}=iter_{name}(ref_id={ref_id},state={state},depth={depth})");
                }
            }
            _ => {
                let _ = write!(out, " fp{place}={}", letters(&slot.bytes));
            }
        }
    }
}

fn letter(byte: Byte) -> char {
    match byte {
        Byte::Invalid => '?',
        Byte::Spill => 'r',
        Byte::Misc => 'm',
        Byte::Zero => '0',
        Byte::Dynptr => 'd',
        Byte::Iter => 'i',
        Byte::Irq => 'f',
    }
}

fn dynptr_slot(reg: &Reg) -> String {
    let of = match reg.kind {
        Kind::Dynptr { of, .. } => dynptr(of),
        _ => "<invalid>",
    };
    let mut parts = List::default();
    if reg.id != 0 {
        parts.add(format_args!("id={}", reg.id));
    }
    if reg.ref_id != 0 {
        parts.add(format_args!("ref_id={}", reg.ref_id));
    }
    // Slices know the pointer that they are of by the same number.
    if reg.id != 0 {
        parts.add(format_args!("dynptr_id={}", reg.id));
    }
    format!("dynptr_{of}({})", parts.0)
}

fn dynptr(of: Dynptr) -> &'static str {
    match of {
        Dynptr::Invalid => "<invalid>",
        Dynptr::Local => "local",
        Dynptr::Ringbuf => "ringbuf",
        Dynptr::Skb => "skb",
        Dynptr::Xdp => "xdp",
        Dynptr::SkbMeta => "skb_meta",
    }
}

/// Parts with commas between.
#[derive(Default)]
struct List(String);

impl List {
    fn add(&mut self, part: std::fmt::Arguments<'_>) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        let _ = self.0.write_fmt(part);
    }
}

/// What is known of a register that is in this frame (`print_reg_state`).
pub(crate) fn register(env: &Environment<'_>, reg: &Reg, frame: usize) -> String {
    let mut out = String::new();
    if reg.kind == Kind::Scalar {
        if reg.precise {
            out.push('P');
        }
        if let Some(value) = reg.num.const_value() {
            return out + &signed(value as i64);
        }
    }
    out.push_str(&names::of(reg));
    match reg.kind {
        Kind::Arena => return out,
        Kind::Stack => {
            if usize::from(reg.frame) != frame {
                let _ = write!(out, "[{}]", reg.frame);
            }
            if let Some(value) = reg.num.const_value() {
                return out + &signed(value.wrapping_add(i64::from(reg.off) as u64) as i64);
            }
        }
        Kind::Btf(of) => out.push_str(env.types.map_or("", |types| types.name(of))),
        _ => {}
    }
    let _ = write!(out, "({})", attributes(env, reg));
    out
}

fn attributes(env: &Environment<'_>, reg: &Reg) -> String {
    let mut list = List::default();
    if reg.id != 0 {
        list.add(format_args!("id={}", reg.id & !ADD_CONST));
    }
    if reg.id & ADD_CONST != 0 {
        let _ = write!(list.0, "{:+}", reg.off);
    }
    if reg.ref_id != 0 {
        list.add(format_args!("ref_obj_id={}", reg.ref_id));
    }
    if reg.flags.has(Flags::NON_OWN_REF) {
        list.add(format_args!("non_own_ref"));
    }
    if let Kind::Map(map) | Kind::MapValue(map) | Kind::MapKey(map) = reg.kind
        && let Some(map) = env.maps.get(usize::from(map))
    {
        if !map.name.is_empty() {
            list.add(format_args!("map={}", map.name));
        }
        list.add(format_args!("ks={},vs={}", map.key_size, map.value_size));
    }
    if reg.kind != Kind::Scalar && reg.off != 0 {
        list.add(format_args!("off={}", signed(i64::from(reg.off))));
    }
    if reg.is_packet() {
        list.add(format_args!("r={}", unsigned(i64::from(reg.range) as u64)));
    }
    if let Kind::Mem(size) = reg.kind {
        list.add(format_args!("sz={}", unsigned(size.into())));
    }
    if let Kind::Dynptr { of, .. } = reg.kind {
        list.add(format_args!("type={}", dynptr(of)));
    }
    match reg.num.const_value() {
        Some(0) => {}
        Some(value) => list.add(format_args!("imm={}", signed(value as i64))),
        None => {
            ranges(&reg.num, &mut list);
            if reg.num.var_off != Tnum::UNKNOWN {
                let Tnum { value, mask } = reg.num.var_off;
                list.add(format_args!("var_off=({value:#x}; {mask:#x})"));
            }
        }
    }
    list.0
}

/// Bounds that say something; equal ones once: `smin=umin=1` (`print_scalar_ranges`).
fn ranges(num: &Scalar, list: &mut List) {
    let narrow =
        |value: i32| if is_short(i64::from(value)) { i64::from(value) as u64 } else { value as u32 as u64 };
    let mut bounds = [
        ("smin", num.smin as u64, num.smin == i64::MIN),
        ("smax", num.smax as u64, num.smax == i64::MAX),
        ("umin", num.umin, num.umin == 0),
        ("umax", num.umax, num.umax == u64::MAX),
        ("smin32", narrow(num.s32_min), num.s32_min == i32::MIN),
        ("smax32", narrow(num.s32_max), num.s32_max == i32::MAX),
        ("umin32", num.u32_min.into(), num.u32_min == 0),
        ("umax32", num.u32_max.into(), num.u32_max == u32::MAX),
    ];
    for at in 0..bounds.len() {
        let (name, value, omit) = bounds[at];
        if omit {
            continue;
        }
        let negative = |name: &str, value: u64| name.starts_with('s') && (value as i64) < 0;
        let mut text = format!("{name}=");
        for bound in bounds.iter_mut().skip(at + 2).step_by(2) {
            let (other, same, omitted) = *bound;
            if !omitted && same == value && negative(other, same) == negative(name, value) {
                bound.2 = true;
                text.push_str(other);
                text.push('=');
            }
        }
        text.push_str(&if name.starts_with('s') { signed(value as i64) } else { unsigned(value) });
        list.add(format_args!("{text}"));
    }
}

fn is_short(value: i64) -> bool {
    (i64::from(i16::MIN)..=i64::from(i16::MAX)).contains(&value)
}

/// Short numbers are decimal.
fn signed(value: i64) -> String {
    if is_short(value) { value.to_string() } else { format!("{value:#x}") }
}

fn unsigned(value: u64) -> String {
    if value <= u64::from(u16::MAX) { value.to_string() } else { format!("{value:#x}") }
}
