//! What `-w` writes: the packets that match, whole as they were.
//!
//! The value that a filter returns is not applied as a snapshot length, as `tcpdump -w` does not apply it. The file
//! appears when all captures were read to their end, and not at all otherwise.

use std::path::Path;

use sandbpf_capture::{CaptureHeader, CaptureWriter, LinkType, Packet, Resolution, WriteError};

use crate::failure::{Failure, chain, is_dash};
use crate::output::WholeFile;

/// A capture of what matches.
pub(super) struct Keep<'a> {
    path: &'a Path,
    writer: CaptureWriter<WholeFile>,
}

impl<'a> Keep<'a> {
    /// Begins a file for packets from captures with these headers.
    pub(super) fn create(path: &'a Path, headers: &[CaptureHeader]) -> Result<Keep<'a>, Failure> {
        let header = merged(headers);
        let writer = WholeFile::create(path)
            .and_then(|file| CaptureWriter::new(file, header).map_err(|error| failure(path, error)))?;
        Ok(Keep { path, writer })
    }

    #[inline]
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        self.writer.write(packet).map_err(|error| failure(self.path, error))
    }

    /// What the file says before its packets.
    #[cfg(unix)]
    pub(super) fn header(&self) -> CaptureHeader {
        self.writer.header()
    }

    /// Writes packets that were put together elsewhere, for a file with the same header.
    #[cfg(unix)]
    pub(super) fn append(&mut self, records: &CaptureWriter<Vec<u8>>) -> Result<(), Failure> {
        self.writer.append(records).map_err(|error| failure(self.path, error))
    }

    pub(super) fn complete(self) -> Result<(), Failure> {
        self.writer.finish().map_err(|error| failure(self.path, error))?.complete()
    }
}

/// The header of the first, with the longest snapshot length and the finest time.
fn merged(headers: &[CaptureHeader]) -> CaptureHeader {
    let Some(first) = headers.first() else { return CaptureHeader::new(LinkType::EN10MB) };
    let snaplen = headers.iter().map(|header| header.snaplen).fold(0, u32::max);
    let nano = headers.iter().any(|header| header.resolution == Resolution::Nano);
    let resolution = if nano { Resolution::Nano } else { Resolution::Micro };
    CaptureHeader { snaplen, resolution, ..*first }
}

fn failure(path: &Path, error: WriteError) -> Failure {
    match error {
        WriteError::Io(error) if is_dash(path) => Failure::Output(error),
        WriteError::Io(error) => Failure::Write { path: path.into(), error },
        error => Failure::input(path.display(), chain(&error)),
    }
}
