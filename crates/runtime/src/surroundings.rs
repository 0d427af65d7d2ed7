//! What surrounds the runs of a program: the same for all of them.

use crate::execute::Execute;
use crate::helpers::HelperSet;
use crate::host::Host;
use crate::world::World;

/// Who has a program, and what its runs can reach besides their input. A run borrows all of it in one piece.
pub trait Surroundings: Sync {
    /// The helpers that it can call.
    fn helpers(&self) -> &HelperSet;

    /// The world outside.
    fn host(&self) -> &dyn Host;

    /// Maps and programs.
    fn world(&self) -> Option<&World>;

    /// What runs, for helpers that call back into it.
    fn code(&self) -> Option<&dyn Execute>;
}

/// The same of a run, however it was given them.
#[derive(Clone, Copy)]
pub(crate) enum Around<'run> {
    /// One by one.
    Given { helpers: &'run HelperSet, host: &'run dyn Host },
    /// By who has them.
    Of(&'run dyn Surroundings),
}

impl<'run> Around<'run> {
    pub(crate) fn helpers(self) -> &'run HelperSet {
        match self {
            Around::Given { helpers, .. } => helpers,
            Around::Of(surroundings) => surroundings.helpers(),
        }
    }

    pub(crate) fn host(self) -> &'run dyn Host {
        match self {
            Around::Given { host, .. } => host,
            Around::Of(surroundings) => surroundings.host(),
        }
    }

    pub(crate) fn world(self) -> Option<&'run World> {
        match self {
            Around::Given { .. } => None,
            Around::Of(surroundings) => surroundings.world(),
        }
    }

    pub(crate) fn code(self) -> Option<&'run dyn Execute> {
        match self {
            Around::Given { .. } => None,
            Around::Of(surroundings) => surroundings.code(),
        }
    }
}
