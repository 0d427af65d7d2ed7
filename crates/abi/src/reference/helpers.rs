//! `docs/helpers.md`: every helper with its signature, and who has which.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::availability::{Chain, Rule};
use crate::{Effect, HelperSpec, ProgramType, helpers};

/// The helpers in Markdown.
///
/// ```
/// let page = sandbpf_abi::reference::helpers();
/// assert!(page.starts_with("# Helpers\n"));
/// assert!(page.contains("| 1 | `map_lookup_elem(map: Map, key: MapKey) -> MapValueOrNull` |"));
/// ```
pub fn helpers() -> String {
    [INTRODUCTION.into(), table(), types(), chains()].join("\n")
}

const INTRODUCTION: &str = "\
# Helpers

This page is generated from the tables of `crates/abi`; a test keeps it current (`BLESS=1` rewrites it).

A helper is a function of the kernel that programs call by number. These are the 211 of Linux 6.18. The words of the
signatures are those of `sandbpf_abi::ArgSpec` and `RetSpec`, where each is explained; `OrNull` means that zero is
taken, or returned, for a pointer. A number with several rows means different signatures to different types of
program.

| mark | what it says |
|---|---|
| GPL | only for programs with a license compatible with the GPL |
| packet | takes memory of the packet for its arguments |
| sleeps | only for programs that may sleep |
| changes | pointers into the packet are worthless afterwards |
| callers | pointers into the packet are worthless to who called the function that calls it |
| acquires | what it returns must be released |
| length | returns at most the length it was given, or a small negative error |
| processor | returns less than the number of processors |
| keeps | leaves registers alone that it takes no arguments from |
";

fn mark(effect: Effect) -> &'static str {
    match effect {
        Effect::GplOnly => "GPL",
        Effect::PacketMemory => "packet",
        Effect::Sleeps => "sleeps",
        Effect::ChangesPacket => "changes",
        Effect::ChangesForCallers => "callers",
        Effect::Acquires => "acquires",
        Effect::ReturnsLength => "length",
        Effect::ReturnsCpu => "processor",
        Effect::KeepsRegisters => "keeps",
    }
}

/// Every helper, by number.
fn table() -> String {
    let mut page =
        String::from("## Signatures\n\n| number | signature | marks | what it does |\n|---|---|---|---|\n");
    let mut all: Vec<&HelperSpec> = helpers::all().collect();
    all.sort_by_key(|helper| helper.id);
    for helper in all {
        let marks: Vec<&str> = helper.effects.iter().map(|&effect| mark(effect)).collect();
        page += &format!("| {} | `{helper}` | {} | {} |\n", helper.id, marks.join(", "), helper.doc);
    }
    page
}

/// Which chain answers for which types.
fn types() -> String {
    let mut page = String::from(
        "## Who has which\n\nFor each type of program a chain of groups answers: the first that knows a \
         number counts.\n\n| program type | group |\n|---|---|\n",
    );
    for of in ProgramType::ALL {
        page += &format!("| `{of}` | {} |\n", link(of.row().helpers));
    }
    page
}

/// Every group once, in the order in which they are met.
fn chains() -> String {
    let mut met = BTreeMap::new();
    let mut order = Vec::new();
    for of in ProgramType::ALL {
        meet(of.row().helpers, &mut met, &mut order);
    }
    order.into_iter().map(describe).collect::<Vec<_>>().join("\n")
}

fn meet(chain: &'static Chain, met: &mut BTreeMap<&'static str, ()>, order: &mut Vec<&'static Chain>) {
    if met.insert(chain.name, ()).is_none() {
        order.push(chain);
        for next in chain.then {
            meet(next, met, order);
        }
    }
}

fn describe(chain: &Chain) -> String {
    let mut page = format!("### Group: {}\n\n", chain.name);
    for rule in chain.rules {
        match rule {
            Rule::Give(helpers) => page += &format!("- {}\n", names(helpers)),
            Rule::When(condition, helpers) => {
                page += &format!("- if {condition}: {}\n", names(helpers));
            }
        }
    }
    let then: Vec<String> = chain.then.iter().map(|next| link(next)).collect();
    page += &match (chain.rules.is_empty(), &then[..]) {
        (true, []) => "None.\n".into(),
        (_, []) => String::new(),
        (true, then) => format!("- what has: {}\n", then.join(", ")),
        (false, then) => format!("- then: {}\n", then.join(", ")),
    };
    page
}

fn names(helpers: &[&HelperSpec]) -> String {
    let names: Vec<String> = helpers.iter().map(|helper| format!("`{}`", helper.name)).collect();
    names.join(", ")
}

fn link(chain: &Chain) -> String {
    let anchor: String = chain.name.chars().filter(|c| *c != ',').collect();
    format!("[{}](#group-{})", chain.name, anchor.replace(' ', "-"))
}
