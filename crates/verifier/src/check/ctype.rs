//! C types of kernel functions' parameters, as far as arguments need them.

/// A C type as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CType {
    Void,
    Number(u32),
    VoidPointer,
    NumberPointer(u32),
    Struct(&'static str),
    Function,
    PointerPointer,
}

impl CType {
    /// The type of these words.
    pub(crate) fn of(words: &'static str) -> CType {
        let plain = words.trim().trim_start_matches("const ").trim();
        let Some(base) = plain.strip_suffix('*') else {
            return if plain == "void" { CType::Void } else { CType::Number(size(plain)) };
        };
        let base = base.trim().trim_end_matches("const").trim();
        if base.ends_with('*') {
            return CType::PointerPointer;
        }
        if base.contains("func") || base.contains('(') {
            return CType::Function;
        }
        if let Some(name) = base.strip_prefix("struct ").or_else(|| base.strip_prefix("union ")) {
            return CType::Struct(name.trim());
        }
        match base {
            "void" => CType::VoidPointer,
            "cpumask_t" => CType::Struct("cpumask"),
            _ => CType::NumberPointer(size(base)),
        }
    }
}

fn size(name: &str) -> u32 {
    match name {
        "u8" | "s8" | "char" | "bool" | "unsigned char" | "__u8" => 1,
        "u16" | "s16" | "__u16" | "short" | "__be16" => 2,
        "u64" | "s64" | "long" | "unsigned long" | "size_t" | "__u64" | "ssize_t" => 8,
        _ => 4,
    }
}

pub(super) fn c_words(c_type: CType) -> String {
    match c_type {
        CType::VoidPointer => "UNKNOWN ".into(),
        CType::Struct(name) => format!("STRUCT {name}"),
        CType::PointerPointer => "PTR ".into(),
        CType::Function => "FUNC_PROTO ".into(),
        _ => "INT ".into(),
    }
}
