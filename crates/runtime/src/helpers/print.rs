//! Helpers that print, and that read and compare text.

use super::errno::{EINVAL, ERANGE, fail};
use super::format::{self, MAX_ARGS};
use super::{Bytes, Out, Scalar};
use crate::{HelperResult, Machine};

crate::helpers! {
    pub(super) static HELPERS;

    /// Prints a line to the trace log: a format and up to three numbers. Gives its length.
    6 fn trace_printk(machine, text: Bytes, a: Scalar, b: Scalar, c: Scalar) {
        let text = machine.bytes(text.address, text.len)?;
        trace(machine, &text, &[a.0, b.0, c.0])
    }

    /// The same with numbers from an array.
    177 fn trace_vprintk(machine, text: Bytes, args: Bytes) {
        let text = machine.bytes(text.address, text.len)?;
        match numbers(machine, args)? {
            Some(args) => trace(machine, &text, &args),
            None => fail(EINVAL),
        }
    }

    /// Formats into memory: gives the length with its NUL, even if not all fits.
    165 fn snprintf(machine, to: Out, text: Scalar, args: Bytes) {
        let Some(args) = numbers(machine, args)? else { return fail(EINVAL) };
        let Some(mut text) = machine.read_string(text.0, 4096) else { return fail(EINVAL) };
        text.push(0);
        let mut rendered = match format::format(machine, &text, &args) {
            Ok(rendered) => rendered,
            Err(errno) => return fail(errno),
        };
        rendered.push(0);
        let len = rendered.len();
        if let Some(room) = (to.len as usize).checked_sub(1).filter(|&room| room < len - 1) {
            rendered.truncate(room);
            rendered.push(0);
        }
        if to.len > 0 {
            machine.memory.copy_in(to.address, &rendered)?;
        }
        Ok(len as u64)
    }

    /// Reads a number with a sign at the start of text: gives how many bytes it has.
    105 fn strtol(machine, text: Bytes, flags: Scalar, to: Scalar) {
        let text = machine.bytes(text.address, text.len)?;
        let number = parse(&text, flags.0).and_then(|(value, negative, consumed)| match negative {
            true if (value.wrapping_neg() as i64) > 0 => Err(ERANGE),
            true => Ok((value.wrapping_neg(), consumed)),
            false if (value as i64) < 0 => Err(ERANGE),
            false => Ok((value, consumed)),
        });
        store(machine, to.0, number)
    }

    /// The same without a sign.
    106 fn strtoul(machine, text: Bytes, flags: Scalar, to: Scalar) {
        let text = machine.bytes(text.address, text.len)?;
        let number = parse(&text, flags.0).and_then(|(value, negative, consumed)| match negative {
            true => Err(EINVAL),
            false => Ok((value, consumed)),
        });
        store(machine, to.0, number)
    }

    /// Compares text with a constant: negative, zero or positive.
    182 fn strncmp(machine, text: Bytes, constant: Scalar) {
        let text = machine.bytes(text.address, text.len)?;
        let constant = machine.read_string(constant.0, text.len().max(1)).unwrap_or_default();
        let constant = constant.into_iter().chain(std::iter::repeat(0));
        for (a, b) in text.into_iter().zip(constant) {
            if a != b {
                return Ok(if a < b { u64::MAX } else { 1 });
            }
            if a == 0 {
                break;
            }
        }
        Ok(0)
    }
}

fn trace(machine: &mut Machine<'_>, text: &[u8], args: &[u64]) -> HelperResult {
    match format::format(machine, text, args) {
        Ok(line) => {
            machine.host().trace(&String::from_utf8_lossy(&line));
            Ok(line.len() as u64)
        }
        Err(errno) => fail(errno),
    }
}

/// The numbers in an array; `None` if it is no array of numbers, or too long.
fn numbers(machine: &Machine<'_>, array: Bytes) -> Result<Option<Vec<u64>>, crate::Fault> {
    if !array.len.is_multiple_of(8)
        || array.len as usize > 8 * MAX_ARGS
        || array.len > 0 && array.address == 0
    {
        return Ok(None);
    }
    let bytes = machine.bytes(array.address, array.len)?;
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    Ok(Some(bytes.chunks(8).map(word).collect()))
}

/// The digits at the start of text: their value, whether a minus stood before them, how much was read.
fn parse(text: &[u8], flags: u64) -> Result<(u64, bool, usize), i64> {
    const BASE_MASK: u64 = 0x1f;
    /// No more digits are looked at.
    const MOST: usize = 63;
    let mut base = flags & BASE_MASK;
    if !matches!(base, 0 | 8 | 10 | 16) || flags & !BASE_MASK != 0 {
        return Err(EINVAL);
    }
    let mut at = text.iter().take_while(|&&byte| format::is_space(byte)).count();
    let negative = text.get(at) == Some(&b'-');
    at += usize::from(negative);
    let digits = &text[at..];
    if digits.is_empty() {
        return Err(EINVAL);
    }
    let digits = &digits[..digits.len().min(MOST)];
    let digit = |at: usize| digits.get(at).copied().unwrap_or(0);
    let prefixed = digit(0) == b'0' && digit(1).eq_ignore_ascii_case(&b'x');
    if base == 0 {
        base = match digit(0) {
            b'0' if prefixed && digit(2).is_ascii_hexdigit() => 16,
            b'0' => 8,
            _ => 10,
        };
    }
    let start = if base == 16 && prefixed { 2 } else { 0 };
    let (mut value, mut count, mut overflow) = (0u64, 0, false);
    for &byte in digits.get(start..).unwrap_or_default() {
        let Some(digit) = char::from(byte).to_digit(16).map(u64::from).filter(|&digit| digit < base) else {
            break;
        };
        let next = value.checked_mul(base).and_then(|value| value.checked_add(digit));
        overflow |= next.is_none();
        value = next.unwrap_or(value);
        count += 1;
    }
    match (overflow, count) {
        (true, _) => Err(ERANGE),
        (false, 0) => Err(EINVAL),
        (false, _) => Ok((value, negative, at + start + count)),
    }
}

fn store(machine: &mut Machine<'_>, to: u64, number: Result<(u64, usize), i64>) -> HelperResult {
    machine.memory.write::<8>(to, number.map_or(0, |(value, _)| value))?;
    match number {
        Ok((_, consumed)) => Ok(consumed as u64),
        Err(errno) => fail(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_start_of_text() {
        assert_eq!(parse(b" \t-42x", 10), Ok((42, true, 5)));
        assert_eq!(parse(b"0x1fg", 0), Ok((31, false, 4)));
        assert_eq!(parse(b"0x", 0), Ok((0, false, 1)));
        assert_eq!(parse(b"0x", 16), Err(EINVAL));
        assert_eq!(parse(b"0778", 0), Ok((0o77, false, 3)));
        assert_eq!(parse(b"18446744073709551615", 10), Ok((u64::MAX, false, 20)));
        assert_eq!(parse(b"18446744073709551616", 10), Err(ERANGE));
        for (text, flags) in [(&b""[..], 10), (b"-", 10), (b"x", 10), (b"1", 9), (b"1", 0x2a)] {
            assert_eq!(parse(text, flags), Err(EINVAL), "{text:?} {flags}");
        }
    }
}
