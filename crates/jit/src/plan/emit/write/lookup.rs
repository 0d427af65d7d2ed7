//! Look-ups: the way that is mostly gone where the key is wanted, the others behind everything else.

use super::super::bulk::Assembler;
use super::super::lookup::{self, GROUP, HOME, Lookup, Probe};
use super::super::machine::Flag;
use super::super::relax::Label;
use super::Writer;
use super::cold::Cold;
use crate::Maps;

/// What happens where a look-up is not done at its first look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Otherwise {
    lookup: Lookup,
    /// A key was another one; the next candidate.
    next: Label,
    candidate: Label,
    /// No tag is the same.
    none: Label,
    /// Nobody knows.
    ask: Label,
    back: Label,
}

impl<'w> Writer<'w> {
    /// ```text
    ///             home ; version ; tags ; jz none
    /// candidate:  place ; key ; jne next
    ///             same ; jne ask ; value
    /// back:
    /// ```
    ///
    /// A key of one word needs no version here.
    pub(super) fn look_up(&mut self, number: usize) {
        let lookup = self.body.lookups[number];
        let maps = self.maps();
        let known = maps.get(lookup.map.into());
        let Some(probe) = Probe::new(known, lookup, self.target.features) else {
            return self.piece(|asm| lookup::ask(asm, known, lookup.words, find()));
        };
        let [next, candidate, none, ask, back] = core::array::from_fn(|_| self.jumps.label());
        self.piece(|asm| {
            probe.home(asm);
            if !probe.is_one_word() {
                probe.version(asm);
            }
            probe.tags(asm, HOME);
        });
        self.jump(Some(Flag::Equal), none);
        self.found(&probe, candidate, next, ask, HOME);
        self.jumps.put(back, &self.code.bytes);
        self.cold.push(Cold::Otherwise(Otherwise { lookup, next, candidate, none, ask, back }));
    }

    /// A candidate is what is sought, if nobody changed anything meanwhile.
    fn found(&mut self, probe: &Probe<'_>, candidate: Label, next: Label, ask: Label, group: u8) {
        self.jumps.put(candidate, &self.code.bytes);
        self.piece(|asm| probe.place(asm));
        if probe.blocks() > 0 {
            self.piece(|asm| probe.compare_blocks(asm));
            self.jump(Some(Flag::NotEqual), next);
        }
        for word in 2 * probe.blocks()..probe.key_words() {
            self.piece(|asm| probe.compare(asm, word));
            self.jump(Some(Flag::NotEqual), next);
        }
        if !probe.is_one_word() {
            self.piece(|asm| probe.same(asm));
            self.jump(Some(Flag::NotEqual), ask);
        }
        self.piece(|asm| {
            if let Some(marks) = probe.homes.marks {
                probe.mark(asm, group, marks);
            }
            probe.value(asm);
        });
    }

    /// ```text
    /// next:       next ; jnz candidate
    /// none:       again                   ; that there is nothing is told while nobody changes anything
    /// group:      tags ; jz last
    /// other:      place ; key ; jne another
    ///             same ; jne ask ; value ; jmp back
    /// another:    next ; jnz other
    /// last:       goes on ; jz nothing
    ///             link ; jc ask ; same ; jne ask ; behind ; jmp group
    /// nothing:    same ; jne ask ; xor eax, eax ; jmp back
    /// ask:        …  ; jmp back
    /// ```
    pub(super) fn otherwise(&mut self, otherwise: Otherwise) {
        let Otherwise { lookup, next, candidate, none, ask, back } = otherwise;
        let maps = self.maps();
        let known = maps.get(lookup.map.into());
        if let Some(probe) = Probe::new(known, lookup, self.target.features) {
            let [group, other, another, last, nothing] = core::array::from_fn(|_| self.jumps.label());
            self.jumps.put(next, &self.code.bytes);
            self.piece(|asm| probe.next(asm));
            self.jump(Some(Flag::NotEqual), candidate);
            self.jumps.put(none, &self.code.bytes);
            self.piece(|asm| probe.again(asm));
            self.jumps.put(group, &self.code.bytes);
            self.piece(|asm| probe.tags(asm, GROUP));
            self.jump(Some(Flag::Equal), last);
            self.found(&probe, other, another, ask, GROUP);
            self.jump(None, back);
            self.jumps.put(another, &self.code.bytes);
            self.piece(|asm| probe.next(asm));
            self.jump(Some(Flag::NotEqual), other);
            self.jumps.put(last, &self.code.bytes);
            self.piece(|asm| probe.goes_on(asm));
            self.jump(Some(Flag::Equal), nothing);
            self.piece(|asm| probe.link(asm));
            self.jump(Some(Flag::Below), ask);
            // As long as nobody changed anything, links lead somewhere and end.
            self.piece(|asm| probe.same(asm));
            self.jump(Some(Flag::NotEqual), ask);
            self.piece(|asm| probe.behind(asm));
            self.jump(None, group);
            self.jumps.put(nothing, &self.code.bytes);
            self.piece(|asm| probe.same(asm));
            self.jump(Some(Flag::NotEqual), ask);
            self.piece(Probe::nothing);
            self.jump(None, back);
        }
        self.jumps.put(ask, &self.code.bytes);
        self.piece(|asm| lookup::ask(asm, known, lookup.words, find()));
        self.jump(None, back);
    }

    fn maps(&self) -> &'w Maps {
        // Who looks something up knows the maps.
        self.graph.maps.as_ref().expect("a look-up is in a map")
    }

    /// Puts some code there that does not jump out of itself.
    fn piece(&mut self, write: impl FnOnce(&mut Assembler)) {
        let mut asm = Assembler::new(0);
        write(&mut asm);
        let bytes = asm.finalize().expect("all labels are placed and all jumps reach");
        self.code.bytes.extend_from_slice(&bytes);
    }
}

/// Who is asked.
fn find() -> usize {
    crate::callbacks::find as *const () as usize
}
