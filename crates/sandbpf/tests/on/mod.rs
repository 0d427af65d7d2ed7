//! What tests of maps have in common: a host on a processor of choice, and numbers that look random.

use sandbpf::Host;

/// A host on a processor that may be none of the maps'.
pub(crate) struct On(pub(crate) u32);

impl Host for On {
    fn cpu(&self) -> u32 {
        self.0
    }
}

/// A number that looks random.
pub(crate) fn scramble(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b9).rotate_left(13).wrapping_mul(0x85eb_ca6b)
}
