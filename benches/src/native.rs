//! What each program computes, in ordinary Rust: the expected answer and the `native` columns.
//!
//! The same algorithm on the same memory, as one would write it with slices. The build compiles this file twice: with
//! the package, where the compiler may vectorise, and for itself, where it may not (`build.rs`). What is too short for a
//! program gives 0, as there.

/// The word at an index of the data.
fn word(data: &[u8], index: usize) -> u64 {
    let bytes = data[8 * index..].first_chunk().expect("the input has this word");
    u64::from_le_bytes(*bytes)
}

fn set_word(data: &mut [u8], index: usize, value: u64) {
    data[8 * index..8 * index + 8].copy_from_slice(&value.to_le_bytes());
}

/// Returns 1.
pub fn return_one(_data: &mut [u8]) -> u64 {
    1
}

/// Whether the EtherType says IPv4.
pub fn ethertype(data: &mut [u8]) -> u64 {
    match data.first_chunk::<14>() {
        Some(header) => (header[12..] == [0x08, 0x00]).into(),
        None => 0,
    }
}

/// The destination port of TCP over IPv4, or 0.
pub fn tcp_port(frame: &mut [u8]) -> u64 {
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

/// The protocol behind the extension headers of IPv6, and where it starts; or 0.
pub fn headers(frame: &mut [u8]) -> u64 {
    if frame.len() < 54 || frame[12..14] != [0x86, 0xdd] {
        return 0;
    }
    let (mut protocol, mut at) = (frame[20], 54);
    for _ in 0..6 {
        if !matches!(protocol, 0 | 43 | 60 | 44) {
            return u64::from(protocol) << 16 | at as u64;
        }
        let Some(header) = frame.get(at..at + 8) else { return 0 };
        at += if protocol == 44 { 8 } else { 8 * (usize::from(header[1]) + 1) };
        protocol = header[0];
    }
    0
}

/// Chooses one of 16 servers, writes it to the frame, exchanges the addresses of Ethernet; server and checksum, or 0.
pub fn rewrite(frame: &mut [u8]) -> u64 {
    let Some(frame) = frame.first_chunk_mut::<38>() else { return 0 };
    if frame[12..15] != [0x08, 0x00, 0x45] {
        return 0;
    }
    let four = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
    let two = |at: usize| u64::from(u16::from_le_bytes([frame[at], frame[at + 1]]));
    let key = u64::from(four(26)) | two(34) << 32;
    let server = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
    let (old, new) = (four(30), 0x0000_a8c0 | (server as u32) << 24);
    let halves = |address: u32| [u64::from(address >> 16), u64::from(address & 0xffff)];
    let sum = (two(24) ^ 0xffff) + halves(!old).iter().sum::<u64>() + halves(new).iter().sum::<u64>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = sum ^ 0xffff;
    frame[30..34].copy_from_slice(&new.to_le_bytes());
    frame[24..26].copy_from_slice(&(sum as u16).to_le_bytes());
    let (to, from) = frame.split_at_mut(6);
    to.swap_with_slice(&mut from[..6]);
    server << 16 | sum
}

/// The Toeplitz hash of addresses and ports, or 0.
pub fn spread(frame: &mut [u8]) -> u64 {
    let Some(flow) = frame.get(26..38) else { return 0 };
    let mut key = 0x6d5a_56da_255b_0ec2_4167_253d_43a3_8fb0u128;
    let mut hash = 0;
    for &byte in flow {
        for bit in (0..8).rev() {
            if byte >> bit & 1 != 0 {
                hash ^= (key >> 96) as u64;
            }
            key <<= 1;
        }
    }
    hash
}

/// The ones' complement checksum of RFC 1071 of 1520 bytes at most, in the order of the bytes in memory.
pub fn checksum(data: &mut [u8]) -> u64 {
    let (words, _) = data[..data.len().min(1520)].as_chunks::<4>();
    let sum: u64 = words.iter().map(|&word| u64::from(u32::from_le_bytes(word))).sum();
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum ^ 0xffff
}

/// The 64-bit FNV-1a hash of 256 bytes at most.
pub fn fnv1a(data: &mut [u8]) -> u64 {
    data.iter()
        .take(256)
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// One round of SipHash for every whole word, 190 at most.
pub fn rotate_mix(data: &mut [u8]) -> u64 {
    let (words, _) = data[..data.len().min(1520)].as_chunks::<8>();
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

/// Adler-32 of 1520 bytes at most.
pub fn adler(data: &mut [u8]) -> u64 {
    let (mut low, mut high) = (1u64, 0u64);
    for &byte in data.iter().take(1520) {
        low += u64::from(byte);
        high += low;
    }
    ((high % 65521) << 16) | (low % 65521)
}

/// CRC-32 of 64 bytes at most.
pub fn crc32(data: &mut [u8]) -> u64 {
    let mut crc = 0xffff_ffffu64;
    for &byte in data.iter().take(64) {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ 0xedb8_8320 & (crc & 1).wrapping_neg();
        }
    }
    crc ^ 0xffff_ffff
}

/// The bytes that `mask` and `copy` read, and write behind them.
const HALF: usize = 1504;

/// Masks the first half into the second; its last eight bytes, or 0.
pub fn mask(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk_mut::<{ 2 * HALF }>() else { return 0 };
    let (from, to) = data.split_at_mut(HALF);
    let (from, to) = (from.as_chunks::<8>().0, to.as_chunks_mut::<8>().0);
    let mut last = 0;
    for (from, to) in from.iter().zip(to) {
        last = u64::from_le_bytes(*from) ^ 0x5ca1_ab1e_5ca1_ab1e;
        *to = last.to_le_bytes();
    }
    last
}

/// Copies the first half to the second; its last eight bytes, or 0.
pub fn copy(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk_mut::<{ 2 * HALF }>() else { return 0 };
    let (from, to) = data.split_at_mut(HALF);
    to.copy_from_slice(from);
    u64::from_le_bytes(*to.last_chunk().expect("there are eight bytes"))
}

/// How many primes there are below 256.
pub fn primes(_data: &mut [u8]) -> u64 {
    let limit = std::hint::black_box(256u64);
    let is_prime = |n: u64| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (2..limit).filter(|&n| is_prime(n)).count() as u64
}

/// A thousand steps of a Fibonacci sequence from two words, or 0.
pub fn fibonacci(data: &mut [u8]) -> u64 {
    let Some(first) = data.first_chunk::<16>() else { return 0 };
    let (mut this, mut next) = (word(first, 0), word(first, 1));
    for _ in 0..1000 {
        (this, next) = (next, this.wrapping_add(next));
    }
    this
}

/// Bits of 256 scattered numbers.
pub fn bits(_data: &mut [u8]) -> u64 {
    let (mut sum, mut number) = (0u64, std::hint::black_box(0u64));
    for _ in 0..256 {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let pairs = number - (number >> 1 & 0x5555_5555_5555_5555);
        let fours = (pairs & 0x3333_3333_3333_3333) + (pairs >> 2 & 0x3333_3333_3333_3333);
        let bytes = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
        sum += bytes.wrapping_mul(0x0101_0101_0101_0101) >> 56;
    }
    sum
}

/// The decimal digits of 16 words, added, or 0.
pub fn digits(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<128>() else { return 0 };
    let mut sum = 0;
    for at in 0..16 {
        let mut number = word(data, at);
        for _ in 0..20 {
            sum += number % 10;
            number /= 10;
        }
    }
    sum
}

/// The greatest common divisors of 16 pairs of words, added, or 0.
pub fn divisor(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<256>() else { return 0 };
    let mut sum = 0u64;
    for at in 0..16 {
        let (mut a, mut b) = (word(data, 2 * at), word(data, 2 * at + 1));
        for _ in 0..93 {
            if b == 0 {
                break;
            }
            (a, b) = (b, a % b);
        }
        sum = sum.wrapping_add(a);
    }
    sum
}

/// Bubble-sorts a copy of 24 words; the sum of place times value, or 0.
pub fn sort(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk_mut::<{ 48 * 8 }>() else { return 0 };
    let (original, copy) = data.split_at_mut(24 * 8);
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

/// The sum of the places of 32 keys among 256 sorted words, or 0.
pub fn search(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<{ (256 + 32) * 8 }>() else { return 0 };
    let (sorted, keys) = data.split_at(256 * 8);
    let (keys, _) = keys.as_chunks::<8>();
    let place = |key: u64| {
        let (mut place, mut half) = (0, 128);
        while half != 0 {
            if word(sorted, place + half) < key {
                place += half;
            }
            half /= 2;
        }
        place as u64
    };
    keys.iter().map(|&key| place(u64::from_le_bytes(key))).sum()
}

/// Multiplies two matrices of 8 by 8 words; the sum of the product's diagonal, or 0.
pub fn matrix(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk_mut::<{ 3 * 64 * 8 }>() else { return 0 };
    let (factors, product) = data.split_at_mut(2 * 64 * 8);
    let (left, right) = factors.split_at(64 * 8);
    for row in 0..8 {
        for column in 0..8 {
            let terms = (0..8).map(|at| word(left, 8 * row + at).wrapping_mul(word(right, 8 * at + column)));
            set_word(product, 8 * row + column, terms.fold(0, u64::wrapping_add));
        }
    }
    (0..8).map(|at| word(product, 9 * at)).fold(0, u64::wrapping_add)
}

/// How often 512 bytes end in each nibble, mixed, or 0.
pub fn histogram(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<512>() else { return 0 };
    let mut counts = [0u64; 16];
    for byte in data {
        counts[usize::from(byte & 15)] += 1;
    }
    counts.iter().fold(0u64, |mixed, count| mixed.wrapping_mul(31).wrapping_add(*count))
}

/// What 256 operations make of 1, or 0.
pub fn dispatch(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<256>() else { return 0 };
    data.iter().fold(1u64, |number, &byte| {
        let operand = u64::from(byte >> 3);
        match byte & 7 {
            0 => number.wrapping_add(operand),
            1 => number.wrapping_sub(operand),
            2 => number.wrapping_mul(operand | 1),
            3 => number ^ operand,
            4 => number.rotate_left(3),
            5 => number.rotate_right(5),
            6 => !number,
            _ => number | operand,
        }
    })
}

#[inline(never)]
fn shift(number: u64, by: u64) -> u64 {
    (number.wrapping_shl(by as u32) ^ number).wrapping_add(by)
}

#[inline(never)]
fn mix(number: u64, round: u64) -> u64 {
    shift(shift(number, 7) ^ round, 13).wrapping_add(round)
}

/// A hundred calls of a function that calls another twice, or 0.
pub fn calls(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<8>() else { return 0 };
    (1..=100).rev().fold(u64::from_le_bytes(*data), mix)
}

#[inline(never)]
fn help(a: u64, b: u64, c: u64) -> u64 {
    (a ^ b << 1).wrapping_add(c)
}

/// A hundred calls of the helper, or 0.
pub fn helper(data: &mut [u8]) -> u64 {
    let Some(data) = data.first_chunk::<8>() else { return 0 };
    (1..=100).rev().fold(u64::from_le_bytes(*data), |number, round| help(number, round, 5))
}
