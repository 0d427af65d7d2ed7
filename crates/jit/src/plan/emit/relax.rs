//! Jumps, as short as they can be.
//!
//! Code is written without its jumps; all are taken to be short at first, and those that do not reach become long, until all do.

use super::machine::Flag;

/// A place in code that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) u32);

/// What stands between pieces of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    Jump {
        to: Label,
        flag: Option<Flag>,
        long: bool,
    },
    Call(Label),
    /// The address of a label, in this register.
    Lea(u8, Label),
    /// How far a label lies behind another.
    Entry(Label, Label),
    /// What follows begins at a multiple of this.
    Align(u8),
}

/// Jumps and where they go.
#[derive(Debug, Default)]
pub(crate) struct Jumps {
    /// Where each stands in the code that was written.
    sites: Vec<(u32, Site)>,
    /// For every label, its place there, and how many sites come before it.
    labels: Vec<(u32, u32)>,
}

/// A label that is nowhere.
const NOWHERE: u32 = u32::MAX;

impl Jumps {
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push((NOWHERE, 0));
        Label(self.labels.len() as u32 - 1)
    }

    /// A label is here.
    pub(crate) fn put(&mut self, label: Label, code: &[u8]) {
        self.labels[label.0 as usize] = (code.len() as u32, self.sites.len() as u32);
    }

    /// A jump is here: if the flag says so, or always.
    pub(crate) fn jump(&mut self, flag: Option<Flag>, to: Label, code: &[u8]) {
        self.sites.push((code.len() as u32, Site::Jump { to, flag, long: false }));
    }

    /// A call is here.
    pub(crate) fn call(&mut self, to: Label, code: &[u8]) {
        self.sites.push((code.len() as u32, Site::Call(to)));
    }

    /// `lea register, [rip + label]`
    pub(crate) fn lea(&mut self, register: u8, to: Label, code: &[u8]) {
        self.sites.push((code.len() as u32, Site::Lea(register, to)));
    }

    /// Four bytes: how far a label lies behind another.
    pub(crate) fn entry(&mut self, of: Label, from: Label, code: &[u8]) {
        self.sites.push((code.len() as u32, Site::Entry(of, from)));
    }

    pub(crate) fn align(&mut self, to: u8, code: &[u8]) {
        self.sites.push((code.len() as u32, Site::Align(to)));
    }

    /// Jumps to what comes next are none.
    fn drop_idle(&mut self) {
        for number in 0..self.sites.len() {
            let (at, site) = self.sites[number];
            if let Site::Jump { to, flag: None, .. } = site
                && self.labels[to.0 as usize] == (at, number as u32 + 1)
            {
                self.sites[number].1 = Site::Align(1);
            }
        }
    }

    /// All of the code.
    pub(crate) fn finish(mut self, code: &[u8]) -> Vec<u8> {
        self.drop_idle();
        // How many bytes come before each site that are not written.
        let mut added = vec![0u32; self.sites.len() + 1];
        loop {
            self.measure(&mut added);
            if !self.lengthen(&added) {
                break;
            }
        }
        let total = code.len() + added[self.sites.len()] as usize;
        let mut bytes = Vec::with_capacity(total);
        let mut from = 0;
        for (number, &(at, site)) in self.sites.iter().enumerate() {
            bytes.extend_from_slice(&code[from..at as usize]);
            from = at as usize;
            match site {
                Site::Align(_) => {
                    let count = added[number + 1] - added[number];
                    nothing(&mut bytes, count as usize);
                }
                Site::Call(to) => {
                    bytes.push(0xe8);
                    bytes.extend_from_slice(&self.distance(&added, number, to).to_le_bytes());
                }
                Site::Lea(register, to) => {
                    bytes.extend_from_slice(&[0x48 | register >> 3 << 2, 0x8d, 5 | (register & 7) << 3]);
                    bytes.extend_from_slice(&self.distance(&added, number, to).to_le_bytes());
                }
                Site::Entry(of, from) => {
                    let distance = self.place(&added, of).wrapping_sub(self.place(&added, from));
                    bytes.extend_from_slice(&distance.to_le_bytes());
                }
                Site::Jump { to, flag, long } => {
                    let distance = self.distance(&added, number, to);
                    match (flag, long) {
                        (None, false) => bytes.push(0xeb),
                        (Some(flag), false) => bytes.push(0x70 | flag as u8),
                        (None, true) => bytes.push(0xe9),
                        (Some(flag), true) => bytes.extend_from_slice(&[0x0f, 0x80 | flag as u8]),
                    }
                    match long {
                        false => bytes.push(distance as u8),
                        true => bytes.extend_from_slice(&distance.to_le_bytes()),
                    }
                }
            }
        }
        bytes.extend_from_slice(&code[from..]);
        bytes
    }

    /// How much stands before each site.
    fn measure(&self, added: &mut [u32]) {
        let mut sum = 0;
        for (number, &(at, site)) in self.sites.iter().enumerate() {
            added[number] = sum;
            sum += match site {
                Site::Jump { flag: _, long: false, .. } => 2,
                Site::Jump { flag: None, long: true, .. } | Site::Call(_) => 5,
                Site::Jump { flag: Some(_), long: true, .. } => 6,
                Site::Lea(..) => 7,
                Site::Entry(..) => 4,
                Site::Align(to) => (at + sum).next_multiple_of(to.into()) - (at + sum),
            };
        }
        added[self.sites.len()] = sum;
    }

    /// From behind a jump to where it goes.
    fn distance(&self, added: &[u32], number: usize, to: Label) -> i32 {
        let end = self.sites[number].0 + added[number + 1];
        self.place(added, to).wrapping_sub(end) as i32
    }

    /// Where a label is in the end.
    fn place(&self, added: &[u32], label: Label) -> u32 {
        let (at, before) = self.labels[label.0 as usize];
        debug_assert!(at != NOWHERE, "all labels that are used are placed");
        at + added[before as usize]
    }

    /// Makes jumps long that do not reach.
    fn lengthen(&mut self, added: &[u32]) -> bool {
        let mut changed = false;
        for number in 0..self.sites.len() {
            let Site::Jump { to, flag, long: false } = self.sites[number].1 else { continue };
            if i8::try_from(self.distance(added, number, to)).is_err() {
                self.sites[number].1 = Site::Jump { to, flag, long: true };
                changed = true;
            }
        }
        changed
    }
}

/// Instructions that do nothing, as few as possible.
fn nothing(bytes: &mut Vec<u8>, mut count: usize) {
    const LONGEST: [u8; 9] = [0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    const OTHERS: [&[u8]; 9] = [
        &[],
        &[0x90],
        &[0x66, 0x90],
        &[0x0f, 0x1f, 0x00],
        &[0x0f, 0x1f, 0x40, 0],
        &[0x0f, 0x1f, 0x44, 0, 0],
        &[0x66, 0x0f, 0x1f, 0x44, 0, 0],
        &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
        &[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
    ];
    while count >= LONGEST.len() {
        bytes.extend_from_slice(&LONGEST);
        count -= LONGEST.len();
    }
    bytes.extend_from_slice(OTHERS[count]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_reach() {
        for gap in [0usize, 1, 100, 124, 125, 126, 127, 128, 129, 130, 1000] {
            let mut jumps = Jumps::default();
            let mut code = Vec::new();
            let (ahead, back) = (jumps.label(), jumps.label());
            jumps.put(back, &code);
            jumps.jump(Some(Flag::Below), ahead, &code);
            code.extend(vec![0x90; gap]);
            jumps.jump(None, back, &code);
            jumps.align(16, &code);
            jumps.put(ahead, &code);
            code.push(0xc3);
            let bytes = jumps.finish(&code);
            let forward = match bytes[0] {
                0x72 => 2 + i32::from(bytes[1] as i8),
                _ => 6 + i32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]),
            };
            assert_eq!(forward as usize, bytes.len() - 1, "{gap}");
            assert_eq!(forward % 16, 0);
            let at = if bytes[0] == 0x72 { 2 } else { 6 } + gap;
            let behind = match bytes[at] {
                0xeb => at as i32 + 2 + i32::from(bytes[at + 1] as i8),
                _ => {
                    let distance: [u8; 4] = bytes[at + 1..at + 5].try_into().expect("four bytes");
                    at as i32 + 5 + i32::from_le_bytes(distance)
                }
            };
            assert_eq!(behind, 0, "{gap}");
        }
    }
}
