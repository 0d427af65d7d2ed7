//! Formats as `bpf_trace_printk` and its kin have them (`bpf_bprintf_prepare`): a part of `printk`'s, and strict.

use super::errno::{EINVAL, ENOSPC};
use crate::Machine;

/// The most arguments that a format takes from an array.
pub(crate) const MAX_ARGS: usize = 12;

/// The longest string that `%s` copies, and the sum of all.
const MAX_STRINGS: usize = 512;

/// Formats `format` (with its NUL) with these arguments; strings are read from the program's memory and from what the
/// host describes.
pub(crate) fn format(machine: &Machine<'_>, format: &[u8], args: &[u64]) -> Result<Vec<u8>, i64> {
    let end = format.iter().position(|&byte| byte == 0).ok_or(EINVAL)?;
    let mut text = Text { bytes: &format[..end], at: 0 };
    let (mut out, mut args, mut strings) = (Vec::new(), args.iter(), 0);
    while let Some(byte) = text.next() {
        if !byte.is_ascii() || !(byte.is_ascii_graphic() || is_space(byte)) {
            return Err(EINVAL);
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        if text.take(b'%') {
            out.push(b'%');
            continue;
        }
        let &arg = args.next().ok_or(EINVAL)?;
        let field = Field::read(&mut text);
        let rendered = match text.next().ok_or(EINVAL)? {
            b'p' => pointer(machine, &mut text, arg, &mut strings)?,
            b's' => {
                if !text.ends_word() {
                    return Err(EINVAL);
                }
                string(machine, arg, &mut strings)?
            }
            b'c' => vec![arg as u8],
            mut letter => {
                let long = letter == b'l';
                if long {
                    letter = text.next().ok_or(EINVAL)?;
                    if letter == b'l' {
                        letter = text.next().ok_or(EINVAL)?;
                    }
                }
                number(letter, if long { arg } else { u64::from(arg as u32) }, long, &field)?
            }
        };
        field.pad(&rendered, &mut out);
    }
    Ok(out)
}

/// What the kernel takes for white space.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

struct Text<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Text<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek(0) == byte;
        self.at += usize::from(there);
        there
    }

    /// Whether nothing, white space or punctuation follows.
    fn ends_word(&self) -> bool {
        let next = self.peek(0);
        next == 0 || is_space(next) || next.is_ascii_punctuation()
    }
}

/// `[0 +-][width]`
#[derive(Default)]
struct Field {
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    width: usize,
}

impl Field {
    fn read(text: &mut Text<'_>) -> Field {
        let mut field = Field::default();
        loop {
            match text.peek(0) {
                b'0' => field.zero = true,
                b'+' => field.plus = true,
                b'-' => field.minus = true,
                b' ' => field.space = true,
                _ => break,
            }
            text.at += 1;
        }
        while text.peek(0).is_ascii_digit() {
            field.width = (field.width * 10 + usize::from(text.peek(0) - b'0')).min(1024);
            text.at += 1;
        }
        field
    }

    fn pad(&self, rendered: &[u8], out: &mut Vec<u8>) {
        let room = self.width.saturating_sub(rendered.len());
        if self.minus {
            out.extend_from_slice(rendered);
            out.resize(out.len() + room, b' ');
        } else {
            out.resize(out.len() + room, b' ');
            out.extend_from_slice(rendered);
        }
    }
}

fn number(letter: u8, arg: u64, long: bool, field: &Field) -> Result<Vec<u8>, i64> {
    let (sign, digits) = match letter {
        b'd' | b'i' => {
            let value = if long { arg as i64 } else { i64::from(arg as u32 as i32) };
            let sign = match value < 0 {
                true => "-",
                false if field.plus => "+",
                false if field.space => " ",
                false => "",
            };
            (sign, value.unsigned_abs().to_string())
        }
        b'u' => ("", arg.to_string()),
        b'x' => ("", format!("{arg:x}")),
        b'X' => ("", format!("{arg:X}")),
        _ => return Err(EINVAL),
    };
    let zeros = match field.zero && !field.minus {
        true => field.width.saturating_sub(sign.len() + digits.len()),
        false => 0,
    };
    Ok(format!("{sign}{}{digits}", "0".repeat(zeros)).into_bytes())
}

fn pointer(
    machine: &Machine<'_>,
    text: &mut Text<'_>,
    arg: u64,
    strings: &mut usize,
) -> Result<Vec<u8>, i64> {
    if text.ends_word() {
        return Ok(format!("{arg:016x}").into_bytes());
    }
    match (text.peek(0), text.peek(1)) {
        (b'k' | b'u', b's') => {
            text.at += 2;
            if !text.ends_word() {
                return Err(EINVAL);
            }
            string(machine, arg, strings)
        }
        (b'K' | b'x' | b's' | b'S' | b'B', _) => {
            text.at += 1;
            Ok(format!("{arg:016x}").into_bytes())
        }
        (family @ (b'i' | b'I'), version @ (b'4' | b'6')) => {
            text.at += 2;
            let mut bytes = [0; 16];
            let bytes = &mut bytes[..if version == b'4' { 4 } else { 16 }];
            let _ = machine.read_kernel(arg, bytes);
            Ok(address(family, bytes).into_bytes())
        }
        _ => Err(EINVAL),
    }
}

/// An address of IP: `1.2.3.4` or `001.002.003.004`, `1:2::3` or eight groups of four digits without colons.
fn address(family: u8, bytes: &[u8]) -> String {
    match (family, <[u8; 16]>::try_from(bytes)) {
        (b'I', Ok(v6)) => {
            let group = |pair: &[u8]| format!("{:02x}{:02x}", pair[0], pair[1]);
            v6.chunks(2).map(group).collect::<Vec<_>>().join(":")
        }
        (_, Ok(v6)) => v6.iter().map(|byte| format!("{byte:02x}")).collect(),
        (b'I', Err(_)) => bytes.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        (_, Err(_)) => bytes.iter().map(|byte| format!("{byte:03}")).collect::<Vec<_>>().join("."),
    }
}

/// A string, up to its NUL; one that cannot be read is empty.
fn string(machine: &Machine<'_>, at: u64, strings: &mut usize) -> Result<Vec<u8>, i64> {
    let room = MAX_STRINGS.checked_sub(*strings).filter(|&room| room > 0).ok_or(ENOSPC)?;
    let string = machine.read_string(at, room).unwrap_or_default();
    *strings += string.len() + 1;
    Ok(string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Stack;
    use crate::{FrozenHost, helpers::HelperSet};

    #[test]
    fn formats() {
        let (mut stack, helpers) = (Stack::default(), HelperSet::empty());
        let machine = Machine::new(&mut stack, &helpers, &FrozenHost, 0);
        let format = |text: &str, args: &[u64]| {
            let bytes = [text.as_bytes(), &[0]].concat();
            super::format(&machine, &bytes, args).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let minus = -5i64 as u64;
        assert_eq!(format("%d %u %x", &[minus, minus, minus]), Ok("-5 4294967291 fffffffb".into()));
        assert_eq!(format("%ld|%llx", &[minus, minus]), Ok("-5|fffffffffffffffb".into()));
        assert_eq!(
            format("[%5d][%-5d][%05d][%+d]", &[42, 42, minus, 42]),
            Ok("[   42][42   ][-0005][+42]".into())
        );
        assert_eq!(format("100%% %c%X", &[65, 0xbeef]), Ok("100% ABEEF".into()));
        assert_eq!(format("%p", &[0x1234]), Ok("0000000000001234".into()));
        assert_eq!(format("%s.", &[1]), Ok(".".into()));
        for wrong in ["%", "%z", "%d", "%lz", "%h", "\u{1}", "é", "%pz", "%sx"] {
            let args: &[u64] = if wrong == "%d" { &[] } else { &[1] };
            assert_eq!(format(wrong, args), Err(EINVAL), "{wrong}");
        }
        assert_eq!(super::format(&machine, b"no end", &[]), Err(EINVAL));
    }

    #[test]
    fn addresses() {
        assert_eq!(address(b'I', &[10, 0, 0, 1]), "10.0.0.1");
        assert_eq!(address(b'i', &[10, 0, 0, 1]), "010.000.000.001");
        let v6: Vec<u8> = (0..16).collect();
        assert_eq!(address(b'I', &v6), "0001:0203:0405:0607:0809:0a0b:0c0d:0e0f");
        assert_eq!(address(b'i', &v6), "000102030405060708090a0b0c0d0e0f");
    }
}
