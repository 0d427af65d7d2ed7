//! What functions of the program take, by their types and tags (`btf_prepare_func_args`), and whether a call gives them
//! that (`btf_check_func_arg_match`).

use sandbpf_abi::{ArgSpec, AttachType, ProgramType};
use sandbpf_isa::Reg as R;

use super::Name;
use crate::environment::TypeRef;
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Dynptr, Flags, Kind, Reg};
use crate::types::{Parameter, Pointee, Shape};

/// What a function takes (`bpf_subprog_arg_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A number.
    Number,
    /// The context.
    Context,
    /// A dynamic pointer.
    Dynptr,
    /// An object of the kernel.
    Object { target: TypeRef, nullable: bool },
    /// The same that need not be one: reading may fail.
    UntrustedObject(TypeRef),
    /// Memory that need not be there.
    UntrustedMemory,
    /// An address in an arena.
    Arena,
    /// So many bytes.
    Memory { size: u32, nullable: bool },
}

/// The tags of a parameter.
struct Tags<'t>(&'t [String]);

impl Tags<'_> {
    fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == tag)
    }

    fn has_other_than(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known != tag)
    }
}

const TAGS: [&str; 6] = ["ctx", "trusted", "untrusted", "nonnull", "nullable", "arena"];

impl Verifier<'_> {
    /// What a function takes; none if it has no type.
    pub(crate) fn takes(&self, function: usize) -> Check<Option<Vec<Takes>>> {
        let Some(prototype) = self.prototype_of(self.program.functions()[function].entry) else {
            return Ok(None);
        };
        let name = &prototype.name;
        let global = self.is_declared_global(function);
        if prototype.params.len() > 5 {
            let count = prototype.params.len();
            refuse!(Inval, "Global function {name}() with {count} > 5 args. Buggy compiler.");
        }
        if !matches!(prototype.result, Shape::Number { .. }) {
            refuse!(Inval, "Global function {name}() doesn't return scalar. Only those are supported.");
        }
        let params = prototype.params.iter().enumerate();
        let takes = params.map(|(at, param)| self.parameter(param, at, name, global));
        takes.collect::<Check<Vec<_>>>().map(Some)
    }

    /// Whether its type says that a function is global, be it the program itself.
    pub(crate) fn is_declared_global(&self, function: usize) -> bool {
        let entry = self.program.functions()[function].entry;
        self.signature(entry).is_some_and(|signature| signature.global)
    }

    fn parameter(&self, param: &Parameter, at: usize, function: &str, global: bool) -> Check<Takes> {
        let tags = Tags(&param.tags);
        if !global && !param.tags.is_empty() {
            refuse!(OpNotSupp, "arg#{at} type tag is not supported in static functions");
        }
        if param.tags.iter().any(|tag| !TAGS.contains(&tag.as_str())) {
            refuse!(OpNotSupp, "arg#{at} has unsupported set of tags");
        }
        if let Some(pointee) = &param.pointee {
            if let Some(takes) = self.pointer_parameter(pointee, at, &tags)? {
                return Ok(takes);
            }
            if global {
                return memory_parameter(pointee, at, &tags);
            }
        }
        if !param.tags.is_empty() {
            refuse!(Inval, "arg#{at} has pointer tag, but is not a pointer type");
        }
        match param.shape {
            Shape::Number { .. } => Ok(Takes::Number),
            _ => refuse!(Inval, "Arg#{at} type {} in {function}() is not supported yet.", param.kind),
        }
    }

    /// Pointers that mean more than memory.
    fn pointer_parameter(&self, pointee: &Pointee, at: usize, tags: &Tags<'_>) -> Check<Option<Takes>> {
        if tags.has("ctx") || self.is_context(pointee) {
            if tags.has_other_than("ctx") {
                refuse!(Inval, "arg#{at} has invalid combination of tags");
            }
            if tags.has("ctx") {
                self.check_context_type(pointee, at)?;
            }
            return Ok(Some(Takes::Context));
        }
        if pointee.name == "bpf_dynptr" && matches!(pointee.kind, "STRUCT" | "UNION" | "FWD") {
            if !tags.0.is_empty() {
                refuse!(Inval, "arg#{at} has invalid combination of tags");
            }
            return Ok(Some(Takes::Dynptr));
        }
        if tags.has("trusted") {
            if tags.has("nonnull") {
                refuse!(Inval, "arg#{at} has invalid combination of tags");
            }
            let target = self.in_kernel(pointee, at)?;
            return Ok(Some(Takes::Object { target, nullable: tags.has("nullable") }));
        }
        if tags.has("untrusted") {
            if tags.has_other_than("untrusted") {
                refuse!(Inval, "arg#{at} untrusted cannot be combined with any other tags");
            }
            if matches!(pointee.kind, "UNKNOWN" | "INT" | "ENUM" | "ENUM64") {
                return Ok(Some(Takes::UntrustedMemory));
            }
            let target = self.in_kernel(pointee, at)?;
            if !self.env.types.is_some_and(|types| types.is_struct(target)) {
                let (kind, name) = (pointee.kind, &pointee.name);
                refuse!(
                    Inval,
                    "arg#{at} has type {kind} '{name}', but only struct or primitive types are allowed"
                );
            }
            return Ok(Some(Takes::UntrustedObject(target)));
        }
        if tags.has("arena") {
            if tags.has_other_than("arena") {
                refuse!(Inval, "arg#{at} arena cannot be combined with any other tags");
            }
            return Ok(Some(Takes::Arena));
        }
        Ok(None)
    }

    /// The kernel's type of the same name (`btf_get_ptr_to_btf_id`).
    fn in_kernel(&self, pointee: &Pointee, at: usize) -> Check<TypeRef> {
        let (kind, name) = (pointee.kind, &pointee.name);
        let found = self.env.types.map(|types| types.candidates(pointee.of)).unwrap_or_default();
        match found[..] {
            _ if name.is_empty() => {
                refuse!(Inval, "arg#{at} reference type('{kind} {name}') candidate matching error: -22")
            }
            [only] => Ok(only),
            [] => refuse!(NoEnt, "arg#{at} reference type('{kind} {name}') has no matches"),
            _ => refuse!(NoMatch, "arg#{at} reference type('{kind} {name}') is ambiguous"),
        }
    }

    /// Whether a pointer to this is the context (`btf_is_prog_ctx_type`).
    fn is_context(&self, pointee: &Pointee) -> bool {
        let kprobe = self.env.program.program_type == ProgramType::Kprobe;
        if kprobe && pointee.alias.as_deref() == Some("bpf_user_pt_regs_t") {
            return true;
        }
        matches!(pointee.kind, "STRUCT" | "UNION") && self.is_context_name(&pointee.name)
    }

    /// Whether a parameter that is tagged as the context may be it (`btf_validate_prog_ctx_type`).
    fn check_context_type(&self, pointee: &Pointee, at: usize) -> Check {
        use ProgramType as T;
        let program = &self.env.program;
        let of = program.program_type;
        let alias = pointee.alias.as_deref();
        if matches!(of, T::Kprobe | T::PerfEvent) && alias == Some("bpf_user_pt_regs_t") {
            return Ok(());
        }
        if pointee.kind == "UNKNOWN" {
            return Ok(());
        }
        if pointee.name.is_empty() {
            refuse!(Inval, "arg#{at} type doesn't have a name");
        }
        let is_struct = pointee.kind == "STRUCT";
        let words = pointee.kind == "INT" && pointee.size == Some(8);
        let raw = |name: &str| is_struct && pointee.name == name;
        let fits = match of {
            T::Kprobe => raw("pt_regs"),
            T::PerfEvent => raw("pt_regs"),
            T::RawTracepoint | T::RawTracepointWritable | T::Lsm | T::StructOps => words,
            T::Tracing => match program.attach_type {
                AttachType::TRACE_RAW_TP => words || raw("bpf_raw_tracepoint_args"),
                AttachType::TRACE_ITER => is_struct && pointee.name.starts_with("bpf_iter__"),
                AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN => words,
                _ => false,
            },
            T::Tracepoint | T::Syscall | T::Ext => true,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        match super::context::context_name(of) {
            None => refuse!(Inval, "arg#{at} should be void pointer"),
            Some(name) if is_struct && pointee.name == name => Ok(()),
            Some(name) => refuse!(Inval, "arg#{at} should be `struct {name} *`"),
        }
    }

    /// What a function that is verified for itself finds in the register of a parameter.
    pub(crate) fn assumed(&mut self, takes: Takes) -> Reg {
        match takes {
            Takes::Number => self.unknown(),
            Takes::Context => Reg::pointer(Kind::Context, Flags::NONE),
            Takes::Dynptr => {
                let id = self.fresh_id();
                Reg { id, ..Reg::pointer(Kind::Dynptr { of: Dynptr::Local, first: true }, Flags::NONE) }
            }
            Takes::Object { target, nullable } => {
                let null = if nullable { Flags::MAYBE_NULL } else { Flags::NONE };
                let id = self.fresh_id();
                Reg { id, ..Reg::pointer(Kind::Btf(target), Flags::TRUSTED.and(null)) }
            }
            Takes::UntrustedObject(target) => {
                let id = self.fresh_id();
                Reg { id, ..Reg::pointer(Kind::Btf(target), Flags::UNTRUSTED) }
            }
            Takes::UntrustedMemory => {
                let id = self.fresh_id();
                Reg { id, ..Reg::pointer(Kind::Mem(0), Flags::UNTRUSTED.and(Flags::RDONLY)) }
            }
            Takes::Arena => Reg { kind: Kind::Arena, ..self.unknown() },
            Takes::Memory { size, nullable } => {
                let null = if nullable { Flags::MAYBE_NULL } else { Flags::NONE };
                let id = self.fresh_id();
                Reg { id, ..Reg::pointer(Kind::Mem(size), null) }
            }
        }
    }

    /// Asks that the arguments of a call are what the function takes.
    pub(super) fn check_call_arguments(&mut self, function: usize) -> Check {
        let Some(all) = self.takes(function)? else { return Ok(()) };
        for (at, takes) in all.into_iter().enumerate() {
            let number = super::arguments::register(at);
            self.check_call_argument(number, at, takes)?;
        }
        Ok(())
    }

    fn check_call_argument(&mut self, number: R, at: usize, takes: Takes) -> Check {
        let reg = *self.reg(number);
        match takes {
            Takes::Number if !reg.is_scalar() => refuse!(Inval, "{} is not a scalar", Name(number)),
            Takes::Number | Takes::UntrustedObject(_) | Takes::UntrustedMemory => Ok(()),
            Takes::Context => {
                self.check_offset(&reg, number, ArgSpec::Anything)?;
                match reg.kind {
                    Kind::Context => Ok(()),
                    _ => refuse!(Inval, "arg#{at} expects pointer to ctx"),
                }
            }
            Takes::Memory { size, nullable } => {
                self.check_offset(&reg, number, ArgSpec::Anything)?;
                if let Err(refusal) = self.check_whole_memory(number, size) {
                    refuse!(Inval, "{}", refusal.message);
                }
                if !nullable && reg.may_be_null() {
                    refuse!(Inval, "arg#{at} is expected to be non-NULL");
                }
                Ok(())
            }
            Takes::Arena if matches!(reg.kind, Kind::Arena | Kind::Scalar) => Ok(()),
            Takes::Arena => refuse!(Inval, "{} is not a pointer to arena or scalar.", Name(number)),
            Takes::Dynptr => {
                self.check_offset(&reg, number, ArgSpec::Dynptr)?;
                self.check_dynptr_argument(number)
            }
            Takes::Object { target, nullable } => self.check_trusted_argument(&reg, number, target, nullable),
        }
    }
}

/// A pointer to memory that the caller has (`btf_resolve_size`).
fn memory_parameter(pointee: &Pointee, at: usize, tags: &Tags<'_>) -> Check<Takes> {
    if tags.has("nullable") {
        refuse!(Inval, "arg#{at} has invalid combination of tags");
    }
    match pointee.size {
        Some(size) => Ok(Takes::Memory { size, nullable: !tags.has("nonnull") }),
        None => {
            let (kind, name) = (pointee.kind, &pointee.name);
            refuse!(Inval, "arg#{at} reference type('{kind} {name}') size cannot be determined: -22")
        }
    }
}
