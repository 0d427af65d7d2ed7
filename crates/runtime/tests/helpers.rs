//! Every helper of Linux is here, under its number and its name, and takes the registers that its prototype says.

use sandbpf_abi::helpers;
use sandbpf_runtime::helpers::HelperSet;

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
