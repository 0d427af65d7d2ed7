//! The page of `docs/helpers.md` that says what stands behind each helper.

use std::fmt::Write;

use super::{HelperSet, acts, option, probe, refused, route, socket, sockmap, task, trace, world};

/// What stands behind a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backing {
    /// It does what Linux's does.
    Implemented,
    /// It does what the [`Host`](crate::Host) says: the default host describes nearly nothing.
    Host,
    /// It answers with an error, as a kernel does that has nothing to answer with.
    Refused,
}

impl Backing {
    /// What stands behind the helper with this number.
    pub fn of(id: i32) -> Option<Backing> {
        let is_in = |table: &[super::Helper]| table.iter().any(|helper| helper.spec().id == id);
        let host = [
            acts::HELPERS,
            option::HELPERS,
            probe::HELPERS,
            route::HELPERS,
            socket::HELPERS,
            socket::STRUCTURES,
            sockmap::HELPERS,
            task::HELPERS,
            trace::HELPERS,
            world::HELPERS,
        ];
        HelperSet::linux().get(id).map(|_| match () {
            () if is_in(refused::HELPERS) => Backing::Refused,
            () if host.into_iter().any(is_in) => Backing::Host,
            () => Backing::Implemented,
        })
    }
}

/// A table of all helpers by number: what stands behind them, and for those that refuse, why.
pub fn bodies() -> String {
    let mut page = String::from(
        "\n## What stands behind them\n\n\
         *implemented*: as in Linux. *host*: what the world outside decides is asked from `Host`, whose default describes\n\
         nearly nothing. *refused*: answers with an error, for the reason given.\n\n\
         | number | helper | backing | why |\n|---|---|---|---|\n",
    );
    for helper in HelperSet::linux().iter().filter(|helper| helper.spec().id > 0) {
        let spec = helper.spec();
        let name = spec.name.trim_end_matches('_');
        let (word, why) = match Backing::of(spec.id) {
            Some(Backing::Refused) => ("refused", spec.doc.split_once(": ").map_or("", |(_, why)| why)),
            Some(Backing::Host) => ("host", ""),
            _ => ("implemented", ""),
        };
        // Writing into a string does not fail.
        let _ = writeln!(page, "| {} | `{name}` | {word} | {} |", spec.id, why.trim());
    }
    page
}
