//! Classic programs as compilers of filters and policies write them: lists of rules with one outcome, searches for one
//! number. What the generator of any instructions hardly ever comes to.

use sandbpf::PacketMeta;
use sandbpf_classic::ClassicInsn;

use super::Source;
use super::classic::Scene;

/// Where a jump leads before offsets are known.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    Next,
    /// The next rule.
    Rule,
    /// What all rules lead to.
    Good,
    /// What follows the list.
    Bad,
    /// So many instructions on.
    On(usize),
}

/// An instruction, and where it leads if it is a jump.
struct Draft {
    code: u16,
    k: u32,
    jump: Option<(To, To)>,
    /// The rule that it starts.
    starts: bool,
}

impl Draft {
    fn plain(code: u16, k: u32) -> Draft {
        Draft { code, k, jump: None, starts: false }
    }
}

/// Bytes of the packet that tests look at.
#[derive(Clone, Copy)]
struct Place {
    code: u16,
    k: u32,
}

impl Place {
    fn pick(source: &mut Source<'_>, len: usize) -> Place {
        // Words and halves more often than bytes; behind an index now and then.
        let code = source.pick(&[0x20, 0x20, 0x28, 0x28, 0x30, 0x40, 0x48]);
        Place { code, k: source.below(len + 2) as u32 }
    }

    /// What is there, if it is there, as long as the index is 0.
    fn value(self, packet: &[u8]) -> Option<u32> {
        let size = match self.code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            _ => 1,
        };
        let bytes = packet.get(self.k as usize..)?.get(..size)?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }
}

/// A scene from what is left of these bytes.
pub(super) fn scene(source: &mut Source<'_>) -> Scene {
    let len = 8 + source.below(72);
    // Small numbers meet more often.
    let mut packet: Vec<u8> = source.take(len).iter().map(|byte| byte & 3).collect();
    packet.resize(len, 0);
    let places: Vec<Place> = (0..1 + source.below(4)).map(|_| Place::pick(source, len)).collect();
    let mut drafts = Vec::new();
    if source.chance(2) {
        drafts.push(Draft::plain(0xb1, source.below(len) as u32));
    }
    let rules = 1 + source.below(24);
    for _ in 0..rules {
        rule(source, &places, &packet, &mut drafts);
    }
    let bad = drafts.len();
    outcome(source, &places, &mut drafts);
    let good = drafts.len();
    outcome(source, &places, &mut drafts);
    let mut insns = resolve(&drafts, good, bad);
    if source.chance(4) {
        let at = source.below(insns.len() - 1);
        let after = (insns.len() - 1 - at) as u32;
        insns[at] = super::classic::insn(source, after, len);
    }
    let wire_len = packet.len() as u32;
    Scene { insns, packet, wire_len, meta: PacketMeta::default() }
}

/// A few tests. Who passes all goes where all rules lead, who fails one goes to the next rule; with exceptions.
fn rule(source: &mut Source<'_>, places: &[Place], packet: &[u8], drafts: &mut Vec<Draft>) {
    let (first, tests) = (drafts.len(), 1 + source.below(6) / 3);
    let mut place = places[source.below(places.len())];
    for test in 0..tests {
        // What was loaded for the rule before may do.
        if !source.chance(3) {
            place = places[source.below(places.len())];
            if source.chance(10) {
                drafts.push(Draft::plain(0x07, 0));
            }
            drafts.push(Draft::plain(place.code, place.k));
        }
        let mask = source.chance(5).then(|| source.pick(&[0xffff_ff00, 0xff00, 0xff, 3, 1, 0]));
        drafts.extend(mask.map(|mask| Draft::plain(0x54, mask)));
        let there = place.value(packet).unwrap_or(0) & mask.unwrap_or(u32::MAX);
        let k = match source.below(4) {
            0 => source.below(4) as u32,
            1 => there,
            2 => there.wrapping_add(source.below(5) as u32).wrapping_sub(2),
            _ => source.edge() as u32,
        };
        let code = source.pick(&[0x15, 0x15, 0x15, 0x15, 0x25, 0x35, 0x45]);
        let good = if test + 1 == tests { To::Good } else { To::Next };
        let (mut yes, mut no) = (good, To::Rule);
        if source.chance(4) {
            (yes, no) = (no, yes);
        }
        if source.chance(12) {
            yes = source.pick(&[To::Good, To::Bad, To::Next, To::Rule]);
        }
        if source.chance(8) {
            no = To::On(source.below(12));
        }
        drafts.push(Draft { code, k, jump: Some((yes, no)), starts: false });
    }
    if let Some(draft) = drafts.get_mut(first) {
        draft.starts = true;
    }
}

/// What happens at an end of the list: an answer, which may be what was loaded last.
fn outcome(source: &mut Source<'_>, places: &[Place], drafts: &mut Vec<Draft>) {
    if source.chance(6) {
        let place = places[source.below(places.len())];
        drafts.push(Draft::plain(place.code, place.k));
    }
    match source.chance(8) {
        true => drafts.push(Draft::plain(0x16, 0)),
        false => drafts.push(Draft::plain(0x06, source.below(3) as u32)),
    }
}

fn resolve(drafts: &[Draft], good: usize, bad: usize) -> Vec<ClassicInsn> {
    let far = |at: usize, to: usize| u8::try_from(to.saturating_sub(at + 1)).unwrap_or(0);
    let rule = |at: usize| (at + 1..bad).find(|&next| drafts[next].starts).unwrap_or(bad);
    let insn = |(at, draft): (usize, &Draft)| {
        let to = |to: To| match to {
            To::Next => 0,
            To::Rule => far(at, rule(at)),
            To::Good => far(at, good),
            To::Bad => far(at, bad),
            To::On(count) => far(at, (at + 1 + count).min(drafts.len() - 1)),
        };
        let (jt, jf) = draft.jump.map_or((0, 0), |(yes, no)| (to(yes), to(no)));
        ClassicInsn { code: draft.code, jt, jf, k: draft.k }
    };
    drafts.iter().enumerate().map(insn).collect()
}
