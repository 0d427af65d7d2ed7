//! The log: what the verifier looked at, in the kernel's notation.
//!
//! At level 1 the log of a path that ended is dropped when the next one is taken up; as in Linux the end of the line
//! may have been written over by then. Only the end of a very long log is kept, and less and less is written into it, so that it
//! takes bounded time whatever the program is.

use std::fmt::Write as _;

use sandbpf_isa::{Callee, Imm64, Insn, MapRef, Names, Pc};

use crate::environment::Environment;
use crate::explore::Verifier;
use crate::print::{self, Shown};
use crate::state::StateId;

/// All paths are written down, not only the one that fails.
const ALL_PATHS: u32 = 2;
/// Instructions are written down.
const INSNS: u32 = 3;
/// Figures are.
const FIGURES: u32 = 4;

/// Of a longer log the first half goes.
const LONGEST: usize = 32 << 20;
/// When so much was written over all, what precision is traced back through is left out from there on …
const MOST_TRACED: usize = 16 << 20;
/// … and when so much was, states are: hostile programs have many, and they are long.
const MOST_SHOWN: usize = 32 << 20;

/// Of a longer program registers are not listed by instruction: the list would be gone from the log before its walk is done.
const MOST_LISTED: usize = 1 << 18;

/// What was written down.
#[derive(Debug)]
pub(crate) struct Log {
    level: u32,
    text: Vec<u8>,
    /// Bytes that are gone.
    dropped: usize,
    /// Bytes that were written, those as well that are gone with their paths.
    written: usize,
    /// Where the line of the last instruction ends, and how long it is.
    insn_end: usize,
    insn_len: usize,
    /// What changed since a state was printed.
    changed: Shown,
    /// The line of the source that was shown last.
    line: Option<usize>,
}

impl Log {
    pub(crate) fn new(level: u32) -> Log {
        Log {
            level,
            text: Vec::new(),
            dropped: 0,
            written: 0,
            insn_end: 0,
            insn_len: 0,
            changed: Shown::NONE,
            line: None,
        }
    }

    /// How much there is.
    pub(crate) fn mark(&self) -> usize {
        self.dropped + self.text.len()
    }

    /// At level 1 only the path that failed stays.
    pub(crate) fn back_to(&mut self, mark: usize) {
        if self.level & ALL_PATHS == 0 {
            self.truncate(mark);
        }
    }

    fn truncate(&mut self, mark: usize) {
        self.text.truncate(mark.saturating_sub(self.dropped));
    }

    pub(crate) fn write(&mut self, text: &str) {
        if self.level == 0 {
            return;
        }
        self.text.extend_from_slice(text.as_bytes());
        self.written += text.len();
        if self.text.len() > LONGEST {
            self.text.drain(..LONGEST / 2);
            self.dropped += LONGEST / 2;
        }
    }

    /// Everything counts as changed: another state was taken up.
    pub(crate) fn all_changed(&mut self) {
        self.changed = Shown::ALL;
    }

    /// Whether states are written down, with the instructions.
    pub(crate) fn shows_states(&self) -> bool {
        self.level & INSNS != 0 && self.written <= MOST_SHOWN
    }

    /// Whether it is written down how values are traced back.
    #[inline]
    pub(crate) fn shows_traces(&self) -> bool {
        self.level & ALL_PATHS != 0 && self.written <= MOST_TRACED
    }

    /// Whether instructions are written down.
    #[inline]
    pub(crate) fn shows_insns(&self) -> bool {
        self.level & INSNS != 0
    }

    /// The text.
    pub(crate) fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned()
    }
}

/// Where the state stands after the instruction's line.
fn padding(len: usize) -> usize {
    (len + 4).max(40).next_multiple_of(8) - len - 1
}

impl Verifier<'_> {
    /// Before the walk: where functions start, and which registers may still be read where.
    pub(crate) fn log_graph(&mut self) {
        if self.log.level & ALL_PATHS == 0 {
            return;
        }
        for (number, function) in self.program.functions().iter().enumerate() {
            let line = format!("func#{number} @{}\n", self.slot(function.entry));
            self.log.write(&line);
        }
        if self.program.len() > MOST_LISTED {
            return;
        }
        self.log.write("Live regs before insn:\n");
        for at in 0..self.graph.marks.len() {
            let marks = self.graph.marks[at];
            let pc = Pc(at as u32);
            let scc = if marks.scc == 0 { "   ".to_string() } else { format!("{:3}", marks.scc) };
            let live: String = (0..10)
                .map(|reg| if marks.live & 1 << reg != 0 { char::from(b'0' + reg) } else { '.' })
                .collect();
            let insn = self.insn_text(pc);
            let line = format!("{scc} {:3}: {live} {insn}\n", self.slot(pc));
            self.log.write(&line);
        }
    }

    fn insn_text(&self, pc: Pc) -> String {
        sandbpf_isa::print_kernel(self.program, pc, &Known { env: self.env })
    }

    /// A value's precision is traced back through a stretch of the path.
    pub(crate) fn log_trace(&mut self, frame: usize, last: Pc, first: Pc, then: Option<Pc>) {
        if !self.log.shows_traces() {
            return;
        }
        let then = then.map_or(-1, |pc| i64::from(self.slot(pc)));
        let (last, first) = (self.slot(last), self.slot(first));
        let line =
            format!("mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx {then} \n");
        self.log.write(&line);
    }

    /// What is wanted before an instruction on the way back, unless that is the one that asks: registers and slots of the
    /// frame.
    pub(crate) fn log_traced(&mut self, asks: bool, frame: usize, regs: &[u16], slots: &[u64], pc: Pc) {
        if !self.log.shows_traces() || asks {
            return;
        }
        let insn = self.insn_text(pc);
        let slot = self.slot(pc);
        let wanted = wanted(regs[frame], slots[frame]);
        self.log.write(&format!("mark_precise: frame{frame}: {wanted} before {slot}: {insn}\n"));
    }

    /// What is wanted of a state that the path came through, which is marked now.
    pub(crate) fn log_parent(&mut self, id: StateId, frame: usize, regs: &[u16], slots: &[u64]) {
        if !self.log.shows_traces() {
            return;
        }
        for number in (0..=frame).rev() {
            let state = &self.kept_ref(id).state;
            if number >= state.frames.len() {
                continue;
            }
            let state = print::state(self.env, state, number, Shown::ALL);
            let wanted = wanted(regs[number], slots[number]);
            let line = format!("mark_precise: frame{number}: parent state {wanted}: {state}\n");
            self.log.write(&line);
        }
    }

    /// A path ends because what follows was seen.
    pub(crate) fn log_safe(&mut self, print_state: bool) {
        let line = match print_state {
            true => format!("\n{}: safe\n", self.jump_text()),
            false => format!("{}: safe\n", self.slot(self.pc)),
        };
        self.log.write(&line);
    }

    fn jump_text(&self) -> String {
        let from = self.prev.map_or(-1, |prev| i64::from(self.slot(prev)));
        let guess = if self.cur.speculative { " (speculative execution)" } else { "" };
        format!("from {from} to {}{guess}", self.slot(self.pc))
    }

    /// An instruction is about to be looked at.
    pub(crate) fn log_insn(&mut self, print_state: &mut bool) {
        if self.log.level & ALL_PATHS != 0 && *print_state {
            let state = if self.log.shows_states() { self.state_line(Shown::ALL) } else { String::new() };
            let line = format!("\n{}:{state}\n", self.jump_text());
            self.log.write(&line);
            *print_state = false;
        }
        if !self.log.changed.is_none() {
            self.log_changes();
        }
        let slot = self.slot(self.pc);
        self.log_source(slot);
        let line = format!("{slot}: {}\n", self.insn_text(self.pc));
        self.log.write(&line);
        self.log.insn_len = line.len();
        self.log.insn_end = self.log.mark();
    }

    /// The line of the source that an instruction comes from, if it is another one than before.
    fn log_source(&mut self, slot: u32) {
        let behind = self.env.lines.partition_point(|line| line.slot <= slot);
        let Some(at) = behind.checked_sub(1) else { return };
        // Two records of one line differ by their columns, which are not shown.
        let is_shown =
            self.log.line.is_some_and(|shown| self.env.lines[shown].text == self.env.lines[at].text);
        if !is_shown {
            self.log.line = Some(at);
            let line = format!("; {}\n", self.env.lines[at].text);
            self.log.write(&line);
        }
    }

    /// What changed, beside the instruction that changed it if nothing was written since (`print_insn_state`).
    pub(crate) fn log_changes(&mut self) {
        let shown = std::mem::replace(&mut self.log.changed, Shown::NONE);
        if !self.log.shows_states() {
            return;
        }
        let state = self.state_line(shown);
        if self.log.insn_end != 0 && self.log.insn_end == self.log.mark() {
            self.log.truncate(self.log.insn_end - 1);
            let gap = padding(self.log.insn_len);
            self.log.write(&format!("{:gap$};{state}\n", ""));
        } else {
            let line = format!("{}:{state}\n", self.slot(self.pc));
            self.log.write(&line);
        }
    }

    /// The instruction was looked at: what it touched is shown with it.
    pub(crate) fn log_touched(&mut self) {
        let insn = &self.program.insns()[self.pc.index()];
        let (touched, written) = self.life.touched();
        let changed = &mut self.log.changed;
        match insn {
            Insn::Call { callee: Callee::Local(_) | Callee::Register(_) } | Insn::Exit => {}
            Insn::Call { .. } => {
                changed.regs |= 1;
                changed.slots |= touched | written;
            }
            _ => {
                let regs = insn.reads().union(insn.writes());
                changed.regs |= regs.iter().fold(0, |bits, reg| bits | 1 << reg.number());
                changed.slots |= touched | written;
            }
        }
        if matches!(insn, Insn::Branch { .. }) {
            self.log_changes();
        }
    }

    /// The state of the frame that runs.
    pub(crate) fn state_line(&self, shown: Shown) -> String {
        print::state(self.env, &self.cur, self.cur.depth(), shown)
    }

    /// A function was called: the frames on both sides.
    pub(crate) fn log_call(&mut self) {
        self.log.all_changed();
        if !self.log.shows_states() {
            return;
        }
        let depth = self.cur.depth();
        let caller = print::state(self.env, &self.cur, depth - 1, Shown::ALL);
        let callee = print::state(self.env, &self.cur, depth, Shown::ALL);
        self.log.write(&format!("caller:\n{caller}\ncallee:\n{callee}\n"));
    }

    /// The callee's frame as it returns.
    pub(crate) fn log_return(&mut self) {
        if self.log.shows_states() {
            let callee = self.state_line(Shown::ALL);
            self.log.write(&format!("returning from callee:\n{callee}\n"));
        }
    }

    /// The caller's frame as it goes on.
    pub(crate) fn log_returned(&mut self, to: Pc) {
        if self.log.shows_states() {
            let caller = self.state_line(Shown::ALL);
            self.log.write(&format!("to caller at {}:\n{caller}\n", self.slot(to)));
        }
    }

    /// What is known of the registers of the frame that runs.
    pub(crate) fn known_registers(&self) -> Vec<(u8, String)> {
        let depth = self.cur.depth();
        let regs = self.cur.current().regs.iter().enumerate();
        regs.filter(|(_, reg)| reg.kind != crate::state::Kind::Uninit)
            .map(|(number, reg)| (number as u8, print::register(self.env, reg, depth)))
            .collect()
    }

    /// The end of the log: figures.
    pub(crate) fn log_figures(&mut self) {
        let depths: Vec<String> = self.known.stack_depth.iter().map(ToString::to_string).collect();
        if self.log.level & FIGURES != 0 {
            self.log.write(&format!("stack depth {}\n", depths.join("+")));
        }
        let figures = &self.statistics;
        let line = format!(
            "processed {} insns (limit {}) max_states_per_insn {} total_states {} peak_states {} mark_read 0\n",
            figures.processed,
            self.env.limits.processed,
            figures.max_states_per_insn,
            figures.total_states,
            figures.peak_states,
        );
        self.log.write(&line);
    }
}

/// Registers and slots as the log lists them.
fn wanted(regs: u16, slots: u64) -> String {
    let mut out = String::from("regs=");
    let bits = |bits: u64| (0..64).filter(move |bit| bits >> bit & 1 != 0);
    for (number, reg) in bits(regs.into()).enumerate() {
        let _ = write!(out, "{}r{reg}", if number > 0 { "," } else { "" });
    }
    out.push_str(" stack=");
    for (number, slot) in bits(slots).enumerate() {
        let _ = write!(out, "{}-{}", if number > 0 { "," } else { "" }, (slot + 1) * 8);
    }
    out
}

/// What the environment calls what instructions have numbers for.
struct Known<'k> {
    env: &'k Environment<'k>,
}

impl Names for Known<'_> {
    fn function(&self, callee: Callee) -> Option<String> {
        match callee {
            Callee::Helper(id) => {
                let helper = sandbpf_abi::helpers::numbered(id).find(|_| id > 0);
                helper.map(|helper| format!("bpf_{}", helper.name))
            }
            Callee::Kfunc { id, module: 0 } => {
                let known = sandbpf_abi::kfuncs::numbered(id);
                known.map(|kfunc| kfunc.name.to_string())
            }
            _ => None,
        }
    }

    fn immediate(&self, value: Imm64) -> Option<String> {
        let name = |map: MapRef| {
            let at = (self.env.map_of)(map)?;
            let name = self.env.maps.get(at)?.name.as_str();
            Some(if name.is_empty() { format!("map[{at}]") } else { format!("map[{name}]") })
        };
        match value {
            Imm64::Map(map) => name(map),
            Imm64::MapValue(map, offset) => Some(format!("{}[0]+{offset}", name(map)?)),
            _ => None,
        }
    }
}
