//! `docs/helpers.md` and `docs/contexts.md` are what the tables say.

use std::{fs, path::Path};

use sandbpf_abi::reference;

fn is_current(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, page).expect("the page can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/{name} is not what the tables say; BLESS=1 rewrites it");
}

/// What stands behind each helper follows on the same page, from who implements them.
#[test]
fn helpers_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/helpers.md");
    let found = fs::read_to_string(path).unwrap_or_default();
    let is_current = found.starts_with(&reference::helpers());
    assert!(
        is_current,
        "docs/helpers.md is not what the tables say; BLESS=1 with the tests of runtime rewrites it"
    );
}

#[test]
fn contexts_are_current() {
    is_current("contexts.md", &reference::contexts());
}
