//! Type information of kernels and programs as the verifier asks for it, read from BTF.
//!
//! The verifier knows types by questions only ([`sandbpf_verifier::Types`]); here they are answered from the types of
//! the kernel that is verified for and those of the program.
#![forbid(unsafe_code)]

mod fields;
mod prototype;
mod safe;
mod target;
mod walk;

use std::sync::Arc;

use sandbpf_elf::{Btf, Kind};
use sandbpf_verifier::{Member, Prototype, SpecialField, TypeRef, Types, Variable};

pub use target::{Attach, target};

/// The types of a kernel and of a program.
#[derive(Clone, Debug, Default)]
pub struct BtfTypes {
    kernel: Option<Arc<Btf>>,
    program: Option<Arc<Btf>>,
    per_processor: Vec<u32>,
}

impl BtfTypes {
    /// Those of this kernel and of this program.
    pub fn new(kernel: Option<Arc<Btf>>, program: Option<Arc<Btf>>) -> Self {
        let per_processor = kernel.as_deref().map(per_processor).unwrap_or_default();
        BtfTypes { kernel, program, per_processor }
    }

    /// The types that a reference is about.
    pub(crate) fn btf(&self, of: TypeRef) -> Option<&Btf> {
        match of.btf {
            0 => self.kernel.as_deref(),
            1 => self.program.as_deref(),
            _ => None,
        }
    }

    /// The kernel's types.
    pub fn kernel(&self) -> Option<&Arc<Btf>> {
        self.kernel.as_ref()
    }

    /// The program's types.
    pub fn program(&self) -> Option<&Arc<Btf>> {
        self.program.as_ref()
    }

    /// The special fields of values of this type of the program.
    pub fn fields_of(&self, value_type: u32) -> Vec<SpecialField> {
        self.special_fields(TypeRef::program(value_type))
    }
}

/// The variables that every processor has one of.
fn per_processor(kernel: &Btf) -> Vec<u32> {
    let section = kernel.find(".data..percpu", |kind| matches!(kind, Kind::DataSec { .. }));
    match section.and_then(|section| kernel.kind(section)) {
        Some(Kind::DataSec { vars, .. }) => vars.iter().map(|var| var.var).collect(),
        _ => Vec::new(),
    }
}

impl Types for BtfTypes {
    fn name(&self, of: TypeRef) -> &str {
        self.btf(of).map_or("", |btf| btf.name(of.id))
    }

    fn size(&self, of: TypeRef) -> Option<u32> {
        self.btf(of)?.size_of(of.id)?.try_into().ok()
    }

    fn member(&self, of: TypeRef, offset: u32, size: u32) -> Result<Member, String> {
        match self.btf(of) {
            Some(btf) => walk::member(btf, of, offset, size),
            None => Err("no type information".into()),
        }
    }

    fn embeds(&self, whole: TypeRef, offset: u32, part: TypeRef) -> bool {
        if offset == 0 && whole == part {
            return true;
        }
        whole.btf == part.btf
            && self.btf(whole).is_some_and(|btf| walk::embeds(btf, whole.id, offset, part.id))
    }

    fn candidates(&self, of: TypeRef) -> Vec<TypeRef> {
        let (Some(own), Some(kernel)) = (self.btf(of), self.kernel.as_deref()) else { return Vec::new() };
        own.candidates_in(kernel, of.id).into_iter().map(TypeRef::kernel).collect()
    }

    fn exception_callbacks(&self, of: TypeRef) -> Vec<String> {
        let Some(btf) = self.btf(of) else { return Vec::new() };
        let named = btf.iter().filter_map(|(id, tag)| match tag.kind {
            Kind::DeclTag { ty, component: -1 } if ty == of.id => {
                btf.name(id).strip_prefix("exception_callback:").map(str::to_owned)
            }
            _ => None,
        });
        named.collect()
    }

    fn kernel_struct(&self, name: &str) -> Option<TypeRef> {
        let found = self.kernel.as_deref()?.find(name, |kind| kind.composite().is_some())?;
        Some(TypeRef::kernel(found))
    }

    fn prototype(&self, of: TypeRef) -> Option<Prototype> {
        prototype::of_function(self.btf(of)?, of)
    }

    fn writable(
        &self,
        of: sandbpf_abi::ProgramType,
        target: TypeRef,
        offset: u32,
        size: u32,
    ) -> Result<(), String> {
        safe::writable(of, self.name(target), offset, size, self.btf(target), target.id)
    }

    fn is_struct(&self, of: TypeRef) -> bool {
        self.btf(of).and_then(|btf| btf.strip(of.id)).is_some_and(|(_, kind)| kind.composite().is_some())
    }

    fn is_union(&self, of: TypeRef) -> bool {
        self.btf(of).and_then(|btf| btf.strip(of.id)).is_some_and(|(_, kind)| matches!(kind, Kind::Union(_)))
    }

    fn variable(&self, of: TypeRef) -> Option<Variable> {
        let btf = self.btf(of)?;
        match btf.kind(of.id)? {
            Kind::Var { ty, .. } if self.per_processor.contains(&of.id) && of.btf == 0 => {
                Some(Variable::Percpu(TypeRef { id: *ty, ..of }))
            }
            Kind::Var { ty, .. } => {
                let (id, kind) = btf.strip(*ty)?;
                match kind.composite() {
                    Some(_) => Some(Variable::Object(TypeRef { id, ..of })),
                    None => Some(Variable::Memory(btf.size_of(id)?.try_into().ok()?)),
                }
            }
            Kind::Func { .. } => Some(Variable::Function),
            _ => None,
        }
    }

    fn special_fields(&self, of: TypeRef) -> Vec<SpecialField> {
        self.btf(of).map(|btf| fields::special(self, btf, of)).unwrap_or_default()
    }

    fn is_scalar_struct(&self, of: TypeRef) -> bool {
        self.btf(of).is_some_and(|btf| walk::is_scalar_struct(btf, of.id, 0))
    }
}
