//! Arguments of functions of the kernel: what each must be, by its C type and its name (`check_kfunc_args`).

use sandbpf_abi::{KfuncFlag, KfuncMark, KfuncParam, KfuncSpec};
use sandbpf_isa::Reg as R;

use super::arguments::register;
use super::ctype::{CType, c_words};
use super::trust::{asks_for_trust, check_trust, is_alias};
use super::{Name, names};
use crate::environment::{FieldKind, SpecialField, TypeRef};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Dynptr, Flags, Kind, RefKind, Reg};

/// What the arguments of a call say together (`bpf_kfunc_call_arg_meta`).
#[derive(Clone, Debug, Default)]
pub(crate) struct KfuncArguments {
    pub(crate) ref_id: u32,
    pub(crate) released: Option<R>,
    pub(crate) constant: Option<u64>,
    pub(crate) object: Option<TypeRef>,
    pub(crate) owned: bool,
    pub(crate) root: Option<SpecialField>,
    pub(crate) dynptr: Option<Reg>,
    pub(crate) iterator: Option<(usize, usize)>,
    pub(crate) function: Option<u32>,
    pub(crate) map: Option<(u16, i32)>,
    pub(crate) result_size: Option<u32>,
    pub(crate) result_written: bool,
}

impl Verifier<'_> {
    pub(super) fn check_kfunc_arguments(
        &mut self,
        kfunc: &'static KfuncSpec,
        found: &mut KfuncArguments,
    ) -> Check {
        let mut at = 0;
        while at < kfunc.params.len() {
            at += self.check_kfunc_argument(kfunc, at, found)?;
        }
        if kfunc.has(KfuncFlag::Release) && found.released.is_none() {
            refuse!(Inval, "release kernel function {} expects refcounted PTR_TO_BTF_ID", kfunc.name);
        }
        Ok(())
    }

    /// One argument, or two where the second is the first's length; how many.
    fn check_kfunc_argument(
        &mut self,
        kfunc: &'static KfuncSpec,
        at: usize,
        found: &mut KfuncArguments,
    ) -> Check<usize> {
        let param = &kfunc.params[at];
        let number = register(at);
        let mark = param.mark();
        if matches!(mark, Some(KfuncMark::Ignored | KfuncMark::Program)) {
            return Ok(1);
        }
        let reg = *self.reg(number);
        let c_type = CType::of(param.c_type);
        if let CType::Number(_) = c_type {
            self.check_kfunc_number(&reg, number, param, found)?;
            return Ok(1);
        }
        let trusted = asks_for_trust(kfunc);
        let rcu = kfunc.has(KfuncFlag::Rcu);
        let nullable = matches!(mark, Some(KfuncMark::Nullable));
        if (trusted || rcu) && (reg.is_zero() || reg.may_be_null()) && !nullable {
            refuse!(Acces, "Possibly NULL pointer passed to trusted arg{at}");
        }
        if reg.ref_id != 0 {
            if kfunc.has(KfuncFlag::Release) && found.ref_id != 0 {
                refuse!(
                    Fault,
                    "more than one arg with ref_obj_id {} {} {}",
                    Name(number),
                    reg.ref_id,
                    found.ref_id
                );
            }
            found.ref_id = reg.ref_id;
            if kfunc.has(KfuncFlag::Release) {
                found.released = Some(number);
            }
        }
        if nullable && reg.is_zero() {
            return Ok(1);
        }
        let is_context = kfunc.name == "bpf_cast_to_kern_ctx"
            || matches!(c_type, CType::Struct(name) if self.is_kfunc_context(name));
        if is_context {
            self.check_kfunc_offset(kfunc, &reg, number)?;
            if reg.kind != Kind::Context {
                refuse!(Inval, "arg#{at} expected pointer to ctx, but got {}", names::of(&reg));
            }
            return Ok(1);
        }
        match (mark, c_type) {
            (Some(KfuncMark::Allocated), _) => self.check_allocated(kfunc, &reg, number, at, found)?,
            (Some(KfuncMark::Refcounted), _) => {
                self.check_kfunc_offset(kfunc, &reg, number)?;
                self.check_refcounted(&reg, at, found)?;
            }
            (_, CType::Struct("bpf_dynptr")) => self.check_kfunc_dynptr(kfunc, number, param, found)?,
            _ if (is_iterator(kfunc) && at == 0) || param.name.ends_with("__iter") => {
                self.check_kfunc_offset(kfunc, &reg, number)?;
                self.check_iterator(kfunc, c_type, number, found)?;
            }
            (_, CType::Struct("bpf_list_head")) => {
                self.check_root(&reg, number, at, "bpf_list_head", found)?
            }
            (_, CType::Struct("bpf_rb_root")) => self.check_root(&reg, number, at, "bpf_rb_root", found)?,
            (_, CType::Struct("bpf_list_node")) => {
                self.check_node(kfunc, &reg, number, at, "bpf_list_node", found)?
            }
            (_, CType::Struct("bpf_rb_node")) => {
                self.check_node(kfunc, &reg, number, at, "bpf_rb_node", found)?
            }
            (Some(KfuncMark::ConstantString), _) => {
                if !matches!(reg.kind, Kind::MapValue(_)) {
                    refuse!(Inval, "arg#{at} doesn't point to a const string");
                }
                self.check_const_string(number)?;
            }
            (Some(KfuncMark::Map), _) => self.check_kfunc_map(kfunc, &reg, number, at, found)?,
            (_, CType::Struct("bpf_wq")) => self.check_workqueue(&reg, number, at, found)?,
            (Some(KfuncMark::InterruptFlags), _) => self.check_interrupt_flags(kfunc, &reg, number, at)?,
            (_, CType::Struct("bpf_res_spin_lock")) => {
                let kind = if kfunc.name.contains("irq") { RefKind::ResLockIrq } else { RefKind::ResLock };
                let takes = !kfunc.name.contains("unlock");
                self.check_lock(number, takes, kind, "bpf_res_spin_lock")?;
            }
            (_, CType::Function) => {
                let Kind::Func(function) = reg.kind else {
                    refuse!(Inval, "arg{at} expected pointer to func");
                };
                found.function = Some(function);
            }
            _ => return self.check_kfunc_memory(kfunc, &reg, number, at, c_type, found),
        }
        Ok(1)
    }

    fn check_kfunc_number(
        &mut self,
        reg: &Reg,
        number: R,
        param: &KfuncParam,
        found: &mut KfuncArguments,
    ) -> Check {
        if !reg.is_scalar() {
            refuse!(Inval, "{} is not a scalar", Name(number));
        }
        if matches!(param.mark(), Some(KfuncMark::Constant)) {
            let Some(value) = reg.num.const_value() else {
                refuse!(Inval, "{} must be a known constant", Name(number));
            };
            self.needs_precise(number)?;
            found.constant = Some(value);
        } else if matches!(param.name, "rdonly_buf_size" | "rdwr_buf_size") {
            let Some(value) = reg.num.const_value() else {
                refuse!(Inval, "{} is not a const", Name(number));
            };
            found.result_size = u32::try_from(value).ok();
            found.result_written = param.name == "rdwr_buf_size";
            self.needs_precise(number)?;
        }
        Ok(())
    }

    /// Whether a struct is the program's context for functions of the kernel.
    fn is_kfunc_context(&self, name: &str) -> bool {
        self.is_context_name(name)
    }

    fn check_kfunc_offset(&self, kfunc: &KfuncSpec, reg: &Reg, number: R) -> Check {
        if kfunc.has(KfuncFlag::Release) && reg.ref_id != 0 {
            return self.check_offset(reg, number, sandbpf_abi::ArgSpec::ReleasedSock);
        }
        self.check_offset(reg, number, sandbpf_abi::ArgSpec::Anything)
    }

    /// An object of the program that is given back.
    fn check_allocated(
        &mut self,
        kfunc: &KfuncSpec,
        reg: &Reg,
        number: R,
        at: usize,
        found: &mut KfuncArguments,
    ) -> Check {
        check_trust(kfunc, reg, number)?;
        self.check_kfunc_offset(kfunc, reg, number)?;
        let Kind::Btf(target) = reg.kind else {
            refuse!(Inval, "arg#{at} expected pointer to allocated object");
        };
        let wanted = match reg.flags {
            Flags::ALLOC => "bpf_obj_drop_impl",
            flags if flags == Flags::ALLOC.and(Flags::PERCPU) => "bpf_percpu_obj_drop_impl",
            _ => refuse!(Inval, "arg#{at} expected pointer to allocated object"),
        };
        if kfunc.name != wanted {
            refuse!(Inval, "arg#{at} expected for {wanted}()");
        }
        if reg.ref_id == 0 {
            refuse!(Inval, "allocated object must be referenced");
        }
        found.object = Some(target);
        Ok(())
    }

    fn check_refcounted(&mut self, reg: &Reg, at: usize, found: &mut KfuncArguments) -> Check {
        let Kind::Btf(target) = reg.kind else {
            refuse!(Inval, "arg#{at} is neither owning or non-owning ref");
        };
        if !reg.flags.has(Flags::ALLOC) || reg.flags.has(Flags::MAYBE_NULL) {
            refuse!(Inval, "arg#{at} is neither owning or non-owning ref");
        }
        found.owned = !reg.flags.has(Flags::NON_OWN_REF) && reg.ref_id != 0;
        if !self.special_fields(target).iter().any(|field| field.kind == FieldKind::Refcount) {
            refuse!(Inval, "arg#{at} doesn't point to a type with bpf_refcount field");
        }
        found.object = Some(target);
        Ok(())
    }

    pub(super) fn special_fields(&self, target: TypeRef) -> Vec<SpecialField> {
        self.env.types.map(|types| types.special_fields(target)).unwrap_or_default()
    }

    fn check_kfunc_dynptr(
        &mut self,
        kfunc: &KfuncSpec,
        number: R,
        param: &KfuncParam,
        found: &mut KfuncArguments,
    ) -> Check {
        let reg = *self.reg(number);
        self.check_kfunc_offset_dynptr(&reg, number)?;
        if !matches!(reg.kind, Kind::Stack | Kind::Dynptr { .. }) {
            let at = number.number() - 1;
            refuse!(Inval, "arg#{at} expected pointer to stack or const struct bpf_dynptr");
        }
        if !matches!(param.mark(), Some(KfuncMark::Uninitialized)) {
            self.check_dynptr(number)?;
            found.dynptr = self.dynptr_at(self.reg(number));
            return Ok(());
        }
        let of = match kfunc.name {
            "bpf_dynptr_from_skb" => Dynptr::Skb,
            "bpf_dynptr_from_xdp" => Dynptr::Xdp,
            "bpf_dynptr_from_skb_meta" => Dynptr::SkbMeta,
            "bpf_dynptr_clone" => match found.dynptr.map(|dynptr| dynptr.kind) {
                Some(Kind::Dynptr { of, .. }) => of,
                _ => Dynptr::Invalid,
            },
            _ => Dynptr::Local,
        };
        let parent = found.dynptr.map_or(0, |dynptr| dynptr.ref_id);
        self.make_dynptr_of(number, of, parent)
    }

    fn check_kfunc_offset_dynptr(&self, reg: &Reg, number: R) -> Check {
        match reg.kind {
            Kind::Stack => Ok(()),
            _ => self.check_offset(reg, number, sandbpf_abi::ArgSpec::Dynptr),
        }
    }

    fn check_kfunc_map(
        &mut self,
        kfunc: &KfuncSpec,
        reg: &Reg,
        number: R,
        at: usize,
        found: &mut KfuncArguments,
    ) -> Check {
        let Kind::Map(map) = reg.kind else {
            if let Kind::Btf(_) = reg.kind {
                return self.check_kfunc_object(kfunc, reg, number, at, "bpf_map");
            }
            refuse!(Inval, "pointer in {} isn't map pointer", Name(number));
        };
        if let Some((known, uid)) = found.map
            && (known != map || uid != reg.range)
        {
            refuse!(
                Inval,
                "workqueue pointer in R1 map_uid={uid} doesn't match map pointer in R2 map_uid={}",
                reg.range
            );
        }
        found.map = Some((map, reg.range));
        Ok(())
    }

    fn check_workqueue(&mut self, reg: &Reg, number: R, at: usize, found: &mut KfuncArguments) -> Check {
        let Kind::MapValue(map) = reg.kind else {
            refuse!(Inval, "arg#{at} doesn't point to a map value");
        };
        let shape = &self.env.maps[usize::from(map)];
        let field = shape.fields.iter().find(|field| field.kind == FieldKind::Workqueue);
        let place = i64::from(reg.off).wrapping_add(reg.num.var_off.value as i64);
        match (field, reg.num.is_const()) {
            (_, false) => refuse!(
                Inval,
                "{} doesn't have constant offset. bpf_wq has to be at the constant offset",
                Name(number)
            ),
            (None, _) => refuse!(Inval, "map '{}' has no valid bpf_wq", shape.name),
            (Some(field), _) if i64::from(field.offset) != place => {
                refuse!(Inval, "off {place} doesn't point to 'struct bpf_wq' that is at {}", field.offset)
            }
            _ => {}
        }
        found.map = Some((map, reg.range));
        Ok(())
    }

    /// Everything else: an object of the kernel, or memory.
    fn check_kfunc_memory(
        &mut self,
        kfunc: &'static KfuncSpec,
        reg: &Reg,
        number: R,
        at: usize,
        c_type: CType,
        found: &mut KfuncArguments,
    ) -> Check<usize> {
        let is_object =
            matches!(reg.kind, Kind::Btf(_) | Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::Map(_));
        if is_object {
            let CType::Struct(name) = c_type else {
                let words = kfunc.params[at].c_type;
                refuse!(
                    Inval,
                    "kernel function {} args#{at} pointer type {words} is not supported",
                    kfunc.name
                );
            };
            self.check_kfunc_object(kfunc, reg, number, at, name)?;
            return Ok(1);
        }
        let length = kfunc.params.get(at + 1).filter(|next| {
            matches!(next.mark(), Some(KfuncMark::Size | KfuncMark::ConstantSize))
                && self.reg(register(at + 1)).is_scalar()
        });
        let plain = match c_type {
            CType::NumberPointer(_) => true,
            CType::VoidPointer => length.is_some(),
            CType::Struct(name) => self
                .env
                .types
                .is_none_or(|types| types.kernel_struct(name).is_some_and(|id| types.is_scalar_struct(id))),
            _ => false,
        };
        if !plain {
            let words = c_words(c_type);
            let or_void = if length.is_some() { "void, " } else { "" };
            refuse!(
                Inval,
                "arg#{at} pointer type {words} must point to {or_void}scalar, or struct with scalar"
            );
        }
        self.check_kfunc_offset(kfunc, reg, number)?;
        let Some(length) = length else {
            let size = match c_type {
                CType::NumberPointer(size) => size,
                CType::Struct(name) => {
                    let types = self.env.types;
                    types.and_then(|types| types.size(types.kernel_struct(name)?)).unwrap_or(0)
                }
                _ => 0,
            };
            self.check_whole_memory(number, size)?;
            return Ok(1);
        };
        let size_number = register(at + 1);
        let optional = matches!(kfunc.params[at].mark(), Some(KfuncMark::Optional | KfuncMark::Nullable));
        if !(reg.is_zero() && optional)
            && let Err(refusal) = self.check_kfunc_length(number, size_number)
        {
            let errno = refusal.errno;
            return Err(Box::new(crate::error::Refusal {
                errno,
                message: format!(
                    "{}\narg#{at} arg#{} memory, len pair leads to invalid memory access",
                    refusal.message,
                    at + 1
                ),
            }));
        }
        if matches!(length.mark(), Some(KfuncMark::ConstantSize)) {
            let Some(value) = self.reg(size_number).num.const_value() else {
                refuse!(Inval, "{} must be a known constant", Name(size_number));
            };
            found.constant = Some(value);
        }
        Ok(2)
    }

    fn check_kfunc_length(&mut self, number: R, size_number: R) -> Check {
        let reg = *self.reg(number);
        if reg.may_be_null() {
            let mut not_null = reg;
            super::null::mark_not_null(self.env, &mut not_null);
            self.set(number, not_null);
        }
        let mut found = super::arguments::Arguments::default();
        let checked = self
            .check_length(size_number, false, true, &mut found)
            .and_then(|()| self.check_length(size_number, true, true, &mut found));
        if reg.may_be_null() {
            self.set(number, reg);
        }
        checked
    }

    /// An object of the kernel (`process_kf_arg_ptr_to_btf_id`).
    fn check_kfunc_object(
        &mut self,
        kfunc: &KfuncSpec,
        reg: &Reg,
        number: R,
        at: usize,
        wanted: &str,
    ) -> Check {
        check_trust(kfunc, reg, number)?;
        self.check_kfunc_offset(kfunc, reg, number)?;
        let held = match reg.kind {
            Kind::Btf(target) => {
                let unsafe_flags =
                    Flags(!(Flags::TRUSTED.0 | Flags::RCU.0 | Flags::ALLOC.0 | Flags::NON_OWN_REF.0));
                if reg.flags.has(unsafe_flags) && !reg.flags.has(Flags::RCU) {
                    refuse!(Inval, "arg#{at} is {} expected ptr_ or socket", names::of(reg));
                }
                target
            }
            Kind::Socket => self.kernel_type("sock"),
            Kind::SockCommon => self.kernel_type("sock_common"),
            Kind::TcpSock => self.kernel_type("tcp_sock"),
            _ => self.kernel_type("bpf_map"),
        };
        let Some(types) = self.env.types else { return Ok(()) };
        let wanted_type = self.kernel_type(wanted);
        // What is given back is the object itself, and what is not set up yet is no object.
        let strict = (kfunc.has(KfuncFlag::Release) && reg.ref_id != 0) || is_alias(types.name(held), wanted);
        // What is the same in other words (`btf_is_projection_of`), or begins with it.
        let projected = match (wanted, types.name(held)) {
            ("cpumask", "bpf_cpumask") => reg.off == 0,
            ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff") => true,
            _ => false,
        };
        let fits = match strict {
            true => held == wanted_type && reg.off == 0,
            false => types.embeds(held, reg.off as u32, wanted_type),
        };
        if !fits && !projected {
            refuse!(
                Inval,
                "kernel function {} args#{at} expected pointer to STRUCT {wanted} but {} has a pointer to STRUCT {}",
                kfunc.name,
                Name(number),
                types.name(held)
            );
        }
        Ok(())
    }
}

/// Whether a function makes, advances or destroys an iterator.
fn is_iterator(kfunc: &KfuncSpec) -> bool {
    [KfuncFlag::IterNew, KfuncFlag::IterNext, KfuncFlag::IterDestroy].into_iter().any(|flag| kfunc.has(flag))
}
