//! What the verifier of the running kernel says of a program, and how long it takes to say so.
//!
//! The program is loaded, its log read, and its descriptor closed again; nothing is attached. At log level 4 the
//! log has nothing but the message of a rejection and the figures, which costs nothing that could be measured.

use std::os::fd::{AsRawFd, OwnedFd};

use sandbpf_maps::Errno;

use super::btf::BTF_LOAD;
use super::{Attribute, PROG_LOAD, own};

/// A program as `BPF_PROG_LOAD` takes it.
#[derive(Clone, Debug, Default)]
pub struct Load<'l> {
    /// Its type (`enum bpf_prog_type`).
    pub program_type: u32,
    /// Where it would be attached (`enum bpf_attach_type`).
    pub attach_type: u32,
    /// `BPF_F_…`.
    pub flags: u32,
    /// The type of the kernel that it would be attached to, by its number; 0 if it needs none.
    pub target: u32,
    /// Its instructions, with descriptors of maps.
    pub code: &'l [u8],
    /// Its license.
    pub license: &'l str,
    /// Its types, and for each function its first slot and type.
    pub types: Option<(&'l KernelTypes, &'l [(u32, u32)])>,
}

/// Types (BTF) that the kernel knows.
#[derive(Debug)]
pub struct KernelTypes(OwnedFd);

impl KernelTypes {
    /// `BPF_BTF_LOAD`.
    pub fn load(types: &[u8]) -> Result<KernelTypes, Errno> {
        let attribute = Attribute::new().input(0, types);
        attribute.u32(16, types.len() as u32).call(BTF_LOAD).map(|descriptor| KernelTypes(own(descriptor)))
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelVerdict {
    /// Why it was rejected, as a number; 0 if it was not.
    pub errno: i32,
    /// The log without its figures.
    pub log: String,
    /// Instructions processed over all paths.
    pub processed: u32,
    /// The states that were kept.
    pub total_states: u32,
    /// How long the verifier took, in microseconds.
    pub usec: u64,
}

impl KernelVerdict {
    /// Whether it was loaded.
    pub fn accepted(&self) -> bool {
        self.errno == 0
    }

    /// Whether the verifier looked at it at all.
    pub fn was_verified(&self) -> bool {
        self.usec > 0 || self.processed > 0
    }

    /// The message: the last line that is neither a line of the source nor an instruction.
    pub fn message(&self) -> &str {
        let mut lines = self.log.lines().filter(|line| !line.is_empty() && !line.starts_with("; "));
        lines.rfind(|line| traced(line).is_none()).unwrap_or("")
    }

    /// The last instruction that was walked, where the log has them (level 1).
    pub fn last_insn(&self) -> Option<u32> {
        self.log.lines().rev().find_map(traced)
    }
}

/// The number of the instruction that this line of a log is about.
fn traced(line: &str) -> Option<u32> {
    let (number, rest) = line.split_once(": (")?;
    let op = rest.get(..3)?;
    (op.ends_with(')')).then(|| number.parse().ok()).flatten()
}

impl Load<'_> {
    /// Loads it at this log level; there is room for a log of so many bytes.
    pub fn verdict(&self, level: u32, room: usize) -> KernelVerdict {
        let mut text = vec![0u8; room];
        let mut license = self.license.as_bytes().to_vec();
        license.push(0);
        let mut attribute = Attribute::new()
            .u32(0, self.program_type)
            .u32(4, (self.code.len() / 8) as u32)
            .input(8, self.code)
            .input(16, &license)
            .u32(24, level | 4)
            .u32(28, room as u32)
            .output(32, &mut text)
            .u32(44, self.flags)
            .u32(68, self.attach_type)
            .u32(108, self.target);
        let functions: Vec<u8>;
        if let Some((types, starts)) = self.types {
            functions =
                starts.iter().flat_map(|(slot, id)| [*slot, *id]).flat_map(u32::to_ne_bytes).collect();
            attribute = attribute
                .u32(72, types.0.as_raw_fd() as u32)
                .u32(76, 8)
                .input(80, &functions)
                .u32(88, starts.len() as u32);
        }
        let errno = match attribute.call(PROG_LOAD) {
            Ok(descriptor) => {
                drop(own(descriptor));
                0
            }
            Err(errno) => errno.0,
        };
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(room);
        KernelVerdict::read(errno, &String::from_utf8_lossy(&text[..end]))
    }
}

impl KernelVerdict {
    fn read(errno: i32, text: &str) -> KernelVerdict {
        let mut verdict = KernelVerdict { errno, ..KernelVerdict::default() };
        let word = |line: &str, after: &str| {
            let (_, rest) = line.split_once(after)?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        for line in text.lines() {
            // One message lacks the end of its line.
            if let Some((before, _)) = line.split_once("verification time ") {
                verdict.usec = word(line, "verification time ").unwrap_or(0);
                verdict.log.push_str(before);
            } else if line.starts_with("processed ") && line.contains(" insns ") {
                verdict.processed = word(line, "processed ").unwrap_or(0) as u32;
                verdict.total_states = word(line, "total_states ").unwrap_or(0) as u32;
            } else if !line.starts_with("stack depth ") {
                verdict.log.push_str(line);
                verdict.log.push('\n');
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let text = "0: R1=ctx() R10=fp0\n0: (95) exit\nR0 !read_ok\nverification time 24 usec\nstack depth 0\n\
                    processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 0 mark_read 0\n";
        let verdict = KernelVerdict::read(13, text);
        assert_eq!((verdict.usec, verdict.processed, verdict.total_states), (24, 1, 3));
        assert_eq!((verdict.message(), verdict.last_insn()), ("R0 !read_ok", Some(0)));
        assert!(!verdict.accepted() && verdict.was_verified());
    }
}
