//! Looking a key up in a hash table, piece by piece: what [`write`](super::write) puts jumps between.
//!
//! `r8` is the key, or of a key in memory its address, `r9` what is behind its first eight bytes; `rax` is the host's address of
//! the value afterwards, or 0. All that functions may change may change.
//!
//! ```text
//! home:   mov r10, table
//!         mov rdx, r8 ; xor rdx, [r10 + secret 0] ; mulx rdx, rax, [r10 + secret 1] ; xor eax, edx
//!         imul rdi, rax, homes ; shr rdi, 32
//!         imul rcx, rdi, stride ; add rcx, [r10 + records]
//!         shl rdi, 4 ; add rdi, [r10 + groups]
//!         or eax, 0x80 ; vmovd xmm0, eax ; vpbroadcastb xmm0, xmm0
//!         mov r11d, [rdi] ; and r11d, ~LOCKED                 ; the version, before …
//! tags:   vpcmpeqb xmm1, xmm0, [rdi] ; pmovmskb eax, xmm1 ; and eax, 0xfff0
//!                                                             ; jz none
//! place:  tzcnt edx, eax ; imul rdx, rdx, row                 ; candidate
//! key:    cmp [rcx + rdx - 4 row], r8                      ; jne next
//! same:   cmp [rdi], r11d                                     ; … and after ; jne ask
//! value:  lea rax, [rcx + rdx - 4 row + first]
//! ```
//!
//! Where the first look does not tell, `rsi` is the address of a group, the home or one that goes on from it.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_runtime::maps::{Flat, Homes};

use super::bulk::Assembler;
use super::features::Features;
use crate::maps::{Known, Table};
use core::mem::offset_of;

/// The registers of groups: the home, and the one that is looked through where the first look did not tell.
pub(super) const HOME: u8 = 7;
pub(super) const GROUP: u8 = 6;

/// The bit of a comparison that stands for the first tag: those before it are the version.
const FIRST_TAG: i32 = 4;

const SECRETS: [i32; 2] = [offset_of!(Table, secrets) as i32, offset_of!(Table, secrets) as i32 + 8];
const GROUPS: i32 = offset_of!(Table, groups) as i32;
const LINKS: i32 = offset_of!(Table, links) as i32;
const RECORDS: i32 = offset_of!(Table, records) as i32;

/// A look-up, as far as its code depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    /// Which map.
    pub(crate) map: u16,
    /// How many registers have words of the key; if none has, it lies in memory.
    pub(crate) words: u8,
}

/// A hash table that keys are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Probe<'k> {
    known: &'k Known,
    pub(super) homes: Homes,
    flat: Flat,
    words: u8,
    features: Features,
}

impl<'k> Probe<'k> {
    /// Nothing of a map that is always asked.
    pub(super) fn new(known: &'k Known, lookup: Lookup, features: Features) -> Option<Probe<'k>> {
        let (homes, flat) = known.hash().filter(|_| known.is_looked_up())?;
        Some(Probe { known, homes, flat, words: lookup.words, features })
    }

    /// From a place of a group to the next.
    fn row(&self) -> i32 {
        // It fits an instruction, four times.
        self.flat.stride as i32 * self.homes.count as i32
    }

    /// From where a place before all others were to the record's first byte.
    fn record(&self) -> i32 {
        -FIRST_TAG * self.row()
    }

    /// Finds the home of a key, and how its tag looks.
    pub(super) fn home(&self, asm: &mut Assembler) {
        let table = core::ptr::from_ref(&self.known.table) as i64;
        dynasm!(asm ; .arch x64 ; mov r10, QWORD table);
        self.hash(asm);
        dynasm!(asm
            ; .arch x64
            ; imul Rq(HOME), rax, self.homes.homes as i32
            ; shr Rq(HOME), 32
            ; or eax, i32::from(Homes::TAG)
        );
        self.records(asm, HOME);
        if self.features.avx2 {
            dynasm!(asm ; .arch x64 ; vmovd xmm0, eax ; vpbroadcastb xmm0, xmm0);
        } else {
            dynasm!(asm
                ; .arch x64
                ; movzx eax, al
                ; imul eax, eax, 0x0101_0101
                ; movd xmm0, eax
                ; pshufd xmm0, xmm0, 0
            );
        }
    }

    /// `r11d` is the version from now on, or what it never is when somebody changes something.
    pub(super) fn version(&self, asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; mov r11d, [rdi] ; and r11d, !(Homes::LOCKED as i32));
    }

    /// From the number of a group to its address, and `rcx` to that of its records.
    fn records(&self, asm: &mut Assembler, group: u8) {
        dynasm!(asm
            ; .arch x64
            ; imul rcx, Rq(group), self.flat.stride as i32
            ; shl Rq(group), 4
            ; add rcx, [r10 + RECORDS]
            ; add Rq(group), [r10 + GROUPS]
        );
    }

    /// `rax` is the hash of the key. As `fold::hash` has it in `sandbpf-maps`.
    fn hash(&self, asm: &mut Assembler) {
        match self.words {
            1 if self.features.bmi2 => dynasm!(asm
                ; .arch x64
                ; mov rdx, r8
                ; xor rdx, [r10 + SECRETS[0]]
                ; mulx rdx, rax, [r10 + SECRETS[1]]
                ; xor eax, edx
            ),
            1 => dynasm!(asm
                ; .arch x64
                ; mov rax, r8
                ; xor rax, [r10 + SECRETS[0]]
                ; mul QWORD [r10 + SECRETS[1]]
                ; xor eax, edx
            ),
            2 => dynasm!(asm
                ; .arch x64
                ; mov rax, r8
                ; mov rdx, r9
                ; xor rax, [r10 + SECRETS[0]]
                ; xor rdx, [r10 + SECRETS[1]]
                ; mul rdx
                ; xor eax, edx
            ),
            _ => self.hash_in_memory(asm),
        }
    }

    fn hash_in_memory(&self, asm: &mut Assembler) {
        let size = self.known.key_size();
        dynasm!(asm ; .arch x64 ; mov rax, [r10 + SECRETS[0]]);
        for at in (0..size).step_by(16) {
            match size - at {
                8.. => dynasm!(asm ; .arch x64 ; xor rax, [r8 + at as i32]),
                left => {
                    part(asm, at as i32, left);
                    dynasm!(asm ; .arch x64 ; xor rax, r9);
                }
            }
            if size - at > 8 {
                part(asm, at as i32 + 8, size - at - 8);
                dynasm!(asm ; .arch x64 ; xor r9, [r10 + SECRETS[1]] ; mul r9);
            } else {
                dynasm!(asm ; .arch x64 ; mul QWORD [r10 + SECRETS[1]]);
            }
            // Of the last product half is wanted.
            match size - at > 16 {
                true => dynasm!(asm ; .arch x64 ; xor rax, rdx),
                false => dynasm!(asm ; .arch x64 ; xor eax, edx),
            }
        }
    }

    /// Compares tags: a bit of `eax` for each that is the same, from [`FIRST_TAG`] on; flags say whether there is one.
    pub(super) fn tags(&self, asm: &mut Assembler, group: u8) {
        if self.features.avx2 {
            dynasm!(asm ; .arch x64 ; vpcmpeqb xmm1, xmm0, [Rq(group)] ; pmovmskb eax, xmm1);
        } else {
            dynasm!(asm ; .arch x64 ; movdqu xmm1, [Rq(group)] ; pcmpeqb xmm1, xmm0 ; pmovmskb eax, xmm1);
        }
        let tags = ((1 << Homes::PLACES) - 1) << FIRST_TAG;
        dynasm!(asm ; .arch x64 ; and eax, tags);
    }

    /// The first of the places that are left.
    pub(super) fn place(&self, asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; bsf edx, eax ; imul rdx, rdx, self.row());
    }

    /// Leaves out the first place; flags say whether there are others.
    pub(super) fn next(&self, asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; lea edx, [rax - 1] ; and eax, edx);
    }

    /// Whether a key that was found is the one that is sought whatever else changed. One word is read in one step, so
    /// the element was there when its tag or its key was read; of more words some may be another key's.
    pub(super) fn is_one_word(&self) -> bool {
        self.key_words() == 1
    }

    /// How many words a key has.
    pub(super) fn key_words(&self) -> u32 {
        self.known.key_size().div_ceil(8)
    }

    /// How many blocks of two words of a key in memory are compared at once.
    pub(super) fn blocks(&self) -> u32 {
        if self.words == 0 && self.features.avx2 { self.known.key_size() / 16 } else { 0 }
    }

    /// Compares these blocks with those of the record.
    pub(super) fn compare_blocks(&self, asm: &mut Assembler) {
        for block in 0..self.blocks() {
            let at = 16 * block as i32;
            dynasm!(asm
                ; .arch x64
                ; vmovdqu xmm2, [r8 + at]
                ; vpxor xmm2, xmm2, [rcx + rdx + at + self.record()]
            );
            match block {
                0 => dynasm!(asm ; .arch x64 ; vmovdqa xmm1, xmm2),
                _ => dynasm!(asm ; .arch x64 ; vpor xmm1, xmm1, xmm2),
            }
        }
        dynasm!(asm ; .arch x64 ; vptest xmm1, xmm1);
    }

    /// Compares a word of the key with that of the record.
    pub(super) fn compare(&self, asm: &mut Assembler, word: u32) {
        let at = 8 * word as i32;
        let record = at + self.record();
        match (self.words, word) {
            (0, _) => {
                part(asm, at, self.known.key_size() - 8 * word);
                dynasm!(asm ; .arch x64 ; cmp [rcx + rdx + record], r9);
            }
            (_, 0) => dynasm!(asm ; .arch x64 ; cmp [rcx + rdx + record], r8),
            (_, _) => dynasm!(asm ; .arch x64 ; cmp [rcx + rdx + record], r9),
        }
    }

    /// Compares the version with what it was.
    pub(super) fn same(&self, asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; cmp [rdi], r11d);
    }

    /// Remembers that an element of a group was used. What names the place stays.
    pub(super) fn mark(&self, asm: &mut Assembler, group: u8, marks: u64) {
        let (marked, count) = (asm.new_dynamic_label(), self.homes.count as i32);
        // The group's number, and from it and the place the slot's.
        dynasm!(asm
            ; .arch x64
            ; sub Rq(group), [r10 + GROUPS]
            ; shr Rq(group), 4
            ; bsf eax, eax
            ; imul rax, rax, count
            ; add Rq(group), rax
            ; mov rax, QWORD marks as i64
            ; cmp BYTE [Rq(group) + rax - FIRST_TAG * count], 0
            ; jne =>marked
            ; mov BYTE [Rq(group) + rax - FIRST_TAG * count], 1
            ; =>marked
        );
    }

    /// The address of the value.
    pub(super) fn value(&self, asm: &mut Assembler) {
        let value = self.flat.first as i32 + self.record();
        dynasm!(asm ; .arch x64 ; lea rax, [rcx + rdx + value]);
    }

    /// Begins again, with the home as the first of all groups.
    pub(super) fn again(&self, asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; mov Rq(GROUP), rdi);
        self.version(asm);
    }

    /// Says whether a group goes on in another one.
    pub(super) fn goes_on(&self, asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; test BYTE [Rq(GROUP)], Homes::LINKED as i8);
    }

    /// From a group to the number of the one that goes on from it; carry if there is none.
    pub(super) fn link(&self, asm: &mut Assembler) {
        // A group has 16 bytes, and a link four.
        dynasm!(asm
            ; .arch x64
            ; sub Rq(GROUP), [r10 + GROUPS]
            ; shr Rq(GROUP), 2
            ; add Rq(GROUP), [r10 + LINKS]
            ; mov Rd(GROUP), [Rq(GROUP)]
            ; sub Rd(GROUP), 1
        );
    }

    /// From that number to the addresses.
    pub(super) fn behind(&self, asm: &mut Assembler) {
        self.records(asm, GROUP);
    }

    /// There is nothing.
    pub(super) fn nothing(asm: &mut Assembler) {
        dynasm!(asm ; .arch x64 ; xor eax, eax);
    }
}

/// Asks `find`, a function of a map and of where a key is.
pub(super) fn ask(asm: &mut Assembler, known: &Known, words: u8, find: usize) {
    match words {
        0 => dynasm!(asm ; .arch x64 ; mov rsi, r8),
        // Words of one register are pushed twice, so that the stack pointer stays a multiple of 16.
        1 => dynasm!(asm ; .arch x64 ; push r8 ; push r8 ; mov rsi, rsp),
        _ => dynasm!(asm ; .arch x64 ; push r9 ; push r8 ; mov rsi, rsp),
    }
    let map = core::ptr::from_ref(known) as i64;
    dynasm!(asm ; .arch x64 ; mov rdi, QWORD map ; mov rax, QWORD find as i64 ; call rax);
    if words > 0 {
        dynasm!(asm ; .arch x64 ; add rsp, 16);
    }
}

/// `r9` is the word of the key that starts at byte `at`, where so many bytes are left; zeros come after them. May change `rdx`.
fn part(asm: &mut Assembler, at: i32, left: u32) {
    match left {
        0 => dynasm!(asm ; .arch x64 ; xor r9d, r9d),
        1 => dynasm!(asm ; .arch x64 ; movzx r9d, BYTE [r8 + at]),
        2 => dynasm!(asm ; .arch x64 ; movzx r9d, WORD [r8 + at]),
        3 => dynasm!(asm
            ; .arch x64
            ; movzx r9d, BYTE [r8 + at + 2]
            ; shl r9d, 16
            ; mov r9w, [r8 + at]
        ),
        4 => dynasm!(asm ; .arch x64 ; mov r9d, [r8 + at]),
        // The last two or four bytes, less those that are among the first, above these.
        5..=7 => dynasm!(asm
            ; .arch x64
            ; mov r9d, [r8 + at + (left as i32 - 4)]
            ; shr r9d, (8 * (8 - left)) as i8
            ; shl r9, 32
            ; push rdx
            ; mov edx, [r8 + at]
            ; or r9, rdx
            ; pop rdx
        ),
        _ => dynasm!(asm ; .arch x64 ; mov r9, [r8 + at]),
    }
}
