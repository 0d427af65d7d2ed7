//! `sandbpf run`: a program over packets, system calls or memory.

use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sandbpf::{
    AnyInput, BufferInput, KindName, Limits, Loader, Packet, PacketMeta, Program as Loaded, Runner,
    SocketFilter, Trap,
};
use sandbpf_capture::{Capture, CaptureWriter, LinkType};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::Answer;
use crate::args::{Dialect, Format, Run};
use crate::error::{Failure, shown};
use crate::program::{self, Program};
use crate::text::{self, Ranges};

pub(crate) fn run(args: &Run, out: &mut impl Write) -> Result<Answer, Failure> {
    let stdin = args.source.program.as_deref() == Some(Path::new("-"));
    if stdin && args.pcap.iter().any(|path| path == Path::new("-")) {
        return Err(Failure::Usage("the standard input cannot be both program and capture".into()));
    }
    let program = program::read(&args.source, args.mem.is_some())?;
    let mut loader = Loader::new().engine(args.engine.into());
    if let Some(dialect) = args.dialect {
        loader = loader.dialect(dialect.into());
    }
    if let Some(instructions) = args.budget {
        loader = loader.limits(Limits { instructions });
    }
    let place = args.source.program.as_deref().map_or("<command line>".into(), shown);
    let refused = |error: sandbpf::LoadError| Failure::input(&place, error);
    if let Some(memory) = &args.mem {
        return on_memory(args, &loader, &program, memory, &refused, out);
    }
    if !args.syscall.is_empty() {
        return on_syscalls(args, &loader, &program, &refused, out);
    }
    if args.pcap.is_empty() && args.hex.is_empty() {
        return Err(Failure::Usage("nothing to run on: give --pcap, --hex, --syscall or --mem".into()));
    }
    let filter: Loaded<SocketFilter> = loader.load(program.code()).map_err(refused)?;
    let mut run = Filtering::new(args, &filter)?;
    let outcome = run.all(out);
    let broken = match outcome {
        Ok(()) => None,
        // What was read before the damage still counts.
        Err(failure @ Failure::Input { .. }) => Some(failure),
        Err(failure) => return Err(failure),
    };
    let answer = run.finish(&program, &filter, broken.is_none(), out)?;
    match broken {
        None => Ok(answer),
        Some(failure) => Err(failure),
    }
}

/// A run over packets, and what it counts.
struct Filtering<'a> {
    args: &'a Run,
    runner: Runner<SocketFilter>,
    writer: Option<(CaptureWriter<BufWriter<NamedTempFile>>, LinkType)>,
    files: Vec<Counts>,
    traps: Vec<(u64, Trap)>,
    trapped: u64,
    time: Duration,
    packets: u64,
}

/// What one capture gave.
#[derive(Default)]
struct Counts {
    name: String,
    packets: u64,
    matched: u64,
    bytes: u64,
    ranges: Ranges,
    returned: std::collections::BTreeMap<u32, u64>,
}

/// How many traps are shown; the others are counted.
const SHOWN_TRAPS: usize = 5;

/// Below so many bytes nobody waits.
const WORTH_A_BAR: u64 = 64 << 20;

impl<'a> Filtering<'a> {
    fn new(args: &'a Run, filter: &Loaded<SocketFilter>) -> Result<Self, Failure> {
        Ok(Filtering {
            args,
            runner: filter.runner(),
            writer: None,
            files: Vec::new(),
            traps: Vec::new(),
            trapped: 0,
            time: Duration::ZERO,
            packets: 0,
        })
    }

    fn all(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        let _ = out;
        let start = Instant::now();
        for (index, hex) in self.args.hex.iter().enumerate() {
            let place = format!("--hex {}", index + 1);
            let bytes = text::bytes(hex).map_err(|error| Failure::input(place, error))?;
            if index == 0 {
                self.files.push(Counts { name: "--hex".into(), ..Counts::default() });
            }
            let wire_len = self.args.wire_len.unwrap_or(bytes.len() as u32);
            self.packet(&bytes, wire_len, true);
        }
        for path in &self.args.pcap {
            self.capture(path)?;
        }
        self.time = start.elapsed();
        Ok(())
    }

    fn capture(&mut self, path: &Path) -> Result<(), Failure> {
        self.files.push(Counts { name: shown(path), ..Counts::default() });
        let failed = |error| Failure::Read { path: path.into(), error };
        if path == Path::new("-") {
            return self.packets(path, Capture::open(std::io::stdin()), None);
        }
        let len = std::fs::metadata(path).map_err(failed)?.len();
        if len < WORTH_A_BAR || !std::io::stderr().is_terminal() {
            let file = std::fs::read(path).map_err(failed)?;
            return self.packets(path, Capture::from_slice(&file), None);
        }
        let bar = ProgressBar::new(len);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        let file = std::fs::File::open(path).map_err(failed)?;
        let reader = bar.wrap_read(file);
        self.packets(path, Capture::open(SendRead(reader)), Some(&bar))
    }

    fn packets(
        &mut self,
        path: &Path,
        capture: Result<Capture<'_>, sandbpf_capture::CaptureError>,
        bar: Option<&ProgressBar>,
    ) -> Result<(), Failure> {
        let broken = |error: sandbpf_capture::CaptureError| Failure::input(shown(path), error);
        let mut capture = capture.map_err(broken)?;
        if let Some(target) = &self.args.write {
            self.open_writer(target, &capture)?;
        }
        let ethernet = capture.link_type() == LinkType::EN10MB;
        loop {
            if self.args.count == Some(self.packets) {
                break;
            }
            let Some(packet) = capture.next_packet().map_err(broken)? else { break };
            if self.packet(packet.data, packet.wire_len, ethernet)
                && let Some((writer, _)) = &mut self.writer
            {
                writer
                    .write(&packet)
                    .map_err(|error| Failure::Usage(format!("cannot keep a packet: {error}")))?;
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        Ok(())
    }

    fn open_writer(&mut self, target: &Path, capture: &Capture<'_>) -> Result<(), Failure> {
        let link_type = capture.link_type();
        match &self.writer {
            Some((_, open)) if *open == link_type => return Ok(()),
            Some((_, open)) => {
                return Err(Failure::Usage(format!(
                    "packets of {link_type} and of {open} do not fit one capture"
                )));
            }
            None => {}
        }
        let failed = |error| Failure::Write { path: target.into(), error };
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(failed)?;
        let writer = CaptureWriter::new(BufWriter::new(file), capture.header())
            .map_err(|error| Failure::Usage(format!("cannot write {}: {error}", target.display())))?;
        self.writer = Some((writer, link_type));
        Ok(())
    }

    /// Runs on one packet; whether it matched.
    #[inline]
    fn packet(&mut self, bytes: &[u8], wire_len: u32, ethernet: bool) -> bool {
        let meta;
        let mut packet = Packet::from(bytes).with_wire_len(wire_len);
        if self.args.dialect == Some(Dialect::Linux) && ethernet {
            meta = PacketMeta::ethernet(bytes);
            packet = packet.with_meta(&meta);
        }
        let verdict = self.runner.run(packet);
        let number = self.packets + 1;
        self.packets = number;
        let Some(counts) = self.files.last_mut() else { return false };
        counts.packets += 1;
        match verdict {
            Ok(accept) => {
                *counts.returned.entry(accept.0).or_default() += 1;
                if accept.matched() {
                    counts.matched += 1;
                    counts.bytes += bytes.len() as u64;
                    counts.ranges.push(counts.packets);
                }
                accept.matched()
            }
            Err(trap) => {
                self.trapped += 1;
                if self.traps.len() < SHOWN_TRAPS {
                    self.traps.push((number, trap));
                }
                false
            }
        }
    }

    fn finish(
        self,
        program: &Program,
        filter: &Loaded<SocketFilter>,
        whole: bool,
        out: &mut impl Write,
    ) -> Result<Answer, Failure> {
        if let (Some((writer, _)), Some(target), true) = (self.writer, &self.args.write, whole) {
            let failed = |error| Failure::Write { path: target.clone(), error };
            let file =
                writer.finish().map_err(|error| Failure::Usage(format!("cannot keep packets: {error}")))?;
            let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
            file.persist(target).map_err(|error| failed(error.error))?;
        }
        let sum = |of: fn(&Counts) -> u64| self.files.iter().map(of).sum::<u64>();
        let (packets, matched, bytes) = (sum(|c| c.packets), sum(|c| c.matched), sum(|c| c.bytes));
        match self.args.format {
            Format::Text => {
                if self.args.list {
                    for counts in &self.files {
                        writeln!(out, "{}: {}", counts.name, counts.ranges)?;
                    }
                }
                writeln!(out, "{matched} of {packets} packets match ({bytes} bytes)")?;
                if self.args.verbose {
                    let each = self.time.as_nanos() as f64 / packets.max(1) as f64;
                    writeln!(
                        out,
                        "{} program of {} instructions, {:?} engine, {each:.1} ns a packet with reading",
                        program.language(),
                        program.len(),
                        filter.engine(),
                    )?;
                }
                for (number, trap) in &self.traps {
                    writeln!(out, "packet {number} trapped: {trap}")?;
                }
                if self.trapped > self.traps.len() as u64 {
                    writeln!(out, "{} packets trapped in all", self.trapped)?;
                }
            }
            Format::Json => {
                let files: Vec<Value> = self.files.iter().map(Counts::json).collect();
                let traps: Vec<Value> = (self.traps.iter())
                    .map(|(number, trap)| json!({ "packet": number, "pc": trap.pc().0, "trap": trap.to_string() }))
                    .collect();
                let answer = json!({
                    "program": { "language": program.language(), "instructions": program.len() },
                    "engine": format!("{:?}", filter.engine()).to_lowercase(),
                    "packets": packets,
                    "matched": matched,
                    "matched_bytes": bytes,
                    "trapped": self.trapped,
                    "traps": traps,
                    "files": files,
                });
                writeln!(out, "{answer}")?;
            }
        }
        let no = self.trapped > 0 || (self.args.exit_match && matched == 0);
        Ok(if no { Answer::No } else { Answer::Yes })
    }
}

impl Counts {
    fn json(&self) -> Value {
        let returned: serde_json::Map<String, Value> =
            self.returned.iter().map(|(value, count)| (value.to_string(), json!(count))).collect();
        json!({
            "file": self.name,
            "packets": self.packets,
            "matched": self.matched,
            "matches": self.ranges.to_string(),
            "returned": returned,
        })
    }
}

/// A progress bar's reader: it may move to another thread, and does not.
struct SendRead<R>(R);

impl<R: Read> Read for SendRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

fn on_syscalls(
    args: &Run,
    loader: &Loader,
    program: &Program,
    refused: &impl Fn(sandbpf::LoadError) -> Failure,
    out: &mut impl Write,
) -> Result<Answer, Failure> {
    let policy: Loaded<sandbpf::Seccomp> = loader.load(program.code()).map_err(refused)?;
    let mut answers = Vec::new();
    let mut answer = Answer::Yes;
    for call in &args.syscall {
        let verdict = policy.run(call);
        match (args.format, &verdict) {
            (Format::Text, Ok(action)) => writeln!(out, "{}: {action:?}", call.nr)?,
            (Format::Text, Err(trap)) => writeln!(out, "{}: trapped {trap}", call.nr)?,
            (Format::Json, _) => answers.push(json!({
                "nr": call.nr,
                "action": verdict.as_ref().ok().map(|action| format!("{action:?}")),
                "trap": verdict.as_ref().err().map(|trap| trap.to_string()),
            })),
        }
        if verdict.is_err() {
            answer = Answer::No;
        }
    }
    if args.format == Format::Json {
        writeln!(out, "{}", json!({ "syscalls": answers }))?;
    }
    Ok(answer)
}

fn on_memory(
    args: &Run,
    loader: &Loader,
    program: &Program,
    memory: &str,
    refused: &impl Fn(sandbpf::LoadError) -> Failure,
    out: &mut impl Write,
) -> Result<Answer, Failure> {
    let mut memory = text::bytes(memory).map_err(|error| Failure::input("--mem", error))?;
    let program = loader.load_any(KindName::Buffer, program.code()).map_err(refused)?;
    let result = program.run(AnyInput::Buffer(BufferInput::Write(&mut memory)));
    match args.format {
        Format::Text => {
            match &result {
                Ok(r0) => writeln!(out, "r0 = {r0:#x}")?,
                Err(error) => writeln!(out, "trapped {error}")?,
            }
            writeln!(out, "memory = {}", hex::encode(&memory))?;
        }
        Format::Json => {
            let answer = json!({
                "engine": format!("{:?}", program.engine()).to_lowercase(),
                "r0": result.as_ref().ok().map(|r0| format!("{r0:#x}")),
                "trap": result.as_ref().err().map(|error| error.to_string()),
                "memory": hex::encode(&memory),
            });
            writeln!(out, "{answer}")?;
        }
    }
    Ok(if result.is_ok() { Answer::Yes } else { Answer::No })
}
