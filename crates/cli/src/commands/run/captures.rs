//! Opening captures: files and the standard input, with a bar while somebody waits.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sandbpf_capture::{Capture, CaptureError, CaptureErrorKind};

use crate::failure::{Failure, chain, is_dash, shown};

/// Opens a capture.
///
/// *Why a stream:* a buffer that stays in the processor's cache is faster to fill than fresh memory for all of the
/// file, and captures may be longer than memory.
pub(super) fn open(path: &Path) -> Result<Capture<'static>, Failure> {
    let capture = if is_dash(path) {
        watched(io::stdin(), None)
    } else {
        let failed = |error| Failure::Read { path: path.into(), error };
        let file = File::open(path).map_err(failed)?;
        let total = file.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
        watched(file, total)
    };
    capture.map_err(|error| broken(path, &error))
}

/// That a capture cannot be read, or not further.
pub(super) fn broken(path: &Path, error: &CaptureError) -> Failure {
    match error.kind() {
        CaptureErrorKind::Io(_) => Failure::input(shown(path), chain(error)),
        _ => Failure::input(shown(path), error),
    }
}

fn watched(reader: impl Read + Send + 'static, total: Option<u64>) -> Result<Capture<'static>, CaptureError> {
    match io::stderr().is_terminal() {
        true => Capture::open(Watched { reader, total, done: 0, since: Instant::now(), bar: None }),
        false => Capture::open(reader),
    }
}

/// A reader that shows how far it is, once it takes long.
struct Watched<R> {
    reader: R,
    total: Option<u64>,
    done: u64,
    since: Instant,
    bar: Option<ProgressBar>,
}

/// Before that nobody waits.
const PATIENCE: Duration = Duration::from_millis(400);

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.done += count as u64;
        if self.bar.is_none() && self.since.elapsed() > PATIENCE {
            self.bar = Some(bar(self.total));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
        Ok(count)
    }
}

impl<R> Drop for Watched<R> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{wide_bar} {bytes}/{total_bytes} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
