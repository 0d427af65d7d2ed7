//! The emitter: an assembler, the registers, labels, and the cold blocks that wait for the end.

pub(crate) mod alu;
pub(crate) mod atomic;
pub(crate) mod branch;
pub(crate) mod call;
pub(crate) mod frame;
pub(crate) mod lookup;
pub(crate) mod maps;
pub(crate) mod memory;
pub(crate) mod muldiv;
pub(crate) mod packet;
pub(crate) mod reach;

use core::mem::offset_of;

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, VecAssembler, dynasm};
use sandbpf_isa::{Callee, Imm64, Insn, Pc, Program, Reg, RegSet};

use crate::Options;
use crate::idle::Idle;
use crate::layout::State;
use crate::live::Live;
use crate::locals::Locals;
use crate::maps::Maps;
use crate::proved::Region;

pub(crate) type Assembler = VecAssembler<X64Relocation>;

/// `rcx`, which shifts count with.
pub(crate) const RCX: u8 = 1;
/// `rax`, which divisions and exchanges go through.
pub(crate) const RAX: u8 = 0;

/// The host's registers for `r0`…`r10`, as the kernel assigns them: arguments and results are where C has them.
const HOST: [u8; Reg::COUNT] = [0, 7, 6, 2, 1, 8, 3, 13, 14, 15, 5];

/// Emits the code of one program.
pub(crate) struct Emitter<'p> {
    pub(crate) program: &'p Program,
    pub(crate) options: Options,
    pub(crate) asm: Assembler,
    /// The host's registers for the program's.
    map: [u8; Reg::COUNT],
    /// Where the access of the instruction at hand goes, within what is there, if that was proved.
    pub(crate) region: Option<Region>,
    /// Whether its divisor was proved not to be zero.
    pub(crate) divides: bool,
    /// The map that its call is given, if that was proved.
    pub(crate) fact_map: Option<usize>,
    /// Where the key is that it is given, all of it, if that was proved.
    pub(crate) key: Option<Region>,
    /// What registers hold before it.
    pub(crate) locals: Option<Locals>,
    /// Which registers matter after calls; all, if nobody looked.
    pub(crate) live: Option<Live>,
    /// The instructions that need not be there, if somebody looked.
    pub(crate) idle: Option<Idle>,
    /// Whether something was proved: what no run comes to traps.
    pub(crate) is_proved: bool,
    /// Whether the register of `r10` holds the host's address of the frame's end.
    pub(crate) holds_frame: bool,
    /// The maps that code goes to by itself.
    pub(crate) maps: Option<&'p Maps>,
    /// For each of them, where the code is that looks a key up, if a call needs it.
    pub(crate) lookups: Vec<Option<DynamicLabel>>,
    /// Whether the code looks at values of its processor.
    pub(crate) asks_cpu: bool,
    /// Whether values that are found are remembered, for accesses that nothing is proved of.
    pub(crate) remembers: bool,
    /// Calls that are only made where the short way is closed.
    detours: Vec<Detour>,
    labels: Vec<DynamicLabel>,
    cold: Vec<Cold>,
    /// Whether a function of the program can be called, by the program (the first one by itself, too) or a helper.
    pub(crate) has_calls: bool,
}

/// A call of a helper behind the code that runs.
struct Detour {
    label: DynamicLabel,
    back: DynamicLabel,
    id: i32,
    pc: Pc,
}

/// A block behind the code that runs.
struct Cold {
    label: DynamicLabel,
    status: u32,
    pc: Pc,
}

/// The offset of a field of the state, for an operand.
macro_rules! field {
    ($($field:tt)+) => { core::mem::offset_of!($crate::layout::State, $($field)+) as i32 };
}
pub(crate) use field;

impl<'p> Emitter<'p> {
    pub(crate) fn new(program: &'p Program, options: Options) -> Self {
        let rotated = |reg: usize| HOST[(reg + usize::from(options.rotation)) % HOST.len()];
        Emitter::with_map(program, options, core::array::from_fn(rotated))
    }

    /// The same, with the program's registers in these of the host.
    pub(crate) fn with_map(program: &'p Program, options: Options, map: [u8; Reg::COUNT]) -> Self {
        let len = program.len();
        let mut asm =
            Assembler::new_with_capacity(0, len * 16, 16, 16, len + len / 4 + 16, len / 4 + 16, len + 16);
        let labels = (0..program.len()).map(|_| asm.new_dynamic_label()).collect();
        let calls = |insn: &Insn| {
            use Callee::{Local, Register};
            matches!(
                insn,
                Insn::Call { callee: Local(_) | Register(_) }
                    | Insn::LoadImm { value: Imm64::Function(_), .. }
            )
        };
        let has_calls = program.functions().len() > 1 || program.insns().iter().any(calls);
        Emitter {
            program,
            options,
            asm,
            map,
            region: None,
            divides: false,
            fact_map: None,
            key: None,
            locals: None,
            live: None,
            idle: None,
            is_proved: false,
            holds_frame: false,
            maps: None,
            lookups: Vec::new(),
            asks_cpu: false,
            remembers: false,
            detours: Vec::new(),
            labels,
            cold: Vec::new(),
            has_calls,
        }
    }

    /// The host's register for `reg`.
    pub(crate) fn host(&self, reg: Reg) -> u8 {
        self.map[reg.index()]
    }

    /// Whether there is no code for an instruction, because nobody would notice.
    pub(crate) fn is_idle(&self, pc: Pc) -> bool {
        self.idle.as_ref().is_some_and(|idle| idle.contains(pc))
    }

    /// Where the code of the instruction at `pc` is, or will be.
    pub(crate) fn label(&self, pc: Pc) -> DynamicLabel {
        self.labels[pc.index()]
    }

    /// The code of the instruction at `pc` starts here.
    pub(crate) fn place(&mut self, pc: Pc) {
        let label = self.label(pc);
        dynasm!(self.asm ; .arch x64 ; =>label);
    }

    pub(crate) fn offset(&self) -> u32 {
        self.asm.offset().0 as u32
    }

    /// Traps here.
    pub(crate) fn trap(&mut self, status: u32, pc: Pc) {
        let label = self.trap_label(status, pc);
        dynasm!(self.asm ; .arch x64 ; jmp =>label);
    }

    /// Where to jump to for a trap.
    pub(crate) fn trap_label(&mut self, status: u32, pc: Pc) -> DynamicLabel {
        let label = self.asm.new_dynamic_label();
        self.cold.push(Cold { label, status, pc });
        label
    }

    /// Pays for a jump or call.
    ///
    /// ```text
    /// cmp qword [state + budget], cost
    /// jb  out_of_instructions
    /// sub qword [state + budget], cost
    /// ```
    pub(crate) fn charge(&mut self, cost: u32, pc: Pc) {
        let broke = self.trap_label(crate::layout::status::OUT_OF_INSTRUCTIONS, pc);
        let (budget, cost) = (field!(budget), cost as i32);
        dynasm!(self.asm
            ; .arch x64
            ; cmp QWORD [r12 + budget], cost
            ; jb =>broke
            ; sub QWORD [r12 + budget], cost
        );
    }

    /// Whether the program's registers are where C has its arguments and keeps what a call preserves: unless a test
    /// assigns them otherwise.
    pub(crate) fn is_usual(&self) -> bool {
        self.options.rotation == 0
    }

    /// Puts those registers into the state that a call would not preserve and that matter after it.
    pub(crate) fn save(&mut self, pc: Pc) {
        for reg in self.kept(pc) {
            let (at, host) = (register(reg), self.host(reg));
            dynasm!(self.asm ; .arch x64 ; mov [r12 + at], Rq(host));
        }
    }

    /// Takes them from the state.
    pub(crate) fn restore(&mut self, pc: Pc) {
        for reg in self.kept(pc) {
            let (at, host) = (register(reg), self.host(reg));
            dynasm!(self.asm ; .arch x64 ; mov Rq(host), [r12 + at]);
        }
    }

    fn kept(&self, pc: Pc) -> Vec<Reg> {
        match &self.live {
            Some(live) => live.after(pc).collect(),
            None => RegSet::ARGUMENTS.iter().collect(),
        }
    }

    /// Calls a helper behind the code that runs: from `label`, back to `back`.
    pub(crate) fn detour(&mut self, id: i32, pc: Pc, back: DynamicLabel) -> DynamicLabel {
        let label = self.asm.new_dynamic_label();
        self.detours.push(Detour { label, back, id, pc });
        label
    }

    /// Puts all registers of the program into the state.
    pub(crate) fn spill(&mut self) {
        for reg in Reg::all() {
            let (at, host) = (register(reg), self.host(reg));
            dynasm!(self.asm ; .arch x64 ; mov [r12 + at], Rq(host));
        }
    }

    /// Takes all registers of the program from the state.
    pub(crate) fn reload(&mut self) {
        for reg in Reg::all() {
            let (at, host) = (register(reg), self.host(reg));
            dynasm!(self.asm ; .arch x64 ; mov Rq(host), [r12 + at]);
        }
    }

    /// Calls a callback between [`Emitter::spill`] and [`Emitter::reload`]; goes to the end of the run if it
    /// found a trap. `esi` and `edx` hold its arguments.
    pub(crate) fn callback(&mut self, function: usize) {
        let saved = field!(callback_stack);
        dynasm!(self.asm
            ; .arch x64
            ; mov rdi, r12
            ; mov [r12 + saved], rsp
            ; and rsp, -16
            ; mov rax, QWORD function as i64
            ; call rax
            ; mov rsp, [r12 + saved]
            ; test eax, eax
            ; jnz ->trapped
        );
    }

    /// What could not stand in the way.
    pub(crate) fn cold_blocks(&mut self) {
        for Detour { label, back, id, pc } in core::mem::take(&mut self.detours) {
            dynasm!(self.asm ; .arch x64 ; =>label);
            call::by_number(self, pc, id);
            dynasm!(self.asm ; .arch x64 ; jmp =>back);
        }
        let (status_at, pc_at) = (field!(status), field!(trap_pc));
        for Cold { label, status, pc } in core::mem::take(&mut self.cold) {
            dynasm!(self.asm
                ; .arch x64
                ; =>label
                ; mov DWORD [r12 + status_at], status as i32
                ; mov DWORD [r12 + pc_at], pc.0 as i32
                ; jmp ->trapped
            );
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        // Every label that is used is placed: emitters take them from `label` and `trap_label`.
        self.asm.finalize().expect("all labels are placed and all jumps reach")
    }
}

/// Where `reg` is kept in the state.
pub(crate) fn register(reg: Reg) -> i32 {
    offset_of!(State, registers) as i32 + 8 * reg.index() as i32
}
