//! The log: what the verifier looked at, in the kernel's notation.

/// What was written down.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) level: u32,
    pub(crate) text: String,
}

impl Log {
    pub(crate) fn new(level: u32) -> Log {
        Log { level, text: String::new() }
    }

    /// How much there is.
    pub(crate) fn mark(&self) -> usize {
        self.text.len()
    }

    /// At level 1 only the path that failed stays.
    pub(crate) fn back_to(&mut self, mark: usize) {
        if self.level & 2 == 0 {
            self.text.truncate(mark);
        }
    }
}

impl crate::explore::Verifier<'_> {
    pub(crate) fn log_safe(&mut self, _print_state: bool) {
        let line = format!("{}: safe\n", self.slot(self.pc));
        self.log.text.push_str(&line);
    }

    pub(crate) fn log_insn(&mut self, _print_state: &mut bool) {
        let line = format!("{}: {}\n", self.slot(self.pc), sandbpf_isa::print_insn(self.program, self.pc));
        self.log.text.push_str(&line);
    }
}
