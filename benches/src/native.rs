//! What each program computes, in ordinary Rust: the expected answer and the `native` column.
//!
//! The same algorithm on the same memory, as one would write it with slices; the compiler may vectorise it, and for
//! the checksum and the copy it does. Each function gets `[u64 length][data]`.

/// The word at an index of the data.
fn word(data: &[u8], index: usize) -> u64 {
    let bytes = data[8 * index..].first_chunk().expect("the input has this word");
    u64::from_le_bytes(*bytes)
}

fn set_word(data: &mut [u8], index: usize, value: u64) {
    data[8 * index..8 * index + 8].copy_from_slice(&value.to_le_bytes());
}

fn data(memory: &[u8]) -> &[u8] {
    let (length, data) = memory.split_at(8);
    &data[..word(length, 0) as usize]
}

fn data_mut(memory: &mut [u8]) -> &mut [u8] {
    let (length, data) = memory.split_at_mut(8);
    &mut data[..word(length, 0) as usize]
}

/// Returns 1.
pub fn return_one(_memory: &mut [u8]) -> u64 {
    1
}

/// Whether the EtherType says IPv4.
pub fn ethertype(memory: &mut [u8]) -> u64 {
    match data(memory).first_chunk::<14>() {
        Some(header) => (header[12..] == [0x08, 0x00]).into(),
        None => 0,
    }
}

/// The destination port of TCP over IPv4, or 0.
pub fn tcp_port(memory: &mut [u8]) -> u64 {
    let frame = data(memory);
    if frame.len() < 34 || frame[12..14] != [0x08, 0x00] || frame[14] >> 4 != 4 {
        return 0;
    }
    let header = usize::from(frame[14] & 15) * 4;
    let fragment = u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff;
    if header < 20 || frame[23] != 6 || fragment != 0 {
        return 0;
    }
    match frame.get(14 + header..14 + header + 4) {
        Some(ports) => u16::from_be_bytes([ports[2], ports[3]]).into(),
        None => 0,
    }
}

/// The ones' complement checksum of RFC 1071, in the order of the bytes in memory.
pub fn checksum(memory: &mut [u8]) -> u64 {
    let (words, _) = data(memory).as_chunks::<4>();
    let sum: u64 = words.iter().map(|&word| u64::from(u32::from_le_bytes(word))).sum();
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum ^ 0xffff
}

/// The 64-bit FNV-1a hash.
pub fn fnv1a(memory: &mut [u8]) -> u64 {
    data(memory)
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// One round of SipHash for every whole word.
pub fn rotate_mix(memory: &mut [u8]) -> u64 {
    let (words, _) = data(memory).as_chunks::<8>();
    let mut v0 = 0x736f_6d65_7073_6575u64;
    let mut v1 = 0x646f_7261_6e64_6f6du64;
    let mut v2 = 0x6c79_6765_6e65_7261u64;
    let mut v3 = 0x7465_6462_7974_6573u64;
    for word in words.iter().map(|&word| u64::from_le_bytes(word)) {
        v3 ^= word;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        v0 ^= word;
    }
    v0 ^ v1 ^ v2 ^ v3
}

/// How many primes there are below the first word.
pub fn primes(memory: &mut [u8]) -> u64 {
    let limit = word(data(memory), 0);
    let is_prime = |n: u64| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (2..limit).filter(|&n| is_prime(n)).count() as u64
}

/// The Fibonacci number whose index is the first word, modulo 2^64.
pub fn fibonacci(memory: &mut [u8]) -> u64 {
    let steps = word(data(memory), 0);
    let (mut this, mut next) = (0u64, 1u64);
    for _ in 0..steps {
        (this, next) = (next, this.wrapping_add(next));
    }
    this
}

/// Bubble-sorts a copy of 24 words; the sum of place times value.
pub fn sort(memory: &mut [u8]) -> u64 {
    let (original, copy) = data_mut(memory).split_at_mut(24 * 8);
    copy.copy_from_slice(original);
    for last in (1..24).rev() {
        for at in 0..last {
            let (low, high) = (word(copy, at), word(copy, at + 1));
            if low > high {
                set_word(copy, at, high);
                set_word(copy, at + 1, low);
            }
        }
    }
    (0..24).map(|at| word(copy, at).wrapping_mul(at as u64 + 1)).fold(0, u64::wrapping_add)
}

/// The sum of the places of 64 keys in 256 sorted words.
pub fn search(memory: &mut [u8]) -> u64 {
    let (sorted, keys) = data(memory).split_at(256 * 8);
    let (keys, _) = keys.as_chunks::<8>();
    let place = |key: u64| {
        let (mut from, mut to) = (0, 256);
        while from < to {
            let middle = (from + to) / 2;
            if word(sorted, middle) < key {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from as u64
    };
    keys.iter().map(|&key| place(u64::from_le_bytes(key))).sum()
}

/// Multiplies two matrices of 8 by 8 words; the sum of the product's diagonal.
pub fn matrix(memory: &mut [u8]) -> u64 {
    let (factors, product) = data_mut(memory).split_at_mut(2 * 64 * 8);
    let (left, right) = factors.split_at(64 * 8);
    for row in 0..8 {
        for column in 0..8 {
            let terms = (0..8).map(|at| word(left, 8 * row + at).wrapping_mul(word(right, 8 * at + column)));
            set_word(product, 8 * row + column, terms.fold(0, u64::wrapping_add));
        }
    }
    (0..8).map(|at| word(product, 9 * at)).fold(0, u64::wrapping_add)
}

/// Copies the first half of the data to the second; the last eight bytes of it.
pub fn copy(memory: &mut [u8]) -> u64 {
    let data = data_mut(memory);
    let (from, to) = data.split_at_mut(data.len() / 2);
    to.copy_from_slice(from);
    u64::from_le_bytes(*to.last_chunk().expect("there are eight bytes"))
}
