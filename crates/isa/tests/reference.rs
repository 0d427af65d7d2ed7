//! `docs/isa.md` is what the tables say.

use std::{fs, path::Path};

#[test]
fn the_page_is_current() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/isa.md"));
    let page = sandbpf_isa::reference();
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, &page).expect("docs/isa.md can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/isa.md is not what the tables say; BLESS=1 rewrites it");
}
