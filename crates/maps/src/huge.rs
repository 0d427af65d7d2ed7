//! Large tables in huge pages, where the system has them to give.
//!
//! Who looks a key up among a million goes to a line of memory that was not used for long, and so to a page that the processor
//! has forgotten where it is: finding that out costs more than the line itself. Linux gives out memory of 2 MiB at once to
//! those who ask ([`madvise(2)`](https://man7.org/linux/man-pages/man2/madvise.2.html), `MADV_HUGEPAGE`), and the processor
//! remembers where 2 MiB are as easily as 4 KiB. What is smaller than a huge page is left alone; so is memory where the system
//! does not do that, and nobody notices but by the clock.
//!
//! # Safety
//!
//! This file says `unsafe` to ask for that. It is advice: whatever range is named, bytes stay what they are and where they are.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU64;

/// Bytes of a huge page, and of a small one.
const HUGE: usize = 2 << 20;
const PAGE: usize = 4096;

/// Asks that these words are in huge pages, if they fill one. To be asked before they are touched.
pub(crate) fn advise(words: &[AtomicU64]) {
    let len = size_of_val(words);
    if len >= HUGE {
        let start = words.as_ptr() as usize;
        // From where the allocation's first page starts: a part of a huge page cannot be one.
        let before = start % PAGE;
        ask(words.as_ptr().cast::<u8>().cast_mut().wrapping_sub(before), len + before);
    }
}

#[cfg(target_os = "linux")]
fn ask(start: *mut u8, len: usize) {
    use rustix::mm::{Advice, madvise};
    // SAFETY: `MADV_HUGEPAGE` changes no byte and no address, of whoever they are; a range that is nobody's is refused.
    let _ = unsafe { madvise(start.cast(), len, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn ask(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;
    use zerocopy::FromZeros;

    #[test]
    fn words_stay_what_they_are() {
        for len in [1, HUGE / 8 - 1, HUGE / 8, HUGE / 4 + 77] {
            let words = <[AtomicU64]>::new_box_zeroed_with_elems(len).unwrap();
            words[len / 2].store(7, Ordering::Relaxed);
            advise(&words);
            words[len - 1].store(9, Ordering::Relaxed);
            let all: u64 = words.iter().map(|word| word.load(Ordering::Relaxed)).sum();
            assert_eq!(all, if len == 1 { 9 } else { 16 });
        }
    }
}
