//! Programs as the loader describes them: what follows from that before the first instruction is read.

use core::fmt;

use crate::{
    Access, AttachType, Context, Direction, Field, HelperSpec, ProgramType, Returns, Value, View, helpers,
};

/// What the loader says of a program, and what its own rights and its kernel add.
///
/// ```
/// use sandbpf_abi::{AttachType, Direction, Program, ProgramType, Returns, SkBuff, Unavailable, Value};
/// let program = Program::new(ProgramType::SchedCls);
/// let data = program.access(SkBuff::DATA as i32, 4, Direction::Read).unwrap();
/// assert_eq!(data.value, Value::Packet);
/// assert!(program.access(SkBuff::DATA as i32, 4, Direction::Write).is_err());
/// assert_eq!(program.helper(23).unwrap().name, "redirect");
/// assert_eq!(program.helper(44), Err(Unavailable::NotForType));
///
/// let egress = Program::new(ProgramType::CgroupSkb).attached(AttachType::CGROUP_INET_EGRESS);
/// assert_eq!(egress.returns(), Returns::Range(0, 3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'t> {
    /// What it is for.
    pub program_type: ProgramType,
    /// Where it will be attached (`expected_attach_type`).
    pub attach_type: AttachType,
    /// Whether its license is compatible with the GPL.
    pub gpl: bool,
    /// Whether it may sleep (`BPF_F_SLEEPABLE`).
    pub sleepable: bool,
    /// What the loader and the kernel allow.
    pub powers: Powers,
    /// The name of what it will be attached to, if that is known: the function of an iterator
    /// (`bpf_iter_tcp`), a hook (`sock_graft`), a function of a table (`tcp_congestion_ops.release`).
    pub target: &'t str,
}

/// What the loader and the kernel allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
    /// The loader has `CAP_BPF`.
    pub bpf: bool,
    /// The loader has `CAP_PERFMON`.
    pub perfmon: bool,
    /// The kernel is built with `CONFIG_BPF_KPROBE_OVERRIDE`.
    pub override_return: bool,
    /// Programs may write the memory of processes: the kernel is not locked down.
    pub probe_write_user: bool,
}

impl Default for Powers {
    /// All capabilities, on a kernel that is locked down.
    fn default() -> Self {
        Powers { bpf: true, perfmon: true, override_return: false, probe_write_user: false }
    }
}

/// Why a helper is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unavailable {
    /// There is none with this number.
    Unknown,
    /// Programs of this type do not have it, at least not where this one is attached.
    NotForType,
    /// The program's license is not compatible with the GPL.
    GplOnly,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unavailable::Unknown => "no helper has this number",
            Unavailable::NotForType => "programs of this type do not have this helper",
            Unavailable::GplOnly => "this helper is only for programs with a license compatible with the GPL",
        })
    }
}

impl core::error::Error for Unavailable {}

/// An access to a context that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldAccess {
    /// The field; none if the context is only bytes.
    pub field: Option<&'static Field>,
    /// The first byte of it that is accessed.
    pub within: u32,
    /// How many bytes.
    pub size: u32,
    /// What a load gives.
    pub value: Value,
}

impl FieldAccess {
    /// Whether a load may extend the sign.
    pub const fn may_extend_sign(&self) -> bool {
        !self.value.is_pointer()
    }
}

/// Why an access to a context is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// It starts before the context or behind it.
    Outside,
    /// The offset is not a multiple of the size.
    Misaligned,
    /// No field is there.
    Hole,
    /// Programs of this type may not do that with the field, at least not where this one is attached.
    Forbidden(&'static Field, Direction),
    /// The field takes other sizes, or other places inside of it.
    Size(&'static Field, Access),
    /// A context of bytes that can only be read.
    ReadOnly,
    /// Less than all of a pointer.
    PartOfPointer,
    /// What is there, only the type of the function says that the program is attached to.
    NeedsTarget,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessError::Outside => f.write_str("outside of the context"),
            AccessError::Misaligned => f.write_str("the offset is not a multiple of the size"),
            AccessError::Hole => f.write_str("no field is there"),
            AccessError::Forbidden(field, Direction::Read) => {
                write!(f, "programs of this kind may not read {}", field.name)
            }
            AccessError::Forbidden(field, Direction::Write) => {
                write!(f, "programs of this kind may not write {}", field.name)
            }
            AccessError::Size(field, access) => write!(f, "{} is accessed by {access} bytes", field.name),
            AccessError::ReadOnly => f.write_str("this context can only be read"),
            AccessError::PartOfPointer => f.write_str("a pointer is loaded whole"),
            AccessError::NeedsTarget => {
                f.write_str("only the type of what the program is attached to says what is there")
            }
        }
    }
}

impl core::error::Error for AccessError {}

impl<'t> Program<'t> {
    /// A program of this type, with the attach type 0, a license compatible with the GPL, all
    /// capabilities; it sleeps only if it must.
    pub fn new(program_type: ProgramType) -> Self {
        Program {
            program_type,
            attach_type: AttachType(0),
            gpl: true,
            sleepable: program_type.takes_sleepable(AttachType(0), true)
                && !program_type.takes_sleepable(AttachType(0), false),
            powers: Powers::default(),
            target: "",
        }
    }

    /// The same, attached there.
    pub fn attached(self, attach_type: AttachType) -> Self {
        Program { attach_type, ..self }
    }

    /// The same, with such a license.
    pub fn licensed(self, gpl: bool) -> Self {
        Program { gpl, ..self }
    }

    /// The same, sleeping or not.
    pub fn sleeping(self, sleepable: bool) -> Self {
        Program { sleepable, ..self }
    }

    /// The same, attached to what has this name.
    pub fn targeting(self, target: &str) -> Program<'_> {
        Program {
            target,
            program_type: self.program_type,
            attach_type: self.attach_type,
            gpl: self.gpl,
            sleepable: self.sleepable,
            powers: self.powers,
        }
    }

    /// The attach type that counts.
    fn at(&self) -> AttachType {
        self.program_type.attached(self.attach_type).unwrap_or(self.attach_type)
    }

    /// The helper with this number.
    pub fn helper(&self, id: i32) -> Result<&'static HelperSpec, Unavailable> {
        let row = self.program_type.row();
        if id == 0 {
            // Zero has a name, and nobody has it.
            return Err(Unavailable::NotForType);
        }
        if row.needs_gpl && !self.gpl {
            return Err(Unavailable::GplOnly);
        }
        if helpers::numbered(id).next().is_none() {
            return Err(Unavailable::Unknown);
        }
        let here = Program { attach_type: self.at(), ..*self };
        let helper = row.helpers.find(&here, id).ok_or(Unavailable::NotForType)?;
        match helper.has(crate::Effect::GplOnly) && !self.gpl {
            true => Err(Unavailable::GplOnly),
            false => Ok(helper),
        }
    }

    /// All helpers that it may call, by number.
    pub fn helpers(&self) -> impl Iterator<Item = &'static HelperSpec> {
        (1..=helpers::LAST).filter_map(|id| self.helper(id).ok())
    }

    /// What it sees of its context, if that is a struct.
    pub fn view(&self) -> Option<&'static View> {
        let Context::Struct(rows) = self.program_type.row().context else { return None };
        let at = self.at();
        rows.iter().find(|(all, _)| all.is_empty() || all.contains(&at)).map(|&(_, view)| view)
    }

    /// What an access to the context means: at this offset from its start, of so many bytes.
    pub fn access(&self, offset: i32, size: u32, direction: Direction) -> Result<FieldAccess, AccessError> {
        match self.program_type.row().context {
            Context::Struct(_) => {
                let view = self.view().ok_or(AccessError::Outside)?;
                let access = view.access(offset, size, direction)?;
                match access.field {
                    Some(field) if !self.may_touch(field, direction) => {
                        Err(AccessError::Forbidden(field, direction))
                    }
                    _ => Ok(access),
                }
            }
            Context::Bytes { first, end, writable, wraps } => {
                let bytes = Bytes { first, end, writable, wraps };
                bytes.access(offset, size, direction)
            }
            Context::Arguments => Err(AccessError::NeedsTarget),
            Context::None => Err(AccessError::Outside),
        }
    }

    /// Whether the loader's capabilities suffice for the field: those without `CAP_BPF` may load filters of a cgroup's
    /// packets, but these look at packets by helpers only and set no time (`cg_skb_is_valid_access`).
    fn may_touch(&self, field: &Field, direction: Direction) -> bool {
        if self.powers.bpf || self.program_type != ProgramType::CgroupSkb {
            return true;
        }
        !matches!(field.value, Value::Packet | Value::PacketEnd)
            && (direction == Direction::Read || field.name != "tstamp")
    }

    /// What it may return.
    pub fn returns(&self) -> Returns {
        let at = self.at();
        let rules = self.program_type.row().returns;
        rules.iter().find(|(all, _)| all.is_empty() || all.contains(&at)).map_or(Returns::Any, |&(_, of)| of)
    }
}

impl View {
    /// What an access to the struct means: at this offset from its start, of so many bytes.
    pub fn access(&self, offset: i32, size: u32, direction: Direction) -> Result<FieldAccess, AccessError> {
        let offset = u32::try_from(offset).map_err(|_| AccessError::Outside)?;
        if offset as usize >= self.layout.size {
            return Err(AccessError::Outside);
        }
        if !matches!(size, 1 | 2 | 4 | 8) || !offset.is_multiple_of(size) {
            return Err(AccessError::Misaligned);
        }
        let field = self.layout.field_at(offset as usize).ok_or(AccessError::Hole)?;
        if !self.allows(field, direction) {
            return Err(AccessError::Forbidden(field, direction));
        }
        let access = match direction {
            Direction::Read => field.load,
            Direction::Write => field.store,
        };
        let within = offset - field.offset as u32;
        if !access.takes(within, size, field.size as u32) {
            return Err(AccessError::Size(field, access));
        }
        let whole = within == 0 && size as usize == field.size;
        let value = if whole { field.value } else { Value::Scalar };
        Ok(FieldAccess { field: Some(field), within, size, value })
    }
}

/// A context of bytes.
struct Bytes {
    first: u32,
    end: u32,
    writable: bool,
    wraps: bool,
}

impl Bytes {
    fn access(&self, offset: i32, size: u32, direction: Direction) -> Result<FieldAccess, AccessError> {
        let below = offset < 0;
        let start = offset.unsigned_abs();
        if (below && !self.wraps) || (!below && (start < self.first || start >= self.end)) {
            return Err(AccessError::Outside);
        }
        if direction == Direction::Write && !self.writable {
            return Err(AccessError::ReadOnly);
        }
        if !matches!(size, 1 | 2 | 4 | 8) || !start.is_multiple_of(size) {
            return Err(AccessError::Misaligned);
        }
        Ok(FieldAccess { field: None, within: start, size, value: Value::Scalar })
    }
}
