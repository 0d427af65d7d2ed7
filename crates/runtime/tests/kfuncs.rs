//! `docs/kfuncs.md` is what the table and the bodies say.

use std::fs;
use std::path::Path;

#[test]
fn kfuncs_are_current() {
    let page = sandbpf_runtime::kfuncs::bodies();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kfuncs.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/kfuncs.md is not what the tables say; BLESS=1 rewrites it");
}
