//! What the kernel is told about a program beside its instructions (`BPF_PROG_LOAD`).

use crate::btf::{Kind, TypeId};
use crate::maps::MapKind;
use crate::object::Object;
use crate::program::ProgramEntry;
use crate::{AttachType, ProgramType};

/// What the kernel is told about a program when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Its type.
    pub program_type: ProgramType,
    /// Where it expects to be attached; for a function of a structure the member's index.
    pub attach_type: AttachType,
    /// `BPF_F_…` of loading.
    pub flags: u32,
    /// The type in the kernel that it is attached to, if the kernel was given and has it.
    pub attach_type_id: Option<TypeId>,
}

impl Default for Attributes {
    /// Nothing is known.
    fn default() -> Self {
        Attributes {
            program_type: ProgramType::Unspec,
            attach_type: AttachType(0),
            flags: 0,
            attach_type_id: None,
        }
    }
}

impl ProgramEntry {
    /// What the section's name says the program is attached to: what stands behind the first slash.
    pub fn attach_target(&self) -> Option<&str> {
        self.section.split_once('/').map(|(_, target)| target)
    }
}

impl Object {
    /// What libbpf tells the kernel about a program, as far as the section's name says it.
    ///
    /// ```
    /// use sandbpf_elf::{Object, ProgramType};
    /// # let file = include_bytes!("../tests/data/maps.o");
    /// let object = Object::parse(file)?;
    /// let entry = object.entries().iter().find(|entry| entry.name == "my_open").unwrap();
    /// let attributes = object.attributes(entry);
    /// assert_eq!(attributes.program_type, ProgramType::StructOps);
    /// // It may sleep (`BPF_F_SLEEPABLE`).
    /// assert_eq!(attributes.flags, 16);
    /// # Ok::<(), sandbpf_elf::ObjectError>(())
    /// ```
    pub fn attributes(&self, entry: &ProgramEntry) -> Attributes {
        let Some(kind) = entry.kind else { return Attributes::default() };
        let mut attributes = Attributes {
            program_type: kind.program_type,
            attach_type: kind.attach_type,
            flags: kind.program_flags(),
            attach_type_id: None,
        };
        if kind.usdt {
            attributes.attach_type = AttachType::TRACE_UPROBE_MULTI;
        }
        if kind.program_type == ProgramType::StructOps {
            if let Some((structure, member)) = self.member_of(entry) {
                attributes.attach_type_id = Some(structure);
                attributes.attach_type = AttachType(member);
            }
        } else if kind.attaches_to_type && kind.program_type != ProgramType::Ext {
            attributes.attach_type_id = self.attach_type_id(entry, kind.attach_type);
        }
        attributes
    }

    /// The kernel's structure and the index of the member that the program stands in.
    fn member_of(&self, entry: &ProgramEntry) -> Option<(TypeId, u32)> {
        let target = self.options.target.as_deref()?;
        self.maps().iter().find_map(|map| {
            let MapKind::StructOps(ops) = &map.kind else { return None };
            let structure = ops.kernel_type?;
            let (member, _) = ops.programs.iter().find(|(_, program)| *program == entry.name)?;
            let members = &target.kind(structure)?.composite()?.members;
            let index = members.iter().position(|known| target.member_name(known) == member)?;
            Some((structure, index as u32))
        })
    }

    fn attach_type_id(&self, entry: &ProgramEntry, attach_type: AttachType) -> Option<TypeId> {
        let target = self.options.target.as_deref()?;
        let name = entry.attach_target()?;
        let function = |kind: &Kind| matches!(kind, Kind::Func { .. });
        match attach_type {
            AttachType::TRACE_RAW_TP => {
                target.find(&format!("btf_trace_{name}"), |kind| matches!(kind, Kind::Typedef(_)))
            }
            AttachType::LSM_MAC | AttachType::LSM_CGROUP => target.find(&format!("bpf_lsm_{name}"), function),
            AttachType::TRACE_ITER => target.find(&format!("bpf_iter_{name}"), function),
            _ => target.find(name, function),
        }
    }
}
