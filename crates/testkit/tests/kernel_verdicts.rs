//! What the verifier says of programs that were made up comes out as in the running kernel: verdict, error number,
//! instruction, and how much work it was.
//!
//! `SANDBPF_KERNEL_PROGRAMS` says how many (20,000), `SANDBPF_KERNEL_SEED` where to start, `SANDBPF_KERNEL_KNOWN` in how
//! many the verdicts may differ to the safe side. Programs are loaded and closed again; nothing is attached.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::setting;
use sandbpf::abi::{AttachType, ProgramType};
use sandbpf::maps::MapSpec;
use sandbpf::object::{Btf, elf::Kind};
use sandbpf::{FunctionInfo, Maps, Verifier};
use sandbpf_testkit::generate::verifiable::{self, Sketch};
use sandbpf_testkit::generate::{Source, random};
use sandbpf_testkit::kernel_maps::verdict::{KernelTypes, KernelVerdict, Load};
use sandbpf_testkit::kernel_maps::{KernelMap, unavailable};

/// The instructions of more work than this are not asked for: the kernel takes seconds to write them all down.
const LONG_LOG: u32 = 2000;

/// Both sides of all programs.
struct Sides {
    kernel: Arc<Btf>,
    own: Arc<Btf>,
    types: KernelTypes,
    specs: Vec<MapSpec>,
    there: Vec<KernelMap>,
    here: Maps,
}

/// What was said here.
struct Verdict {
    errno: i32,
    message: String,
    insn: Option<u32>,
    processed: u32,
}

impl Sides {
    fn new() -> Option<Sides> {
        let kernel = Btf::parse(&std::fs::read("/sys/kernel/btf/vmlinux").ok()?).ok()?;
        let types = verifiable::types();
        let here = Maps::new();
        let there = verifiable::maps().into_iter().map(|spec| {
            let inner = spec.inner.as_deref();
            let inner = inner.map(|inner| KernelMap::create(inner, None).expect("the kernel takes it"));
            let map = KernelMap::create(&spec, inner.as_ref()).expect("the kernel takes it");
            here.create(spec).expect("we take it");
            map
        });
        Some(Sides {
            there: there.collect(),
            specs: verifiable::maps(),
            here,
            kernel: Arc::new(kernel),
            own: Arc::new(Btf::parse(&types).expect("types")),
            types: KernelTypes::load(&types).expect("types"),
        })
    }

    fn there(&self, sketch: &Sketch, level: u32) -> KernelVerdict {
        let kfunc = |name: &str| {
            self.kernel.find(name, |kind| matches!(kind, Kind::Func { .. })).map_or(0, |number| number as i32)
        };
        // Programs in an array are of the type of the first that names it; so everyone has one of its own.
        let spec = &self.specs[verifiable::PROGRAMS];
        let names = sketch.maps.iter().any(|&(_, map)| map == verifiable::PROGRAMS);
        let programs = names.then(|| KernelMap::create(spec, None).expect("the kernel takes it"));
        let descriptor = |map: usize| match &programs {
            Some(programs) if map == verifiable::PROGRAMS => programs.descriptor(),
            _ => self.there[map].descriptor(),
        };
        let code = sketch.code_with(descriptor, kfunc);
        let functions: Vec<_> = sketch.functions.iter().copied().zip(verifiable::FIRST_FUNCTION..).collect();
        let load = Load {
            program_type: sketch.program_type as u32,
            attach_type: sketch.attach_type,
            flags: sketch.flags,
            code: &code,
            license: "GPL",
            types: Some((&self.types, &functions)),
            ..Load::default()
        };
        load.verdict(level, if level == 0 { 1 << 16 } else { 1 << 22 })
    }

    fn here(&self, sketch: &Sketch) -> Verdict {
        let kfunc = |name: &str| sandbpf::abi::kfuncs::named(name).map_or(0, |(number, _)| number);
        let code = sketch.code_with(|map| map as i32, kfunc);
        let functions = sketch.functions.iter().copied().zip(verifiable::FIRST_FUNCTION..);
        let function = |(slot, type_id)| FunctionInfo { slot, name: String::new(), global: false, type_id };
        let verifier = Verifier::new(sketch.program_type)
            .attached(AttachType(sketch.attach_type))
            .flags(sketch.flags)
            .typed(Some(Arc::clone(&self.kernel)), Some(Arc::clone(&self.own)))
            .functions(functions.map(function).collect())
            .maps(&self.here);
        match verifier.verify_bytes(&code) {
            Ok(proof) => Verdict {
                errno: 0,
                message: String::new(),
                insn: None,
                processed: proof.statistics().processed,
            },
            Err(error) => Verdict {
                errno: error.errno_number(),
                message: error.line().to_string(),
                insn: error.instruction(),
                processed: error.statistics().processed,
            },
        }
    }
}

/// How often what came out.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
    false_accepts: Vec<u64>,
    false_rejects: Vec<u64>,
    /// The kernel says of itself that it is wrong (`verifier_bug`), and rejects what is accepted here.
    own_mistakes: Vec<u64>,
    other_errno: u64,
    other_insn: u64,
    other_message: u64,
    other_work: u64,
    types: BTreeMap<ProgramType, (u64, u64)>,
    messages: BTreeMap<String, u64>,
}

/// A message without its numbers.
fn class(message: &str) -> String {
    let mut class: String = message.chars().map(|c| if c.is_ascii_digit() { 'N' } else { c }).collect();
    while class.contains("NN") {
        class = class.replace("NN", "N");
    }
    class
}

#[test]
fn verdicts_are_the_same() {
    if let Some(reason) = unavailable() {
        println!("skipped: {reason}");
        return;
    }
    let Some(sides) = Sides::new() else {
        println!("skipped: the kernel's types are not at hand");
        return;
    };
    let (first, count) = (setting("SANDBPF_KERNEL_SEED", 1), setting("SANDBPF_KERNEL_PROGRAMS", 20_000));
    let shown = setting("SANDBPF_KERNEL_SHOWN", 5);
    let mut tally = Tally::default();
    for seed in first..first + count {
        let bytes: Vec<u8> = (0..6).flat_map(|part| random(seed * 8 + part)).collect();
        let sketch = verifiable::sketch(&mut Source::new(&bytes));
        let there = sides.there(&sketch, 0);
        let here = sides.here(&sketch);
        let by_type = tally.types.entry(sketch.program_type).or_default();
        if there.accepted() {
            by_type.0 += 1;
            tally.accepted += 1;
        } else {
            by_type.1 += 1;
            tally.rejected += 1;
            *tally.messages.entry(class(there.message())).or_default() += 1;
        }
        let mut differs = None;
        if there.log.contains("verifier bug") && here.errno == 0 {
            differs = Some("the kernel's own mistake");
            tally.own_mistakes.push(seed);
        } else if there.accepted() != (here.errno == 0) {
            differs = Some("verdict");
            let list = if there.accepted() { &mut tally.false_rejects } else { &mut tally.false_accepts };
            list.push(seed);
        } else if there.errno != here.errno {
            differs = Some("errno");
            tally.other_errno += 1;
        } else if class(there.message()) != class(&here.message) {
            differs = Some("message");
            tally.other_message += 1;
        } else if there.processed != here.processed {
            differs = Some("work");
            tally.other_work += 1;
        } else if !there.accepted() && there.processed <= LONG_LOG {
            let insn = sides.there(&sketch, 1).last_insn();
            // What is refused before the walk has no instruction there.
            if insn.is_some() && insn != here.insn {
                differs = Some("insn");
                tally.other_insn += 1;
            }
        }
        if let Some(what) = differs
            && tally.false_accepts.len() as u64
                + tally.false_rejects.len() as u64
                + tally.other_errno
                + tally.own_mistakes.len() as u64
                + tally.other_insn
                + tally.other_message
                + tally.other_work
                <= shown
        {
            println!(
                "{what} of {seed} ({:?}): the kernel {} {:?} after {}; here {} {:?} at {:?} after {}",
                sketch.program_type,
                there.errno,
                there.message(),
                there.processed,
                here.errno,
                here.message,
                here.insn,
                here.processed
            );
        }
    }
    println!("{count} programs: {tally:#?}");
    assert!(tally.false_accepts.is_empty(), "accepted here and not there: {:?}", tally.false_accepts);
    let known = setting("SANDBPF_KERNEL_KNOWN", 0);
    assert!(
        tally.false_rejects.len() as u64 <= known,
        "accepted there and not here: {:?}",
        tally.false_rejects
    );
}
