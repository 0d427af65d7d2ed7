//! Which helpers a program has.

use std::fmt;

use sandbpf_abi::{ArgSpec, Effect, HelperSpec};

use super::{
    acts, call, checksum, dynptr, map, option, output, print, probe, redirect, refused, room, route, skb,
    socket, sockmap, storage, task, trace, tunnel, vlan, walk, world, xdp,
};
use crate::{HelperResult, Machine};

/// What runs when a helper is called: the machine, and `r1`…`r5`.
pub type Body = fn(&mut Machine<'_>, [u64; 5]) -> HelperResult;

/// A function of five numbers, `r1`…`r5`, that sees nothing of the run: machine code calls it directly.
pub type Plain = extern "C" fn(u64, u64, u64, u64, u64) -> u64;

/// A function that programs call by number.
#[derive(Clone, Copy)]
pub struct Helper {
    spec: HelperSpec,
    code: Code,
    /// Whether it is one of ours, and does what Linux's does.
    linux: bool,
    /// Whether it is, and leaves the packet and what the context says of it alone.
    quiet: bool,
}

#[derive(Clone, Copy)]
enum Code {
    Body(Body),
    Plain(Plain),
}

impl Helper {
    /// A helper; [`helpers!`](crate::helpers!) writes this.
    pub const fn new(spec: HelperSpec, body: Body) -> Self {
        Helper { spec, code: Code::Body(body), linux: false, quiet: false }
    }

    /// A helper that computes a number from numbers, or tells its host something, and needs nothing of the run. Such calls cost no
    /// more than those of C functions.
    ///
    /// ```
    /// use sandbpf_runtime::helpers::{Helper, HelperSet};
    /// extern "C" fn mix(a: u64, b: u64, _: u64, _: u64, _: u64) -> u64 {
    ///     a.rotate_left(7) ^ b
    /// }
    /// let helpers = HelperSet::linux().with(&[Helper::plain(1000, "mix", mix)]);
    /// assert!(helpers.get(1000).is_some());
    /// ```
    pub const fn plain(id: i32, name: &'static str, function: Plain) -> Self {
        let spec = HelperSpec { id, name, args: &[ArgSpec::Scalar; 5], ..HelperSpec::PLAIN };
        Helper::of_numbers(spec, function)
    }

    /// The same, by its specification; [`helpers!`](crate::helpers!) writes this.
    #[doc(hidden)]
    pub const fn of_numbers(spec: HelperSpec, function: Plain) -> Self {
        Helper { spec, code: Code::Plain(function), linux: false, quiet: false }
    }

    /// The function, if it needs nothing of the run.
    pub fn as_plain(&self) -> Option<Plain> {
        match self.code {
            Code::Plain(function) => Some(function),
            Code::Body(_) => None,
        }
    }

    /// The function that is given the machine, if it is one.
    #[inline]
    pub fn as_body(&self) -> Option<Body> {
        match self.code {
            Code::Body(body) => Some(body),
            Code::Plain(_) => None,
        }
    }

    /// Its number, name and prototype.
    pub fn spec(&self) -> &HelperSpec {
        &self.spec
    }

    /// Runs it.
    #[inline]
    pub fn call(&self, machine: &mut Machine<'_>, arguments: [u64; 5]) -> HelperResult {
        match self.code {
            Code::Body(body) => body(machine, arguments),
            Code::Plain(function) => {
                let [a, b, c, d, e] = arguments;
                Ok(function(a, b, c, d, e))
            }
        }
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
    /// For numbers from 0 on, where in the list the helper is, counted from 1.
    places: Vec<u16>,
    /// Whether the helpers for elements of maps are Linux's.
    for_maps: bool,
    /// Whether all of Linux's are.
    all_linux: bool,
}

/// `map_lookup_elem`, `map_update_elem`, `map_delete_elem`.
const FOR_MAPS: [i32; 3] = [1, 2, 3];

/// Numbers that are found without a search.
const PLACES: usize = 1024;

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
        let mut set = tables.into_iter().fold(HelperSet::empty(), HelperSet::with);
        for helper in &mut set.sorted {
            let mut specs = sandbpf_abi::helpers::numbered(helper.spec.id);
            let moves = specs.any(|spec| spec.has(Effect::ChangesPacket));
            (helper.linux, helper.quiet) = (true, !moves);
        }
        (set.for_maps, set.all_linux) = (true, true);
        set
    }

    /// These as well; one with a number that is taken replaces the old one.
    pub fn with(mut self, helpers: &[Helper]) -> Self {
        for &helper in helpers {
            match self.sorted.binary_search_by_key(&helper.spec.id, |h| h.spec.id) {
                Ok(at) => {
                    self.all_linux &= !self.sorted[at].linux || helper.linux;
                    self.sorted[at] = helper;
                }
                Err(at) => self.sorted.insert(at, helper),
            }
        }
        self.for_maps = FOR_MAPS.into_iter().all(|id| self.search(id).is_some_and(|helper| helper.linux));
        self.places.clear();
        for (at, helper) in (1..).zip(&self.sorted) {
            let number = usize::try_from(helper.spec.id).unwrap_or(PLACES);
            if number < PLACES {
                self.places.resize(self.places.len().max(number + 1), 0);
                self.places[number] = at;
            }
        }
        self
    }

    /// The helper with this number.
    #[inline]
    pub fn get(&self, id: i32) -> Option<&Helper> {
        let place = usize::try_from(id).ok().and_then(|number| self.places.get(number).copied());
        match place {
            Some(at) if at > 0 => self.sorted.get(usize::from(at) - 1),
            _ => self.search(id),
        }
    }

    /// Whether the helper with this number is Linux's, as [`HelperSet::linux`] has it.
    pub fn is_linux(&self, id: i32) -> bool {
        self.get(id).is_some_and(|helper| helper.linux)
    }

    /// Whether the helper with this number is Linux's, and leaves the packet where it is and what the context says of it.
    #[inline]
    pub fn is_quiet(&self, id: i32) -> bool {
        self.get(id).is_some_and(|helper| helper.quiet)
    }

    /// Whether the helpers that look up, set and remove elements of maps are Linux's.
    #[inline]
    pub fn are_for_maps(&self) -> bool {
        self.for_maps
    }

    /// Whether they are all that Linux has, and none of them was replaced.
    #[inline]
    pub fn are_all_linux(&self) -> bool {
        self.all_linux
    }

    #[cold]
    fn search(&self, id: i32) -> Option<&Helper> {
        let at = self.sorted.binary_search_by_key(&id, |h| h.spec.id).ok()?;
        Some(&self.sorted[at])
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Helper> {
        self.sorted.iter()
    }
}
