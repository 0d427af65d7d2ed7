//! Loads, stores and atomics: where they may go, and what a load gives.

use sandbpf_isa::{AtomicOp, Extend, Operand, Reg as R, Size, Width};

use super::{Name, names};
use crate::environment::{FieldKind, map_type};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Flags, Kind, Reg};

/// An access as an instruction, or a helper byte by byte, makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) base: R,
    pub(crate) off: i32,
    pub(crate) size: Size,
    pub(crate) write: bool,
    /// The register that is stored, or that gets what is loaded.
    pub(crate) value: Option<R>,
    /// What is stored, if it is a constant.
    pub(crate) imm: Option<i32>,
    pub(crate) aligned: bool,
    pub(crate) extend: Extend,
}

impl Access {
    pub(crate) fn bytes(&self) -> u32 {
        self.size.bytes().into()
    }
}

/// `BPF_F_WRONLY_PROG`.
const WRONLY_PROG: u32 = 1 << 8;

impl Verifier<'_> {
    pub(super) fn check_load(&mut self, size: Size, extend: Extend, dst: R, base: R, off: i16) -> Check {
        self.readable(base)?;
        self.writable(dst)?;
        let pointer = *self.reg(base);
        self.access(Access {
            base,
            off: off.into(),
            size,
            write: false,
            value: Some(dst),
            imm: None,
            aligned: false,
            extend,
        })?;
        self.same_pointer(&pointer, true)?;
        self.note_access(&pointer, off, size, false);
        self.reg_mut(dst).num.settle();
        Ok(())
    }

    pub(super) fn check_store(&mut self, size: Size, base: R, off: i16, src: Operand) -> Check {
        let (value, imm) = match src {
            Operand::Reg(src) => {
                self.readable(src)?;
                (Some(src), None)
            }
            Operand::Imm(imm) => (None, Some(imm)),
        };
        self.readable(base)?;
        let pointer = *self.reg(base);
        self.access(Access {
            base,
            off: off.into(),
            size,
            write: true,
            value,
            imm,
            aligned: false,
            extend: Extend::Zero,
        })?;
        self.note_access(&pointer, off, size, true);
        self.same_pointer(&pointer, false)
    }

    /// Writes down where an access went that is made for good.
    fn note_access(&mut self, pointer: &Reg, off: i16, size: Size, write: bool) {
        if !self.cur.speculative {
            self.known.notes.access(self.pc, pointer, off, size, write);
        }
    }

    pub(super) fn check_atomic(&mut self, op: AtomicOp, size: Size, base: R, off: i16, reg: R) -> Check {
        let access = |write: bool, value: Option<R>| Access {
            base,
            off: off.into(),
            size,
            write,
            value,
            imm: None,
            aligned: true,
            extend: Extend::Zero,
        };
        match op {
            AtomicOp::LoadAcquire => {
                self.readable(base)?;
                self.writable(reg)?;
                let pointer = *self.reg(base);
                self.access(access(false, Some(reg)))?;
                self.same_pointer(&pointer, false)?;
                self.note_access(&pointer, off, size, false);
                // The load may have replaced the pointer itself; Linux asks what it is only now.
                return self.atomic_target(base, "loads from", op);
            }
            AtomicOp::StoreRelease => {
                self.readable(reg)?;
                self.readable(base)?;
                let pointer = *self.reg(base);
                self.access(access(true, Some(reg)))?;
                self.same_pointer(&pointer, false)?;
                self.note_access(&pointer, off, size, true);
                return self.atomic_target(base, "stores into", op);
            }
            _ => {}
        }
        self.readable(reg)?;
        self.readable(base)?;
        if op == AtomicOp::Cmpxchg {
            self.readable(R::R0)?;
            if self.is_secret(R::R0) {
                refuse!(Acces, "R0 leaks addr into mem");
            }
        }
        if self.is_secret(reg) {
            refuse!(Acces, "{} leaks addr into mem", Name(reg));
        }
        self.atomic_target(base, "stores into", op)?;
        let place = *self.reg(base);
        let result = op.fetches(reg);
        if let Some(result) = result {
            self.writable(result)?;
            let unknown = self.unknown();
            // The base may be the same register: then it is a pointer no more, and the access fails.
            self.set(result, unknown);
        }
        self.access(access(false, None))?;
        if result.is_some() {
            self.access(access(false, result))?;
        }
        let pointer = *self.reg(base);
        self.same_pointer(&pointer, false)?;
        self.access(access(true, None))?;
        self.note_access(&place, off, size, true);
        Ok(())
    }

    /// Asks that atomics work there (`atomic_ptr_type_ok`).
    fn atomic_target(&self, base: R, what: &str, op: AtomicOp) -> Check {
        let reg = self.reg(base);
        // x86-64 makes loops of these, and loops cannot fault (`bpf_jit_supports_insn`).
        let loops = matches!(op, AtomicOp::FetchAnd | AtomicOp::FetchOr | AtomicOp::FetchXor);
        let is_socket = matches!(reg.kind, Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock);
        let is_packet = matches!(reg.kind, Kind::Packet | Kind::PacketMeta);
        if reg.kind == Kind::Context
            || is_packet
            || reg.kind == Kind::FlowKeys
            || is_socket
            || (reg.kind == Kind::Arena && loops)
        {
            refuse!(Acces, "BPF_ATOMIC {what} {} {} is not allowed", Name(base), names::of(reg));
        }
        Ok(())
    }

    /// An instruction that uses certain pointers uses no others on other paths (`save_aux_ptr_type`).
    fn same_pointer(&mut self, pointer: &Reg, may_mix_trust: bool) -> Check {
        let known = &mut self.known.pointers[self.pc.index()];
        let Some((kind, flags)) = known else {
            *known = Some((pointer.kind, pointer.flags));
            return Ok(());
        };
        let before = Reg { kind: *kind, flags: *flags, ..*pointer };
        let mixes = |reg: &Reg| {
            !matches!(
                reg.kind,
                Kind::Context
                    | Kind::Socket
                    | Kind::SockCommon
                    | Kind::TcpSock
                    | Kind::XdpSock
                    | Kind::Btf(_)
                    | Kind::Arena
            )
        };
        if before.same_type(pointer) || (mixes(&before) && mixes(pointer)) {
            return Ok(());
        }
        let object = |reg: &Reg| matches!(reg.kind, Kind::Btf(_) | Kind::Mem(_));
        if may_mix_trust && object(&before) && object(pointer) {
            let both = |flag| if flags.has(flag) || pointer.flags.has(flag) { flag } else { Flags::NONE };
            *flags = both(Flags::UNTRUSTED).and(both(Flags::RDONLY));
            if matches!(pointer.kind, Kind::Mem(_)) {
                *kind = pointer.kind;
            }
            return Ok(());
        }
        refuse!(Inval, "same insn cannot be used with different pointers");
    }

    /// Asks that an access is allowed, and does what it does (`check_mem_access`).
    pub(crate) fn access(&mut self, access: Access) -> Check {
        let base = access.base;
        let reg = *self.reg(base);
        let size = access.bytes();
        self.check_aligned(base, access.off, size, access.aligned)?;
        let off = access.off.wrapping_add(reg.off);
        let plain_store = access.write && access.value.is_some_and(|value| self.is_secret(value));
        let leaks = |into: &str| -> Check {
            match access.value {
                Some(value) if plain_store => refuse!(Acces, "{} leaks addr into {into}", Name(value)),
                _ => Ok(()),
            }
        };
        // What a load gives, unless its place says otherwise.
        let mut loads_number = !access.write;
        match reg.kind {
            Kind::MapKey(map) => {
                if access.write {
                    refuse!(Acces, "write to change key {} not allowed", Name(base));
                }
                self.check_region(base, off, size as i32, self.env.maps[usize::from(map)].key_size, false)?;
            }
            Kind::MapValue(map) if !reg.may_be_null() => {
                leaks("map")?;
                self.check_map_rights(map, off, size, access.write)?;
                self.check_map_access(base, map, off, size as i32, false, true)?;
                loads_number = !self.access_map_value(&access, map, &reg, off)? && !access.write;
            }
            Kind::Mem(len) => {
                let read_only = reg.flags.has(Flags::RDONLY);
                if reg.may_be_null() {
                    refuse!(Acces, "{} invalid mem access '{}'", Name(base), names::of(&reg));
                }
                if access.write && read_only {
                    refuse!(Acces, "{} cannot write into {}", Name(base), names::of(&reg));
                }
                leaks("mem")?;
                // Reads through what cannot be trusted are guarded, wherever they go.
                if !(reg.flags.has(Flags::UNTRUSTED) && read_only) {
                    self.check_region(base, off, size as i32, len, false)?;
                }
            }
            Kind::Context => {
                leaks("ctx")?;
                self.check_unmoved(&reg, base, false)?;
                return self.access_context(&access, off);
            }
            Kind::Stack => {
                self.check_stack_bounds(base, off, size as i32, access.write)?;
                match access.write {
                    true => self.write_stack(&access, off)?,
                    false => {
                        self.read_stack(&access, off)?;
                        loads_number = false;
                        self.narrow(&access);
                    }
                }
            }
            Kind::Packet | Kind::PacketMeta => {
                if access.write && !self.writes_packet() {
                    refuse!(Acces, "cannot write into packet");
                }
                leaks("packet")?;
                self.check_packet(base, off, size as i32, false)?;
            }
            Kind::FlowKeys => {
                leaks("flow keys")?;
                if sandbpf_abi::pointers::flow_keys(off, size, sandbpf_abi::Direction::Read).is_err() {
                    refuse!(Acces, "invalid access to flow keys off={off} size={size}");
                }
            }
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock if !reg.may_be_null() => {
                if access.write {
                    refuse!(Acces, "{} cannot write into {}", Name(base), names::of(&reg));
                }
                self.check_socket(base, &reg, off, size)?;
            }
            Kind::TpBuffer => self.check_buffer("tracepoint", base, &reg, off)?,
            Kind::Btf(_) if !reg.may_be_null() => return self.access_object(&access, &reg, off),
            Kind::Map(_) if !reg.may_be_null() => return self.access_map(&access, &reg, off),
            Kind::Buf if !reg.may_be_null() => {
                let read_only = reg.flags.has(Flags::RDONLY);
                if read_only && access.write {
                    refuse!(Acces, "{} cannot write into {}", Name(base), names::of(&reg));
                }
                let name = if read_only { "rdonly" } else { "rdwr" };
                self.check_buffer(name, base, &reg, off)?;
            }
            Kind::Arena => {}
            _ => refuse!(Acces, "{} invalid mem access '{}'", Name(base), names::of(&reg)),
        }
        if loads_number && let Some(value) = access.value {
            let unknown = self.unknown();
            self.set(value, unknown);
            self.narrow(&access);
        }
        Ok(())
    }

    /// A load of less than eight bytes leaves no more in the register.
    pub(super) fn narrow(&mut self, access: &Access) {
        let Some(value) = access.value else { return };
        if access.write || access.size == Size::DW || !self.reg(value).is_scalar() {
            return;
        }
        let (size, extend) = (access.size, access.extend);
        let num = &mut self.reg_mut(value).num;
        match extend {
            Extend::Zero => num.truncate(size),
            Extend::Sign => num.sign_extend(size, Width::W64),
        }
    }

    /// Whether programs of this type write packets.
    pub(super) fn writes_packet(&self) -> bool {
        self.env.program.program_type.packet().may_write()
    }

    /// Asks that the map lets programs do that (`check_map_access_type`).
    pub(super) fn check_map_rights(&self, map: u16, off: i32, size: u32, write: bool) -> Check {
        let map = &self.env.maps[usize::from(map)];
        let (what, forbidden) = match write {
            true => ("write into", map.read_only()),
            false => ("read from", map.flags & WRONLY_PROG != 0),
        };
        if forbidden {
            refuse!(Acces, "{what} map forbidden, value_size={} off={off} size={size}", map.value_size);
        }
        Ok(())
    }

    /// Asks that the access lies inside of a value and touches nothing special (`check_map_access`).
    pub(super) fn check_map_access(
        &self,
        base: R,
        map: u16,
        off: i32,
        size: i32,
        zero_allowed: bool,
        direct: bool,
    ) -> Check {
        let map = &self.env.maps[usize::from(map)];
        self.check_region(base, off, size, map.value_size, zero_allowed)?;
        let reg = self.reg(base);
        let (off, size) = (i64::from(off), i64::from(size));
        for field in &map.fields {
            let (start, end) = (i64::from(field.offset), i64::from(field.offset + field.size));
            if reg.num.smin + off >= end || start >= reg.num.umax as i64 + off + size {
                continue;
            }
            let name = match field.kind {
                FieldKind::Kptr { .. } | FieldKind::Uptr { .. } => {
                    if !direct {
                        let name = if matches!(field.kind, FieldKind::Uptr { .. }) { "uptr" } else { "kptr" };
                        refuse!(Acces, "{name} cannot be accessed indirectly by helper");
                    }
                    let Some(at) = reg.num.const_value() else {
                        refuse!(Acces, "kptr access cannot have variable offset");
                    };
                    if start != off + at as i64 {
                        refuse!(Acces, "kptr access misaligned expected={start} off={}", off + at as i64);
                    }
                    if size != 8 {
                        refuse!(Acces, "kptr access size must be BPF_DW");
                    }
                    continue;
                }
                kind => field_name(kind),
            };
            refuse!(Acces, "{name} cannot be accessed directly by load/store");
        }
        Ok(())
    }

    /// A value of a map: a kernel pointer in it, or bytes that never change. Whether the load is done.
    fn access_map_value(&mut self, access: &Access, map: u16, reg: &Reg, off: i32) -> Check<bool> {
        let Some(at) = reg.num.const_value() else { return Ok(false) };
        let at = i64::from(off).wrapping_add(at as i64);
        let shape = &self.env.maps[usize::from(map)];
        let field = shape.fields.iter().find(|field| {
            i64::from(field.offset) == at
                && matches!(field.kind, FieldKind::Kptr { .. } | FieldKind::Uptr { .. })
        });
        if let Some(field) = field {
            let field = *field;
            self.access_kptr(access, map, field)?;
            return Ok(true);
        }
        let Some(value) = access.value.filter(|_| !access.write) else { return Ok(false) };
        let is_fixed = shape.map_type == map_type::ARRAY && shape.frozen && shape.read_only();
        let Some(contents) = shape.contents.as_ref().filter(|_| is_fixed) else { return Ok(false) };
        let start = at as usize;
        let Some(bytes) = contents.get(start..start + access.bytes() as usize) else { return Ok(false) };
        let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let loaded = self.constant(access.extend.apply(access.size, number));
        self.set(value, loaded);
        Ok(true)
    }

    /// A buffer whose length only the end knows (`__check_buffer_access`).
    pub(super) fn check_buffer(&self, name: &str, base: R, reg: &Reg, off: i32) -> Check {
        if off < 0 {
            refuse!(Acces, "{} invalid {name} buffer access: off={off}, size=1", Name(base));
        }
        if reg.num.const_value() != Some(0) {
            refuse!(
                Acces,
                "{} invalid variable buffer offset: off={off}, var_off={}",
                Name(base),
                reg.num.var_off
            );
        }
        Ok(())
    }
}

/// What a special field is called (`btf_field_type_name`).
pub(crate) fn field_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::SpinLock => "bpf_spin_lock",
        FieldKind::ResSpinLock => "bpf_res_spin_lock",
        FieldKind::Timer => "bpf_timer",
        FieldKind::Workqueue => "bpf_wq",
        FieldKind::TaskWork => "bpf_task_work",
        FieldKind::Kptr { .. } => "kptr",
        FieldKind::Uptr { .. } => "uptr",
        FieldKind::ListHead { .. } => "bpf_list_head",
        FieldKind::ListNode => "bpf_list_node",
        FieldKind::RbRoot { .. } => "bpf_rb_root",
        FieldKind::RbNode => "bpf_rb_node",
        FieldKind::Refcount => "bpf_refcount",
    }
}
