//! Bytes in hexadecimal, as people paste them.

/// A place in a text that is no hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub(crate) struct HexError {
    /// Counted from 1, in characters.
    pub(crate) column: usize,
    expected: &'static str,
    found: String,
}

/// The bytes of a line: pairs of digits, with blanks, colons or nothing between them, and `0x` before them if you
/// like.
pub(crate) fn parse(line: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(line.len() / 2);
    let mut upper = None;
    let mut chars = line.chars().enumerate().peekable();
    while let Some((index, c)) = chars.next() {
        let error = |expected, found: String| HexError { column: index + 1, expected, found };
        let starts_prefix = |next: Option<&(usize, char)>| next.is_some_and(|&(_, c)| c == 'x' || c == 'X');
        match (upper, c.to_digit(16)) {
            (None, Some(0)) if starts_prefix(chars.peek()) => {
                chars.next();
                if !chars.peek().is_some_and(|(_, c)| c.is_ascii_hexdigit()) {
                    return Err(error("a hexadecimal digit", "`0x` without one".into()));
                }
            }
            (None, Some(digit)) => upper = Some(digit),
            (Some(digit), Some(lower)) => {
                // Both are below 16.
                bytes.push((digit << 4 | lower) as u8);
                upper = None;
            }
            (None, None) if c.is_whitespace() || c == ':' => {}
            (None, None) => return Err(error("a hexadecimal digit", format!("`{c}`"))),
            (Some(_), None) => return Err(error("the second digit of a byte", format!("`{c}`"))),
        }
    }
    match upper {
        None => Ok(bytes),
        Some(_) => Err(HexError {
            column: line.chars().count() + 1,
            expected: "the second digit of a byte",
            found: "the end".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn separators_are_free() {
        for text in ["000ffF", "00 0f ff", "0x000fff", "0x00 0x0f 0xff", "00:0f:ff\r", " 00\t0FFF "] {
            assert_eq!(parse(text), Ok(vec![0, 15, 255]), "{text}");
        }
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn errors_have_a_place() {
        let error = |text| parse(text).map_err(|error| (error.column, error.to_string())).unwrap_err();
        assert_eq!(error("00 gg"), (4, "expected a hexadecimal digit, found `g`".into()));
        assert_eq!(error("00 0 1"), (5, "expected the second digit of a byte, found ` `".into()));
        assert_eq!(error("000"), (4, "expected the second digit of a byte, found the end".into()));
        assert_eq!(error("00 0x"), (4, "expected a hexadecimal digit, found `0x` without one".into()));
        assert_eq!(error("x00"), (1, "expected a hexadecimal digit, found `x`".into()));
    }
}
