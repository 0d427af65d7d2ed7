//! System calls on the command line: `59`, `openat`, `257,aarch64,0x7f0000001000,3,4`.

pub(crate) mod names;

use std::fmt;

use sandbpf::SyscallData;

use names::Table;

/// A system call, and how it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) data: SyscallData,
    /// Its number, or its name if that was given.
    said: String,
}

/// Architectures by name: `AUDIT_ARCH_*` of `linux/audit.h`.
const ARCHITECTURES: &[(&str, u32)] = &[
    ("x86_64", 0xc000_003e),
    ("i386", 0x4000_0003),
    ("aarch64", 0xc000_00b7),
    ("arm", 0x4000_0028),
    ("riscv64", 0xc000_00f3),
    ("riscv32", 0x4000_00f3),
    ("loongarch64", 0xc000_0102),
    ("s390x", 0x8000_0016),
    ("ppc64le", 0xc000_0015),
    ("ppc64", 0x8000_0015),
    ("ppc", 0x0000_0014),
    ("mips64el", 0xc000_0008),
    ("mips64", 0x8000_0008),
    ("mipsel", 0x4000_0008),
    ("mips", 0x0000_0008),
];

impl Call {
    /// Reads `number[,arch[,ip[,argument…]]]`, or a name for the number; without more it is a call of x86-64.
    pub(crate) fn parse(text: &str) -> Result<Call, String> {
        let data = parse(text)?;
        let first = text.split(',').next().unwrap_or_default().trim();
        let is_name = first.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        Ok(Call { data, said: if is_name { first.into() } else { data.nr.to_string() } })
    }
}

impl fmt::Display for Call {
    /// The architecture, the call, and its arguments up to the last that is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", architecture_name(self.data.arch), self.said)?;
        let count = self.data.args.iter().rposition(|&arg| arg != 0).map_or(0, |last| last + 1);
        let args: Vec<String> = self.data.args[..count].iter().map(|arg| format!("{arg:#x}")).collect();
        if args.is_empty() { Ok(()) } else { write!(f, "({})", args.join(", ")) }
    }
}

fn parse(text: &str) -> Result<SyscallData, String> {
    let mut fields = text.split(',').map(str::trim);
    let mut call = SyscallData { arch: ARCHITECTURES[0].1, ..SyscallData::default() };
    let first = fields.next().unwrap_or_default();
    if let Some(name) = fields.next() {
        call.arch = architecture(name)?;
    }
    // The kernel compares all 32 bits; who writes -1 means all of them set.
    call.nr = call_number(first, call.arch)? as i32;
    if let Some(address) = fields.next() {
        call.instruction_pointer = number(address)?;
    }
    let mut args = call.args.iter_mut();
    for field in fields {
        *args.next().ok_or("a system call has at most 6 arguments")? = number(field)?;
    }
    Ok(call)
}

fn call_number(text: &str, arch: u32) -> Result<u32, String> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return word(text);
    }
    let table = Table::of(arch).ok_or_else(|| {
        format!(
            "the system calls of {} have no names here; give the number of `{text}`",
            architecture_name(arch)
        )
    })?;
    table.number(text).ok_or_else(|| format!("`{text}` is no system call of {}", architecture_name(arch)))
}

/// The name of an architecture, or its number.
pub(crate) fn architecture_name(arch: u32) -> String {
    let known = ARCHITECTURES.iter().find(|row| row.1 == arch);
    known.map_or_else(|| format!("{arch:#x}"), |row| row.0.to_string())
}

fn architecture(text: &str) -> Result<u32, String> {
    match ARCHITECTURES.iter().find(|row| row.0.eq_ignore_ascii_case(text)) {
        Some(row) => Ok(row.1),
        None => word(text).map_err(|_| {
            let names: Vec<&str> = ARCHITECTURES.iter().map(|row| row.0).collect();
            format!("`{text}` is no architecture; there are {}, and numbers", names.join(", "))
        }),
    }
}

fn word(text: &str) -> Result<u32, String> {
    let value = number(text)?;
    // Negative numbers have the upper half set.
    let negative = i64::from(value as u32 as i32) as u64;
    match u32::try_from(value) {
        Ok(word) => Ok(word),
        Err(_) if text.starts_with('-') && negative == value => Ok(value as u32),
        Err(_) => Err(format!("`{text}` has more than 32 bits")),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('-') => text.parse::<i64>().ok().map(|negative| negative as u64),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("`{text}` is no number of 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_from_the_left() {
        let call = parse("0x101, aarch64, 4096, 1, -1").unwrap();
        assert_eq!((call.nr, call.arch, call.instruction_pointer), (257, 0xc000_00b7, 4096));
        assert_eq!(call.args, [1, u64::MAX, 0, 0, 0, 0]);
        assert_eq!(parse("-1").unwrap().nr, -1);
        assert_eq!(parse("0xffffffff").unwrap().nr, -1);
        assert_eq!(architecture_name(parse("1").unwrap().arch), "x86_64");
        assert_eq!((parse("openat").unwrap().nr, parse("openat,aarch64").unwrap().nr), (257, 56));
        let call = Call::parse("socket,x86_64,0,2,1,0").unwrap();
        assert_eq!(call.to_string(), "x86_64 socket(0x2, 0x1)");
        assert_eq!(Call::parse("0x101").unwrap().to_string(), "x86_64 257");
    }

    #[test]
    fn errors_say_which_field() {
        assert_eq!(parse("").unwrap_err(), "`` is no number of 64 bits");
        assert_eq!(parse("0x100000000").unwrap_err(), "`0x100000000` has more than 32 bits");
        assert_eq!(parse("-4294967296").unwrap_err(), "`-4294967296` has more than 32 bits");
        assert!(parse("1,vax").unwrap_err().starts_with("`vax` is no architecture; there are x86_64, "));
        assert_eq!(parse("opnat").unwrap_err(), "`opnat` is no system call of x86_64");
        assert_eq!(parse("open,aarch64").unwrap_err(), "`open` is no system call of aarch64");
        assert!(parse("open,s390x").unwrap_err().contains("have no names here"));
        assert_eq!(parse("1,0,0,1,2,3,4,5,6,7").unwrap_err(), "a system call has at most 6 arguments");
    }
}
