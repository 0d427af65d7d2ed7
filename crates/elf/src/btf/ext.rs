//! `.BTF.ext`: which function and which source line an instruction comes from, and what must be adapted to the
//! kernel (CO-RE). All three tables have the same form: per section, records that begin with an offset in bytes.

use std::ops::Range;

use super::decode::fail;
use crate::ObjectError;

/// One record of "here begins a function".
#[derive(Debug, Clone, Copy)]
pub(crate) struct FuncInfo {
    pub(crate) offset: u32,
    pub(crate) ty: u32,
}

/// One record of "from here on the source is".
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineInfo {
    pub(crate) offset: u32,
    pub(crate) file: u32,
    pub(crate) text: u32,
    /// Line in the upper 22 bits, column in the lower 10.
    pub(crate) place: u32,
}

/// One record of "this instruction depends on the kernel's types".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CoreRelo {
    pub(crate) offset: u32,
    pub(crate) ty: u32,
    pub(crate) access: u32,
    pub(crate) kind: u32,
}

/// The records of one section, named by the offset of its name in the strings of the types.
#[derive(Debug, Clone)]
pub(crate) struct PerSection<T> {
    pub(crate) section: u32,
    pub(crate) records: Vec<T>,
}

/// The three tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct BtfExt {
    pub(crate) functions: Vec<PerSection<FuncInfo>>,
    pub(crate) lines: Vec<PerSection<LineInfo>>,
    pub(crate) core: Vec<PerSection<CoreRelo>>,
}

impl BtfExt {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        let word = |at: usize| word(bytes, at);
        let first = word(0)?;
        if first & 0xffff != 0xeb9f || (first >> 16) & 0xff != 1 {
            return Err(fail(0, format!("expected the header of .BTF.ext in version 1, found {first:#x}")));
        }
        let header = word(4)? as usize;
        // A table may be missing from an older, shorter header.
        let table = |at: usize| -> Result<Range<usize>, ObjectError> {
            if at + 8 > header {
                return Ok(0..0);
            }
            let start = header.checked_add(word(at)? as usize);
            let range = start.and_then(|start| Some(start..start.checked_add(word(at + 4).ok()? as usize)?));
            range
                .filter(|range| range.end <= bytes.len())
                .ok_or_else(|| fail(at, "a table lies outside .BTF.ext"))
        };
        Ok(Self {
            functions: read(bytes, table(8)?, 8, |[offset, ty, ..]| FuncInfo { offset, ty })?,
            lines: read(bytes, table(16)?, 16, |[offset, file, text, place]| LineInfo {
                offset,
                file,
                text,
                place,
            })?,
            core: read(bytes, table(24)?, 16, |[offset, ty, access, kind]| CoreRelo {
                offset,
                ty,
                access,
                kind,
            })?,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, ObjectError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    chunk.map(|chunk| u32::from_le_bytes(*chunk)).ok_or_else(|| fail(at, ".BTF.ext ends within a record"))
}

fn read<T>(
    bytes: &[u8],
    table: Range<usize>,
    least: usize,
    record: impl Fn([u32; 4]) -> T,
) -> Result<Vec<PerSection<T>>, ObjectError> {
    let mut sections = Vec::new();
    if table.is_empty() {
        return Ok(sections);
    }
    let bytes = &bytes[..table.end];
    let size = word(bytes, table.start)? as usize;
    if size < least || !size.is_multiple_of(4) {
        return Err(fail(table.start, format!("expected records of {least} bytes or more, found {size}")));
    }
    let mut at = table.start + 4;
    while at < table.end {
        let (section, count) = (word(bytes, at)?, word(bytes, at + 4)? as usize);
        at += 8;
        let end = count.checked_mul(size).and_then(|len| at.checked_add(len));
        let Some(end) = end.filter(|&end| end <= table.end && count > 0) else {
            return Err(fail(
                at - 4,
                format!("a table of .BTF.ext announces {count} records, which do not fit"),
            ));
        };
        let mut records = Vec::with_capacity(count);
        while at < end {
            let mut words = [0; 4];
            for (n, field) in words.iter_mut().take(least / 4).enumerate() {
                *field = word(bytes, at + 4 * n)?;
            }
            records.push(record(words));
            at += size;
        }
        sections.push(PerSection { section, records });
    }
    Ok(sections)
}
