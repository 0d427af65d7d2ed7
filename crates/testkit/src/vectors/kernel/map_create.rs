//! Which maps the kernel makes.

use sandbpf_maps::{BtfSizes, Errno, MapSpec, MapType};

use crate::vectors::judge::Judged;
use crate::vectors::record::{Malformed, Record};

pub(crate) fn judge(record: &Record, judged: &mut Judged) -> Result<(), Malformed> {
    let number = |field: &str| record.value()[field].as_u64().unwrap_or_default();
    let size = |field: &str| u32::try_from(number(field)).unwrap_or(u32::MAX);
    let expected = match record.str("verdict")? {
        "accept" => "accept".to_owned(),
        _ => record.str("errno")?.to_owned(),
    };
    if expected == "ENOMEM" {
        judged.leave_out("the kernel had no memory for the map");
        return Ok(());
    }
    // A type without a row here is one that the kernel does not have.
    let found = match MapType::from_name(record.str("type")?) {
        Some(map_type) => {
            let mut spec = MapSpec::new(map_type, size("key_size"), size("value_size"), size("max_entries"))
                .with_flags(size("map_flags"));
            spec.map_extra = number("map_extra");
            complete(&mut spec);
            spec.check()
        }
        None => Err(Errno::EINVAL),
    };
    let found = found.map_or_else(|errno| errno.to_string(), |()| "accept".to_owned());
    judged.equal(expected, found, || "what creating the map answers");
    Ok(())
}

/// What the records were made with and do not say: an inner map where one is needed, and for storages
/// a type of four bytes for keys and one of eight for values.
fn complete(spec: &mut MapSpec) {
    use MapType::*;
    match spec.map_type {
        ArrayOfMaps | HashOfMaps => spec.inner = Some(Box::new(MapSpec::new(Array, 4, 4, 1))),
        SkStorage | InodeStorage | TaskStorage | CgrpStorage => {
            spec.btf = Some(BtfSizes { key: Some(4), value: 8 })
        }
        _ => {}
    }
}
