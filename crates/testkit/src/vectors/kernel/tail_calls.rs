//! The programs of the kernel's `test_bpf` module that call each other.
//!
//! They stand in one table. Before a run the module puts an array of programs and an index where a program has a marker:
//! the index is the program's own place in the table, and a distance that its instruction says. The place behind the
//! last program holds nothing.

use std::collections::BTreeSet;

use sandbpf::maps::{MapSpec, MapType};
use sandbpf::{AnyInput, Code, Engine, KindName, Maps};
use sandbpf_isa::opcode::{CALL_IMM, LOAD_IMM64};
use sandbpf_isa::{AluOp, Class};

use super::super::engines::Settings;
use super::super::maps::NoMaps;
use crate::vectors::Context;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

/// What stands where the module puts something.
const MARKER: [u8; 4] = 0x7a11_ca11_u32.to_le_bytes();
/// The distance that stands for the place that holds nothing.
const NOTHING: i16 = 0x7fff;
/// That place: behind every program of the table.
const NOWHERE: i64 = 64;
/// How often the module runs a program, on the same state.
const RUNS: u32 = 1000;

const MOV: u8 = Class::Alu as u8 | AluOp::Mov.encoding().0 << 4;
/// `bpf_tail_call` as it is inside the kernel, where no helper stands for it.
const TAIL_CALL: u8 = 0xf5;
/// What the module calls is a function of its own, or one whose answer nobody looks at.
const ANY_HELPER: u32 = 5;

/// A program without markers, and the places in the table that it calls.
struct Linked {
    code: Vec<u8>,
    calls: Vec<i64>,
}

fn link(record: &Record) -> Result<Linked, Malformed> {
    let own = record.u64("index")? as i64;
    let (mut code, mut calls) = (record.code()?, Vec::new());
    for slot in code.chunks_exact_mut(8) {
        let off = i16::from_le_bytes([slot[2], slot[3]]);
        match slot[0] {
            // Map 0.
            LOAD_IMM64 if slot[4..] == MARKER => {
                slot[1] |= 1 << 4;
                slot[4..].fill(0);
            }
            MOV if slot[4..] == MARKER => {
                let target = if off == NOTHING { NOWHERE } else { own + i64::from(off) };
                calls.push(target);
                slot[2..4].fill(0);
                slot[4..].copy_from_slice(&(target as u32).to_le_bytes());
            }
            TAIL_CALL => slot.copy_from_slice(&[CALL_IMM, 0, 0, 0, 12, 0, 0, 0]),
            CALL_IMM => {
                slot[1] = 0;
                slot[4..].copy_from_slice(&ANY_HELPER.to_le_bytes());
            }
            _ => {}
        }
    }
    Ok(Linked { code, calls })
}

pub(crate) fn judge(record: &Record, context: &Context<'_>, judged: &mut Judged) -> Result<(), Malformed> {
    let table = context.library.tail_calls();
    let linked = link(record)?;
    let mut wanted = linked.calls.clone();
    let mut reached = BTreeSet::new();
    while let Some(place) = wanted.pop() {
        if place == NOWHERE || !reached.insert(place) {
            continue;
        }
        let Some(target) = u64::try_from(place).ok().and_then(|place| table.get(&place)) else {
            judged.leave_out("calls a program that is not among the records");
            return Ok(());
        };
        wanted.extend(link(target)?.calls);
    }
    let settings = Settings::default();
    let make = |engine: Engine| -> Result<Maps, NoMaps> {
        let maps = Maps::new();
        let refused = |error: &dyn ToString| NoMaps::Refused(error.to_string());
        let programs = maps
            .create(MapSpec::new(MapType::ProgArray, 4, 4, NOWHERE as u32 + 1))
            .map_err(|e| refused(&e))?;
        for place in &reached {
            let Some(target) = table.get(&(*place as u64)) else { continue };
            let code = link(target)?.code;
            let loader = settings.loader(engine).maps(&maps);
            let program = loader.load_any(KindName::Buffer, Code::Bytes(&code))?;
            maps.set_any(&programs, *place as u32, &program).map_err(|e| refused(&e))?;
        }
        Ok(maps)
    };
    let loaded =
        match context.engines.load_with(KindName::Buffer, || Code::Bytes(&linked.code), settings, make) {
            Ok(loaded) => loaded,
            Err(NoMaps::Malformed(malformed)) => return Err(malformed),
            Err(NoMaps::Refused(why)) => {
                judged.fail(|| why);
                return Ok(());
            }
        };
    let flags: Vec<_> = record.array("flags")?.iter().filter_map(|flag| flag.as_str()).collect();
    let (state, in_state) = (flags.contains(&"need_state"), flags.contains(&"result_in_state"));
    let expected = record.u64("expected_result")? as u32;
    for loaded in &loaded {
        let (mut memory, mut found) = ([0; 4], Ok(0));
        for _ in 0..RUNS {
            found = match state {
                true => loaded.run(AnyInput::Buffer((&mut memory).into())),
                // The module gives a program that needs no state nothing.
                false => loaded.run_by(AnyInput::Buffer((&[]).into()), |machine| {
                    machine.registers[1] = 0;
                    loaded.program().run_prepared(machine)
                }),
            };
        }
        let found = found.map(|r0| if in_state { u32::from_le_bytes(memory) } else { r0 as u32 });
        judged.equal(Ok(expected), found, || format!("on {}\n{}", loaded.engine, loaded.listing()));
    }
    Ok(())
}
