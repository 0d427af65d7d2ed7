//! Small things in text: ranges of numbers, system calls, bytes.

use sandbpf::SyscallData;

/// Ascending numbers as ranges: `0,3-7`.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// Adds a number larger than all before.
    pub(crate) fn push(&mut self, number: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => self.ranges.push((number, number)),
        }
    }
}

impl std::fmt::Display for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, &(first, last)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// `number[,arch[,ip[,arg…]]]`
pub(crate) fn syscall(text: &str) -> Result<SyscallData, String> {
    let mut fields = text.split(',').map(str::trim);
    let mut call = SyscallData { arch: X86_64, ..SyscallData::default() };
    let nr = number(fields.next().unwrap_or_default())?;
    call.nr = u32::try_from(nr).map_err(|_| format!("the number {nr} has more than 32 bits"))? as i32;
    if let Some(arch) = fields.next() {
        call.arch = match arch {
            "x86_64" | "x32" => X86_64,
            "x86" | "i386" => 0x4000_0003,
            "arm" => 0x4000_0028,
            "aarch64" => 0xc000_00b7,
            "riscv64" => 0xc000_00f3,
            arch => u32::try_from(number(arch)?).map_err(|_| format!("{arch} has more than 32 bits"))?,
        };
    }
    if let Some(ip) = fields.next() {
        call.instruction_pointer = number(ip)?;
    }
    let mut args = call.args.iter_mut();
    for field in fields {
        *args.next().ok_or("a system call has at most 6 arguments")? = number(field)?;
    }
    Ok(call)
}

const X86_64: u32 = 0xc000_003e;

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse().or_else(|_| text.parse::<i64>().map(|negative| negative as u64)),
    };
    parsed.map_err(|_| format!("`{text}` is no number"))
}

/// Bytes in hexadecimal, with blanks and colons between them if you like.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, hex::FromHexError> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    hex::decode(digits.strip_prefix("0x").unwrap_or(&digits))
}
