//! What results look like: for people or for programs, into a stream or into a file.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::failure::{Failure, is_dash};

/// Writes a report as one line of JSON.
pub(crate) fn json(out: &mut impl Write, report: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, report).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// A file that has its name when it is complete, and does not exist before.
///
/// It is written beside its place and renamed, so a file that was there stays until then, and may even be what is
/// being read. Without [`WholeFile::complete`] nothing is left behind. Devices and pipes (`/dev/null`) cannot be
/// replaced and are written to, and so is the standard output, `-`.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    file: BufWriter<Target>,
}

#[derive(Debug)]
enum Target {
    Beside(NamedTempFile),
    InPlace(File),
    Stdout(Stdout),
}

/// The buffer before a file: a write for some hundred packets.
const BUFFER: usize = 256 * 1024;

impl WholeFile {
    /// Begins a file; `-` is the standard output.
    pub(crate) fn create(path: &Path) -> Result<WholeFile, Failure> {
        let target = Target::open(path).map_err(|error| {
            // The file beside it has a name that says nothing to anybody.
            let message = error.to_string();
            let what = message.split_once(" at path ").map_or(message.as_str(), |(what, _)| what);
            Failure::Write { path: path.into(), error: io::Error::new(error.kind(), what) }
        })?;
        Ok(WholeFile { path: path.into(), file: BufWriter::with_capacity(BUFFER, target) })
    }

    /// Gives the file its name.
    pub(crate) fn complete(self) -> Result<(), Failure> {
        let WholeFile { path, file } = self;
        let placed =
            file.into_inner().map_err(|error| error.into_error()).and_then(|target| target.place(&path));
        placed.map_err(|error| match is_dash(&path) {
            true => Failure::Output(error),
            false => Failure::Write { path, error },
        })
    }

    /// What went wrong with writing.
    pub(crate) fn failure(&self, error: io::Error) -> Failure {
        match is_dash(&self.path) {
            true => Failure::Output(error),
            false => Failure::Write { path: self.path.clone(), error },
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Target> {
        if is_dash(path) {
            return Ok(Target::Stdout(io::stdout()));
        }
        // A link keeps pointing to the file that is replaced.
        let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let present = std::fs::metadata(&place).ok();
        if present.as_ref().is_some_and(|present| !present.is_file()) {
            return File::options().write(true).open(&place).map(Target::InPlace);
        }
        let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".sandbpf-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file has, instead of nobody but the owner.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(directory.unwrap_or(Path::new(".")))?;
        if let Some(present) = present {
            file.as_file().set_permissions(present.permissions())?;
        }
        Ok(Target::Beside(file))
    }

    fn place(mut self, path: &Path) -> io::Result<()> {
        self.flush()?;
        match self {
            Target::Beside(file) => {
                let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
                file.persist(place).map_err(|error| error.error)?;
            }
            Target::InPlace(_) | Target::Stdout(_) => {}
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::Beside(file) => file.write(bytes),
            Target::InPlace(file) => file.write(bytes),
            Target::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::Beside(file) => file.flush(),
            Target::InPlace(file) => file.flush(),
            Target::Stdout(out) => out.flush(),
        }
    }
}
