//! Bob Jenkins' `lookup3` as Linux has it (`include/linux/jhash.h`).
//!
//! The hash decides which bucket an element is in, and so the order in which a map without a random
//! seed is walked, and which values a Bloom filter confuses.

const START: u32 = 0xdead_beef;

/// The hash of a key. Linux takes `jhash2` of its words if it has only whole ones and `jhash` of its
/// bytes otherwise; on a little-endian machine both are this function of the bytes.
pub(crate) fn hash(key: &[u8], seed: u32) -> u32 {
    let start = START.wrapping_add(key.len() as u32).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut key = key;
    while key.len() > 12 {
        a = a.wrapping_add(word(&key[..4]));
        b = b.wrapping_add(word(&key[4..8]));
        c = c.wrapping_add(word(&key[8..12]));
        mix(&mut a, &mut b, &mut c);
        key = &key[12..];
    }
    if key.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(&key[..key.len().min(4)]));
    b = b.wrapping_add(word(key.get(4..key.len().min(8)).unwrap_or_default()));
    c = c.wrapping_add(word(key.get(8..).unwrap_or_default()));
    finish(&mut a, &mut b, &mut c);
    c
}

/// Up to four bytes, little-endian.
fn word(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    *a = a.wrapping_sub(*c) ^ c.rotate_left(4);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(6);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(8);
    *b = b.wrapping_add(*a);
    *a = a.wrapping_sub(*c) ^ c.rotate_left(16);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(19);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(4);
    *b = b.wrapping_add(*a);
}

fn finish(a: &mut u32, b: &mut u32, c: &mut u32) {
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(14));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(11));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(25));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(16));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(4));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(14));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(24));
}
