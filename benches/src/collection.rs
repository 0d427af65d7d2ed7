//! A folder of programs with their inputs, their answers, and a library of the same in machine code.
//!
//! ```text
//! workloads.json               { name: { "executed": { "mem_v3": count }, "expect": { "mem_v3": hex } } }
//! inputs/NAME.bin              the memory of a run
//! bin/NAME.VARIANT.bin         the program, encoded
//! native/libnative.so          nat_NAME and nat_NAME_novec, `u64 f(u8 *memory, u64 length)`
//! ```
//!
//! A variant is an entry and a version of the instruction set: `mem` gets memory and its length, `pfx` gets
//! `[u64 length][data]`, `xdp` gets a frame. Helper 1 is that of [`engines::helper`](crate::engines::helper).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::case::{self, Form, Isa, Yardstick};
use crate::library::{Foreign, Library};
use crate::rounds::Subject;

/// A folder of workloads.
#[derive(Debug)]
pub struct Collection {
    /// What is in it, by name.
    pub cases: Vec<Case>,
    /// Where it is.
    pub folder: PathBuf,
}

/// A workload.
#[derive(Debug)]
pub struct Case {
    name: String,
    memory: Vec<u8>,
    expected: u64,
    library: Option<Library>,
    folder: PathBuf,
}

/// Why a folder cannot be read.
pub type Failure = Box<dyn std::error::Error>;

impl Collection {
    /// The folder that `SANDBPF_WORKLOADS` names, or the one beside the repository.
    pub fn usual_folder() -> PathBuf {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/workloads");
        std::env::var_os("SANDBPF_WORKLOADS").map_or_else(beside, PathBuf::from)
    }

    /// Reads a folder.
    pub fn open(folder: &Path) -> Result<Collection, Failure> {
        let index: Value = serde_json::from_slice(&std::fs::read(folder.join("workloads.json"))?)?;
        let index = index.as_object().ok_or("workloads.json holds no object")?;
        let library = Library::open(&folder.join("native/libnative.so"));
        let read = |(name, entry): (&String, &Value)| Case::read(folder, library, name, entry);
        let cases: Result<Vec<Case>, Failure> = index.iter().map(read).collect();
        Ok(Collection { cases: cases?, folder: folder.to_path_buf() })
    }
}

impl Case {
    fn read(folder: &Path, library: Option<Library>, name: &str, entry: &Value) -> Result<Case, Failure> {
        let answer = entry["expect"]["mem_v3"].as_str().ok_or_else(|| format!("{name} has no answer"))?;
        let expected = u64::from_str_radix(answer.trim_start_matches("0x"), 16)?;
        let memory = std::fs::read(folder.join(format!("inputs/{name}.bin")))?;
        Ok(Case { name: name.to_string(), memory, expected, library, folder: folder.to_path_buf() })
    }
}

impl case::Case for Case {
    fn name(&self) -> &str {
        &self.name
    }

    fn memory(&self) -> Vec<u8> {
        self.memory.clone()
    }

    fn expected(&self) -> u64 {
        self.expected
    }

    fn program(&self, form: Form, isa: Isa) -> Option<Vec<u8>> {
        let form = match form {
            Form::Memory => "mem",
            Form::Prefixed => "pfx",
            Form::Frame => "xdp",
        };
        let isa = match isa {
            Isa::V2 => "v2",
            Isa::V3 => "v3",
        };
        std::fs::read(self.folder.join(format!("bin/{}.{form}_{isa}.bin", self.name))).ok()
    }

    fn native(&self, yardstick: Yardstick) -> Option<Box<dyn Subject>> {
        let suffix = match yardstick {
            Yardstick::Scalar => "_novec",
            Yardstick::Vectorised => "",
        };
        let function = self.library?.function(&format!("nat_{}{suffix}", self.name))?;
        Some(Box::new(Foreign::new(function, self.memory.clone())))
    }
}
