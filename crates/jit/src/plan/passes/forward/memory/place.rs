//! Bytes of memory, and whether they may be the same as others.

use sandbpf_isa::Size;

use crate::plan::graph::{Address, Graph, Op, Region, Value};

/// What addresses of places have in common whose distance is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// The first byte of a region.
    Region(Region),
    Value(Value),
}

/// So many bytes from an address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    start: Start,
    index: Option<(Value, u8)>,
    region: Option<Region>,
    pub(super) from: i64,
    pub(super) bytes: i64,
}

impl Place {
    pub(super) fn new(graph: &Graph, at: &Address, bytes: i64) -> Place {
        let start = match graph.op(at.base) {
            Op::Base(region) => Start::Region(*region),
            _ => Start::Value(at.base),
        };
        Place { start, index: at.index, region: at.region, from: at.disp.into(), bytes }
    }

    pub(super) fn of(graph: &Graph, at: &Address, size: Size) -> Place {
        Place::new(graph, at, size.bytes().into())
    }

    /// So many bytes as nobody knows, around an address.
    pub(super) fn anywhere(graph: &Graph, at: &Address) -> Place {
        Place { from: i64::MIN / 4, bytes: i64::MAX / 2, ..Place::new(graph, at, 0) }
    }

    /// Bytes of the stack, from its first on.
    pub(super) fn stack(from: i64, bytes: i64) -> Place {
        let region = Region::Stack;
        Place { start: Start::Region(region), index: None, region: Some(region), from, bytes }
    }

    /// Whether the distance to another is known.
    pub(super) fn near(&self, other: &Place) -> bool {
        self.start == other.start && self.index == other.index
    }

    /// Whether some bytes may be of both.
    pub(super) fn overlaps(&self, other: &Place) -> bool {
        match (self.region, other.region) {
            (Some(a), Some(b)) if a != b => false,
            _ if self.near(other) => {
                self.from < other.from + other.bytes && other.from < self.from + self.bytes
            }
            _ => true,
        }
    }

    /// Whether all bytes of the other are of this one.
    pub(super) fn covers(&self, other: &Place) -> bool {
        self.near(other) && self.from <= other.from && other.from + other.bytes <= self.from + self.bytes
    }

    /// What is left before and behind another, the distance to which is known.
    pub(super) fn without(&self, other: &Place) -> [Option<Place>; 2] {
        let end = other.from + other.bytes;
        let before = Place { bytes: other.from - self.from, ..*self };
        let behind = Place { from: end, bytes: self.from + self.bytes - end, ..*self };
        [before, behind].map(|rest| Some(rest).filter(|rest| rest.bytes > 0))
    }

    /// Whether some bytes may be of the stack.
    pub(super) fn may_be_stack(&self) -> bool {
        matches!(self.region, None | Some(Region::Stack))
    }

    /// Whether all bytes are of the stack.
    pub(super) fn is_stack(&self) -> bool {
        self.region == Some(Region::Stack)
    }

    /// Whether nobody else may write there while the program runs.
    pub(super) fn is_ours(&self, graph: &Graph) -> bool {
        match self.region {
            Some(Region::Far(_)) => false,
            Some(Region::Stack | Region::Context | Region::Packet) => true,
            // With a machine, checked addresses may be of memory elsewhere.
            None => !graph.machine,
        }
    }
}
