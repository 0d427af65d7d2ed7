//! The data of the programs: the same on every run of every machine.
//!
//! All of it fits a frame, and is long enough to be one: 14 bytes at least, 3520 at most.

use crate::packets;

/// `[u64 length][data]`, little-endian.
pub fn prefixed(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u64;
    [&length.to_le_bytes(), data].concat()
}

/// The step of SplitMix64: a stream of well-mixed words from a counter.
pub fn words(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |n| {
        let z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

fn bytes(count: usize) -> Vec<u8> {
    words(7).flat_map(u64::to_le_bytes).take(count).collect()
}

fn to_bytes(words: impl Iterator<Item = u64>) -> Vec<u8> {
    words.flat_map(u64::to_le_bytes).collect()
}

/// A frame of TCP over IPv4, to port 80.
pub fn frame() -> Vec<u8> {
    packets::tcp4(packets::LISTED, 80)
}

/// A frame of TCP over IPv6 behind three extension headers.
pub fn extended_frame() -> Vec<u8> {
    packets::tcp6_extended(80)
}

/// What fills a frame of Ethernet.
pub fn bytes_1500() -> Vec<u8> {
    bytes(1500)
}

/// Two blocks.
pub fn bytes_512() -> Vec<u8> {
    bytes(512)
}

/// A name, a key, a short message; or code.
pub fn bytes_256() -> Vec<u8> {
    bytes(256)
}

/// A header's worth.
pub fn bytes_64() -> Vec<u8> {
    bytes(64)
}

/// 32 words.
pub fn words_32() -> Vec<u8> {
    to_bytes(words(3).take(32))
}

/// 24 words out of order, and room for as many.
pub fn unsorted() -> Vec<u8> {
    to_bytes(words(24).take(24).chain([0; 24]))
}

/// 256 sorted words and 32 keys, half of which are among them.
pub fn sorted_and_keys() -> Vec<u8> {
    let mut sorted: Vec<u64> = words(256).take(256).collect();
    sorted.sort_unstable();
    let present = words(1).take(16).map(|word| sorted[(word % 256) as usize]);
    let keys: Vec<u64> = present.zip(words(2)).flat_map(|(present, random)| [present, random]).collect();
    to_bytes(sorted.into_iter().chain(keys))
}

/// Two matrices of 8 by 8 words, and room for a third.
pub fn matrices() -> Vec<u8> {
    to_bytes(words(64).take(128).chain([0; 64]))
}

/// 1504 bytes, and room for as many.
pub fn bytes_and_room() -> Vec<u8> {
    [bytes(1504), vec![0; 1504]].concat()
}
