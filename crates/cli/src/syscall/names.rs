//! System calls by name: the table in `names.txt`, a row for each, with its number on each architecture.

/// An architecture of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    X86_64,
    X32,
    I386,
    Aarch64,
}

/// What tells x32 from x86-64, which have one `AUDIT_ARCH_*`.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

const TABLE: &str = include_str!("names.txt");

impl Table {
    /// The table for a value of `AUDIT_ARCH_*`; none if there is none.
    pub(crate) fn of(arch: u32) -> Option<Table> {
        match arch {
            0xc000_003e => Some(Table::X86_64),
            0x4000_0003 => Some(Table::I386),
            0xc000_00b7 => Some(Table::Aarch64),
            _ => None,
        }
    }

    /// All names with their numbers, in the order of the table.
    pub(crate) fn calls(self) -> impl Iterator<Item = (&'static str, u32)> {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        rows.filter_map(move |row| {
            let mut columns = row.split_whitespace();
            let name = columns.next()?;
            let number: u32 = columns.nth(self as usize)?.parse().ok()?;
            Some((name, if self == Table::X32 { number | X32_BIT } else { number }))
        })
    }

    /// The number of a system call.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        self.calls().find(|call| call.0 == name).map(|call| call.1)
    }
}

/// The name of a system call on an architecture.
pub(crate) fn name(arch: u32, number: u32) -> Option<&'static str> {
    let table = Table::of(arch)?;
    let table = if table == Table::X86_64 && number & X32_BIT != 0 { Table::X32 } else { table };
    table.calls().find(|call| call.1 == number).map(|call| call.0)
}

/// Whether any architecture has a system call of this name.
pub(crate) fn is_known(name: &str) -> bool {
    TABLE.lines().any(|row| row.split_whitespace().next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        for row in rows {
            let columns: Vec<&str> = row.split_whitespace().collect();
            assert_eq!(columns.len(), 5, "{row}");
            assert!(
                columns[1..].iter().all(|number| *number == "-" || number.parse::<u16>().is_ok()),
                "{row}"
            );
        }
    }

    #[test]
    fn numbers_and_names_lead_to_each_other() {
        assert_eq!(Table::X86_64.number("execve"), Some(59));
        assert_eq!(Table::X32.number("execve"), Some(520 | X32_BIT));
        assert_eq!(Table::I386.number("socketcall"), Some(102));
        assert_eq!(Table::Aarch64.number("openat"), Some(56));
        assert_eq!(Table::Aarch64.number("open"), None);
        for table in [Table::X86_64, Table::X32, Table::I386, Table::Aarch64] {
            let mut numbers: Vec<u32> = table.calls().map(|call| call.1).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{table:?}");
        }
        assert_eq!(name(0xc000_003e, 520 | X32_BIT), Some("execve"));
        assert_eq!(name(0xc000_003e, 9999), None);
    }
}
