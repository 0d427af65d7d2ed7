//! Arguments of helpers: what each must be, by the helper's declaration (`check_func_arg`).

use sandbpf_abi::{ArgSpec, DynptrKind, Effect, HelperSpec, helpers};
use sandbpf_isa::Reg as R;

use super::expected::{expected, is_memory, reads_only};
use super::stack::Raw;
use super::{Name, names};
use crate::environment::{FieldKind, SpecialField, TypeRef, map_type};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Byte, Dynptr, Flags, Kind, Reg, slot_of};

/// No argument may say that memory is longer than this (`BPF_MAX_VAR_SIZ`).
const MAX_VAR_SIZ: u64 = 1 << 29;

/// What the arguments of a call say together (`bpf_call_arg_meta`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) map: Option<u16>,
    pub(crate) map_uid: i32,
    pub(crate) raw: Raw,
    pub(crate) released: Option<usize>,
    pub(crate) ref_id: u32,
    pub(crate) max_len: u64,
    pub(crate) alloc_len: u64,
    pub(crate) function: Option<u32>,
    pub(crate) const_key: Option<u64>,
    pub(crate) kptr: Option<SpecialField>,
    pub(crate) percpu: Option<Reg>,
    pub(crate) dynptr_arg: Option<usize>,
}

/// The register of an argument.
pub(crate) fn register(at: usize) -> R {
    R::new(at as u8 + 1).unwrap_or(R::R5)
}

impl Verifier<'_> {
    /// Asks what the helper asks of one argument.
    pub(super) fn check_argument(&mut self, helper: &HelperSpec, at: usize, found: &mut Arguments) -> Check {
        let number = register(at);
        let spec = helper.args[at];
        self.readable(number)?;
        let reg = *self.reg(number);
        if matches!(spec, ArgSpec::Anything | ArgSpec::Scalar) {
            if self.is_secret(number) {
                refuse!(Acces, "{} leaks addr into helper function", Name(number));
            }
            return Ok(());
        }
        if reg.is_packet() && !self.env.program.program_type.packet().goes_to(helper) {
            refuse!(Acces, "helper access to the packet is not allowed");
        }
        let spec = self.resolve(spec, found)?;
        if reg.is_zero() && spec.takes_null() {
            self.needs_precise(number)?;
        } else {
            self.check_type(helper, number, spec, found)?;
            self.check_offset(&reg, number, spec)?;
        }
        if spec.releases() {
            self.check_release(&reg, number, spec)?;
            found.released = Some(at);
        }
        if reg.ref_id != 0 && spec != ArgSpec::KptrPlace {
            if found.ref_id != 0 {
                refuse!(
                    Fault,
                    "more than one arg with ref_obj_id {} {} {}",
                    Name(number),
                    reg.ref_id,
                    found.ref_id
                );
            }
            found.ref_id = reg.ref_id;
        }
        self.check_meaning(helper, number, at, spec, found)
    }

    /// Maps of sockets take sockets for values (`resolve_map_arg_type`).
    fn resolve(&self, spec: ArgSpec, found: &Arguments) -> Check<ArgSpec> {
        if !matches!(spec, ArgSpec::MapValue | ArgSpec::MapValueOrNull | ArgSpec::NewMapValue) {
            return Ok(spec);
        }
        let Some(map) = found.map else {
            refuse!(Acces, "invalid map_ptr to access map->type");
        };
        Ok(match self.env.maps[usize::from(map)].map_type {
            map_type::SOCKMAP | map_type::SOCKHASH => match spec {
                ArgSpec::MapValue => ArgSpec::AnySock,
                _ => refuse!(Inval, "invalid arg_type for sockmap/sockhash"),
            },
            _ => spec,
        })
    }

    /// Asks that a register's type fits (`check_reg_type`).
    fn check_type(&mut self, helper: &HelperSpec, number: R, spec: ArgSpec, found: &Arguments) -> Check {
        let reg = *self.reg(number);
        let expected = expected(spec);
        let mut flags = reg.flags;
        if reads_only(spec) {
            flags = flags.without(Flags::RDONLY);
        }
        if spec.takes_null() {
            flags = flags.without(Flags::MAYBE_NULL);
        }
        if is_memory(spec) {
            let slices = Flags::DYNPTR_SKB.and(Flags::DYNPTR_XDP).and(Flags::DYNPTR_SKB_META);
            flags = flags.without(slices);
        }
        let exchanged = spec == ArgSpec::ReleasedKptrOrNull;
        if exchanged && reg.flags.has(Flags::ALLOC) {
            flags = flags.without(Flags::ALLOC.and(Flags::PERCPU));
        }
        let fits = expected
            .iter()
            .any(|(kind, with)| crate::state::reg::same_kind(kind, &reg.kind) && *with == flags);
        if !fits {
            let list: Vec<_> = expected.iter().map(|(kind, with)| names::type_name(kind, *with)).collect();
            refuse!(Acces, "{} type={} expected={}", Name(number), names::of(&reg), list.join(", "));
        }
        let Kind::Btf(target) = reg.kind else { return Ok(()) };
        let of_map = matches!(
            spec,
            ArgSpec::MapKey | ArgSpec::MapValue | ArgSpec::MapValueOrNull | ArgSpec::NewMapValue
        );
        if is_memory(spec) || of_map {
            if !reads_only(spec) {
                let name = names::of(&reg);
                refuse!(
                    Acces,
                    "bpf_{}() may write into memory pointed by {} type={name}",
                    helper.name,
                    Name(number)
                );
            }
            return Ok(());
        }
        if reg.flags.has(Flags::ALLOC) || reg.flags.has(Flags::PERCPU) {
            if exchanged && let Some(field) = found.kptr {
                return self.check_kptr_match(&field, &reg, number);
            }
            return Ok(());
        }
        if reg.may_be_null() && (!spec.takes_null() || spec.releases()) {
            refuse!(Acces, "Possibly NULL pointer passed to helper arg{}", number.number());
        }
        if exchanged {
            return match found.kptr {
                Some(field) => self.check_kptr_match(&field, &reg, number),
                None => Ok(()),
            };
        }
        let wanted = match spec {
            ArgSpec::Btf(name) | ArgSpec::BtfOrNull(name) => name,
            ArgSpec::SockCommon | ArgSpec::AnySock | ArgSpec::AnySockOrNull | ArgSpec::ReleasedSock => {
                "sock_common"
            }
            ArgSpec::SocketOrNull => "sock",
            _ => return Ok(()),
        };
        self.check_object_type(&reg, number, target, wanted, spec)
    }

    fn check_object_type(&self, reg: &Reg, number: R, target: TypeRef, wanted: &str, spec: ArgSpec) -> Check {
        let Some(types) = self.env.types else { return Ok(()) };
        let Some(part) = types.kernel_struct(wanted) else { return Ok(()) };
        let strict = spec.releases() && spec != ArgSpec::ReleasedSock;
        let fits =
            if strict { reg.off == 0 && target == part } else { types.embeds(target, reg.off as u32, part) };
        if !fits {
            refuse!(Acces, "{} is of type {} but {wanted} is expected", Name(number), types.name(target));
        }
        Ok(())
    }

    /// Asks that a pointer points to the start of what it is, where that matters (`check_func_arg_reg_off`).
    pub(super) fn check_offset(&self, reg: &Reg, number: R, spec: ArgSpec) -> Check {
        if spec.releases() {
            if spec == ArgSpec::ReleasedDynptr && reg.kind == Kind::Stack {
                return Ok(());
            }
            if reg.off != 0 {
                refuse!(
                    Inval,
                    "{} must have zero offset when passed to release func or trusted arg to kfunc",
                    Name(number)
                );
            }
            return self.check_unmoved(reg, number, false);
        }
        // With any other flag a pointer is used as it was given.
        let owned = Flags::ALLOC.and(Flags::NON_OWN_REF);
        let plain: &[Flags] = match reg.kind {
            Kind::Stack
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::MapKey(_)
            | Kind::MapValue(_)
            | Kind::Arena
            | Kind::Scalar => &[Flags::NONE],
            Kind::Mem(_) => &[Flags::NONE, Flags::RDONLY, Flags::RINGBUF],
            Kind::Buf => &[Flags::NONE, Flags::RDONLY],
            Kind::Btf(_) => {
                &[Flags::NONE, Flags::ALLOC, Flags::TRUSTED, Flags::RCU, owned, owned.and(Flags::RCU)]
            }
            _ => &[],
        };
        match (plain.contains(&reg.flags), reg.kind) {
            (true, Kind::Btf(_)) => self.check_unmoved(reg, number, true),
            (true, _) => Ok(()),
            (false, _) => self.check_unmoved(reg, number, false),
        }
    }

    fn check_release(&self, reg: &Reg, number: R, spec: ArgSpec) -> Check {
        if spec == ArgSpec::ReleasedDynptr {
            if reg.kind != Kind::Stack {
                refuse!(Inval, "cannot release unowned const bpf_dynptr");
            }
            let held = self.dynptr_at(reg).is_some_and(|slot| slot.ref_id != 0);
            if !held {
                refuse!(Inval, "arg {} is an unacquired reference", number.number());
            }
            return Ok(());
        }
        if reg.ref_id == 0 && !reg.is_zero() {
            refuse!(Inval, "{} must be referenced when passed to release function", Name(number));
        }
        Ok(())
    }

    fn check_meaning(
        &mut self,
        helper: &HelperSpec,
        number: R,
        at: usize,
        spec: ArgSpec,
        found: &mut Arguments,
    ) -> Check {
        let reg = *self.reg(number);
        match spec {
            ArgSpec::Map => {
                let Kind::Map(map) = reg.kind else { return Ok(()) };
                if let Some(known) = found.map
                    && (known != map || found.map_uid != reg.range)
                {
                    refuse!(
                        Inval,
                        "timer pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}",
                        found.map_uid,
                        reg.range
                    );
                }
                found.map = Some(map);
                found.map_uid = reg.range;
                Ok(())
            }
            ArgSpec::MapKey => {
                let Some(map) = found.map else { refuse!(Acces, "invalid map_ptr to access map->key") };
                let shape = &self.env.maps[usize::from(map)];
                let (size, kind) = (shape.key_size, shape.map_type);
                self.check_memory(number, size as i32, false, false, None)?;
                if !self.cur.speculative {
                    self.known.notes.key(self.pc, &reg, size);
                }
                if matches!(kind, map_type::ARRAY | map_type::PERCPU_ARRAY) {
                    found.const_key = self.constant_key(&reg, size)?;
                }
                Ok(())
            }
            ArgSpec::MapValue | ArgSpec::MapValueOrNull | ArgSpec::NewMapValue => {
                if reg.is_zero() && spec.takes_null() {
                    return Ok(());
                }
                let Some(map) = found.map else { refuse!(Acces, "invalid map_ptr to access map->value") };
                let size = self.env.maps[usize::from(map)].value_size as i32;
                let write = spec == ArgSpec::NewMapValue;
                found.raw.is_raw = write;
                let raw = &mut found.raw;
                self.check_memory(number, size, write, false, Some(raw))
            }
            ArgSpec::FixedMem(size) | ArgSpec::FixedUpdate(size) | ArgSpec::FixedWrite(size) => {
                let write = !matches!(spec, ArgSpec::FixedMem(_));
                found.raw.is_raw = matches!(spec, ArgSpec::FixedWrite(_));
                let raw = &mut found.raw;
                self.check_memory(number, size as i32, write, false, Some(raw))?;
                if write {
                    self.check_aligned(number, 0, size, true)?;
                }
                Ok(())
            }
            ArgSpec::ReadMem | ArgSpec::ReadMemOrNull | ArgSpec::UpdateMem | ArgSpec::UpdateMemOrNull => {
                found.raw.is_raw = false;
                Ok(())
            }
            ArgSpec::WriteMem => {
                found.raw.is_raw = true;
                Ok(())
            }
            ArgSpec::MemLen | ArgSpec::MemLenOrZero => {
                let write = matches!(
                    helper.args.get(at.wrapping_sub(1)),
                    Some(ArgSpec::WriteMem | ArgSpec::UpdateMem | ArgSpec::UpdateMemOrNull)
                );
                self.check_length(number, write, spec == ArgSpec::MemLenOrZero, found)
            }
            ArgSpec::AllocLen => {
                let Some(len) = reg.num.const_value() else {
                    refuse!(Acces, "{} is not a known constant'", Name(number));
                };
                found.alloc_len = len;
                self.needs_precise(number)
            }
            ArgSpec::SpinLock => self.check_spin_lock(number, helper.id == helpers::SPIN_LOCK.id),
            ArgSpec::Timer => self.check_timer(number, found),
            ArgSpec::KptrPlace => self.check_kptr_place(number, found),
            ArgSpec::Dynptr | ArgSpec::ReleasedDynptr => {
                found.dynptr_arg = Some(at);
                self.check_dynptr(number)
            }
            ArgSpec::NewDynptr(kind) => {
                let of = if kind == DynptrKind::Local { Dynptr::Local } else { Dynptr::Ringbuf };
                self.make_dynptr(number, of)
            }
            ArgSpec::PercpuBtf => {
                found.percpu = Some(reg);
                Ok(())
            }
            ArgSpec::Callback => {
                if let Kind::Func(function) = reg.kind {
                    found.function = Some(function);
                }
                Ok(())
            }
            ArgSpec::ConstStr => self.check_const_string(number),
            _ => Ok(()),
        }
    }

    /// The length of memory that the argument before points to (`check_mem_size_reg`).
    pub(super) fn check_length(
        &mut self,
        number: R,
        write: bool,
        zero_allowed: bool,
        found: &mut Arguments,
    ) -> Check {
        let reg = *self.reg(number);
        let memory = R::new(number.number() - 1).unwrap_or(R::R1);
        found.max_len = reg.num.umax;
        if reg.num.smin < 0 {
            refuse!(Acces, "{} min value is negative, either use unsigned or 'var &= const'", Name(number));
        }
        if reg.num.umin == 0 && !zero_allowed {
            let (min, max) = (reg.num.umin as i64, reg.num.umax as i64);
            refuse!(Acces, "{} invalid zero-sized read: u64=[{min},{max}]", Name(number));
        }
        if reg.num.umax >= MAX_VAR_SIZ {
            refuse!(
                Acces,
                "{} unbounded memory access, use 'var &= const' or 'if (var < const)'",
                Name(number)
            );
        }
        // What may be shorter is read as well as written.
        let raw = reg.num.is_const().then_some(&mut found.raw);
        self.check_memory(memory, reg.num.umax as i32, write, zero_allowed, raw)?;
        self.needs_precise(number)
    }

    /// So many bytes that a helper reads or writes (`check_helper_mem_access`).
    pub(super) fn check_memory(
        &mut self,
        number: R,
        size: i32,
        write: bool,
        zero_allowed: bool,
        raw: Option<&mut Raw>,
    ) -> Check {
        let reg = *self.reg(number);
        let cannot_write = || -> Check {
            if reg.flags.has(Flags::RDONLY) && write {
                refuse!(Acces, "{} cannot write into {}", Name(number), names::of(&reg));
            }
            Ok(())
        };
        match reg.kind {
            Kind::Packet | Kind::PacketMeta => self.check_packet(number, reg.off, size, zero_allowed),
            Kind::MapKey(map) => {
                if write {
                    refuse!(Acces, "{} cannot write into {}", Name(number), names::of(&reg));
                }
                self.check_region(number, reg.off, size, self.env.maps[usize::from(map)].key_size, false)
            }
            Kind::MapValue(map) => {
                self.check_map_rights(map, reg.off, size as u32, write)?;
                self.check_map_access(number, map, reg.off, size, zero_allowed, false)
            }
            Kind::Mem(len) => {
                cannot_write()?;
                self.check_region(number, reg.off, size, len, zero_allowed)
            }
            Kind::Buf => {
                cannot_write()?;
                let name = if reg.flags.has(Flags::RDONLY) { "rdonly" } else { "rdwr" };
                self.check_buffer(name, number, &reg, reg.off)
            }
            Kind::Stack => self.check_stack_range(number, reg.off, size, zero_allowed, write, raw),
            Kind::Btf(_) => self.check_object_read(number, &reg, reg.off, size as u32),
            Kind::Context if self.context_is_memory() => {
                if size == 0 {
                    if zero_allowed {
                        return Ok(());
                    }
                    refuse!(Acces, "invalid zero-sized read");
                }
                self.check_unmoved(&reg, number, false)?;
                self.check_context_memory(size - 1, write)
            }
            _ => {
                if zero_allowed && size == 0 && reg.is_zero() {
                    return Ok(());
                }
                refuse!(Acces, "{} type={} expected=fp", Name(number), names::of(&reg));
            }
        }
    }

    /// The key behind a pointer, if it is a constant (`get_constant_map_key`).
    fn constant_key(&mut self, reg: &Reg, size: u32) -> Check<Option<u64>> {
        let Some(value) = reg.num.const_value().filter(|_| reg.kind == Kind::Stack) else { return Ok(None) };
        let off = reg.off.wrapping_add(value as i32);
        let (at, place) = (slot_of(off), (-off - 1) as usize % 8);
        let frame = usize::from(reg.frame).min(self.cur.depth());
        let Some(slot) = self.cur.frames[frame].stack.get(at).copied() else { return Ok(None) };
        let run = |byte: Byte| (0..=place).rev().take_while(|&i| slot.bytes[i] == byte).count() as u32;
        if run(Byte::Zero) >= size {
            return Ok(Some(0));
        }
        if !slot.is_scalar_spill() || run(Byte::Spill) != size {
            return Ok(None);
        }
        let Some(key) = slot.reg.num.const_value() else { return Ok(None) };
        self.needs_precise_slot(frame, at)?;
        Ok(Some(key))
    }

    /// A string with its end in memory that cannot change (`check_reg_const_str`).
    pub(super) fn check_const_string(&mut self, number: R) -> Check {
        let reg = *self.reg(number);
        let Kind::MapValue(map) = reg.kind else { return Ok(()) };
        let shape = &self.env.maps[usize::from(map)];
        let fixed = shape.frozen && shape.flags & (1 << 7) != 0;
        if !fixed {
            refuse!(Acces, "{} does not point to a readonly map'", Name(number));
        }
        let Some(value) = reg.num.const_value() else {
            refuse!(Acces, "{} is not a constant address'", Name(number));
        };
        if shape.map_type != map_type::ARRAY || shape.max_entries != 1 {
            refuse!(Acces, "no direct value access support for this map type");
        }
        let start = i64::from(reg.off).wrapping_add(value as i64);
        let rest = i64::from(shape.value_size) - start;
        self.check_map_access(number, map, reg.off, rest as i32, false, false)?;
        let shape = &self.env.maps[usize::from(map)];
        let text = shape.contents.as_ref().and_then(|contents| contents.get(start as usize..));
        if text.is_some_and(|text| !text.contains(&0)) {
            refuse!(Inval, "string is not zero-terminated");
        }
        Ok(())
    }
}

/// The field of a map's value at this offset, if it is of that kind.
pub(crate) fn field_at(
    fields: &[SpecialField],
    offset: i64,
    is: impl Fn(FieldKind) -> bool,
) -> Option<SpecialField> {
    fields.iter().copied().find(|field| i64::from(field.offset) == offset && is(field.kind))
}

/// Whether the helper hands what it returns over to the program (`is_acquire_function`).
pub(crate) fn acquires(helper: &HelperSpec, map: Option<u32>) -> bool {
    let socket_map = matches!(map, Some(map_type::SOCKMAP | map_type::SOCKHASH));
    helper.has(Effect::Acquires) || (helper.id == helpers::MAP_LOOKUP_ELEM.id && socket_map)
}
