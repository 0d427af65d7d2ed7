//! The terms of an object's program: what its section, its maps and its types say.

use sandbpf_abi::{AttachType, ProgramType};
use sandbpf_elf::{Btf, MapDef, MapKind, Object, ObjectProgram};
use sandbpf_verifier::{MapShape, SourceLine, TypeRef};

use super::{FunctionInfo, Verifier, special_fields};

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
        let by_section = ProgramType::from_number(attributes.program_type.0);
        let by_section = by_section.filter(|&of| of != ProgramType::Unspec);
        let program_type = program_type.or(by_section)?;
        let mut verifier = Verifier::new(program_type)
            .license(object.license())
            .object_maps(object)
            .functions(functions(program))
            .lines(lines(program));
        if by_section == Some(program_type) {
            verifier = verifier.attached(AttachType(attributes.attach_type.0)).flags(attributes.flags);
            if let Some(target) = target(object, program, program_type) {
                verifier = verifier.targeting(target);
            }
            if let Some(id) = attributes.attach_type_id {
                verifier = verifier.attached_to(TypeRef::kernel(id));
            }
        }
        Some(verifier)
    }

    fn object_maps(self, object: &Object) -> Verifier {
        let (mut shapes, mut numbers) = (Vec::new(), Vec::new());
        for def in object.maps() {
            numbers.push(Some(shape(def, object.btf(), &mut shapes)));
        }
        Verifier { shapes, numbers, ..self }
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

fn shape(def: &MapDef, btf: Option<&Btf>, shapes: &mut Vec<MapShape>) -> usize {
    let inner = def.inner.as_deref().map(|inner| shape(inner, btf, shapes));
    let (_, value_type) = def.kernel_types();
    let typed = btf.filter(|_| value_type != 0);
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
        fields: typed.map(|btf| special_fields(btf, value_type)).unwrap_or_default(),
        value_type: typed.map(|_| value_type),
        has_btf: typed.is_some(),
        extra: def.extra,
        owner: None,
    });
    shapes.len() - 1
}

