//! What a proof says, as far as code gets shorter by it, and what must be so when a run starts.
//!
//! # Contract
//!
//! [`Facts`] are made by the verifier alone, and say of which program. They are true on its terms: a context of the right
//! type, whose fields say where the packet is. Nobody is trusted with those: [`Needs::met`] looks at the context and the
//! packet before the code runs, and where they are not as they should be, code with all checks runs instead. While the
//! code runs, the context is written by the program, which was proved not to touch those fields, and by helpers, which keep
//! them true; as embedders may bring helpers of their own, that is looked at after each call. One thing else could: another program that a tail call runs in the place of a function, with a caller of ours
//! above it. A program that allows that gets nothing from facts about packet and context.
//!
//! Facts about values of a map are used where the map is known ([`Maps`](crate::Maps)): the loader has looked that it is what
//! the verifier took it to be, and that Linux's own helpers find its values. They lie where they are as long as the map does.

use sandbpf_isa::{Callee, Insn, Pc, Program};
use sandbpf_runtime::TAIL_CALL;
use sandbpf_runtime::address::{CONTEXT, PACKET, REGION_BITS};
use sandbpf_runtime::memory::view::View;
use sandbpf_verifier::facts::{self, Facts, PacketFields};

use crate::maps::Maps;

/// A region of guest memory whose place is known when code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Stack,
    Context,
    Packet,
    /// The values of a map: their place is known before.
    Value {
        /// Which of the known ones it is.
        map: usize,
        /// What is added to an address to have it for the host.
        bias: u64,
    },
}

/// What is known of the instructions of one program.
#[derive(Clone, Debug)]
pub(crate) struct Proved {
    facts: Facts,
    /// Whether others can change the context while a function waits.
    interrupted: bool,
}

/// What must be so when a run starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// How many bytes of the context are there.
    context: u32,
    writes_context: bool,
    /// Where the context says that the packet is, if that matters.
    packet: Option<PacketFields>,
    writes_packet: bool,
}

impl Proved {
    /// What the facts say of this program; nothing if they are about another one.
    pub(crate) fn new(program: &Program, facts: &Facts) -> Option<Proved> {
        let tail_call = Insn::Call { callee: Callee::Helper(TAIL_CALL) };
        let interrupted = program.functions().len() > 1 && program.insns().contains(&tail_call);
        facts.fit(program).then(|| Proved { facts: facts.clone(), interrupted })
    }

    /// Whether a run can come to this instruction.
    pub(crate) fn reached(&self, pc: Pc) -> bool {
        self.facts.reached(pc)
    }

    /// Where the access of this instruction goes, within what is there.
    pub(crate) fn region(&self, pc: Pc, maps: Option<&Maps>) -> Option<Region> {
        self.place(self.facts.access(pc)?.region, maps)
    }

    /// Where the key is that the call of this instruction is given.
    pub(crate) fn key(&self, pc: Pc, maps: Option<&Maps>) -> Option<Region> {
        self.place(self.facts.key(pc)?.region, maps)
    }

    fn place(&self, region: facts::Region, maps: Option<&Maps>) -> Option<Region> {
        match region {
            facts::Region::Stack => Some(Region::Stack),
            facts::Region::MapValue(map) => {
                let maps = maps?;
                let map = maps.of_fact(map)?;
                let bias = maps.get(map).bias()?;
                Some(Region::Value { map, bias })
            }
            _ if self.interrupted => None,
            facts::Region::Context => Some(Region::Context),
            facts::Region::Packet | facts::Region::PacketMeta => Some(Region::Packet),
        }
    }

    /// The bytes of the stack that this instruction accesses at most, from the end of some frame on.
    pub(crate) fn stack(&self, pc: Pc) -> Option<(i64, i64)> {
        let fact = self.facts.access(pc).filter(|fact| fact.region == facts::Region::Stack)?;
        Some((fact.first, fact.end))
    }

    /// The offset of the four bytes of the context that this instruction always accesses.
    pub(crate) fn context_word(&self, pc: Pc) -> Option<u32> {
        let fact = self.facts.access(pc).filter(|fact| fact.region == facts::Region::Context)?;
        u32::try_from(fact.first).ok().filter(|_| fact.end - fact.first == 4)
    }

    /// Which of the maps the call at this instruction is given.
    pub(crate) fn map(&self, pc: Pc, maps: &Maps) -> Option<usize> {
        maps.of_fact(self.facts.map(pc)?)
    }

    /// Whether the divisor of this instruction is not zero.
    pub(crate) fn divisor_nonzero(&self, pc: Pc) -> bool {
        self.facts.divisor_nonzero(pc)
    }

    /// What must be so when a run starts.
    pub(crate) fn needs(&self) -> Needs {
        let summary = self.facts.summary();
        if self.interrupted {
            return Needs::default();
        }
        let fields = summary.packet;
        let packet = fields.data.or(fields.meta).is_some() && fields.end.is_some() && !fields.several;
        Needs {
            context: summary.context,
            writes_context: summary.writes_context,
            packet: packet.then_some(fields),
            writes_packet: summary.writes_packet,
        }
    }
}

impl Needs {
    /// Whether the program's argument and memory are as the proof takes them to be; `context` reads four bytes of the
    /// context at an offset. Functions that are called back have no argument here: helpers give them what Linux gives.
    #[inline(always)]
    pub(crate) fn met(&self, argument: Option<u64>, view: &View, context: impl Fn(u32) -> u64) -> bool {
        if self.context != 0 && argument.is_some_and(|argument| argument != CONTEXT) {
            return false;
        }
        let there = &view[(CONTEXT >> REGION_BITS) as usize];
        if there.readable < self.context || self.writes_context && there.writable < self.context {
            return false;
        }
        let Some(fields) = self.packet else { return true };
        let packet = &view[(PACKET >> REGION_BITS) as usize];
        let end = PACKET + u64::from(packet.readable);
        // These lie in what is accessed of the context, which is there.
        let inside = |field: Option<u32>| field.is_none_or(|field| (PACKET..=end).contains(&context(field)));
        let writable = !self.writes_packet || packet.writable == packet.readable;
        writable && inside(fields.data) && inside(fields.end) && inside(fields.meta)
    }
}
