//! `--map-size`: sizes of an object's maps that its loader sets before it makes them.
//!
//! Some objects leave a size to the program that loads them, which calls `bpf_map__set_max_entries`: for each processor, or
//! as its own options say. Without it Linux refuses a map of 0 entries.

use clap::Args;
use sandbpf::MapError;
use sandbpf::object::Object;

/// What maps are asked to have.
#[derive(Args, Debug, Default)]
pub(crate) struct MapSizes {
    /// Give a map of an object file another size, as its loader would: entries, or bytes of a ring buffer, which become
    /// whole pages; may be given often
    #[arg(long = "map-size", value_name = "NAME=ENTRIES", value_parser = size)]
    sizes: Vec<(String, u32)>,
}

fn size(text: &str) -> Result<(String, u32), String> {
    let (name, entries) =
        text.split_once('=').ok_or("expected a map's name, `=` and how many entries it has")?;
    let entries = entries.parse().map_err(|_| format!("expected a number of 32 bits, found `{entries}`"))?;
    Ok((name.into(), entries))
}

impl MapSizes {
    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Sets them in an object.
    pub(crate) fn set(&self, object: &mut Object) -> Result<(), String> {
        for (name, entries) in &self.sizes {
            let Some(map) = object.map_mut(name) else {
                let names: Vec<&str> = object.maps().iter().map(|map| map.name.as_str()).collect();
                return Err(match names.is_empty() {
                    true => format!("--map-size {name}: the object has no maps"),
                    false => {
                        format!("--map-size {name}: there is no such map; there are {}", names.join(", "))
                    }
                });
            };
            map.set_max_entries(*entries);
        }
        Ok(())
    }
}

/// The maps of an object that have no size.
pub(crate) fn missing(object: &Object) -> Vec<String> {
    let missing = object.maps().iter().filter(|map| map.max_entries == 0);
    missing.map(|map| map.name.clone()).collect()
}

/// Why a map of an object is not made, and which option may help; `missing` are those without a size.
pub(crate) fn explain(error: &MapError, missing: &[String]) -> String {
    match error {
        MapError::Create { name, .. } if missing.contains(name) => format!(
            "{error}: it has 0 entries until its loader says how many; --map-size {name}=ENTRIES does so here"
        ),
        MapError::Create { .. } => format!("{error}; --define-maps may say another size"),
        _ => error.to_string(),
    }
}
