//! What stands before an instruction: its number, its bytes or opcode, labels.
//!
//! ```text
//! 0000000000000060 <f>:                                      llvm-objdump: a label
//!       12:  bf 16 00 00 00 00 00 00  r6 = r1                llvm-objdump: number, bytes
//! 12: (bf) r6 = r1                                           kernel, bpftool: number, opcode
//!      12: .1........ (bf) r6 = r1                           kernel: the same, live registers
//! again: r6 = r1                                             ours, clang: label
//! ```
//!
//! The bytes settle what the text leaves open: llvm-objdump writes `call 3` for helper 3 and for a
//! call to the function three slots on.

use super::{
    error::{Place, TextError},
    lex,
};

/// A line without the columns before its instruction.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// The slot number, and where it stands.
    pub(super) slot: Option<(u64, Place<'a>)>,
    /// Whether it is of the table of live registers in a verifier's log.
    pub(super) live: bool,
    /// What is known from bytes.
    pub(super) hint: Hint,
    /// The labels.
    pub(super) label: Option<Place<'a>>,
    /// Where the rest starts.
    pub(super) rest: usize,
}

/// What the columns tell about an instruction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hint {
    /// The first byte of the instruction.
    pub(super) opcode: Option<u8>,
    /// The source register field.
    pub(super) src: Option<u8>,
}

/// Takes the columns off a line. A line may have one label; where there can be more, the caller
/// asks again from `rest`.
pub(super) fn line(number: usize, text: &str, from: usize) -> Result<Line<'_>, TextError> {
    let place = |offset, len| Place { line: number, text, offset, len };
    let mut line =
        Line { slot: None, live: false, hint: Hint::default(), label: None, rest: skip_space(text, from) };
    if from == 0 {
        if let Some((offset, len)) = symbol_line(text, line.rest) {
            line.label = Some(place(offset, len));
            line.rest = text.len();
            return Ok(line);
        }
        // In a verifier's log the number of an instruction in a loop has the loop's before it.
        let first = digits(&text[line.rest..]);
        let second = skip_space(text, line.rest + first);
        let looped = first > 0
            && second > line.rest + first
            && numbered(text, second).is_some_and(|number| number.live);
        if looped {
            line.rest = second;
        }
        if let Some(number) = numbered(text, line.rest) {
            let place = place(line.rest, number.digits);
            let slot = text[line.rest..line.rest + number.digits].parse();
            line.slot = Some((slot.map_err(|_| place.expected("an instruction's number"))?, place));
            line.live = number.live;
            line.rest = number.rest;
        }
        if let Some(opcode) = opcode(&text[line.rest..]) {
            line.hint.opcode = Some(opcode);
            line.rest = skip_space(text, line.rest + 4);
        } else if let Some((bytes, len)) = bytes(&text[line.rest..]) {
            line.hint = Hint { opcode: Some(bytes[0]), src: Some(bytes[1] >> 4) };
            line.rest = skip_space(text, line.rest + len);
        }
    }
    let name = lex::name(&text[line.rest..]);
    if name > 0 && text[line.rest + name..].starts_with(':') {
        line.label = Some(place(line.rest, name));
        line.rest = skip_space(text, line.rest + name + 1);
    }
    Ok(line)
}

fn skip_space(text: &str, from: usize) -> usize {
    text.len() - text[from..].trim_start().len()
}

/// `0000000000000060 <f>:`, from hexadecimal digits to the end; where the name is.
fn symbol_line(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = text[from..].trim_end();
    let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    let name = rest[digits..].strip_prefix(" <")?.strip_suffix(">:")?;
    (digits > 0 && !name.is_empty()).then_some((from + digits + 2, name.len()))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// `12:`, perhaps with live registers behind it.
struct Number {
    digits: usize,
    live: bool,
    rest: usize,
}

fn numbered(text: &str, from: usize) -> Option<Number> {
    let digits = digits(&text[from..]);
    if digits == 0 || !text[from + digits..].starts_with(':') {
        return None;
    }
    let rest = skip_space(text, from + digits + 1);
    let live = live_registers(&text[rest..]);
    Some(Number { digits, live, rest: if live { rest + LIVE + 1 } else { rest } })
}

/// Columns of [`live_registers`].
const LIVE: usize = 10;

/// `0.2....... (b7)`: a digit for every live register of `r0` to `r9`.
fn live_registers(text: &str) -> bool {
    let Some((registers, rest)) = text.split_at_checked(LIVE) else { return false };
    registers.bytes().all(|b| b == b'.' || b.is_ascii_digit()) && rest.starts_with(" (")
}

/// `(b7)`.
fn opcode(text: &str) -> Option<u8> {
    let (hex, _) = text.strip_prefix('(')?.split_at_checked(2)?;
    text[3..].starts_with(')').then(|| byte(hex)).flatten()
}

/// Eight or sixteen bytes in hexadecimal with a space between them; how many characters they take.
fn bytes(text: &str) -> Option<([u8; 2], usize)> {
    let mut first = [0; 2];
    let mut count = 0;
    let mut at = 0;
    while let Some((hex, rest)) = text[at..].split_at_checked(2) {
        let Some(byte) = byte(hex).filter(|_| rest.is_empty() || rest.starts_with(char::is_whitespace))
        else {
            break;
        };
        if let Some(place) = first.get_mut(count) {
            *place = byte;
        }
        count += 1;
        at += 2;
        if !rest.starts_with(' ') {
            break;
        }
        at += 1;
    }
    matches!(count, 8 | 16).then_some((first, at))
}

fn byte(hex: &str) -> Option<u8> {
    hex.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}
