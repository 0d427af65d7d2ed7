//! The hash of keys where its result is nobody's business: tables whose seed is drawn by lot.
//!
//! Linux hashes all keys with [`jhash`](crate::jhash), which decides the order in which a table is walked. Where the seed is
//! random that order means nothing, so here such tables use what costs a third: a word of the key and a secret are multiplied,
//! and the halves of the product folded together (as wyhash and foldhash do).

/// Numbers that keys are mixed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Secrets([u64; 2]);

impl Secrets {
    /// Drawn from a seed.
    #[inline]
    pub(crate) const fn new(seed: u32) -> Secrets {
        let first = scatter(seed as u64);
        Secrets([first | 1, scatter(first) | 1])
    }

    /// The numbers themselves.
    pub(crate) const fn numbers(self) -> [u64; 2] {
        self.0
    }
}

/// A step of splitmix64.
#[inline]
const fn scatter(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// The hash of a key; all keys of a table are of one length.
#[inline(always)]
pub(crate) fn hash(key: &[u8], secrets: Secrets) -> u64 {
    let [first, second] = secrets.0;
    if key.len() <= 8 {
        return fold(word(key) ^ first, second);
    }
    let mut hash = first;
    let mut key = key;
    while key.len() > 8 {
        let (low, rest) = key.split_at(8);
        let (high, rest) = rest.split_at(rest.len().min(8));
        hash = fold(hash ^ word(low), second ^ word(high));
        key = rest;
    }
    if key.is_empty() { hash } else { fold(hash ^ word(key), second) }
}

/// The hash that a table with this seed takes of a key: for who compares tables.
#[doc(hidden)]
#[inline(always)]
pub fn hash_of(key: &[u8], seed: u32) -> u64 {
    hash(key, Secrets::new(seed))
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Up to eight bytes, little-endian, zeros after them.
#[inline(always)]
pub(crate) fn word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let Some(low) = bytes.first_chunk::<4>() {
        // The last four bytes, less those that are among the first.
        let high = bytes.last_chunk::<4>().map_or(0, |high| u32::from_le_bytes(*high));
        let rest = bytes.len() as u32 - 4;
        let high = if rest == 0 { 0 } else { u64::from(high >> (32 - 8 * rest)) };
        return u64::from(u32::from_le_bytes(*low)) | high << 32;
    }
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_they_should_be() {
        for len in 0..=9usize {
            let bytes: Vec<u8> = (1..=len as u8).map(|byte| byte.wrapping_mul(37)).collect();
            let mut padded = [0; 8];
            padded[..len.min(8)].copy_from_slice(&bytes[..len.min(8)]);
            assert_eq!(word(&bytes), u64::from_le_bytes(padded), "{len} bytes");
        }
    }

    /// Keys that count up, in any byte, are spread evenly over few numbers: no more than a few times what chance would have, but
    /// for one such way to count in a hundred.
    #[test]
    fn keys_in_a_row_are_spread() {
        let (mut ways, mut crowded) = (0, 0);
        for len in [1usize, 2, 4, 5, 8, 12, 16, 20, 40, 64] {
            for at in 0..len {
                for step in [1u64, 4, 256, 4096] {
                    let mut seen = vec![0u32; 1 << 10];
                    let mut tags = [0u32; 16];
                    let count = if len - at >= 2 { 8 << 10 } else { 256 };
                    let mut keys = std::collections::BTreeSet::new();
                    for number in 0..count {
                        let mut key = vec![7; len];
                        let bytes = (number * step).to_le_bytes();
                        let room = (len - at).min(8);
                        key[at..at + room].copy_from_slice(&bytes[..room]);
                        if keys.insert(key.clone()) {
                            // Homes are told by the highest bits, tags by the lowest.
                            let hash = hash(&key, Secrets::new(0x5eed)) as u32;
                            seen[hash as usize >> 22] += 1;
                            tags[hash as usize & 15] += 1;
                        }
                    }
                    let fair = keys.len() as u32 / 1024;
                    let most = seen.into_iter().max().unwrap();
                    let most_tags = tags.into_iter().max().unwrap();
                    ways += 1;
                    crowded += u32::from(most > 4 * fair + 9 || most_tags > keys.len() as u32 / 4 + 9);
                }
            }
        }
        assert!(100 * crowded <= ways, "keys are crowded in {crowded} of {ways} ways to count");
    }
}
