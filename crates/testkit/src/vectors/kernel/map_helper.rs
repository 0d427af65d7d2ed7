//! One helper called with one type of map by one type of program, and what the kernel says to that.
//!
//! The record does not hold the program: it is written here from the helper's signature. Each argument is the plainest
//! that fits: the context, the map, eight bytes of the stack, their length, and zero for whatever remains.

use std::fmt::Write as _;

use sandbpf::Verifier;
use sandbpf::abi::{ArgSpec, HelperSpec, ProgramType, RetSpec, helpers};
use sandbpf::maps::MapType;
use sandbpf::verifier::MapShape;

use super::verdict;
use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let program_type =
        ProgramType::from_name(record.str("prog_type")?).ok_or(Malformed::field("prog_type"))?;
    let map_type = MapType::from_name(record.str("map_type")?).ok_or(Malformed::field("map_type"))?;
    let name = record.str("helper")?;
    let helper = helpers::all().find(|helper| helper.name == name).ok_or(Malformed::field("helper"))?;
    let program = sandbpf::isa::parse(&text(helper)).map_err(|_| Malformed::field("helper"))?;
    let by = Verifier::new(program_type).shapes(shapes(map_type), 1);
    verdict::compare(record, record.value(), &by, &program.to_bytes(), judged);
    Ok(())
}

/// The program that calls this helper.
fn text(helper: &HelperSpec) -> String {
    let mut text = String::from("r6 = r1\n*(u64 *)(r10 - 8) = 0\n");
    for (register, &arg) in (1..).zip(helper.args) {
        let _ = match arg {
            ArgSpec::Context => writeln!(text, "r{register} = r6"),
            ArgSpec::Map => writeln!(text, "r{register} = map[fd:0]"),
            ArgSpec::MapKey | ArgSpec::MapValue | ArgSpec::NewMapValue | ArgSpec::ReadMem => {
                writeln!(text, "r{register} = r10\nr{register} += -8")
            }
            ArgSpec::MemLen | ArgSpec::MemLenOrZero | ArgSpec::AllocLen => writeln!(text, "r{register} = 8"),
            _ => writeln!(text, "r{register} = 0"),
        };
    }
    let _ = writeln!(text, "call {}", helper.id);
    if helper.ret == RetSpec::RecordOrNull {
        let discard = helpers::RINGBUF_DISCARD.id;
        let _ = writeln!(text, "if r0 == 0 goto done\nr1 = r0\nr2 = 0\ncall {discard}");
    }
    text + "done: r0 = 0\nexit\n"
}

/// The smallest map of this type, and what those inside it look like.
fn shapes(map_type: MapType) -> Vec<MapShape> {
    use MapType::*;
    let key_size = match map_type {
        Queue | Stack | BloomFilter | Ringbuf | UserRingbuf | Arena => 0,
        LpmTrie | CgroupStorage | PercpuCgroupStorage => 8,
        _ => 4,
    };
    let value_size = match map_type {
        Ringbuf | UserRingbuf | Arena => 0,
        Hash | Array | PercpuHash | PercpuArray | LruHash | LruPercpuHash | LpmTrie | Queue | Stack
        | BloomFilter | StackTrace | CgroupStorage | PercpuCgroupStorage | SkStorage | InodeStorage
        | TaskStorage | CgrpStorage => 8,
        _ => 4,
    };
    let shape = |map_type, value_size| MapShape {
        map_type,
        key_size,
        value_size,
        max_entries: 1,
        ..MapShape::default()
    };
    let mut shapes = vec![shape(map_type as u32, value_size)];
    if matches!(map_type, ArrayOfMaps | HashOfMaps) {
        shapes[0].inner = Some(1);
        shapes.push(shape(Array as u32, 8));
    }
    shapes
}
