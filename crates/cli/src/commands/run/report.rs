//! What a run over packets shows: for people or for programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use sandbpf::{Engine, KindName};
use serde::Serialize;

use super::clock::Callback;
use super::door;
use super::tally::{Tally, Totals, Trapped};
use super::{About, engine_name};
use crate::args::{Format, Run};
use crate::failure::Failure;
use crate::output;
use crate::ranges::Ranges;

/// What a run over packets gave.
#[derive(Debug, Serialize)]
pub(super) struct Report<'t> {
    program: About,
    #[serde(serialize_with = "name")]
    engine: Engine,
    packets: u64,
    matched: u64,
    bytes: u64,
    matched_bytes: u64,
    trapped: u64,
    /// How many packets the program changed.
    changed: u64,
    /// How often each value was returned, by what programs of the kind call it.
    returned: BTreeMap<String, u64>,
    /// How many callbacks of timers ran.
    #[serde(skip_serializing_if = "is_zero")]
    callbacks: u64,
    /// The first that trapped.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    trapped_callbacks: &'t [Callback],
    /// The first traps.
    traps: Vec<Trap<'t>>,
    captures: Vec<Part<'t>>,
    /// Whether its answers are more than yes and no.
    #[serde(skip)]
    is_hook: bool,
    #[serde(skip)]
    elapsed: Duration,
}

/// A trap, with the packet that it was about.
#[derive(Debug, Serialize)]
struct Trap<'t> {
    capture: &'t str,
    packet: u64,
    instruction: u32,
    trap: String,
}

/// What one capture gave.
#[derive(Debug, Serialize)]
struct Part<'t> {
    name: &'t str,
    link_type: &'t str,
    packets: u64,
    matched: u64,
    bytes: u64,
    matched_bytes: u64,
    trapped: u64,
    changed: u64,
    /// Ranges of packet numbers, counted from 1.
    matching: &'t Ranges,
}

impl<'t> Report<'t> {
    pub(super) fn new(
        program: About,
        kind: KindName,
        engine: Engine,
        totals: &'t mut Totals,
        elapsed: Duration,
    ) -> Report<'t> {
        let Totals { tallies, traps, returned, callbacks, trapped_callbacks, .. } = totals;
        let (tallies, returned) = (&*tallies, returned.counts());
        let returned = returned.iter().map(|(&value, &count)| (door::name(kind, value), count)).collect();
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum();
        let trap = |trapped: &'t Trapped| Trap {
            capture: tallies.get(trapped.capture).map_or("", |tally| &tally.name),
            packet: trapped.packet,
            instruction: trapped.trap.pc().0,
            trap: trapped.trap.to_string(),
        };
        Report {
            program,
            engine,
            packets: sum(|tally| tally.packets),
            matched: sum(|tally| tally.matched),
            bytes: sum(|tally| tally.bytes),
            matched_bytes: sum(|tally| tally.matched_bytes),
            trapped: sum(|tally| tally.trapped),
            changed: sum(|tally| tally.changed),
            returned,
            callbacks: *callbacks,
            trapped_callbacks,
            traps: traps.iter().map(trap).collect(),
            captures: tallies.iter().map(Part::new).collect(),
            is_hook: kind != KindName::SocketFilter,
            elapsed,
        }
    }

    pub(super) fn show(&self, args: &Run, out: &mut impl Write) -> Result<(), Failure> {
        match args.format {
            Format::Json => output::json(out, self),
            Format::Text => self.text(args, out),
        }
    }

    fn text(&self, args: &Run, out: &mut impl Write) -> Result<(), Failure> {
        if args.verbose {
            writeln!(out, "{}", self.program.line(self.engine))?;
        }
        let several = self.captures.len() > 1;
        for part in &self.captures {
            if several {
                writeln!(out, "{}: {} of {} packets match", part.name, part.matched, part.packets)?;
            }
            if args.list && part.matched > 0 {
                writeln!(out, "{}{}", if several { "  " } else { "" }, part.matching)?;
            }
        }
        let Report { packets, matched, bytes, matched_bytes, .. } = self;
        writeln!(out, "{matched} of {packets} packets match ({matched_bytes} of {bytes} bytes)")?;
        if self.changed > 0 {
            writeln!(out, "{} packets changed", self.changed)?;
        }
        if args.verbose || self.is_hook {
            for (value, count) in &self.returned {
                writeln!(out, "{count} packets: {value}")?;
            }
        }
        if args.verbose {
            let each = self.elapsed.as_nanos() as f64 / (*packets).max(1) as f64;
            let millis = self.elapsed.as_secs_f64() * 1e3;
            writeln!(out, "{millis:.1} ms, {each:.1} ns a packet, with reading")?;
        }
        if self.callbacks > 0 {
            writeln!(out, "{} callbacks of timers ran", self.callbacks)?;
        }
        for callback in self.trapped_callbacks {
            writeln!(out, "{callback}")?;
        }
        for Trap { capture, packet, trap, .. } in &self.traps {
            writeln!(out, "{capture}: packet {packet} trapped: {trap}")?;
        }
        if self.trapped > self.traps.len() as u64 {
            writeln!(out, "{} packets trapped in all", self.trapped)?;
        }
        Ok(())
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl<'t> Part<'t> {
    fn new(tally: &'t Tally) -> Part<'t> {
        let Tally { name, link_type, packets, matched, bytes, matched_bytes, trapped, changed, matching } =
            tally;
        let (packets, matched, bytes) = (*packets, *matched, *bytes);
        let (matched_bytes, trapped, changed) = (*matched_bytes, *trapped, *changed);
        Part { name, link_type, packets, matched, bytes, matched_bytes, trapped, changed, matching }
    }
}

fn name<S: serde::Serializer>(engine: &Engine, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(engine_name(*engine))
}
