//! What programs write with `bpf_perf_event_output`, collected in order.
//!
//! Where the kernel has a buffer for each CPU that a user opened and put into the map, the embedder
//! marks the indices that have one; what is written goes to one list, with the CPU's number.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::errno::Errno;

/// A record that a program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfRecord {
    /// The CPU whose buffer it went to.
    pub cpu: u32,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The records of a `perf_event_array`.
#[derive(Debug)]
pub(crate) struct PerfRecords {
    records: Mutex<Waiting>,
    memory: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<PerfRecord>,
    bytes: u64,
    lost: u64,
}

impl PerfRecords {
    pub(crate) fn new(memory: u64) -> Self {
        PerfRecords { records: Mutex::default(), memory }
    }

    pub(crate) fn push(&self, cpu: u32, data: &[u8]) -> Result<(), Errno> {
        let mut waiting = self.records.lock();
        // What the record costs besides its bytes counts as a header does in the kernel.
        let bytes = data.len() as u64 + 64;
        if waiting.bytes + bytes > self.memory {
            waiting.lost += 1;
            return Err(Errno::ENOSPC);
        }
        waiting.bytes += bytes;
        waiting.records.push_back(PerfRecord { cpu, data: data.into() });
        Ok(())
    }

    /// Takes all records out, and how many were lost since the last time.
    pub(crate) fn take(&self) -> (Vec<PerfRecord>, u64) {
        let waiting = std::mem::take(&mut *self.records.lock());
        (waiting.records.into(), waiting.lost)
    }
}
