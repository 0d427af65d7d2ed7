//! Where control goes at the end of a block.
//!
//! ```text
//! a jump and what comes next      one of two answers      the answer, where it is expected
//! cmp  eax, 6                     cmp  eax, 6             bt   r10d, r9d
//! je   b1                         mov  eax, 0             jae  over
//!                                 mov  r9d, 65535         mov  eax, 0x7fff0000
//!                                 cmove eax, r9d          ret
//!                                 ret                 over:
//! ```
//!
//! Processors like it best if nothing jumps: between two answers there need be none, so that no order of packets is a
//! surprise. Most packets are not what a filter looks for, but what a policy looks for is what it allows: there the answers
//! of its tests stand at hand.

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::Cond;

use super::blocks::{BlockId, Edge, End, Switch};
use super::emit::Out;
use super::fuse::Fused;
use super::search::{self, Plan};
use crate::pure_pass::Form;
use crate::x86_64::{Emitter, branch};

impl Out<'_> {
    pub(super) fn switch(&mut self, id: BlockId, switch: &Switch, fused: Option<Fused>) {
        match fused.filter(|_| search::asks_for_equality(switch)) {
            // The numbers are turned round, and not the bytes.
            Some(fused) => {
                self.steps(id, fused.steps);
                let bytes = self.bytes(fused.place, fused.check);
                self.load(self.e.host(switch.reg), fused.place.size, bytes);
                self.follow(&switch.lying(fused.place.size));
            }
            None => {
                self.steps(id, 0);
                self.follow(switch);
            }
        }
    }

    /// Finds where a number leads, and goes there.
    fn follow(&mut self, switch: &Switch) {
        let mut parts = match search::plan(switch) {
            Plan::Each(parts) => parts,
            part => vec![part],
        };
        // What comes next is found last, so that nothing jumps to it.
        let next = |part: &Plan| matches!(part, Plan::Range(item) if Some(item.to) == self.next);
        if self.expects()
            && let Some(at) = parts.iter().position(next)
        {
            let part = parts.remove(at);
            parts.push(part);
        }
        let otherwise = Edge::to(switch.otherwise);
        let last = parts.pop();
        parts.iter().for_each(|part| self.seek(switch, part));
        match last {
            Some(Plan::Range(item)) => {
                let cond = self.compare_range(switch, &item);
                self.branch(cond, Edge::to(item.to), otherwise);
            }
            Some(Plan::Table { table, to }) => {
                self.look_up(switch, &table);
                self.branch(Cond::Ne, Edge::to(to), otherwise);
            }
            last => {
                last.iter().for_each(|part| self.seek(switch, part));
                self.go(otherwise);
            }
        }
    }

    /// Whether what is looked for is expected: the program looks at no packet.
    fn expects(&self) -> bool {
        self.chooses && matches!(self.form, Form::Context)
    }

    /// The answer that is all that a block does, if it is.
    fn only_answer(&self, id: BlockId) -> Option<u64> {
        match *self.blocks.end(id) {
            End::Answer(answer) if self.blocks.steps(id).is_empty() => Some(answer),
            _ => None,
        }
    }

    /// Goes to another block, unless it comes next. Who goes back pays.
    pub(super) fn go(&mut self, edge: Edge) {
        if edge.cost != 0 {
            let (at, decline) = (self.below as i32 + self.budget, self.decline);
            dynasm!(self.e.asm ; .arch x64 ; sub QWORD [rsp + at], edge.cost as i32 ; jb =>decline);
        } else if self.next == Some(edge.to) {
            return;
        }
        match self.only_answer(edge.to) {
            // As short as a jump, and sooner there.
            Some(answer) => self.answer(answer),
            None => {
                let target = self.label(edge.to);
                dynasm!(self.e.asm ; .arch x64 ; jmp =>target);
            }
        }
    }

    /// Goes to another block although code follows that is not of the next.
    pub(super) fn leave_for(&mut self, to: BlockId) {
        let next = self.next.take();
        self.go(Edge::to(to));
        self.next = next;
    }

    /// Goes to another block if what was compared is so.
    pub(super) fn leave_if(&mut self, cond: Cond, to: BlockId) {
        match self.only_answer(to).filter(|_| self.expects()) {
            Some(answer) => {
                let over = self.e.asm.new_dynamic_label();
                jump_unless(&mut self.e, cond, over);
                self.answer(answer);
                dynasm!(self.e.asm ; .arch x64 ; =>over);
            }
            None => {
                let target = self.label(to);
                branch::jump_if(&mut self.e, cond, target);
            }
        }
    }

    /// Goes one way or the other, by what was compared.
    pub(super) fn branch(&mut self, cond: Cond, taken: Edge, otherwise: Edge) {
        if self.chooses && taken.cost == 0 && otherwise.cost == 0 {
            let [yes, no] = [taken, otherwise].map(|edge| u32::try_from(self.only_answer(edge.to)?).ok());
            if let (Some(yes), Some(no)) = (yes, no) {
                return self.choose(cond, yes, no);
            }
        }
        if taken.cost == 0 && self.next != Some(taken.to) {
            self.leave_if(cond, taken.to);
            return self.go(otherwise);
        }
        let target = match otherwise.cost {
            0 => self.label(otherwise.to),
            _ => self.e.asm.new_dynamic_label(),
        };
        jump_unless(&mut self.e, cond, target);
        if otherwise.cost == 0 {
            return self.go(taken);
        }
        // The other way goes back, and pays.
        let next = self.next.take();
        self.go(taken);
        dynasm!(self.e.asm ; .arch x64 ; =>target);
        self.next = next;
        self.go(otherwise);
    }

    /// Answers one or the other, by what was compared.
    fn choose(&mut self, cond: Cond, yes: u32, no: u32) {
        // Moves leave alone what was compared.
        dynasm!(self.e.asm ; .arch x64 ; mov eax, DWORD no as i32 ; mov r9d, DWORD yes as i32);
        match cond {
            Cond::Eq => dynasm!(self.e.asm ; .arch x64 ; cmove eax, r9d),
            Cond::Ne | Cond::Set => dynasm!(self.e.asm ; .arch x64 ; cmovne eax, r9d),
            Cond::Gt => dynasm!(self.e.asm ; .arch x64 ; cmova eax, r9d),
            Cond::Ge => dynasm!(self.e.asm ; .arch x64 ; cmovae eax, r9d),
            Cond::Lt => dynasm!(self.e.asm ; .arch x64 ; cmovb eax, r9d),
            Cond::Le => dynasm!(self.e.asm ; .arch x64 ; cmovbe eax, r9d),
            Cond::Sgt => dynasm!(self.e.asm ; .arch x64 ; cmovg eax, r9d),
            Cond::Sge => dynasm!(self.e.asm ; .arch x64 ; cmovge eax, r9d),
            Cond::Slt => dynasm!(self.e.asm ; .arch x64 ; cmovl eax, r9d),
            Cond::Sle => dynasm!(self.e.asm ; .arch x64 ; cmovle eax, r9d),
        }
        self.known();
        self.leave();
    }
}

/// Jumps if what was compared is not so.
fn jump_unless(e: &mut Emitter<'_>, cond: Cond, target: DynamicLabel) {
    // Where bits were looked for, none is there: what was left is zero.
    branch::jump_if(e, cond.opposite().unwrap_or(Cond::Eq), target);
}

#[cfg(test)]
mod tests {
    use sandbpf_abi::SeccompData;

    use crate::pure::Pure;
    use crate::pure::tests::{compiled, program};
    use crate::{Form, Options, PurePass, WithoutPure};

    #[test]
    fn one_of_two_answers_is_the_right_one() {
        for cond in ["==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&"] {
            for load in ["r0 = *(u8 *)skb[0]", "r0 = *(u16 *)skb[0]", "r0 = *(u32 *)skb[0]"] {
                let text = format!("{load}\nif w0 {cond} 5 goto +2\nw0 = 9\nexit\nw0 = 7\nexit");
                let (with, without) = (compiled(&text), without_choices(&text));
                for first in [0u8, 4, 5, 6, 0x80, 0xff] {
                    for last in [0u8, 4, 5, 6, 0xff] {
                        let packet = [first, 0, 0, last];
                        let answers = [&with, &without].map(|code| code.run(&packet, &[], 0));
                        assert_eq!(answers[0], answers[1], "{text} on {packet:?}");
                        let half = [0, last];
                        assert_eq!(with.run(&half, &[], 0), without.run(&half, &[], 0), "{text} on {half:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn answers_that_are_expected_are_the_right_ones() {
        // As policies are made: another architecture, a list with gaps, a number far away, and a look at an argument.
        let mut text = String::from(
            "r6 = r1\nr0 = *(u32 *)(r6 + 4)\nif w0 == 62 goto +2\nw0 = 1\nexit\nr0 = *(u32 *)(r6 + 0)\n",
        );
        let allowed = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 1000];
        for (at, number) in allowed.iter().enumerate() {
            text += &format!("if w0 == {number} goto +{}\n", allowed.len() - at + 4);
        }
        text += "if w0 != 600 goto +2\nr0 = *(u32 *)(r6 + 16)\nif w0 > 7 goto +2\nw0 = 2\nexit\nw0 = 3\nexit";
        let (with, without) = (compiled(&text), without_choices(&text));
        assert_eq!((with.form(), without.form()), (Form::Context, Form::Context));
        for (arch, argument) in [(62, 7), (62, 8), (61, 8)] {
            for nr in (0..1100).chain([-1, i32::MIN]) {
                let call = SeccompData { nr, arch, args: [argument; 6], ..SeccompData::default() };
                let expected = match (arch, nr) {
                    (61, _) => 1,
                    (_, 600) if argument == 7 => 2,
                    (_, 600) => 3,
                    (_, nr) if allowed.contains(&nr) => 3,
                    _ => 2,
                };
                assert_eq!(
                    [&with, &without].map(|code| code.of_call(&call)),
                    [Some(expected); 2],
                    "{call:?}"
                );
            }
        }
    }

    fn without_choices(text: &str) -> Pure {
        let without_pure = WithoutPure::default().and(PurePass::Choices);
        Pure::compile(&program(text), Options { without_pure, ..Options::default() }).expect("it only reads")
    }
}
