//! Every helper of Linux is here, under its number and its name, and takes the registers that its prototype says.

use std::fs;
use std::path::Path;

use sandbpf_abi::{helpers, reference};
use sandbpf_runtime::helpers::{Backing, HelperSet, bodies};

#[test]
fn every_helper_has_a_body() {
    let set = HelperSet::linux();
    let missing: Vec<_> = helpers::all()
        .filter(|spec| set.get(spec.id).is_none())
        .map(|spec| format!("{} {}", spec.id, spec.name))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let unknown: Vec<_> =
        set.iter().filter(|helper| helper.spec().id > helpers::LAST).map(|helper| helper.spec().id).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn names_and_registers_are_those_of_the_prototypes() {
    let set = HelperSet::linux();
    // A format takes what it names; flags that the prototype does not list are read all the same.
    let more = [6, 176];
    let mut wrong = Vec::new();
    for id in 1..=helpers::LAST {
        let Some(helper) = set.get(id) else { continue };
        let (ours, known) = (helper.spec(), helpers::numbered(id));
        let name = ours.name.trim_end_matches('_');
        if !known
            .into_iter()
            .any(|spec| spec.name == name && (spec.args.len() >= ours.args.len() || more.contains(&id)))
        {
            let specs: Vec<_> =
                helpers::numbered(id).map(|spec| format!("{}/{}", spec.name, spec.args.len())).collect();
            wrong.push(format!("{id}: {name}/{} but {specs:?}", ours.args.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn few_refuse_and_all_are_on_the_page() {
    let refused = (1..=helpers::LAST).filter(|&id| Backing::of(id) == Some(Backing::Refused)).count();
    assert!(refused <= 15, "{refused} helpers refuse");
    let page = reference::helpers() + &bodies();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/helpers.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/helpers.md is not what the tables say; BLESS=1 rewrites it");
}
