//! `docs/contexts.md`: the types of program, what each is given, may do with it and may return.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::{
    Access, Attach, AttachType, Context, Direction, Field, Layout, PacketAccess, ProgramType, Returns,
    Sleeping, Value, View, pointers,
};

/// The types of program and their contexts in Markdown.
///
/// ```
/// let page = sandbpf_abi::reference::contexts();
/// assert!(page.starts_with("# Contexts\n"));
/// assert!(page.contains("| 76 | `data` | 4 | 4 | the packet's start |"));
/// ```
pub fn contexts() -> String {
    [INTRODUCTION.into(), types(), returns(), attach_types(), structs(), POINTERS.into(), behind_pointers()]
        .join("\n")
}

const INTRODUCTION: &str = "\
# Contexts

This page is generated from the tables of `crates/abi`; a test keeps it current (`BLESS=1` rewrites it).

A program finds its context in `r1`. What looks like memory there is none: every access is rewritten to what the
kernel really has, so each field says which accesses it takes. All accesses are aligned to their size, counted from
the start of the context, and a pointer is loaded whole, never with its sign extended.
";

const POINTERS: &str = "\
## Behind pointers

What contexts and helpers point to is read by the same rules.
";

/// One row a type.
fn types() -> String {
    let mut page = String::from(
        "## Types of program\n\n| number | type | what it does | context | packet | attached to | sleeps |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for &of in ProgramType::ALL {
        let row = of.row();
        let context = match row.context {
            Context::Struct(rows) => link(rows[0].1.layout),
            Context::Bytes { first, end, writable, .. } => {
                format!("bytes {first} to {}{}", end - 1, if writable { ", writable" } else { "" })
            }
            Context::Arguments => "the arguments of what it is attached to".into(),
            Context::None => "none".into(),
        };
        let packet = match row.packet {
            PacketAccess::Look => "",
            PacketAccess::Read => "read",
            PacketAccess::Write => "read, write",
            PacketAccess::Any => "read, write; for all helpers",
        };
        let attach = match row.attach {
            Attach::Any => "anything".into(),
            Attach::Zero => "0".into(),
            Attach::OneOf(all, None) => list(all),
            Attach::OneOf(all, Some(zero)) => format!("{}; 0 means `{zero}`", list(all)),
        };
        let sleeps = match row.sleeping {
            Sleeping::Never => "never".into(),
            Sleeping::Always => "always".into(),
            Sleeping::May => "may".into(),
            Sleeping::MayAt(all) => format!("may at {}", list(all)),
        };
        let gpl = if row.needs_gpl { " Only with a license compatible with the GPL." } else { "" };
        let doc = row.doc.trim();
        page += &format!(
            "| {} | `{of}` | {doc}{gpl} | {context} | {packet} | {attach} | {sleeps} |\n",
            of.number()
        );
    }
    page
}

fn list(all: &[AttachType]) -> String {
    let names: Vec<String> = all.iter().map(|at| format!("`{at}`")).collect();
    names.join(", ")
}

/// What types may return, where that is not anything.
fn returns() -> String {
    let mut page = String::from(
        "## Return values\n\nAnything that was written may be returned, except here; where there is a range, \
         all 64 bits of `r0` count and a pointer is refused.\n\n| type | attached to | range |\n|---|---|---|\n",
    );
    for &of in ProgramType::ALL {
        let rules = of.row().returns;
        if rules.iter().all(|(_, returns)| *returns == Returns::Any) {
            continue;
        }
        for (all, returns) in rules {
            let at = match (all.is_empty(), rules.len()) {
                (true, 1) => "anything".into(),
                (true, _) => "anything else".into(),
                (false, _) => list(all),
            };
            let range = match returns {
                Returns::Any => "any".into(),
                Returns::Range(low, high) if low == high => format!("{low}"),
                Returns::Range(low, high) => format!("{low} to {high}"),
                Returns::Target => "what the hook returns".into(),
            };
            page += &format!("| `{of}` | {at} | {range} |\n");
        }
    }
    page
}

fn attach_types() -> String {
    let mut page = String::from("## Attach types\n\n| number | attach type |\n|---|---|\n");
    for at in AttachType::ALL {
        page += &format!("| {} | `{at}` |\n", at.0);
    }
    page
}

/// Every struct with the types that are given it.
fn structs() -> String {
    let mut seen: BTreeMap<*const Layout, Vec<(&'static View, Vec<String>)>> = BTreeMap::new();
    let mut order: Vec<&'static Layout> = Vec::new();
    for &of in ProgramType::ALL {
        let Context::Struct(rows) = of.row().context else { continue };
        for (all, view) in rows {
            let who = match (all.is_empty(), rows.len()) {
                (true, 1) => format!("`{of}`"),
                (true, _) => format!("`{of}` attached to anything else"),
                (false, _) => format!("`{of}` attached to {}", list(all)),
            };
            let key: *const Layout = view.layout;
            let views = seen.entry(key).or_insert_with(|| {
                order.push(view.layout);
                Vec::new()
            });
            match views.iter_mut().find(|(other, _)| core::ptr::eq(*other, *view)) {
                Some((_, all)) => all.push(who),
                None => views.push((view, Vec::from([who]))),
            }
        }
    }
    let mut page = String::new();
    for layout in order {
        let key: *const Layout = layout;
        let views: Vec<&View> = seen[&key].iter().map(|(view, _)| *view).collect();
        page += &describe(layout, &views);
        for (view, who) in &seen[&key] {
            page += &permissions(view, &who.join(", "));
        }
        page.push('\n');
    }
    page.pop();
    page
}

fn behind_pointers() -> String {
    let views = [
        (pointers::SOCKET, "A full socket"),
        (pointers::SOCK_COMMON, "The common part of a socket"),
        (pointers::TCP_SOCK, "A TCP socket"),
        (pointers::XDP_SOCK, "An XDP socket"),
    ];
    let mut page = String::new();
    for (view, who) in views {
        if core::ptr::eq(view.layout, pointers::SOCKET.layout) {
            page += &format!("{who} is {}:\n\n{}\n", link(view.layout), permissions(view, "all"));
        } else {
            page += &format!("{}{}\n", describe(view.layout, &[view]), permissions(view, who));
        }
    }
    page + &describe(pointers::FLOW_KEYS, &[])
}

/// The fields; what they store, only if one of the views lets them.
fn describe(layout: &Layout, views: &[&View]) -> String {
    let mut page = format!("## {}\n\n{}\n\n{} bytes.\n\n", title(layout), layout.doc.trim(), layout.size);
    page +=
        "| offset | field | bytes | loads | gives | stores | what it says |\n|---|---|---|---|---|---|---|\n";
    // What is ours stands behind what is Linux's.
    for field in layout.fields.iter().filter(|field| field.offset < layout.size) {
        let Field { offset, name, size, value, doc, .. } = field;
        let of = |direction: Direction, access: Access| {
            let allowed = views.iter().any(|view| view.allows(field, direction));
            if allowed { access.to_string() } else { String::new() }
        };
        let (load, store) = (of(Direction::Read, field.load), of(Direction::Write, field.store));
        let gives = match value {
            Value::Scalar => String::new(),
            value => value.to_string(),
        };
        let doc = doc.trim();
        page += &format!("| {offset} | `{name}` | {size} | {load} | {gives} | {store} | {doc} |\n");
    }
    page.push('\n');
    page
}

/// What one view hides and lets write.
fn permissions(view: &View, who: &str) -> String {
    let names = |direction, wanted| {
        let fields = view.layout.fields.iter().filter(|field| field.offset < view.layout.size);
        let fields = fields.filter(|field| view.allows(field, direction) == wanted);
        fields.map(|field| format!("`{}`", field.name)).collect::<Vec<_>>()
    };
    let (reads, hides, writes) =
        (names(Direction::Read, true), names(Direction::Read, false), names(Direction::Write, true));
    let read = match () {
        () if hides.is_empty() => "reads everything".into(),
        () if reads.len() < hides.len() => format!("reads {}", reads.join(", ")),
        () => format!("reads everything but {}", hides.join(", ")),
    };
    let write = if writes.is_empty() { "nothing".into() } else { writes.join(", ") };
    format!("- {who}: {read}; writes {write}\n")
}

fn title(layout: &Layout) -> String {
    match layout.name {
        "__u32" => "`__u32`".into(),
        name => format!("`struct {name}`"),
    }
}

fn link(layout: &Layout) -> String {
    let anchor = if layout.name == "__u32" { "__u32".into() } else { format!("struct-{}", layout.name) };
    format!("[`{}`](#{anchor})", layout.name)
}
