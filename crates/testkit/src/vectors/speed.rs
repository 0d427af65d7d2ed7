//! The programs of a set of large ones, ready to be verified here and by the running kernel.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use sandbpf::Verifier;
use sandbpf::abi::ProgramType;
use sandbpf::maps::MapType;
use sandbpf::object::Btf;

use super::library::Library;
use super::record::{Malformed, Record, bytes};
use super::{VectorsError, maps, verifier};
use crate::kernel_maps::verdict::Load;
use crate::kernel_maps::{KernelMap, possible_cpus};

/// A program of a set.
#[derive(Debug)]
pub struct SpeedProgram {
    /// Its name.
    pub name: String,
    /// The set it is from.
    pub corpus: String,
    /// How many instructions were processed when it was recorded.
    pub processed: u32,
    /// Whether it was accepted then.
    pub accepted: bool,
    /// How long it took then, in microseconds.
    pub usec: u64,
    /// Who verifies it here.
    pub verifier: Verifier,
    /// The instructions, with maps by their places.
    pub code: Vec<u8>,
    /// The instructions, with maps by descriptors; or which map the kernel refused to make.
    pub kernel_code: Result<Vec<u8>, String>,
    /// The maps by their places, which live as long as the program may be loaded.
    pub maps: Vec<(u64, KernelMap)>,
    program_type: u32,
    attach_type: u32,
    flags: u32,
    license: String,
    target: u32,
}

impl SpeedProgram {
    /// What the kernel is asked.
    pub fn load(&self) -> Option<Load<'_>> {
        Some(Load {
            program_type: self.program_type,
            attach_type: self.attach_type,
            flags: self.flags,
            target: self.target,
            code: self.kernel_code.as_deref().ok()?,
            license: &self.license,
            types: None,
        })
    }
}

/// Calls `each` for every program that these files of figures are about, in their order.
///
/// # Errors
/// If a file cannot be read.
pub fn speed_programs(
    files: &[PathBuf],
    mut each: impl FnMut(Result<SpeedProgram, String>),
) -> Result<(), VectorsError> {
    let library = Library::new(files);
    for file in files {
        for record in library.records(file)?.into_iter().flatten() {
            let name = record.name().to_string();
            each(prepare(&record, &library).map_err(|error| format!("{name}: {error}")));
        }
    }
    Ok(())
}

fn prepare(figures: &Record, library: &Library) -> Result<SpeedProgram, Malformed> {
    let corpus = figures.str("corpus")?;
    let program = library.recorded(corpus, figures.str("name")?)?;
    if verifier::lacks_object(&program, library) && super::kernel::verdict::needs_types(&program) {
        return Err(Malformed::Companion("object file"));
    }
    let value = program.value();
    let mut code = maps::code(&program)?;
    verifier::complete(&program, library, &mut code);
    let number = |field: &str| value[field].as_u64().unwrap_or(0) as u32;
    let kernel_maps = kernel_maps(&program);
    let (kernel_maps, kernel_code) = match kernel_maps {
        Ok(maps) => {
            let code = with_numbers(&program, &maps, library.kernel(), &code);
            (maps, Ok(code))
        }
        Err(reason) => (Vec::new(), Err(reason)),
    };
    let program_type = program.str("prog_type")?;
    let program_type = ProgramType::from_name(program_type).ok_or(Malformed::field("prog_type"))?;
    let attach_type = number("expected_attach_type");
    let by_section = value["section"].as_str().map(|section| section.trim_start_matches('?'));
    let by_section = by_section.and_then(sandbpf::object::elf::SectionKind::of);
    let target = value["attach_btf_name"].as_str().map(str::to_string);
    let target = target.or_else(|| section_target(value["section"].as_str()?, attach_type));
    let target = target.zip(library.kernel()).and_then(|(name, kernel)| function(kernel, &name));
    Ok(SpeedProgram {
        name: figures.name().to_string(),
        corpus: corpus.to_string(),
        processed: figures.u64("processed")? as u32,
        accepted: figures.str("verdict")? == "accept",
        usec: figures.u64("verification_usec_median")?,
        verifier: verifier::of(&program, library)?,
        code,
        kernel_code,
        maps: kernel_maps,
        program_type: program_type as u32,
        attach_type,
        flags: number("prog_flags") | by_section.map_or(0, |kind| kind.program_flags()),
        license: value["license"].as_str().unwrap_or("GPL").to_string(),
        target: target.unwrap_or(0),
    })
}

/// The function of the kernel that an iterator's section names.
fn section_target(section: &str, attach_type: u32) -> Option<String> {
    const TRACE_ITER: u32 = 28;
    let (_, rest) = section.split_once('/')?;
    (attach_type == TRACE_ITER).then(|| format!("bpf_iter_{rest}"))
}

fn function(kernel: &Btf, name: &str) -> Option<u32> {
    kernel.find(name, |kind| matches!(kind, sandbpf::object::elf::Kind::Func { .. }))
}

/// The record's maps that the program names, in the running kernel, by their places, with what is in the sections of data.
fn kernel_maps(record: &Record) -> Result<Vec<(u64, KernelMap)>, String> {
    let fixups = record.value()["fixups"].as_array().into_iter().flatten();
    let named: BTreeSet<u64> = fixups.filter_map(|fixup| fixup["map"].as_u64()).collect();
    let mut made = Vec::new();
    for place in named {
        let described = &record.value()["maps"][place as usize];
        let mut spec = maps::spec(described).ok_or("a map of a type that is not known here")?;
        let refused = |errno| format!("{:?} map refused with {errno}", described["name"]);
        if spec.map_type == MapType::PerfEventArray && spec.max_entries == 0 {
            // As libbpf does.
            spec.max_entries = possible_cpus();
        }
        let inner = match &spec.inner {
            Some(inner) => Some(KernelMap::create(inner, None).map_err(refused)?),
            None => None,
        };
        let map = KernelMap::create(&spec, inner.as_ref()).map_err(refused)?;
        if let Some(mut value) = bytes(&described["init_value"]).filter(|value| !value.is_empty()) {
            value.resize(spec.value_size as usize, 0);
            map.update(&[0; 4], &value, 0).map_err(refused)?;
        }
        if described["freeze"] == true || (described["internal"] == true && spec.map_flags & 128 != 0) {
            map.freeze().map_err(refused)?;
        }
        made.push((place, map));
    }
    Ok(made)
}

/// The code with what the running kernel calls maps and its functions.
fn with_numbers(
    record: &Record,
    maps: &[(u64, KernelMap)],
    kernel: Option<&Arc<Btf>>,
    code: &[u8],
) -> Vec<u8> {
    let mut code = code.to_vec();
    for fixup in record.value()["fixups"].as_array().into_iter().flatten() {
        let at = fixup["insn"].as_u64().unwrap_or(u64::MAX).saturating_mul(8).saturating_add(4) as usize;
        let number = match fixup["kind"].as_str() {
            Some("map") => {
                maps.iter().find(|(place, _)| fixup["map"] == *place).map(|(_, map)| map.descriptor())
            }
            Some("kfunc") => kernel
                .zip(fixup["name"].as_str())
                .and_then(|(kernel, name)| function(kernel, name))
                .map(|number| number as i32),
            _ => None,
        };
        if let (Some(place), Some(number)) = (code.get_mut(at..at.saturating_add(4)), number) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }
    code
}
