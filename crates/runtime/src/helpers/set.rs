//! Which helpers a program has.

use std::fmt;

use sandbpf_abi::HelperSpec;

use super::{
    acts, call, checksum, dynptr, map, option, output, print, probe, redirect, refused, room, route, skb,
    socket, sockmap, storage, task, trace, tunnel, vlan, walk, world, xdp,
};
use crate::{HelperResult, Machine};

/// What runs when a helper is called: the machine, and `r1`…`r5`.
pub type Body = fn(&mut Machine<'_>, [u64; 5]) -> HelperResult;

/// A function that programs call by number.
#[derive(Clone, Copy)]
pub struct Helper {
    spec: HelperSpec,
    body: Body,
}

impl Helper {
    /// A helper; [`helpers!`](crate::helpers!) writes this.
    pub const fn new(spec: HelperSpec, body: Body) -> Self {
        Helper { spec, body }
    }

    /// Its number, name and prototype.
    pub fn spec(&self) -> &HelperSpec {
        &self.spec
    }

    /// Runs it.
    pub fn call(&self, machine: &mut Machine<'_>, arguments: [u64; 5]) -> HelperResult {
        (self.body)(machine, arguments)
    }
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.spec.name, self.spec.id)
    }
}

/// The helpers that a program can call, by number.
#[derive(Clone, Debug, Default)]
pub struct HelperSet {
    sorted: Vec<Helper>,
}

impl HelperSet {
    /// None at all.
    pub fn empty() -> Self {
        HelperSet::default()
    }

    /// Linux's, as far as they are there.
    pub fn linux() -> Self {
        let tables = [
            world::HELPERS,
            checksum::HELPERS,
            skb::HELPERS,
            room::HELPERS,
            vlan::HELPERS,
            xdp::HELPERS,
            redirect::HELPERS,
            tunnel::HELPERS,
            route::HELPERS,
            print::HELPERS,
            probe::HELPERS,
            task::HELPERS,
            call::HELPERS,
            map::HELPERS,
            output::HELPERS,
            storage::HELPERS,
            walk::HELPERS,
            sockmap::HELPERS,
            option::HELPERS,
            refused::HELPERS,
            acts::HELPERS,
            socket::HELPERS,
            socket::STRUCTURES,
            trace::HELPERS,
            dynptr::HELPERS,
        ];
        tables.into_iter().fold(HelperSet::empty(), HelperSet::with)
    }

    /// These as well; one with a number that is taken replaces the old one.
    pub fn with(mut self, helpers: &[Helper]) -> Self {
        for &helper in helpers {
            match self.sorted.binary_search_by_key(&helper.spec.id, |h| h.spec.id) {
                Ok(at) => self.sorted[at] = helper,
                Err(at) => self.sorted.insert(at, helper),
            }
        }
        self
    }

    /// The helper with this number.
    pub fn get(&self, id: i32) -> Option<&Helper> {
        let at = self.sorted.binary_search_by_key(&id, |h| h.spec.id).ok()?;
        Some(&self.sorted[at])
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Helper> {
        self.sorted.iter()
    }
}
