//! The terms of an object's program: what its section, its maps and its types say.

use std::sync::Arc;

use sandbpf_abi::{ProgramType, kfuncs};
use sandbpf_elf::{Btf, FixupKind, MapDef, MapKind, Object, ObjectProgram};
use sandbpf_types::BtfTypes;
use sandbpf_verifier::{MapShape, SourceLine, SpecialField, TypeRef};

use super::{FunctionInfo, Proof, SharedTypes, Verifier, VerifyError};

impl Verifier {
    /// The terms on which a loader has this program of an object verified; none if its section does not say what it
    /// is. The program names maps by their places in the object.
    pub fn of_object(object: &Object, program: &ObjectProgram) -> Option<Verifier> {
        Verifier::of_object_as(object, program, None)
    }

    /// The same as this type, whatever the section says.
    pub fn of_object_as(
        object: &Object,
        program: &ObjectProgram,
        program_type: Option<ProgramType>,
    ) -> Option<Verifier> {
        let attributes = object.attributes(&program.entry);
        let by_section = Some(attributes.program_type).filter(|&of| of != ProgramType::Unspec);
        let program_type = program_type.or(by_section)?;
        let mut verifier = Verifier::new(program_type)
            .license(object.license())
            .typed(object.target().cloned(), object.shared_btf().cloned())
            .object_maps(object)
            .functions(functions(program))
            .lines(lines(program));
        if let Some(slot) = program.exception_callback {
            verifier = verifier.exception_callback(slot as u32);
        }
        if by_section == Some(program_type) {
            verifier = verifier.attached(attributes.attach_type).flags(attributes.flags);
            if let Some(target) = target(object, program, program_type) {
                verifier = verifier.targeting(target);
            }
        }
        Some(verifier)
    }

    /// Chooses the types of the kernel that it is verified for, and of the program.
    pub fn typed(self, kernel: Option<Arc<Btf>>, program: Option<Arc<Btf>>) -> Verifier {
        let is_typed = kernel.is_some() || program.is_some();
        let types = is_typed.then(|| Arc::new(BtfTypes::new(kernel.clone(), program.clone())) as SharedTypes);
        Verifier { types, kernel, program, ..self }
    }

    /// The special fields of values of a type of the program: locks, timers, kernel pointers, lists.
    pub fn fields_of(&self, value_type: u32) -> Vec<SpecialField> {
        let types = self.types.as_deref();
        types.map(|types| types.special_fields(TypeRef::program(value_type))).unwrap_or_default()
    }

    /// Verifies a program of the object that these terms are from.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn verify_linked(&self, program: &ObjectProgram) -> Result<Proof, VerifyError> {
        self.verify_bytes(&linked_code(program))
    }

    fn object_maps(self, object: &Object) -> Verifier {
        let (mut shapes, mut numbers) = (Vec::new(), Vec::new());
        for def in object.maps() {
            numbers.push(Some(self.shape(def, &mut shapes)));
        }
        Verifier { shapes, numbers, ..self }
    }

    fn shape(&self, def: &MapDef, shapes: &mut Vec<MapShape>) -> usize {
        let inner = def.inner.as_deref().map(|inner| self.shape(inner, shapes));
        let (_, value_type) = def.kernel_types();
        let is_typed = value_type != 0 && self.program.is_some();
        let contents = def.kind.is_frozen().then(|| {
            let mut bytes = def.initial.clone().unwrap_or_default();
            bytes.resize(def.value_size as usize, 0);
            bytes
        });
        shapes.push(MapShape {
            name: def.kernel_name.clone(),
            map_type: def.map_type.0,
            key_size: def.key_size,
            value_size: def.value_size,
            max_entries: def.max_entries,
            flags: def.flags,
            inner,
            frozen: contents.is_some(),
            contents,
            fields: if is_typed { self.fields_of(value_type) } else { Vec::new() },
            value_type: is_typed.then_some(value_type),
            has_btf: is_typed,
            // Loaders map what objects declare.
            mapped: true,
            owner: None,
        });
        shapes.len() - 1
    }

    /// The same for another numbering of the object's maps: for each number, the place in the object.
    pub(crate) fn renumbered(self, places: &[Option<u32>]) -> Verifier {
        let highest = places.iter().flatten().max().map_or(0, |&number| number as usize + 1);
        let mut numbers = vec![None; highest];
        for (place, number) in places.iter().enumerate() {
            if let Some(number) = number {
                numbers[*number as usize] = self.numbers.get(place).copied().flatten();
            }
        }
        Verifier { numbers, ..self }
    }
}

/// The program's instructions with all that a loader puts into them; maps are numbered by their places in the object.
pub fn linked_code(program: &ObjectProgram) -> Vec<u8> {
    let mut code = program.insns.clone();
    for fixup in &program.fixups {
        let value = match &fixup.kind {
            FixupKind::Map { map } | FixupKind::MapValue { map, .. } => u32::try_from(*map).ok(),
            FixupKind::Kfunc { name, .. } => kfuncs::named(name).map(|(number, _)| number as u32).or(Some(0)),
            FixupKind::KernelType { id, .. } => *id,
            FixupKind::TypeId { id, .. } => Some(*id),
            _ => None,
        };
        let at = fixup.insn * 8 + 4;
        if let (Some(value), Some(place)) = (value, code.get_mut(at..at + 4)) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    code
}

/// What the program will be attached to, by the name that decides what it may do there.
fn target(object: &Object, program: &ObjectProgram, program_type: ProgramType) -> Option<String> {
    let entry = &program.entry;
    if program_type == ProgramType::StructOps {
        return object.maps().iter().find_map(|map| {
            let MapKind::StructOps(ops) = &map.kind else { return None };
            let (member, _) = ops.programs.iter().find(|(_, name)| *name == entry.name)?;
            Some(format!("{}.{member}", ops.name))
        });
    }
    let target = entry.attach_target()?;
    let iterates = entry.section.starts_with("iter");
    Some(if iterates { format!("bpf_iter_{target}") } else { target.to_string() })
}

/// What is known of the program's functions, if it has type information for them.
fn functions(program: &ObjectProgram) -> Vec<FunctionInfo> {
    let known = program.functions.iter().filter_map(|function| {
        Some(FunctionInfo {
            slot: u32::try_from(function.insn).ok()?,
            name: function.name.clone(),
            global: function.global,
            type_id: function.ty?,
        })
    });
    known.collect()
}

/// The lines of the source as the kernel shows them: file names without their folders.
fn lines(program: &ObjectProgram) -> Vec<SourceLine> {
    let line = |insn: usize| {
        let place = program.location(insn)?;
        let file = place.file.rsplit('/').next().unwrap_or_default();
        let text = format!("{} @ {file}:{}", place.text.trim_start(), place.line);
        Some(SourceLine { slot: u32::try_from(insn).ok()?, text })
    };
    program.line_starts().filter_map(line).collect()
}
