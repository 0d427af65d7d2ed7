//! Strings, which need not be the program's own.
//!
//! They are read as memory of the kernel is, a byte at a time, up to the longest that Linux looks at; every byte costs an
//! instruction of the budget.

use super::kfuncs;
use crate::helpers::errno::{E2BIG, EFAULT, EINVAL, ENOENT, ERANGE, fail};
use crate::{HelperResult, Machine, Space, Stop};

/// The longest string (`XATTR_SIZE_MAX`).
const LONGEST: u64 = 65536;
/// Fill what is left with zeros (`BPF_F_PAD_ZEROS`).
const PAD_ZEROS: u64 = 1;

/// Why there is no answer: a number for the program, or the end of the run.
enum No {
    Errno(i64),
    Stop(Stop),
}

impl From<Stop> for No {
    fn from(stop: Stop) -> Self {
        No::Stop(stop)
    }
}

/// A string where the program says that one is.
#[derive(Clone, Copy)]
struct Text(u64);

impl Text {
    /// One that lies where the kernel may look.
    fn at(machine: &Machine<'_>, address: u64) -> Result<Text, No> {
        let is_kernel = address >> 63 == 1;
        let is_there = is_kernel || machine.memory.read::<1>(address).is_ok();
        is_there.then_some(Text(address)).ok_or(No::Errno(ERANGE))
    }

    fn byte(self, machine: &mut Machine<'_>, at: u64) -> Result<u8, No> {
        machine.spend(1)?;
        let mut byte = [0];
        match machine.read_kernel(self.0.wrapping_add(at), &mut byte) {
            true => Ok(byte[0]),
            false => Err(No::Errno(EFAULT)),
        }
    }
}

fn answer(result: Result<u64, No>) -> HelperResult {
    match result {
        Ok(value) => Ok(value),
        Err(No::Errno(errno)) => fail(errno),
        Err(No::Stop(stop)) => Err(stop),
    }
}

fn compare(machine: &mut Machine<'_>, a: u64, b: u64, change: fn(u8) -> u8) -> Result<u64, No> {
    let (a, b) = (Text::at(machine, a)?, Text::at(machine, b)?);
    for at in 0..LONGEST {
        let (x, y) = (change(a.byte(machine, at)?), change(b.byte(machine, at)?));
        match x.cmp(&y) {
            std::cmp::Ordering::Less => return Ok(-1i64 as u64),
            std::cmp::Ordering::Greater => return Ok(1),
            std::cmp::Ordering::Equal if x == 0 => return Ok(0),
            std::cmp::Ordering::Equal => {}
        }
    }
    Err(No::Errno(E2BIG))
}

/// The lower case of a letter, as the kernel has it: of Latin-1.
fn lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 0x20,
        _ => byte,
    }
}

/// What looking at so many bytes means when nothing was found in them.
fn not_found(count: u64) -> No {
    No::Errno(if count >= LONGEST { E2BIG } else { ENOENT })
}

fn find(machine: &mut Machine<'_>, text: u64, count: u64, wanted: u8) -> Result<u64, No> {
    let text = Text::at(machine, text)?;
    for at in 0..count.min(LONGEST) {
        match text.byte(machine, at)? {
            byte if byte == wanted => return Ok(at),
            0 => return Err(No::Errno(ENOENT)),
            _ => {}
        }
    }
    Err(not_found(count))
}

fn length(machine: &mut Machine<'_>, text: u64, count: u64) -> Result<u64, No> {
    let text = Text::at(machine, text)?;
    for at in 0..count.min(LONGEST) {
        if text.byte(machine, at)? == 0 {
            return Ok(at);
        }
    }
    if count >= LONGEST { Err(No::Errno(E2BIG)) } else { Ok(count) }
}

/// How many bytes at the beginning are in a set, or are not.
fn span(machine: &mut Machine<'_>, text: u64, set: u64, wanted: bool) -> Result<u64, No> {
    let (text, set) = (Text::at(machine, text)?, Text::at(machine, set)?);
    for at in 0..LONGEST {
        let byte = text.byte(machine, at)?;
        if byte == 0 {
            return Ok(at);
        }
        let mut place = 0;
        let is_in = loop {
            match set.byte(machine, place)? {
                found if found == byte => break true,
                0 => break false,
                _ => place += 1,
            }
            if place == LONGEST {
                return Err(No::Errno(E2BIG));
            }
        };
        if is_in != wanted {
            return Ok(at);
        }
    }
    Err(No::Errno(E2BIG))
}

/// Where a string is first within the first `len` bytes of another.
fn search(machine: &mut Machine<'_>, text: u64, wanted: u64, len: u64) -> Result<u64, No> {
    let (text, wanted) = (Text::at(machine, text)?, Text::at(machine, wanted)?);
    for start in 0..LONGEST {
        let mut at = 0;
        while start + at <= len && at < LONGEST {
            let byte = wanted.byte(machine, at)?;
            if byte == 0 {
                return Ok(start);
            }
            // The end of the string may lie right behind the bytes that are looked at.
            if start + at == len {
                break;
            }
            match text.byte(machine, start + at)? {
                0 => return Err(No::Errno(ENOENT)),
                found if found != byte => break,
                _ => at += 1,
            }
        }
        if at == LONGEST {
            return Err(No::Errno(E2BIG));
        }
        if start + at == len {
            return Err(No::Errno(ENOENT));
        }
    }
    Err(No::Errno(E2BIG))
}

fn last(machine: &mut Machine<'_>, text: u64, wanted: u32) -> Result<u64, No> {
    let (text, mut found) = (Text::at(machine, text)?, Err(No::Errno(ENOENT)));
    for at in 0..LONGEST {
        let byte = text.byte(machine, at)?;
        if u32::from(byte) == wanted {
            found = Ok(at);
        }
        if byte == 0 {
            return found;
        }
    }
    Err(No::Errno(E2BIG))
}

/// Copies a string of a task and gives its length with the zero byte.
fn copy(machine: &mut Machine<'_>, to: u64, size: u64, from: u64, flags: u64) -> HelperResult {
    let size = u64::from(size as u32);
    if flags & !PAD_ZEROS != 0 {
        return fail(EINVAL);
    }
    if size == 0 {
        return Ok(0);
    }
    // All of the destination must be there before anything is allocated for it.
    let mut bytes = machine.bytes(to, size)?;
    machine.spend(size)?;
    let mut len = 0;
    while len + 1 < bytes.len() {
        let mut byte = [0];
        if !machine.host().read(Space::User, from.wrapping_add(len as u64), &mut byte) {
            if flags & PAD_ZEROS != 0 {
                bytes.fill(0);
                machine.memory.copy_in(to, &bytes)?;
            }
            return fail(EFAULT);
        }
        if byte[0] == 0 {
            break;
        }
        bytes[len] = byte[0];
        len += 1;
    }
    let end = if flags & PAD_ZEROS != 0 { bytes.len() } else { len + 1 };
    bytes[len..end].fill(0);
    machine.memory.copy_in(to, &bytes)?;
    Ok(len as u64 + 1)
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_strcmp(machine, a, b) {
        answer(compare(machine, a, b, |byte| byte))
    }

    fn bpf_strcasecmp(machine, a, b) {
        answer(compare(machine, a, b, lower))
    }

    fn bpf_strlen(machine, text) {
        answer(length(machine, text, LONGEST))
    }

    fn bpf_strnlen(machine, text, count) {
        answer(length(machine, text, count))
    }

    fn bpf_strchr(machine, text, wanted) {
        answer(find(machine, text, LONGEST, wanted as u8))
    }

    fn bpf_strnchr(machine, text, count, wanted) {
        answer(find(machine, text, count, wanted as u8))
    }

    fn bpf_strchrnul(machine, text, wanted) {
        let found = find(machine, text, LONGEST, wanted as u8);
        answer(match found {
            Err(No::Errno(ENOENT)) => length(machine, text, LONGEST),
            found => found,
        })
    }

    fn bpf_strrchr(machine, text, wanted) {
        answer(last(machine, text, wanted as u32))
    }

    fn bpf_strspn(machine, text, set) {
        answer(span(machine, text, set, true))
    }

    fn bpf_strcspn(machine, text, set) {
        answer(span(machine, text, set, false))
    }

    fn bpf_strstr(machine, text, wanted) {
        answer(search(machine, text, wanted, LONGEST))
    }

    fn bpf_strnstr(machine, text, wanted, len) {
        answer(search(machine, text, wanted, len))
    }

    fn bpf_copy_from_user_str(machine, to, size, from, flags) {
        copy(machine, to, size, from, flags)
    }

    // The host describes one task's memory.
    fn bpf_copy_from_user_task_str(machine, to, size, from, _task, flags) {
        copy(machine, to, size, from, flags)
    }
}
